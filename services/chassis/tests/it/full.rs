//! A full volume: what was acknowledged is kept, what cannot be is refused with 503, and all goes on when there is room
//! again, without a restart of the service.

use std::{fs, path::Path, process::Command};

use chassis::{Running, Settings};
use sqlx::{AnyConnection, Connection, Executor};

use crate::{
    bus::{book, delivered, receiver, send, sender},
    engines::{Nats, Postgres, is_root},
    small::{fill, volume},
    support::{eventually, nobody, service, settings, start},
};

/// A message of some 20 kB.
fn text(n: usize) -> String {
    format!("{n}-{}", "x".repeat(20_000))
}

/// Fills the volume, sends until that is refused, makes room, sends again; then everything acknowledged arrives, once.
async fn acknowledged_is_kept(database: &str, volume: &Path, order: &str) {
    let normal = tempfile::tempdir().unwrap();
    let address = nobody().to_string();
    let url = format!("http://{address}");
    let on_it = Settings::from_pairs([
        ("WAYBILL_LISTEN", "127.0.0.1:0"),
        ("DATABASE_URL", database),
        ("NOTIFICATION_URL", &url),
    ]);
    let sending = start(service("tracking", sender), on_it).await;
    assert_eq!(send(&sending.url, order, "before").await, 200);
    let mut sent = vec!["before".to_owned()];

    let ballast = fill(volume);
    let refused = loop {
        let status = send(&sending.url, order, &text(sent.len())).await;
        if status != 200 {
            break status;
        }
        sent.push(text(sent.len()));
        assert!(sent.len() < 5_000, "the volume has an end");
    };
    assert_eq!(refused, 503);
    assert_eq!(status(&sending, "livez").await, 200);
    fs::remove_file(ballast).unwrap();
    eventually("room again", async || (send(&sending.url, order, "after").await == 200).then_some(())).await;
    sent.push("after".to_owned());

    let receiving = settings(normal.path(), "r", &[("WAYBILL_LISTEN", &address)]);
    let receiving = start(service("notification", receiver), receiving).await;
    delivered(order, &sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("the outbox is empty", async || (book(&sending, "outbox").await["open"] == 0).then_some(()))
        .await;
    sending.stop().await.unwrap();
    receiving.stop().await.unwrap();
}

async fn status(running: &Running, path: &str) -> u16 {
    reqwest::get(format!("{}/{path}", running.url)).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_volume_sqlite_keeps_what_it_acknowledged_and_goes_on_when_there_is_room() {
    let name = "full::on_a_full_volume_sqlite_keeps_what_it_acknowledged_and_goes_on_when_there_is_room";
    let Some(folder) = volume(name, 8) else { return };
    let database = format!("sqlite://{}/sender.db", folder.display());
    acknowledged_is_kept(&database, &folder, "o-full-sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_volume_postgresql_keeps_what_it_acknowledged_and_goes_on_when_there_is_room() {
    let name = "full::on_a_full_volume_postgresql_keeps_what_it_acknowledged_and_goes_on_when_there_is_room";
    if !is_root() {
        eprintln!("SKIPPED on PostgreSQL: a tablespace of its own user on a tmpfs takes root");
        return;
    }
    let Some(server) = Postgres::start() else { return };
    let Some(folder) = volume(name, 24) else { return };
    let space = folder.join("space");
    fs::create_dir(&space).unwrap();
    assert!(Command::new("chown").arg("postgres").arg(&space).status().unwrap().success());
    assert!(Command::new("chmod").arg("755").arg(&folder).status().unwrap().success());
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&server.url("postgres")).await.unwrap();
    let make = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
    connection.execute(sqlx::AssertSqlSafe(make)).await.unwrap();
    connection.execute("CREATE DATABASE on_it TABLESPACE small").await.unwrap();
    acknowledged_is_kept(&server.url("on_it"), &folder, "o-full-postgres").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_volume_of_nats_is_full_messages_wait_in_the_outbox() {
    let name = "full::while_the_volume_of_nats_is_full_messages_wait_in_the_outbox";
    let Some(folder) = volume(name, 32) else { return };
    let Some(mut nats) = Nats::start_in(&folder) else { return };
    let normal = tempfile::tempdir().unwrap();
    let url = nats.url();
    let on_nats = [("NATS_URL", url.as_str()), ("WAYBILL_NATS_STREAM_BYTES", "4194304")];
    let sending = start(service("tracking", sender), settings(normal.path(), "s", &on_nats)).await;
    let _receiving = start(service("notification", receiver), settings(normal.path(), "r", &on_nats)).await;
    let mut sent = vec![text(0)];
    assert_eq!(send(&sending.url, "o-full-nats", &sent[0]).await, 200);
    delivered("o-full-nats", &[&sent[0]]).await;

    let ballast = fill(&folder);
    for n in 1..20 {
        sent.push(text(n));
        assert_eq!(send(&sending.url, "o-full-nats", &sent[n]).await, 200, "orders are taken all the same");
    }
    eventually("a message waits, and it is said why", async || {
        let outbox = book(&sending, "outbox").await;
        outbox["messages"][0]["last_error"].as_str().filter(|why| !why.is_empty()).map(drop)
    })
    .await;
    assert_eq!(status(&sending, "readyz").await, 200);
    fs::remove_file(ballast).unwrap();
    // It does not write to a stream again that it could not write to: it is the one that must be restarted.
    nats.kill();
    nats.run();
    delivered("o-full-nats", &sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("the outbox is empty", async || (book(&sending, "outbox").await["open"] == 0).then_some(()))
        .await;
}
