//! What every handler of the front door has at hand.

use std::{sync::Arc, time::Duration};

use chassis::Start;
use http::{HeaderMap, header};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    book::Book,
    carts::Carts,
    error::FrontError,
    neighbours::Neighbours,
    placing::{AtWork, Placing},
};

/// The longest token that is passed on to auth.
const LONGEST_TOKEN: usize = 4096;

/// The front door's parts. Clones share them.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) placing: Placing,
    /// How long `POST /orders` waits for the order to be placed.
    pub(crate) wait: Duration,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stopping: CancellationToken,
    /// Base URL of the Jaeger UI.
    pub(crate) jaeger: Arc<str>,
}

// === impl Front ===

impl Front {
    pub(crate) fn new(start: &Start) -> Self {
        let settings = &start.settings;
        let placing = Placing {
            book: Book::new(start.database.clone()),
            carts: Carts::new(start.database.clone()),
            neighbours: Neighbours::new(start),
            patience: settings.duration("WAYBILL_ORDER_PATIENCE", "60s"),
            stopping: start.stopping.clone(),
            tasks: TaskTracker::new(),
            at_work: AtWork::default(),
        };
        Self {
            placing,
            wait: settings.duration("WAYBILL_ORDER_WAIT", "15s"),
            streams: Arc::new(Semaphore::new(settings.number("WAYBILL_EVENT_STREAMS", 1000, 1..=100_000))),
            stopping: start.stopping.clone(),
            jaeger: settings.url("WAYBILL_JAEGER_URL", "http://127.0.0.1:16686").into(),
        }
    }

    /// The customer whose token the request bears.
    pub(crate) async fn customer(&self, headers: &HeaderMap) -> Result<String, FrontError> {
        let token = bearer(headers)?;
        let user_id = self.placing.neighbours.verify(token).await?;
        telemetry::context::set_attribute("user.id", user_id.clone());
        Ok(user_id)
    }
}

/// `Authorization: Bearer <token>` (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, FrontError> {
    let refuse = |slug, detail: &str| FrontError::SignIn { slug, detail: detail.to_owned() };
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        refuse("unauthenticated", "sign in at POST /sessions and send Authorization: Bearer <token>")
    })?;
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).unwrap_or_default();
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > LONGEST_TOKEN {
        return Err(refuse("token-malformed", "the Authorization header is not Bearer <token>"));
    }
    Ok(token)
}
