//! TLS on both sides, by rustls with ring.
//!
//! | file | is |
//! | --- | --- |
//! | `material` | certificates and keys from files |
//! | `server` | listeners: which certificate for which name, client certificates |
//! | `client` | endpoints: whom to trust, what to show |
//!
//! Files are read when a topology is built. Where their bytes are those of the topology before, its configuration is
//! taken over with its sessions; where they are not, new connections get the new certificates and those that are open
//! keep theirs. Provider: ring, because aws-lc-rs needs cmake on the machine that builds.

mod client;
mod material;
mod server;

pub(crate) use client::{ClientTls, client};
pub(crate) use server::{ServerSide, server};

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// ALPN's names.
pub(crate) const H2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// One for all; a default of the process is other libraries' affair.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
