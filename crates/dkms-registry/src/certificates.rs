//! Which certificate authorities are trusted: those of the system, and additional ones for single registries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dkms_sys::IoError;
use dkms_sys::fs::{self, Limit};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::address::Server;

/// The files of the distributions: Debian and its family; Fedora; openSUSE; Alpine and others.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// `HOST.crt` or `HOST:PORT.crt`
const OWN: &str = "/etc/dkms/registry.d";
/// `HOST/*.crt` or `HOST:PORT/*.crt`
const SHARED: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];
const LIMIT: Limit = Limit::bytes(4 << 20);

/// Why there are no certificates for a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    #[error("SSL_CERT_FILE: {0}")]
    Environment(#[source] IoError),
    #[error("the certificate for {host} cannot be read: {source}")]
    Damaged {
        /// The server that the file is for.
        host: String,
        source: ureq::Error,
    },
    #[error(
        "there are no certificates of authorities on this machine (package ca-certificates); \
         SSL_CERT_FILE names a file with others"
    )]
    None,
}

/// What was read before this process lost the right to read files. It is parsed when it is needed.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    system: Vec<u8>,
    /// PEM by `HOST` or `HOST:PORT`.
    additional: BTreeMap<String, Vec<u8>>,
    parsed: OnceLock<Vec<Certificate<'static>>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// `SSL_CERT_FILE` cannot be read.
    pub(crate) fn read() -> Result<Self, CertificatesError> {
        let system = match std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
            Some(path) => fs::read_bounded(&path, LIMIT).map_err(CertificatesError::Environment)?,
            None => BUNDLES.iter().find_map(|path| fs::read_bounded(path, LIMIT).ok()).unwrap_or_default(),
        };
        let mut additional = BTreeMap::new();
        for (name, path) in files(Path::new(OWN)) {
            if let Some(host) = name.strip_suffix(".crt") {
                append(&mut additional, host, &path);
            }
        }
        for (host, dir) in SHARED.iter().flat_map(|dir| files(Path::new(dir))) {
            for (_, path) in files(&dir).into_iter().filter(|(name, _)| name.ends_with(".crt")) {
                append(&mut additional, &host, &path);
            }
        }
        Ok(Self { system, additional, parsed: OnceLock::new() })
    }

    /// The authorities for a server.
    ///
    /// # Errors
    /// There are none, or a file for this server is damaged.
    pub(crate) fn find(&self, server: &Server) -> Result<RootCerts, CertificatesError> {
        // An unreadable certificate of the system does not affect the others.
        let system = self.parsed.get_or_init(|| certificates(&self.system).filter_map(Result::ok).collect());
        let mut all = system.clone();
        for pem in server.names().iter().filter_map(|name| self.additional.get(name)) {
            for certificate in certificates(pem) {
                let damaged = |source| CertificatesError::Damaged { host: server.host.clone(), source };
                all.push(certificate.map_err(damaged)?);
            }
        }
        if all.is_empty() {
            return Err(CertificatesError::None);
        }
        Ok(RootCerts::Specific(Arc::new(all)))
    }
}

fn certificates(pem: &[u8]) -> impl Iterator<Item = Result<Certificate<'static>, ureq::Error>> + '_ {
    parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(e) => Some(Err(e)),
    })
}

/// Names and paths in a directory, sorted. A directory that does not exist is empty.
fn files(dir: &Path) -> Vec<(String, PathBuf)> {
    let names = fs::list_dir_optional(dir).unwrap_or_default();
    let mut found: Vec<_> =
        names.into_iter().filter_map(|name| Some((name.to_str()?.to_owned(), dir.join(&name)))).collect();
    found.sort();
    found
}

fn append(all: &mut BTreeMap<String, Vec<u8>>, host: &str, path: &Path) {
    if let Ok(pem) = fs::read_bounded(path, LIMIT) {
        let known = all.entry(host.to_ascii_lowercase()).or_default();
        known.extend_from_slice(&pem);
        known.push(b'\n');
    }
}
