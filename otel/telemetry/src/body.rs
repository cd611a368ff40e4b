//! The body of a reply as it passes: the operation ends with it and not with the headers.

use crate::grpc::call;
use crate::metrics::Side;
use crate::operation::{Operation, Outcome};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;

/// What becomes of the operation when the body has ended.
#[derive(Debug)]
pub(crate) enum End {
    /// What the head of an HTTP reply has said already.
    Http(Outcome),
    /// A call's status is in the trailers.
    Grpc(Side),
}

pin_project! {
    /// A reply's body that ends the operation it belongs to.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        inner: B,
        state: Option<(Operation, End)>,
    }
}

// === impl TracedBody ===

impl<B: Body> TracedBody<B> {
    /// `operation` is `None` for replies that are not traced.
    pub(crate) fn new(inner: B, state: Option<(Operation, End)>) -> Self {
        let mut body = Self { inner, state };
        if body.inner.is_end_stream() {
            end(&mut body.state, None);
        }
        body
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = {
            let _current = this.state.as_ref().map(|(operation, _)| operation.cx.clone().attach());
            ready!(this.inner.as_mut().poll_frame(task))
        };
        match &frame {
            None => end(this.state, None),
            Some(Ok(frame)) if frame.is_trailers() => end(this.state, frame.trailers_ref()),
            Some(Ok(_)) if this.inner.is_end_stream() => end(this.state, None),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some((mut operation, at_end)) = this.state.take() {
                    at_end.broken(&mut operation, error.to_string());
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn end(state: &mut Option<(Operation, End)>, trailers: Option<&HeaderMap>) {
    if let Some((mut operation, at_end)) = state.take() {
        at_end.complete(&mut operation, trailers);
    }
}

// === impl End ===

impl End {
    /// The body has come to its end, perhaps with trailers.
    fn complete(self, operation: &mut Operation, trailers: Option<&HeaderMap>) {
        operation.finish(match self {
            Self::Http(outcome) => outcome,
            Self::Grpc(side) => call::outcome(side, &call::status(trailers)),
        });
    }

    /// The body broke off.
    fn broken(self, operation: &mut Operation, error: String) {
        operation.finish(match self {
            Self::Http(outcome) => Outcome {
                error_type: Some(outcome.error_type.unwrap_or("body_error".into())),
                error: Some(error.into()),
                measured: outcome.measured,
            },
            Self::Grpc(side) => call::outcome(side, &Status::unavailable(error)),
        });
    }
}
