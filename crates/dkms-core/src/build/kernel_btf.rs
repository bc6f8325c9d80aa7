//! The BTF of a kernel, on which the BTF of its modules is based.

use crate::error::Result;
use crate::host::Host;
use crate::kernel::headers::Headers;
use dkms_sys::fs::TempDir;
use dkms_tree::layout::Layout;
use kmodule::image;
use std::path::{Path, PathBuf};

/// The BTF of the running kernel.
const OF_RUNNING_KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// The magic number of BTF on a little-endian machine.
const BTF_MAGIC: &[u8] = b"\x9f\xeb";

/// The method to add BTF to modules for a kernel.
#[derive(Debug)]
pub(crate) enum Btf {
    /// Not at all: the kernel has none, something is missing, or `btf=off`.
    None,
    /// kbuild makes it from `vmlinux` in the headers.
    Kbuild,
    /// dkms makes it from the kernel's BTF in this file, whose contents have this digest.
    Kernel {
        /// An image of the kernel, or the running kernel's BTF.
        file: PathBuf,
        /// SHA-256 of the part of the file that does not depend on who signed it.
        digest: String,
    },
}

impl Btf {
    /// Decides it for a kernel. Nothing is decompressed yet. Files that cannot be read are skipped.
    pub(crate) fn detect(
        host: &Host,
        layout: &Layout,
        headers: &Headers,
        release: &str,
        wanted: bool,
    ) -> Self {
        if dkms_sys::fs::exists_followed(headers.dir.join("vmlinux")) {
            return Self::Kbuild;
        }
        let enabled = |name: &str| headers.config.as_ref().is_some_and(|config| config.enabled(name));
        if !wanted || !enabled("CONFIG_DEBUG_INFO_BTF_MODULES") || pahole(host).is_none() {
            return Self::None;
        }
        let found = candidates(host, layout, release).into_iter().find_map(|file| {
            let bytes = dkms_sys::fs::read(&file).ok()?;
            let digest = crate::digest::bytes(image::payload(&bytes).ok()?);
            Some(Self::Kernel { file, digest })
        });
        found.unwrap_or(Self::None)
    }

    /// The value of the line `btf` of a fingerprint.
    pub(crate) fn fingerprint(&self) -> String {
        match self {
            Self::None => "false".into(),
            Self::Kbuild => "true".into(),
            Self::Kernel { digest, .. } => format!("sha256:{digest}"),
        }
    }
}

/// The files that may contain a kernel's BTF, in the order of preference. The image comes first, because it
/// is what will be booted; the running kernel can be an older build of the same release.
fn candidates(host: &Host, layout: &Layout, release: &str) -> Vec<PathBuf> {
    let boot = |name: &str| layout.boot_dir.join(format!("{name}-{release}"));
    let modules = layout.kernel_modules(release);
    let mut files = vec![boot("vmlinuz"), modules.join("vmlinuz"), boot("Image"), boot("vmlinux")];
    if host.runs(release) {
        files.push(OF_RUNNING_KERNEL.into());
    }
    files
}

/// The program that makes BTF, which `PAHOLE` can name.
pub(super) fn pahole(host: &Host) -> Option<PathBuf> {
    let named = host.environment.iter().find(|(name, value)| name == "PAHOLE" && !value.is_empty());
    let name = named.map_or("pahole".into(), |(_, value)| value.to_string_lossy());
    dkms_sys::process::which(&*name, &host.path)
}

/// Takes the BTF out of a kernel's image; the running kernel's is BTF already.
pub(super) fn unpack(file: &Path, kernel_digest: &str) -> Result<std::result::Result<Vec<u8>, String>> {
    let packed = dkms_sys::fs::read(file)?;
    let payload = image::payload(&packed).map(crate::digest::bytes);
    // The cached file must match the digest.
    if payload.as_deref().ok() != Some(kernel_digest) {
        return Ok(Err(format!("{} has changed since the command began", file.display())));
    }
    if packed.starts_with(BTF_MAGIC) {
        return Ok(Ok(packed));
    }
    Ok(match image::btf(&packed) {
        Ok(Some(raw)) => Ok(raw),
        Ok(None) => Err(format!("the kernel in {} has no BTF", file.display())),
        Err(e) => Err(format!("{}: {e}", file.display())),
    })
}

/// The kernel's BTF in a file that the programs can read, and their options.
#[derive(Debug)]
pub(crate) struct Base {
    /// Keeps the file.
    pub(super) dir: TempDir,
    pub(super) file: PathBuf,
    pub(super) options: Vec<String>,
}

impl Base {
    /// Writes the kernel's BTF to a file in `temporary`; `options` obtains the options from kbuild.
    pub(super) fn new(
        temporary: &Path,
        raw: &[u8],
        options: impl FnOnce() -> Result<std::result::Result<Vec<String>, String>>,
    ) -> Result<std::result::Result<Self, String>> {
        let options = match options()? {
            Ok(options) => options,
            Err(why) => return Ok(Err(why)),
        };
        let dir = TempDir::new_in(temporary, "dkms-btf")?;
        dkms_sys::fs::set_mode(dir.path(), 0o711)?;
        let file = dir.path().join("kernel.btf");
        dkms_sys::fs::create_new(&file, raw, 0o644)?;
        Ok(Ok(Self { dir, file, options }))
    }
}
