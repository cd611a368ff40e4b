//! OTLP names to Prometheus names, as the OpenTelemetry specification's "Prometheus and OpenMetrics Compatibility" has
//! it and the official exporter's translator does it (underscore escaping, with suffixes).

use super::series::Kind;

/// Units of UCUM that have a word in Prometheus.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// Units that something is counted per.
const PER: &[(&str, &str)] = &[
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a metric. `suffixes`: unit and type are told in it.
pub(super) fn metric(namespace: &str, name: &str, unit: &str, kind: Kind, suffixes: bool) -> String {
    let mut tokens = words(name);
    if suffixes {
        let (of, per) = unit.split_once('/').unwrap_or((unit, ""));
        push_new(&mut tokens, word(of.trim(), UNITS));
        if let Some(per) = Some(word(per.trim(), PER)).filter(|per| !per.is_empty())
            && !tokens.contains(&per)
        {
            tokens.extend(["per".to_owned(), per]);
        }
        // The type's suffix is the last, wherever the name had it.
        if kind == Kind::Counter {
            tokens.retain(|token| token != "total");
            tokens.push("total".into());
        }
        if kind == Kind::Gauge && unit == "1" {
            tokens.retain(|token| token != "ratio");
            tokens.push("ratio".into());
        }
    }
    let mut full = tokens.join("_");
    if !namespace.is_empty() {
        full = format!("{}_{full}", words(namespace).join("_"));
    }
    if full.starts_with(|c: char| c.is_ascii_digit()) { format!("_{full}") } else { full }
}

/// The name of a label.
pub(super) fn label(key: &str) -> String {
    let clean: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{clean}")
    } else if clean.starts_with('_') && !clean.starts_with("__") {
        format!("key{clean}")
    } else {
        clean
    }
}

fn words(name: &str) -> Vec<String> {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':');
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn push_new(tokens: &mut Vec<String>, token: String) {
    if !token.is_empty() && !tokens.contains(&token) {
        tokens.push(token);
    }
}

/// A unit as Prometheus spells it; annotations in braces are no unit.
fn word(unit: &str, known: &[(&str, &str)]) -> String {
    if unit.is_empty() || unit.contains(['{', '}']) {
        return String::new();
    }
    match known.iter().find(|(short, _)| *short == unit) {
        Some((_, long)) => (*long).to_owned(),
        None => words(unit).join("_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_units_and_suffixes_follow_the_specification() {
        let cases = [
            ("http.server.request.duration", "s", Kind::Histogram, "http_server_request_duration_seconds"),
            ("orders.placed", "{order}", Kind::Counter, "orders_placed_total"),
            ("system.io", "By", Kind::Counter, "system_io_bytes_total"),
            ("system.filesystem.usage", "By", Kind::Gauge, "system_filesystem_usage_bytes"),
            ("memory.utilization", "1", Kind::Gauge, "memory_utilization_ratio"),
            ("speed", "m/s", Kind::Gauge, "speed_meters_per_second"),
            ("network.bytes", "By", Kind::Counter, "network_bytes_total"),
            ("a..b--c", "", Kind::Gauge, "a_b_c"),
            ("5xx", "", Kind::Gauge, "_5xx"),
            ("total.requests", "", Kind::Counter, "requests_total"),
            ("queue.size", "{request}/s", Kind::Gauge, "queue_size_per_second"),
        ];
        for (name, unit, kind, expected) in cases {
            assert_eq!(metric("", name, unit, kind, true), expected);
        }
        assert_eq!(metric("way.bill", "x", "s", Kind::Counter, true), "way_bill_x_seconds_total");
        assert_eq!(metric("", "http.duration", "s", Kind::Counter, false), "http_duration");
    }

    #[test]
    fn labels_are_made_valid() {
        let cases = [
            ("order.id", "order_id"),
            ("1st", "key_1st"),
            ("_x", "key_x"),
            ("__name", "__name"),
            ("é", "key_"),
        ];
        for (key, expected) in cases {
            assert_eq!(label(key), expected);
        }
    }
}
