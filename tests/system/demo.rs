//! `waybill demo`, as `make demo` runs it.

use crate::harness::{Ended, run, waybill};

async fn demo(data: &std::path::Path) -> Ended {
    let mut command = waybill(["demo", "--once", "--ports", "auto", "--data"]);
    command.arg(data);
    run(command).await
}

#[tokio::test]
async fn the_tale_is_read_back_from_the_store_and_a_second_run_still_finds_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = demo(folder.path()).await;
    assert_eq!(first.status.code(), Some(0), "{}{}", first.stdout, first.stderr);
    let lines: Vec<_> = first.stdout.lines().collect();
    let stamped = |stamps: &str, end: &str| {
        lines.iter().filter(|l| l.starts_with(stamps) && l.ends_with(&format!("→ {end}"))).count()
    };
    assert_eq!(stamped("✅✅✅✅✅✅✅✅  ", "delivered"), 3, "{}", first.stdout);
    assert_eq!(stamped("✅✅✅✅✅⚠️✗✗  ", "lost"), 1, "{}", first.stdout);
    assert_eq!(stamped("✅✅✅✅✅⚠️✗✗  ", "refunded"), 1, "{}", first.stdout);
    let has = |text: &str| lines.iter().any(|l| l.contains(text));
    assert!(has("$200.00 charged, nothing refunded") && has("$200.00 charged, $200.00 refunded"));
    assert!(has("stopped at delivery assignment: no courier answered within 3 s; "), "{}", first.stdout);
    assert!(has("↩ refund: ✅ refunded  ✅ customer told") && has("the customer was told: nothing"));
    assert_eq!(lines.iter().filter(|l| l.contains("/trace/")).count(), 5);
    assert!(!has("from an earlier run"));
    let second = demo(folder.path()).await;
    assert_eq!(second.status.code(), Some(0), "{}{}", second.stdout, second.stderr);
    assert!(second.stdout.contains("still there from an earlier run: http://"), "{}", second.stdout);
}
