//! Settings: one snapshot of the environment, typed getters with the default beside the name.
//!
//! A getter never fails. It notes a bad value, hands out the default, and the start-up reports all bad values in
//! one message before anything binds ([`Settings::check`]).

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use url::Url;

/// A snapshot of the environment. Clones share the list of bad values.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: Arc<BTreeMap<String, String>>,
    bad: Arc<Mutex<Vec<String>>>,
}

/// Settings that cannot be used, all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad settings: {}", .0.join("; "))]
pub struct BadSettings(pub Vec<String>);

// === impl Settings ===

impl Settings {
    /// The process's environment as it is now. Variables that are not UTF-8 are left out.
    pub fn from_env() -> Self {
        let vars =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::from_pairs(vars)
    }

    /// Settings from given pairs: tests, and processes that start others.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { values: Arc::new(values), bad: Arc::default() }
    }

    /// A text; the default where the variable is unset or empty.
    pub fn text(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or(default).to_owned()
    }

    /// A text that has no default: `None` where the variable is unset or empty.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    /// A text that may hold a password: the variable, or the file that `<name>_FILE` names, its first and last blanks cut.
    /// `None` where both are unset or empty.
    pub fn secret(&self, name: &str) -> Option<String> {
        let variable = format!("{name}_FILE");
        match (self.optional(name), self.optional(&variable)) {
            (given, None) => given.map(str::to_owned),
            (Some(_), Some(file)) => {
                self.note(&variable, file, format!("{name} is set, too; unset one of them"));
                None
            }
            (None, Some(file)) => match std::fs::read_to_string(file) {
                Ok(text) if text.trim().is_empty() => {
                    self.note(&variable, file, "the file is empty");
                    None
                }
                Ok(text) => Some(text.trim().to_owned()),
                Err(e) => {
                    self.note(&variable, file, format!("{e}; name a readable file"));
                    None
                }
            },
        }
    }

    /// A duration with its unit, such as `45s`, `300ms`, `1m 30s`; above zero.
    pub fn duration(&self, name: &str, default: &str) -> Duration {
        let parse = |text: &str| match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Err("must be above zero".to_owned()),
            Ok(d) => Ok(d),
            Err(e) => Err(format!("{e}; write a number with its unit, such as 45s or 300ms")),
        };
        self.parsed(name, default, parse).unwrap_or_default()
    }

    /// A number (or anything that `FromStr` reads) within `range`.
    pub fn number<T>(&self, name: &str, default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
        T::Err: Display,
    {
        let Some(text) = self.optional(name) else { return default };
        match text.parse::<T>() {
            Ok(n) if range.contains(&n) => n,
            Ok(_) => {
                self.note(name, text, format!("must be from {} to {}", range.start(), range.end()));
                default
            }
            Err(e) => {
                self.note(name, text, e);
                default
            }
        }
    }

    /// A switch: `on`/`true`/`1` or `off`/`false`/`0`.
    pub fn switch(&self, name: &str, default: bool) -> bool {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "1" => Ok(true),
            "off" | "false" | "0" => Ok(false),
            _ => Err("must be on or off".to_owned()),
        };
        self.parsed(name, if default { "on" } else { "off" }, parse).unwrap_or(default)
    }

    /// An `http://` base URL. Paths are appended to it: `http://host/card-network` + `/charges`.
    pub fn url(&self, name: &str, default: &str) -> String {
        let parse = |text: &str| match Url::parse(text) {
            Ok(u) if u.scheme() != "http" => Err("must be an http:// URL".to_owned()),
            Ok(u) if u.host_str().is_none() => Err("has no host".to_owned()),
            Ok(u) if u.query().is_some() || u.fragment().is_some() => {
                Err("must end with its path".to_owned())
            }
            Ok(_) => Ok(text.trim_end_matches('/').to_owned()),
            Err(e) => Err(e.to_string()),
        };
        self.parsed(name, default, parse).unwrap_or_default()
    }

    /// An address to bind, `ip:port`.
    pub fn address(&self, name: &str, default: SocketAddr) -> SocketAddr {
        let parse = |text: &str| {
            text.parse::<SocketAddr>().map_err(|e| format!("{e}; write an address such as 127.0.0.1:8080"))
        };
        self.parsed(name, &default.to_string(), parse).unwrap_or(default)
    }

    /// Notes that `name` cannot be used: for rules that only a service knows.
    pub fn reject(&self, name: &str, why: impl Display) {
        match self.optional(name) {
            // It came from a file, whose content is a secret.
            None if self.optional(&format!("{name}_FILE")).is_some() => self.note(name, "…", why),
            text => self.note(name, &masked(text.unwrap_or_default()), why),
        }
    }

    /// The bad values found by the getters so far, as one error.
    ///
    /// # Errors
    /// [`BadSettings`] when there is at least one.
    pub fn check(&self) -> Result<(), BadSettings> {
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if bad.is_empty() { Ok(()) } else { Err(BadSettings(bad)) }
    }

    fn parsed<T>(&self, name: &str, default: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.optional(name).unwrap_or(default);
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.note(name, text, why);
                parse(default).ok()
            }
        }
    }

    fn note(&self, name: &str, text: &str, why: impl Display) {
        let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{name}={text:?}: {why}");
        if !bad.contains(&line) {
            bad.push(line);
        }
    }
}

/// A URL to be shown: its password is masked, however badly it is escaped.
pub(crate) fn masked(text: &str) -> String {
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let (user, host) = rest.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    };
    masked().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_variable_gives_the_default() {
        let s = Settings::from_pairs([("EMPTY", "  ")]);
        assert_eq!(s.duration("EMPTY", "45s"), Duration::from_secs(45));
        assert_eq!(s.text("MISSING", "x"), "x");
        assert_eq!(s.number("MISSING", 3_u32, 1..=9), 3);
        assert!(s.switch("MISSING", true));
        assert_eq!(s.check(), Ok(()));
    }

    #[test]
    fn every_bad_value_is_named_in_one_message() {
        let s = Settings::from_pairs([
            ("D", "45"),
            ("Z", "0s"),
            ("N", "12"),
            ("U", "ftp://x"),
            ("A", "localhost"),
            ("W", "maybe"),
        ]);
        s.duration("D", "1s");
        s.duration("Z", "1s");
        s.number("N", 3_u32, 1..=9);
        s.url("U", "http://127.0.0.1:1");
        s.address("A", SocketAddr::from(([127, 0, 0, 1], 8080)));
        s.switch("W", true);
        let text = s.check().expect_err("six bad values").to_string();
        for name in ["D=", "Z=", "N=", "U=", "A=", "W="] {
            assert!(text.contains(name), "{name} missing in {text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (given, shown) in [
            ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:s@cret@h/d", "postgres://u:***@h/d"),
            ("postgres://u:s/cret@h/d", "postgres://u:***@h/d"),
            ("nats://:secret@h", "nats://:***@h"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("sqlite://data/auth.db", "sqlite://data/auth.db"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(masked(given), shown);
        }
        let s = Settings::from_pairs([("DATABASE_URL", "mysql://u:secret@h/d")]);
        s.reject("DATABASE_URL", "must not be");
        assert!(!s.check().unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn a_secret_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://u:p@h/d\n").unwrap();
        let file = file.to_str().unwrap();
        let s = Settings::from_pairs([("DATABASE_URL_FILE", file)]);
        assert_eq!(s.secret("DATABASE_URL").as_deref(), Some("postgres://u:p@h/d"));
        assert_eq!(s.check(), Ok(()));
        let missing = Settings::from_pairs([("X_FILE", "/nowhere"), ("Y_FILE", file), ("Y", "1")]);
        assert_eq!((missing.secret("X"), missing.secret("Y")), (None, None));
        let text = missing.check().unwrap_err().to_string();
        assert!(text.contains("X_FILE") && text.contains("Y_FILE"), "{text}");
    }

    #[test]
    fn a_trailing_slash_of_a_base_url_is_cut() {
        let s = Settings::from_pairs([("U", "http://h:1/base/")]);
        assert_eq!(s.url("U", "http://x"), "http://h:1/base");
    }
}
