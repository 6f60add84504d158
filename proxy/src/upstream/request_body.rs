//! The client's body on its way to an endpoint: counted, bounded, and remembered as the culprit where it breaks.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// What became of a body, readable while the connection owns it.
#[derive(Debug, Default)]
pub(crate) struct BodyWatch {
    bytes: Cell<u64>,
    ended: Cell<bool>,
    broke: Cell<bool>,
    too_large: Cell<bool>,
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client's side failed.
    #[error(transparent)]
    Client(#[from] hyper::Error),
    /// It is larger than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
}

impl BodyWatch {
    /// Bytes taken from the client so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// True after the last byte.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// True where the client's side failed.
    pub(crate) fn broke(&self) -> bool {
        self.broke.get()
    }

    /// True where the body was cut because it is larger than allowed.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.get()
    }
}

/// A body of a request to an endpoint.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// The client's, with its largest size.
    Client(Incoming, Rc<BodyWatch>, u64),
}

impl RequestBody {
    /// The body, and its watch where there is anything to watch.
    pub(crate) fn new(incoming: Incoming, limit: Option<u64>) -> (Self, Option<Rc<BodyWatch>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let watch = Rc::new(BodyWatch::default());
        (Self::Client(incoming, Rc::clone(&watch), limit.unwrap_or(u64::MAX)), Some(watch))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Client(incoming, watch, limit) = self.get_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                watch.bytes.set(watch.bytes.get() + bytes);
                if watch.bytes.get() > *limit {
                    watch.too_large.set(true);
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                }
                watch.ended.set(incoming.is_end_stream());
            }
            Some(Err(_)) => watch.broke.set(true),
            None => watch.ended.set(true),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Client)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(incoming, ..) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(incoming, ..) => incoming.size_hint(),
        }
    }
}
