//! Bodies of responses: an endpoint's, streamed and tied to its [`Flight`], or the proxy's own.
//!
//! When does a request end? When its last byte was handed to the client's connection. hyper may drop a body whose
//! length it knows without asking for the end, so the end is looked for after each frame.

use crate::client::Serving;
use crate::deadline::Deadline;
use crate::error::RequestError;
use crate::flight::Flight;
use crate::upstream::Sender;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// The body of a response to a client.
pub(crate) struct ProxyBody {
    content: Content,
    /// The client's turn comes when the body is gone.
    _serving: Serving,
}

/// What a body consists of.
pub(crate) enum Content {
    /// From an endpoint.
    Forwarded(Forwarded),
    /// From an endpoint, to a client that may leave it unasked for.
    Watched(Watched),
    /// The proxy's own.
    Own(Full<Bytes>),
}

impl Content {
    /// The body of the answer to the request that is being served.
    pub(crate) fn of(self, serving: Serving) -> ProxyBody {
        ProxyBody { content: self, _serving: serving }
    }
}

/// A body from an endpoint on its way to the client.
pub(crate) struct Forwarded {
    /// Gone where it was cut.
    incoming: Option<Incoming>,
    flight: Box<Flight>,
    /// The connection it comes from; kept when the body is whole.
    sender: Option<Sender>,
    deadline: Deadline,
}

/// A body with its own timer. In HTTP/2 a client that opens no window for a stream keeps its body from being asked
/// for at all, while the connection looks well; the endpoint must not wait for that.
pub(crate) struct Watched {
    body: Rc<RefCell<Forwarded>>,
    timer: JoinHandle<()>,
}

impl Watched {
    /// Watches a body until its deadline.
    pub(crate) fn new(body: Forwarded) -> Self {
        let at = body.deadline.at();
        let body = Rc::new(RefCell::new(body));
        let watched = Rc::downgrade(&body);
        let timer = tokio::task::spawn_local(async move {
            tokio::time::sleep_until(at).await;
            if let Some(body) = watched.upgrade() {
                body.borrow_mut().cut(&RequestError::TotalTimeout);
            }
        });
        Self { body, timer }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

impl Forwarded {
    /// The body of an answer whose head was received. One without bytes is complete at once.
    pub(crate) fn new(incoming: Incoming, flight: Box<Flight>, sender: Sender, deadline: Deadline) -> Self {
        let is_whole = incoming.is_end_stream();
        let mut body = Self { incoming: Some(incoming), flight, sender: Some(sender), deadline };
        if is_whole {
            body.complete();
        }
        body
    }

    /// True where the last byte was handed on.
    pub(crate) fn is_whole(&self) -> bool {
        self.incoming.as_ref().is_some_and(Body::is_end_stream)
    }

    fn complete(&mut self) {
        self.flight.complete();
        if let (Some(sender), Some(upstream)) = (self.sender.take(), self.flight.upstream()) {
            upstream.put(sender, self.flight.core().recent());
        }
    }

    /// Lets the endpoint go.
    fn cut(&mut self, error: &RequestError) {
        self.flight.fail(error);
        self.sender = None;
        self.incoming = None;
    }

    fn fail(&mut self, error: RequestError) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        self.cut(&error);
        Poll::Ready(Some(Err(error)))
    }

    fn size(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(Some(Err(RequestError::TotalTimeout)));
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.flight.sent(frame.data_ref().map_or(0, Bytes::len));
                if self.is_whole() {
                    self.complete();
                } else if self.deadline.has_passed() {
                    // A client that reads drop by drop never lets the body wait.
                    return self.fail(RequestError::TotalTimeout);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(RequestError::BrokenBody(error)),
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            // Only a body that has to be waited for costs a timer.
            Poll::Pending => match self.deadline.poll(cx) {
                Poll::Ready(()) => self.fail(RequestError::TotalTimeout),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        match &mut self.get_mut().content {
            Content::Forwarded(body) => body.poll(cx),
            Content::Watched(watched) => watched.body.borrow_mut().poll(cx),
            Content::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Forwarded(body) => body.is_whole(),
            Content::Watched(watched) => watched.body.borrow().is_whole(),
            Content::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Forwarded(body) => body.size(),
            Content::Watched(watched) => watched.body.borrow().size(),
            Content::Own(body) => body.size_hint(),
        }
    }
}
