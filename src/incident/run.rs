//! One run of one incident: fleet up, faults and orders, rest, audit, files.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::{
    Incident, act,
    audit::{Books, Facts},
    crowd::{Crowd, Placed},
    proxy::Wires,
    record::{Fault, Files, Record, Telemetry, Truth, VERSION, Witnesses, now_ms},
    rest,
    stage::{Draw, Holes, Pace, Stage},
    store::Store,
    told, truth,
};
use crate::fleet::{self, Environment, Fleet, Options, Override, Plan, PortChoice};

/// Verdicts are asked this long after everything came to rest, when every deadline of the route has passed.
const LATER: Duration = Duration::from_secs(60);
/// Spans wait for their batch, and a batch for its reply: what was so young when its process was silenced may be lost.
const UNSENT_MS: u64 = 2_000;

/// What is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Everything that is drawn comes from it.
    pub(crate) seed: u64,
    /// How many orders, if not as many as the incident says.
    pub(crate) orders: Option<u32>,
    /// 1 is the truth.
    pub(crate) time_scale: f64,
    /// `WAYBILL_RESILIENCE`, if not as the incident says.
    pub(crate) resilience: Option<bool>,
    /// Where the files go.
    pub(crate) out: PathBuf,
    /// Keep databases and logs of the run, too.
    pub(crate) keep: bool,
}

struct Run<'a> {
    incident: &'a dyn Incident,
    request: Request,
    stage: Stage,
    pace: Pace,
    files: Files,
    bar: ProgressBar,
}

/// Runs `incident` and leaves its files. `stop` ends it early, with nothing left but the data folder.
///
/// # Errors
/// What keeps the fleet from starting, or the record from being made.
pub(crate) async fn run(
    incident: &dyn Incident,
    request: Request,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Record> {
    let stage = incident.stage(&mut Draw::new(request.seed))?;
    let files = Files::make(&request.out)?;
    let pace = Pace(request.time_scale);
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{elapsed} {spinner} {prefix}: {msg}")?);
    bar.set_prefix(incident.name());
    bar.enable_steady_tick(Duration::from_millis(120));
    let run = Run { incident, request, stage, pace, files, bar };
    run.bar.set_message("starting the fleet");
    let mut wires = Wires::lay(&run.stage.wires).await?;
    let mut fleet = run.fleet(&wires)?;
    wires.connect(fleet.plan());
    let result = tokio::select! {
        result = run.play(&mut fleet, &wires) => result,
        () = stop => Err(anyhow::anyhow!("stopped before its end; {} is not complete", run.request.out.display())),
    };
    // Everything is on record: nobody need drain, and a frozen process could not.
    fleet.stop(std::future::ready(())).await;
    run.bar.finish_and_clear();
    if result.is_ok() && !run.request.keep {
        let data = run.files.data();
        std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))?;
    }
    result
}

// === impl Run ===

impl Run<'_> {
    fn fleet(&self, wires: &Wires) -> anyhow::Result<Fleet> {
        let own = self.stage.settings.iter().map(|(part, key, value)| (*part, *key, value.clone()));
        let settings = self.settings().into_iter().chain(wires.settings()?).chain(own);
        let overrides =
            settings.map(|(part, key, value)| Override { part: part.to_owned(), key: key.to_owned(), value });
        let plan = Plan::new(Options {
            ports: PortChoice::Auto,
            data: self.files.data(),
            only: Vec::new(),
            without: Vec::new(),
            otel_env_dir: None,
            collector_config: self.files.collector(self.stage.collector)?,
            overrides: overrides.collect(),
            quiet: true,
        })?;
        let checked = fleet::check(&plan)?;
        Fleet::start(plan, checked)
    }

    /// The deadlines of `docs/operations.md` at this run's pace.
    fn settings(&self) -> Vec<(&'static str, &'static str, String)> {
        let resilience = if self.resilient() { "on" } else { "off" };
        let pace = self.pace;
        let mut all = vec![
            ("partners", "WAYBILL_RIDE", pace.at_least(15, 200)),
            ("partners", "WAYBILL_PARTNERS_SEED", self.request.seed.to_string()),
            ("delivery-assignment", "WAYBILL_COURIER_DEADLINE", pace.at_least(45, 1_000)),
            ("restaurant-orders", "WAYBILL_POS_DEADLINE", pace.at_least(5, 1_000)),
            ("restaurant-orders", "WAYBILL_POS_TIMEOUT", pace.at_least(2, 400)),
            ("payment-gateway", "WAYBILL_CARD_TIMEOUT", pace.at_least(3, 500)),
            ("notification", "WAYBILL_PUSH_DEADLINE", pace.at_least(10, 1_000)),
            ("mobile-app", "WAYBILL_ORDER_WAIT", pace.at_least(15, 2_000)),
            ("mobile-app", "WAYBILL_ORDER_PATIENCE", pace.at_least(60, 4_000)),
        ];
        for (part, key, seconds) in &self.stage.paced {
            let plain = key.ends_with("_MS");
            let text = pace.at_least(*seconds, 500);
            let value = if plain { text.trim_end_matches("ms").to_owned() } else { text };
            all.push((*part, *key, value));
        }
        for service in crate::cmd::service::SERVICES {
            all.push((service.name, "WAYBILL_RESILIENCE", resilience.to_owned()));
            all.push((service.name, "WAYBILL_CALL_TIMEOUT", pace.at_least(10, 2_000)));
            all.push((service.name, "WAYBILL_DELIVERY_TIMEOUT", pace.at_least(10, 2_000)));
        }
        all
    }

    fn resilient(&self) -> bool {
        self.request.resilience.unwrap_or_else(|| self.incident.resilient())
    }

    async fn play(&self, fleet: &mut Fleet, wires: &Wires) -> anyhow::Result<Record> {
        fleet.ready().await?;
        let front_door = fleet.plan().url("mobile-app", "http");
        let count = self.request.orders.unwrap_or_else(|| self.incident.orders());
        let crowd = Crowd::gather(&front_door, &self.stage, self.request.seed, count, self.pace).await?;
        let schedule = self.stage.schedule(self.pace);
        if let Some(schedule) = &schedule {
            // The schedule's times count from the start of the process.
            let changes = Environment::from([("WAYBILL_PARTNERS_SCHEDULE".to_owned(), schedule.clone())]);
            fleet.restart("partners", changes).await?;
        }
        self.bar.set_message(format!("{count} orders are placed"));
        let (begun, begun_ms) = (Instant::now(), now_ms());
        let (placed, faults) = tokio::join!(
            crowd.order(begun, &self.bar),
            act::perform(&self.stage.acts, fleet, wires, begun, self.pace)
        );
        let faults = faults?;
        self.bar.set_message("coming to rest");
        let rest = rest::until_rest(fleet.plan(), self.pace).await?;
        let rest_ms = now_ms();
        self.bar.set_message("reading the traces");
        tokio::time::sleep(self.pace.of(self.stage.held_back)).await;
        let store = Store::new(fleet.plan().url("tracestore", "http"))?;
        let recorded = store.read().await?;
        self.bar.set_message("asking the witnesses");
        let orders: Vec<_> = placed.iter().map(|p| p.cart.order_id.clone()).collect();
        let said = told::ask(fleet.plan(), &orders, &recorded.lines).await?;
        let record = Record {
            version: VERSION,
            incident: self.incident.name().to_owned(),
            tells: self.incident.tells().to_owned(),
            seed: self.request.seed,
            time_scale: self.request.time_scale,
            resilience: self.resilient(),
            begun_ms,
            rest_ms,
            at_rest: rest.reached,
            asked_ns: asked_ns(),
            schedule,
            orders: placed.iter().map(|p| self.truth(p, &rest.books, &faults, rest_ms)).collect(),
            faults,
        };
        let witnesses = Witnesses { version: VERSION, heard: recorded.heard, orders: said };
        self.files.write(&record, &recorded.lines, &witnesses)?;
        Ok(record)
    }

    fn truth(&self, placed: &Placed, books: &Books, faults: &[Fault], rest_ms: u64) -> Truth {
        let nothing = Facts::default();
        let facts = books.get(&placed.cart.order_id).unwrap_or(&nothing);
        let fate = truth::fate(facts);
        let over = truth::is_settled(facts);
        let until = if over { u64::try_from(facts.changed_ms).unwrap_or(rest_ms) } else { rest_ms };
        let touched = self.stage.holes == Holes::All
            || faults.iter().any(|f| f.touches(placed.at_ms, until + UNSENT_MS));
        Truth {
            n: placed.n,
            order_id: placed.cart.order_id.clone(),
            cart_id: placed.cart.id.clone(),
            trace_id: placed.trace_id.clone(),
            payment_reference: facts.payment_reference.clone(),
            answer: placed.answer.clone(),
            outcome: fate.outcome,
            end: fate.end.map(str::to_owned),
            stop: fate.stop,
            charged_minor: facts.charged_minor,
            refunded_minor: facts.refunded_minor,
            customer_told: ["tracking.started", "order.delivered", "order.failed"]
                .iter()
                .any(|t| facts.told.contains(*t)),
            telemetry: if touched { Telemetry::Holed } else { Telemetry::Whole },
        }
    }
}

fn asked_ns() -> u64 {
    let later = u128::from(now_ms()) + LATER.as_millis();
    u64::try_from(later * 1_000_000).unwrap_or(u64::MAX)
}
