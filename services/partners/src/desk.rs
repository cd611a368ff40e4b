//! How every third party takes a request: read it, misbehave if it must, do the work once per `Idempotency-Key`, note it
//! in the log in the same transaction, answer.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header::HeaderName};
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::{
    Misbehaviour, Partner,
    answer::Answer,
    journal::{self, Entry},
    schedule::{Moment, scalar},
    world::World,
};

/// The longest that a silent third party holds a connection.
const SILENCE: Duration = Duration::from_secs(600);
/// The longest key, trace id or path that is kept.
const LONGEST_TEXT: usize = 200;

/// One kind of work of one third party.
pub(crate) trait Work: Send + 'static {
    const PARTNER: Partner;
    /// Money moves, so a key is a must.
    const NEEDS_KEY: bool = false;

    /// The order it is about.
    fn subject(&self, body: &Value) -> Option<String>;

    /// Does it within the transaction; `refuse` asks for the regular no.
    fn perform(
        self,
        world: &World,
        call: &Call,
        refuse: bool,
        tx: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Answer, sqlx::Error>> + Send;
}

/// A request as read.
pub(crate) struct Call {
    method: String,
    path: String,
    headers: HeaderMap,
    /// JSON; null when there is no body.
    pub(crate) body: Value,
    raw: Bytes,
}

/// What was said to an `Idempotency-Key` before.
#[derive(sqlx::FromRow)]
struct Reply {
    fingerprint: String,
    status: u16,
    body: String,
    order_id: Option<String>,
    reference: Option<String>,
}

enum End {
    Answer(Answer),
    Nonsense,
    Silence,
}

// === impl Call ===

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let method = request.method().to_string();
        let path = cut(request.uri().path());
        let headers = request.headers().clone();
        let raw = Bytes::from_request(request, state).await.map_err(|rejection| {
            Answer::no(rejection.status(), "invalid_request", rejection.body_text()).into_response()
        })?;
        let body = if raw.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&raw).map_err(|e| {
                Answer::no(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not JSON: {e}"))
                    .into_response()
            })?
        };
        Ok(Self { method, path, headers, body, raw })
    }
}

impl Call {
    fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(HeaderName::from_static(name)).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.header("idempotency-key").filter(|key| !key.is_empty())
    }

    /// The trace id as this third party understands it.
    fn trace_id(&self, partner: Partner) -> Option<String> {
        let value = self.header(partner.trace_header())?;
        let id = if partner.trace_header() == "traceparent" { value.split('-').nth(1)? } else { value };
        Some(cut(id))
    }

    /// The body as the API's type, or the answer that says why not.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Answer> {
        serde_json::from_slice(&self.raw).map_err(|e| Answer::unprocessable(e.to_string()))
    }

    fn misbehaviour(&self) -> Result<Option<Misbehaviour>, Answer> {
        let Some(text) = self.header("x-misbehave") else {
            return Ok(None);
        };
        let read = text.parse().map(Some);
        read.map_err(|reason: String| Answer::no(StatusCode::BAD_REQUEST, "invalid_misbehaviour", reason))
    }

    fn field(&self, name: &str) -> Option<String> {
        match name {
            "idempotency_key" => self.key().map(str::to_owned),
            name => self.body.get(name).and_then(scalar),
        }
    }
}

// === impl Reply ===

impl Reply {
    fn again(self, fingerprint: &str) -> Answer {
        if self.fingerprint != fingerprint {
            let message = "this Idempotency-Key was used for another request";
            return Answer::no(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", message);
        }
        Answer {
            status: StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK),
            body: serde_json::from_str(&self.body).unwrap_or_default(),
            order_id: self.order_id,
            reference: self.reference,
            outcome: "repeated".to_owned(),
        }
    }
}

/// Takes the request. The work runs on its own, so that a caller who hangs up does not undo it.
pub(crate) async fn take<W: Work>(world: Arc<World>, work: W, call: Call) -> Response {
    let here = world.clone();
    let task = world.work.spawn(async move { attend(&here, work, &call).await });
    match task.await {
        Ok(End::Answer(answer)) => answer.into_response(),
        Ok(End::Nonsense) => Answer::nonsense(),
        Ok(End::Silence) => {
            let _ = tokio::time::timeout(SILENCE, world.closing.cancelled()).await;
            Answer::no(StatusCode::SERVICE_UNAVAILABLE, "closing", "we are closing").into_response()
        }
        Err(_) => {
            Answer::no(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong on our side")
                .into_response()
        }
    }
}

async fn attend<W: Work>(world: &World, work: W, call: &Call) -> End {
    match try_attend(world, work, call).await {
        Ok(end) => end,
        Err(error) => End::Answer(Answer::broken(&error)),
    }
}

async fn try_attend<W: Work>(world: &World, work: W, call: &Call) -> Result<End, sqlx::Error> {
    let subject = work.subject(&call.body).map(|s| cut(&s));
    let mut entry = Entry::new(W::PARTNER, &call.method, &call.path);
    entry.trace_id = call.trace_id(W::PARTNER);
    entry.idempotency_key = call.key().map(cut);
    entry.order_id = subject;
    let asked = match call.misbehaviour() {
        Ok(asked) => asked,
        Err(answer) => return Ok(End::Answer(answer)),
    };
    let misbehaviour = match asked {
        None => scheduled(world, W::PARTNER, call, &entry).await?,
        asked => asked,
    };
    match misbehaviour {
        Some(Misbehaviour::Hang) => {
            note(world, &mut entry, None, "hang".to_owned()).await?;
            Ok(End::Silence)
        }
        Some(Misbehaviour::Error(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            note(world, &mut entry, Some(status), "error".to_owned()).await?;
            Ok(End::Answer(Answer::no(status, "unavailable", "no service at the moment")))
        }
        Some(late @ Misbehaviour::Latency(wait, _)) => {
            // Noted at once: whoever asks meanwhile must see that the request has arrived.
            note(world, &mut entry, None, late.to_string()).await?;
            tokio::select! {
                () = tokio::time::sleep(wait) => perform(world, work, call, entry, misbehaviour).await,
                () = world.closing.cancelled() => Ok(End::Silence),
            }
        }
        _ => perform(world, work, call, entry, misbehaviour).await,
    }
}

async fn perform<W: Work>(
    world: &World,
    work: W,
    call: &Call,
    mut entry: Entry,
    misbehaviour: Option<Misbehaviour>,
) -> Result<End, sqlx::Error> {
    let mut tx = world.write.begin_with("BEGIN IMMEDIATE").await?;
    let refuse = misbehaviour == Some(Misbehaviour::Refuse);
    let answer = once(world, work, call, refuse, &mut tx).await?;
    entry.order_id = answer.order_id.clone().or(entry.order_id);
    entry.reference = answer.reference.clone();
    let silent = misbehaviour == Some(Misbehaviour::Withhold);
    entry.status = (!silent).then(|| i64::from(answer.status.as_u16()));
    entry.outcome = match misbehaviour {
        Some(how) => format!("{}, {how}", answer.outcome),
        None => answer.outcome.clone(),
    };
    entry.write(&mut tx, world.log_limit).await?;
    tx.commit().await?;
    Ok(match misbehaviour {
        Some(Misbehaviour::Withhold) => End::Silence,
        Some(Misbehaviour::Wrong) => End::Nonsense,
        _ => End::Answer(answer),
    })
}

/// Does the work, or repeats what was said to the same key before. Only what was done is remembered: a no may turn into
/// a yes when asked again.
async fn once<W: Work>(
    world: &World,
    work: W,
    call: &Call,
    refuse: bool,
    tx: &mut SqliteConnection,
) -> Result<Answer, sqlx::Error> {
    let Some(key) = call.key().filter(|_| call.method == "POST") else {
        if W::NEEDS_KEY {
            return Ok(Answer::no(
                StatusCode::BAD_REQUEST,
                "idempotency_key_missing",
                "send the header Idempotency-Key",
            ));
        }
        return work.perform(world, call, refuse, tx).await;
    };
    if key.len() > LONGEST_TEXT {
        return Ok(Answer::no(StatusCode::BAD_REQUEST, "idempotency_key_too_long", "200 characters at most"));
    }
    let fingerprint = format!("{} {}", call.path, call.body);
    let known: Option<Reply> = sqlx::query_as("SELECT * FROM replies WHERE partner = ? AND key = ?")
        .bind(W::PARTNER.name())
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(reply) = known {
        return Ok(reply.again(&fingerprint));
    }
    let answer = work.perform(world, call, refuse, tx).await?;
    if answer.status.is_success() {
        keep(W::PARTNER, key, &fingerprint, &answer, tx).await?;
    }
    Ok(answer)
}

async fn keep(
    partner: Partner,
    key: &str,
    fingerprint: &str,
    answer: &Answer,
    tx: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO replies (partner, key, fingerprint, status, body, order_id, reference) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(partner.name())
    .bind(key)
    .bind(fingerprint)
    .bind(i64::from(answer.status.as_u16()))
    .bind(answer.body.to_string())
    .bind(&answer.order_id)
    .bind(&answer.reference)
    .execute(tx)
    .await?;
    Ok(())
}

async fn scheduled(
    world: &World,
    partner: Partner,
    call: &Call,
    entry: &Entry,
) -> Result<Option<Misbehaviour>, sqlx::Error> {
    if world.schedule.is_empty() {
        return Ok(None);
    }
    let subject = entry.order_id.as_deref().or(call.key()).unwrap_or_default();
    let attempt = journal::attempts(world, partner, subject).await?;
    let fields = |name: &str| call.field(name);
    let moment = Moment { partner, elapsed: world.started.elapsed(), fields: &fields, subject, attempt };
    Ok(world.schedule.decide(world.seed, &moment))
}

async fn note(
    world: &World,
    entry: &mut Entry,
    status: Option<StatusCode>,
    outcome: String,
) -> Result<(), sqlx::Error> {
    entry.status = status.map(|s| i64::from(s.as_u16()));
    entry.outcome = outcome;
    let mut connection = world.write.acquire().await?;
    entry.write(&mut connection, world.log_limit).await
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}
