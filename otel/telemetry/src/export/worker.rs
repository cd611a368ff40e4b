//! Sends batches, one at a time and in order, and does not let go of one easily.
//!
//! A batch that was refused or could not be delivered is sent again with growing pauses until it is 60 s old; the queue
//! behind it fills meanwhile, up to its bound.

use super::queue::{Batch, Queue};
use crate::stats::Drop;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as sync};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// How long a batch is kept.
const KEEP: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// At the end there is no time for long pauses.
const LAST_PAUSE: Duration = Duration::from_millis(200);
/// What a flush may be late.
const GRACE: Duration = Duration::from_millis(500);
/// Drops are logged this often at most.
const QUIET: Duration = Duration::from_secs(10);

/// Where batches go.
pub(crate) trait Sink<T>: Send + Sync + 'static {
    /// Sees each batch once, before the first attempt.
    fn admit(&self, items: &mut [T]);

    /// One attempt.
    fn send(&self, items: &[T]) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Trying again may help.
    pub(crate) again: bool,
    /// The receiver asked to wait this long.
    pub(crate) pause: Option<Duration>,
    pub(crate) cause: String,
}

/// Whether everything left in time.
pub(crate) type Flushed = bool;

/// Asks the worker to send all there is.
struct Flush {
    until: Instant,
    last: bool,
    done: sync::Sender<Flushed>,
}

/// The handle of a running worker.
#[derive(Debug, Clone)]
pub(crate) struct Worker(mpsc::UnboundedSender<Flush>);

struct Running<T, S> {
    queue: Arc<Queue<T>>,
    sink: S,
    what: &'static str,
    delay: Duration,
    timeout: Duration,
    keep: Duration,
    flushes: mpsc::UnboundedReceiver<Flush>,
    pending: Option<Flush>,
    /// Since when nothing gets through.
    down: Option<Instant>,
    logged_drops: (u64, Option<Instant>),
}

// === impl Worker ===

impl Worker {
    /// The worker as a future for the export runtime, and its handle.
    pub(crate) fn new<T: Send + Sync + 'static>(
        what: &'static str,
        queue: Arc<Queue<T>>,
        sink: impl Sink<T>,
        delay: Duration,
        timeout: Duration,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, flushes) = mpsc::unbounded_channel();
        let delay = delay.max(Duration::from_millis(1));
        let running = Running {
            queue,
            sink,
            what,
            delay,
            timeout,
            keep: KEEP,
            flushes,
            pending: None,
            down: None,
            logged_drops: (0, None),
        };
        (Self(sender), running.run())
    }

    /// Sends everything, and with `last` stops. `false` when something is left at `until`.
    pub(crate) fn flush(&self, until: Instant, last: bool) -> Flushed {
        let (done, result) = sync::channel();
        if self.0.send(Flush { until, last, done }).is_err() {
            return true; // stopped before, with nothing left to send
        }
        // A plain channel waits on any thread, inside any runtime. The worker answers at `until` at the latest.
        let patience = until.saturating_duration_since(Instant::now()) + GRACE;
        result.recv_timeout(patience).unwrap_or(false)
    }
}

// === impl Running ===

impl<T: Send + Sync + 'static, S: Sink<T>> Running<T, S> {
    async fn run(mut self) {
        loop {
            let wait = match self.queue.oldest() {
                Some(born) => (born + self.delay).saturating_duration_since(Instant::now()),
                None => self.delay,
            };
            tokio::select! {
                () = self.queue.full.notified() => self.drain(false).await,
                () = tokio::time::sleep(wait) => self.drain(true).await,
                flush = self.flushes.recv() => match flush {
                    Some(flush) => self.pending = Some(flush),
                    None => return, // every handle is gone: nobody is left to end spans either
                },
            }
            self.say_drops();
            if let Some(flush) = self.pending.take() {
                let last = flush.last;
                self.flush(flush).await;
                if last {
                    self.logged_drops.1 = None;
                    self.say_drops();
                    return;
                }
            }
        }
    }

    /// Sends what is ready; `partial` also what is not full, but only what was there at the start.
    async fn drain(&mut self, partial: bool) {
        let start = Instant::now();
        while self.queue.oldest().is_some_and(|born| !partial || born <= start) {
            let Some(batch) = self.queue.pop(partial) else { return };
            self.deliver(batch).await;
            if self.pending.is_some() {
                return;
            }
        }
    }

    async fn flush(&mut self, flush: Flush) {
        let (until, last) = (flush.until, flush.last);
        if last {
            self.queue.close();
        }
        let lost_before = self.queue.counters.shutdown.load(Ordering::Relaxed);
        self.pending = Some(flush);
        while let Some(batch) = self.queue.pop(true) {
            self.deliver(batch).await;
            if !last && Instant::now() >= until {
                break;
            }
        }
        if let Some(flush) = self.pending.take() {
            let complete = self.queue.oldest().is_none()
                && self.queue.counters.shutdown.load(Ordering::Relaxed) == lost_before;
            let _ = flush.done.send(complete);
        }
    }

    /// A flush that is not the last gets its answer when its time is up; the batch goes on as before.
    fn end_overdue_flush(&mut self) {
        if let Some(flush) = self.pending.take_if(|flush| !flush.last && Instant::now() >= flush.until) {
            let _ = flush.done.send(false);
        }
    }

    /// Tries until it is through, refused for good, too old, or out of time.
    async fn deliver(&mut self, mut batch: Batch<T>) {
        self.sink.admit(&mut batch.items);
        let count = batch.items.len();
        let first = Instant::now();
        let mut pause = FIRST_PAUSE;
        let outcome = loop {
            match self.attempt(&batch.items).await {
                Ok(()) => break None,
                Err(failure) if !failure.again => {
                    warn!(target: "telemetry", signal = self.what, items = count, error = failure.cause, "the receiver rejected telemetry");
                    break Some(Drop::Rejected);
                }
                Err(failure) => {
                    self.say_down(&failure);
                    self.end_overdue_flush();
                    if self.out_of_time() {
                        break Some(Drop::Shutdown);
                    }
                    // A batch that waited behind another has used up its time there, but for one attempt.
                    if first.elapsed() >= self.keep
                        || (self.down_for() >= self.keep && batch.born.elapsed() >= self.keep)
                    {
                        break Some(Drop::Expired);
                    }
                    self.queue.counters.retries.fetch_add(1, Ordering::Relaxed);
                    self.rest(failure.pause.unwrap_or(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        match outcome {
            None => {
                self.queue.counters.exported.fetch_add(count as u64, Ordering::Relaxed);
                self.say_up();
            }
            Some(why) => self.queue.counters.drop(why, count as u64),
        }
        self.queue.release(count);
    }

    /// One attempt, no longer than the export timeout or the time that is left.
    async fn attempt(&mut self, items: &[T]) -> Result<(), Failure> {
        let limit = self.time_left().map_or(self.timeout, |left| left.min(self.timeout));
        let late = Failure { again: true, pause: None, cause: "no answer in time".to_owned() };
        let send = tokio::time::timeout(limit, self.sink.send(items));
        tokio::pin!(send);
        tokio::select! {
            sent = &mut send => sent.unwrap_or(Err(late)),
            // A deadline that arrives while a receiver hangs cuts the attempt short.
            Some(flush) = self.flushes.recv(), if self.pending.is_none() => {
                let left = flush.until.saturating_duration_since(Instant::now());
                self.pending = Some(flush);
                match tokio::time::timeout(left, &mut send).await {
                    Ok(sent) => sent.unwrap_or(Err(late)),
                    Err(_) => Err(late),
                }
            }
        }
    }

    /// Pauses, but not beyond the deadline of a flush, and shorter at the end.
    async fn rest(&mut self, pause: Duration) {
        let pause =
            if self.pending.as_ref().is_some_and(|flush| flush.last) { pause.min(LAST_PAUSE) } else { pause };
        let pause = self.time_left().map_or(pause, |left| left.min(pause));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(flush) = self.flushes.recv(), if self.pending.is_none() => self.pending = Some(flush),
        }
    }

    fn time_left(&self) -> Option<Duration> {
        self.pending.as_ref().map(|flush| flush.until.saturating_duration_since(Instant::now()))
    }

    fn out_of_time(&self) -> bool {
        self.pending.as_ref().is_some_and(|flush| flush.last && Instant::now() >= flush.until)
    }

    fn down_for(&self) -> Duration {
        self.down.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn say_down(&mut self, failure: &Failure) {
        if self.down.is_none() {
            self.down = Some(Instant::now());
            warn!(target: "telemetry", signal = self.what, error = failure.cause, "telemetry cannot be delivered, it is kept for 60 s");
        }
    }

    fn say_up(&mut self) {
        if let Some(since) = self.down.take() {
            let outage_ms = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
            info!(target: "telemetry", signal = self.what, outage_ms, "telemetry is delivered again");
        }
    }

    fn say_drops(&mut self) {
        let (logged, at) = self.logged_drops;
        let dropped = self.queue.counters.dropped();
        if dropped > logged && at.is_none_or(|at| at.elapsed() >= QUIET) {
            warn!(target: "telemetry", signal = self.what, dropped = dropped - logged, total = dropped, "telemetry was dropped");
            self.logged_drops = (dropped, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Counters;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    /// Refuses until it is told otherwise.
    #[derive(Clone, Default)]
    struct Moody(Arc<AtomicBool>);

    impl Sink<u32> for Moody {
        fn admit(&self, _: &mut [u32]) {}

        async fn send(&self, _: &[u32]) -> Result<(), Failure> {
            let failure = Failure { again: true, pause: None, cause: "not now".to_owned() };
            if self.0.load(Ordering::Relaxed) { Ok(()) } else { Err(failure) }
        }
    }

    async fn eventually(counter: &AtomicU64, at_least: u64) {
        while counter.load(Ordering::Relaxed) < at_least {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn what_is_refused_for_too_long_is_given_up_and_counted_and_the_next_goes_through() {
        let counters: &'static Counters = Box::leak(Box::new(Counters::new()));
        let queue = Arc::new(Queue::new(100, 10, counters));
        (0..30).for_each(|i| queue.push(i));
        let sink = Moody::default();
        let (sender, flushes) = mpsc::unbounded_channel();
        let running = Running {
            queue: Arc::clone(&queue),
            sink: sink.clone(),
            what: "test",
            delay: Duration::from_millis(5),
            timeout: Duration::from_secs(1),
            keep: Duration::from_millis(300),
            flushes,
            pending: None,
            down: None,
            logged_drops: (0, None),
        };
        let task = tokio::spawn(running.run());
        eventually(&counters.expired, 30).await;
        assert!(counters.retries.load(Ordering::Relaxed) > 0);
        sink.0.store(true, Ordering::Relaxed);
        queue.push(31);
        eventually(&counters.exported, 1).await;
        assert_eq!(counters.expired.load(Ordering::Relaxed), 30);
        drop(sender);
        task.await.unwrap();
    }
}
