//! The least that a proxy on hyper does: round robin, kept connections, one `X-Forwarded-For`. No limits, no time limits,
//! no retries, no health, no metrics. What `benches/dataplane` measures of it is the floor below Tailcast.
//!
//! `bare_hyper LISTEN ENDPOINT…`

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder as ClientBuilder, SendRequest};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Endpoint {
    address: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

/// A response's body, which gives its connection back at the end.
struct Returning {
    incoming: Incoming,
    connection: Option<(SendRequest<Incoming>, Rc<Endpoint>)>,
}

impl Returning {
    fn give_back(&mut self) {
        if self.incoming.is_end_stream()
            && let Some((sender, endpoint)) = self.connection.take()
        {
            endpoint.idle.borrow_mut().push(sender);
        }
    }
}

impl Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.give_back();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

async fn forward(
    endpoint: Rc<Endpoint>,
    client: HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Response<Returning>, Failure> {
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().insert(HeaderName::from_static("x-forwarded-for"), client);
    let kept = endpoint.idle.borrow_mut().pop();
    let mut sender = match kept {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(endpoint.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = ClientBuilder::new().writev(false).handshake(TokioIo::new(stream)).await?;
            tokio::task::spawn_local(connection);
            sender
        }
    };
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let (parts, incoming) = response.into_parts();
    let mut body = Returning { incoming, connection: Some((sender, endpoint)) };
    body.give_back();
    Ok(Response::from_parts(parts, body))
}

fn main() -> Result<(), Failure> {
    let mut addresses = std::env::args().skip(1).map(|text| text.parse::<SocketAddr>());
    let listen = addresses.next().ok_or("bare_hyper LISTEN ENDPOINT…")??;
    let endpoints = addresses
        .map(|address| Ok(Rc::new(Endpoint { address: address?, idle: RefCell::default() })))
        .collect::<Result<Vec<_>, Failure>>()?;
    let endpoints: Rc<[_]> = endpoints.into();
    let next = Rc::new(Cell::new(0));
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let client = HeaderValue::try_from(peer.ip().to_string())?;
            let (endpoints, next) = (Rc::clone(&endpoints), Rc::clone(&next));
            let service = service_fn(move |request| {
                next.set((next.get() + 1) % endpoints.len());
                forward(Rc::clone(&endpoints[next.get()]), client.clone(), request)
            });
            tokio::task::spawn_local(
                http1::Builder::new().writev(false).serve_connection(TokioIo::new(stream), service),
            );
        }
    })
}
