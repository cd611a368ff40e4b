//! What third parties have in their own logs: whether they saw the request, and how it ended. A log is read, not asked
//! anything that it would write down.

use futures::future::join_all;
use journey::{Case, Says, Witness};
use serde::Deserialize;

use super::{Books, Unread};

/// Third party, method, the step of the route on whose behalf it is asked.
const PARTNERS: &[(&str, &str, &str)] = &[
    ("card-network", "POST", "payment-gateway"),
    ("restaurant-pos", "POST", "restaurant-orders"),
    ("courier-fleet", "POST", "delivery-assignment"),
    ("push-provider", "POST", "notification"),
];
/// Traces of one order whose log lines are read.
const TRACES: usize = 3;
/// Lines that are read of one log.
const LINES: usize = 100;

#[derive(Debug, Deserialize)]
struct Log {
    entries: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize)]
struct Line {
    id: i64,
    method: String,
    path: String,
    status: Option<i64>,
    outcome: String,
}

// === impl Books ===

impl Books {
    /// What each third party's log says of `case`: by the order's id, and by its traces' ids.
    pub(super) async fn logs(&self, case: &Case) -> Vec<Witness> {
        let ask = PARTNERS.iter().map(|(partner, method, step)| async move {
            let lines = self.lines(partner, case).await.ok()?;
            witness(partner, step, lines.iter().filter(|line| line.method == *method))
        });
        join_all(ask).await.into_iter().flatten().collect()
    }

    async fn lines(&self, partner: &str, case: &Case) -> Result<Vec<Line>, Unread> {
        let together = self.places.url("partners").map(|url| format!("{url}/{partner}"));
        let base = together.or_else(|| self.places.url(partner)).ok_or(Unread::Other)?;
        let url = format!("{base}/logs");
        let traces = case.traces.iter().take(TRACES).map(|t| ("trace_id", t.id.clone()));
        let orders = case.subject.iter().map(|id| ("order_id", id.clone()));
        let mut all: Vec<Line> = Vec::new();
        for key in orders.chain(traces) {
            let log: Log = self.get(&url, &[key, ("limit", LINES.to_string())]).await?;
            all.extend(log.entries);
        }
        all.sort_by_key(|line| line.id);
        all.dedup_by_key(|line| line.id);
        Ok(all)
    }
}

/// That it was asked shows that the step began; what it answered is told as it stands.
fn witness<'a>(partner: &str, step: &str, lines: impl Iterator<Item = &'a Line>) -> Option<Witness> {
    // A refund is asked for below a charge: it is not the step that took the money.
    let lines: Vec<_> = lines.filter(|line| !line.path.ends_with("/refunds")).collect();
    let last = lines.last()?;
    let status = last.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    Some(Witness {
        source: format!("{partner}'s log"),
        says: Says::Begun { step: step.to_owned() },
        detail: Some(format!("asked {} times, the last time: {} ({status})", lines.len(), last.outcome)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_third_party_that_was_asked_and_never_answered_shows_that_the_step_began() {
        let line = |id, path: &str| Line {
            id,
            method: "POST".into(),
            path: path.into(),
            status: None,
            outcome: "hang".into(),
        };
        let lines = [line(1, "/courier-fleet/assignments"), line(2, "/courier-fleet/assignments")];
        let told = witness("courier-fleet", "delivery-assignment", lines.iter()).unwrap();
        assert_eq!(told.says, Says::Begun { step: "delivery-assignment".into() });
        assert_eq!(told.detail.unwrap(), "asked 2 times, the last time: hang (no answer)");
        assert!(
            witness("card-network", "payment-gateway", [line(1, "/x/charges/1/refunds")].iter()).is_none()
        );
    }
}
