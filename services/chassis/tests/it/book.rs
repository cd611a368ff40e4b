//! The book: entries by order id and page by page, with the messages that are not done with.

use axum::{Router, extract::Path as Param, routing::post};
use chassis::{App, Book, Error, Message, Running, Start, book::Says};
use serde_json::{Value, json};

use crate::support::{eventually, service, settings, start};

const BOOK: Book = Book {
    rows: "SELECT order_id, state, '' AS reason, began_ms, began_ms AS at_ms, CAST(NULL AS BIGINT) AS amount_minor, \
           CAST(NULL AS TEXT) AS currency, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' AS traceparent \
           FROM things",
    says: |state| if state == "made" { Says::Done } else { Says::Begun },
};

fn keeper(start: &Start) -> App {
    start.subscribe("thing.done", "notification");
    let (filling, database, bus) = (start.database.clone(), start.database.clone(), start.bus.clone());
    let publish = move |Param(order): Param<String>| {
        let (bus, database) = (bus.clone(), database.clone());
        async move {
            let mut tx = database.begin().await?;
            bus.publish(&mut tx, "thing.done", &order, &json!({})).await?;
            Ok::<_, Error>(tx.commit().await?)
        }
    };
    App::new()
        .book(BOOK)
        .http(Router::new().route("/send/{order}", post(publish)))
        .on("thing.asked", |_: Message<Value>| async { Err(Error::invalid("never")) })
        .first(async move || {
            let mut tx = filling.begin().await?;
            for statement in [
                "CREATE TABLE IF NOT EXISTS things (order_id TEXT PRIMARY KEY, state TEXT NOT NULL, began_ms BIGINT NOT NULL)",
                "DELETE FROM things",
                "INSERT INTO things VALUES ('A', 'made', 10), ('B', 'making', 20), ('C', 'made', 30), ('D', 'made', 40)",
            ] {
                sqlx::query(statement).execute(&mut *tx).await?;
            }
            Ok(tx.commit().await?)
        })
}

async fn ask(running: &Running, query: &str) -> (u16, Value) {
    let reply = reqwest::get(format!("{}/book{query}", running.url)).await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

#[tokio::test]
async fn an_order_is_told_with_its_state_and_one_that_was_never_seen_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("tracking", keeper), settings(dir.path(), "k", &[])).await;
    let (status, page) = ask(&running, "?order_id=B,Z").await;
    assert_eq!((status, &page["service"]), (200, &json!("tracking")));
    assert_eq!(
        page["entries"],
        json!([
            {"order_id": "B", "says": "begun", "state": "making", "began_ms": 20, "at_ms": 20,
             "trace_id": "0af7651916cd43dd8448eb211c80319c"},
            {"order_id": "Z", "says": "not_seen"},
        ])
    );
}

#[tokio::test]
async fn all_entries_since_a_time_come_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("tracking", keeper), settings(dir.path(), "k", &[])).await;
    let (mut after, mut ids) = (String::new(), Vec::new());
    loop {
        let (_, page) = ask(&running, &format!("?since=20&limit=2&after={after}")).await;
        ids.extend(page["entries"].as_array().unwrap().iter().map(|e| e["order_id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(ids, ["B", "C", "D"]);
}

#[tokio::test]
async fn messages_that_wait_or_are_dead_are_told_with_their_order() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: what is sent waits.
    let nobody = [("NOTIFICATION_URL", "http://127.0.0.1:1")];
    let running = start(service("tracking", keeper), settings(dir.path(), "k", &nobody)).await;
    let client = reqwest::Client::new();
    assert_eq!(client.post(format!("{}/send/A", running.url)).send().await.unwrap().status(), 200);
    let event = client
        .post(format!("{}/events", running.url))
        .header("ce-specversion", "1.0")
        .header("ce-id", "e-1")
        .header("ce-source", "test")
        .header("ce-type", "thing.asked")
        .header("ce-subject", "Z")
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(event.send().await.unwrap().status(), 202);
    let dead = eventually("the message is dead", async || {
        let messages = ask(&running, "?order_id=Z").await.1["messages"].clone();
        (messages[0]["state"] == "dead").then_some(messages)
    })
    .await;
    assert_eq!((&dead[0]["peer"], &dead[0]["event_type"]), (&json!("test"), &json!("thing.asked")));
    let (_, page) = ask(&running, "?after=&limit=1").await;
    let waits = &page["messages"][0];
    assert_eq!(
        (&waits["order_id"], &waits["state"], &waits["peer"]),
        (&json!("A"), &json!("waiting"), &json!("notification"))
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(service("tracking", keeper), settings(dir.path(), "k", &[])).await;
    let many = vec!["A"; 201].join(",");
    let long = "A".repeat(129);
    for query in [format!("?order_id={many}"), format!("?order_id={long}"), "?order_id=A,,B".to_owned()] {
        assert_eq!(ask(&running, &query).await.0, 400, "{query}");
    }
}
