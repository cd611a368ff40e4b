//! HTTP/1.1 requests from one end of a wire to the other, changed on the way.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{Change, Poison};

/// No message is larger.
const LARGEST: usize = 4 << 20;
/// The caller's own limit is shorter.
const LIMIT: Duration = Duration::from_secs(60);

struct Wire {
    client: reqwest::Client,
    peer: String,
    change: Change,
}

struct Letter {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Carries every request that `listener` gets to `peer` (a base URL).
pub(super) async fn carry(listener: TcpListener, peer: String, change: Change) {
    let Ok(client) = reqwest::Client::builder().timeout(LIMIT).no_proxy().build() else { return };
    let wire = Arc::new(Wire { client, peer, change });
    let app = Router::new().fallback(take).with_state(wire);
    // It ends with the task.
    drop(axum::serve(listener, app).await);
}

async fn take(State(wire): State<Arc<Wire>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let mut letter = Letter { method: parts.method, path, headers: parts.headers, body };
    wire.change.spoil(&mut letter);
    if wire.change == Change::Twice {
        drop(wire.send(&letter).await);
    }
    // A peer that does not answer is for the caller as if there were no wire.
    wire.send(&letter).await.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

// === impl Change ===

impl Change {
    fn spoil(&self, letter: &mut Letter) {
        match self {
            Self::Twice => {}
            Self::Strip(headers) => headers.iter().for_each(|name| drop(letter.headers.remove(*name))),
            Self::Poison { sign, how } => {
                if String::from_utf8_lossy(&letter.body).contains(sign.as_str()) {
                    letter.body = how.applied_to(&letter.body);
                }
            }
        }
    }
}

// === impl Poison ===

impl Poison {
    fn applied_to(self, body: &Bytes) -> Bytes {
        match self {
            Self::Cut => body.slice(..body.len() / 2),
            Self::Blank(field) => {
                let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.clone() };
                value[field] = Value::String(String::new());
                Bytes::from(value.to_string())
            }
        }
    }
}

// === impl Wire ===

impl Wire {
    async fn send(&self, letter: &Letter) -> Result<Response, reqwest::Error> {
        let mut headers = letter.headers.clone();
        for own in [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
            headers.remove(own);
        }
        let url = format!("{}{}", self.peer, letter.path);
        let request = self.client.request(letter.method.clone(), url).headers(headers);
        let reply = request.body(letter.body.clone()).send().await?;
        let (status, mut headers) = (reply.status(), reply.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        let mut response = Response::new(Body::from(reply.bytes().await?));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &'static str) -> Letter {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", header::HeaderValue::from_static("00-ab"));
        Letter {
            method: Method::POST,
            path: "/events".into(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn only_the_marked_message_is_poisoned() {
        let change = Change::Poison { sign: "hillside".into(), how: Poison::Blank("customer_id") };
        let mut marked = letter(r#"{"customer_id":"c","zone":"hillside"}"#);
        let mut other = letter(r#"{"customer_id":"c","zone":"riverside"}"#);
        change.spoil(&mut marked);
        change.spoil(&mut other);
        assert!(marked.body.starts_with(br#"{"customer_id":"""#));
        assert!(other.body.starts_with(br#"{"customer_id":"c""#));
    }

    #[test]
    fn stripped_headers_are_gone_and_the_body_stays() {
        let mut stripped = letter("{}");
        Change::Strip(&["traceparent"]).spoil(&mut stripped);
        assert!(stripped.headers.is_empty());
        assert_eq!(stripped.body, Bytes::from_static(b"{}"));
    }
}
