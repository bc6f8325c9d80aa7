//! `K/A/.manifest.json`: the inputs of a build, its outputs, and where they were installed. Status, uninstall
//! and remove read it instead of running a dkms.conf. In a tree without manifests (written by dkms 3.x), dkms
//! examines the files instead.

use crate::error::{Error, RecordFault, Result};
use crate::ids::Build;
use crate::layout::Layout;
use crate::names_as_json;
use dkms_sys::IoError;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The schema version that this dkms writes. A file with a higher number is treated as absent.
pub const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// [`SCHEMA`] when written.
    pub schema: u32,
    /// `PACKAGE_NAME`
    pub package: String,
    /// `PACKAGE_VERSION`
    pub version: String,
    /// Kernel release.
    pub kernel: String,
    /// Architecture.
    pub arch: String,
    /// The SHA-256 of everything that is known to affect the result. Two builds with the same inputs have the
    /// same fingerprint. Empty if the manifest has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// Where the modules come from. Manifests of older versions do not have it.
    #[serde(skip_serializing_if = "BuildOrigin::is_unknown")]
    pub origin: BuildOrigin,
    /// The inputs, in readable form.
    pub inputs: Inputs,
    /// When the build ended, in seconds since 1970.
    pub built_at: u64,
    /// The duration of the build.
    pub build_seconds: f64,
    /// The number of object files that were compiled; 0 if there were none, or if it is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub objects: u32,
    /// The built module files.
    pub modules: Vec<ModuleRecord>,
    /// Modules that BUILD_EXCLUSIVE left out, with the reason.
    pub excluded: Vec<Excluded>,
    /// BUILD_DEPENDS, in order.
    pub build_depends: Vec<String>,
    /// NO_WEAK_MODULES
    pub no_weak_modules: bool,
    /// Parts of the confinement that were not enforced; empty if the build was confined completely.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unconfined: Vec<String>,
    /// POST_REMOVE, so that uninstall need not evaluate dkms.conf.
    pub post_remove: Option<String>,
    /// Present while installed.
    pub installed: Option<Installed>,
}

/// Where the modules of a build come from. Written as `built`, `cache` or `registry REF@DIGEST`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum BuildOrigin {
    /// It is not recorded, or a newer dkms recorded it.
    #[default]
    Unknown,
    /// They were compiled by this build.
    Built,
    /// From the cache of builds.
    Cache,
    /// From a registry: `REF@DIGEST`.
    Registry(String),
}

impl BuildOrigin {
    /// Returns whether it is not recorded.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl From<String> for BuildOrigin {
    fn from(text: String) -> Self {
        match text.as_str() {
            "built" => Self::Built,
            "cache" => Self::Cache,
            _ => text.strip_prefix("registry ").map_or(Self::Unknown, |from| Self::Registry(from.to_owned())),
        }
    }
}

impl From<BuildOrigin> for String {
    fn from(origin: BuildOrigin) -> Self {
        origin.to_string()
    }
}

impl std::fmt::Display for BuildOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Built => f.write_str("built"),
            Self::Cache => f.write_str("cache"),
            Self::Registry(from) => write!(f, "registry {from}"),
        }
    }
}

/// The inputs of a build, recorded before make ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inputs {
    /// SHA-256 over names, types, execute bits and contents of the copy that was compiled, including its
    /// patches.
    pub source: String,
    /// SHA-256 over the final directives.
    pub directives: String,
    /// Patches applied, in order, each with its SHA-256.
    pub patches: Vec<(String, String)>,
    /// Directory of the kernel headers.
    #[serde(with = "names_as_json")]
    pub headers: PathBuf,
    /// SHA-256 of the kernel configuration.
    pub kernel_config: String,
    /// The compiler of the kernel, CONFIG_CC_VERSION_TEXT.
    pub compiler: String,
    /// The make command from dkms.conf.
    pub make: String,
    /// "native", or the reason why bash had to evaluate dkms.conf.
    pub evaluated: String,
}

/// One module file of a build.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleRecord {
    /// DEST_MODULE_NAME
    pub name: String,
    /// File name below `module/`, with suffixes.
    pub file: String,
    /// Its destination below `/lib/modules/K`, according to the distribution's rule.
    pub destination: String,
    /// The size in bytes.
    pub size: u64,
    /// SHA-256 of the file in `module/`.
    pub sha256: String,
    /// From `.modinfo`.
    pub vermagic: String,
    /// From `.modinfo`, may be empty.
    pub version: String,
    /// From `.modinfo`, may be empty.
    pub srcversion: String,
    /// The signer, or the reason why it is not signed.
    pub signature: Signature,
}

/// The signature of a module. Written as `signed by WHO` or `not signed: REASON`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Signature {
    /// The signers, and the program if another program than dkms signed it.
    SignedBy(String),
    /// The reason.
    NotSigned(String),
    /// The text that another version of dkms recorded; empty if nothing is recorded.
    Other(String),
}

impl Default for Signature {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl From<String> for Signature {
    fn from(text: String) -> Self {
        if let Some(who) = text.strip_prefix("signed by ") {
            Self::SignedBy(who.to_owned())
        } else if let Some(reason) = text.strip_prefix("not signed: ") {
            Self::NotSigned(reason.to_owned())
        } else {
            Self::Other(text)
        }
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SignedBy(who) => write!(f, "signed by {who}"),
            Self::NotSigned(reason) => write!(f, "not signed: {reason}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// A module that was not built.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Excluded {
    /// DEST_MODULE_NAME
    pub name: String,
    /// The reason, as text.
    pub reason: String,
}

/// Where the modules are in `/lib/modules`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Installed {
    /// Seconds since 1970.
    pub at: u64,
    /// One entry for each installed module.
    pub files: Vec<InstalledFile>,
}

/// One installed file, and its stat(2) data right after the installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstalledFile {
    /// Full path.
    #[serde(with = "names_as_json")]
    pub path: PathBuf,
    /// File name below `module/` it was copied from.
    pub file: String,
    /// Stamp of the installed file.
    pub stamp: Stamp,
    /// Stamp of the file in `module/` it was copied from.
    pub built: Stamp,
}

/// The stat(2) data that changes when a file changes. No user can set `ctime`, so equal stamps mean an
/// unchanged file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stamp {
    /// The size in bytes.
    pub size: u64,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime: i64,
}

impl Stamp {
    /// The stamp of a file (of the link itself, if it is one); `None` if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        dkms_sys::fs::Stat::lstat(path).map(Self::from)
    }
}

impl From<dkms_sys::fs::Stat> for Stamp {
    fn from(stat: dkms_sys::fs::Stat) -> Self {
        let dkms_sys::fs::Stat { size, inode, device, mtime, ctime, .. } = stat;
        Self { size, inode, device, mtime, ctime }
    }
}

/// The fields of a manifest that every schema version has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema {
    schema: u32,
}

impl Manifest {
    /// Reads a build's manifest. `None` if there is none, or if a newer dkms wrote it: then the build is
    /// treated like one made by dkms 3.x.
    ///
    /// # Errors
    /// The manifest cannot be read, or [`Error::RecordDamaged`]: treating it as absent could lose its data.
    pub fn read(layout: &Layout, build: &Build) -> Result<Option<Self>> {
        let path = layout.manifest(build);
        let Some(bytes) = dkms_sys::fs::read_optional(&path, dkms_sys::fs::Limit::RECORD)? else {
            return Ok(None);
        };
        Self::parse(&bytes, build).map_err(|fault| Error::RecordDamaged { path, fault })
    }

    /// Like [`Manifest::read`], for callers that only display or estimate: an unusable manifest counts as
    /// absent.
    pub fn load(layout: &Layout, build: &Build) -> Option<Self> {
        Self::read(layout, build).ok().flatten()
    }

    /// Parses the bytes of a build's manifest; `None` if a newer dkms wrote it.
    ///
    /// # Errors
    /// It is not the manifest of this build.
    pub fn parse(bytes: &[u8], build: &Build) -> Result<Option<Self>, RecordFault> {
        let Schema { schema } = serde_json::from_slice(bytes)?;
        if schema > SCHEMA {
            return Ok(None);
        }
        if schema == 0 {
            return Err(RecordFault::NoSchema);
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        let found: [&str; 4] = [&manifest.package, &manifest.version, &manifest.kernel, &manifest.arch];
        if found != [&build.package.name, &build.package.version, &*build.kernel.release, &build.kernel.arch]
        {
            let [package, version, kernel, arch] = found.map(str::to_owned);
            return Err(RecordFault::OtherBuild { package, version, kernel, arch, build: build.clone() });
        }
        match manifest.modules.iter().find(|module| !is_file_name(&module.file)) {
            Some(record) => Err(RecordFault::FileName(record.file.clone())),
            None => Ok(Some(manifest)),
        }
    }

    /// The bytes to write to this path.
    ///
    /// # Errors
    /// The manifest cannot be serialised.
    pub fn to_bytes(&self, path: &Path) -> std::result::Result<Vec<u8>, IoError> {
        let mut out = serde_json::to_vec(self).map_err(|e| IoError::new("write", path, e))?;
        out.push(b'\n');
        Ok(out)
    }

    /// Writes it into a build's directory atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, path: &Path) -> std::result::Result<(), IoError> {
        dkms_sys::fs::write_atomic(path, &self.to_bytes(path)?, 0o644)
    }
}

/// The fields of a manifest that `status` needs. They borrow from the bytes of the file, which is fast: 60
/// manifests are parsed in a millisecond.
#[derive(Debug, Deserialize)]
pub struct Summary<'a> {
    schema: u32,
    #[serde(borrow)]
    package: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    kernel: Cow<'a, str>,
    #[serde(borrow)]
    arch: Cow<'a, str>,
    /// The module files.
    #[serde(borrow)]
    pub modules: Vec<SummaryModule<'a>>,
    /// Present while installed.
    #[serde(borrow)]
    pub installed: Option<SummaryInstalled<'a>>,
}

/// One module file of a [`Summary`].
#[derive(Debug, Deserialize)]
pub struct SummaryModule<'a> {
    /// File name below `module/`.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
}

/// The installed files of a [`Summary`].
#[derive(Debug, Deserialize)]
pub struct SummaryInstalled<'a> {
    /// One entry per file.
    #[serde(borrow)]
    pub files: Vec<SummaryFile<'a>>,
}

/// One installed file of a [`Summary`].
#[derive(Debug, Deserialize)]
pub struct SummaryFile<'a> {
    /// Full path.
    #[serde(borrow, deserialize_with = "names_as_json::borrowed")]
    pub path: Cow<'a, Path>,
    /// File name below `module/` it was copied from.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
    /// Stamp of the installed file.
    pub stamp: Stamp,
    /// Stamp of the built file.
    pub built: Stamp,
}

impl<'a> Summary<'a> {
    /// Parses the bytes of a manifest; `None` if it is unusable.
    pub fn parse(bytes: &'a [u8], build: &Build) -> Option<Self> {
        let summary: Self = serde_json::from_slice(bytes).ok()?;
        let is_valid = (1..=SCHEMA).contains(&summary.schema)
            && summary.package == build.package.name
            && summary.version == build.package.version
            && summary.kernel == build.kernel.release.as_str()
            && summary.arch == build.kernel.arch
            && summary.modules.iter().all(|module| is_file_name(&module.file));
        is_valid.then_some(summary)
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_signature_is_not_changed() {
        for (text, signature) in [
            ("signed by a and b", Signature::SignedBy("a and b".into())),
            ("not signed: no key", Signature::NotSigned("no key".into())),
            ("", Signature::default()),
            ("of a later version", Signature::Other("of a later version".into())),
        ] {
            let json = serde_json::to_string(text).unwrap();
            let read: Signature = serde_json::from_str(&json).unwrap();
            assert_eq!(read, signature);
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
