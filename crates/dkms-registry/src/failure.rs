//! The errors of requests. Their kinds decide whether the registry is contacted again.

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
    /// The registry accepts connections, but does not answer. It is not contacted again.
    #[error("it did not begin to answer in time")]
    Late,
    /// The registry does not accept a connection, or closes it without an answer. It is not contacted again.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The registry refuses access to this repository. Others may be readable.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The registry does not have the requested manifest or blob.
    #[error("it does not have this")]
    Missing,
    /// The registry sent or received wrong data.
    #[error(transparent)]
    Content(#[from] Content),
    /// The request is invalid, or this machine failed.
    #[error(transparent)]
    Local(#[from] Local),
}

/// The reason why a registry cannot be used.
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
    #[error("it names '{}' as the address for tokens, which cannot be used", printable(.0, 100))]
    TokenAddress(String),
    #[error("its token server answers {0}")]
    TokenStatus(u16),
    #[error("the answer of its token server cannot be parsed")]
    TokenSyntax(#[source] serde_json::Error),
    #[error("the answer of its token server contains no valid token")]
    NoToken,
    #[error("it names no usable address for an upload")]
    NoUploadAddress,
    #[error("it has too many requests (429)")]
    TooManyRequests,
    #[error("it answers {0}")]
    Status(u16),
}

/// The reason why a registry did not accept a connection, or closed it before it answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it did not accept a connection within 2 s")]
    Timeout,
    #[error("{}", describe(.0))]
    Connection(#[source] std::io::Error),
}

/// The reason why a registry refuses access to a repository.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("it requires an unknown kind of login")]
    UnknownLogin,
    #[error("it refuses access to {name} ({status}): {advice}{}", list(.problems))]
    Access {
        /// Server and repository.
        name: String,
        /// The status of its answer.
        status: u16,
        /// The likely reason.
        advice: Advice,
        /// Errors in the files with passwords.
        problems: Vec<Arc<PasswordsError>>,
    },
}

/// The likely reason why a registry refuses access, and what the user can do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Advice {
    #[error("log in with 'docker login' or 'podman login'")]
    NoPassword,
    #[error("the password is wrong, or does not permit this")]
    BadPassword,
    #[error(
        "its tokens come from {0}, to which the password of {server} is not sent; if {0} should get one, add an entry for \
         {0} to the file with the passwords",
        printable(.token_server, 100)
    )]
    TokensElsewhere {
        /// The server of the tokens.
        token_server: String,
        /// The registry's server.
        server: String,
    },
}

/// Wrong data from a registry, or wrong data that it received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Content {
    #[error("it sends more than {0} bytes")]
    TooLong(u64),
    #[error("its manifest is not text")]
    NotText(#[from] std::string::FromUtf8Error),
    #[error("it sent other data than {0}")]
    Differs(String),
    #[error("it does not accept the manifest ({0})")]
    ManifestRefused(u16),
    #[error("it received other data than were sent")]
    BlobRefused,
    #[error("the request cannot be sent: {0}")]
    Request(#[from] ureq::http::Error),
}

/// An invalid request of dkms, or an error of this machine.
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

/// The message about an error of a connection.
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

/// Makes a registry's text safe for a message: one line without control characters, with at most `length`
/// characters.
pub(crate) fn printable(text: &str, length: usize) -> String {
    let is_unsafe =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).take(length).collect()
}
