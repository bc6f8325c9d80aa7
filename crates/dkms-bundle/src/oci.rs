//! The JSON documents of OCI images and artifacts (image-spec 1.1), with the fields that dkms uses.

use crate::digest::digest;
use crate::record::is_sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Media type of [`Manifest`].
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of [`Index`].
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The beginning of the media types of all layers of an image.
pub const LAYER_FAMILY: &str = "application/vnd.oci.image.layer.v1.tar";
/// Media type of a layer that is compressed with gzip.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The content of the file `oci-layout`.
pub const LAYOUT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";

/// A reference to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the blob.
    pub media_type: String,
    /// `sha256:` and 64 lower-case hexadecimal digits.
    pub digest: String,
    /// The size in bytes.
    pub size: u64,
    /// The blob itself in base64, if it is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The platform of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The descriptor of a blob with this digest (`sha256:...`) and this size in bytes.
    #[must_use]
    pub fn new(media_type: &str, digest: impl Into<String>, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest.into(),
            size,
            data: None,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, digest(bytes), bytes.len() as u64)
    }

    /// The path of the file with the blob in an OCI layout; `None` if the digest is not a SHA-256.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        let hex = self.digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex))?;
        Some(format!("blobs/sha256/{hex}"))
    }
}

/// The platform of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the architecture.
    pub architecture: String,
    /// Go's name of the operating system.
    pub os: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// `index.json` of a layout, or an index of images for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2
    pub schema_version: u32,
    /// [`INDEX`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images.
    pub manifests: Vec<Descriptor>,
}

/// The manifest of an image or artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2
    pub schema_version: u32,
    /// [`MANIFEST`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of the artifact; images have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An entry of `manifest.json`. With this file, `docker load` can read an OCI layout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerEntry {
    /// The path of the configuration.
    pub config: String,
    /// `NAME:TAG`
    pub repo_tags: Vec<String>,
    /// The paths of the layers.
    pub layers: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_is_the_name_of_a_file() {
        let file = |digest: &str| Descriptor::new(LAYER, digest, 0).file();
        let hex = "a".repeat(64);
        assert_eq!(file(&format!("sha256:{hex}")), Some(format!("blobs/sha256/{hex}")));
        for bad in ["sha256:../../x", "sha512:aa", "", "sha256:", &hex, &format!("sha256:{}", "A".repeat(64))]
        {
            assert_eq!(file(bad), None, "{bad}");
        }
    }
}
