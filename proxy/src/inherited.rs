//! Sockets that a service manager opened for us (systemd's socket activation, `LISTEN_FDS`).
//!
//! The manager keeps the socket open over a restart, so connections that arrive meanwhile wait instead of being
//! refused. A socket is used where a listener's address is configured that it is bound to; all workers then
//! share its one accept queue, because `SO_REUSEPORT` cannot be added to a socket that is bound.

use crate::error::ProxyError;
use std::net::{SocketAddr, TcpListener};

/// The sockets that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// What the environment hands over to this process; nothing in most.
    pub(crate) fn from_environment() -> Self {
        let mut handed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..handed.len() {
            match handed.take_tcp_listener(index) {
                Ok(Some(socket)) => match socket.local_addr() {
                    Ok(address) => sockets.push((address, socket)),
                    Err(error) => tracing::warn!(index, %error, "an inherited socket has no address"),
                },
                Ok(None) => {}
                Err(error) => tracing::warn!(index, %error, "an inherited socket is not a TCP listener"),
            }
        }
        Self(sockets)
    }

    /// The socket that is bound to this address, for each of `workers`.
    pub(crate) fn take(&mut self, address: SocketAddr, workers: usize) -> Result<Option<Vec<TcpListener>>, ProxyError> {
        let Some(at) = self.0.iter().position(|(bound, _)| *bound == address) else { return Ok(None) };
        let failed = |source| ProxyError::Listen { address, source };
        let (_, socket) = self.0.swap_remove(at);
        socket.set_nonblocking(true).map_err(failed)?;
        let mut sockets = Vec::with_capacity(workers);
        for _ in 1..workers {
            sockets.push(socket.try_clone().map_err(failed)?);
        }
        sockets.push(socket);
        tracing::info!(%address, "listening on an inherited socket");
        Ok(Some(sockets))
    }

    /// Names those that no listener asked for.
    pub(crate) fn complain(&self) {
        for (address, _) in &self.0 {
            tracing::warn!(%address, "an inherited socket is bound to an address that no [[listener]] names");
        }
    }
}
