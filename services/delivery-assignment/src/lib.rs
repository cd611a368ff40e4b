//! Step 6: a courier for an order that the restaurant cooks.
//!
//! | endpoint | does |
//! |--|--|
//! | message `order.accepted` | asks the courier fleet, within 45 s; hands the ride to tracking, or gives the order up with `order.failed` and cancels at the fleet what may still come |
//! | `GET /book` | what is on record of an order |
//! | `GET /assignments` | how many orders are in each state, and those that still need something |
//!
//! Settings: `COURIER_FLEET_URL`, `TRACKING_URL`, `RESTAURANT_ORDERS_URL`, `NOTIFICATION_URL`; `WAYBILL_COURIER_DEADLINE`
//! (`45s`); `WAYBILL_RESILIENCE`: `off` asks the fleet once, and an order whose question is not answered is dropped on the
//! floor, with nothing but an error in its span. Started again with `on`, the service makes good what it dropped.

mod book;
mod fleet;

use std::time::Duration;

use axum::{Json, Router, extract::State as With, routing::get};
use chassis::{
    App, Book as Record, Channel, Errand, Errands, Error, Message, Service, Start, book::Says, deadline,
    retry,
};
use contracts::{
    keys,
    message::{ORDER_ACCEPTED, ORDER_FAILED, OrderAccepted},
    tracking_v1::{StartRequest, tracking_client::TrackingClient},
};
use telemetry::context::{self, Attribute};

use book::{Assignment, Book, Courier, State};
use fleet::{Fleet, Nobody};

/// The service.
pub const SERVICE: Service =
    Service { name: "delivery-assignment", version: env!("CARGO_PKG_VERSION"), default_port: 8085, app };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

const RECORD: Record = Record {
    rows: "SELECT order_id, state, reason, created_unix_ms AS began_ms, updated_unix_ms AS at_ms, \
           CAST(NULL AS BIGINT) AS amount_minor, CAST(NULL AS TEXT) AS currency, CAST(NULL AS TEXT) AS traceparent \
           FROM assignments",
    says: |state| match state {
        "riding" => Says::Done,
        "failed" | "dropped" => Says::Stopped,
        _ => Says::Begun,
    },
};

/// How long tracking is asked to take the ride, before the message is tried again as a whole.
const HAND_ON: Duration = Duration::from_secs(5);

/// Why an assignment did not move on.
#[derive(Debug, thiserror::Error)]
enum AssignError {
    #[error("an assignment that is {0} cannot be {1}")]
    Illegal(State, State),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Bus(#[from] Error),
}

impl From<AssignError> for Error {
    fn from(error: AssignError) -> Self {
        match error {
            AssignError::Illegal(..) => Self::conflict(error.to_string()).typed("illegal-transition"),
            AssignError::Database(source) => source.into(),
            AssignError::Bus(error) => error,
        }
    }
}

/// Finds couriers.
#[derive(Clone)]
struct Desk {
    book: Book,
    fleet: Fleet,
    tracking: TrackingClient<Channel>,
    resilient: bool,
    errands: Errands,
}

/// Builds the service.
fn app(start: &Start) -> App {
    start.subscribe(ORDER_FAILED, "restaurant-orders");
    start.subscribe(ORDER_FAILED, "notification");
    let deadline = start.settings.duration("WAYBILL_COURIER_DEADLINE", "45s");
    let desk = Desk {
        book: Book::new(start.database.clone(), start.bus.clone()),
        fleet: Fleet::new(start.partner("courier-fleet"), deadline),
        tracking: TrackingClient::new(start.grpc("tracking")),
        resilient: start.resilient(),
        errands: Errands::new("assignments", 64, &start.database),
    };
    let at_work = desk.clone();
    App::new()
        .migrations(&MIGRATIONS)
        .book(RECORD)
        .http(Router::new().route("/assignments", get(summary)).with_state(desk.book.clone()))
        .on(ORDER_ACCEPTED, move |message: Message<OrderAccepted>| {
            let desk = at_work.clone();
            async move { desk.assign(message.body).await }
        })
        .worker("assignments", |stop| {
            let (desk, errands) = (desk.clone(), desk.errands);
            errands.run(stop, move |rows| desk.clone().due(rows))
        })
}

async fn summary(With(book): With<Book>) -> Result<Json<serde_json::Value>, Error> {
    Ok(Json(book.summary().await?))
}

// === impl Desk ===

impl Desk {
    /// From the message to the ride, or to `order.failed`. Begun again after a crash, it goes on where it was.
    async fn assign(&self, accepted: OrderAccepted) -> Result<(), Error> {
        let limit = i64::try_from(self.fleet.deadline.as_millis()).unwrap_or(i64::MAX);
        let receipt = vec![
            Attribute::new(keys::ORDER_STEP, SERVICE.name),
            Attribute::new(keys::ORDER_STEP_DEADLINE_MS, limit),
        ];
        context::accept(SERVICE.name, receipt);
        context::set_attribute(keys::ORDER_STEP, SERVICE.name);
        context::set_attribute(keys::COURIER_ZONE, accepted.zone.clone());
        context::set_attribute(keys::RESTAURANT_ID, accepted.restaurant_id.clone());
        let assignment = self.book.begin(accepted).await?;
        let courier = match assignment.state {
            State::Searching => match self.search(&assignment.accepted).await {
                Ok(courier) => courier,
                Err(nobody) => return self.give_up(&assignment.accepted.order_id, &nobody).await,
            },
            State::Assigned => assignment.courier,
            State::Riding | State::Failed | State::Dropped => return Ok(()),
        };
        context::set_attribute(keys::PARTNER_REFERENCE, courier.assignment_id.clone());
        self.book.assigned(&assignment.accepted.order_id, &courier).await?;
        self.hand_on(&assignment.accepted, &courier).await?;
        Ok(self.book.riding(&assignment.accepted.order_id).await?)
    }

    async fn search(&self, accepted: &OrderAccepted) -> Result<Courier, Nobody> {
        let OrderAccepted { order_id, zone, .. } = accepted;
        if self.resilient {
            self.fleet.ask_on(order_id, zone).await
        } else {
            self.fleet.ask_once(order_id, zone).await
        }
    }

    /// The failure is on the message's span and in the log, once. The message itself is done.
    async fn give_up(&self, order_id: &str, nobody: &Nobody) -> Result<(), Error> {
        let reason = nobody.reason();
        context::fail(reason, nobody.to_string());
        let dropped = !self.resilient && matches!(nobody, Nobody::Timeout(_));
        tracing::error!(error.type = reason, causes = nobody.causes(), dropped, "nobody rides: {nobody}");
        if dropped {
            return Ok(self.book.drop_it(order_id, reason).await?);
        }
        self.book.fail(order_id, reason).await?;
        self.errands.ring();
        Ok(())
    }

    /// The courier rides, so the order is not given up any more: tracking is asked until it has it.
    async fn hand_on(&self, accepted: &OrderAccepted, courier: &Courier) -> Result<(), Error> {
        let ask = |_| {
            let mut tracking = self.tracking.clone();
            let request = StartRequest {
                order_id: accepted.order_id.clone(),
                customer_id: accepted.customer_id.clone(),
                courier_id: courier.courier_id.clone(),
                zone: accepted.zone.clone(),
                ride_ms: courier.ride_ms,
            };
            async move { tracking.start(request).await.map_err(|e| Error::upstream("tracking", e)) }
        };
        match deadline::fresh(HAND_ON, retry(ask)).await {
            Ok(reply) => reply.map(drop),
            Err(_) => Err(Error::upstream_kind("tracking", chassis::Kind::Timeout)),
        }
    }

    async fn due(self, rows: i64) -> Result<Vec<Errand>, sqlx::Error> {
        let due = self.book.due(rows).await?;
        let due = due.into_iter().filter(|a| a.state != State::Dropped || self.resilient);
        Ok(due
            .map(|assignment| {
                let (desk, scope) = (self.clone(), assignment.context.scope());
                let key = assignment.accepted.order_id.clone();
                Errand { key, work: Box::pin(scope.run(async move { desk.make_good(&assignment).await })) }
            })
            .collect())
    }

    /// What is left to be done about an order that nobody rides for.
    #[tracing::instrument(name = "assignment.cancel", skip_all)]
    async fn make_good(&self, assignment: &Assignment) {
        let order_id = &assignment.accepted.order_id;
        if assignment.state == State::Dropped {
            tracing::warn!(reason = assignment.reason, "an order was dropped on the floor; it is picked up");
        }
        let done = async {
            if assignment.state == State::Dropped {
                return Ok(self.book.fail(order_id, &assignment.reason).await?);
            }
            if !self.fleet.cancel(order_id).await? {
                tracing::warn!("the courier is under way and cannot be called back");
            }
            Ok::<_, Error>(self.book.cancelled(order_id).await?)
        };
        if let Err(e) = done.await {
            context::fail(e.slug(), e.to_string());
            tracing::error!(error.type = e.slug(), causes = e.causes(), "the order's end is not settled; later again");
            if let Err(e) = self.book.later(assignment).await {
                tracing::error!(error = %e, "cannot write to the book of assignments");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
