//! A build as an OCI image manifest. The record is its config and is embedded in the manifest, so that one
//! request is enough to look up a build. The files of the build are one layer.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};

use crate::digest::digest;
use crate::layer;
use crate::oci::{self, Descriptor};
use crate::record::{Layer, Record, RecordError};
use crate::signature::{self, KeyId, PublicKey, SignatureError};

/// The artifact type of builds.
pub const ARTIFACT_TYPE: &str = "application/vnd.dkms.build.v1";
/// The maximum size of a manifest in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The beginning of tags, which contains the version of the fingerprint.
const TAG_PREFIX: &str = "f1-";

/// The tag of a build: `f1-` and its fingerprint.
#[must_use]
pub fn tag(fingerprint: &str) -> String {
    format!("{TAG_PREFIX}{fingerprint}")
}

/// The reason why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_BYTES`].
    #[error("the manifest has {0} bytes; {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// It is not JSON, or lacks a field.
    #[error("the manifest cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is not the manifest of a build.
    #[error("it is not the manifest of a build: {field} is '{value}'")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value, cut to 100 characters.
        value: String,
    },
    /// The size or digest of the embedded record differs.
    #[error("the record in the manifest is damaged: its size or digest differs")]
    Config,
    /// The layer is not the one in the record.
    #[error("the manifest names another archive than its record")]
    Layer,
    /// It is another build.
    #[error("the build is published under a wrong tag: its fingerprint is {found}, not {wanted}")]
    Fingerprint {
        /// The fingerprint in the record.
        found: String,
        /// The requested fingerprint.
        wanted: String,
    },
    /// No trusted key has signed it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The record is not valid.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The manifest of a build, which is not trusted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The signed bytes of the record.
    pub record: Vec<u8>,
    /// The archive.
    pub layer: Layer,
    /// All annotations, including the signatures.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Creates the manifest of a record (as JSON, with its layer) with its signatures
    /// ([`signature::annotation`]).
    ///
    /// # Errors
    /// The record is not valid or names no layer.
    pub fn new(record: Vec<u8>, annotations: BTreeMap<String, String>) -> Result<Self, ManifestError> {
        let layer = Record::parse(&record)?.layer.ok_or(ManifestError::Layer)?;
        Ok(Self { record, layer, annotations })
    }

    /// Parses a manifest and checks its form. [`accept`] also checks whether it is trusted.
    ///
    /// # Errors
    /// It is too long, or not the manifest of a build.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > MAX_BYTES {
            return Err(ManifestError::TooLong(json.len()));
        }
        let document: oci::Manifest = serde_json::from_slice(json)?;
        require(document.schema_version == 2, "schemaVersion", &document.schema_version.to_string())?;
        let media_type = document.media_type.as_deref().unwrap_or(oci::MANIFEST);
        require(media_type == oci::MANIFEST, "mediaType", media_type)?;
        let artifact_type = document.artifact_type.as_deref().unwrap_or("missing");
        require(artifact_type == ARTIFACT_TYPE, "artifactType", artifact_type)?;
        let config = &document.config;
        require(config.media_type == signature::PAYLOAD_TYPE, "config.mediaType", &config.media_type)?;
        let data = config.data.as_deref().ok_or(ManifestError::Config)?;
        let record = Base64::decode_vec(data).map_err(|_| ManifestError::Config)?;
        if record.len() as u64 != config.size || digest(&record) != config.digest {
            return Err(ManifestError::Config);
        }
        let [layer] = document.layers.as_slice() else {
            return Err(field("number of layers", &document.layers.len().to_string()));
        };
        require(layer.media_type == layer::MEDIA_TYPE, "layer's mediaType", &layer.media_type)?;
        let layer = Layer { digest: layer.digest.clone(), size: layer.size };
        Ok(Self { record, layer, annotations: document.annotations })
    }

    /// Its JSON. Equal manifests have equal bytes.
    ///
    /// # Errors
    /// It is longer than [`MAX_BYTES`].
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        let mut config = Descriptor::of(signature::PAYLOAD_TYPE, &self.record);
        config.data = Some(Base64::encode_string(&self.record));
        let layer = Descriptor::new(layer::MEDIA_TYPE, &self.layer.digest, self.layer.size);
        let document = oci::Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.to_owned()),
            artifact_type: Some(ARTIFACT_TYPE.to_owned()),
            config,
            layers: vec![layer],
            annotations: self.annotations.clone(),
        };
        let json = serde_json::to_vec(&document)?;
        if json.len() > MAX_BYTES { Err(ManifestError::TooLong(json.len())) } else { Ok(json) }
    }
}

/// Checks that a manifest may be used: it has a valid signature of a trusted key, its record has the
/// requested fingerprint, and its layer is the one in the record. The signature is checked first: a record
/// without a trusted signature is not parsed. Returns the record and the id of the key that signed it.
///
/// # Errors
/// One of the conditions does not hold.
pub fn accept(
    json: &[u8],
    fingerprint: &str,
    trusted: &[PublicKey],
) -> Result<(Record, KeyId), ManifestError> {
    let (record, key) = accept_any(json, trusted)?;
    if record.fingerprint != fingerprint {
        return Err(ManifestError::Fingerprint { found: record.fingerprint, wanted: fingerprint.to_owned() });
    }
    Ok((record, key))
}

/// Like [`accept`], but without the check of the fingerprint, which is left to the caller.
///
/// # Errors
/// One of the other conditions does not hold.
pub fn accept_any(json: &[u8], trusted: &[PublicKey]) -> Result<(Record, KeyId), ManifestError> {
    let manifest = Manifest::parse(json)?;
    let key = signature::verify(&manifest.record, &manifest.annotations, trusted)?;
    let record = Record::parse(&manifest.record)?;
    if record.layer.as_ref() != Some(&manifest.layer) {
        return Err(ManifestError::Layer);
    }
    Ok((record, key))
}

fn require(holds: bool, name: &'static str, value: &str) -> Result<(), ManifestError> {
    if holds { Ok(()) } else { Err(field(name, value)) }
}

fn field(field: &'static str, value: &str) -> ManifestError {
    ManifestError::Field { field, value: value.chars().take(100).collect() }
}
