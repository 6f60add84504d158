//! Certificates and keys from PEM files, and a fingerprint of all bytes that were read.

use crate::config::CertificateFiles;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use tailcast_features::hash::Fnv1a;

/// Where distributions keep the authorities that they trust: Debian and Alpine, Red Hat, BSD.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Reads files and remembers what was in them.
pub(super) struct Material {
    hash: Fnv1a,
}

impl Material {
    pub(super) fn new() -> Self {
        Self { hash: Fnv1a::new() }
    }

    /// Tells one state of all files that were read from another.
    pub(super) fn fingerprint(&self) -> u64 {
        self.hash.finish()
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.hash.write(&bytes);
        Ok(bytes)
    }

    fn certificates(&mut self, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
        let bytes = self.read(path)?;
        let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
        if found.is_empty() { Err(format!("{}: no certificate in it", path.display())) } else { Ok(found) }
    }

    /// A chain and its key.
    pub(super) fn pair(
        &mut self,
        files: &CertificateFiles,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let chain = self.certificates(&files.certificate)?;
        let bytes = self.read(&files.key)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes);
        Ok((chain, key.map_err(|error| format!("{}: {error}", files.key.display()))?))
    }

    /// The authorities of a file, or the system's.
    pub(super) fn authorities(&mut self, path: Option<&Path>) -> Result<RootCertStore, String> {
        let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
        let path = path.or_else(system).ok_or("the system has no file of authorities: set ca")?;
        let mut store = RootCertStore::empty();
        // A bundle may hold what no longer parses; only one without any use is an error.
        let (used, _) = store.add_parsable_certificates(self.certificates(path)?);
        if used == 0 { Err(format!("{}: no authority in it can be used", path.display())) } else { Ok(store) }
    }
}
