//! `memory_limiter`: refuses telemetry, with a retryable error, while the process uses more memory than the soft limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use super::{Place, ProcessorConfig};
use crate::Error;
use crate::config::Section;
use crate::pipeline::{Batch, Consumer, Refusal};
use crate::process;
use crate::start::Context;
use crate::telemetry::Counter;

#[derive(Debug)]
struct Config {
    check_interval: Duration,
    /// Above this, in bytes, telemetry is refused.
    soft_limit: u64,
}

struct Limiter {
    next: Arc<dyn Consumer>,
    above: Arc<AtomicBool>,
    watching: AbortHandle,
    interval: Duration,
    accepted: Counter,
    refused: Counter,
}

pub(super) fn configure(mut section: Section) -> Option<Box<dyn ProcessorConfig>> {
    let check_interval = section.duration("check_interval", Duration::ZERO);
    if check_interval.is_zero() {
        section.fault("check_interval", "must be greater than zero");
    }
    let limit_mib = section.number("limit_mib").unwrap_or(0);
    let spike_mib = section.number("spike_limit_mib").unwrap_or(0);
    let limit_percentage = section.number("limit_percentage").unwrap_or(0);
    let spike_percentage = section.number("spike_limit_percentage").unwrap_or(0);
    section.unsupported(&["min_gc_interval_when_soft_limited", "min_gc_interval_when_hard_limited"]);
    for (key, value) in [("limit_percentage", limit_percentage), ("spike_limit_percentage", spike_percentage)]
    {
        if value > 100 {
            section.fault(key, "must be at most 100");
        }
    }
    let (limit, spike, spike_key) = if limit_mib > 0 {
        (limit_mib << 20, spike_mib << 20, "spike_limit_mib")
    } else {
        let total = process::total_memory().unwrap_or(0);
        (total / 100 * limit_percentage, total / 100 * spike_percentage, "spike_limit_percentage")
    };
    if limit_mib == 0 && limit_percentage == 0 {
        section.fault("limit_mib", "or limit_percentage must be greater than zero");
    } else if limit == 0 {
        section.fault("limit_percentage", "the memory of this machine is not known, set limit_mib");
    } else if spike >= limit {
        section.fault(spike_key, "must be smaller than the limit");
    }
    section.finish();
    // A spike limit that is not given is a fifth of the limit.
    let spike = if spike == 0 { limit / 5 } else { spike };
    Some(Box::new(Config { check_interval, soft_limit: limit.saturating_sub(spike) }))
}

impl ProcessorConfig for Config {
    fn build(
        &self,
        place: &Place<'_>,
        next: Arc<dyn Consumer>,
        context: &Context,
    ) -> Result<Arc<dyn Consumer>, Error> {
        let (id, signal) = (place.id.to_string(), place.signal);
        let labels = [("processor", id.as_str())];
        let counter = |word, help| {
            context.registry.counter(
                &format!("processor_memory_limiter_{word}_{}", signal.items()),
                help,
                &labels,
            )
        };
        let above = Arc::new(AtomicBool::new(false));
        let watching = tokio::spawn(watch(id.clone(), self.soft_limit, self.check_interval, above.clone()));
        Ok(Arc::new(Limiter {
            next,
            above,
            watching: watching.abort_handle(),
            interval: self.check_interval,
            accepted: counter(
                "accepted",
                "Number of items successfully pushed into the next component in the pipeline",
            ),
            refused: counter(
                "refused",
                "Number of items that were rejected by the next component in the pipeline",
            ),
        }))
    }
}

#[async_trait]
impl Consumer for Limiter {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        if self.above.load(Ordering::Relaxed) {
            self.refused.add(batch.items);
            let reason = "data refused due to high memory usage".to_owned();
            return Err(Refusal::Busy { reason, retry_after: self.interval.max(Duration::from_secs(1)) });
        }
        let items = batch.items;
        self.next.consume(batch).await?;
        self.accepted.add(items);
        Ok(())
    }

    async fn stop(&self, _deadline: Duration) {
        self.watching.abort();
    }
}

async fn watch(id: String, soft_limit: u64, interval: Duration, above: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(used) = process::rss_bytes() else { continue };
        let now = used > soft_limit;
        if above.swap(now, Ordering::Relaxed) != now {
            let (used_mib, soft_limit_mib) = (used >> 20, soft_limit >> 20);
            if now {
                tracing::warn!(processor = %id, used_mib, soft_limit_mib, "memory usage is above the soft limit, refusing data");
            } else {
                tracing::info!(processor = %id, used_mib, soft_limit_mib, "memory usage is back below the soft limit");
            }
        }
    }
}
