//! What a person sees: a delivered and a refunded order of real processes in the real Jaeger UI, in a real browser.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    customer::{Customer, PIZZA, SUSHI},
    harness::{Fleet, NOBODY_RIDES, run},
};

#[tokio::test]
async fn the_jaeger_ui_shows_orders_of_the_running_system() {
    let Some(chromium) = browser() else { return };
    let fleet = Fleet::with(&["--env", NOBODY_RIDES]).await;
    let customer = Customer::of(&fleet).await;
    let (good, bad) = (customer.order(SUSHI).await, customer.order(PIZZA).await);
    customer.until(&good.id, "delivered").await;
    customer.until(&bad.id, "refunded").await;
    // The last spans of both are on their way for the schedule delay of the services.
    for order in [&good, &bad] {
        let pushed = |trace: &journey::Trace| {
            let told =
                trace.spans.iter().any(|s| s.service == "notification" && s.name.starts_with("settle"));
            if told { Ok(()) } else { Err("the customer was not told yet".to_owned()) }
        };
        crate::customer::trace(&fleet, &order.trace_id, pushed).await;
    }

    let shots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ui-system");
    let mut script = Command::new("node");
    script.arg(folder().join("ui.mjs")).args([
        "--chromium",
        &chromium,
        "--base",
        &fleet.url("tracestore", "http"),
    ]);
    script.args(["--trace", &good.trace_id, "--order", &good.id]);
    script.args(["--failed-trace", &bad.trace_id, "--failed-order", &bad.id]);
    script.args(["--failed-service", "delivery-assignment"]).arg("--screenshots").arg(&shots);
    let ended = run(script).await;
    assert!(ended.status.success(), "screenshots: {}\n{}{}", shots.display(), ended.stdout, ended.stderr);
}

/// Where Chromium is; none, with a message, where this machine lacks it or its driver.
fn browser() -> Option<String> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let chromium = found.into_iter().find(|path| Path::new(path).exists());
    let driver = || folder().join("node_modules/playwright-core/package.json").exists();
    let install =
        || Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder()).output();
    if chromium.is_none() {
        eprintln!("SKIPPED: the browser test needs Chromium (Debian: apt-get install chromium)");
    } else if !driver() && !install().is_ok_and(|o| o.status.success()) {
        eprintln!(
            "SKIPPED: the browser test needs node and playwright-core (npm ci in tests/browser failed)"
        );
        return None;
    }
    chromium.map(str::to_owned)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}
