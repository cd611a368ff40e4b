//! Names to addresses for calls to others: looked up anew for every connection, and each connection begins at the next
//! address, so that all replicas behind a name are used.
//!
//! The system's own order (RFC 6724, rule 9) prefers the same replica for ever. A server ends connections from time to
//! time (`WAYBILL_CONNECTION_AGE`); together the two spread calls and find replicas that are new.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    vec,
};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;

/// A lookup of one client. Clones take turns together.
#[derive(Clone)]
pub(crate) struct Names {
    lookup: Lookup,
    turn: Arc<AtomicUsize>,
}

type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

// === impl Names ===

impl Names {
    /// The system's resolver.
    pub(crate) fn system() -> Self {
        Self::new(Arc::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        }))
    }

    fn new(lookup: Lookup) -> Self {
        // Clients that start together should not all begin at the same replica.
        let start = uuid::Uuid::new_v4().as_bytes()[0];
        Self { lookup, turn: Arc::new(AtomicUsize::new(start.into())) }
    }

    /// All addresses of `name`, beginning with the one whose turn it is; the others are for when that one refuses.
    fn find(&self, name: String) -> BoxFuture<'static, io::Result<vec::IntoIter<SocketAddr>>> {
        let (found, turn) = ((self.lookup)(name), self.turn.clone());
        Box::pin(async move {
            let mut addresses = found.await?;
            addresses.sort_unstable();
            addresses.dedup();
            if !addresses.is_empty() {
                let first = turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
                addresses.rotate_left(first);
            }
            Ok(addresses.into_iter())
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl tower::Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        self.find(name.as_str().to_owned())
    }
}

impl reqwest::dns::Resolve for Names {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let found = self.find(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(found.await?) as reqwest::dns::Addrs) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{collections::BTreeMap, path::Path, time::Duration};

    use axum::{Router, routing::get};
    use contracts::tracking_v1::{
        StartReply, StartRequest,
        tracking_client::TrackingClient,
        tracking_server::{Tracking, TrackingServer},
    };
    use tonic::{Request, Response, Status, async_trait};

    use super::*;
    use crate::{App, Http, Running, Service, Settings, Start};

    /// Says which replica it is, over both protocols.
    struct Replica(String);

    #[async_trait]
    impl Tracking for Replica {
        async fn start(&self, _: Request<StartRequest>) -> Result<Response<StartReply>, Status> {
            Ok(Response::new(StartReply { ride_id: self.0.clone() }))
        }
    }

    fn app(start: &Start) -> App {
        let name = start.settings.text("REPLICA", "");
        App::new()
            .http(Router::new().route(
                "/who",
                get({
                    let name = name.clone();
                    async move || name
                }),
            ))
            .grpc(TrackingServer::new(Replica(name)))
    }

    async fn replica(folder: &Path, name: &str, listen: &str, age: &str) -> Running {
        let database = format!("sqlite://{}/{name}.db", folder.display());
        let settings = Settings::from_pairs([
            ("WAYBILL_LISTEN", listen),
            ("DATABASE_URL", &database),
            ("REPLICA", name),
            ("WAYBILL_CONNECTION_AGE", age),
        ]);
        let service = Service { name: "tracking", version: "0", default_port: 0, app };
        crate::start(service, settings).await.unwrap()
    }

    /// One name for 127.0.0.1 and 127.0.0.2.
    fn two() -> Names {
        Names::new(Arc::new(|_| {
            Box::pin(async {
                Ok(vec![SocketAddr::from(([127, 0, 0, 2], 0)), SocketAddr::from(([127, 0, 0, 1], 0))])
            })
        }))
    }

    /// Two replicas behind one name, whose connections last for `age`.
    async fn pair(folder: &Path, age: &str) -> (Running, Running, String) {
        let a = replica(folder, "a", "127.0.0.1:0", age).await;
        let port = a.address.port();
        let b = replica(folder, "b", &format!("127.0.0.2:{port}"), age).await;
        (a, b, format!("http://tracking.test:{port}"))
    }

    #[tokio::test]
    async fn a_grpc_channel_uses_every_replica_and_no_call_fails_when_its_connection_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (_a, _b, url) = pair(dir.path(), "50ms").await;
        let channel = crate::channel::grpc_with(two(), "tracking", &url, &Settings::default());
        let mut client = TrackingClient::new(channel);
        let mut answers = BTreeMap::new();
        let end = tokio::time::Instant::now() + Duration::from_secs(2);
        while tokio::time::Instant::now() < end {
            let reply = client.start(StartRequest::default()).await.unwrap();
            *answers.entry(reply.into_inner().ride_id).or_insert(0) += 1;
        }
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["a", "b"], "{answers:?}");
    }

    #[tokio::test]
    async fn an_http_client_uses_every_replica_and_no_call_fails_when_its_connection_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (_a, _b, url) = pair(dir.path(), "50ms").await;
        let http = Http::ours_with(two(), "tracking", url, &Settings::default());
        let mut answers = BTreeMap::new();
        let end = tokio::time::Instant::now() + Duration::from_secs(2);
        while tokio::time::Instant::now() < end {
            let reply = http.get("/who").send().await.unwrap();
            *answers.entry(String::from_utf8_lossy(&reply.body).into_owned()).or_insert(0) += 1;
        }
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["a", "b"], "{answers:?}");
    }

    #[tokio::test]
    async fn a_replica_that_is_gone_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, url) = pair(dir.path(), "30s").await;
        b.kill().await;
        let http = Http::ours_with(two(), "tracking", url.clone(), &Settings::default());
        assert_eq!(&http.get("/who").send().await.unwrap().body[..], b"a");
        for _ in 0..2 {
            let channel = crate::channel::grpc_with(two(), "tracking", &url, &Settings::default());
            let reply = TrackingClient::new(channel).start(StartRequest::default()).await.unwrap();
            assert_eq!(reply.into_inner().ride_id, "a");
        }
        a.stop().await.unwrap();
    }
}
