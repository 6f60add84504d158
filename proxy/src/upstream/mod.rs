//! Connections to endpoints, owned by one core: kept alive, reused newest first, closed when they grow old.
//!
//! The newest is reused first so that a burst's extra connections age and close. Nothing is shared between cores:
//! a shared pool (hyper-util's) takes a lock a request and moves connections between reactors.

mod dial;
mod replica;
mod request_body;
mod sender;

pub(crate) use dial::dial;
pub(crate) use replica::{Fields, Replica};
pub(crate) use request_body::{BodyWatch, RequestBody};
pub(crate) use sender::{Sender, name_authority};

use crate::config::{Connections, EndpointProtocol};
use crate::error::RequestError;
use crate::topology::Target;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tailcast_balance::ConnectionToken;
use tailcast_features::Tick;

/// What a connection keeps of a body at most while the other side does not take it: a thousand slow readers must not cost
/// a gigabyte, and beyond this a larger buffer makes nothing faster.
pub(crate) const BUFFER_BYTES: usize = 64 * 1_024;

/// A connection whose answer is read has this long to finish sending the request before it is given up: an endpoint
/// that answered early seldom wants the rest.
const SETTLE: Duration = Duration::from_secs(1);

/// One endpoint's connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    target: Target,
    limits: Connections,
    idle: RefCell<Vec<Idle>>,
    /// True where the endpoint is gone, or is elsewhere now: nothing is kept any more.
    retired: Cell<bool>,
    /// The one connection that all requests share in HTTP/2.
    shared: RefCell<Option<Sender>>,
    /// Held while it is made: a burst of first requests makes one, not one each.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Tick,
}

impl Upstream {
    pub(crate) fn new(target: Target, limits: Connections) -> Self {
        Self {
            target,
            limits,
            idle: RefCell::default(),
            retired: Cell::new(false),
            shared: RefCell::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// True where these connections lead to the target, within these limits.
    pub(crate) fn serves(&self, target: &Target, limits: &Connections) -> bool {
        self.target.address == target.address
            && Arc::ptr_eq(&self.target.endpoint, &target.endpoint)
            && self.limits == *limits
            && self.target.is_spoken_to_as(target)
    }

    /// Where they lead.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.target.address
    }

    /// Closes what is idle and keeps nothing from now on; requests in flight end as they would have.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.shared.take();
    }

    /// True where requests share a connection, so that none can be upgraded.
    pub(crate) fn is_http2(&self) -> bool {
        self.target.protocol == EndpointProtocol::Http2
    }

    fn take_shared(&self) -> Option<Sender> {
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|sender| !sender.is_ready()) {
            *shared = None;
        }
        shared.as_ref().and_then(Sender::share)
    }

    /// The newest idle connection that is still usable.
    pub(crate) fn take(&self, now: Tick) -> Option<Sender> {
        if self.is_http2() {
            return self.take_shared();
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if candidate.sender.is_ready() && now.since(candidate.since) < self.limits.idle {
                return Some(candidate.sender);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn put(self: &Rc<Self>, mut sender: Sender, now: Tick) {
        if sender.is_closed() || matches!(sender, Sender::Http2(..)) {
            return;
        }
        if sender.is_ready() {
            self.keep(sender, now);
            return;
        }
        // The connection's task has not run since the last byte, or still sends the request.
        let upstream = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE, sender.ready()).await {
                upstream.keep(sender, now);
            }
        });
    }

    fn keep(&self, sender: Sender, now: Tick) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && idle.len() < self.limits.idle_per_endpoint {
            idle.push(Idle { sender, since: now });
        }
    }

    /// Closes what is too old, and forgets what the endpoint closed.
    pub(crate) fn reap(&self, now: Tick) {
        let idle_limit = self.limits.idle;
        self.idle.borrow_mut().retain(|idle| !idle.sender.is_closed() && now.since(idle.since) < idle_limit);
    }

    /// Makes a new connection; in HTTP/2 for all requests that follow.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Sender, RequestError> {
        if !self.is_http2() {
            return dial(&self.target, timeout, Some(self.count()?)).await;
        }
        let _connecting = self.connecting.lock().await;
        if let Some(made_meanwhile) = self.take_shared() {
            return Ok(made_meanwhile);
        }
        let sender = dial(&self.target, timeout, Some(self.count()?)).await?;
        if !self.retired.get() {
            *self.shared.borrow_mut() = sender.share();
        }
        Ok(sender)
    }

    fn count(&self) -> Result<ConnectionToken, RequestError> {
        self.target.endpoint.connect().ok_or(RequestError::EndpointFull)
    }
}
