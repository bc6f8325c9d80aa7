//! Why a registry or the program `dkms-registry` could not be used.

use dkms_tree::ids::Build;
use std::path::PathBuf;
use std::time::Duration;

/// Why a request to the program `dkms-registry` failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It is not installed.
    #[error("the program dkms-registry is not installed")]
    NotInstalled,
    /// Others than root can change it.
    #[error("{0} is not used: {1}")]
    NotTrusted(String, String),
    /// This machine failed.
    #[error("dkms-registry cannot be used: {0}")]
    Local(String),
    /// It ended before the conversation did.
    #[error("dkms-registry ended unexpectedly ({how}){}{errors}", if .errors.is_empty() { "" } else { ": " })]
    Ended {
        /// Its status.
        how: String,
        /// The beginning of its error output.
        errors: String,
    },
    /// It speaks another version.
    #[error("dkms-registry speaks version {0} of the protocol, and this dkms version {ours}: update both", ours = dkms_bundle::protocol::VERSION)]
    Version(u32),
    /// It did not answer in time.
    #[error("dkms-registry did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It answered something that is not an answer.
    #[error("dkms-registry answered something unexpected: {0}")]
    Nonsense(String),
    /// It reports a failure.
    #[error("{0}")]
    Reported(String),
    /// A signal asked dkms to stop.
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
}

/// Why something cannot be pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum RegistryError {
    #[error("no registry is named")]
    NoRegistry,
    #[error("registry '{name}': {reason}")]
    BadName { name: String, reason: &'static str },
    #[error("there is no key to sign with, and no machine accepts an unsigned build")]
    NoKey(PathBuf),
    #[error("the key {} cannot be used: {reason}", .path.display())]
    BadKey { path: PathBuf, reason: String },
    #[error("registry_signer {path}: {reason}", path = .path.display())]
    BadSigner { path: PathBuf, reason: String },
    #[error("registry_signer is the certificate of {signer}, and the key for it is not on this machine")]
    NotSigner { signer: String },
    #[error("{} exists already, and a key is never overwritten", list(.0))]
    KeyExists(Vec<PathBuf>),
    #[error("{0} is not built")]
    NotBuilt(Build),
    #[error("{build} is not pushed: it was built without complete confinement ({what})")]
    Unconfined { build: Build, what: String },
    #[error("{build} is not pushed: its build is not in the cache any more ({reason})")]
    NotInCache { build: Build, reason: String },
    #[error("{build} cannot be published: {reason}")]
    BadRecord { build: Build, reason: String },
    #[error("{registry}: {failure}")]
    Failed { registry: String, failure: Failure },
    #[error("no registry has {}", .missing.iter().map(Build::to_string).collect::<Vec<_>>().join(", "))]
    Missing { missing: Vec<Build> },
    #[error("there is no cache to pull into: it is switched off")]
    NoCache,
    #[error("what the registry has cannot be stored in the cache: {0}")]
    NotStored(String),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl RegistryError {
    /// What to do about it; empty if the message says it.
    pub fn help(&self) -> Vec<String> {
        let one = |text: String| vec![text];
        match self {
            Self::NoRegistry => {
                one("give --registry HOST[:PORT]/PREFIX, or set registry= in framework.conf".into())
            }
            Self::BadName { .. } => one(format!("write {}", dkms_conf::registry::HELP)),
            Self::NoKey(path) => one(format!(
                "'dkms registry-key generate' creates {}; registry_key= in framework.conf names another file",
                path.display()
            )),
            Self::KeyExists(_) => {
                one("name a new file in registry_key= first, or move the old key away".into())
            }
            Self::BadSigner { .. } => one("name the fleet's certificate, a file in DER or PEM form".into()),
            Self::NotSigner { .. } => {
                one("set mok_signing_key and mok_certificate to that key pair, or remove registry_signer"
                    .into())
            }
            Self::NotBuilt(build) => {
                one(format!("run: dkms build {} -k {}", build.package, build.kernel.release))
            }
            Self::Unconfined { .. } => {
                one("build it on a machine that supports confinement, with build_confinement=require".into())
            }
            Self::NotInCache { build, .. } => one(format!(
                "build it again with the cache: dkms build {} -k {} --force",
                build.package, build.kernel.release
            )),
            Self::Failed { failure: Failure::NotInstalled, .. } => {
                one("install the package dkms-registry".into())
            }
            Self::Missing { .. } => {
                one("'dkms cache why' shows which inputs differ; a builder publishes with 'dkms push'".into())
            }
            Self::NoCache => one("set cache_size in framework.conf, and do not use --no-cache".into()),
            Self::NotStored(_) | Self::BadKey { .. } | Self::BadRecord { .. } | Self::Failed { .. } => {
                Vec::new()
            }
        }
    }
}
