//! `OTEL_SDK_DISABLED=true`: context passes, nothing is made.

#[path = "layers/layers.rs"]
mod layers;

fn main() {
    layers::run("disabled", &[("OTEL_SDK_DISABLED", "true")]);
}
