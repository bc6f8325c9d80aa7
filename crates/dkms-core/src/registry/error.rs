//! The reasons why a registry or the program `dkms-registry` could not be used.

use crate::cache::error::{Damaged, StoreError};
use crate::cause::Cause;
use dkms_bundle::layer::LayerError;
use dkms_bundle::manifest::ManifestError;
use dkms_bundle::signature::KeyError;
use dkms_sys::IoError;
use dkms_sys::fs::Distrust;
use dkms_sys::process::ProcessError;
use dkms_tree::ids::Build;
use kmodule::sign::VerifyError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The reason why a request to the program `dkms-registry` failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// It is not installed.
    #[error("the program dkms-registry is not installed")]
    NotInstalled,
    /// Users other than root can change it.
    #[error("{} is not used: {why}", .program.display())]
    NotTrusted {
        /// Its path.
        program: PathBuf,
        /// The reason.
        #[source]
        why: Distrust,
    },
    /// This machine failed.
    #[error("dkms-registry cannot be used: {0}")]
    Local(#[source] Arc<Local>),
    /// It exited while dkms still used it.
    #[error("dkms-registry ended unexpectedly ({status}){}{errors}", if .errors.is_empty() { "" } else { ": " })]
    Exited {
        /// Its exit status.
        status: String,
        /// The beginning of its error output.
        errors: String,
    },
    /// It uses another version of the protocol.
    #[error("dkms-registry uses version {0} of the protocol, and this dkms uses version {ours}: update both", ours = dkms_bundle::protocol::VERSION)]
    Version(u32),
    /// It did not answer in time.
    #[error("dkms-registry did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It sent an invalid reply.
    #[error("dkms-registry answered something unexpected: {0}")]
    Protocol(#[source] Arc<ProtocolError>),
    /// It reports a failure with this message.
    #[error("{0}")]
    Reported(String),
    /// A registry has a build that is not used.
    #[error(transparent)]
    Refused(Arc<Refused>),
    /// A signal interrupted dkms.
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
}

/// The reason why this machine cannot run the program.
#[derive(Debug, thiserror::Error)]
pub enum Local {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Start(#[from] std::io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// An invalid reply of the program. The quoted text is shortened.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("{0}")]
    Line(String),
    #[error("a reply to another request: {0}")]
    OtherReply(String),
    #[error("a manifest with another digest than the reported one")]
    OtherManifest,
    #[error("the name of a file that is not in its spool directory")]
    FileName,
    #[error(transparent)]
    File(#[from] IoError),
    #[error("a file of {actual} bytes where {expected} were requested")]
    FileSize { actual: u64, expected: u64 },
}

/// The reason why a build in a registry is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{registry} has {build}, but the build is refused: {cause}")]
    Offer {
        registry: String,
        build: Build,
        #[source]
        cause: OfferFault,
    },
    #[error("{registry}: the build of {package}: {cause}")]
    Files {
        registry: String,
        package: String,
        #[source]
        cause: FilesFault,
    },
}

/// The reason why the manifest of a build is refused.
#[derive(Debug, thiserror::Error)]
pub enum OfferFault {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("its {what} is {found}")]
    OtherBuild { what: &'static str, found: String },
}

/// The reason why the files of a build cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesFault {
    #[error("its record contains no archive")]
    NoArchive,
    #[error("its files have {0} bytes, more than any build")]
    TooLarge(u64),
    #[error("{0}")]
    Reported(String),
    #[error(transparent)]
    Archive(#[from] LayerError),
}

impl From<Local> for Failure {
    fn from(cause: Local) -> Self {
        Self::Local(Arc::new(cause))
    }
}

impl From<IoError> for Failure {
    fn from(error: IoError) -> Self {
        Local::Io(error).into()
    }
}

impl From<ProtocolError> for Failure {
    fn from(cause: ProtocolError) -> Self {
        Self::Protocol(Arc::new(cause))
    }
}

impl From<Refused> for Failure {
    fn from(cause: Refused) -> Self {
        Self::Refused(Arc::new(cause))
    }
}

/// The reason why something cannot be pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum RegistryError {
    #[error("no registry is named")]
    NoRegistry,
    #[error("registry '{name}': {reason}")]
    BadName {
        name: String,
        #[source]
        reason: dkms_conf::registry::BadRegistry,
    },
    #[error("there is no key to sign the builds with, and machines accept only signed builds")]
    NoKey(PathBuf),
    #[error("the key {path} cannot be used: {fault}")]
    BadKey {
        path: PathBuf,
        #[source]
        fault: KeyFault,
    },
    #[error("registry_signer {path}: {cause}")]
    BadSigner {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("registry_signer is the certificate of {signer}, and the key for it is not on this machine")]
    NotSigner { signer: String },
    #[error("{} exists already, and dkms never overwrites a key", list(.0))]
    KeyExists(Vec<PathBuf>),
    #[error("{0} is not built")]
    NotBuilt(Build),
    #[error("{build} is not pushed: it was built without complete confinement ({what})")]
    Unconfined { build: Build, what: String },
    #[error("{build} is not pushed: its build is not in the cache any more ({fault})")]
    NotInCache {
        build: Build,
        #[source]
        fault: CacheFault,
    },
    #[error("{build} cannot be published: {cause}")]
    BadRecord {
        build: Build,
        #[source]
        cause: Cause,
    },
    #[error("{registry}: {failure}")]
    Failed {
        registry: String,
        #[source]
        failure: Failure,
    },
    #[error("no registry has {}", .missing.iter().map(Build::to_string).collect::<Vec<_>>().join(", "))]
    Missing { missing: Vec<Build> },
    #[error("there is no cache to pull into: it is switched off")]
    NoCache,
    #[error("the build from the registry cannot be stored in the cache: {0}")]
    NotStored(#[source] StoreError),
}

/// The reason why a key that signs builds cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum KeyFault {
    #[error("it belongs to user {0}")]
    Owner(u32),
    #[error("other users may read it; correct that with chmod 600")]
    Readable,
    #[error(transparent)]
    NotTrusted(#[from] Distrust),
    #[error(transparent)]
    Unreadable(#[from] IoError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The reason why a key in a token cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum TokenError {
    #[error("it is in a token, and openssl, which dkms needs to use it, is not installed")]
    NoOpenssl,
    #[error("its PIN: {0}")]
    Pin(#[source] Cause),
    #[error("openssl {command}: {errors}{}", if *.has_provider { "" } else { " (OpenSSL's provider pkcs11 is not installed either)" })]
    Openssl { command: String, errors: String, has_provider: bool },
    #[error("openssl {command}: {cause}")]
    NotRun {
        command: String,
        #[source]
        cause: ProcessError,
    },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("its signature does not belong to its public key")]
    OtherKey,
}

/// The reason why a build is not among those of the cache.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum CacheFault {
    #[error("an older dkms built it")]
    OlderDkms,
    #[error("no build has fingerprint {0}")]
    NoEntry(String),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    NotSigned(#[from] VerifyError),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl RegistryError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        let hint = |text: String| vec![text];
        match self {
            Self::NoRegistry => {
                hint("use --registry HOST[:PORT]/PREFIX, or set registry= in framework.conf".into())
            }
            Self::BadName { .. } => hint(format!("write {}", dkms_conf::registry::HELP)),
            Self::NoKey(path) => hint(format!(
                "'dkms registry-key generate' creates {}; to use another file, set registry_key= in framework.conf",
                path.display()
            )),
            Self::KeyExists(_) => {
                hint("set registry_key= to a new file first, or move the old key away".into())
            }
            Self::BadSigner { .. } => {
                hint("set it to the fleet's certificate, a file in DER or PEM form".into())
            }
            Self::NotSigner { .. } => hint(
                "set mok_signing_key and mok_certificate to that key pair, or remove registry_signer".into(),
            ),
            Self::NotBuilt(build) => {
                hint(format!("run: dkms build {} -k {}", build.package, build.kernel.release))
            }
            Self::Unconfined { .. } => {
                hint("build it on a machine that supports confinement, with build_confinement=require".into())
            }
            Self::NotInCache { build, .. } => hint(format!(
                "build it again with the cache: dkms build {} -k {} --force",
                build.package, build.kernel.release
            )),
            Self::Failed { failure: Failure::NotInstalled, .. } => {
                hint("install the package dkms-registry".into())
            }
            Self::Missing { .. } => hint(
                "'dkms cache why' shows which inputs differ; a builder publishes with 'dkms push'".into(),
            ),
            Self::NoCache => hint("set cache_size in framework.conf, and do not use --no-cache".into()),
            Self::NotStored(_) | Self::BadKey { .. } | Self::BadRecord { .. } | Self::Failed { .. } => {
                Vec::new()
            }
        }
    }
}
