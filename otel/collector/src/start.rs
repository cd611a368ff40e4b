//! Puts the configured parts together and takes them down again, in order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::Error;
use crate::config::{Config, Id, MetricsReader, PipelineConfig};
use crate::extension::ExtensionConfig;
use crate::pipeline::{Batch, Consumer, FanOut, Refusal, Signal};
use crate::processor::Place;
use crate::promtext;
use crate::queue::disk::Store;
use crate::receiver::{Budget, bind};
use crate::serve::{self, Handler, Limits, Server};
use crate::telemetry::{Counter, Registry, Spelling};

/// How long [`run`] lets requests end and queues drain.
const DRAIN: Duration = Duration::from_secs(5);

/// Bytes of requests that may be in the middle of being received, over all connections.
const RECEIVE_BUDGET: usize = 256 << 20;

/// What components are built with.
pub(crate) struct Context {
    pub(crate) registry: Registry,
    extensions: BTreeMap<Id, ExtensionConfig>,
}

/// A collector that runs. Dropped without [`Collector::stop`], it ends at once.
pub struct Collector {
    receivers: Vec<Server>,
    /// In the order in which telemetry passes: processors, then exporters.
    consumers: Vec<Arc<dyn Consumer>>,
    /// Scrape endpoints and health: they answer to the last.
    others: Vec<Server>,
    addresses: BTreeMap<String, SocketAddr>,
    ready: Arc<AtomicBool>,
}

type Exporters = BTreeMap<(Id, Signal), Arc<dyn Consumer>>;

/// Counts on the way to the next consumer.
struct Counted {
    next: Arc<dyn Consumer>,
    counter: Counter,
}

// === impl Counted ===

#[async_trait]
impl Consumer for Counted {
    async fn consume(&self, batch: Batch) -> Result<(), Refusal> {
        self.counter.add(batch.items);
        self.next.consume(batch).await
    }
}

// === impl Context ===

impl Context {
    /// Opens the files of `component` for `signal` in the extension `storage`.
    pub(crate) fn storage(&self, storage: &Id, component: &str, signal: Signal) -> Result<Store, Error> {
        match self.extensions.get(storage) {
            Some(ExtensionConfig::FileStorage(files)) => files.open(component, signal),
            _ => Err(Error::Config(vec![format!("`{storage}` is not a file_storage extension")])),
        }
    }
}

// === impl Collector ===

impl Collector {
    /// Starts what `config` describes. When this returns, every address is bound and served.
    ///
    /// # Errors
    /// [`Error::Bind`] for an address that is taken, [`Error::Storage`] for a directory that cannot be used.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let context = Context { registry: Registry::new(), extensions: config.extensions.clone() };
        let mut collector = Self {
            receivers: Vec::new(),
            consumers: Vec::new(),
            others: Vec::new(),
            addresses: BTreeMap::new(),
            ready: Arc::default(),
        };
        let started = collector.start_all(&config, &context).await;
        if let Err(error) = started {
            collector.stop(Duration::ZERO).await;
            return Err(error);
        }
        collector.ready.store(true, Ordering::Relaxed);
        tracing::info!(addresses = ?collector.addresses, "collector started");
        Ok(collector)
    }

    /// Where the collector listens, by name: `otlp/grpc`, `otlp/http` (with the receiver's id), an extension's or
    /// exporter's id, `telemetry`. Port 0 in the configuration is here the port that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<String, SocketAddr> {
        &self.addresses
    }

    /// Stops taking telemetry, passes on what it holds for at most `drain`, and ends. What a durable queue still holds
    /// then stays for the next start.
    pub async fn stop(self, drain: Duration) {
        self.ready.store(false, Ordering::Relaxed);
        let deadline = Instant::now() + drain;
        let left = || deadline.saturating_duration_since(Instant::now());
        futures::future::join_all(self.receivers.into_iter().map(|server| server.stop(left() / 2))).await;
        let (exporters, processors): (Vec<_>, Vec<_>) =
            self.consumers.into_iter().partition(|consumer| consumer.last());
        for processor in processors {
            processor.stop(left()).await;
        }
        futures::future::join_all(exporters.iter().map(|exporter| exporter.stop(left()))).await;
        futures::future::join_all(
            self.others.into_iter().map(|server| server.stop(Duration::from_millis(200))),
        )
        .await;
        tracing::info!("collector stopped");
    }

    async fn start_all(&mut self, config: &Config, context: &Context) -> Result<(), Error> {
        for (id, extension) in &config.extensions {
            match extension {
                ExtensionConfig::FileStorage(files) => files.prepare()?,
                ExtensionConfig::HealthCheck(health) => {
                    let listener = bind(&format!("extensions::{id}"), health.endpoint).await?;
                    let server =
                        serve::start(listener, health.service(self.ready.clone()), Limits::default());
                    self.also(id.to_string(), server);
                }
            }
        }
        for (at, reader) in config.telemetry.metrics.iter().enumerate() {
            let listener = bind("service::telemetry::metrics", reader.endpoint).await?;
            let server = serve::start(listener, scrape(reader, &context.registry), Limits::default());
            self.also(if at == 0 { "telemetry".into() } else { format!("telemetry/{at}") }, server);
        }
        let exporters = self.start_exporters(config, context).await?;
        let mut entries: BTreeMap<(Id, Signal), Vec<Arc<dyn Consumer>>> = BTreeMap::new();
        for pipeline in &config.pipelines {
            let first = self.start_pipeline(pipeline, config, &exporters, context)?;
            for receiver in &pipeline.receivers {
                entries.entry((receiver.clone(), pipeline.signal)).or_default().push(first.clone());
            }
        }
        self.start_receivers(config, context, &entries).await
    }

    async fn start_exporters(&mut self, config: &Config, context: &Context) -> Result<Exporters, Error> {
        let mut exporters = Exporters::new();
        for pipeline in &config.pipelines {
            for id in &pipeline.exporters {
                let key = (id.clone(), pipeline.signal);
                let Some(settings) = config.exporters.get(id).filter(|_| !exporters.contains_key(&key))
                else {
                    continue;
                };
                let built = settings.build(id, pipeline.signal, context).await?;
                self.consumers.push(built.consumer.clone());
                exporters.insert(key, built.consumer);
                if let Some(server) = built.server {
                    self.also(id.to_string(), server);
                }
            }
        }
        Ok(exporters)
    }

    fn start_pipeline(
        &mut self,
        pipeline: &PipelineConfig,
        config: &Config,
        exporters: &Exporters,
        context: &Context,
    ) -> Result<Arc<dyn Consumer>, Error> {
        let storage =
            pipeline.exporters.iter().find_map(|id| config.exporters.get(id).and_then(|one| one.storage()));
        let ends =
            pipeline.exporters.iter().filter_map(|id| exporters.get(&(id.clone(), pipeline.signal)).cloned());
        let mut next = fan_out(ends.collect());
        for id in pipeline.processors.iter().rev() {
            if let Some(settings) = config.processors.get(id) {
                let count = |word, next| counted(word, id, pipeline.signal, next, &context.registry);
                let place = Place { id, pipeline: &pipeline.id, signal: pipeline.signal, storage };
                let processor = settings.build(&place, count("outgoing", next), context)?;
                // In front of those that are there: what it holds passes through them when it is stopped.
                self.consumers.insert(0, processor.clone());
                next = count("incoming", processor);
            }
        }
        Ok(next)
    }

    async fn start_receivers(
        &mut self,
        config: &Config,
        context: &Context,
        entries: &BTreeMap<(Id, Signal), Vec<Arc<dyn Consumer>>>,
    ) -> Result<(), Error> {
        let budget = Budget::new(RECEIVE_BUDGET);
        for (id, receiver) in &config.receivers {
            let next = Signal::ALL
                .map(|signal| entries.get(&(id.clone(), signal)).map(|ends| fan_out(ends.clone())));
            if next.iter().all(Option::is_none) {
                continue;
            }
            for (name, server) in receiver.start(&id.to_string(), next, &context.registry, &budget).await? {
                self.addresses.insert(name, server.address());
                self.receivers.push(server);
            }
        }
        Ok(())
    }

    fn also(&mut self, name: String, server: Server) {
        self.addresses.insert(name, server.address());
        self.others.push(server);
    }
}

/// Runs the collector until `shutdown` is ready, then drains it.
///
/// # Errors
/// Those of [`Collector::start`].
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let collector = Collector::start(config).await?;
    shutdown.await;
    collector.stop(DRAIN).await;
    Ok(())
}

/// Counts what passes between two consumers, as `otelcol_processor_{incoming,outgoing}_items`.
fn counted(
    word: &str,
    id: &Id,
    signal: Signal,
    next: Arc<dyn Consumer>,
    registry: &Registry,
) -> Arc<dyn Consumer> {
    let processor = id.to_string();
    let labels = [("otel_signal", signal.word()), ("processor", processor.as_str())];
    let counter = registry.counter(
        &format!("processor_{word}_items"),
        "Number of items passed to or from the processor",
        &labels,
    );
    Arc::new(Counted { next, counter })
}

fn fan_out(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
    if consumers.len() == 1 { consumers.remove(0) } else { Arc::new(FanOut(consumers)) }
}

fn scrape(reader: &MetricsReader, registry: &Registry) -> impl Handler<Full<Bytes>> + use<> {
    let spelling =
        Spelling { without_type_suffix: reader.without_type_suffix, without_units: reader.without_units };
    let registry = registry.clone();
    move |request: Request<Incoming>| {
        let registry = registry.clone();
        async move {
            let found = request.uri().path() == "/metrics";
            let text = if found { registry.render(spelling) } else { String::new() };
            let mut response = Response::new(Full::new(Bytes::from(text)));
            if !found {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            response.headers_mut().insert("content-type", HeaderValue::from_static(promtext::CONTENT_TYPE));
            Ok::<_, Infallible>(response)
        }
    }
}
