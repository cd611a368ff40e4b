//! The sampler says no: spans have ids and nothing else.

#[path = "layers/layers.rs"]
mod layers;

fn main() {
    layers::run("unsampled", &[("OTEL_TRACES_SAMPLER", "always_off")]);
}
