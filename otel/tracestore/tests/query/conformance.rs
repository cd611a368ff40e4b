//! The same spans and the same questions to a real Jaeger and to this API.
//!
//! Runs where `JAEGER_QUERY` (such as `127.0.0.1:16686`) and `JAEGER_OTLP` (its OTLP/HTTP receiver, such as
//! `127.0.0.1:4318`) name an empty Jaeger 2 with memory storage and no batch processor, as `make conformance` starts it.
//! Each test wants a Jaeger of its own.

mod compare;
mod corpus;
mod edges;
mod generated;
mod listed;
mod peer;
mod question;
mod values;

use peer::{Both, recently};

use crate::order::order;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_jaeger_gives_the_same_answers() {
    let Some(both) = Both::from_env().await else { return };
    let start = recently();
    // One after another: Jaeger's memory storage finds first what was added last, this store what began last.
    for spans in
        [edges::odd(start), order(0xabc, "o-1", start, false), order(0xdef, "o-2", start + 1_000_000, true)]
    {
        both.send(spans).await;
    }
    let mut differences = Vec::new();
    for target in edges::questions(start) {
        let found = both.differences(&target).await;
        if !found.is_empty() {
            let texts: Vec<String> = found.into_iter().map(|difference| difference.text).collect();
            differences.push(format!("{target}\n    {}", texts.join("\n    ")));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
