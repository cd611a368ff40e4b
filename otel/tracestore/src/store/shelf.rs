//! One signal's data: the head that takes what arrives, heads on their way to a segment, and segments.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use super::batch::{Name, Piece, Signal};
use super::head::{Head, Names};
use super::options::{Options, Stats, StoreError};
use super::plan::{Newest, Plan};
use crate::model::TraceId;

/// What a reader sees at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
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
    view: RwLock<View>,
    /// Pokes whoever waits for a head to be sealed, or for one to seal.
    pub(crate) turn: (Mutex<()>, Condvar),
    pub(crate) stopping: AtomicBool,
    pub(crate) refused: AtomicU64,
    pub(crate) set_aside: AtomicU64,
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(signal: Signal, dir: PathBuf, options: Options, names: Arc<Names>, view: View) -> Self {
        Self {
            signal,
            dir,
            options,
            names,
            view: RwLock::new(view),
            turn: (Mutex::new(()), Condvar::new()),
            stopping: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            set_aside: AtomicU64::new(0),
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the view in one step, and pokes who waits for that.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
        self.poke();
    }

    pub(crate) fn poke(&self) {
        drop(self.turn.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.turn.1.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.poke();
    }

    /// What is held of a trace, oldest first, at most `max` pieces.
    pub(crate) fn collect(&self, id: TraceId, max: usize) -> Result<Vec<Piece>, StoreError> {
        let view = self.view();
        let mut pieces = Vec::new();
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
        Ok(newest.into_ids())
    }

    /// Services and span names, repeated.
    pub(crate) fn names(&self) -> impl Iterator<Item = Arc<Name>> + use<> {
        let view = self.view();
        let names: Vec<Arc<Name>> =
            view.sealing.iter().chain([&view.active]).flat_map(|head| head.names()).collect();
        names.into_iter()
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        let view = self.view();
        let mut items = 0;
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
