//! Every span is recorded and queued.

#[path = "layers/layers.rs"]
mod layers;

fn main() {
    layers::run("sampled", &[("OTEL_TRACES_SAMPLER", "always_on")]);
}
