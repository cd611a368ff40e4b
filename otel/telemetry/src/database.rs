//! Database statements: a client span for each that failed or took long, none for the many that are quick.
//!
//! An order runs through dozens of statements of a tenth of a millisecond each; as spans they would be two thirds of its
//! waterfall and of its cost. What a reader looks for is the slow one and the failed one.

use crate::active;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

/// What is asked of which database (semantic conventions, database client spans).
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// `db.system.name`, such as `sqlite`.
    pub system: &'static str,
    /// `db.query.summary`, operation and table, such as `INSERT orders`: the span's name.
    pub summary: &'static str,
    /// A quicker statement that succeeds has no span.
    pub from: Duration,
}

/// Runs the statement. `failure` tells an error's `error.type` and its text for the span's status.
pub async fn traced<T, E>(
    statement: Statement,
    work: impl Future<Output = Result<T, E>>,
    failure: impl FnOnce(&E) -> (String, String),
) -> Result<T, E> {
    // The span is made afterwards and backdated: until then nobody knows whether it is worth one.
    let (started, clock) = (SystemTime::now(), Instant::now());
    let out = work.await;
    let took = clock.elapsed();
    if (out.is_err() || took >= statement.from) && active::tracer().is_some() {
        let builder = builder(statement, started);
        let cx = active::start(builder, &Context::current());
        let span = cx.span();
        if let Err(e) = &out {
            let (kind, description) = failure(e);
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, kind));
            span.set_status(Status::error(description));
        }
        span.end_with_timestamp(started + took);
    }
    out
}

fn builder(statement: Statement, started: SystemTime) -> SpanBuilder {
    let (operation, table) = statement.summary.split_once(' ').unwrap_or((statement.summary, ""));
    let mut attributes = vec![
        KeyValue::new(semconv::DB_SYSTEM_NAME, statement.system),
        KeyValue::new(semconv::DB_QUERY_SUMMARY, statement.summary),
        KeyValue::new(semconv::DB_OPERATION_NAME, operation),
    ];
    if !table.is_empty() {
        attributes.push(KeyValue::new(semconv::DB_COLLECTION_NAME, table));
    }
    SpanBuilder::from_name(statement.summary)
        .with_kind(SpanKind::Client)
        .with_start_time(started)
        .with_attributes(attributes)
}
