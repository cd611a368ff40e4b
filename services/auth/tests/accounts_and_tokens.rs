//! The service as its callers see it: over gRPC, on a free port.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::Path;

use chassis::{Running, Settings};
use contracts::auth_v1::{LoginRequest, RegisterRequest, VerifyRequest, auth_client::AuthClient};
use tonic::{Code, transport::Channel};

async fn start(data: &Path, more: &[(&str, &str)]) -> (Running, AuthClient<Channel>) {
    let database = format!("sqlite://{}/auth.db", data.display());
    let mut pairs = vec![("WAYBILL_LISTEN", "127.0.0.1:0"), ("DATABASE_URL", database.as_str())];
    pairs.extend(more);
    let running = chassis::start(auth::SERVICE, Settings::from_pairs(pairs)).await.unwrap();
    let client = AuthClient::connect(running.url.clone()).await.unwrap();
    (running, client)
}

fn ada() -> (String, String) {
    ("Ada Lovelace".to_owned(), "analytical engine".to_owned())
}

async fn register(client: &mut AuthClient<Channel>) -> String {
    let (name, password) = ada();
    client.register(RegisterRequest { name, password }).await.unwrap().into_inner().user_id
}

async fn login(
    client: &mut AuthClient<Channel>,
    name: &str,
    password: &str,
) -> Result<String, tonic::Status> {
    let request = LoginRequest { name: name.to_owned(), password: password.to_owned() };
    client.login(request).await.map(|reply| reply.into_inner().token)
}

async fn verify(client: &mut AuthClient<Channel>, token: &str) -> Result<String, tonic::Status> {
    client.verify(VerifyRequest { token: token.to_owned() }).await.map(|reply| reply.into_inner().user_id)
}

#[tokio::test]
async fn who_signs_up_can_sign_in_and_is_known_by_an_opaque_id() {
    let data = tempfile::tempdir().unwrap();
    let (running, mut client) = start(data.path(), &[]).await;
    let user_id = register(&mut client).await;
    assert!(!user_id.to_lowercase().contains("ada"));
    let token = login(&mut client, "ada lovelace", &ada().1).await.unwrap();
    assert_eq!(verify(&mut client, &token).await.unwrap(), user_id);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_name_is_taken_once_and_bad_names_and_passwords_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let (running, mut client) = start(data.path(), &[]).await;
    register(&mut client).await;
    let mut code = async |name: &str, password: &str| {
        let request = RegisterRequest { name: name.to_owned(), password: password.to_owned() };
        client.register(request).await.unwrap_err().code()
    };
    assert_eq!(code("ADA LOVELACE", "another one").await, Code::AlreadyExists);
    assert_eq!(code("x", "long enough").await, Code::InvalidArgument);
    assert_eq!(code("Grace", "short").await, Code::InvalidArgument);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_cannot_be_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let (running, mut client) = start(data.path(), &[]).await;
    register(&mut client).await;
    let wrong_password = login(&mut client, &ada().0, "difference engine").await.unwrap_err();
    let wrong_name = login(&mut client, "Charles", "difference engine").await.unwrap_err();
    assert_eq!(wrong_password.code(), Code::Unauthenticated);
    assert_eq!((wrong_password.code(), wrong_password.message()), (wrong_name.code(), wrong_name.message()));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn after_too_many_failures_a_name_has_to_wait_and_others_do_not() {
    let data = tempfile::tempdir().unwrap();
    let (running, mut client) = start(data.path(), &[("WAYBILL_LOGIN_FAILURES", "2")]).await;
    register(&mut client).await;
    for name in ["Ada Lovelace", "nobody"] {
        for _ in 0..2 {
            assert_eq!(
                login(&mut client, name, "wrong guess").await.unwrap_err().code(),
                Code::Unauthenticated
            );
        }
        assert_eq!(login(&mut client, name, &ada().1).await.unwrap_err().code(), Code::ResourceExhausted);
    }
    let request = RegisterRequest { name: "Grace".to_owned(), password: "compiler inside".to_owned() };
    client.register(request).await.unwrap();
    assert!(login(&mut client, "grace", "compiler inside").await.is_ok());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn expired_forged_and_malformed_tokens_are_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (running, mut client) = start(data.path(), &[("WAYBILL_TOKEN_TTL", "1s")]).await;
    let (stranger, mut forger) = start(other.path(), &[]).await;
    register(&mut client).await;
    register(&mut forger).await;
    let forged = login(&mut forger, &ada().0, &ada().1).await.unwrap();
    let refused = verify(&mut client, &forged).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unauthenticated, "the token was not signed by us")
    );
    let refused = verify(&mut client, "not a token").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "the token is malformed"));
    let token = login(&mut client, &ada().0, &ada().1).await.unwrap();
    let expired = eventually("the token expires", async || verify(&mut client, &token).await.err()).await;
    assert_eq!((expired.code(), expired.message()), (Code::Unauthenticated, "the token has expired"));
    running.stop().await.unwrap();
    stranger.stop().await.unwrap();
}

#[tokio::test]
async fn tokens_and_accounts_outlive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let (running, mut client) = start(data.path(), &[]).await;
    let user_id = register(&mut client).await;
    let token = login(&mut client, &ada().0, &ada().1).await.unwrap();
    running.kill().await;
    let (running, mut client) = start(data.path(), &[]).await;
    assert_eq!(verify(&mut client, &token).await.unwrap(), user_id);
    assert!(login(&mut client, &ada().0, &ada().1).await.is_ok());
    running.stop().await.unwrap();
}

async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
