//! `mkimage`: container images of built modules, which KMM (Kernel Module Management of Kubernetes) can load.
//!
//! Each image is one file that is both an OCI image layout and a docker archive, and its bytes depend only on
//! its content. No container engine is needed. The layers are already compressed: a tool that pushes an image
//! compresses plain layers itself, which changes their digests.

mod base;
mod content;
mod kmm;
mod names;
mod programs;
mod tools;

use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::pack::modules::Modules;
use crate::pack::packer::Packer;
use crate::pack::tarball::archive_error;
use crate::pack::{PackError, output};
use crate::request::{RequestError, UsageError};
use crate::system::System;
use crate::{digest, time};
use base::Base;
use dkms_archive::Member;
use dkms_bundle::oci::{self, Descriptor};
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::layout::Layout;
pub use kmm::{as_json, as_yaml, resources};
use names::{Platform, Reference};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A request for container images, one for each kernel.
#[derive(Clone, Debug)]
pub struct ImageRequest<'a> {
    /// The packages whose modules are included.
    pub packages: &'a [PackageId],
    /// The kernels.
    pub kernels: &'a [Kernel],
    /// The file to write; only for one kernel.
    pub output: Option<&'a Path>,
    /// An OCI layout whose layers the image begins with, instead of a layer with programs of this machine.
    pub base: Option<&'a Path>,
    /// The name of the image. `${KERNEL_FULL_VERSION}` in it is replaced by the kernel, which is also the
    /// default tag.
    pub name: Option<&'a str>,
    /// The directory above `lib/modules`, relative to the root of the image: `opt`.
    pub prefix: &'a str,
    /// Whether files that exist are replaced.
    pub force: bool,
    /// SOURCE_DATE_EPOCH; if unset, the time of the newest module.
    pub epoch: Option<u64>,
}

impl ImageRequest<'_> {
    fn reference(&self, kernel: &Kernel) -> Result<Reference> {
        match (self.name, self.packages.first()) {
            (Some(name), _) => Reference::from_option(name, kernel),
            (None, Some(package)) => Reference::from_package(&package.name, kernel),
            (None, None) => Err(RequestError::ModuleNotNamed { action: "mkimage".into() }.into()),
        }
    }

    fn place(&self, layout: &Layout, kernel: &Kernel) -> PathBuf {
        match (self.output, self.packages.first()) {
            (Some(path), _) => path.to_owned(),
            (None, Some(package)) => {
                let PackageId { name, version } = package;
                let file = format!("{name}-{version}-kernel{}-{}.oci.tar", kernel.release, kernel.arch);
                layout.version_dir(package).join("image").join(file)
            }
            (None, None) => PathBuf::new(),
        }
    }

    /// Fails if a name is not valid, or if two images would have the same name or file.
    fn check_names(&self) -> Result<()> {
        if self.output.is_some() && self.kernels.len() > 1 {
            let writes = "one image per kernel";
            return Err(UsageError::OneName { action: "mkimage", writes, option: "-o" }.into());
        }
        let mut seen = BTreeSet::new();
        for kernel in self.kernels {
            let reference = self.reference(kernel)?.to_string();
            if !seen.insert(reference.clone()) {
                return Err(PackError::SameImageName { reference, placeholder: names::PLACEHOLDER }.into());
            }
        }
        Ok(())
    }
}

/// Returns the value of `--prefix` without leading and trailing slashes.
///
/// # Errors
/// It is not the path of a directory in an image: [`PackError::ImageDirectory`].
pub fn prefix(text: &str) -> Result<&str> {
    let prefix = text.trim_matches('/');
    let legal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control());
    if prefix.split('/').all(legal) {
        Ok(prefix)
    } else {
        Err(PackError::ImageDirectory(text.to_owned()).into())
    }
}

/// Returns the paths that [`make`] writes, one for each kernel.
///
/// # Errors
/// A name is not valid, or two images would have the same name or file.
pub fn places(layout: &Layout, request: &ImageRequest<'_>) -> Result<Vec<PathBuf>> {
    request.check_names()?;
    Ok(request.kernels.iter().map(|kernel| request.place(layout, kernel)).collect())
}

/// Writes an image for each kernel. Everything is checked before the first file is written.
///
/// # Errors
/// A package is not in the tree, or is not built for a kernel; a name is not valid; a module that the
/// packaged modules depend on is missing; there are no programs for the image; the file exists, and `--force`
/// is not given; the destination is not writable.
pub fn make(system: &System, sink: &dyn Sink, request: &ImageRequest<'_>) -> Result<Vec<PathBuf>> {
    let places = places(&system.layout, request)?;
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-mkimage")?;
    let mut images = Vec::new();
    for (kernel, place) in request.kernels.iter().zip(&places) {
        output::refuse_existing(place, request.force)?;
        let modules = Modules::read_complete(&system.layout, request.packages, kernel)?;
        let platform = Platform::new(kernel)?;
        let start = Start::new(&system.host, request, &platform, scratch.path())?;
        images.push(Image { modules, platform, start, reference: request.reference(kernel)? });
    }
    for (image, place) in images.iter().zip(&places) {
        let scratch = TempDir::new_in(scratch.path(), "image")?;
        let epoch = request.epoch.unwrap_or_else(|| image.modules.time());
        let packer = Packer { system, sink, epoch };
        let members = content::members(&packer, &image.modules, request.prefix, scratch.path())?;
        output::require_writable(output::directory(place))?;
        image.write(place, members, epoch, scratch.path())?;
        packer.report_written(place.clone());
    }
    Ok(places)
}

/// The layers below the layer with the modules.
enum Start {
    /// The layers of another image.
    Base(Base),
    /// A layer with this busybox.
    Busybox(PathBuf),
}

impl Start {
    fn new(host: &Host, request: &ImageRequest<'_>, platform: &Platform, scratch: &Path) -> Result<Self> {
        match request.base {
            Some(path) => Ok(Self::Base(base::open(path, platform, scratch)?)),
            None => Ok(Self::Busybox(tools::find(host, platform)?)),
        }
    }
}

/// An image before it is written.
struct Image {
    modules: Modules,
    platform: Platform,
    start: Start,
    reference: Reference,
}

/// The parts of an image that are written.
#[derive(Default)]
struct Parts {
    layers: Vec<Descriptor>,
    diff_ids: Vec<String>,
    history: Vec<Value>,
    /// Files by their names in the archive.
    files: BTreeMap<String, Member>,
    /// The time of all files, in seconds since 1970.
    epoch: u64,
}

impl Image {
    /// Writes the image. `members` are the files of the layer with the modules.
    fn write(&self, place: &Path, members: Vec<Member>, epoch: u64, scratch: &Path) -> Result<()> {
        let mut parts = Parts { epoch, ..Parts::default() };
        let mut config = Map::new();
        match &self.start {
            Start::Busybox(busybox) => {
                parts.add_layer(tools::members(busybox, epoch), scratch.join("programs"), "busybox")?;
            }
            Start::Base(base) => {
                config = base.config.clone();
                parts.add_base(base);
            }
        }
        let title = format!("{}, kernel {}", self.packages().join(", "), self.modules.kernel.release);
        parts.add_layer(members, scratch.join("modules"), &title)?;
        self.fill_config(&mut config, &parts);
        let config = parts.add_document(oci::CONFIG, &config)?;
        let manifest = oci::Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.into()),
            artifact_type: None,
            config: config.clone(),
            layers: parts.layers.clone(),
            annotations: self.annotations(epoch),
        };
        let mut manifest = parts.add_document(oci::MANIFEST, &manifest)?;
        manifest.platform = Some(oci::Platform {
            architecture: self.platform.architecture.into(),
            os: "linux".into(),
            variant: self.platform.variant.map(str::to_owned),
        });
        // skopeo selects an image by the first annotation, and containerd uses the second as its name.
        manifest.annotations = BTreeMap::from([
            ("org.opencontainers.image.ref.name".to_owned(), self.reference.tag.clone()),
            ("io.containerd.image.name".to_owned(), self.reference.to_string()),
        ]);
        let index =
            oci::Index { schema_version: 2, media_type: Some(oci::INDEX.into()), manifests: vec![manifest] };
        parts.add_file("index.json", json_bytes(&index)?);
        parts.add_file("oci-layout", oci::LAYOUT.as_bytes().to_vec());
        let entry = oci::DockerEntry {
            config: config.file().unwrap_or_default(),
            repo_tags: vec![self.reference.to_string()],
            layers: parts.layers.iter().filter_map(Descriptor::file).collect(),
        };
        parts.add_file("manifest.json", json_bytes(&[entry])?);
        let mut members: Vec<Member> = parts.files.into_values().collect();
        members.extend(["blobs", "blobs/sha256"].map(|name| Member::directory(name, epoch)));
        dkms_archive::write(place, &members, None).map_err(|e| archive_error(place, e))?;
        Ok(())
    }

    /// Returns the packages whose modules it contains, sorted.
    fn packages(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.modules.modules.iter().map(|m| m.package.to_string()).collect();
        names.into_iter().collect()
    }

    fn annotations(&self, epoch: u64) -> BTreeMap<String, String> {
        let first = self.modules.modules.first();
        let mut annotations = BTreeMap::from([
            ("org.opencontainers.image.created".to_owned(), rfc3339(epoch)),
            ("org.opencontainers.image.title".to_owned(), self.packages().join(", ")),
            ("dev.dkms.kernel".to_owned(), self.modules.kernel.release.to_string()),
        ]);
        if let (Some(module), [_]) = (first, self.packages().as_slice()) {
            let version = module.package.version.clone();
            annotations.insert("org.opencontainers.image.version".to_owned(), version);
        }
        annotations
    }

    /// Completes the image's configuration, which is that of the base, or empty.
    fn fill_config(&self, config: &mut Map<String, Value>, parts: &Parts) {
        config.insert("created".into(), rfc3339(parts.epoch).into());
        config.insert("architecture".into(), self.platform.architecture.into());
        if let Some(variant) = self.platform.variant {
            config.insert("variant".into(), variant.into());
        }
        config.insert("os".into(), "linux".into());
        if matches!(self.start, Start::Busybox(_)) {
            config.insert("config".into(), json!({ "Env": ["PATH=/bin"] }));
        }
        let mut ids = items(config.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")));
        ids.extend(parts.diff_ids.iter().map(|id| Value::from(id.as_str())));
        config.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": ids }));
        let mut history = items(config.get("history"));
        history.extend(parts.history.iter().cloned());
        config.insert("history".into(), history.into());
    }
}

/// Returns the items of a JSON array; none if it is something else.
fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

impl Parts {
    fn add_base(&mut self, base: &Base) {
        for layer in &base.layers {
            if let Some(name) = layer.descriptor.file() {
                self.files.insert(name.clone(), Member::file(name, &layer.path, 0o644, self.epoch));
            }
            self.layers.push(layer.descriptor.clone());
        }
    }

    /// Adds a layer. Writes it to `path`, uncompressed for its identity and compressed for the archive.
    fn add_layer(&mut self, mut members: Vec<Member>, path: PathBuf, title: &str) -> Result<()> {
        add_parents(&mut members, self.epoch);
        let write = |suffix: &str| -> Result<(PathBuf, String)> {
            let path = path.with_extension(suffix);
            dkms_archive::write(&path, &members, None).map_err(|e| archive_error(&path, e))?;
            let digest = digest::existing_file(&path)?;
            Ok((path, digest))
        };
        let (plain, diff_id) = write("tar")?;
        fs::remove_file(plain)?;
        let (packed, digest) = write("tar.gz")?;
        let name = format!("blobs/sha256/{digest}");
        let size = fs::metadata(&packed)?.len();
        self.layers.push(Descriptor::new(oci::LAYER, format!("sha256:{digest}"), size));
        self.files.insert(name.clone(), Member::file(name, packed, 0o644, self.epoch));
        self.diff_ids.push(format!("sha256:{diff_id}"));
        let created_by = format!("dkms mkimage: {title}");
        self.history.push(json!({ "created": rfc3339(self.epoch), "created_by": created_by }));
        Ok(())
    }

    fn add_document(&mut self, media_type: &str, document: &impl Serialize) -> Result<Descriptor> {
        let bytes = json_bytes(document)?;
        let descriptor = Descriptor::of(media_type, &bytes);
        if let Some(name) = descriptor.file() {
            self.add_file(&name, bytes);
        }
        Ok(descriptor)
    }

    fn add_file(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), Member::bytes(name, bytes, self.epoch));
    }
}

fn json_bytes(document: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|e| PackError::Encoding(e.into()).into())
}

/// Adds the parent directories of the members. Otherwise, they would get the time of unpacking.
fn add_parents(members: &mut Vec<Member>, epoch: u64) {
    let parents_of = |name: &str| -> Vec<String> {
        name.match_indices('/').filter_map(|(at, _)| Some(name.get(..at)?.to_owned())).collect()
    };
    let parents: BTreeSet<String> = members.iter().flat_map(|member| parents_of(&member.name)).collect();
    members.extend(parents.into_iter().map(|name| Member::directory(name, epoch)));
}

/// Formats seconds since 1970 as `2026-11-23T07:12:01Z`.
fn rfc3339(seconds: u64) -> String {
    time::utc(seconds).replacen(' ', "T", 1).replace(" UTC", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(prefix("/opt").unwrap(), "opt");
        assert_eq!(prefix("usr/local/").unwrap(), "usr/local");
        for bad in ["", "/", "/a/../b", "a//b", "."] {
            assert!(prefix(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parent_directories_are_added_once() {
        let mut members = vec![Member::bytes("a/b/c", "", 1), Member::bytes("a/d", "", 1)];
        add_parents(&mut members, 7);
        let names: Vec<&str> = members.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["a/b/c", "a/d", "a", "a/b"]);
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    }
}
