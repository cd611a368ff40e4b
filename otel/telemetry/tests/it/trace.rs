//! Telemetry in the test's own process, and a trace id for every test by which it finds its spans.

use crate::receiver::{Receiver, attribute};
use http::{Method, Request};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use telemetry::{Env, Guard, Service, context};

pub(crate) struct Shared {
    pub(crate) receiver: Receiver,
    pub(crate) guard: Mutex<Guard>,
}

static SHARED: OnceLock<Shared> = OnceLock::new();
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Telemetry of this process, sent to a receiver that lives on a thread of its own.
pub(crate) fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                sender.send(Receiver::start().await).unwrap();
                std::future::pending::<()>().await
            })
        });
        let receiver = receiver.recv().unwrap();
        let endpoint = format!("http://{}", receiver.address);
        let env: Env =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
                .into_iter()
                .chain([
                    ("OTEL_BSP_SCHEDULE_DELAY", "20"),
                    ("RUST_LOG", "off"),
                    ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
                ])
                .collect();
        let service = Service::new("layers", "1").baggage(&[("order.id", "order.id")]);
        Shared { receiver, guard: Mutex::new(telemetry::init_with(service, &env).unwrap()) }
    })
}

/// A trace that only this test knows.
pub(crate) struct Trace {
    pub(crate) id: String,
}

impl Trace {
    pub(crate) fn new() -> Self {
        shared();
        Self { id: format!("{:032x}", 0x7e57_0000_0000_u64 + NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    pub(crate) fn parent(&self) -> String {
        format!("00-{}-00000000000000aa-01", self.id)
    }

    /// The trace as it would be stored with a cart.
    pub(crate) fn stored(&self) -> context::StoredContext {
        context::StoredContext { traceparent: self.parent(), ..Default::default() }
    }

    pub(crate) fn request(&self, method: Method, uri: &str) -> http::request::Builder {
        Request::builder().method(method).uri(uri).header("traceparent", self.parent())
    }

    /// The spans of this trace, once there are `count`.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        for _ in 0..200 {
            let trace = self.id.clone();
            let found = tokio::task::spawn_blocking(move || {
                assert!(shared().guard.lock().unwrap().flush(Duration::from_secs(5)));
                let mut all = shared().receiver.spans();
                all.retain(|span| hex(&span.trace_id) == trace);
                all
            });
            let found = found.await.unwrap();
            if found.len() >= count {
                assert_eq!(found.len(), count, "{:?}", found.iter().map(|s| &s.name).collect::<Vec<_>>());
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {count} spans in trace {}", self.id);
    }

    pub(crate) async fn only(&self) -> Span {
        self.spans(1).await.remove(0)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn get_of(span: &Span, key: &str) -> String {
    attribute(&span.attributes, key).unwrap_or_else(|| panic!("no {key} on {}", span.name))
}

pub(crate) fn has(span: &Span, key: &str) -> bool {
    attribute(&span.attributes, key).is_some()
}

/// 0 unset, 2 error.
pub(crate) fn status(span: &Span) -> i32 {
    span.status.as_ref().map_or(0, |status| status.code)
}

pub(crate) fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no span {name}"))
}
