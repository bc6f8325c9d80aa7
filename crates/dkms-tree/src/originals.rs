//! The kernel's own modules that were moved aside: `M/original_module/K/A/NAME.ko` with `NAME.ko.origin` (the
//! former path), and `collisions/` for several with the same name. At any time a complete copy of each
//! exists, either at its original path or here.

use crate::ids::Kernel;
use crate::layout::Layout;
use crate::state::module_stem;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// One archived module file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Module name.
    pub name: String,
    /// The archived copy.
    pub archived: PathBuf,
    /// The file with its original path, if there is one (dkms before 3.0.12 wrote none).
    pub origin_file: Option<PathBuf>,
    /// Its original path.
    pub origin: Option<PathBuf>,
    /// Why the contents of that file are not used.
    pub problem: Option<String>,
}

/// The path for a module file whose name is unique.
pub fn archive_path(layout: &Layout, package: &str, k: &Kernel, file: &Path) -> Option<PathBuf> {
    Some(layout.originals_dir(package, k).join(file.file_name()?))
}

/// The path for one of several with the same name: its directory below `/lib/modules/K`, repeated below
/// `collisions/`.
pub fn collision_path(layout: &Layout, package: &str, k: &Kernel, file: &Path) -> Option<PathBuf> {
    let inside = file.strip_prefix(layout.kernel_modules(&k.release)).ok()?;
    Some(layout.originals_dir(package, k).join("collisions").join(inside))
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

/// The original path of a file, if it is in this kernel's own directory. Symbolic links in that path are
/// checked when the file is moved back.
fn read_origin(layout: &Layout, k: &Kernel, file: &Path) -> std::result::Result<PathBuf, String> {
    if !dkms_sys::fs::is_real_file(file) {
        return Err(format!("{} is no regular file", file.display()));
    }
    let text = dkms_sys::fs::read_bounded(file, dkms_sys::fs::Limit::CONFIG).map_err(|e| e.to_string())?;
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    let place = PathBuf::from(OsStr::from_bytes(line));
    let modules = layout.kernel_modules(&k.release);
    if place.starts_with(&modules) && !place.components().any(|c| c == Component::ParentDir) {
        return Ok(place);
    }
    let (file, place, modules) = (file.display(), place.display(), modules.display());
    Err(format!("{file} says that it came from '{place}', which is not beneath {modules}"))
}

/// Everything archived for a package and kernel, sorted by path.
///
/// # Errors
/// A directory cannot be read: there may be more.
pub fn list(layout: &Layout, package: &str, k: &Kernel) -> Result<Vec<Original>, dkms_sys::IoError> {
    let mut found = Vec::new();
    let mut pending = vec![layout.originals_dir(package, k)];
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
            let origin = origin_file.as_ref().map(|file| read_origin(layout, k, file)).transpose();
            let problem = origin.as_ref().err().cloned();
            let origin = origin.ok().flatten();
            found.push(Original { name, archived: path, origin_file, origin, problem });
        }
    }
    found.sort_by(|a, b| a.archived.cmp(&b.archived));
    Ok(found)
}
