//! A full disk: a real one, a small tmpfs in a mount namespace of its own.

use crate::requests::{one, span, text, trace_id};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tracestore::{Store, StoreError, StoreOptions};

const CHILD: &str = "TRACESTORE_TEST_FULL_DISK";
const NAME: &str = "full::a_full_disk_refuses_requests_loses_nothing_and_heals_without_a_restart";

#[test]
fn a_full_disk_refuses_requests_loses_nothing_and_heals_without_a_restart() {
    if let Ok(dir) = std::env::var(CHILD) {
        return on_a_small_disk(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = |then: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o size=6m none \"${CHILD}\" && {then}"));
        command.env(CHILD, dir.path());
        command
    };
    if !mount("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: this machine does not let us mount a tmpfs in a namespace");
        return;
    }
    let exe = std::env::current_exe().unwrap();
    let outcome = mount(&format!("exec '{}' --exact {NAME} --nocapture", exe.display())).output().unwrap();
    assert!(
        outcome.status.success(),
        "{}{}",
        String::from_utf8_lossy(&outcome.stdout),
        String::from_utf8_lossy(&outcome.stderr)
    );
}

fn on_a_small_disk(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![7; 3 << 20]).unwrap();
    let options = StoreOptions {
        head_bytes: 1 << 20,
        patience: Duration::from_millis(200),
        ..StoreOptions::new(dir.join("store"))
    };
    let store = Store::open(options.clone()).unwrap();
    let mut kept = Vec::new();
    let refusal = runtime.block_on(async {
        for n in 1.. {
            match store.append_spans(incompressible(n)).await {
                Ok(_) => kept.push(n),
                Err(error) => return error,
            }
        }
        unreachable!("the disk has an end")
    });
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal}");
    assert!(kept.len() > 10);
    all_there(&store, &kept);
    std::fs::remove_file(&ballast).unwrap();
    let next = u64::try_from(kept.len()).unwrap() + 100;
    let until = Instant::now() + Duration::from_secs(20);
    // Sealing has to notice first that there is room again.
    while let Err(error) = runtime.block_on(store.append_spans(incompressible(next))) {
        assert!(Instant::now() < until, "it does not heal: {error}");
    }
    kept.push(next);
    all_there(&store, &kept);
    store.close();
    all_there(&Store::open(options).unwrap(), &kept);
}

fn all_there(store: &Store, kept: &[u64]) {
    let lost: Vec<u64> =
        kept.iter().copied().filter(|n| store.trace(trace_id(u128::from(*n))).unwrap().is_none()).collect();
    assert_eq!(lost, Vec::<u64>::new());
}

/// A request of some 60 kB that no compression makes smaller.
fn incompressible(n: u64) -> bytes::Bytes {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise: String = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    })
    .take(60_000)
    .collect();
    let mut sent = span(u128::from(n), 1, "noise", n);
    sent.attributes.push(text("noise", &noise));
    one("auth", sent)
}
