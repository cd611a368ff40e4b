//! `where` in front of stores of several kinds: those that speak otherwise, those that want to know who asks, those that
//! are slow, endless, lying or gone.

use axum::http::StatusCode;

use super::{objects, plainly, stubs};
use crate::{
    customer::{Customer, SUSHI, trace},
    harness::{Ended, Fleet, shared},
    one_order::whole,
};

/// A delivered order of the shared fleet, and its store.
async fn delivered() -> (String, String) {
    let fleet: &Fleet = shared().await;
    let customer = Customer::of(fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    trace(fleet, &order.trace_id, whole).await;
    (order.id, fleet.url("tracestore", "http"))
}

async fn at(url: &str, id: &str, more: &[&str]) -> Ended {
    let mut arguments = vec![id, "--json", "--jaeger", url];
    arguments.extend(more);
    plainly(&arguments, "").await
}

fn arrived(ended: &Ended, id: &str) {
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    let answer = &objects(ended)[0];
    assert_eq!((&answer["outcome"], &answer["subject"]), (&"arrived".into(), &id.into()), "{answer:#}");
}

#[tokio::test]
async fn a_store_that_speaks_only_v3_gives_the_same_verdict_even_when_it_ignores_attributes() {
    let (id, store) = delivered().await;
    let url = stubs::only_v3(store.clone()).await;
    arrived(&at(&url, &id, &[]).await, &id);
    let url = stubs::only_v3_without_attributes(store).await;
    arrived(&at(&url, &id, &["--since", "10m"]).await, &id);
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_asked_again() {
    let (id, store) = delivered().await;
    arrived(&at(&stubs::stumbling(store).await, &id, &[]).await, &id);
}

#[tokio::test]
async fn a_guarded_store_is_asked_with_a_token_or_a_password() {
    let (id, store) = delivered().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let bearer = stubs::guarded(store.clone(), "Bearer s3cret").await;
    arrived(&at(&bearer, &id, &["--token-file", token.to_str().unwrap()]).await, &id);
    let basic = stubs::guarded(store, "Basic YWRhOmxvdmVsYWNl").await;
    arrived(&at(&basic, &id, &["--user", "ada:lovelace"]).await, &id);
    arrived(&at(&basic.replace("http://", "http://ada:lovelace@"), &id, &[]).await, &id);
    let refused = at(&basic, &id, &["--user", "ada:wrong"]).await;
    assert_eq!(refused.status.code(), Some(4), "{}", refused.stdout);
    assert!(refused.stderr.contains("401") && refused.stderr.contains("--token-file"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("wrong"), "a password in an error: {}", refused.stderr);
}

#[tokio::test]
async fn an_endless_answer_is_bounded_in_size_and_a_slow_one_in_time() {
    let huge = at(&stubs::endless(false).await, "7F3K-9QZD-XM42", &["--max-answer", "2"]).await;
    assert_eq!(huge.status.code(), Some(4), "{}", huge.stdout);
    assert!(
        huge.stderr.contains("more than 2 MiB") && huge.stderr.contains("--max-answer"),
        "{}",
        huge.stderr
    );
    let slow = at(&stubs::endless(true).await, "7F3K-9QZD-XM42", &["--timeout", "1500ms"]).await;
    assert_eq!(slow.status.code(), Some(4), "{}", slow.stdout);
    assert!(slow.stderr.contains("1.5s") && slow.stderr.contains("--timeout"), "{}", slow.stderr);
}

#[tokio::test]
async fn a_store_that_is_gone_or_is_none_ends_with_status_4_and_the_remedy() {
    let url = "http://127.0.0.1:1".to_owned();
    let gone = at(&url, "7F3K-9QZD-XM42", &[]).await;
    assert_eq!(gone.status.code(), Some(4), "{}", gone.stdout);
    assert!(gone.stderr.contains(&url) && gone.stderr.contains("WAYBILL_JAEGER_URL"), "{}", gone.stderr);
    let page = stubs::saying(StatusCode::OK, "<!doctype html>").await;
    let page = at(&page, "7F3K-9QZD-XM42", &[]).await;
    assert_eq!(page.status.code(), Some(4), "{}", page.stdout);
    assert!(page.stderr.contains("not as a Jaeger query API"), "{}", page.stderr);
    let broken = stubs::saying(StatusCode::INTERNAL_SERVER_ERROR, "no \u{1b}[31mshards").await;
    let broken = at(&broken, "7F3K-9QZD-XM42", &[]).await;
    assert_eq!(broken.status.code(), Some(4), "{}", broken.stdout);
    assert!(broken.stderr.contains("500: no  [31mshards"), "{}", broken.stderr);
    let usage = at("localhost:16686", "7F3K-9QZD-XM42", &[]).await;
    assert_eq!(usage.status.code(), Some(2), "{}", usage.stderr);
}

#[tokio::test]
async fn an_order_of_which_the_store_has_no_span_is_told_from_the_books_and_not_called_lost() {
    let (id, _) = delivered().await;
    let empty = stubs::saying(StatusCode::OK, r#"{"data":[],"errors":null}"#).await;
    let endpoints = shared().await.data().join("endpoints.json");
    let books = ["--endpoints", endpoints.to_str().unwrap()];
    let told = at(&empty, &id, &books).await;
    assert_eq!(told.status.code(), Some(3), "{}{}", told.stdout, told.stderr);
    let sentence = objects(&told)[0]["sentence"].as_str().unwrap().to_owned();
    for words in ["books know the order: delivered", "payment-gateway charged", "missing, not the order"] {
        assert!(sentence.contains(words), "{words}: {sentence}");
    }
    let alone = at(&empty, &id, &[&books[..], &["--no-witnesses"]].concat()).await;
    let nobody = at(&empty, "0000-0000-0000", &books).await;
    for ended in [alone, nobody] {
        assert_eq!(ended.status.code(), Some(3), "{}{}", ended.stdout, ended.stderr);
        assert!(!ended.stdout.contains("books"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_route_of_something_else_is_judged_and_a_bad_one_is_named_by_line_and_column() {
    let (id, store) = delivered().await;
    let folder = tempfile::tempdir().unwrap();
    let route = folder.path().join("sign-in.yaml");
    let text = "version: 1\nname: sign-in\nnoun: Visit\nsubject: order.id\nsteps:\n  \
        - { name: door, deadline: 10s, done: [{ service: mobile-app, span: POST /orders, kind: server }] }\n  \
        - { name: guard, deadline: 10s, done: [{ service: auth, span: auth.v1.Auth/Verify, kind: server }] }\n\
        ends:\n  - { name: inside, good: true, seen: [{ service: auth, span: auth.v1.Auth/Verify, kind: server }] }\n";
    std::fs::write(&route, text).unwrap();
    let ended = at(&store, &id, &["--route", route.to_str().unwrap()]).await;
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(objects(&ended)[0]["stamps"].as_array().unwrap().len(), 2);
    std::fs::write(&route, text.replace("kind: server", "sort: server")).unwrap();
    let ended = at(&store, &id, &["--route", route.to_str().unwrap()]).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains("line 6, column"), "{}", ended.stderr);
}
