//! The record of a build: `record.json` in the local cache, and the config of its manifest in a registry.
//!
//! A record comes from a disk, which may be damaged, or from the network, which is not trusted.
//! [`Record::parse`] checks everything that can be checked without the files: that the fingerprint is that of
//! the lines, and that no path leaves the directory of the build.

use serde::{Deserialize, Serialize};

use crate::digest::sha256_hex;

/// The version of the format that is written.
pub const SCHEMA: u32 = 1;

/// The maximum size of a record in bytes. Registries accept no larger data embedded in a manifest.
pub const MAX_BYTES: usize = 64 * 1024;

/// The record of a build. Its JSON has the fields in this order, so that equal records have equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`]
    pub schema: u32,
    /// SHA-256 of [`Record::lines`], 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// The inputs, sorted, each `name=value`.
    pub lines: Vec<String>,
    /// PACKAGE_NAME
    pub package: String,
    /// PACKAGE_VERSION
    pub version: String,
    /// Kernel release.
    pub kernel: String,
    /// Architecture, as `uname -m` prints it.
    pub arch: String,
    /// Version of the dkms that built it.
    pub builder: String,
    /// Parts of the confinement that were not enforced; empty if the build was confined completely.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfined: Vec<String>,
    /// The duration of the build in whole milliseconds.
    pub build_ms: u64,
    /// The files of the build, sorted by path.
    pub files: Vec<File>,
    /// The archive of the files. Only in a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
}

/// One file of a build. Modules are stripped, unsigned and uncompressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The path below the directory of the build, for example `module/hello.ko`.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// The archive of a build's files in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `sha256:` and 64 lower-case hexadecimal digits.
    pub digest: String,
    /// The size in bytes.
    pub size: u64,
}

/// The reason why a record is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// More than [`MAX_BYTES`].
    #[error("the record has {0} bytes; {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// It is not JSON, or lacks a field.
    #[error("the record cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A newer dkms wrote it.
    #[error("the record has schema {0}; this dkms reads {SCHEMA}")]
    Schema(u32),
    /// The fingerprint does not match the lines.
    #[error("the fingerprint of the record is not that of its lines")]
    Fingerprint,
    /// A field has an invalid value.
    #[error("the record's {field} cannot be '{value}'")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value, cut to 100 characters.
        value: String,
    },
}

impl Record {
    /// Parses a record and checks everything that can be checked without the files.
    ///
    /// # Errors
    /// Each variant of [`RecordError`].
    pub fn parse(json: &[u8]) -> Result<Self, RecordError> {
        if json.len() > MAX_BYTES {
            return Err(RecordError::TooLong(json.len()));
        }
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version: Version = serde_json::from_slice(json)?;
        if version.schema != SCHEMA {
            return Err(RecordError::Schema(version.schema));
        }
        let record: Self = serde_json::from_slice(json)?;
        record.check()?;
        Ok(record)
    }

    /// Its JSON, on one line without a newline at the end.
    ///
    /// # Errors
    /// It is longer than [`MAX_BYTES`], or [`Record::parse`] would refuse it.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        let json = serde_json::to_vec(self)?;
        if json.len() > MAX_BYTES { Err(RecordError::TooLong(json.len())) } else { Ok(json) }
    }

    /// The sum of the sizes of the files, in bytes.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    fn check(&self) -> Result<(), RecordError> {
        if !self.lines.is_sorted() || fingerprint(&self.lines) != self.fingerprint {
            return Err(RecordError::Fingerprint);
        }
        let words = [
            ("package", &self.package),
            ("version", &self.version),
            ("kernel", &self.kernel),
            ("arch", &self.arch),
        ];
        for (field, word) in words {
            require(is_name(word), field, word)?;
        }
        for pair in self.files.windows(2) {
            require(pair[0].path < pair[1].path, "list of files", &pair[1].path)?;
        }
        for file in &self.files {
            require(is_path(&file.path), "path", &file.path)?;
            require(is_sha256(&file.sha256), "digest", &file.sha256)?;
        }
        if let Some(layer) = &self.layer {
            require(layer.digest.strip_prefix("sha256:").is_some_and(is_sha256), "layer", &layer.digest)?;
        }
        Ok(())
    }
}

/// The fingerprint of lines: the SHA-256 of the lines, each with a newline at its end, in lower-case
/// hexadecimal.
#[must_use]
pub fn fingerprint(lines: &[String]) -> String {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    sha256_hex(text.as_bytes())
}

/// Returns whether a text is the hexadecimal form of a SHA-256 digest.
#[must_use]
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn require(holds: bool, field: &'static str, value: &str) -> Result<(), RecordError> {
    if holds {
        return Ok(());
    }
    Err(RecordError::Field { field, value: value.chars().take(100).collect() })
}

/// Returns whether a word can be the name of a directory.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 200
        && !word.starts_with('.')
        && !word.contains('/')
        && !word.contains(char::is_control)
}

/// Returns whether a path stays below the directory of a build. It may have up to eight names.
fn is_path(path: &str) -> bool {
    path.split('/').count() <= 8 && path.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> Record {
        let lines = vec!["arch=x86_64".to_owned(), "kernel=6.1.0-1-amd64".to_owned()];
        Record {
            schema: SCHEMA,
            fingerprint: fingerprint(&lines),
            lines,
            package: "hello".into(),
            version: "1.0".into(),
            kernel: "6.1.0-1-amd64".into(),
            arch: "x86_64".into(),
            builder: "4.0.0".into(),
            unconfined: Vec::new(),
            build_ms: 1500,
            files: vec![File {
                path: "module/hello.ko".into(),
                size: 3,
                sha256: "a".repeat(64),
                executable: false,
            }],
            layer: None,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let json = record().to_json().unwrap();
        assert_eq!(Record::parse(&json).unwrap(), record());
        assert_eq!(Record::parse(&json).unwrap().to_json().unwrap(), json);
    }

    #[test]
    fn invalid_records_are_refused() {
        type Change = fn(&mut Record);
        let changes: [(&str, Change); 10] = [
            ("line", |r| r.lines[0] = "arch=i686".into()),
            ("order", |r| r.lines.reverse()),
            ("fingerprint", |r| r.fingerprint = "b".repeat(64)),
            ("package", |r| r.package = "..".into()),
            ("kernel", |r| r.kernel = "6.1/../..".into()),
            ("path above", |r| r.files[0].path = "module/../../x".into()),
            ("absolute path", |r| r.files[0].path = "/etc/passwd".into()),
            ("digest", |r| r.files[0].sha256 = "A".repeat(64)),
            ("twice", |r| r.files.push(r.files[0].clone())),
            ("layer", |r| r.layer = Some(Layer { digest: "md5:1".into(), size: 1 })),
        ];
        for (what, change) in changes {
            let mut changed = record();
            change(&mut changed);
            assert!(changed.to_json().is_err(), "{what}");
            assert!(Record::parse(&serde_json::to_vec(&changed).unwrap()).is_err(), "{what}");
        }
        let long = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(Record::parse(&long), Err(RecordError::TooLong(length)) if length == MAX_BYTES + 1));
        let mut newer = record();
        newer.schema = 2;
        assert!(matches!(Record::parse(&serde_json::to_vec(&newer).unwrap()), Err(RecordError::Schema(2))));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::parse(&bytes);
        }
    }
}
