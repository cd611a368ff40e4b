//! The audit: what the services' databases and the third parties' own records say of each order. Read-only, by SQL, past
//! every service and every span.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use sqlx::{
    Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use crate::fleet::Plan;

/// All that is on record of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The cart it came from; empty when there was none.
    pub(super) cart_id: String,
    /// The front door's entry.
    pub(super) front: Option<Front>,
    /// State of the payment in the ledger.
    pub(super) payment: Option<String>,
    /// What the customer finds on the statement.
    pub(super) payment_reference: String,
    /// State and reason at restaurant-orders.
    pub(super) owner: Option<(String, String)>,
    /// State and reason at delivery-assignment.
    pub(super) assignment: Option<(String, String)>,
    /// State at tracking.
    pub(super) ride: Option<String>,
    /// Types of the events that the customer was told of.
    pub(super) told: BTreeSet<String>,
    /// Messages that have not been handed over.
    pub(super) outbox: Vec<Letter>,
    /// Messages that were taken and are not done.
    pub(super) inbox: Vec<Letter>,
    /// What the card network took and gave back, in minor units.
    pub(super) charged_minor: i64,
    /// See `charged_minor`.
    pub(super) refunded_minor: i64,
    /// The latest change that any service has written down, Unix milliseconds.
    pub(super) changed_ms: i64,
}

/// The front door's entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Front {
    /// placing, paying, placed, declined or failed.
    pub(super) stage: String,
    /// Why it is declined or failed.
    pub(super) reason: String,
    /// Nobody has verified the customer yet.
    pub(super) anonymous: bool,
}

/// A message that is on its way or not worked off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Letter {
    /// In whose database it lies.
    pub(super) at: String,
    /// Whom it is for; of an inbox its owner.
    pub(super) to: String,
    /// Its type.
    pub(super) event: String,
    /// Given up: refused by the receiver, or dead in its inbox.
    pub(super) hopeless: bool,
    /// The last failure, in the service's words; empty when it never failed.
    pub(super) error: String,
}

/// All orders on record.
pub(super) type Books = BTreeMap<String, Facts>;

/// Services that send or take messages.
const CORRESPONDENTS: [&str; 4] = ["restaurant-orders", "delivery-assignment", "tracking", "notification"];

// === impl Facts ===

impl Facts {
    /// The same without what changes while nothing happens: words and times of repeated attempts.
    pub(super) fn still(&self) -> Self {
        let calm = |letters: &[Letter]| {
            letters.iter().map(|l| Letter { error: String::new(), ..l.clone() }).collect()
        };
        Self { outbox: calm(&self.outbox), inbox: calm(&self.inbox), changed_ms: 0, ..self.clone() }
    }

    /// The unfinished message of type `event` to `to`, in transit.
    pub(super) fn in_transit(&self, event: &str, to: &str) -> Option<&Letter> {
        self.outbox.iter().find(|l| l.event == event && l.to == to)
    }

    /// The unfinished message of type `event` in the inbox of `to`.
    pub(super) fn taken(&self, event: &str, to: &str) -> Option<&Letter> {
        self.inbox.iter().find(|l| l.event == event && l.to == to)
    }
}

/// Reads all books of a fleet, running or not.
///
/// # Errors
/// When a database cannot be read; names it.
pub(super) async fn books(plan: &Plan) -> anyhow::Result<Books> {
    let mut books = Books::new();
    front(plan, &mut books).await?;
    owners(plan, &mut books).await?;
    for service in CORRESPONDENTS {
        letters(plan, service, &mut books).await?;
    }
    money(plan, &mut books).await?;
    for facts in books.values_mut() {
        facts.outbox.sort();
        facts.inbox.sort();
    }
    Ok(books)
}

async fn front(plan: &Plan, books: &mut Books) -> anyhow::Result<()> {
    let mut db = open(&plan.folder("mobile-app.db")).await?;
    for row in all(&mut db, "SELECT order_id, cart_id FROM carts").await? {
        books.entry(row.try_get("order_id")?).or_default().cart_id = row.try_get("cart_id")?;
    }
    let sql = "SELECT order_id, stage, reason, customer_id, updated_ms FROM orders";
    for row in all(&mut db, sql).await? {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.front = Some(Front {
            stage: row.try_get("stage")?,
            reason: row.try_get("reason")?,
            anonymous: row.try_get::<String, _>("customer_id")?.is_empty(),
        });
        changed(facts, row.try_get("updated_ms")?);
    }
    Ok(db.close().await?)
}

async fn owners(plan: &Plan, books: &mut Books) -> anyhow::Result<()> {
    let mut db = open(&plan.folder("payment-gateway.db")).await?;
    for row in all(&mut db, "SELECT order_id, status, reference, updated_ms FROM payments").await? {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.payment = Some(row.try_get("status")?);
        facts.payment_reference = row.try_get("reference")?;
        changed(facts, row.try_get("updated_ms")?);
    }
    db.close().await?;
    let mut db = open(&plan.folder("restaurant-orders.db")).await?;
    for row in all(&mut db, "SELECT order_id, state, reason, updated_unix_ms FROM orders").await? {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.owner = Some((row.try_get("state")?, row.try_get("reason")?));
        changed(facts, row.try_get("updated_unix_ms")?);
    }
    db.close().await?;
    let mut db = open(&plan.folder("delivery-assignment.db")).await?;
    for row in all(&mut db, "SELECT order_id, state, reason, updated_unix_ms FROM assignments").await? {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.assignment = Some((row.try_get("state")?, row.try_get("reason")?));
        changed(facts, row.try_get("updated_unix_ms")?);
    }
    db.close().await?;
    let mut db = open(&plan.folder("tracking.db")).await?;
    for row in all(&mut db, "SELECT order_id, state, updated_unix_ms FROM rides").await? {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.ride = Some(row.try_get("state")?);
        changed(facts, row.try_get("updated_unix_ms")?);
    }
    db.close().await?;
    let mut db = open(&plan.folder("notification.db")).await?;
    for row in
        all(&mut db, "SELECT order_id, event_type, created_unix_ms FROM pushes WHERE state = 'sent'").await?
    {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.told.insert(row.try_get("event_type")?);
        changed(facts, row.try_get("created_unix_ms")?);
    }
    Ok(db.close().await?)
}

async fn letters(plan: &Plan, service: &str, books: &mut Books) -> anyhow::Result<()> {
    let mut db = open(&plan.folder(&format!("{service}.db"))).await?;
    let sql = "SELECT subject, destination, event_type, refused, last_error FROM outbox";
    for row in all(&mut db, sql).await? {
        books.entry(row.try_get("subject")?).or_default().outbox.push(Letter {
            at: service.to_owned(),
            to: row.try_get("destination")?,
            event: row.try_get("event_type")?,
            hopeless: row.try_get::<i64, _>("refused")? != 0,
            error: row.try_get("last_error")?,
        });
    }
    let sql = "SELECT subject, event_type, state, last_error FROM inbox WHERE state <> 'done'";
    for row in all(&mut db, sql).await? {
        books.entry(row.try_get("subject")?).or_default().inbox.push(Letter {
            at: service.to_owned(),
            to: service.to_owned(),
            event: row.try_get("event_type")?,
            hopeless: row.try_get::<String, _>("state")? == "dead",
            error: row.try_get("last_error")?,
        });
    }
    Ok(db.close().await?)
}

/// The card network's own record; its idempotency key is the order's id.
async fn money(plan: &Plan, books: &mut Books) -> anyhow::Result<()> {
    let mut db = open(&plan.folder("partners").join("partners.db")).await?;
    let sql = "SELECT c.idempotency_key AS order_id, c.amount_minor AS charged, \
               (SELECT COALESCE(SUM(r.amount_minor), 0) FROM refunds r WHERE r.charge_id = c.charge_id) AS refunded \
               FROM charges c WHERE c.status = 'charged'";
    for row in all(&mut db, sql).await? {
        let facts = books.entry(row.try_get("order_id")?).or_default();
        facts.charged_minor = row.try_get("charged")?;
        facts.refunded_minor = row.try_get("refunded")?;
    }
    Ok(db.close().await?)
}

fn changed(facts: &mut Facts, at_ms: i64) {
    facts.changed_ms = facts.changed_ms.max(at_ms);
}

async fn open(file: &Path) -> anyhow::Result<SqliteConnection> {
    let options =
        SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.with_context(|| format!("opening {}", file.display()))
}

async fn all(db: &mut SqliteConnection, sql: &'static str) -> anyhow::Result<Vec<SqliteRow>> {
    sqlx::query(sql).fetch_all(db).await.with_context(|| format!("asking {sql:?}"))
}
