//! The facts about one certificate: its contents, whether a kernel accepts it, and where it is trusted.

use crate::kernel::headers::KernelConfig;
use crate::trust::machine::{Fact, Machine, Variable};
use kmodule::sign::{Certificate, KeyType};
use std::path::{Path, PathBuf};

/// Whether a kernel accepts a key of this type in its keyrings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Yes.
    Yes,
    /// No, and why.
    No(String),
    /// It cannot be determined, for this reason.
    Unknown(String),
}

/// The places where a certificate is trusted, and where its enrolment is pending.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Among the machine owner keys (MokListRT).
    pub mok_list: Fact<bool>,
    /// Waiting for MokManager to enrol it (MokNew).
    pub mok_new: Fact<bool>,
    /// Waiting for MokManager to delete it (MokDel).
    pub mok_del: Fact<bool>,
    /// In the firmware's own list (db).
    pub db: Fact<bool>,
    /// The list that forbids it: `MokListXRT`, `dbx` or `.blacklist`.
    pub forbidden: Fact<Option<&'static str>>,
    /// Keyrings of the running kernel that hold it.
    pub keyrings: Vec<&'static str>,
    /// Whether the running kernel has it; `None` if its keyrings cannot be read.
    pub kernel: Option<bool>,
}

impl Enrolment {
    fn inspect(machine: &Machine, certificate: &Certificate) -> Self {
        let holds = |variable| machine.list(variable).map(|list| list.contains(certificate));
        let keyrings = machine.keyrings();
        let forbidden = || {
            if keyrings.forbids(certificate) == Some(true) {
                return Ok(Some(".blacklist"));
            }
            for variable in [Variable::MokListXrt, Variable::Dbx] {
                if machine.list(variable)?.forbids(certificate) {
                    return Ok(Some(variable.name()));
                }
            }
            Ok(None)
        };
        Self {
            mok_list: holds(Variable::MokListRt),
            mok_new: holds(Variable::MokNew),
            mok_del: holds(Variable::MokDel),
            db: holds(Variable::Db),
            forbidden: forbidden(),
            keyrings: keyrings.keyrings_with(certificate),
            kernel: keyrings.holds(certificate),
        }
    }

    /// Returns whether the machine is known to trust it, so that kernels booted here accept it.
    pub fn is_trusted(&self) -> bool {
        let listed = self.mok_list == Ok(true) || self.db == Ok(true) || self.kernel == Some(true);
        listed && !self.is_forbidden()
    }

    /// Returns whether it is known to be forbidden.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.forbidden, Ok(Some(_)))
    }

    /// Returns whether it waits for MokManager at the next boot.
    pub fn is_pending(&self) -> bool {
        self.mok_new == Ok(true)
    }

    /// Returns whether it is known not to be trusted. Also false if that cannot be determined.
    pub fn is_known_untrusted(&self) -> bool {
        // The kernel's keyrings are filled from these lists, so either is enough.
        let lists = self.mok_list == Ok(false) && self.db == Ok(false);
        self.is_forbidden() || !self.is_trusted() && (lists || self.kernel == Some(false))
    }

    /// Returns the reasons why keyrings or variables could not be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.mok_list, &self.mok_new, &self.mok_del, &self.db];
        lists.into_iter().filter_map(|seen| seen.as_ref().err().map(String::as_str))
    }
}

/// A certificate file, and the facts about it.
#[derive(Clone, Debug)]
pub struct Certified {
    /// Its path.
    pub path: PathBuf,
    /// Its contents.
    pub certificate: Certificate,
    /// Whether the kernel accepts keys of this type.
    pub accepted: Accepted,
    /// The places where it is trusted.
    pub enrolment: Enrolment,
}

impl Certified {
    /// Reads a certificate file and finds where it is trusted.
    ///
    /// # Errors
    /// The reason why the file is not a usable certificate.
    pub(super) fn inspect(machine: &Machine, path: &Path, config: Option<&KernelConfig>) -> Fact<Self> {
        let bytes =
            dkms_sys::fs::read_bounded(path, dkms_sys::fs::Limit::CONFIG).map_err(|e| e.to_string())?;
        let certificate = Certificate::parse(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        let enrolment = Enrolment::inspect(machine, &certificate);
        let accepted = if enrolment.kernel == Some(true) {
            Accepted::Yes
        } else {
            accepted(certificate.key_type(), config)
        };
        Ok(Self { path: path.to_owned(), certificate, accepted, enrolment })
    }

    /// Its SHA-1 fingerprint, as mokutil shows it.
    pub fn sha1(&self) -> String {
        colons(&self.certificate.fingerprint_sha1())
    }

    /// Its SHA-256 fingerprint.
    pub fn sha256(&self) -> String {
        colons(&self.certificate.fingerprint())
    }

    /// Its serial number.
    pub fn serial(&self) -> String {
        colons(self.certificate.serial())
    }

    /// Returns whether it has expired or is not yet valid. Kernels ignore these dates.
    pub fn is_out_of_date(&self, now: i64) -> bool {
        now < self.certificate.not_before() || now > self.certificate.not_after()
    }
}

fn colons(bytes: &[u8]) -> String {
    kmodule::sign::hex(bytes).to_lowercase()
}

/// Determines whether a kernel accepts a type of key, as the kernel's X.509 parser
/// (crypto/asymmetric_keys/x509_cert_parser.c) and crypto/rsa.c do. Only built-in algorithms count, because
/// keys are loaded at boot, when no module can be loaded yet.
fn accepted(kind: &KeyType, config: Option<&KernelConfig>) -> Accepted {
    match kind {
        KeyType::Rsa(512 | 1024 | 1536 | 2048 | 3072 | 4096) => Accepted::Yes,
        KeyType::Rsa(bits) => {
            Accepted::No(format!("it supports RSA keys of 1024, 2048, 3072 or 4096 bits, but not of {bits}"))
        }
        KeyType::Ec(curve) if matches!(curve.as_str(), "P-256" | "P-384") => match config {
            Some(config) => match config.value("CONFIG_CRYPTO_ECDSA") {
                Some("y") => Accepted::Yes,
                Some(_) => Accepted::No("its ECDSA is a module, which is loaded too late for that".into()),
                None => Accepted::No("it is built without ECDSA (CONFIG_CRYPTO_ECDSA)".into()),
            },
            None => Accepted::Unknown("that depends on its configuration, which does not exist".into()),
        },
        KeyType::Ec(curve) if curve == "P-521" => {
            Accepted::Unknown("only kernels from 6.10 on support the curve P-521".into())
        }
        other => Accepted::No(format!("it does not support keys of type {other}")),
    }
}

/// The digest that a kernel's modules are signed with, if it is a module and not built in. Until that module
/// is loaded, signatures cannot be checked.
pub(super) fn digest_module(config: &KernelConfig) -> Option<String> {
    let hash = config.value("CONFIG_MODULE_SIG_HASH")?;
    let option = match hash {
        "sha1" => "CONFIG_CRYPTO_SHA1",
        "sha224" | "sha256" => "CONFIG_CRYPTO_SHA256",
        "sha384" | "sha512" => "CONFIG_CRYPTO_SHA512",
        _ if hash.starts_with("sha3-") => "CONFIG_CRYPTO_SHA3",
        _ => return None,
    };
    (config.value(option) == Some("m")).then(|| hash.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_types_and_kernels() {
        let config = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("c"), text).unwrap();
            KernelConfig::read(&dir.path().join("c")).unwrap()
        };
        let (old, new) = (config("CONFIG_MODULE_SIG=y\n"), config("CONFIG_CRYPTO_ECDSA=y\n"));
        let p256 = KeyType::Ec("P-256".into());
        assert_eq!(accepted(&KeyType::Rsa(2048), None), Accepted::Yes);
        assert!(matches!(accepted(&KeyType::Rsa(8192), None), Accepted::No(_)));
        assert!(matches!(accepted(&p256, Some(&old)), Accepted::No(_)));
        assert_eq!(accepted(&p256, Some(&new)), Accepted::Yes);
        assert!(matches!(accepted(&p256, None), Accepted::Unknown(_)));
        assert!(matches!(accepted(&KeyType::Edwards("Ed25519"), Some(&new)), Accepted::No(_)));
        let late = config("CONFIG_MODULE_SIG_HASH=\"sha512\"\nCONFIG_CRYPTO_SHA512=m\n");
        assert_eq!(digest_module(&late).as_deref(), Some("sha512"));
        assert_eq!(digest_module(&config("CONFIG_MODULE_SIG_HASH=sha256\nCONFIG_CRYPTO_SHA256=y\n")), None);
    }
}
