//! Binding, serving and stopping.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use tokio::net::TcpListener;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::{
    Error, Options, answer::Answer, card_network, courier_fleet, journal, push_provider, restaurant_pos,
    world::World,
};

/// The largest body that is read.
const LARGEST_BODY: usize = 64 * 1024;
/// How long a pause within a body may last.
const SLOWEST_BODY: Duration = Duration::from_secs(10);
/// How long connections have to finish when we stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The outside world, listening.
pub struct Partners {
    listener: TcpListener,
    address: SocketAddr,
    world: Arc<World>,
}

impl Partners {
    /// Opens the file and the port. Port 0 takes a free one.
    pub async fn bind(options: Options) -> Result<Self, Error> {
        let address = options.listen;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let world = Arc::new(World::open(options).await?);
        Ok(Self { listener, address, world })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then ends those who keep silent, finishes what was begun and closes the file.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let world = self.world;
        let closing = world.closing.clone();
        let stop = {
            let closing = closing.clone();
            async move {
                shutdown.await;
                closing.cancel();
            }
        };
        let serving =
            axum::serve(self.listener, router(world.clone())).with_graceful_shutdown(stop).into_future();
        let served = tokio::select! {
            served = serving => served,
            () = async { closing.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
        };
        world.close().await;
        served.map_err(Error::Serve)
    }
}

/// Binds and serves until `shutdown`.
pub async fn run(options: Options, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    let partners = Partners::bind(options).await?;
    tracing::info!(address = %partners.local_addr(), "partners listen");
    partners.serve(shutdown).await
}

fn router(world: Arc<World>) -> Router {
    Router::new()
        .nest("/card-network", card_network::routes())
        .nest("/restaurant-pos", restaurant_pos::routes())
        .nest("/courier-fleet", courier_fleet::routes())
        .nest("/push-provider", push_provider::routes())
        .route("/logs", get(journal::all))
        .route("/{partner}/logs", get(journal::own))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .fallback(|| async { Answer::no(StatusCode::NOT_FOUND, "not_found", "no such path") })
        .method_not_allowed_fallback(|| async {
            Answer::no(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(RequestBodyTimeoutLayer::new(SLOWEST_BODY))
        .with_state(world)
}

/// Ready means that the file can be written to.
async fn ready(axum::extract::State(world): axum::extract::State<Arc<World>>) -> Response {
    match sqlx::query("SELECT 1").execute(&world.write).await {
        Ok(_) => "ok".into_response(),
        Err(error) => {
            Answer { status: StatusCode::SERVICE_UNAVAILABLE, ..Answer::broken(&error) }.into_response()
        }
    }
}
