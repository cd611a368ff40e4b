//! The courier fleet, a third party: who rides, and that nobody need.

use std::time::Duration;

use chassis::{Error, Http, Kind, deadline};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::book::Courier;

/// The fleet's desk.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    http: Http,
    /// How long a courier may be looked for, all questions together.
    pub(crate) deadline: Duration,
}

/// Why nobody rides: the reason that is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nobody {
    /// The fleet did not answer in time.
    #[error("the courier fleet did not answer in time")]
    Timeout(#[source] Option<Error>),
    /// It says that nobody is free.
    #[error("no courier is free")]
    Busy,
    /// It cannot be reached, or makes no sense.
    #[error("the courier fleet is unavailable")]
    Unavailable(#[source] Error),
}

/// Pause before a fleet without a free courier is asked again.
const AGAIN: Duration = Duration::from_millis(500);

// === impl Fleet ===

impl Fleet {
    pub(crate) fn new(http: Http, deadline: Duration) -> Self {
        Self { http, deadline }
    }

    /// One question, with the whole deadline for its answer: the naive way.
    pub(crate) async fn ask_once(&self, order_id: &str, zone: &str) -> Result<Courier, Nobody> {
        match deadline::fresh(self.deadline, self.ask(order_id, zone, 0, self.deadline)).await {
            Ok(answer) => answer,
            Err(_) => Err(Nobody::Timeout(None)),
        }
    }

    /// Asks until there is a courier or the deadline passes; a question that is not answered is given up after a third of
    /// it and asked again. The fleet knows the order by its id, so that two answers name the same courier.
    pub(crate) async fn ask_on(&self, order_id: &str, zone: &str) -> Result<Courier, Nobody> {
        let mut last = Nobody::Timeout(None);
        let search = async {
            let mut attempt = 0;
            loop {
                last = match self.ask(order_id, zone, attempt, self.deadline / 3).await {
                    Ok(courier) => return courier,
                    Err(nobody) => nobody,
                };
                attempt += 1;
                // Half a second at first, two at most.
                tokio::time::sleep((AGAIN * attempt.min(4)).min(self.deadline / 6)).await;
            }
        };
        deadline::fresh(self.deadline, search).await.map_err(|_| last)
    }

    /// Nobody need ride. `false`: the courier is under way already.
    pub(crate) async fn cancel(&self, order_id: &str) -> Result<bool, Error> {
        let call = self.http.call(Method::DELETE, "/assignments/{order_id}");
        let call =
            call.path(format!("/assignments/{order_id}")).idempotency_key(format!("cancel-{order_id}"));
        let reply = call.send().await?;
        if reply.status == StatusCode::CONFLICT { Ok(false) } else { reply.ok().map(|_| true) }
    }

    async fn ask(&self, order: &str, zone: &str, attempt: u32, limit: Duration) -> Result<Courier, Nobody> {
        let call = self.http.post("/assignments").idempotency_key(order);
        let call = call.json(&json!({"order_id": order, "zone": zone})).within(limit).attempt(attempt);
        let answer = async {
            let reply = call.send().await?;
            if reply.status == StatusCode::CONFLICT {
                return Ok(None);
            }
            reply.ok()?.json::<Value>().map(Some)
        };
        match answer.await {
            Ok(None) => Err(Nobody::Busy),
            Ok(Some(value)) => serde_json::from_value(value).map_err(|e| {
                Nobody::Unavailable(Error::upstream_kind("courier-fleet", Kind::Internal).source(e))
            }),
            Err(e) if e.kind() == Kind::Timeout => Err(Nobody::Timeout(Some(e))),
            Err(e) => Err(Nobody::Unavailable(e)),
        }
    }
}

// === impl Nobody ===

impl Nobody {
    /// Low cardinality: `error.type`, and the reason in `order.failed`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "courier_timeout",
            Self::Busy => "no_courier",
            Self::Unavailable(_) => "courier_fleet_unavailable",
        }
    }

    /// The causes, for the log.
    pub(crate) fn causes(&self) -> String {
        match self {
            Self::Timeout(Some(e)) | Self::Unavailable(e) => e.causes(),
            _ => String::new(),
        }
    }
}
