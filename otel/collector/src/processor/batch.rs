//! `batch`: gathers requests before they go on. As upstream, what it holds has been acknowledged and is lost if the
//! process is killed; `sending_queue::batch` over `file_storage` does the same without that loss.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{Place, ProcessorConfig, pass_on};
use crate::Error;
use crate::config::Section;
use crate::otlp::split::{Limit, split};
use crate::pipeline::{Batch, Consumer, Refusal};
use crate::start::Context;
use crate::telemetry::Counter;

/// Requests that may wait to be gathered; then their senders wait.
const WAITING: usize = 64;

#[derive(Debug, Clone)]
struct Config {
    timeout: Duration,
    send_size: u64,
    max_size: u64,
}

struct Batcher {
    waiting: Mutex<Option<mpsc::Sender<Batch>>>,
    gathering: Mutex<Option<JoinHandle<()>>>,
}

struct Gatherer {
    config: Config,
    id: String,
    next: Arc<dyn Consumer>,
    by_size: Counter,
    by_timeout: Counter,
}

pub(super) fn configure(mut section: Section) -> Option<Box<dyn ProcessorConfig>> {
    let config = Config {
        timeout: section.duration("timeout", Duration::from_millis(200)),
        send_size: section.number("send_batch_size").unwrap_or(8192),
        max_size: section.number("send_batch_max_size").unwrap_or(0),
    };
    if config.max_size != 0 && config.max_size < config.send_size {
        let text = format!("{} is less than send_batch_size {}", config.max_size, config.send_size);
        section.fault("send_batch_max_size", text);
    }
    section.unsupported(&["metadata_keys", "metadata_cardinality_limit"]);
    section.finish();
    Some(Box::new(config))
}

impl ProcessorConfig for Config {
    fn build(
        &self,
        place: &Place<'_>,
        next: Arc<dyn Consumer>,
        context: &Context,
    ) -> Result<Arc<dyn Consumer>, Error> {
        let id = place.id.to_string();
        let labels = [("processor", id.as_str())];
        let by_size = "Number of times the batch was sent due to a size trigger";
        let by_timeout = "Number of times the batch was sent due to a timeout trigger";
        let gatherer = Gatherer {
            config: self.clone(),
            next,
            by_size: context.registry.counter("processor_batch_batch_size_trigger_send", by_size, &labels),
            by_timeout: context.registry.counter("processor_batch_timeout_trigger_send", by_timeout, &labels),
            id,
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let gathering = tokio::spawn(gatherer.run(receiver));
        Ok(Arc::new(Batcher { waiting: Mutex::new(Some(sender)), gathering: Mutex::new(Some(gathering)) }))
    }
}

#[async_trait]
impl Consumer for Batcher {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        let sender = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || Refusal::busy("the collector is shutting down");
        sender.ok_or_else(closed)?.send(batch).await.map_err(|_| closed())
    }

    async fn stop(&self, deadline: Duration) {
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        let gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(gathering) = gathering {
            let _ = tokio::time::timeout(deadline, gathering).await;
        }
    }
}

impl Gatherer {
    async fn run(self, mut receiver: mpsc::Receiver<Batch>) {
        while let Some(mut batch) = receiver.recv().await {
            let deadline = Instant::now() + self.config.timeout;
            // A size of 0 sends each request as it comes; a time-out of 0 waits for nothing.
            while batch.items < self.config.send_size {
                match timeout_at(deadline, receiver.recv()).await {
                    Ok(Some(more)) => batch.append(more),
                    _ => break,
                }
            }
            if batch.items >= self.config.send_size {
                self.by_size.add(1)
            } else {
                self.by_timeout.add(1)
            }
            for piece in split(batch, Limit::Items(self.config.max_size)) {
                pass_on(&self.id, &self.next, piece).await;
            }
        }
    }
}
