//! The PROXY header, versions 1 and 2: for whom a balancer in front of us has opened a connection.
//!
//! A listener that expects it refuses connections without it: where it were optional, anyone could claim to be anyone.
//! Exactly the header's bytes are read, so that what follows needs no buffer of its own. Source: HAProxy,
//! "The PROXY protocol", versions 1 & 2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Longest version 1 header, with its line end.
const MAX_V1_BYTES: usize = 107;

/// Longest address part that is read of version 2: addresses and any usual extensions.
const MAX_V2_BYTES: usize = 4_096;

/// Reads the header. `None` where it names nobody (health checks of the balancer itself).
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    // The shortest version 1 header is longer than the signature of version 2.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE { version_2(stream).await } else { version_1(stream, &start).await }
}

async fn version_1(stream: &mut TcpStream, start: &[u8]) -> io::Result<Option<SocketAddr>> {
    if !start.starts_with(b"PROXY ") {
        return Err(wrong("no PROXY header"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_V1_BYTES {
            return Err(wrong("PROXY header without an end"));
        }
        // No more than the line: what is peeked at belongs to it up to its end.
        let mut peeked = [0; MAX_V1_BYTES];
        let seen = stream.peek(&mut peeked).await?;
        let end = peeked.iter().take(seen).position(|byte| *byte == b'\n').map_or(seen, |at| at + 1);
        let end = end.min(MAX_V1_BYTES - line.len());
        if end == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = line.len();
        line.resize(at + end, 0);
        stream.read_exact(&mut line[at..]).await?;
    }
    parse_line(&line).ok_or_else(|| wrong("PROXY header is not valid"))
}

/// Outer `None`: not valid.
fn parse_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let mut words = line.split(' ');
    if words.next()? != "PROXY" {
        return None;
    }
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, _destination) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse::<IpAddr>().ok()?);
    let (port, _to) = (words.next()?.parse::<u16>().ok()?, words.next()?.parse::<u16>().ok()?);
    let fits = matches!((family, source), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)));
    (fits && words.next().is_none()).then_some(Some(SocketAddr::new(source, port)))
}

async fn version_2(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version_and_command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_BYTES {
        return Err(wrong("PROXY header is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    parse_block(version_and_command, family, &rest).ok_or_else(|| wrong("PROXY header is not valid"))
}

/// Outer `None`: not valid.
fn parse_block(version_and_command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match version_and_command {
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    match family {
        0x11 => {
            let [a, b, c, d, _, _, _, _, high, low] = *rest.first_chunk::<10>()?;
            Some(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
        }
        0x21 => {
            let source = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            let port = rest.get(32..34)?.first_chunk::<2>()?;
            Some(Some(SocketAddr::new(source.into(), u16::from_be_bytes(*port))))
        }
        // Unspecified or a local socket: nobody with an address.
        0x00 | 0x31 | 0x32 => Some(None),
        _ => None,
    }
}

fn wrong(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_version_1_name_the_client() {
        let client = |text: &str| parse_line(text.as_bytes());
        assert_eq!(client("PROXY TCP4 192.0.2.7 10.0.0.1 5000 80\r\n"), Some(Some("192.0.2.7:5000".parse().unwrap())));
        assert_eq!(client("PROXY TCP6 2001:db8::1 ::1 5000 80\r\n"), Some(Some("[2001:db8::1]:5000".parse().unwrap())));
        assert_eq!(client("PROXY UNKNOWN\r\n"), Some(None));
        assert_eq!(client("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Some(None));
        for wrong in [
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 99999 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        ] {
            assert_eq!(client(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn blocks_of_version_2_name_the_client() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80];
        assert_eq!(parse_block(0x21, 0x11, &v4), Some(Some("192.0.2.7:5000".parse().unwrap())));
        let with_extension = [&v4[..], &[4, 0, 1, 0]].concat();
        assert_eq!(parse_block(0x21, 0x11, &with_extension), Some(Some("192.0.2.7:5000".parse().unwrap())));
        assert_eq!(parse_block(0x20, 0x11, &v4), Some(None), "the balancer's own connection");
        assert_eq!(parse_block(0x21, 0x00, &[]), Some(None));
        assert_eq!(parse_block(0x11, 0x11, &v4), None, "no such version");
        assert_eq!(parse_block(0x21, 0x11, &v4[..9]), None);
        assert_eq!(parse_block(0x21, 0x21, &[0; 33]), None);
        assert_eq!(parse_block(0x21, 0x21, &[0; 36]), Some(Some("[::]:0".parse().unwrap())));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), a in any::<u8>(), b in any::<u8>()) {
            let _ = parse_line(&bytes);
            let _ = parse_block(a, b, &bytes);
        }
    }
}
