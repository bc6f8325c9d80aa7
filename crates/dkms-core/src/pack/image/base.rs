//! The base of an image: the layers of another image, from an OCI layout.

use super::names::Platform;
use super::programs;
use crate::cause::Cause;
use crate::digest;
use crate::error::{Error, Result};
use crate::pack::PackError;
use dkms_archive::Limits;
use dkms_bundle::oci::{Descriptor, INDEX, Index, LAYER_FAMILY, MANIFEST, Manifest};
use dkms_sys::fs::{self, Limit};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The largest manifest or configuration.
const DOCUMENT: Limit = Limit::bytes(4 << 20);
/// The most layers of a base; container engines have about the same limit.
const LAYERS: usize = 127;

/// An image to which layers are added.
pub(super) struct Base {
    pub layers: Vec<BaseLayer>,
    /// The image's configuration.
    pub config: Map<String, Value>,
}

pub(super) struct BaseLayer {
    pub descriptor: Descriptor,
    pub path: PathBuf,
}

type Fault<T> = std::result::Result<T, Cause>;

/// Reads the image for a platform from a layout, which is a directory or an archive of one. Archives are
/// unpacked to `scratch`.
///
/// # Errors
/// [`PackError::BadBase`]: it is not a layout; it has no image for this platform, or several; a blob is
/// missing or damaged; the image lacks a program that KMM needs.
pub(super) fn open(path: &Path, platform: &Platform, scratch: &Path) -> Result<Base> {
    let bad = |cause| Error::Pack(PackError::BadBase { path: path.to_owned(), cause });
    let dir = if path.is_dir() {
        path.to_owned()
    } else {
        let dir = scratch.join("base");
        if !dir.exists() {
            dkms_archive::unpack(path, &dir, &Limits::default()).map_err(|e| bad(e.into()))?;
        }
        dir
    };
    let base = read(&dir, platform).map_err(bad)?;
    let layers = base.layers.iter().map(|layer| layer.path.as_path());
    programs::require(layers, &base.config).map_err(bad)?;
    Ok(base)
}

fn read(dir: &Path, platform: &Platform) -> Fault<Base> {
    if !dir.join("oci-layout").is_file() || !dir.join("index.json").is_file() {
        return Err("it is not an OCI layout, which has the files oci-layout and index.json; \
                    'skopeo copy docker://IMAGE oci:DIRECTORY' creates one"
            .into());
    }
    let index: Index = document(&fs::read_bounded(dir.join("index.json"), DOCUMENT)?, "index.json")?;
    let mut images = Vec::new();
    collect_images(dir, &index, platform, 0, &mut images)?;
    images.dedup_by(|a, b| a.digest == b.digest);
    let count = images.len();
    let Some(Image { manifest, config, .. }) = images.pop().filter(|_| count == 1) else {
        return Err(match count {
            0 => format!("it has no image for {}", platform.architecture),
            _ => format!("it has {count} images for {} instead of one", platform.architecture),
        }
        .into());
    };
    if manifest.layers.len() > LAYERS {
        return Err(format!("its image has {} layers", manifest.layers.len()).into());
    }
    let ids = config.get("rootfs").and_then(|r| r.get("diff_ids")).and_then(Value::as_array);
    if ids.map(Vec::len) != Some(manifest.layers.len()) {
        return Err("the configuration of its image does not match its layers".into());
    }
    let mut layers = Vec::new();
    for descriptor in manifest.layers {
        if !descriptor.media_type.starts_with(LAYER_FAMILY) {
            return Err(format!("a layer has the type '{}', which is unknown", descriptor.media_type).into());
        }
        let path = blob(dir, &descriptor)?;
        layers.push(BaseLayer { descriptor, path });
    }
    Ok(Base { layers, config })
}

/// An image in a layout.
struct Image {
    /// The digest of its manifest.
    digest: String,
    manifest: Manifest,
    config: Map<String, Value>,
}

/// Adds the images for this platform in an index, and in the indexes that it contains, to `images`.
fn collect_images(
    dir: &Path,
    index: &Index,
    platform: &Platform,
    depth: u32,
    images: &mut Vec<Image>,
) -> Fault<()> {
    if depth > 3 || index.manifests.len() > 1000 {
        return Err("its index is too long or nested too deeply".into());
    }
    for descriptor in &index.manifests {
        let is_for_platform = descriptor.platform.as_ref().is_none_or(|p| {
            p.os == "linux"
                && p.architecture == platform.architecture
                && (p.variant.is_none()
                    || platform.variant.is_none()
                    || p.variant.as_deref() == platform.variant)
        });
        if !is_for_platform {
            continue;
        }
        let bytes = || -> Fault<Vec<u8>> { Ok(fs::read_bounded(blob(dir, descriptor)?, DOCUMENT)?) };
        match descriptor.media_type.as_str() {
            INDEX => {
                let inner: Index = document(&bytes()?, &descriptor.digest)?;
                collect_images(dir, &inner, platform, depth + 1, images)?;
            }
            MANIFEST => {
                let manifest: Manifest = document(&bytes()?, &descriptor.digest)?;
                let config = fs::read_bounded(blob(dir, &manifest.config)?, DOCUMENT)?;
                let config: Map<String, Value> = document(&config, &manifest.config.digest)?;
                if config.get("architecture").and_then(Value::as_str) == Some(platform.architecture) {
                    images.push(Image { digest: descriptor.digest.clone(), manifest, config });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn document<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Fault<T> {
    serde_json::from_slice(bytes).map_err(|e| format!("{name} is damaged: {e}").into())
}

/// Returns the file of a blob, after checking its size and digest.
fn blob(dir: &Path, descriptor: &Descriptor) -> Fault<PathBuf> {
    let digest = &descriptor.digest;
    let Some(name) = descriptor.file() else {
        return Err(format!("'{digest}' is not the SHA-256 of a blob").into());
    };
    let path = dir.join(name);
    let size = fs::open_bounded(&path, Limit::COPIED)?.metadata()?.len();
    if size != descriptor.size || digest::file(&path)?.as_deref() != digest.strip_prefix("sha256:") {
        return Err(format!("its blob {digest} is damaged").into());
    }
    Ok(path)
}
