//! Why something did not work, and what follows from it.

use std::sync::Arc;

use dkms_sys::IoError;

use crate::address::AddressError;
use crate::certificates::CertificatesError;
use crate::credentials::PasswordsError;
use crate::proxy::BadProxy;

/// A failed request to a registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The registry cannot be used: it is not contacted again.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It accepts connections, but does not answer. It is not contacted again.
    #[error("it did not begin to answer in time")]
    Late,
    /// It does not accept a connection, or closes it without an answer. It is not contacted again.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It refuses this repository. Others may be readable.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It has no such thing.
    #[error("it does not have this")]
    Missing,
    /// What it sent is not what it should be.
    #[error(transparent)]
    Content(#[from] Content),
    /// The fault is on this side.
    #[error(transparent)]
    Local(#[from] Local),
}

/// Why a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it failed before and is not contacted again")]
    FailedBefore,
    #[error("its name was not resolved within 2 s")]
    NameTimeout,
    #[error("its name cannot be resolved")]
    NoName,
    #[error("it did not finish in time")]
    Timeout,
    #[error("{}", describe(.0))]
    Connection(#[source] std::io::Error),
    #[error("{}", printable(&.0.to_string(), 200))]
    Http(#[source] ureq::Error),
    #[error(transparent)]
    Proxy(#[from] BadProxy),
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    #[error("it redirects to '{}', which is not an address", printable(.0, 100))]
    RedirectNowhere(String),
    #[error("it redirects to {}, which has no TLS", printable(.0, 100))]
    RedirectWithoutTls(String),
    #[error("it redirects more than {0} times")]
    RedirectLoop(usize),
    #[error("it sends to '{}' for a token", printable(.0, 100))]
    TokenAddress(String),
    #[error("its token server answers {0}")]
    TokenStatus(u16),
    #[error("its token server's answer is not understood")]
    TokenSyntax(#[source] serde_json::Error),
    #[error("its token server's answer contains no valid token")]
    NoToken,
    #[error("it names no place for an upload")]
    NoUploadAddress,
    #[error("it answers only later: too many requests (429)")]
    TooManyRequests,
    #[error("it answers {0}")]
    Status(u16),
}

/// Why there was no answer although a connection was tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it did not accept a connection within 2 s")]
    Timeout,
    #[error("{}", describe(.0))]
    Connection(#[source] std::io::Error),
}

/// Why a registry refuses a repository.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("it asks for an unknown kind of login")]
    UnknownLogin,
    #[error("it refuses access to {name} ({status}): {advice}{}", list(.problems))]
    Access {
        /// Server and repository.
        name: String,
        /// The status of its answer.
        status: u16,
        /// What could be the reason.
        advice: Advice,
        /// What is wrong with the files of passwords.
        problems: Vec<Arc<PasswordsError>>,
    },
}

/// What could be the reason that a registry refuses access, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Advice {
    #[error("log in with 'docker login' or 'podman login'")]
    NoPassword,
    #[error("the password is wrong, or does not permit this")]
    BadPassword,
    #[error(
        "its tokens come from {0}, which does not get the password of {server}; if it should, list {0} among the passwords",
        printable(.stranger, 100)
    )]
    TokensElsewhere {
        /// The server of the tokens.
        stranger: String,
        /// The registry's server.
        server: String,
    },
}

/// What is wrong with what a registry sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Content {
    #[error("it sends more than {0} bytes")]
    TooLong(u64),
    #[error("its manifest is not text")]
    NotText(#[from] std::string::FromUtf8Error),
    #[error("it sent something else than {0}")]
    Differs(String),
    #[error("it does not accept the manifest ({0})")]
    ManifestRefused(u16),
    #[error("it received something else than was sent")]
    BlobRefused,
    #[error("the request cannot be sent: {0}")]
    Request(#[from] ureq::http::Error),
}

/// What is wrong with a request of dkms, or with this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Local {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("{file}: {source}")]
    File {
        /// The file in the spool.
        file: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the manifest: {0}")]
    Manifest(#[from] serde_json::Error),
    #[error("'{0}' is not the name of a file in the spool")]
    FileName(String),
    #[error("{0} is not the announced file: its size or digest differs")]
    NotAnnounced(String),
    #[error("'{0}' cannot be a tag")]
    Tag(String),
    #[error("'{0}' is not a SHA-256 digest")]
    Digest(String),
}

/// What an error of a connection means.
fn describe(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "it refuses connections".into(),
        ErrorKind::TimedOut => "it did not finish in time".into(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it closed the connection early".into()
        }
        _ => printable(&error.to_string(), 200),
    }
}

fn list(problems: &[Arc<PasswordsError>]) -> String {
    problems.iter().map(|problem| format!("; {problem}")).collect()
}

/// Text of a registry for a message: one line without control characters, of a limited length.
pub(crate) fn printable(text: &str, length: usize) -> String {
    let is_unsafe =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).take(length).collect()
}
