//! Whatever someone writes into a route file.
#![no_main]

use journey::{Case, Route, judge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(route) = Route::parse(text) {
        let _ = judge(&Case::default(), &route, &[], 0);
    }
});
