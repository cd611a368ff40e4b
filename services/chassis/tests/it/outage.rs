//! A PostgreSQL server that refuses, is away, dies, or is cut off: one clear line at start, 503 and "not ready" later, and
//! recovery without a restart.

use std::time::{Duration, Instant};

use axum::{Router, routing::post};
use chassis::{App, Database, Error, RunError, Running, Settings, Start, Traced};
use futures::future::join_all;

use crate::{
    engines::Postgres,
    proxy::Proxy,
    support::{eventually, service, start},
};

/// `POST /note` writes something down.
fn notes(start: &Start) -> App {
    let database = start.database.clone();
    let note = move || {
        let database = database.clone();
        async move { write(&database).await }
    };
    App::new().http(Router::new().route("/note", post(note)))
}

async fn write(database: &Database) -> Result<(), Error> {
    let mut tx = database.begin_for("note").await?;
    sqlx::query("DELETE FROM outbox WHERE event_id = 'none'").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

fn on(url: &str) -> Settings {
    let pairs =
        [("WAYBILL_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", url), ("WAYBILL_DATABASE_TIMEOUT", "3s")];
    Settings::from_pairs(pairs)
}

async fn status(running: &Running, path: &str) -> u16 {
    let client = reqwest::Client::new();
    let url = format!("{}{path}", running.url);
    let request = if path == "/note" { client.post(url) } else { client.get(url) };
    request.timeout(Duration::from_secs(20)).send().await.map_or(0, |reply| reply.status().as_u16())
}

async fn becomes(running: &Running, path: &str, wanted: u16) {
    eventually(&format!("{path} answers {wanted}"), async || {
        (status(running, path).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_used_is_one_line_that_names_the_remedy_and_no_password() {
    let Some(server) = Postgres::start() else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("postgres://waybill:hunter2@{nobody}/orders");
    let missing = server.url("no_such_database").replace("not-asked-for", "hunter2");
    let nobody = server.url("postgres").replace("waybill:not-asked-for", "stranger:hunter2");
    for (url, wanted) in
        [(away, "is the server up"), (missing, "createdb"), (nobody, "check user and password")]
    {
        let error = chassis::start(service("a", notes), on(&url)).await.unwrap_err();
        assert!(matches!(error, RunError::Database(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("DATABASE_URL=postgres://") && text.contains(wanted), "{text}");
        assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
    }
    for url in ["mysql://u:hunter2@h/d", "postgres://u:hunter2@h", "postgres://u:hunter2@h:x/d"] {
        let text = chassis::start(service("a", notes), on(url)).await.unwrap_err().to_string();
        assert!(text.contains("DATABASE_URL") && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_makes_503_and_not_ready_until_it_is_back() {
    let Some(mut server) = Postgres::start() else { return };
    let running = start(service("a", notes), on(&server.create("dies"))).await;
    assert_eq!((status(&running, "/note").await, status(&running, "/readyz").await), (200, 200));
    for _ in 0..2 {
        server.kill();
        assert_eq!(status(&running, "/note").await, 503);
        assert_eq!(status(&running, "/readyz").await, 503);
        assert_eq!(status(&running, "/livez").await, 200);
        server.run();
        becomes(&running, "/readyz", 200).await;
        assert_eq!(status(&running, "/note").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_to_the_server_makes_503_in_time_and_is_over_when_it_is_over() {
    let Some(server) = Postgres::start() else { return };
    let proxy = Proxy::to(server.address());
    let url = server.create("cut").replace(&server.address().to_string(), &proxy.address.to_string());
    let running = start(service("a", notes), on(&url)).await;
    assert_eq!(status(&running, "/note").await, 200);
    proxy.cut();
    let begun = Instant::now();
    assert_eq!(status(&running, "/note").await, 503);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(status(&running, "/readyz").await, 503);
    proxy.mend();
    becomes(&running, "/readyz", 200).await;
    becomes(&running, "/note", 200).await;
}

/// `POST /slow` takes a connection for a while.
fn slow(start: &Start) -> App {
    let database = start.database.clone();
    let look = move || {
        let database = database.clone();
        async move {
            let look = sqlx::query("SELECT 1 FROM pg_sleep(0.3)").execute(database.read());
            look.traced("SELECT").await.map(drop).map_err(Error::from)
        }
    };
    App::new().http(Router::new().route("/slow", post(look)))
}

async fn sixteen(running: &Running) -> Vec<u16> {
    let client = reqwest::Client::new();
    let one = || async {
        let reply =
            client.post(format!("{}/slow", running.url)).timeout(Duration::from_secs(20)).send().await;
        reply.map_or(0, |reply| reply.status().as_u16())
    };
    join_all((0..16).map(|_| one())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_a_partition_has_swallowed_do_not_keep_their_places_in_the_pool() {
    let Some(server) = Postgres::start() else { return };
    let proxy = Proxy::to(server.address());
    let url = server.create("strand").replace(&server.address().to_string(), &proxy.address.to_string());
    let running = start(service("a", slow), on(&url)).await;
    assert_eq!(sixteen(&running).await, [200; 16]);
    // All connections of the pool are in use, and lead nowhere from now on.
    let cut = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.strand();
    };
    assert!(tokio::join!(sixteen(&running), cut).0.contains(&503));
    let begun = Instant::now();
    while sixteen(&running).await != [200; 16] {
        assert!(begun.elapsed() < Duration::from_secs(20), "places in the pool are lost");
    }
}
