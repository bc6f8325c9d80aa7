//! Finds the trusted certificate authorities: those of the system, and additional ones for single registries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dkms_sys::IoError;
use dkms_sys::fs::{self, Limit};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::address::Server;

/// The files with the system's authorities, in the order in which they are tried: Debian and its derivatives,
/// Fedora, openSUSE, Fedora's other path, Alpine and others.
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

/// The reason why there are no certificates for a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    #[error("SSL_CERT_FILE: {0}")]
    Environment(#[source] IoError),
    #[error(transparent)]
    Directory(#[from] IoError),
    #[error("its certificates cannot be used: {0}")]
    Unreadable(#[source] Arc<IoError>),
    #[error("its certificate cannot be used: {} is not in PEM form: {source}", .file.display())]
    NotPem { file: PathBuf, source: ureq::Error },
    #[error("its certificate cannot be used: {} contains an invalid one: {source}", .file.display())]
    Invalid { file: PathBuf, source: rustls::Error },
    #[error("its certificate cannot be used: {} contains no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    #[error(
        "this machine has no certificates of authorities: install the package ca-certificates, or set SSL_CERT_FILE to \
         a file with certificates"
    )]
    None,
}

/// The certificates, which are read before this process gives up access to files. They are parsed when they
/// are needed, so that an invalid file affects only its own server.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    system: Vec<u8>,
    additional: Additional,
    parsed: OnceLock<Vec<Certificate<'static>>>,
}

/// The additional authorities of single servers, by `HOST` or `HOST:PORT`.
#[derive(Debug, Default)]
struct Additional(BTreeMap<String, Vec<AuthorityFile>>);

/// A file with certificates of authorities in PEM form, or a directory that cannot be listed.
#[derive(Debug)]
struct AuthorityFile {
    path: PathBuf,
    pem: Result<Vec<u8>, Arc<IoError>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// `SSL_CERT_FILE` or a directory of certificates cannot be read.
    pub(crate) fn read() -> Result<Self, CertificatesError> {
        let system = match std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
            Some(path) => fs::read_bounded(&path, LIMIT).map_err(CertificatesError::Environment)?,
            None => BUNDLES.iter().find_map(|path| fs::read_bounded(path, LIMIT).ok()).unwrap_or_default(),
        };
        let additional = Additional::read(Path::new(OWN), &SHARED.map(Path::new))?;
        Ok(Self { system, additional, parsed: OnceLock::new() })
    }

    /// The trusted authorities for a server.
    ///
    /// # Errors
    /// There are none, or a file for this server cannot be used.
    pub(crate) fn find(&self, server: &Server) -> Result<RootCerts, CertificatesError> {
        // An invalid certificate of the system does not affect the others.
        let system = self.parsed.get_or_init(|| certificates(&self.system).filter_map(Result::ok).collect());
        let mut all = system.clone();
        for file in server.names().iter().filter_map(|name| self.additional.0.get(name)).flatten() {
            all.extend(file.certificates()?);
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

impl Additional {
    fn read(own: &Path, shared: &[&Path]) -> Result<Self, IoError> {
        let mut all = Self::default();
        for (name, path) in files(own)? {
            if let Some(host) = name.strip_suffix(".crt") {
                all.add(host, path);
            }
        }
        for directory in shared {
            for (host, directory) in files_of_others(directory)? {
                match files(&directory) {
                    Ok(files) => {
                        let certificates = files.into_iter().filter(|(name, _)| name.ends_with(".crt"));
                        certificates.for_each(|(_, path)| all.add(&host, path));
                    }
                    // Its certificates are not known, so this registry cannot be used.
                    Err(e) => all.insert(&host, AuthorityFile { path: directory, pem: Err(Arc::new(e)) }),
                }
            }
        }
        Ok(all)
    }

    fn add(&mut self, host: &str, path: PathBuf) {
        let pem = fs::read_bounded(&path, LIMIT).map_err(Arc::new);
        self.insert(host, AuthorityFile { path, pem });
    }

    fn insert(&mut self, host: &str, file: AuthorityFile) {
        self.0.entry(host.to_ascii_lowercase()).or_default().push(file);
    }
}

impl AuthorityFile {
    fn certificates(&self) -> Result<Vec<Certificate<'static>>, CertificatesError> {
        let pem = self.pem.as_ref().map_err(|e| CertificatesError::Unreadable(e.clone()))?;
        let mut valid = Vec::new();
        for certificate in certificates(pem) {
            let file = || self.path.clone();
            let certificate =
                certificate.map_err(|source| CertificatesError::NotPem { file: file(), source })?;
            // Later, an invalid certificate would be ignored without a message.
            RootCertStore::empty()
                .add(CertificateDer::from(certificate.der()))
                .map_err(|source| CertificatesError::Invalid { file: file(), source })?;
            valid.push(certificate);
        }
        if valid.is_empty() { Err(CertificatesError::Empty(self.path.clone())) } else { Ok(valid) }
    }
}

/// The names and paths of the files in a directory, sorted. A directory that does not exist is empty.
fn files(dir: &Path) -> Result<Vec<(String, PathBuf)>, IoError> {
    let names = fs::list_dir_optional(dir)?;
    let mut files: Vec<_> =
        names.into_iter().filter_map(|name| Some((name.to_str()?.to_owned(), dir.join(&name)))).collect();
    files.sort();
    Ok(files)
}

/// Like [`files`], for a directory of other programs. If this user cannot read it, it counts as empty,
/// because it does not say for which registries it has certificates.
fn files_of_others(dir: &Path) -> Result<Vec<(String, PathBuf)>, IoError> {
    match files(dir) {
        Err(e) if e.source.kind() == std::io::ErrorKind::PermissionDenied => Ok(Vec::new()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Registry;

    /// The authorities of a server, from a directory like `registry.d` and one like `certs.d`.
    fn find(dir: &Path, server: &str) -> Result<RootCerts, CertificatesError> {
        let additional = Additional::read(&dir.join("registry.d"), &[&dir.join("certs.d")]).expect("read");
        let certificates = Certificates { additional, ..Certificates::default() };
        certificates.find(&Registry::parse(server).expect("parse").server)
    }

    const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIUQrrGT+pUWfpAxcVQCfvWPX4YIV0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MB4XDTI2MTEyNzE3MTkyNFoXDTI2MTEzMDE3
MTkyNFowFDESMBAGA1UEAwwJYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEaEBE4dv6/JGrlrPFBiYtYPkupavxXl4JWb6EMMSWPqdfwBc/Vf0d7WBA
tkK6h4VSbA7958tJZ2MF2Kabav0fhKNTMFEwHQYDVR0OBBYEFOJ3sQ5JYsqMU/CV
GrZqK2sKRkMdMB8GA1UdIwQYMBaAFOJ3sQ5JYsqMU/CVGrZqK2sKRkMdMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgB9co3Ui94aUEweJPB7HSI1n/
76EHYhjipxqCpYVa3HwCIQDHRZj2RZhVvJhaZnlbbYJcNeNitf5m8sqNRJAw+rr3
nA==
-----END CERTIFICATE-----
";

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::create_dir_all(dir.path().join("registry.d/directory.example.crt")).expect("mkdir");
        fs::create_dir_all(dir.path().join("certs.d/shared.example:5000")).expect("mkdir");
        // A link to itself cannot be listed, even by root.
        fs::symlink("loop.example", dir.path().join("certs.d/loop.example")).expect("symlink");
        let garbage = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\nYQ==\n";
        for (file, contents) in [
            ("registry.d/good.example.crt", AUTHORITY),
            ("registry.d/empty.example.crt", ""),
            ("registry.d/binary.example.crt", "0\u{3}"),
            ("registry.d/garbage.example.crt", garbage),
            ("registry.d/cut.example.crt", cut),
            ("certs.d/shared.example:5000/ca.crt", garbage),
            ("certs.d/shared.example:5000/client.key", "not for us"),
        ] {
            fs::create_new(dir.path().join(file), contents.as_bytes(), 0o644).expect("write");
        }
        for (server, file, reason) in [
            ("directory.example", "registry.d/directory.example.crt", "cannot read"),
            ("empty.example", "registry.d/empty.example.crt", "contains no certificate"),
            ("binary.example", "registry.d/binary.example.crt", "contains no certificate"),
            ("garbage.example", "registry.d/garbage.example.crt", "invalid"),
            ("cut.example", "registry.d/cut.example.crt", "is not in PEM form"),
            ("loop.example", "certs.d/loop.example", "cannot be used"),
            ("shared.example:5000", "certs.d/shared.example:5000/ca.crt", "invalid"),
        ] {
            let message = find(dir.path(), server).expect_err(server).to_string();
            let file = dir.path().join(file).display().to_string();
            assert!(message.contains(&file) && message.contains(reason), "{server}: {message}");
        }
        assert!(matches!(find(dir.path(), "other.example"), Err(CertificatesError::None)));
        let Ok(RootCerts::Specific(found)) = find(dir.path(), "good.example") else { panic!("refused") };
        assert_eq!(found.len(), 1);
    }
}
