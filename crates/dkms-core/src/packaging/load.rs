//! `ldtarball`, `add` and `install` of a package whose module dkms is to build: its source goes into the tree as that of a
//! tarball does, and so do the built modules that `mkdeb` or `mkrpm` may have put beside it. The package manager is not asked,
//! and does not know of it afterwards; nothing else of the package is installed, and none of its scripts is run.

use crate::add;
use crate::archive::{self, Limits, Unpacked};
use crate::error::Result;
use crate::event::Event;
use crate::ids::{Kernel, PackageId};
use crate::origin::OriginError;
use crate::session::Session;
use crate::tarball::{self, archive_error};
use crate::tree::state;
use dkms_sys::fs;
use std::path::{Path, PathBuf};

/// Takes what was unpacked from `archive` to `root` into the tree. `kernel` is what its dkms.conf is checked for.
///
/// # Errors
/// No source with a dkms.conf in it, or several; otherwise as for a tarball of source alone.
pub(crate) fn load(
    s: &Session<'_>,
    archive: &Path,
    root: &Path,
    unpacked: &Unpacked,
    kernel: &Kernel,
) -> Result<PackageId> {
    let sources = root.join("usr/src");
    let mut found = state::subdirectories(&sources);
    found.retain(|name| sources.join(name).join("dkms.conf").is_file());
    let name = match found.as_slice() {
        [] => return Err(OriginError::ArchiveWithoutConf(archive.to_owned()).into()),
        [name] => name,
        several => {
            let reason = format!(
                "it holds several modules, {}; install it with its package manager, or unpack it and add the one you want",
                several.join(", ")
            );
            return Err(OriginError::BadArchive { path: archive.to_owned(), cause: reason.into() }.into());
        }
    };
    let source = sources.join(name);
    // Packages have links to their own documentation, which is not there when it is not installed as a package.
    for entry in unpacked.links_leaving(&format!("usr/src/{name}")) {
        s.warn(format!("the link {} points out of the source and is left out", entry.name));
        fs::remove_file(root.join(&entry.name))?;
    }
    let package = add::copy_directory(s, &source, kernel, s.options.force)?;
    tarball::register(s, &package, kernel)?;
    let mut kernels = Vec::new();
    for (number, built) in tarballs(root, &package).iter().enumerate() {
        let content = root.join(format!("built{number}"));
        archive::unpack(built, &content, &Limits::default()).map_err(|e| archive_error(archive, e))?;
        kernels.extend(tarball::load_builds(s, &package, &content.join("dkms_main_tree"))?);
    }
    s.tell(Event::ArchiveLoaded { package: package.clone(), kernels });
    Ok(package)
}

/// The tarballs of built modules that belong to this package: `usr/share/NAME/M-V.dkms.tar.gz`, as `common.postinst`
/// knows them.
fn tarballs(root: &Path, package: &PackageId) -> Vec<PathBuf> {
    let share = root.join("usr/share");
    let own = format!("{}-{}.dkms.tar", package.name, package.version);
    let mut found = Vec::new();
    for directory in state::subdirectories(&share) {
        let directory = share.join(directory);
        for file in fs::list_dir_optional(&directory).unwrap_or_default() {
            let ours = file.to_str().is_some_and(|f| f.starts_with(&own) && archive::is_tarball(f));
            if ours && fs::is_real_file(directory.join(&file)) {
                found.push(directory.join(file));
            }
        }
    }
    found.sort();
    found
}
