//! The running fleet: each part has a keeper that starts it, restarts it when it dies, and stops it when told.

use std::{
    ops::Add,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    child,
    endpoints::{Endpoints, Memory},
    environment::Environment,
    journal::Journal,
    parts::Part,
    plan::Plan,
    preflight::Checked,
};
use crate::{cmd::health, failure::USAGE, term};

/// How long a part may take to become ready before the start is called failed.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a part may take to stop before it is killed: a service's own limits are 10 s to drain and 5 s to flush.
const GRACE: Duration = Duration::from_secs(20);
/// First wait before a restart; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// See [`FIRST_WAIT`].
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A part that ran this long has recovered: its next death starts from [`FIRST_WAIT`] again.
const STEADY: Duration = Duration::from_secs(2);

/// All parts, running.
#[derive(Debug)]
pub(crate) struct Fleet {
    plan: Arc<Plan>,
    members: Vec<Member>,
    keepers: JoinSet<()>,
    endpoints: Arc<Endpoints>,
    at_once: CancellationToken,
    _lock: std::fs::File,
}

#[derive(Debug)]
struct Member {
    part: &'static Part,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// It cannot run as it is set up; why.
    Hopeless(String),
    Stopped,
}

#[derive(Debug)]
enum Order {
    /// Stop, take these settings over the present ones, start again.
    Restart(Environment, oneshot::Sender<()>),
    Stop,
}

struct Keeper {
    part: &'static Part,
    env: Environment,
    plan: Arc<Plan>,
    journal: Journal,
    endpoints: Arc<Endpoints>,
    orders: mpsc::Receiver<Order>,
    state: watch::Sender<State>,
    at_once: CancellationToken,
}

/// Why a keeper's look at its child ended.
enum Event {
    Died(std::process::ExitStatus),
    Ordered(Option<Order>),
}

// === impl Fleet ===

impl Fleet {
    /// Starts every part at once; each is ready when its health endpoint says so.
    ///
    /// # Errors
    /// When a log file cannot be opened.
    pub(crate) fn start(plan: Plan, checked: Checked) -> anyhow::Result<Self> {
        let plan = Arc::new(plan);
        let endpoints = Arc::new(Endpoints::new(&plan));
        let at_once = CancellationToken::new();
        let (mut members, mut keepers) = (Vec::new(), JoinSet::new());
        for (part, env) in checked.environments {
            let (orders, inbox) = mpsc::channel(4);
            let (state, watched) = watch::channel(State::Starting);
            let keeper = Keeper {
                part,
                env,
                plan: Arc::clone(&plan),
                journal: Journal::open(&plan.logs(), part.name, plan.options.quiet)?,
                endpoints: Arc::clone(&endpoints),
                orders: inbox,
                state,
                at_once: at_once.clone(),
            };
            keepers.spawn(keeper.keep());
            members.push(Member { part, orders, state: watched });
        }
        Ok(Self { plan, members, keepers, endpoints, at_once, _lock: checked.lock })
    }

    /// Waits until every part takes work.
    ///
    /// # Errors
    /// Names the part that cannot start, with its own last words, or the one that took longer than a minute.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.ready().await?;
        }
        Ok(())
    }

    /// Restarts `part` with `changes` over its present settings and waits until it is ready again.
    ///
    /// # Errors
    /// As [`Fleet::ready`]; also for a part that does not run here.
    pub(crate) async fn restart(&mut self, part: &str, changes: Environment) -> anyhow::Result<()> {
        let member = self
            .members
            .iter_mut()
            .find(|m| m.part.name == part)
            .ok_or_else(|| anyhow!("{part} does not run here"))?;
        let (done, started) = oneshot::channel();
        member.orders.send(Order::Restart(changes, done)).await?;
        started.await?;
        member.ready().await
    }

    /// What is running where.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The process that `part` now is; none between a death and the restart.
    pub(crate) fn pid(&self, part: &str) -> Option<u32> {
        self.endpoints.pid(part)
    }

    /// Memory of all processes, this one included.
    pub(crate) fn memory(&self) -> Memory {
        self.endpoints.pids().into_iter().map(Memory::of).fold(Memory::of(std::process::id()), Add::add)
    }

    /// Stops all parts: front door, services, partners, collector, trace store. Each stage is bounded; when
    /// `hurry` resolves, everything that still runs is killed.
    pub(crate) async fn stop(mut self, hurry: impl Future<Output = ()>) {
        let (at_once, endpoints) = (self.at_once.clone(), Arc::clone(&self.endpoints));
        let in_order = self.stop_in_order();
        tokio::pin!(in_order, hurry);
        tokio::select! {
            () = &mut in_order => {}
            () = &mut hurry => {
                at_once.cancel();
                in_order.await;
            }
        }
        endpoints.remove();
    }

    async fn stop_in_order(&mut self) {
        let mut stages: Vec<_> = self.members.iter().map(|m| m.part.stage).collect();
        stages.dedup();
        for stage in stages {
            let mut members: Vec<_> = self.members.iter_mut().filter(|m| m.part.stage == stage).collect();
            for member in &members {
                drop(member.orders.send(Order::Stop).await);
            }
            for member in &mut members {
                drop(member.state.wait_for(|s| *s == State::Stopped).await);
            }
        }
        while self.keepers.join_next().await.is_some() {}
    }
}

// === impl Member ===

impl Member {
    async fn ready(&mut self) -> anyhow::Result<()> {
        let name = self.part.name;
        let settled = self.state.wait_for(|s| *s != State::Starting);
        match tokio::time::timeout(START_LIMIT, settled).await {
            Err(_) => bail!("{name} was not ready within {} s: see its log", START_LIMIT.as_secs()),
            Ok(Err(_)) => bail!("{name} is no longer watched"),
            Ok(Ok(state)) => match &*state {
                State::Hopeless(why) => bail!("{name} cannot start: {why}"),
                _ => Ok(()),
            },
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// Keeps the part alive until it is told to stop.
    async fn keep(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let begun = Instant::now();
            let event = match child::spawn(self.part, &self.env, &self.plan, &self.journal) {
                Ok(child) => self.watch(child).await,
                Err(error) => {
                    let why = format!("its process cannot be made: {error}");
                    self.state.send_replace(State::Hopeless(why));
                    Event::Ordered(self.orders.recv().await)
                }
            };
            let order = match event {
                Event::Ordered(order) => order,
                Event::Died(status) => {
                    wait = if begun.elapsed() > STEADY { FIRST_WAIT } else { wait };
                    let order = self.after_death(status, wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    match order {
                        Some(order) => order,
                        None => continue,
                    }
                }
            };
            match order {
                Some(Order::Restart(changes, done)) => {
                    self.env.extend(changes);
                    self.state.send_replace(State::Starting);
                    let _ = done.send(());
                }
                Some(Order::Stop) | None => break,
            }
        }
        self.state.send_replace(State::Stopped);
    }

    /// Watches one life of the part: until it dies, or until an order has ended it.
    async fn watch(&mut self, living: child::Living) -> Event {
        let child::Living { process: mut child, lifeline: _lifeline } = living;
        self.note_pid(child.id());
        let url = child::health_url(self.part, &self.plan);
        let ready = health::until_ready(&url);
        tokio::pin!(ready);
        let mut probing = true;
        let event = loop {
            tokio::select! {
                status = child.wait() => match status {
                    Ok(status) => break Event::Died(status),
                    Err(error) => term::note(&format!("{}: cannot wait for its process: {error}", self.part.name)),
                },
                () = &mut ready, if probing => {
                    probing = false;
                    self.state.send_replace(State::Ready);
                }
                order = self.orders.recv() => {
                    if !child::stop(&mut child, GRACE, &self.at_once).await {
                        self.note(&format!("{} did not stop in time and was killed", self.part.name));
                    }
                    break Event::Ordered(order);
                }
            }
        };
        if matches!(event, Event::Died(_)) {
            self.note_pid(None);
        }
        event
    }

    /// Waits before the restart. `Some` when an order came instead of the wait's end.
    async fn after_death(
        &mut self,
        status: std::process::ExitStatus,
        wait: Duration,
    ) -> Option<Option<Order>> {
        let name = self.part.name;
        if status.code() == Some(i32::from(USAGE)) {
            // Bad settings do not heal by themselves.
            self.state.send_replace(State::Hopeless(self.journal.last()));
            return Some(self.orders.recv().await);
        }
        self.state.send_replace(State::Starting);
        self.note(&format!("{name} ended ({status}); starting it again in {} ms", wait.as_millis()));
        tokio::select! {
            () = tokio::time::sleep(wait) => None,
            order = self.orders.recv() => Some(order),
        }
    }

    fn note(&self, line: &str) {
        if !self.plan.options.quiet {
            term::note(line);
        }
    }

    fn note_pid(&self, pid: Option<u32>) {
        if let Err(error) = self.endpoints.set(self.part.name, pid) {
            term::note(&format!("endpoints.json cannot be written: {error}"));
        }
    }
}
