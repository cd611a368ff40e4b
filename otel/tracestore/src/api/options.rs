//! How queries are answered.

use std::time::Duration;

use humantime::parse_duration;
use url::Url;

use crate::ui::UiOptions;

/// Where customers order when no setting says otherwise.
const FRONT_DOOR: &str = "http://127.0.0.1:8080";

/// How queries are answered.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Queries that may run at once; others wait. Default 8.
    pub concurrent_queries: usize,
    /// Longest time a query may wait and run; beyond it the reply is 503 or 504. Default 30 s.
    pub query_deadline: Duration,
    /// Largest `limit` of a search; a larger one is refused. Default 1,500.
    pub max_traces: usize,
    /// Largest clock skew between hosts that is corrected in a trace; zero, as in Jaeger, corrects none and warns.
    pub max_clock_skew: Duration,
    /// How the Jaeger UI is set up.
    pub ui: UiOptions,
}

// === impl ApiOptions ===

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            concurrent_queries: 8,
            query_deadline: Duration::from_secs(30),
            max_traces: 1_500,
            max_clock_skew: Duration::ZERO,
            ui: UiOptions::default(),
        }
    }
}

impl ApiOptions {
    /// Reads `MOBILE_APP_URL` (where the UI's menu leads, `http://127.0.0.1:8080`), `WAYBILL_TRACESTORE_BASE_PATH`
    /// (`/`), `WAYBILL_TRACESTORE_MAX_CLOCK_SKEW` (`0s`) and `WAYBILL_TRACESTORE_QUERY_DEADLINE` (`30s`). What cannot
    /// be used is added to `bad`.
    pub fn read(get: impl Fn(&str) -> Option<String>, bad: &mut Vec<String>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let mut options = Self::default();
        let door = get("MOBILE_APP_URL").unwrap_or_else(|| FRONT_DOOR.to_owned());
        match Url::parse(&door) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => options.ui = UiOptions::for_orders(&door),
            _ => bad.push(format!("MOBILE_APP_URL={door}: not an http or https URL")),
        }
        if let Some(path) = get("WAYBILL_TRACESTORE_BASE_PATH") {
            options.ui.base_path = path;
            if let Err(why) = options.ui.normal_base_path() {
                bad.push(format!("WAYBILL_TRACESTORE_BASE_PATH: {why}"));
            }
        }
        let mut duration = |name: &str, set: &mut Duration| {
            if let Some(value) = get(name) {
                match parse_duration(&value) {
                    Ok(read) => *set = read,
                    Err(why) => bad.push(format!("{name}={value}: {why}")),
                }
            }
        };
        duration("WAYBILL_TRACESTORE_MAX_CLOCK_SKEW", &mut options.max_clock_skew);
        duration("WAYBILL_TRACESTORE_QUERY_DEADLINE", &mut options.query_deadline);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (ApiOptions, Vec<String>) {
        let mut bad = Vec::new();
        let get =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        (ApiOptions::read(get, &mut bad), bad)
    }

    #[test]
    fn without_settings_the_menu_leads_to_the_front_door_of_this_machine() {
        let (options, bad) = read(&[("MOBILE_APP_URL", "")]);
        assert!(bad.is_empty());
        assert!(format!("{:?}", options.ui.menu).contains("http://127.0.0.1:8080/"));
        assert_eq!(
            (options.max_clock_skew, options.query_deadline),
            (Duration::ZERO, Duration::from_secs(30))
        );
    }

    #[test]
    fn every_setting_that_cannot_be_used_is_named() {
        let (_, bad) = read(&[
            ("MOBILE_APP_URL", "javascript:alert(1)"),
            ("WAYBILL_TRACESTORE_BASE_PATH", "/a b"),
            ("WAYBILL_TRACESTORE_MAX_CLOCK_SKEW", "soon"),
            ("WAYBILL_TRACESTORE_QUERY_DEADLINE", "5"),
        ]);
        let names: Vec<_> = bad.iter().map(|text| text.split(['=', ':']).next().unwrap()).collect();
        let expected = [
            "MOBILE_APP_URL",
            "WAYBILL_TRACESTORE_BASE_PATH",
            "WAYBILL_TRACESTORE_MAX_CLOCK_SKEW",
            "WAYBILL_TRACESTORE_QUERY_DEADLINE",
        ];
        assert_eq!(names, expected);
    }
}
