//! A trace store, whichever API it has: what it speaks is found out once, when it is connected.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use journey::{Heard, Trace};

use super::{
    AskError, BackendArgs, Window,
    http::{Answer, Http},
    legacy, v3,
};

/// Questions at once, so that asking a busy store does not add to its trouble.
const AT_ONCE: usize = 4;
/// Newest traces of a service that are looked at to say when it was last heard of: servers order them by different times.
const NEWEST: usize = 3;
/// Traces that are read one by one where a server does not search by attribute.
const READ_THROUGH: usize = 20_000;

/// A trace store.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    http: Http,
    speaks: Speaks,
}

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// `/api/traces`; of two APIs the one that searches by attribute everywhere.
    Legacy,
    /// `/api/v3` alone.
    V3,
}

/// A search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) service: &'a str,
    pub(super) operation: Option<&'a str>,
    pub(super) tag: Option<(&'a str, &'a str)>,
    pub(super) window: Window,
    pub(super) limit: usize,
}

// === impl Backend ===

impl Backend {
    /// Finds out what the server speaks.
    ///
    /// # Errors
    /// A flag that cannot be used, no answer, or an answer that no Jaeger gives.
    pub(crate) async fn connect(args: &BackendArgs) -> Result<Self, AskError> {
        let http = Http::new(args.checked()?)?;
        let (old, new) = futures::join!(http.get(legacy::SERVICES), http.get(v3::SERVICES));
        let fits = |answer: &Result<Answer, AskError>, speaks: fn(&[u8]) -> bool| {
            answer.as_ref().is_ok_and(|a| a.status == StatusCode::OK && speaks(&a.body))
        };
        let speaks = if fits(&old, legacy::speaks) {
            Speaks::Legacy
        } else if fits(&new, v3::speaks) {
            Speaks::V3
        } else {
            let (old, new) = (old?, new?);
            let cause = format!("{} is {}, {} is {}", legacy::SERVICES, told(&old), v3::SERVICES, told(&new));
            return Err(AskError::NotJaeger { url: http.url().to_owned(), cause });
        };
        Ok(Self { http, speaks })
    }

    /// Base URL of the store, without a trailing slash and without credentials.
    pub(crate) fn url(&self) -> &str {
        self.http.url()
    }

    /// Where people see trace `id`.
    pub(crate) fn link(&self, id: &str) -> String {
        format!("{}/trace/{id}", self.url())
    }

    /// One trace by its id of 32 hex digits, as it was sent; none when the store does not have it.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) async fn trace(&self, id: &str) -> Result<Option<Trace>, AskError> {
        let path = self.trace_path(id);
        let answer = self.http.get(&path).await?;
        Ok(self.read(&path, &answer)?.into_iter().find(|t| t.id == id))
    }

    /// Whole traces in which a span bears `key` = `value`, asked of each of `services`: at most `limit` of each. What a
    /// server sends without being asked for it is left out.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) async fn find(
        &self,
        services: &[&str],
        (key, value): (&str, &str),
        window: Window,
        limit: usize,
    ) -> Result<Vec<Trace>, AskError> {
        let questions = services.iter().map(|service| {
            self.search(Search { service, operation: None, tag: Some((key, value)), window, limit })
        });
        let answers: Vec<_> = stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
        let bears =
            |trace: &Trace| trace.spans.iter().any(|s| s.attributes.get(key).is_some_and(|v| v == value));
        let ignored = answers.iter().flatten().any(|trace| !bears(trace));
        let mut found: BTreeMap<String, Trace> = BTreeMap::new();
        for trace in answers.into_iter().flatten().filter(bears) {
            found.insert(trace.id.clone(), trace);
        }
        if found.is_empty() && ignored {
            return self.read_through(services, bears, window).await;
        }
        Ok(found.into_values().collect())
    }

    /// A server that ignores attributes is asked for everything, newest first, until something fits.
    async fn read_through(
        &self,
        services: &[&str],
        fits: impl Fn(&Trace) -> bool,
        window: Window,
    ) -> Result<Vec<Trace>, AskError> {
        let mut read = 0;
        for service in services {
            let mut traces = std::pin::pin!(self.scan(service, None, window));
            while let Some(trace) = traces.try_next().await? {
                if fits(&trace) {
                    return Ok(vec![trace]);
                }
                read += 1;
                if read >= READ_THROUGH {
                    return Err(AskError::NoAttributes { url: self.url().to_owned(), read });
                }
            }
        }
        Ok(Vec::new())
    }

    /// When each of `services` was last heard of, in whatever trace: one that was not heard of in `window` is left out.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) async fn heard(&self, services: &[&str], window: Window) -> Result<Heard, AskError> {
        let questions = services.iter().map(|service| async move {
            let search = Search { service, operation: None, tag: None, window, limit: NEWEST };
            let traces = self.search(search).await?;
            let spans = traces.iter().flat_map(|t| &t.spans).filter(|s| s.service == *service);
            let newest = spans.map(|s| s.start_ns).filter(|ns| *ns <= window.end_ns).max();
            Ok::<_, AskError>(newest.map(|ns| ((*service).to_owned(), ns)))
        });
        let newest: Vec<_> = stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
        Ok(Heard(newest.into_iter().flatten().collect()))
    }

    /// One trace of `service` with a span called `operation` that started within `window`.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) async fn any(
        &self,
        service: &str,
        operation: &str,
        window: Window,
    ) -> Result<Option<Trace>, AskError> {
        let search = Search { service, operation: Some(operation), tag: None, window, limit: 1 };
        Ok(self.search(search).await?.into_iter().next())
    }

    /// One question; what it leaves out beyond the limit is not known.
    pub(super) async fn search(&self, search: Search<'_>) -> Result<Vec<Trace>, AskError> {
        let path = match self.speaks {
            Speaks::Legacy => legacy::search(&search),
            Speaks::V3 => v3::search(&search),
        };
        let answer = self.http.get(&path).await?;
        self.read(&path, &answer)
    }

    fn trace_path(&self, id: &str) -> String {
        match self.speaks {
            Speaks::Legacy => legacy::trace(id),
            Speaks::V3 => v3::trace(id),
        }
    }

    /// Neither API says "nothing found" in one way only: 404, or no data.
    fn read(&self, path: &str, answer: &Answer) -> Result<Vec<Trace>, AskError> {
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let traces = match self.speaks {
            Speaks::Legacy => legacy::parse(&answer.body),
            Speaks::V3 => v3::parse(&answer.body),
        };
        traces.map_err(|source| AskError::Answer { url: self.http.named(path), source })
    }
}

fn told(answer: &Answer) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok();
    format!("{} {}", answer.status.as_u16(), if json { "with other JSON" } else { "without JSON" })
}
