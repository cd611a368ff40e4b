//! `tail_sampling`: holds the spans of each trace for a while, then lets policies decide whether the whole trace is kept.
//!
//! Keys, policies and their quirks are upstream's (`tailsamplingprocessor` v0.155). Two things differ, both towards
//! keeping more: a trace that must make room is decided on what is there, where upstream loses it; and where the
//! pipeline's exporter has a queue on disk, what is held is kept beside it, so that it survives `kill -9`, where upstream
//! loses it. What a restart finds waits anew from its start.

mod bucket;
mod composite;
mod condition;
mod cut;
mod decided;
mod held;
mod meters;
mod rule;
mod rules;
mod settings;
mod view;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{Place, ProcessorConfig, pass_on};
use crate::Error;
use crate::config::{QueueConfig, Section, Sizer};
use crate::pipeline::{Batch, Consumer, Refusal, Signal};
use crate::queue::{Handed, Queue};
use crate::start::Context;
use held::{Held, Kept};
use meters::{Meters, PolicyMeters};
use rule::Moment;
use settings::Settings;

/// Bytes of spans that wait in memory; more makes the trace that is due next be decided early.
const HELD_BYTES: u64 = 384 << 20;
/// Bytes of requests that wait to be taken apart, in memory.
const INBOX_BYTES: u64 = 128 << 20;
/// Bytes of requests that have an undecided trace, on disk.
const DISK_BYTES: u64 = 2 << 30;
/// Traces decided before the next request is looked at.
const DECISIONS: usize = 256;
/// Decisions are gathered for so long.
const GRAIN: Duration = Duration::from_millis(20);
/// Spans and bytes handed on at once.
const HANDED_SPANS: u64 = 8192;
const HANDED_BYTES: usize = 4 << 20;

struct Sampler {
    queue: Arc<Queue>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// Owns the traces.
struct Worker {
    id: String,
    queue: Arc<Queue>,
    durable: bool,
    held: Held<Receipt>,
    /// Kept spans that the next consumer has not taken yet.
    sending: Vec<Kept<Receipt>>,
    next: Arc<dyn Consumer>,
    /// Set when it ends before its work is done: what it still had stays on disk.
    abandoned: Arc<AtomicBool>,
    done: bool,
}

/// A request of the durable queue, which settles it when the last of its spans is decided and handed on.
struct Receipt {
    handed: Option<Handed>,
    abandoned: Arc<AtomicBool>,
}

pub(super) fn configure(section: Section) -> Option<Box<dyn ProcessorConfig>> {
    Settings::read(section).map(|settings| Box::new(settings) as Box<dyn ProcessorConfig>)
}

// === impl Settings ===

impl ProcessorConfig for Settings {
    fn signals(&self) -> &'static [Signal] {
        &[Signal::Traces]
    }

    fn build(
        &self,
        place: &Place<'_>,
        next: Arc<dyn Consumer>,
        context: &Context,
    ) -> Result<Arc<dyn Consumer>, Error> {
        let store = place.storage.map(|storage| context.storage(storage, &place.component(), place.signal));
        let store = store.transpose()?;
        let durable = store.is_some();
        let config = QueueConfig {
            consumers: 1,
            size: if durable { DISK_BYTES } else { INBOX_BYTES },
            sizer: Sizer::Bytes,
            block_on_overflow: false,
            wait_for_result: false,
            batch: None,
            storage: None,
        };
        let queue = Arc::new(Queue::new(place.signal, &config, store));
        let policy_meters = |policy: &str| match place.id.name() {
            Some(name) => PolicyMeters::new(&context.registry, &format!("{name}.{policy}")),
            None => PolicyMeters::new(&context.registry, policy),
        };
        let worker = Worker {
            id: place.id.to_string(),
            queue: queue.clone(),
            durable,
            held: Held::new(self.clone(), Meters::new(&context.registry), policy_meters, HELD_BYTES),
            sending: Vec::new(),
            next,
            abandoned: Arc::default(),
            done: false,
        };
        let worker = tokio::spawn(worker.run());
        Ok(Arc::new(Sampler { queue, worker: Mutex::new(Some(worker)) }))
    }
}

// === impl Sampler ===

#[async_trait]
impl Consumer for Sampler {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        self.queue.push(batch).await.map_err(|refusal| match refusal {
            Refusal::Busy { reason, retry_after } => {
                Refusal::Busy { reason: format!("tail sampling: {reason}"), retry_after }
            }
            other => other,
        })
    }

    async fn stop(&self, deadline: Duration) {
        self.queue.close();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut worker) = worker
            && tokio::time::timeout(deadline, &mut worker).await.is_err()
        {
            worker.abort();
            let _ = worker.await;
        }
        self.queue.finish();
    }
}

// === impl Worker ===

impl Worker {
    async fn run(mut self) {
        loop {
            let pause = self.held.next_due().map_or(Duration::from_secs(3600), |due| {
                due.saturating_duration_since(Instant::now()).max(GRAIN)
            });
            let queue = self.queue.clone();
            tokio::select! {
                biased;
                handed = queue.pop() => match handed {
                    Some(handed) => self.take_in(handed).await,
                    None => break,
                },
                () = tokio::time::sleep(pause) => {}
            }
            self.decide().await;
        }
        self.held.end(moment());
        self.hand_on().await;
        self.done = true;
    }

    async fn take_in(&mut self, mut handed: Handed) {
        let parts = std::mem::take(&mut handed.batch.parts);
        // In memory, a request has left the queue once it is taken apart.
        let receipt = self
            .durable
            .then(|| Arc::new(Receipt { handed: Some(handed), abandoned: self.abandoned.clone() }));
        for part in &parts {
            for piece in cut::by_trace(part) {
                while self.held.full(piece.trace) {
                    tokio::time::sleep(GRAIN).await;
                    self.decide().await;
                }
                self.held.add(piece, receipt.clone(), moment());
            }
        }
    }

    async fn decide(&mut self) {
        self.held.tick(moment(), DECISIONS);
        self.hand_on().await;
    }

    /// Hands on what was kept. Its senders have their answer already, so a full queue is waited for.
    async fn hand_on(&mut self) {
        self.sending.append(&mut self.held.take());
        while !self.sending.is_empty() {
            let (mut spans, mut bytes) = (0, 0);
            let fits = |kept: &&Kept<Receipt>| {
                let first = spans == 0;
                spans += kept.spans;
                bytes += kept.request.len();
                first || (spans <= HANDED_SPANS && bytes <= HANDED_BYTES)
            };
            let some: Vec<&Kept<Receipt>> = self.sending.iter().take_while(fits).collect();
            let items = some.iter().map(|kept| kept.spans).sum();
            let parts = some.iter().map(|kept| kept.request.clone()).collect::<Vec<_>>();
            let count = parts.len();
            pass_on(&self.id, &self.next, Batch { signal: Signal::Traces, items, parts }).await;
            self.sending.drain(..count);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.done {
            self.abandoned.store(true, Ordering::Release);
            let fate = if self.durable { "stay on disk for the next start" } else { "are lost" };
            tracing::warn!(processor = %self.id, "stopped before all held spans were handed on: they {fate}");
        }
    }
}

// === impl Receipt ===

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(handed) = self.handed.take()
            && !self.abandoned.load(Ordering::Acquire)
        {
            handed.settle(Ok(()));
        }
    }
}

fn moment() -> Moment {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Moment { instant: Instant::now(), second }
}
