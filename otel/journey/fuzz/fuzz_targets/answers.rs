//! Whatever a trace store answers: both readers, then a verdict and a check-up on what they read.
#![no_main]

use std::sync::LazyLock;

use journey::{Case, Route, adapters, health, judge, sentence};
use libfuzzer_sys::fuzz_target;

static ROUTE: LazyLock<Route> = LazyLock::new(|| {
    Route::parse(include_str!("../../examples/parcel.yaml")).expect("the example is a route")
});

fuzz_target!(|body: &[u8]| {
    for read in [adapters::jaeger::parse(body), adapters::otlp::parse(body)] {
        let Ok(traces) = read else { continue };
        let _ = health(&traces, &ROUTE, u64::MAX / 2);
        for case in Case::split(traces, &ROUTE) {
            let verdict = judge(&case, &ROUTE, &[], u64::MAX / 2);
            let _ = sentence(&verdict, &ROUTE, "Parcel");
        }
    }
});
