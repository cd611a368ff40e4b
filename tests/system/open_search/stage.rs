//! A fleet whose collector sends all spans to two stores: the embedded one, and a real Jaeger on OpenSearch. Between Jaeger
//! and OpenSearch is a line that can be cut.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::{Jaeger, OpenSearch, Peers};
use crate::{
    customer::{Customer, Ordered, SUSHI},
    harness::{Ended, Fleet, eventually, http, run, waybill},
    kills::charges,
    proxy::Proxy,
    where_is::{objects, plainly},
};

/// The collector's exporter for Jaeger.
pub(super) const EXPORTER: &str = "otlp_grpc/jaeger";

pub(super) struct Stage {
    pub(super) fleet: Fleet,
    pub(super) jaeger: Jaeger,
    pub(super) line: Proxy,
    pub(super) search: OpenSearch,
    prefix: &'static str,
    _folder: TempDir,
}

// === impl Stage ===

impl Stage {
    /// All of it, with further arguments of `waybill up`; the indices that begin with `prefix` are new.
    pub(super) async fn start(prefix: &'static str, peers: &Peers, arguments: &[&str]) -> Self {
        Self::through(prefix, peers, EXPORTER, async |jaeger| jaeger.otlp_grpc.clone(), arguments).await
    }

    /// The same with another exporter for Jaeger, at the endpoint that `endpoint` says.
    pub(super) async fn through(
        prefix: &'static str,
        peers: &Peers,
        exporter: &str,
        endpoint: impl AsyncFnOnce(&Jaeger) -> String,
        arguments: &[&str],
    ) -> Self {
        let search = peers.search.clone();
        search.ask(Method::DELETE, &format!("/{prefix}-jaeger-*"), None).await;
        let line = Proxy::to(search.address());
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("jaeger.log");
        let jaeger = peers.jaeger(prefix, &format!("http://{}", line.address), &log).await;
        let config = two_stores(exporter, &endpoint(&jaeger).await);
        let fleet = with_collector(folder.path(), &config, arguments).await;
        Self { fleet, jaeger, line, search, prefix, _folder: folder }
    }

    /// The index that holds today's spans.
    pub(super) async fn index(&self) -> String {
        let path = format!("/_cat/indices/{}-jaeger-span-*?format=json&h=index", self.prefix);
        let all = self.search.ask(Method::GET, &path, None).await;
        let last = all.as_array().unwrap().iter().filter_map(|i| i["index"].as_str()).max();
        last.unwrap_or_else(|| panic!("no index of spans: {all}")).to_owned()
    }

    /// An order that is delivered, whatever becomes of its spans in Jaeger.
    pub(super) async fn delivered(&self, customer: &Customer) -> Ordered {
        let order = customer.order(SUSHI).await;
        customer.until(&order.id, "delivered").await;
        order
    }

    /// Waits until Jaeger has as many spans of the order as the embedded store, and it has them all.
    pub(super) async fn whole(&self, order: &Ordered) {
        let url = format!("{}/api/traces/{}", self.fleet.url("tracestore", "http"), order.trace_id);
        eventually(&format!("all spans of {} in Jaeger", order.trace_id), || async {
            let answer: Value = http()
                .get(&url)
                .send()
                .await
                .map_err(|e| e.to_string())?
                .json()
                .await
                .map_err(|e| e.to_string())?;
            let spans = answer["data"][0]["spans"].as_array().ok_or("not in the embedded store")?;
            let told = spans.iter().any(|s| s["operationName"] == "process order.delivered");
            let (here, there) = (spans.len(), self.jaeger.spans(&order.trace_id).await?);
            if told && here == there { Ok(()) } else { Err(format!("{there} of {here} spans")) }
        })
        .await;
    }

    /// `waybill where` in Jaeger with the services' books, and further arguments.
    pub(super) async fn ask(&self, id: &str, more: &[&str]) -> Ended {
        let endpoints = self.fleet.data().join("endpoints.json");
        let mut arguments = vec![id, "--json", "--jaeger", &self.jaeger.query];
        arguments.extend(["--endpoints", endpoints.to_str().unwrap()]);
        arguments.extend(more);
        plainly(&arguments, "").await
    }

    /// `waybill lost` in Jaeger with the services' books, and further arguments.
    pub(super) async fn lost(&self, more: &[&str]) -> Ended {
        let mut command = waybill(["lost", "--json", "--since", "10m", "--jaeger", &self.jaeger.query]);
        command.arg("--endpoints").arg(self.fleet.data().join("endpoints.json")).args(more);
        run(command).await
    }

    /// What `lost` says, which must not be that it cannot ask.
    pub(super) async fn losses(&self) -> Value {
        let ended = self.lost(&[]).await;
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr))
    }

    /// A counter of the collector's exporter for Jaeger.
    pub(super) async fn counter(&self, name: &str) -> Result<f64, String> {
        let url = format!("{}/metrics", self.fleet.url("collector", "metrics"));
        let text = http().get(url).send().await.map_err(|e| e.to_string())?;
        let text = text.text().await.map_err(|e| e.to_string())?;
        let mut lines = text.lines().filter(|l| l.starts_with(name) && l.contains("/jaeger\""));
        let value = lines.next().and_then(|l| l.rsplit(' ').next()?.parse().ok());
        value.ok_or_else(|| format!("no {name} in {text}"))
    }

    /// That `where` finds no span of the order in Jaeger, and says that the services know it all the same.
    pub(super) async fn only_in_the_books(&self, order: &Ordered) {
        assert_eq!(self.jaeger.spans(&order.trace_id).await, Ok(0));
        let ended = self.ask(&order.id, &[]).await;
        assert_eq!(ended.status.code(), Some(3), "{}{}", ended.stdout, ended.stderr);
        let sentence = objects(&ended)[0]["sentence"].as_str().unwrap().to_owned();
        assert!(sentence.contains("books know the order: delivered"), "{sentence}");
        assert!(sentence.contains("missing, not the order"), "{sentence}");
    }

    /// That nothing is called lost.
    pub(super) async fn nothing_is_lost(&self) {
        let told = self.losses().await;
        assert_eq!((&told["lost"], &told["stopped"]), (&json!(0), &json!([])), "{told:#}");
    }

    /// That `where` and `lost` end with status 4 and one line that holds `word`.
    pub(super) async fn cannot_be_asked(&self, id: &str, word: &str) {
        let brief = ["--timeout", "2s"];
        for ended in [self.ask(id, &brief).await, self.lost(&brief).await] {
            assert_eq!(ended.status.code(), Some(4), "{}{}", ended.stdout, ended.stderr);
            assert!(ended.stdout.is_empty(), "a verdict all the same: {}", ended.stdout);
            assert_eq!(ended.stderr.trim().lines().count(), 1, "{}", ended.stderr);
            assert!(ended.stderr.contains(&self.jaeger.query), "{}", ended.stderr);
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
    }

    /// That each of `orders` was paid exactly once, and none was given back: asked of the card network.
    pub(super) async fn each_paid_once(&self, orders: &[&Ordered]) {
        let all = charges(&self.fleet).await;
        assert_eq!(all.len(), orders.len(), "{all:#?}");
        for charge in &all {
            assert_eq!(charge["refunds"], json!([]), "{charge}");
        }
        for order in orders {
            let times = all.iter().filter(|c| c["reference"] == order.id).count();
            assert_eq!(times, 1, "order {} was charged {times} times", order.id);
        }
    }
}

/// The repository's collector configuration, in which spans go on to `endpoint`, too, with the same queue and patience.
fn two_stores(exporter: &str, endpoint: &str) -> Value {
    let mut config = collector_config();
    let mut second = config["exporters"]["otlp_grpc/tracestore"].clone();
    second["endpoint"] = endpoint.into();
    config["exporters"][exporter] = second;
    add_exporter(&mut config, "traces", exporter);
    config
}

/// `collector-config.yaml`.
pub(super) fn collector_config() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/collector-config.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// One more exporter for a pipeline.
pub(super) fn add_exporter(config: &mut Value, pipeline: &str, name: &str) {
    let exporters = &mut config["service"]["pipelines"][pipeline]["exporters"];
    exporters.as_array_mut().unwrap().push(name.into());
}

/// A fleet whose collector has `config`; JSON is YAML, too.
pub(super) async fn with_collector(folder: &Path, config: &Value, arguments: &[&str]) -> Fleet {
    let path = folder.join("collector.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    let mut all = vec!["--collector-config", path.to_str().unwrap()];
    all.extend(arguments);
    Fleet::with(&all).await
}
