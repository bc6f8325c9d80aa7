//! `mktarball` and `ldtarball`: packages with their source, their built modules, or both (CONTRACT "Tarballs").

use crate::add;
use crate::archive::{self, ArchiveError, Limits, Member};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, Kernel, PackageId};
use crate::session::Session;
use crate::tree::manifest::Manifest;
use crate::tree::state::{self, Registration};
use dkms_sys::fs::{self, TempDir};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What goes into a tarball.
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
        other => Error::BadArchive { path: path.to_owned(), reason: other.to_string() },
    }
}

/// Writes a tarball to `path`, for which [`place`] says where it belongs.
///
/// # Errors
/// Not in the tree, nothing built for a kernel, the destination not writable.
pub fn make(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    content: Content,
    path: &Path,
    source_date_epoch: Option<u64>,
) -> Result<()> {
    add::require_added(s, package)?;
    let kernels = if content == Content::SourceOnly { &[] } else { kernels };
    let empty = TempDir::new_in(&s.options.tmp_location, "dkms-tarball").map_err(Error::Io)?;
    let mut members = built(s, package, kernels, &["module", "log"])?;
    if members.is_empty() {
        let mut main = Member::path("dkms_main_tree", empty.path());
        main.mode = Some(0o755);
        members.push(main);
    }
    if content == Content::BinariesOnly {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        members.extend(binaries_only(s, package, source_date_epoch.unwrap_or(now)));
    } else {
        // Without it nothing could be made of the tarball.
        fs::open_bounded(s.layout.conf(package), fs::Limit::CONFIG)?;
        members.push(Member::path("dkms_source_tree", s.layout.source_link(package)));
    }
    require_writable(path.parent().unwrap_or(Path::new("")))?;
    let written = archive::write(path, &members, source_date_epoch).map_err(|e| archive_error(path, e))?;
    s.note_left_out(&written.left_out);
    s.tell(Event::ArchiveWritten { path: path.to_owned() });
    Ok(())
}

/// Makes sure that there is a directory to write to.
///
/// # Errors
/// [`Error::DestinationNotWritable`].
pub(crate) fn require_writable(directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        fs::create_dir_all(directory).map_err(|_| Error::DestinationNotWritable(directory.to_owned()))?;
    }
    if fs::writable(directory) { Ok(()) } else { Err(Error::DestinationNotWritable(directory.to_owned())) }
}

/// What is built for these kernels, by its parts, as it lies in a tarball.
fn built(s: &Session<'_>, package: &PackageId, kernels: &[Kernel], parts: &[&str]) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for kernel in kernels {
        let b = Build::new(package, kernel);
        if !s.layout.module_dir(&b).is_dir() {
            return Err(Error::NothingBuilt(b));
        }
        for part in parts {
            let path = s.layout.built_dir(&b).join(part);
            if path.is_dir() {
                let inside = format!("dkms_main_tree/{}/{}/{part}", kernel.release, kernel.arch);
                members.push(Member::path(inside, path));
            }
        }
    }
    Ok(members)
}

/// What tells `ldtarball` whose modules these are, where the source is left out.
fn binaries_only(s: &Session<'_>, package: &PackageId, mtime: u64) -> [Member; 3] {
    let line = |text: &str| format!("{text}\n").into_bytes();
    let conf = s.options.conf_file.clone().unwrap_or_else(|| s.layout.conf(package));
    [
        Member::bytes("dkms_binaries_only/PACKAGE_NAME", line(&package.name), mtime),
        Member::bytes("dkms_binaries_only/PACKAGE_VERSION", line(&package.version), mtime),
        Member::path("dkms_binaries_only/dkms.conf", conf),
    ]
}

/// Writes a tarball of built modules to `path`, without the logs: they tell how long each build took, and the same
/// modules shall give the same bytes. Times are at most `epoch`, seconds since 1970.
///
/// # Errors
/// Nothing built for a kernel, a file that cannot be read or written.
pub(crate) fn write_modules(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    path: &Path,
    epoch: u64,
) -> Result<()> {
    let mut members = built(s, package, kernels, &["module"])?;
    members.extend(binaries_only(s, package, epoch));
    archive::write(path, &members, Some(epoch)).map_err(|e| archive_error(path, e))?;
    Ok(())
}

/// Where a tarball belongs. `named` is `--archive`: a file name for the default place, or a path.
pub fn place(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    content: Content,
    named: Option<&Path>,
) -> PathBuf {
    let (directory, name) = destination(s, package, kernels, content, named);
    directory.join(name)
}

/// Directory and name that `--archive` means: a bare name is one in the default place.
pub(crate) fn named_place(named: &Path, default: PathBuf) -> (PathBuf, PathBuf) {
    let name = named.file_name().map(PathBuf::from).unwrap_or_default();
    match named.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => (dir.to_owned(), name),
        _ => (default, name),
    }
}

fn destination(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    content: Content,
    named: Option<&Path>,
) -> (PathBuf, PathBuf) {
    let default = s.layout.tarball_dir(package);
    if let Some(named) = named {
        return named_place(named, default);
    }
    let list = if content == Content::SourceOnly {
        "source-only".to_owned()
    } else {
        let all: Vec<String> = kernels.iter().map(|k| format!("kernel{}-{}", k.release, k.arch)).collect();
        all.join("-")
    };
    // The newline that dkms counts with it.
    let list = if list.chars().count() + 1 > 200 { "manykernels".to_owned() } else { list };
    (default, format!("{}-{}-{list}.dkms.tar.gz", package.name, package.version).into())
}

/// Loads a tarball, or a Debian package of a module's source, into the tree: the source to `/usr/src/M-V`, its modules as
/// *built*. Nothing in it lands anywhere else.
///
/// # Errors
/// No such file, no dkms archive, no or an invalid dkms.conf, already in the tree.
pub fn load(s: &Session<'_>, archive: &Path, kernel: &Kernel) -> Result<PackageId> {
    if !archive.exists() {
        return Err(Error::ArchiveMissing(archive.to_owned()));
    }
    let scratch = TempDir::new_in(&s.options.tmp_location, "dkms-ldtarball")?;
    let root = scratch.path().join("content");
    let unpacked =
        archive::unpack(archive, &root, &Limits::default()).map_err(|e| archive_error(archive, e))?;
    if unpacked.format == archive::Format::Package {
        return crate::packaging::load(s, archive, &root, &unpacked, kernel);
    }
    let main = root.join("dkms_main_tree");
    if !main.is_dir() {
        let Some(conf) = shallowest_conf(&root) else {
            return Err(Error::ArchiveWithoutConf(archive.to_owned()));
        };
        let directory = conf.parent().unwrap_or(&root);
        refuse_leaving(archive, &unpacked, &root, directory)?;
        let package = add::copy_directory(s, directory, kernel, s.options.force)?;
        register(s, &package, kernel)?;
        s.tell(Event::ArchiveLoaded { package: package.clone(), kernels: Vec::new() });
        return Ok(package);
    }
    let place =
        ["dkms_source_tree", "dkms_binaries_only"].iter().find(|d| root.join(d).join("dkms.conf").is_file());
    let Some(place) = place else {
        return Err(Error::BadArchive {
            path: archive.to_owned(),
            reason: "neither dkms_source_tree nor dkms_binaries_only in it has a dkms.conf".into(),
        });
    };
    let package = add::identify(s, &root.join(place), kernel)?;
    let added = state::registration(s.layout, &package) == Registration::Added;
    if added && !s.options.force {
        return Err(Error::ArchiveAlreadyAdded(package));
    }
    for directory in [*place, "dkms_main_tree"] {
        refuse_leaving(archive, &unpacked, &root, &root.join(directory))?;
    }
    provide_source(s, &package, &root.join(place), *place == "dkms_binaries_only", kernel)?;
    register(s, &package, kernel)?;
    let kernels = load_builds(s, &package, &main)?;
    s.tell(Event::ArchiveLoaded { package: package.clone(), kernels });
    Ok(package)
}

/// A link that is harmless inside the archive may leave the directory that is taken out of it.
fn refuse_leaving(archive: &Path, unpacked: &archive::Unpacked, root: &Path, directory: &Path) -> Result<()> {
    let inside = directory.strip_prefix(root).unwrap_or(directory).to_string_lossy().into_owned();
    match unpacked.link_leaving(&inside) {
        Some(entry) => Err(Error::BadArchive {
            path: archive.to_owned(),
            reason: format!("its link {} points out of {inside}", entry.name),
        }),
        None => Ok(()),
    }
}

fn shallowest_conf(root: &Path) -> Option<PathBuf> {
    let mut level = vec![root.to_path_buf()];
    while !level.is_empty() {
        level.sort();
        if let Some(dir) = level.iter().find(|d| d.join("dkms.conf").is_file()) {
            return Some(dir.join("dkms.conf"));
        }
        let deeper = level.iter().flat_map(|d| {
            let entries = std::fs::read_dir(d).into_iter().flatten().flatten();
            entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path())
        });
        level = deeper.collect();
    }
    None
}

/// Puts the source where it belongs, unless something is there already and nobody forces.
fn provide_source(
    s: &Session<'_>,
    package: &PackageId,
    from: &Path,
    binaries: bool,
    kernel: &Kernel,
) -> Result<()> {
    let to = s.layout.source_dir(package);
    if to.is_dir() && (binaries || !s.options.force) {
        if !binaries {
            s.warn(format!("{} is there already and stays as it is (--force replaces it)", to.display()));
        }
        return Ok(());
    }
    if !binaries {
        add::copy_directory(s, from, kernel, s.options.force)?;
        return Ok(());
    }
    if !s.options.force {
        return Err(Error::SourceMissing(to));
    }
    let _held = crate::lock::build(s, package)?;
    let staged = s.layout.source_tree.join(format!(".{}-{}.adding", package.name, package.version));
    fs::remove_tree(&staged)?;
    fs::create_dir_all(&staged)?;
    let done = fs::copy_file(from.join("dkms.conf"), staged.join("dkms.conf"))
        .and_then(|_| fs::rename(&staged, &to));
    if done.is_err() {
        fs::remove_tree(&staged)?;
    }
    done?;
    Ok(())
}

/// Puts the package into the tree, unless it is there.
///
/// # Errors
/// As [`add::add`].
pub(crate) fn register(s: &Session<'_>, package: &PackageId, kernel: &Kernel) -> Result<()> {
    match state::registration(s.layout, package) {
        Registration::Added => Ok(()),
        _ => add::add(s, package, kernel),
    }
}

/// Takes over what is built in an unpacked `dkms_main_tree`; returns for which kernels.
///
/// # Errors
/// A name that is no kernel's; a file that cannot be copied.
pub(crate) fn load_builds(s: &Session<'_>, package: &PackageId, main: &Path) -> Result<Vec<Kernel>> {
    let mut loaded = Vec::new();
    for release in state::subdirectories(main) {
        for arch in state::subdirectories(&main.join(&release)) {
            let from = main.join(&release).join(&arch);
            if !from.join("module").is_dir() {
                continue;
            }
            let kernel = Kernel::new(&release, &arch)?;
            let b = Build::new(package, &kernel);
            let to = s.layout.built_dir(&b);
            if to.is_dir() && !s.options.force {
                s.warn(format!("{b} is built already and stays as it is (--force replaces it)"));
                continue;
            }
            one_build(s, &b, &from, &to)?;
            loaded.push(kernel);
        }
    }
    Ok(loaded)
}

fn one_build(s: &Session<'_>, b: &Build, from: &Path, to: &Path) -> Result<()> {
    let _held = crate::lock::build(s, &b.package)?;
    let kernel_dir = s.layout.kernel_dir(b);
    let _installing = crate::lock::install(s, std::slice::from_ref(&b.kernel))?;
    fs::create_dir_all(&kernel_dir)?;
    let staging = TempDir::new_in(&kernel_dir, &format!(".tmp_{}_", b.kernel.arch))?;
    for part in ["module", "log"] {
        if from.join(part).is_dir() {
            s.note_left_out(&fs::copy_tree(from.join(part), staging.path().join(part))?);
        }
    }
    fs::set_mode(staging.path(), 0o755)?;
    // What is installed of the build that gives way stays on record.
    let earlier = Manifest::read(s.layout, b)?.filter(|m| m.installed.is_some());
    let staging = staging.keep();
    if to.is_dir() {
        crate::layers::recover(to)?;
        crate::layers::exchange(&staging, to)?;
        fs::remove_tree(&staging)?;
    } else {
        fs::rename(&staging, to)?;
    }
    if let Some(mut m) = earlier {
        m.modules.clear();
        for f in state::module_files(s.layout, b) {
            m.modules.push(crate::tree::manifest::ModuleRecord {
                name: f.name,
                file: f.file,
                ..Default::default()
            });
        }
        m.store(&s.layout.manifest(b))?;
    }
    Ok(())
}

/// A package that rpm can install: rpm does it, its scriptlets call us.
///
/// # Errors
/// [`Error::RpmFailed`].
pub fn install_rpm(s: &Session<'_>, path: &Path) -> Result<()> {
    let failed = |reason: String| Error::RpmFailed { path: path.to_owned(), reason };
    let Some(rpm) = dkms_sys::process::which("rpm", &s.host.path) else {
        return Err(failed("rpm is not installed".into()));
    };
    let done = dkms_sys::process::Command::new(rpm)
        .arg("-Uvh")
        .arg(path)
        .envs(s.host.environment.iter().cloned())
        .stdout(dkms_sys::process::Stream::Capture)
        .stderr(dkms_sys::process::Stream::ToStdout)
        .run()
        .map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    s.tell(Event::ScriptOutput { text: said.clone() });
    if done.status.success() {
        return Ok(());
    }
    Err(failed(format!("{} ({})", done.status, said.lines().last().unwrap_or("it said nothing"))))
}
