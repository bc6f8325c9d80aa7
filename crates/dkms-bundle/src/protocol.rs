//! The protocol between `dkms` and the program `dkms-registry`: one JSON value per line.
//!
//! `dkms` starts the program with the path of a spool directory, writes requests to its standard input and
//! reads replies from its standard output. The first line of each side is a [`Greeting`]; a side that does
//! not support the other's version stops. Every request gets exactly one reply with its number, and replies
//! may come in any order. A [`Reply::Warning`] may come at any time. The program ends when its input ends.
//!
//! The program transports bytes and trusts nothing. `dkms` verifies the signature and the record between
//! [`Request::Lookup`] and [`Request::Fetch`], and the archive afterwards. Files are exchanged by their names
//! in the spool directory, which contain no slash. The directory is private (mode 700), and empty except for
//! `auth.json`, the passwords for registries, if there are any. Files that `dkms` adds are named `push-…` and
//! readable by all users, because the program may have changed its user.

use serde::{Deserialize, Serialize};

/// The name of the protocol in a [`Greeting`].
pub const PROTOCOL: &str = "dkms-registry";

/// The version of the protocol that this dkms supports.
pub const VERSION: u32 = 1;

/// The maximum length of a line in bytes: enough for a manifest of 1 MiB with escapes. A longer line is an
/// error.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// The first line of each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL`]
    pub protocol: String,
    /// [`VERSION`]
    pub version: u32,
}

impl Greeting {
    /// The greeting of this version.
    #[must_use]
    pub fn ours() -> Self {
        Self { protocol: PROTOCOL.into(), version: VERSION }
    }
}

/// A request of `dkms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Look up the manifest of a tag in the first source that has it. If a source fails, a warning reports
    /// the reason, and the next source is tried. Reply: found or missing.
    Lookup {
        /// Number of the request.
        id: u64,
        /// Registries in the order of the configuration: `HOST[:PORT]/PREFIX`, with `http://` in front for
        /// one without TLS.
        sources: Vec<String>,
        /// The name below the prefix.
        repository: String,
        /// The tag.
        tag: String,
    },
    /// Download a blob to a file in the spool. Reply: fetched or failed.
    Fetch {
        /// Number of the request.
        id: u64,
        /// The source that had the manifest.
        source: String,
        /// The name below the prefix.
        repository: String,
        /// `sha256:…`
        digest: String,
        /// Its size in bytes. The program reads no more than that.
        size: u64,
    },
    /// Upload blobs and then the manifest, unless the tag exists. Reply: pushed, exists or failed.
    Push {
        /// Number of the request.
        id: u64,
        /// The registry.
        source: String,
        /// The name below the prefix.
        repository: String,
        /// The tag.
        tag: String,
        /// The manifest's JSON.
        manifest: String,
        /// The blobs that the manifest refers to.
        blobs: Vec<Blob>,
        /// Whether an existing tag is replaced.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        replace: bool,
    },
}

impl Request {
    /// The number of the request.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Lookup { id, .. } | Self::Fetch { id, .. } | Self::Push { id, .. } => *id,
        }
    }
}

/// A blob in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// The name of its file in the spool.
    pub file: String,
    /// `sha256:…`
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A reply of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The manifest.
    Found {
        /// Number of the request.
        id: u64,
        /// The source that had it.
        source: String,
        /// Its digest, `sha256:…`.
        digest: String,
        /// Its text, exactly as the registry sent it.
        manifest: String,
    },
    /// No source has this tag.
    Missing {
        /// Number of the request.
        id: u64,
    },
    /// The blob is in the spool.
    Fetched {
        /// Number of the request.
        id: u64,
        /// The name of its file.
        file: String,
    },
    /// The tag refers to the manifest now.
    Pushed {
        /// Number of the request.
        id: u64,
        /// Digest of the manifest.
        digest: String,
    },
    /// The tag existed; nothing was changed.
    Exists {
        /// Number of the request.
        id: u64,
    },
    /// The request failed.
    Failed {
        /// Number of the request.
        id: u64,
        /// The reason, for the user.
        reason: String,
    },
    /// A source failed. There is at most one warning for each source. A source that cannot be used at all is
    /// not contacted again by this process.
    Warning {
        /// The source.
        source: String,
        /// The reason, for the user.
        reason: String,
    },
}

impl Reply {
    /// The number of the request; `None` for a warning.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Found { id, .. }
            | Self::Missing { id }
            | Self::Fetched { id, .. }
            | Self::Pushed { id, .. }
            | Self::Exists { id }
            | Self::Failed { id, .. } => Some(*id),
            Self::Warning { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_have_this_json() {
        let request = Request::Fetch {
            id: 2,
            source: "registry.example/dkms".into(),
            repository: "hello".into(),
            digest: "sha256:00".into(),
            size: 5,
        };
        let json = serde_json::to_string(&request).unwrap();
        let expected = r#"{"request":"fetch","id":2,"source":"registry.example/dkms","repository":"hello","digest":"sha256:00","size":5}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), request);
        let reply: Reply = serde_json::from_str(r#"{"reply":"missing","id":7}"#).unwrap();
        assert_eq!(reply, Reply::Missing { id: 7 });
    }
}
