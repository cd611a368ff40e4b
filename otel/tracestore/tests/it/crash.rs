//! A real process that takes spans is killed again and again; what it acknowledged must be there.

use crate::requests::{one, span, spans_of, trace_id};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tracestore::{Store, StoreOptions};

const CHILD: &str = "TRACESTORE_TEST_INGEST";
const ROUNDS: u64 = 20;

fn options(dir: &Path) -> StoreOptions {
    // A head is full after some fifty requests: logs are turned, sealed and merged all the time.
    StoreOptions { head_bytes: 40_000, ..StoreOptions::new(dir) }
}

#[test]
fn no_acknowledged_span_is_lost_in_twenty_kills_in_the_middle_of_writing_sealing_and_merging() {
    if let Ok(arguments) = std::env::var(CHILD) {
        let (round, dir) = arguments.split_once(' ').unwrap();
        ingest(Path::new(dir), round.parse().unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 0..ROUNDS {
        acknowledged.extend(ingest_until_killed(dir.path(), round));
    }
    let store = Store::open(options(dir.path())).unwrap();
    let stats = store.stats();
    assert!(acknowledged.len() > 1_000, "only {} spans were acknowledged", acknowledged.len());
    assert!(stats.segments > 1, "nothing was sealed: {stats:?}");
    assert_eq!(stats.set_aside, 0, "a kill damages nothing that was whole");
    let lost: Vec<u64> = acknowledged
        .iter()
        .copied()
        .filter(|n| {
            store.trace(trace_id(u128::from(*n))).unwrap().is_none_or(|trace| spans_of(&trace).len() != 1)
        })
        .collect();
    assert_eq!(lost, Vec::<u64>::new(), "of {}", acknowledged.len());
}

/// The numbers of the traces that were acknowledged before the kill.
fn ingest_until_killed(dir: &Path, round: u64) -> Vec<u64> {
    let mut child = start(dir, round);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    // Different moments: right after the start, in the middle of it, after some segments.
    let until = Duration::from_millis(20 + 37 * (round * 7 % 20));
    let mut first = None;
    for line in lines.by_ref() {
        // The test harness prints lines of its own.
        let Some(n) = line.unwrap().rsplit(' ').next().and_then(|n| n.parse().ok()) else { continue };
        acknowledged.push(n);
        if first.get_or_insert_with(Instant::now).elapsed() > until {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had written to the pipe before it died was acknowledged too; the last line may be cut.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let whole = rest.len().saturating_sub(1);
    acknowledged.extend(
        rest.iter().take(whole).filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok()),
    );
    acknowledged
}

fn start(dir: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg("crash::no_acknowledged_span_is_lost_in_twenty_kills_in_the_middle_of_writing_sealing_and_merging")
        .env(CHILD, format!("{round} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Takes spans from eight clients until it is killed, and says which ones it has taken.
fn ingest(dir: &Path, round: u64) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::open(options(dir)).unwrap();
    let client = |client: u64| {
        let store = store.clone();
        async move {
            for n in 0.. {
                let number = round * 100_000_000 + client * 1_000_000 + n + 1;
                let name = format!("GET /orders/{}", number * 7919);
                store.append_spans(one("auth", span(u128::from(number), 1, &name, number))).await.unwrap();
                let mut out = std::io::stdout().lock();
                out.write_all(format!("acknowledged {number}\n").as_bytes()).unwrap();
                out.flush().unwrap();
            }
        }
    };
    runtime.block_on(async { futures::future::join_all((0..8).map(client)).await });
    unreachable!("it takes spans until it is killed")
}
