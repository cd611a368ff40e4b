//! The stand-in's settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{Schedule, ScheduleError, misbehaviour::duration};

/// How the outside world is set up.
#[derive(Debug)]
pub struct Options {
    /// `WAYBILL_LISTEN`, default `127.0.0.1:8090`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `WAYBILL_DATA`, default `data`: the folder for `partners.db`.
    pub data: PathBuf,
    /// `WAYBILL_PARTNERS_SCHEDULE`: a file, or YAML or JSON itself; default none.
    pub schedule: Schedule,
    /// `WAYBILL_PARTNERS_SEED`, default 0: the same seed misbehaves alike.
    pub seed: u64,
    /// `WAYBILL_RIDE`, default `1500ms`: how long a ride takes.
    pub ride: Duration,
    /// `WAYBILL_PARTNERS_LOG_LIMIT`, default 200000: requests that the logs keep.
    pub log_limit: u32,
}

/// All settings that make no sense, in one message.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct OptionsError(Vec<String>);

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            data: PathBuf::from("data"),
            schedule: Schedule::default(),
            seed: 0,
            ride: Duration::from_millis(1500),
            log_limit: 200_000,
        }
    }
}

impl Options {
    /// Reads the settings through `get`, which is `std::env::var(..).ok()` in the binary; empty means unset.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, OptionsError> {
        let mut problems = Vec::new();
        let mut options = Self::default();
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let mut note = |name: &str, reason: String| problems.push(format!("{name}: {reason}"));
        if let Some(value) = get("WAYBILL_LISTEN") {
            match value.parse() {
                Ok(listen) => options.listen = listen,
                Err(_) => note("WAYBILL_LISTEN", format!("`{value}` is no address: use 127.0.0.1:8090")),
            }
        }
        if let Some(value) = get("WAYBILL_DATA") {
            options.data = value.into();
        }
        if let Some(value) = get("WAYBILL_PARTNERS_SCHEDULE") {
            match Schedule::load(&value) {
                Ok(schedule) => options.schedule = schedule,
                Err(
                    error @ (ScheduleError::File { .. }
                    | ScheduleError::Shape(_)
                    | ScheduleError::Rule { .. }),
                ) => {
                    note("WAYBILL_PARTNERS_SCHEDULE", error.to_string());
                }
            }
        }
        if let Some(value) = get("WAYBILL_PARTNERS_SEED") {
            match value.parse() {
                Ok(seed) => options.seed = seed,
                Err(_) => note("WAYBILL_PARTNERS_SEED", format!("`{value}` is no whole number from 0 up")),
            }
        }
        if let Some(value) = get("WAYBILL_RIDE") {
            match duration(&value) {
                Ok(ride) if ride <= Duration::from_secs(86_400) => options.ride = ride,
                Ok(_) => note("WAYBILL_RIDE", format!("`{value}` is longer than a day")),
                Err(reason) => note("WAYBILL_RIDE", reason),
            }
        }
        if let Some(value) = get("WAYBILL_PARTNERS_LOG_LIMIT") {
            match value.parse() {
                Ok(limit @ 1..) => options.log_limit = limit,
                _ => note("WAYBILL_PARTNERS_LOG_LIMIT", format!("`{value}` is no whole number from 1 up")),
            }
        }
        if problems.is_empty() { Ok(options) } else { Err(OptionsError(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_settings_are_named_at_once() {
        let error = Options::read(|name| Some(format!("bad {name}"))).unwrap_err().to_string();
        for name in ["LISTEN", "PARTNERS_SCHEDULE", "PARTNERS_SEED", "RIDE", "PARTNERS_LOG_LIMIT"] {
            assert!(error.contains(&format!("WAYBILL_{name}: ")), "{name} in {error}");
        }
    }

    #[test]
    fn nothing_set_and_empty_values_give_the_defaults() {
        let options = Options::read(|_| Some(String::new())).unwrap();
        assert_eq!(options.listen.port(), 8090);
        assert_eq!(options.ride, Duration::from_millis(1500));
    }
}
