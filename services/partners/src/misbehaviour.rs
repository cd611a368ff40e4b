//! The ways in which a third party can let its caller down, and their one spelling for header and schedule.

use std::{fmt, str::FromStr, time::Duration};

/// What to do instead of a plain answer.
///
/// Spelled `latency=3s` (or `latency=200ms..2s`), `hang`, `error=503`, `wrong`, `withhold`, `refuse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Wait, then do the work and answer; a time between the two, drawn by seed.
    Latency(Duration, Duration),
    /// Take the request, do nothing, never answer.
    Hang,
    /// Do nothing and answer with this status, 400 to 599.
    Error(u16),
    /// Do the work and answer 200 with something that no one can understand.
    Wrong,
    /// Do the work and never answer.
    Withhold,
    /// Decline, reject, have nobody free: the third party's regular no.
    Refuse,
}

/// The longest latency that can be asked for.
const LONGEST: Duration = Duration::from_secs(600);

impl Misbehaviour {
    /// The name in logs, without the number.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency(..) => "latency",
            Self::Hang => "hang",
            Self::Error(_) => "error",
            Self::Wrong => "wrong",
            Self::Withhold => "withhold",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(from, to) if from == to => {
                write!(f, "latency={}", humantime::format_duration(*from))
            }
            Self::Latency(from, to) => {
                write!(
                    f,
                    "latency={}..{}",
                    humantime::format_duration(*from),
                    humantime::format_duration(*to)
                )
            }
            Self::Error(status) => write!(f, "error={status}"),
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Misbehaviour {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (name, value) = match s.trim().split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (s.trim(), None),
        };
        match (name, value) {
            ("hang", None) => Ok(Self::Hang),
            ("wrong", None) => Ok(Self::Wrong),
            ("withhold", None) => Ok(Self::Withhold),
            ("refuse", None) => Ok(Self::Refuse),
            ("error", Some(status)) => error(status),
            ("latency", Some(range)) => latency(range),
            _ => Err(format!(
                "`{s}` is no misbehaviour: use latency=3s, latency=200ms..2s, hang, error=503, wrong, withhold or refuse"
            )),
        }
    }
}

fn error(status: &str) -> Result<Misbehaviour, String> {
    match status.parse() {
        Ok(code @ 400..=599) => Ok(Misbehaviour::Error(code)),
        _ => Err(format!("`error={status}` needs a status from 400 to 599")),
    }
}

fn latency(range: &str) -> Result<Misbehaviour, String> {
    let (from, to) = range.split_once("..").unwrap_or((range, range));
    let (from, to) = (duration(from)?, duration(to)?);
    if from > to || to > LONGEST {
        return Err(format!("`latency={range}` needs a range that rises and ends at 10m at most"));
    }
    Ok(Misbehaviour::Latency(from, to))
}

/// A duration with its unit, such as `300ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|_| format!("`{text}` is no duration: write it with a unit, such as 300ms or 45s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_written_alike() {
        for text in ["latency=3s", "latency=200ms..2s", "hang", "error=503", "wrong", "withhold", "refuse"] {
            let read: Misbehaviour = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn a_spelling_that_makes_no_sense_is_refused_with_what_would() {
        for text in [
            "",
            "sulk",
            "hang=3",
            "error",
            "error=200",
            "error=x",
            "latency=3",
            "latency=2s..1s",
            "latency=1h",
        ] {
            assert!(text.parse::<Misbehaviour>().is_err(), "{text}");
        }
        assert!("latency=3".parse::<Misbehaviour>().unwrap_err().contains("300ms"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<Misbehaviour>();
        }
    }
}
