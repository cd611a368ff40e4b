//! `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.

use super::reader::Reader;
use opentelemetry_sdk::trace::Sampler;

const NAME: &str = "OTEL_TRACES_SAMPLER";
const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

pub(super) fn read(r: &mut Reader<'_>) -> Sampler {
    let parent = |root| Sampler::ParentBased(Box::new(root));
    match r.env.get(NAME).map(str::to_ascii_lowercase).as_deref() {
        None | Some("parentbased_always_on") => parent(Sampler::AlwaysOn),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("parentbased_always_off") => parent(Sampler::AlwaysOff),
        Some("traceidratio") => Sampler::TraceIdRatioBased(ratio(r)),
        Some("parentbased_traceidratio") => parent(Sampler::TraceIdRatioBased(ratio(r))),
        Some(other) => {
            let known = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, \
                         parentbased_traceidratio";
            r.complain(NAME, format!("sampler `{other}` is not supported; known are {known}"));
            Sampler::AlwaysOn
        }
    }
}

fn ratio(r: &mut Reader<'_>) -> f64 {
    let Some(value) = r.env.get(ARG) else { return 1.0 };
    match value.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
        _ => {
            r.complain(ARG, format!("`{value}` is not a ratio between 0 and 1"));
            1.0
        }
    }
}
