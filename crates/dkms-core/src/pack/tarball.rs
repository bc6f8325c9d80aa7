//! `mktarball`: a package's source, its built modules, or both in one file (CONTRACT "Tarballs"). `origin`
//! loads it.

use crate::add;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::install::InstallError;
use crate::origin::error::OriginError;
use crate::pack::PackError;
use crate::system::{Settings, System};
use dkms_archive::{self, ArchiveError, Member};
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a tarball contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Source and built modules.
    Both,
    /// `--source-only`
    SourceOnly,
    /// `--binaries-only`
    BinariesOnly,
}

pub(crate) fn archive_error(path: &Path, e: ArchiveError) -> Error {
    match e {
        ArchiveError::Io(io) => Error::Io(io),
        other => Error::Origin(OriginError::BadArchive { path: path.to_owned(), cause: other.into() }),
    }
}

/// Writes a tarball to `path`; [`place`] returns the right path.
///
/// # Errors
/// The package is not in the tree, nothing is built for a kernel, or the destination is not writable.
pub fn make(
    system: &System,
    sink: &dyn Sink,
    package: &PackageId,
    kernels: &[Kernel],
    content: Content,
    path: &Path,
    source_date_epoch: Option<u64>,
) -> Result<()> {
    add::require_added(&system.layout, package)?;
    let kernels = if content == Content::SourceOnly { &[] } else { kernels };
    let empty = TempDir::new_in(&system.settings.tmp_location, "dkms-tarball").map_err(Error::Io)?;
    let mut members = built(&system.layout, package, kernels, &["module", "log"])?;
    if members.is_empty() {
        let mut main = Member::path("dkms_main_tree", empty.path());
        main.mode = Some(0o755);
        members.push(main);
    }
    if content == Content::BinariesOnly {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        members.extend(binaries_only(
            &system.layout,
            &system.settings,
            package,
            source_date_epoch.unwrap_or(now),
        ));
    } else {
        // Without it the tarball would be unusable.
        fs::open_bounded(system.layout.conf(package), fs::Limit::CONFIG)?;
        members.push(Member::path("dkms_source_tree", system.layout.source_link(package)));
    }
    require_writable(path.parent().unwrap_or(Path::new("")))?;
    let written =
        dkms_archive::write(path, &members, source_date_epoch).map_err(|e| archive_error(path, e))?;
    sink.warn_left_out(&written.left_out);
    sink.event(Event::ArchiveWritten { path: path.to_owned() });
    Ok(())
}

/// Makes sure that the destination directory exists.
///
/// # Errors
/// [`PackError::DestinationNotWritable`].
pub(crate) fn require_writable(directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        fs::create_dir_all(directory)
            .map_err(|_| Error::Pack(PackError::DestinationNotWritable(directory.to_owned())))?;
    }
    if fs::writable(directory) {
        Ok(())
    } else {
        Err(PackError::DestinationNotWritable(directory.to_owned()).into())
    }
}

/// The built files for these kernels, selected by part, in the layout of a tarball.
fn built(layout: &Layout, package: &PackageId, kernels: &[Kernel], parts: &[&str]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for kernel in kernels {
        let b = Build::new(package, kernel);
        if !layout.module_dir(&b).is_dir() {
            return Err(InstallError::NothingBuilt(b).into());
        }
        for part in parts {
            let path = layout.built_dir(&b).join(part);
            if path.is_dir() {
                let inside = format!("dkms_main_tree/{}/{}/{part}", kernel.release, kernel.arch);
                members.push(Member::path(inside, path));
            }
        }
    }
    Ok(members)
}

/// The files that identify the package to `ldtarball` if the source is left out.
fn binaries_only(layout: &Layout, settings: &Settings, package: &PackageId, mtime: u64) -> [Member; 3] {
    let line = |text: &str| format!("{text}\n").into_bytes();
    let conf = settings.conf_file.clone().unwrap_or_else(|| layout.conf(package));
    [
        Member::bytes("dkms_binaries_only/PACKAGE_NAME", line(&package.name), mtime),
        Member::bytes("dkms_binaries_only/PACKAGE_VERSION", line(&package.version), mtime),
        Member::path("dkms_binaries_only/dkms.conf", conf),
    ]
}

/// Writes a tarball of built modules to `path`. The logs are left out: they contain build times, and the same
/// modules must produce the same bytes. Timestamps are at most `epoch`, in seconds since 1970.
///
/// # Errors
/// Nothing is built for a kernel; a file cannot be read or written.
pub(crate) fn write_modules(
    system: &System,
    package: &PackageId,
    kernels: &[Kernel],
    path: &Path,
    epoch: u64,
) -> Result<()> {
    let mut members = built(&system.layout, package, kernels, &["module"])?;
    members.extend(binaries_only(&system.layout, &system.settings, package, epoch));
    dkms_archive::write(path, &members, Some(epoch)).map_err(|e| archive_error(path, e))?;
    Ok(())
}

/// The path of a tarball. `named` is `--archive`: a file name in the default directory, or a path.
pub fn place(
    layout: &Layout,
    package: &PackageId,
    kernels: &[Kernel],
    content: Content,
    named: Option<&Path>,
) -> PathBuf {
    let (directory, name) = destination(layout, package, kernels, content, named);
    directory.join(name)
}

/// The directory and file name for `--archive`: a bare name is in the default directory.
pub(crate) fn named_place(named: &Path, default: PathBuf) -> (PathBuf, PathBuf) {
    let name = named.file_name().map(PathBuf::from).unwrap_or_default();
    match named.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => (dir.to_owned(), name),
        _ => (default, name),
    }
}

fn destination(
    layout: &Layout,
    package: &PackageId,
    kernels: &[Kernel],
    content: Content,
    named: Option<&Path>,
) -> (PathBuf, PathBuf) {
    let default = layout.tarball_dir(package);
    if let Some(named) = named {
        return named_place(named, default);
    }
    let list = if content == Content::SourceOnly {
        "source-only".to_owned()
    } else {
        let all: Vec<String> = kernels.iter().map(|k| format!("kernel{}-{}", k.release, k.arch)).collect();
        all.join("-")
    };
    // The newline counts as part of it.
    let list = if list.chars().count() + 1 > 200 { "manykernels".to_owned() } else { list };
    (default, format!("{}-{}-{list}.dkms.tar.gz", package.name, package.version).into())
}
