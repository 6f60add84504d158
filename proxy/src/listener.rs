//! Sockets that workers listen on: one each for the same address, by `SO_REUSEPORT`.
//!
//! The system spreads new connections over the sockets, so workers never contend for one accept queue. Rejected: one
//! acceptor that hands connections to the workers (an extra hop and wake-up for each connection).

use crate::error::ProxyError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that wait to be accepted. The system's own limit (`somaxconn`, 4096 by default) is the real one.
const BACKLOG: i32 = 4_096;

/// A socket for each of `workers` on `address`. With port 0 the first gets a port and the others share it.
pub(crate) fn listen(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, ProxyError> {
    let mut sockets: Vec<TcpListener> = Vec::with_capacity(workers);
    let mut actual = address;
    for _ in 0..workers.max(1) {
        let socket = bind(actual, true).map_err(|source| ProxyError::Listen { address: actual, source })?;
        actual = socket.local_addr().map_err(|source| ProxyError::Listen { address, source })?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// One socket that nobody shares: the admin listener, where a second process on the same port is a mistake.
pub(crate) fn listen_alone(address: SocketAddr) -> Result<TcpListener, ProxyError> {
    bind(address, false).map_err(|source| ProxyError::Listen { address, source })
}

fn bind(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before to time out.
    socket.set_reuse_address(true)?;
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn all_workers_share_the_port_that_the_first_one_got() {
        let sockets = listen("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = listen_alone("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen_alone(address).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}
