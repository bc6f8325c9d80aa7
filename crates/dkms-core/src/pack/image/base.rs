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

/// An image to put layers on.
pub(super) struct Base {
    pub layers: Vec<BaseLayer>,
    /// The configuration.
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
/// [`PackError::BadBase`]: it is no layout, has no image for this platform or several, a blob is missing or
/// has another digest, or the programs that an image needs are not in it.
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
        return Err("it is no OCI layout, which has the files oci-layout and index.json; \
                    'skopeo copy docker://IMAGE oci:DIRECTORY' makes one"
            .into());
    }
    let index: Index = document(&fs::read_bounded(dir.join("index.json"), DOCUMENT)?, "index.json")?;
    let mut found = Vec::new();
    collect(dir, &index, platform, 0, &mut found)?;
    found.dedup_by(|a, b| a.0.digest == b.0.digest);
    let several = found.len();
    let Some((_, manifest, config)) = found.pop().filter(|_| several == 1) else {
        return Err(match several {
            0 => format!("it has no image for {}", platform.architecture),
            n => format!("it has {n} images for {}, and one is needed", platform.architecture),
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

type Image = (Descriptor, Manifest, Map<String, Value>);

/// Adds the images of an index that are for this platform, also those of the indexes in it.
fn collect(dir: &Path, index: &Index, platform: &Platform, depth: u32, found: &mut Vec<Image>) -> Fault<()> {
    if depth > 3 || index.manifests.len() > 1000 {
        return Err("its index is nested too deeply or too long".into());
    }
    for descriptor in &index.manifests {
        let fits = descriptor.platform.as_ref().is_none_or(|p| {
            p.os == "linux"
                && p.architecture == platform.architecture
                && (p.variant.is_none()
                    || platform.variant.is_none()
                    || p.variant.as_deref() == platform.variant)
        });
        if !fits {
            continue;
        }
        let bytes = || -> Fault<Vec<u8>> { Ok(fs::read_bounded(blob(dir, descriptor)?, DOCUMENT)?) };
        match descriptor.media_type.as_str() {
            INDEX => {
                let inner: Index = document(&bytes()?, &descriptor.digest)?;
                collect(dir, &inner, platform, depth + 1, found)?;
            }
            MANIFEST => {
                let manifest: Manifest = document(&bytes()?, &descriptor.digest)?;
                let config = fs::read_bounded(blob(dir, &manifest.config)?, DOCUMENT)?;
                let config: Map<String, Value> = document(&config, &manifest.config.digest)?;
                if config.get("architecture").and_then(Value::as_str) == Some(platform.architecture) {
                    found.push((descriptor.clone(), manifest, config));
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

/// The file of a blob, whose size and digest are right.
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
