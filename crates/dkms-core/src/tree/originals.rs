//! The kernel's own modules that had to make room: `M/original_module/K/A/NAME.ko` with `NAME.ko.origin` (the former
//! path), and `collisions/` for several of one name. For each there is at every moment one complete copy, at its place
//! or here.

use crate::ids::Kernel;
use crate::tree::layout::Layout;
use crate::tree::state::module_stem;
use std::path::{Path, PathBuf};

/// One archived module file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Module name.
    pub name: String,
    /// The archived copy.
    pub archived: PathBuf,
    /// The file that says where it came from, when there is one (dkms before 3.0.12 wrote none).
    pub origin_file: Option<PathBuf>,
    /// Where it came from.
    pub origin: Option<PathBuf>,
}

/// Where a module file goes that is the only one of its name.
pub fn archive_path(layout: &Layout, package: &str, k: &Kernel, file: &Path) -> Option<PathBuf> {
    Some(layout.originals_dir(package, k).join(file.file_name()?))
}

/// Where one of several goes: its directory below `/lib/modules/K` again below `collisions/`.
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

/// Everything archived for a package and kernel, sorted by path.
pub fn list(layout: &Layout, package: &str, k: &Kernel) -> Vec<Original> {
    let mut found = Vec::new();
    let mut pending = vec![layout.originals_dir(package, k)];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                pending.push(path);
                continue;
            }
            let Some(name) = path.file_name().and_then(|f| f.to_str()).and_then(module_stem) else {
                continue;
            };
            let name = name.to_owned();
            let origin_file = Some(origin_file(&path)).filter(|o| o.is_file());
            let origin = origin_file.as_ref().and_then(|f| {
                let text = dkms_sys::fs::read_text(f, dkms_sys::fs::Limit::CONFIG).ok()?;
                let place = PathBuf::from(text.lines().next()?);
                // Only ever back into this kernel's own directory.
                let inside = place.starts_with(layout.kernel_modules(&k.release))
                    && !place.components().any(|c| c == std::path::Component::ParentDir);
                inside.then_some(place)
            });
            found.push(Original { name, archived: path, origin_file, origin });
        }
    }
    found.sort_by(|a, b| a.archived.cmp(&b.archived));
    found
}
