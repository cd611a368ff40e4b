//! What each part is told through its environment: where the others are, where its files go, its own `OTEL_*`.

use std::{collections::BTreeMap, fs, path::PathBuf, str::FromStr};

use anyhow::Context;

use super::{
    parts::{Kind, PARTS, Part},
    plan::Plan,
};
use crate::failure::Usage;

/// Settings of one process.
pub(crate) type Environment = BTreeMap<String, String>;

/// One setting for one part, from `--env PART:KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    /// The part's name.
    pub(crate) part: String,
    /// The variable.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
}

// === impl Override ===

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not PART:KEY=VALUE, such as auth:OTEL_TRACES_SAMPLER=always_off");
        let (part, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (key, value) = rest.split_once('=').ok_or_else(wrong)?;
        if part.is_empty() || !is_name(key) {
            return Err(wrong());
        }
        Ok(Self { part: part.to_owned(), key: key.to_owned(), value: value.to_owned() })
    }
}

/// The variable that tells callers where service `name` is: `auth` → `AUTH_URL`.
pub(crate) fn service_key(name: &str) -> String {
    format!("{}_URL", name.to_uppercase().replace('-', "_"))
}

/// The settings of `part`: the fleet's wiring, over it the part's `otel.env`, over that what the caller gave.
///
/// # Errors
/// [`Usage`] for a line of an `otel.env` that is no setting, naming file and line.
pub(crate) fn of(part: &'static Part, plan: &Plan) -> anyhow::Result<Environment> {
    let mut env = match part.kind {
        Kind::Service => service(part, plan)?,
        Kind::Partners => partners(part, plan),
        Kind::Collector => collector(plan),
        Kind::TraceStore => trace_store(plan),
    };
    for o in plan.options.overrides.iter().filter(|o| o.part == part.name) {
        env.insert(o.key.clone(), o.value.clone());
    }
    Ok(env)
}

fn service(part: &'static Part, plan: &Plan) -> anyhow::Result<Environment> {
    let mut env = Environment::new();
    let database = plan.folder(&format!("{}.db", part.name));
    env.insert("WAYBILL_LISTEN".into(), listen(plan.port(part.name, "http")));
    env.insert("DATABASE_URL".into(), format!("sqlite://{}", Plan::text(&database)));
    for other in PARTS.iter().filter(|p| p.kind == Kind::Service) {
        env.insert(service_key(other.name), plan.url(other.name, "http"));
    }
    for third_party in ["card-network", "restaurant-pos", "courier-fleet", "push-provider"] {
        let url = format!("{}/{third_party}", plan.url("partners", "http"));
        env.insert(service_key(third_party), url);
    }
    env.insert("WAYBILL_JAEGER_URL".into(), plan.url("tracestore", "http"));
    telemetry(&mut env, plan);
    env.extend(otel_env(part.name, plan)?);
    Ok(env)
}

fn partners(part: &'static Part, plan: &Plan) -> Environment {
    let mut env = Environment::new();
    env.insert("WAYBILL_LISTEN".into(), listen(plan.port(part.name, "http")));
    env.insert("WAYBILL_DATA".into(), Plan::text(&plan.folder("partners")));
    env
}

fn collector(plan: &Plan) -> Environment {
    let mut env = Environment::new();
    let address = |role| listen(plan.port("collector", role));
    env.insert("WAYBILL_COLLECTOR_GRPC".into(), address("otlp-grpc"));
    env.insert("WAYBILL_COLLECTOR_HTTP".into(), address("otlp-http"));
    env.insert("WAYBILL_COLLECTOR_HEALTH".into(), address("health"));
    env.insert("WAYBILL_COLLECTOR_METRICS_PORT".into(), plan.port("collector", "metrics").to_string());
    env.insert("WAYBILL_COLLECTOR_PROMETHEUS".into(), address("prometheus"));
    env.insert("WAYBILL_TRACESTORE_OTLP".into(), listen(plan.port("tracestore", "otlp")));
    env.insert("WAYBILL_DATA".into(), Plan::text(&plan.folder("collector")));
    env
}

fn trace_store(plan: &Plan) -> Environment {
    let mut env = Environment::new();
    env.insert("WAYBILL_TRACESTORE_OTLP".into(), listen(plan.port("tracestore", "otlp")));
    env.insert("WAYBILL_TRACESTORE_HTTP".into(), listen(plan.port("tracestore", "http")));
    env.insert("WAYBILL_DATA".into(), Plan::text(&plan.folder("tracestore")));
    env.insert("MOBILE_APP_URL".into(), plan.url("mobile-app", "http"));
    env.insert(service_key("mobile-app"), plan.url("mobile-app", "http"));
    env
}

/// Without a collector in the fleet the caller's own `OTEL_EXPORTER_OTLP_ENDPOINT` stands.
fn telemetry(env: &mut Environment, plan: &Plan) {
    if plan.runs("collector") {
        env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), plan.url("collector", "otlp-http"));
    }
}

fn listen(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Where `service` keeps its `OTEL_*` settings: `--otel-env-dir`, else the checkout that `waybill` is started in,
/// else what was there when this binary was built.
fn otel_env(service: &str, plan: &Plan) -> anyhow::Result<Environment> {
    let folder = plan.options.otel_env_dir.clone().unwrap_or_else(|| PathBuf::from("services"));
    let path = folder.join(service).join("otel.env");
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path.display().to_string()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            parse(embedded(service), &format!("built-in otel.env of {service}"))
        }
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}

/// The service's file as it was when this binary was built.
fn embedded(service: &str) -> &'static str {
    match service {
        "mobile-app" => include_str!("../../services/mobile-app/otel.env"),
        "auth" => include_str!("../../services/auth/otel.env"),
        "restaurant-availability" => include_str!("../../services/restaurant-availability/otel.env"),
        "payment-gateway" => include_str!("../../services/payment-gateway/otel.env"),
        "restaurant-orders" => include_str!("../../services/restaurant-orders/otel.env"),
        "delivery-assignment" => include_str!("../../services/delivery-assignment/otel.env"),
        "tracking" => include_str!("../../services/tracking/otel.env"),
        "notification" => include_str!("../../services/notification/otel.env"),
        _ => "",
    }
}

/// `KEY=VALUE` lines; `#` begins a comment line; quotes around a value are taken off; `export ` is allowed.
fn parse(text: &str, file: &str) -> anyhow::Result<Environment> {
    let mut env = Environment::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let setting = line.split_once('=').filter(|(key, _)| is_name(key.trim_end()));
        let Some((key, value)) = setting else {
            return Err(Usage(format!("{file}:{}: {line:?} is not KEY=VALUE", number + 1)).into());
        };
        env.insert(key.trim_end().to_owned(), unquote(value.trim()).to_owned());
    }
    Ok(env)
}

fn unquote(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

fn is_name(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_otel_env_file_may_hold_comments_quotes_and_exports() {
        let env = parse("# why\n\nexport A=1\nB = \"two words\"\nC='x=y'\nD=\n", "f").unwrap();
        let flat: Vec<_> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(flat, ["A=1", "B=two words", "C=x=y", "D="]);
    }

    #[test]
    fn a_line_that_is_no_setting_is_named_by_file_and_line() {
        let error = parse("A=1\nOTEL SERVICE=2\n", "services/auth/otel.env").unwrap_err();
        assert!(error.to_string().starts_with("services/auth/otel.env:2:"), "{error}");
    }

    #[test]
    fn an_override_names_part_key_and_value() {
        let o: Override = "auth:OTEL_RESOURCE_ATTRIBUTES=a=b,c=d".parse().unwrap();
        assert_eq!((o.part.as_str(), o.value.as_str()), ("auth", "a=b,c=d"));
        assert!("auth".parse::<Override>().is_err());
        assert!("auth:=x".parse::<Override>().is_err());
    }

    #[test]
    fn callers_find_a_service_by_its_upper_case_name() {
        assert_eq!(service_key("restaurant-availability"), "RESTAURANT_AVAILABILITY_URL");
    }
}
