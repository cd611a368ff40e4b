//! What stands in front of every exporter's wire: queue, batching, retries, counting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::retry::Waits;
use super::{SendError, Transport};
use crate::Error;
use crate::config::{BatchConfig, Id, QueueConfig, RetryConfig, Sizer};
use crate::otlp::split::{Limit, split};
use crate::pipeline::{Batch, Consumer, Refusal, Signal};
use crate::queue::{Handed, Queue};
use crate::start::Context;
use crate::telemetry::{Counter, Histogram};

/// Upstream's bounds of a batch's size.
const BATCH_SIZES: &[u64] = &[
    10, 25, 50, 75, 100, 250, 500, 750, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000, 20_000,
    30_000, 50_000, 100_000,
];

/// An exporter without its wire.
pub(crate) struct Sender {
    delivery: Arc<Delivery>,
    queue: Option<Arc<Queue>>,
    enqueue_failed: Counter,
    stop: watch::Sender<bool>,
    dispatcher: Mutex<Option<JoinHandle<()>>>,
}

/// Delivers batches.
struct Delivery {
    id: String,
    transport: Arc<dyn Transport>,
    retry: RetryConfig,
    batch: Option<BatchConfig>,
    durable: bool,
    sent: Counter,
    failed: Counter,
    /// Sends under way, retries included.
    in_flight: Arc<AtomicU64>,
    batch_sizes: Option<Histogram>,
    stopping: watch::Receiver<bool>,
}

/// A send under way, counted while it lives.
struct UnderWay(Arc<AtomicU64>);

/// How a delivery ended.
enum Outcome {
    Sent,
    /// The backend will never take it.
    Rejected(String),
    /// Time or attempts ran out.
    GivenUp(String),
    /// It stays in the durable queue.
    Kept,
}

// === impl Sender ===

impl Sender {
    /// Builds the sender of one exporter for one signal, with its queue.
    pub(crate) fn build(
        id: &Id,
        signal: Signal,
        server: &Uri,
        transport: Arc<dyn Transport>,
        queue: Option<&QueueConfig>,
        retry: &RetryConfig,
        context: &Context,
    ) -> Result<Arc<Self>, Error> {
        let exporter = id.to_string();
        let counter = |word: &str, help, labels: &[(&str, &str)]| {
            context.registry.counter(&format!("exporter_{word}_{}", signal.items()), help, labels)
        };
        let port = server.port_u16().map(|port| port.to_string());
        let mut of_server = vec![("exporter", exporter.as_str())];
        of_server.push(("server_address", server.host().unwrap_or_default()));
        of_server.extend(port.as_deref().map(|port| ("server_port", port)));
        // A gRPC target has no path; the method is no part of it.
        of_server.extend(Some(server.path()).filter(|path| *path != "/").map(|path| ("url_path", path)));
        let store = match queue.and_then(|queue| queue.storage.as_ref()) {
            Some(storage) => Some(context.storage(storage, &format!("exporter_{exporter}"), signal)?),
            None => None,
        };
        let (stop, stopping) = watch::channel(false);
        let in_flight: Arc<AtomicU64> = Arc::default();
        let read = in_flight.clone();
        let of_signal = [("exporter", exporter.as_str()), ("data_type", signal.word())];
        let help = "Number of requests currently in flight";
        let read = move || read.load(Ordering::Relaxed) as f64;
        context.registry.gauge("exporter_in_flight_requests", help, &of_signal, read);
        let batch_sizes = queue.is_some().then(|| {
            let (name, help) = ("exporter_queue_batch_send_size", "Number of units in the batch");
            context.registry.histogram(name, help, "", BATCH_SIZES, &of_signal)
        });
        let delivery = Arc::new(Delivery {
            id: exporter.clone(),
            transport,
            retry: retry.clone(),
            batch: queue.and_then(|queue| queue.batch.clone()),
            durable: store.is_some(),
            sent: counter("sent", "Number of items successfully sent to destination", &of_server),
            failed: counter(
                "send_failed",
                "Number of items in failed attempts to send to destination",
                &of_server,
            ),
            in_flight,
            batch_sizes,
            stopping,
        });
        let enqueue_failed = counter(
            "enqueue_failed",
            "Number of items failed to be added to the sending queue",
            &[("exporter", exporter.as_str())],
        );
        let queue = queue.map(|config| (config, Arc::new(Queue::new(signal, config, store))));
        let dispatcher = queue.as_ref().map(|(config, queue)| {
            let (read, capacity) = (queue.clone(), config.size as f64);
            let help = "Current size of the sending queue (in units of its sizer)";
            context.registry.gauge("exporter_queue_size", help, &of_signal, move || read.size() as f64);
            let help = "Fixed capacity of the sending queue (in units of its sizer)";
            context.registry.gauge("exporter_queue_capacity", help, &of_signal, move || capacity);
            tokio::spawn(dispatch(delivery.clone(), queue.clone(), config.consumers))
        });
        let queue = queue.map(|(_, queue)| queue);
        Ok(Arc::new(Self { delivery, queue, enqueue_failed, stop, dispatcher: Mutex::new(dispatcher) }))
    }
}

#[async_trait]
impl Consumer for Sender {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let items = batch.items;
        let Some(queue) = &self.queue else { return self.delivery.deliver(batch).await.answer() };
        let taken = queue.push(batch).await;
        if taken.is_err() {
            self.enqueue_failed.add(items);
        }
        taken
    }

    fn last(&self) -> bool {
        true
    }

    async fn stop(&self, deadline: Duration) {
        let Some(queue) = &self.queue else {
            let _ = self.stop.send(true);
            return;
        };
        queue.close();
        let _ = self.stop.send(true);
        let dispatcher = self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut dispatcher) = dispatcher
            && tokio::time::timeout(deadline, &mut dispatcher).await.is_err()
        {
            dispatcher.abort();
            let _ = dispatcher.await;
        }
        let queue = queue.clone();
        let left = tokio::task::spawn_blocking(move || queue.finish()).await.unwrap_or(0);
        if left > 0 {
            self.delivery.failed.add(left);
            tracing::error!(exporter = %self.delivery.id, items = left, "dropped at shutdown: the backend did not take them in time");
        }
    }
}

// === impl Delivery ===

impl Delivery {
    async fn deliver(&self, batch: Batch) -> Outcome {
        if let Some(sizes) = &self.batch_sizes {
            sizes.record(batch.items);
        }
        let _under_way = UnderWay::new(&self.in_flight);
        self.send(batch).await
    }

    /// Sends `batch` until it is taken, or there is no sense in it any more.
    async fn send(&self, batch: Batch) -> Outcome {
        let mut waits = Waits::new(&self.retry);
        let mut stopping = self.stopping.clone();
        loop {
            let (after, message) = match self.transport.send(&batch).await {
                Ok(()) => {
                    self.sent.add(batch.items);
                    return Outcome::Sent;
                }
                Err(SendError::Permanent(message)) => return Outcome::Rejected(message),
                Err(SendError::Retryable { after, message }) => (after, message),
            };
            if self.durable && *stopping.borrow() {
                return Outcome::Kept;
            }
            let Some(wait) = waits.next(after) else { return Outcome::GivenUp(message) };
            tracing::warn!(exporter = %self.id, items = batch.items, wait = ?wait, %message, "export failed, will be tried again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop), if self.durable => return Outcome::Kept,
            }
        }
    }

    /// Delivers several requests as one batch, or as few as the size allows.
    async fn deliver_all(&self, requests: Vec<Handed>) {
        let Some(batch) = merged(&requests) else { return };
        let pieces = match self.batch.as_ref().and_then(BatchConfig::limit) {
            Some(limit) => split(batch, limit),
            None => vec![batch],
        };
        let mut last = Outcome::Sent;
        for piece in pieces {
            let items = piece.items;
            match self.deliver(piece).await {
                Outcome::Sent => {}
                Outcome::Kept => return,
                // One bad request must not take its neighbours with it.
                Outcome::Rejected(_) if requests.len() > 1 => return self.deliver_singly(requests).await,
                outcome => {
                    self.give_up(items, &outcome);
                    last = outcome;
                }
            }
        }
        let answer = last.answer();
        requests.into_iter().for_each(|request| request.settle(answer.clone()));
    }

    async fn deliver_singly(&self, requests: Vec<Handed>) {
        for request in requests {
            let outcome = self.deliver(request.batch.clone()).await;
            if matches!(outcome, Outcome::Kept) {
                continue;
            }
            self.give_up(request.batch.items, &outcome);
            request.settle(outcome.answer());
        }
    }

    fn give_up(&self, items: u64, outcome: &Outcome) {
        if let Outcome::Rejected(message) | Outcome::GivenUp(message) = outcome {
            self.failed.add(items);
            tracing::error!(exporter = %self.id, items, %message, "export failed for good, the data is dropped");
        }
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Outcome ===

impl Outcome {
    fn answer(self) -> Result<(), Refusal> {
        match self {
            Self::Sent => Ok(()),
            Self::Rejected(message) => Err(Refusal::Invalid(message)),
            Self::GivenUp(message) => Err(Refusal::busy(message)),
            Self::Kept => Err(Refusal::busy("the collector is shutting down")),
        }
    }
}

// === impl BatchConfig ===

impl BatchConfig {
    fn limit(&self) -> Option<Limit> {
        match (self.max_size, self.sizer) {
            (0, _) => None,
            (size, Sizer::Bytes) => Some(Limit::Bytes(size)),
            (size, _) => Some(Limit::Items(size)),
        }
    }

    fn size_of(&self, batch: &Batch) -> u64 {
        if self.sizer == Sizer::Bytes { batch.bytes() } else { batch.items }
    }
}

/// Takes requests from the queue, gathers them, and has at most `consumers` deliveries under way.
async fn dispatch(delivery: Arc<Delivery>, queue: Arc<Queue>, consumers: usize) {
    let places = Arc::new(Semaphore::new(consumers));
    let mut deliveries = JoinSet::new();
    loop {
        // The place comes first: what cannot be sent yet stays in the queue, on disk if it is durable.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let requests = gather(&delivery, &queue).await;
        if requests.is_empty() {
            break;
        }
        let delivery = delivery.clone();
        deliveries.spawn(async move {
            delivery.deliver_all(requests).await;
            drop(place);
        });
        while deliveries.try_join_next().is_some() {}
    }
    while deliveries.join_next().await.is_some() {}
}

/// The next request, and those that come before the batch is full or its time is up.
async fn gather(delivery: &Delivery, queue: &Queue) -> Vec<Handed> {
    let Some(first) = queue.pop().await else { return Vec::new() };
    let Some(batch) = &delivery.batch else { return vec![first] };
    let deadline = Instant::now() + batch.flush_timeout;
    let mut size = batch.size_of(&first.batch);
    let mut requests = vec![first];
    while size < batch.min_size {
        // A closed queue ends the wait as well.
        let Ok(Some(next)) = timeout_at(deadline, queue.pop()).await else { break };
        size += batch.size_of(&next.batch);
        requests.push(next);
    }
    requests
}

fn merged(requests: &[Handed]) -> Option<Batch> {
    let (first, rest) = requests.split_first()?;
    let mut batch = first.batch.clone();
    rest.iter().for_each(|request| batch.append(request.batch.clone()));
    Some(batch)
}
