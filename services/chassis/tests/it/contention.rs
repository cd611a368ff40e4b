//! A PostgreSQL database that many want something of at once: nobody waits for what others wait for, and what could not be
//! looked at once is looked at again.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, extract::Path, routing::post};
use chassis::{App, Database, Errand, Errands, Error, Settings, Start};
use futures::future::join_all;
use sqlx::{AnyConnection, Connection};

use crate::{
    engines::Postgres,
    support::{eventually, service, start},
};

/// `POST /for/{key}` writes for the key.
fn keyed(start: &Start) -> App {
    let database = start.database.clone();
    let write = move |Path(key): Path<String>| {
        let database = database.clone();
        async move { write(&database, &key).await }
    };
    App::new().http(Router::new().route("/for/{key}", post(write)))
}

async fn write(database: &Database, key: &str) -> Result<(), Error> {
    let mut tx = database.begin_for(key).await?;
    sqlx::query("DELETE FROM outbox WHERE event_id = 'none'").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

fn on(url: &str) -> Settings {
    Settings::from_pairs([
        ("WAYBILL_LISTEN", "127.0.0.1:0"),
        ("DATABASE_URL", url),
        ("WAYBILL_DATABASE_CONNECTIONS", "4"),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_want_the_same_key_leave_connections_for_everybody_else() {
    let Some(server) = Postgres::start() else { return };
    let url = server.create("keys");
    let running = start(service("a", keyed), on(&url)).await;
    // Another process has a transaction for the key, and takes its time.
    let mut elsewhere = AnyConnection::connect(&url).await.unwrap();
    let lock = "SELECT 1 FROM pg_advisory_lock(hashtextextended('wanted', 0))";
    sqlx::query(lock).execute(&mut elsewhere).await.unwrap();
    let client = reqwest::Client::new();
    let wanting =
        tokio::spawn(join_all((0..12).map(|_| client.post(format!("{}/for/wanted", running.url)).send())));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!wanting.is_finished(), "they wait");
    for n in 0..8 {
        let reply = client.post(format!("{}/for/other-{n}", running.url)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
    }
    elsewhere.close().await.unwrap();
    for reply in wanting.await.unwrap() {
        assert_eq!(reply.unwrap().status(), 200);
    }
}

static LOOKS: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

/// An errand that is due until it is done; the second look at it fails.
fn unlucky(start: &Start) -> App {
    let errands = Errands::new("unlucky", 4, &start.database);
    let load = |_| async {
        if LOOKS.fetch_add(1, Ordering::SeqCst) == 1 {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let due = !DONE.load(Ordering::SeqCst);
        let work =
            || Errand { key: "it".to_owned(), work: Box::pin(async { DONE.store(true, Ordering::SeqCst) }) };
        Ok(due.then(work).into_iter().collect())
    };
    App::new().worker("unlucky", move |stop| errands.run(stop, load))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_was_claimed_and_could_not_be_read_is_done_all_the_same() {
    let Some(server) = Postgres::start() else { return };
    let running = start(service("a", unlucky), on(&server.create("unlucky"))).await;
    eventually("it is done", async || DONE.load(Ordering::SeqCst).then_some(())).await;
    assert!(LOOKS.load(Ordering::SeqCst) > 2);
    running.stop().await.unwrap();
}
