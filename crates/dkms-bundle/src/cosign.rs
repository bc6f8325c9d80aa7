//! Signatures in cosign's older form, in addition to dkms's own: `cosign verify --key key.pub
//! --insecure-ignore-tlog=true REPOSITORY@DIGEST` then accepts a build.
//!
//! The signature of the manifest `sha256:<hex>` is another manifest in the same repository, with the tag
//! `sha256-<hex>.sig`. Its layer is a JSON text that names the digest; an annotation of the layer signs the
//! text.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::digest::digest;
use crate::manifest::{Descriptor, Document, MEDIA_TYPE, ManifestError};
use crate::record;
use crate::signature::{KeyId, PublicKey, SigningKey};

const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
const KIND: &str = "cosign container image signature";
/// More signatures of one manifest are not tried.
const MAX_SIGNATURES: usize = 16;

/// The tag of the signatures of a manifest. `None` if `digest` is not `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn tag(digest: &str) -> Option<String> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| record::is_sha256(hex))?;
    Some(format!("sha256-{hex}.sig"))
}

#[derive(Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    optional: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// A signature that can be pushed: the manifest, and its blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// JSON of the manifest.
    pub manifest: Vec<u8>,
    /// The config.
    pub config: Vec<u8>,
    /// The signed text.
    pub payload: Vec<u8>,
}

/// Signs the manifest with this digest, which `reference` (`HOST/REPOSITORY`) contains.
///
/// # Errors
/// Never, with texts of this kind.
pub fn sign(key: &SigningKey, reference: &str, manifest_digest: &str) -> Result<Signed, ManifestError> {
    let payload = payload(reference, manifest_digest)?;
    let signature = key.sign_raw(&payload);
    assemble(payload, &signature)
}

/// The text to sign, for keys that are elsewhere (PKCS#11).
///
/// # Errors
/// Never, with texts of this kind.
pub fn payload(reference: &str, manifest_digest: &str) -> Result<Vec<u8>, ManifestError> {
    let payload = Payload {
        critical: Critical {
            identity: Identity { docker_reference: reference.to_owned() },
            image: Image { docker_manifest_digest: manifest_digest.to_owned() },
            kind: KIND.to_owned(),
        },
        optional: None,
    };
    to_json(&payload)
}

/// The manifest of a text and its ASN.1 signature.
///
/// # Errors
/// Never, with a text of this kind.
pub fn assemble(payload: Vec<u8>, signature: &[u8]) -> Result<Signed, ManifestError> {
    let config = format!(
        r#"{{"architecture":"","config":{{}},"created":"0001-01-01T00:00:00Z","history":[],"os":"","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        digest(&payload)
    )
    .into_bytes();
    let mut layer = Descriptor::new(PAYLOAD_TYPE, &payload);
    layer.annotations = BTreeMap::from([(ANNOTATION.to_owned(), Base64::encode_string(signature))]);
    let document = Document {
        schema_version: 2,
        media_type: Some(MEDIA_TYPE.to_owned()),
        artifact_type: None,
        config: Descriptor::new(CONFIG_TYPE, &config),
        layers: vec![layer],
        annotations: BTreeMap::new(),
    };
    Ok(Signed { manifest: to_json(&document)?, config, payload })
}

/// The digests and sizes of the texts that a signature's manifest refers to.
///
/// # Errors
/// It cannot be read.
pub fn payloads(manifest: &[u8]) -> Result<Vec<(String, u64)>, ManifestError> {
    let document = Document::parse(manifest)?;
    let layers = document.layers.into_iter().filter(|layer| layer.media_type == PAYLOAD_TYPE);
    Ok(layers.take(MAX_SIGNATURES).map(|layer| (layer.digest, layer.size)).collect())
}

/// Whether one of the trusted keys signed the manifest with this digest: `payload` is a text of the
/// signature's manifest. Which repository the text names does not matter, because builds are copied to
/// mirrors.
///
/// # Errors
/// The signature's manifest cannot be read.
pub fn verify(
    manifest: &[u8],
    payload: &[u8],
    manifest_digest: &str,
    trusted: &[PublicKey],
) -> Result<Option<KeyId>, ManifestError> {
    let document = Document::parse(manifest)?;
    let own_digest = digest(payload);
    let layers =
        document.layers.iter().filter(|layer| layer.media_type == PAYLOAD_TYPE && layer.digest == own_digest);
    let signatures = layers.take(MAX_SIGNATURES).filter_map(|layer| layer.annotations.get(ANNOTATION));
    for signature in signatures {
        let Some(key) = trusted.iter().find(|key| key.verifies_raw(payload, signature)) else { continue };
        let text: Payload =
            serde_json::from_slice(payload).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        let is_this =
            text.critical.kind == KIND && text.critical.image.docker_manifest_digest == manifest_digest;
        return Ok(is_this.then(|| key.id().clone()));
    }
    Ok(None)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, ManifestError> {
    serde_json::to_vec(value).map_err(|e| ManifestError::Syntax(e.to_string()))
}
