//! Which `OTEL_*` settings are in force in this process, and which of them are odd: allowed, and rarely what is wanted.

use crate::env::Env;

/// A variable and its value, secrets taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InForce {
    /// The variable.
    pub name: String,
    /// Its value; of headers only the names.
    pub value: String,
    /// Whether it was set; otherwise it is the default.
    pub set: bool,
}

/// A setting that costs telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oddity {
    /// The variable.
    pub name: String,
    /// What comes of its value, in plain words.
    pub says: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Defaults worth naming even where nobody set them (OpenTelemetry specification, "Environment Variable Specification";
/// the endpoint: "OTLP Exporter Configuration").
const DEFAULTS: &[(&str, &str)] = &[
    ("OTEL_SDK_DISABLED", "false"),
    ("OTEL_PROPAGATORS", "tracecontext,baggage"),
    ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
    ("OTEL_TRACES_EXPORTER", "otlp"),
    ("OTEL_METRICS_EXPORTER", "otlp"),
    ("OTEL_LOGS_EXPORTER", "otlp"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
    ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "2048"),
];

/// Variables that are read. `{S}` stands for nothing, `_TRACES`, `_METRICS` and `_LOGS`.
const KNOWN: &[&str] = &[
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_PROPAGATORS",
    "OTEL_LOG_LEVEL",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT",
    "OTEL_METRICS_EXEMPLAR_FILTER",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_EXPORTER_OTLP{S}_ENDPOINT",
    "OTEL_EXPORTER_OTLP{S}_PROTOCOL",
    "OTEL_EXPORTER_OTLP{S}_HEADERS",
    "OTEL_EXPORTER_OTLP{S}_TIMEOUT",
    "OTEL_EXPORTER_OTLP{S}_COMPRESSION",
    "OTEL_EXPORTER_OTLP{S}_INSECURE",
    "OTEL_EXPORTER_OTLP{S}_CERTIFICATE",
    "OTEL_EXPORTER_OTLP{S}_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP{S}_CLIENT_CERTIFICATE",
];

/// Beginnings of families that are read as a whole.
const FAMILIES: &[&str] = &[
    "OTEL_BSP_",
    "OTEL_BLRP_",
    "OTEL_ATTRIBUTE_",
    "OTEL_SPAN_",
    "OTEL_EVENT_",
    "OTEL_LINK_",
    "OTEL_LOGRECORD_",
];

/// The settings of `env`, those that were set first, each by name.
#[must_use]
pub fn in_force(env: &Env) -> Vec<InForce> {
    let set = env.iter().filter(|(name, _)| name.starts_with("OTEL_"));
    let mut all: Vec<_> = set
        .map(|(name, value)| InForce { name: name.to_owned(), value: redacted(name, value), set: true })
        .collect();
    for (name, value) in DEFAULTS {
        if env.get(name).is_none() {
            all.push(InForce { name: (*name).to_owned(), value: (*value).to_owned(), set: false });
        }
    }
    all
}

/// What is odd about the settings of `env` in the process of `service`.
#[must_use]
pub fn oddities(env: &Env, service: &str) -> Vec<Oddity> {
    let mut all = Vec::new();
    let mut odd = |name: &str, says: String, remedy: &'static str| {
        all.push(Oddity { name: name.to_owned(), says, remedy });
    };
    if env.get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        odd("OTEL_SDK_DISABLED", "no spans, metrics or logs are made".into(), "unset it");
    }
    if env.get("OTEL_TRACES_EXPORTER").is_some_and(|v| !v.split(',').any(|e| e.trim() == "otlp")) {
        let says = "its spans never leave the process: traces have a hole where it worked".into();
        odd("OTEL_TRACES_EXPORTER", says, "set it to otlp, or unset it");
    }
    if let Some(list) = env.get("OTEL_PROPAGATORS") {
        let names = |wanted: &str| list.split(',').any(|p| p.trim() == wanted);
        if !names("tracecontext") {
            let says = "neither reads nor sends traceparent: an order's trace breaks here".into();
            odd("OTEL_PROPAGATORS", says, "let it name tracecontext,baggage");
        } else if !names("baggage") {
            let says = "neither reads nor sends baggage: spans behind it may lack order.id".into();
            odd("OTEL_PROPAGATORS", says, "let it name tracecontext,baggage");
        }
    }
    if let Some(says) = sampler(env) {
        odd(
            "OTEL_TRACES_SAMPLER",
            says,
            "use parentbased_always_on, and thin traces in the collector's tail_sampling",
        );
    }
    if let Some(name) = env.get("OTEL_SERVICE_NAME").filter(|name| *name != service) {
        let says = format!("its spans go by the name of {name}, which no route of {service} recognises");
        odd("OTEL_SERVICE_NAME", says, "set it to the service's own name");
    }
    if number(env, "OTEL_BSP_SCHEDULE_DELAY").is_some_and(|ms| ms > 5_000) {
        let says =
            "spans leave late: what is under way is shown late, and a kill takes more of them along".into();
        odd("OTEL_BSP_SCHEDULE_DELAY", says, "set it to 500");
    }
    if number(env, "OTEL_BSP_MAX_QUEUE_SIZE").is_some_and(|n| n < 2_048) {
        let says = "a burst of spans overflows the queue, and what overflows is dropped".into();
        odd("OTEL_BSP_MAX_QUEUE_SIZE", says, "set it to 65536");
    }
    for name in ["OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"] {
        if number(env, name).is_some_and(|n| n < 32) {
            odd(name, "spans lose attributes, order.id among them".into(), "leave it at 128");
        }
    }
    for name in ["OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"] {
        if number(env, name).is_some_and(|n| n < 64) {
            odd(name, "ids in attributes are cut short and are no longer found".into(), "unset it");
        }
    }
    if env.get("OTEL_METRICS_EXPORTER") == Some("none") {
        let says = "its drop counters are not exported: Prometheus cannot show that it loses spans".into();
        odd("OTEL_METRICS_EXPORTER", says, "set it to otlp, or unset it");
    }
    for (name, _) in env.iter().filter(|(name, _)| name.starts_with("OTEL_") && !known(name)) {
        odd(name, "nothing reads this variable; its name may be misspelt".into(), "correct or remove it");
    }
    all
}

fn sampler(env: &Env) -> Option<String> {
    let kind = env.get("OTEL_TRACES_SAMPLER")?;
    let part = env.get("OTEL_TRACES_SAMPLER_ARG").and_then(|a| a.parse::<f64>().ok()).unwrap_or(1.0);
    match kind {
        "always_off" => Some("records no span at all".to_owned()),
        "parentbased_always_off" => Some("records no trace that begins here".to_owned()),
        "traceidratio" if part < 1.0 => {
            Some(format!("records {part} of the spans whatever its caller decided: traces have holes"))
        }
        "parentbased_traceidratio" if part < 1.0 => Some(format!(
            "records {part} of the traces that begin here; a lost order may be among the others"
        )),
        _ => None,
    }
}

fn number(env: &Env, name: &str) -> Option<u64> {
    env.get(name)?.parse().ok()
}

fn known(name: &str) -> bool {
    FAMILIES.iter().any(|family| name.starts_with(family))
        || KNOWN.iter().any(|known| match known.split_once("{S}") {
            None => *known == name,
            Some((head, tail)) => {
                ["", "_TRACES", "_METRICS", "_LOGS"].iter().any(|s| format!("{head}{s}{tail}") == name)
            }
        })
}

/// Header values are credentials more often than not, and a URL may hold some.
fn redacted(name: &str, value: &str) -> String {
    if name.ends_with("_HEADERS") {
        let names = value.split(',').map(|pair| pair.split('=').next().unwrap_or_default().trim());
        return names.map(|name| format!("{name}=***")).collect::<Vec<_>>().join(",");
    }
    match (value.find("://"), value.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}***{}", &value[..scheme + 3], &value[at..]),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(pairs: &[(&str, &str)]) -> Vec<String> {
        let env = Env::from_iter(pairs.iter().copied());
        oddities(&env, "auth").into_iter().map(|o| o.name).collect()
    }

    #[test]
    fn usual_settings_are_not_odd() {
        let usual = [
            ("OTEL_SERVICE_NAME", "auth"),
            ("OTEL_BSP_SCHEDULE_DELAY", "500"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65536"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.0"),
            ("RUST_LOG", "debug"),
        ];
        assert_eq!(odd(&usual), Vec::<String>::new());
        assert_eq!(odd(&[]), Vec::<String>::new());
    }

    #[test]
    fn what_costs_telemetry_is_odd() {
        for (name, value) in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_TRACES_EXPORTER", "console"),
            ("OTEL_PROPAGATORS", "none"),
            ("OTEL_PROPAGATORS", "tracecontext"),
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_SERVICE_NAME", "auht"),
            ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "4"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "8"),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_TRACE_SAMPLER", "always_on"),
        ] {
            assert_eq!(odd(&[(name, value)]), [name], "{value}");
        }
        assert_eq!(
            odd(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")]).len(),
            1
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let env = Env::from_iter([
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer s3cret,x-team=blue"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://ada:s3cret@collector:4318"),
        ]);
        let all = in_force(&env);
        assert!(all.iter().all(|s| !s.value.contains("s3cret")), "{all:?}");
        let headers = all.iter().find(|s| s.name.ends_with("_HEADERS")).map(|s| s.value.as_str());
        assert_eq!(headers, Some("authorization=***,x-team=***"));
        assert!(all.iter().any(|s| s.name == "OTEL_PROPAGATORS" && !s.set));
    }
}
