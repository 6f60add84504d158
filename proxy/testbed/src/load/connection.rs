//! Kept connections of one run: taken when idle, made when there is none.
//!
//! hyper-util's pooling client was rejected: it may queue a request behind another connection's handshake, which
//! in an open loop would be a wait that the target did not cause.

use super::target::Target;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::net::TcpStream;

/// A connection that can take a request.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// Idle connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Rc<RefCell<Vec<Connection>>>);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Connect(std::io::Error),
    #[error(transparent)]
    Http(hyper::Error),
}

impl Idle {
    fn take(&self) -> Option<Connection> {
        let mut idle = self.0.borrow_mut();
        // The latest used first: the longest idle ones may have been closed by the other side.
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Gives a connection back once its answer was read.
    pub(super) fn put(&self, connection: Connection) {
        if !connection.is_closed() {
            self.0.borrow_mut().push(connection);
        }
    }

    /// Sends a request. One that a kept connection did not even begin to send goes out once more on a new one.
    pub(super) async fn send(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        let mut request = request;
        while let Some(mut connection) = self.take() {
            if connection.ready().await.is_err() {
                continue;
            }
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Http(error.into_error())),
                },
            }
        }
        let socket = TcpStream::connect(target.address).await.map_err(SendError::Connect)?;
        socket.set_nodelay(true).map_err(SendError::Connect)?;
        let (mut connection, driver) = http1::handshake(TokioIo::new(socket)).await.map_err(SendError::Http)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a load connection broke");
            }
        });
        let response = connection.send_request(request).await.map_err(SendError::Http)?;
        Ok((response, connection))
    }
}
