//! What `dkms` and the program `dkms-registry` say to each other: JSON, one value per line.
//!
//! `dkms` starts the program with the path of a spool directory, writes requests to its standard input and
//! reads replies from its standard output. The first line of each side is a [`Greeting`]; a side that does
//! not know the other's version ends the conversation. Every request gets exactly one final reply with its
//! number, in any order; [`Reply::Warning`] may come at any time. The program ends when its input ends.
//!
//! The program transports bytes and trusts nothing. `dkms` verifies the signature and the record between
//! [`Request::Lookup`] and [`Request::Fetch`], and the archive afterwards. Files are exchanged by their names
//! in the spool directory, which contain no slash. The directory is private (mode 700), and empty except for
//! `auth.json`, the passwords for registries, if there are any. Files that `dkms` adds are named `push-…` and
//! readable by all users, because the program may have changed its user.

use serde::{Deserialize, Serialize};

/// The version that this dkms speaks.
pub const VERSION: u32 = 1;

/// A longer line ends the conversation: a manifest of 1 MiB, escaped.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// The first line of each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// `dkms-registry`
    pub protocol: String,
    /// [`VERSION`]
    pub version: u32,
}

/// What `dkms` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The manifest of a tag, from the first source that has it. A source that fails does not have it; a
    /// warning reports why. Reply: found or missing.
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
    /// A blob, to a file in the spool. Reply: fetched or failed.
    Fetch {
        /// Number of the request.
        id: u64,
        /// The one of the sources that had the manifest.
        source: String,
        /// The name below the prefix.
        repository: String,
        /// `sha256:…`
        digest: String,
        /// Bytes: the program reads no more than these.
        size: u64,
    },
    /// Uploads blobs and then the manifest, unless the tag exists. Reply: pushed, exists or failed.
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
        /// What the manifest refers to.
        blobs: Vec<Blob>,
        /// A tag that exists is changed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        replace: bool,
    },
}

/// A blob in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its file in the spool.
    pub file: String,
    /// `sha256:…`
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// What the program answers.
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
        /// Its text, exactly as it came.
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
        /// Its file.
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
        /// What happened, for people.
        reason: String,
    },
    /// A source failed. There is at most one for each source; one that cannot be used at all is not contacted
    /// again by this process.
    Warning {
        /// The source.
        source: String,
        /// What happened, for people.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_these() {
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
