//! One signal's data: the head that takes what arrives, heads on their way to a segment, and segments.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::batch::{Name, Piece, Signal};
use super::cache::BlockCache;
use super::head::{Head, Names};
use super::options::{Options, Stats, StoreError};
use super::plan::{Newest, Plan};
use super::recover;
use super::segment::{Fault, Segment};
use crate::model::TraceId;

/// What a reader sees at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Oldest first.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Full heads, oldest first.
    pub(crate) sealing: Vec<Arc<Head>>,
    pub(crate) active: Arc<Head>,
}

/// Shared between readers, the writer and the keeper (sealing, merging, retention).
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) signal: Signal,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) names: Arc<Names>,
    cache: Arc<BlockCache>,
    view: RwLock<View>,
    pub(crate) turn: Arc<Turn>,
    pub(crate) stopping: AtomicBool,
    seal_failure: Mutex<Option<StoreError>>,
    pub(crate) refused: AtomicU64,
    pub(crate) set_aside: AtomicU64,
}

/// Where threads wait for one another.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pokes: Mutex<u64>,
    poked: Condvar,
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(
        signal: Signal,
        dir: PathBuf,
        options: Options,
        shared: &super::Shared,
        view: View,
    ) -> Self {
        Self {
            signal,
            dir,
            options,
            names: Arc::clone(&shared.names),
            cache: Arc::clone(&shared.cache),
            view: RwLock::new(view),
            turn: Arc::clone(&shared.turn),
            stopping: AtomicBool::new(false),
            seal_failure: Mutex::default(),
            refused: AtomicU64::new(0),
            set_aside: AtomicU64::new(0),
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The head that takes what arrives.
    pub(crate) fn active(&self) -> Arc<Head> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner).active)
    }

    /// Full heads that wait to be sealed.
    pub(crate) fn waiting(&self) -> usize {
        self.view.read().unwrap_or_else(PoisonError::into_inner).sealing.len()
    }

    /// Changes the view in one step, and pokes who waits for that.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
        self.turn.poke();
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.turn.poke();
    }

    /// Remembers why sealing does not get on, or that it does.
    pub(crate) fn seal_failure(&self, failure: Option<StoreError>) {
        *self.seal_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Why there is no room: what keeps sealing from getting on, or that it is merely slow.
    pub(crate) fn why_no_room(&self) -> StoreError {
        self.seal_failure.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(StoreError::Busy)
    }

    /// What is held of a trace, oldest first, at most `max` pieces.
    pub(crate) fn collect(&self, id: TraceId, max: usize) -> Result<Vec<Piece>, StoreError> {
        let view = self.view();
        let mut pieces = Vec::new();
        for segment in &view.segments {
            if pieces.len() >= max {
                break;
            }
            let collected = segment.collect(id, max, &self.cache, &mut pieces);
            self.survive(segment, collected)?;
        }
        for head in view.sealing.iter().chain([&view.active]) {
            head.collect(id, max, &mut pieces);
        }
        Ok(pieces)
    }

    /// The traces with the newest matching spans.
    pub(crate) fn search(&self, plan: &Plan<'_>, limit: usize) -> Result<Vec<TraceId>, StoreError> {
        let view = self.view();
        let mut newest = Newest::new(limit);
        for head in view.sealing.iter().chain([&view.active]).rev() {
            head.search(plan, &mut newest);
        }
        let mut segments = view.segments;
        segments.sort_unstable_by_key(|segment| std::cmp::Reverse(segment.facts.max_start));
        for segment in &segments {
            if !newest.wants(segment.facts.max_start) {
                break;
            }
            if !plan.misses(segment.facts.min_start, segment.facts.max_start) {
                let searched = segment.search(plan, &self.cache, &mut newest);
                self.survive(segment, searched)?;
            }
        }
        Ok(newest.into_ids())
    }

    /// Goes on without a damaged segment.
    pub(crate) fn survive(
        &self,
        segment: &Arc<Segment>,
        outcome: Result<(), Fault>,
    ) -> Result<(), StoreError> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Fault::Corrupt(what)) => {
                self.put_aside(segment, what);
                Ok(())
            }
            Err(fault) => Err(fault.into_error("read", &segment.path)),
        }
    }

    /// Takes a damaged segment out of service.
    pub(crate) fn put_aside(&self, segment: &Arc<Segment>, what: &str) {
        let mut mine = false;
        self.change(|view| {
            let before = view.segments.len();
            view.segments.retain(|other| !Arc::ptr_eq(other, segment));
            mine = view.segments.len() < before;
        });
        if mine {
            self.set_aside.fetch_add(1, Ordering::Relaxed);
            tracing::error!(path = %segment.path.display(), what, "a segment is damaged");
            if let Err(error) = recover::put_aside(&segment.path) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the damaged segment stays where it is"
                );
            }
        }
    }

    /// Services and span names, repeated.
    pub(crate) fn names(&self) -> impl Iterator<Item = Arc<Name>> + use<> {
        let view = self.view();
        let mut names: Vec<Arc<Name>> = view.segments.iter().flat_map(|s| s.names.iter().cloned()).collect();
        names.extend(view.sealing.iter().chain([&view.active]).flat_map(|head| head.names()));
        names.into_iter()
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        let view = self.view();
        let mut items = 0;
        for segment in &view.segments {
            items += segment.facts.items;
            stats.segments += 1;
            stats.segment_bytes += segment.bytes;
            stats.set_aside += segment.bad_blocks();
        }
        for head in view.sealing.iter().chain([&view.active]) {
            items += head.items() as u64;
            stats.head_bytes += head.memory();
        }
        match self.signal {
            Signal::Spans => stats.spans += items,
            Signal::Logs => stats.logs += items,
        }
        stats.refused += self.refused.load(Ordering::Relaxed);
        stats.set_aside += self.set_aside.load(Ordering::Relaxed);
    }
}

// === impl Turn ===

impl Turn {
    pub(crate) fn poke(&self) {
        *self.pokes.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.poked.notify_all();
    }

    /// Taken before looking, so that a poke between looking and waiting is not missed.
    pub(crate) fn ticket(&self) -> u64 {
        *self.pokes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a poke since the ticket, this long at most.
    pub(crate) fn wait(&self, ticket: u64, most: Duration) {
        let pokes = self.pokes.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.poked.wait_timeout_while(pokes, most, |pokes| *pokes == ticket));
    }
}
