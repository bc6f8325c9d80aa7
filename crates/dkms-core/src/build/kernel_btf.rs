//! The BTF of a kernel. The BTF of its modules is relative to it.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::kernel::headers::Headers;
use dkms_sys::fs::TempDir;
use dkms_tree::layout::Layout;
use kmodule::image;
use std::path::{Path, PathBuf};

/// The BTF of the running kernel.
const RUNNING_KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The magic number of BTF on a little-endian machine.
const BTF_MAGIC: &[u8] = b"\x9f\xeb";

/// How modules for a kernel get their BTF.
#[derive(Debug)]
pub(crate) enum Btf {
    /// They get none: the kernel has none, a file or program is missing, or `btf=off`.
    None,
    /// kbuild generates it from `vmlinux` in the headers.
    Kbuild,
    /// dkms generates it from the kernel's BTF in this file.
    Kernel {
        /// An image of the kernel, or the running kernel's BTF.
        file: PathBuf,
        /// SHA-256 of the file without its signature.
        digest: String,
    },
}

impl Btf {
    /// Determines it for a kernel; `enabled` is false with `btf=off`. Does not decompress the image yet.
    /// Skips files that cannot be read.
    pub(crate) fn detect(
        host: &Host,
        layout: &Layout,
        headers: &Headers,
        release: &str,
        enabled: bool,
    ) -> Self {
        if dkms_sys::fs::exists_followed(headers.dir.join("vmlinux")) {
            return Self::Kbuild;
        }
        let has_option = |name: &str| headers.config.as_ref().is_some_and(|config| config.enabled(name));
        if !enabled || !has_option("CONFIG_DEBUG_INFO_BTF_MODULES") || find_pahole(host).is_none() {
            return Self::None;
        }
        let kernel = candidates(host, layout, release).into_iter().find_map(|file| {
            let bytes = dkms_sys::fs::read(&file).ok()?;
            let digest = crate::digest::bytes(image::payload(&bytes).ok()?);
            Some(Self::Kernel { file, digest })
        });
        kernel.unwrap_or(Self::None)
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
/// will be booted; the running kernel can be an older build of the same release.
fn candidates(host: &Host, layout: &Layout, release: &str) -> Vec<PathBuf> {
    let boot = |name: &str| layout.boot_dir.join(format!("{name}-{release}"));
    let modules = layout.kernel_modules(release);
    let mut files = vec![boot("vmlinuz"), modules.join("vmlinuz"), boot("Image"), boot("vmlinux")];
    if host.runs(release) {
        files.push(RUNNING_KERNEL_BTF.into());
    }
    files
}

/// Finds the program that generates BTF: pahole, or the program in the variable `PAHOLE`.
pub(super) fn find_pahole(host: &Host) -> Option<PathBuf> {
    let named = host.environment.iter().find(|(name, value)| name == "PAHOLE" && !value.is_empty());
    let name = named.map_or("pahole".into(), |(_, value)| value.to_string_lossy());
    dkms_sys::process::which(&*name, &host.path)
}

/// The reason why BTF cannot be generated.
#[derive(Debug)]
pub(super) enum BtfError {
    /// The build fails.
    Build(Error),
    /// The module is built without BTF, for this reason.
    Unavailable(String),
}

impl<E: Into<Error>> From<E> for BtfError {
    fn from(error: E) -> Self {
        Self::Build(error.into())
    }
}

/// Extracts the BTF from a kernel's image, or reads the BTF of the running kernel.
///
/// # Errors
/// The file cannot be read or has changed, or has no BTF.
pub(super) fn unpack(file: &Path, kernel_digest: &str) -> Result<Vec<u8>, BtfError> {
    let packed = dkms_sys::fs::read(file)?;
    let payload = image::payload(&packed).map(crate::digest::bytes);
    // The result is cached under this digest.
    if payload.as_deref().ok() != Some(kernel_digest) {
        let reason = format!("{} has changed since the command began", file.display());
        return Err(BtfError::Unavailable(reason));
    }
    if packed.starts_with(BTF_MAGIC) {
        return Ok(packed);
    }
    match image::btf(&packed) {
        Ok(Some(raw)) => Ok(raw),
        Ok(None) => Err(BtfError::Unavailable(format!("the kernel in {} has no BTF", file.display()))),
        Err(e) => Err(BtfError::Unavailable(format!("{}: {e}", file.display()))),
    }
}

/// The kernel's BTF in a file that pahole can read, and the options of pahole.
#[derive(Debug)]
pub(crate) struct Base {
    /// The directory of the file; removed when dropped.
    pub(super) dir: TempDir,
    pub(super) file: PathBuf,
    pub(super) options: Vec<String>,
}

impl Base {
    /// Writes the kernel's BTF to a file in `temporary`.
    pub(super) fn new(temporary: &Path, raw: &[u8], options: Vec<String>) -> Result<Self> {
        let dir = TempDir::new_in(temporary, "dkms-btf")?;
        dkms_sys::fs::set_mode(dir.path(), 0o711)?;
        let file = dir.path().join("kernel.btf");
        dkms_sys::fs::create_new(&file, raw, 0o644)?;
        Ok(Self { dir, file, options })
    }
}
