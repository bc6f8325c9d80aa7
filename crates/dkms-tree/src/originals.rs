//! The kernel's own modules that were moved aside: `M/original_module/K/A/NAME.ko` with `NAME.ko.origin` (the
//! former path), and `collisions/` for several with the same name. At any time a complete copy of each
//! exists, either at its original path or here.

use crate::ids::Kernel;
use crate::layout::Layout;
use crate::state::module_stem;
use dkms_sys::IoError;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// One archived module file.
#[derive(Clone, Debug)]
pub struct Original {
    /// Module name.
    pub name: String,
    /// The archived copy.
    pub archived: PathBuf,
    /// The file with its original path, if there is one (dkms before 3.0.12 wrote none).
    pub origin_file: Option<PathBuf>,
    /// Its original path.
    pub origin: Option<PathBuf>,
    /// The reason why the contents of that file are not used.
    pub problem: Option<Arc<OriginError>>,
}

/// The reason why the contents of an `.origin` file are not used.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It is a directory, a link or a special file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] IoError),
    /// The path in it is not in the directory of the kernel.
    #[error("{} contains the original path '{}', which is not below {}", .file.display(), .place.display(), .modules.display())]
    Elsewhere {
        /// The `.origin` file.
        file: PathBuf,
        /// The path in it.
        place: PathBuf,
        /// The directory of the kernel's modules.
        modules: PathBuf,
    },
}

/// The path for a module file whose name is unique.
pub fn archive_path(layout: &Layout, package: &str, kernel: &Kernel, file: &Path) -> Option<PathBuf> {
    Some(layout.originals_dir(package, kernel).join(file.file_name()?))
}

/// The path for a module file if several have the same name: its path below `/lib/modules/K`, in
/// `collisions/`.
pub fn collision_path(layout: &Layout, package: &str, kernel: &Kernel, file: &Path) -> Option<PathBuf> {
    let inside = file.strip_prefix(layout.kernel_modules(&kernel.release)).ok()?;
    Some(layout.originals_dir(package, kernel).join("collisions").join(inside))
}

/// The `.origin` file that belongs to an archived file.
pub fn origin_file(archived: &Path) -> PathBuf {
    let mut name = archived.as_os_str().to_owned();
    name.push(".origin");
    name.into()
}

/// The contents of an `.origin` file: the path and a newline. Names are bytes.
pub fn origin_text(from: &Path) -> OsString {
    let mut text = from.as_os_str().to_owned();
    text.push("\n");
    text
}

/// Reads the original path of a file, which must be in this kernel's own directory. Symbolic links in that
/// path are checked when the file is moved back.
fn read_origin(layout: &Layout, kernel: &Kernel, file: &Path) -> Result<PathBuf, OriginError> {
    if !dkms_sys::fs::is_real_file(file) {
        return Err(OriginError::NotAFile(file.to_owned()));
    }
    let text = dkms_sys::fs::read_bounded(file, dkms_sys::fs::Limit::CONFIG)?;
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    let place = PathBuf::from(OsStr::from_bytes(line));
    let modules = layout.kernel_modules(&kernel.release);
    if place.starts_with(&modules) && !place.components().any(|c| c == Component::ParentDir) {
        return Ok(place);
    }
    Err(OriginError::Elsewhere { file: file.to_owned(), place, modules })
}

/// Lists the archived files of a package and kernel, sorted by path.
///
/// # Errors
/// A directory cannot be read.
pub fn list(layout: &Layout, package: &str, kernel: &Kernel) -> Result<Vec<Original>, IoError> {
    let mut found = Vec::new();
    let mut pending = vec![layout.originals_dir(package, kernel)];
    while let Some(dir) = pending.pop() {
        for name in dkms_sys::fs::list_dir_optional(&dir)? {
            let path = dir.join(name);
            if dkms_sys::fs::is_real_dir(&path) {
                pending.push(path);
                continue;
            }
            let Some(name) = path.file_name().and_then(|f| f.to_str()).and_then(module_stem) else {
                continue;
            };
            let name = name.to_owned();
            let origin_file = Some(origin_file(&path)).filter(|o| dkms_sys::fs::exists(o));
            let (origin, problem) = match origin_file.as_ref().map(|file| read_origin(layout, kernel, file)) {
                Some(Ok(origin)) => (Some(origin), None),
                Some(Err(error)) => (None, Some(Arc::new(error))),
                None => (None, None),
            };
            found.push(Original { name, archived: path, origin_file, origin, problem });
        }
    }
    found.sort_by(|a, b| a.archived.cmp(&b.archived));
    Ok(found)
}
