//! `--root DIR`: the same actions on the system in DIR, such as an image that is being built.
//!
//! dkms enters a new mount namespace, in which every path means what it means in that system. If that system
//! has a compiler, make and depmod that run on this machine, DIR becomes the root directory and its own
//! programs are used. Otherwise the machine's programs are used, that system's trees are mounted over the
//! machine's, and everything else is read-only. Either way, dkms.conf, links and records are the same as if
//! dkms had run inside.

use crate::actions::Action;
use crate::cli::Arguments;
use dkms_core::distro::{Distribution, Family};
use dkms_core::error::{Error, Result};
use dkms_core::request::{RequestError, UsageError};
use dkms_core::tree::layout::Layout;
use dkms_sys::root::{self, Held, Root};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Directories and files that are taken from the system and not from the machine, besides the three trees.
const SYSTEM_PLACES: [&str; 12] = [
    "/boot",
    "/etc/depmod.d",
    "/etc/dkms",
    "/etc/machine-id",
    "/etc/os-release",
    "/etc/portage/make.conf",
    "/etc/sysconfig/module-init-tools",
    "/usr/lib/depmod.d",
    "/usr/lib/os-release",
    "/usr/share/dkms",
    "/usr/share/apport",
    "/var/lib/shim-signed",
];

/// The places of os-release, in order of precedence.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// As much of an os-release as is read.
const MAX_OS_RELEASE: u64 = 1 << 20;

/// Where files of the machine appear in the other root, as in containers of systemd-nspawn.
const HOST: &str = "/run/host";

/// The other root, after dkms entered it.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Its path on the machine.
    pub path: PathBuf,
    /// Whether the user is root on the machine.
    pub by_root: bool,
    /// The path of the machine's credentials directory in this root.
    pub credentials: Option<PathBuf>,
    /// The path of the machine's cache of builds in this root; `None` if the user cannot use it.
    pub cache: Option<PathBuf>,
    /// Whether the action may change something.
    changes: bool,
    /// The system, and its directories that are mounted already; `None` if its own programs are used.
    shown: Option<(Root, Vec<PathBuf>)>,
}

/// Enters the other root if the command line names one, and converts the paths on the command line to paths
/// in it.
///
/// Those are the machine's, unless they are below DIR or in one of that system's trees.
///
/// # Errors
/// DIR is not a directory, or private mounts are not permitted here.
pub(crate) fn enter(arguments: &mut Arguments) -> Result<Option<Entered>> {
    let Some(dir) = arguments.root.clone() else { return Ok(None) };
    let path = dir.canonicalize().ok().filter(|p| p.is_dir());
    let path = path.ok_or(UsageError::NoSuchFile { option: "--root", path: dir, kind: "directory" })?;
    if path == Path::new("/") {
        return Ok(None);
    }
    if arguments.action() == Some(Action::Mok) {
        let works_on = "this machine's firmware and kernel";
        return Err(RequestError::OtherRoot { action: "mok", works_on }.into());
    }
    let inside = |given: &Path| {
        let given = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        let real = given.canonicalize().unwrap_or_else(|_| given.clone());
        real.strip_prefix(&path).map_or(given, |below| Path::new("/").join(below))
    };
    arguments.map_paths(inside);
    for tree in [&mut arguments.dkmstree, &mut arguments.sourcetree, &mut arguments.installtree] {
        *tree = tree.as_deref().map(inside);
    }
    let mut layout = Layout::default();
    arguments.set_trees(&mut layout);
    let by_root = dkms_sys::sys::effective_uid() == 0;
    let changes = !arguments.is_query() && !arguments.dry_run;
    let mut credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|d| d.is_dir());

    let cache = by_root.then(|| machines_cache(changes)).flatten();
    root::leave_machine().map_err(|e| cannot_enter(&path, e))?;
    let system = Root::open(&path)?;
    let mut cache_inside = cache.clone();
    let shown = if arguments.runs_programs() && has_tools(&system)? {
        cache_inside = with_its_programs(system, arguments, &layout, &mut credentials, cache)?;
        None
    } else {
        // Links of that system can lead to the machine's files.
        root::protect_machine(&writable(&path, arguments, cache))?;
        let system = Root::open(&path)?;
        let places = with_host_programs(&system, &layout, changes)?;
        Some((system, places))
    };
    Ok(Some(Entered { path, by_root, credentials, cache: cache_inside, changes, shown }))
}

/// The directory of the machine's cache of builds, which several images share. Created if something may be
/// stored in it; a link is not followed.
fn machines_cache(changes: bool) -> Option<PathBuf> {
    let dir = Layout::default().cache_dir;
    if changes && !dkms_sys::fs::exists(&dir) {
        let _ = dkms_sys::fs::create_dir_all(&dir);
    }
    Some(dir).filter(|dir| dkms_sys::fs::is_real_dir(dir))
}

/// The machine's directories that stay writable: the system itself, that of the archive or report to write,
/// that of the cache, and temporary ones.
fn writable(path: &Path, arguments: &Arguments, cache: Option<PathBuf>) -> Vec<PathBuf> {
    let archive = arguments.archive.as_deref().and_then(Path::parent).map(Path::to_owned);
    let temporary = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let reports = report_dirs(arguments);
    std::iter::once(path.to_owned()).chain(archive).chain(reports).chain(cache).chain(temporary).collect()
}

/// The directories of the files that a report writes: those it names, and the current one.
fn report_dirs(arguments: &Arguments) -> Vec<PathBuf> {
    if arguments.action() != Some(Action::Report) {
        return Vec::new();
    }
    let files = arguments.words.iter().map(Path::new).chain(arguments.metrics.as_deref());
    let dir = |file: &Path| std::path::absolute(file).ok()?.parent()?.canonicalize().ok();
    files.filter_map(dir).chain(std::env::current_dir()).collect()
}

/// Makes that system the root directory, and mounts the machine's files that the command line names in it,
/// and the machine's cache. Returns where the cache is then.
fn with_its_programs(
    system: Root,
    arguments: &mut Arguments,
    layout: &Layout,
    credentials: &mut Option<PathBuf>,
    cache: Option<PathBuf>,
) -> Result<Option<PathBuf>> {
    let own: Vec<&Path> = SYSTEM_PLACES.map(Path::new).into_iter().chain(trees(layout)).collect();
    let mut moved = Vec::new();
    let mut moving = |path: &Path| {
        if !path.exists() || own.iter().any(|tree| path.starts_with(tree)) {
            return path.to_owned();
        }
        moved.push(path.to_owned());
        Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path))
    };
    arguments.map_paths(&mut moving);
    *credentials = credentials.as_deref().map(moving);
    let inside = cache.as_deref().map(|dir| Path::new(HOST).join(dir.strip_prefix("/").unwrap_or(dir)));
    moved.extend(cache);
    change_root(system, &moved)?;
    Ok(inside)
}

/// Mounts the places of that system over the machine's, and returns them.
fn with_host_programs(system: &Root, layout: &Layout, changes: bool) -> Result<Vec<PathBuf>> {
    if changes {
        create_trees(system, layout)?;
        if is_ubuntu(system) {
            // The default place of its signing key.
            system.create_dir(Path::new("/var/lib/shim-signed"))?;
        }
    }
    let own = SYSTEM_PLACES.map(Path::new).into_iter().chain(trees(layout));
    let mut places: Vec<PathBuf> = own.map(Path::to_owned).collect();
    // Only System.map is needed from /boot, and depmod can do without it.
    places.retain(|place| place != Path::new("/boot") || place.exists());
    // On Debian, the programs that build modules are not with the headers.
    if let Some(lib) = system.find(Path::new("/usr/lib"))? {
        let names = lib.names()?;
        let kbuild = names.iter().filter(|n| n.to_string_lossy().starts_with("linux-kbuild-"));
        for path in kbuild.map(|n| Path::new("/usr/lib").join(n)) {
            if !has_better_programs(system, &path)? {
                places.push(path);
            }
        }
    }
    mount_places(system, &places)?;
    Ok(places)
}

fn trees(layout: &Layout) -> [&Path; 3] {
    [&layout.dkms_tree, &layout.source_tree, &layout.install_tree]
}

impl Entered {
    /// Mounts the trees that framework.conf of that system names.
    ///
    /// # Errors
    /// They cannot be mounted.
    pub(crate) fn mount_trees(&self, layout: &Layout) -> Result<()> {
        let Some((system, shown)) = &self.shown else { return Ok(()) };
        let mut more: Vec<PathBuf> = trees(layout).map(Path::to_owned).into();
        more.retain(|tree| !shown.iter().any(|s| tree.starts_with(s)));
        if self.changes {
            create_trees(system, layout)?;
        }
        mount_places(system, &more)
    }
}

/// Creates missing trees that dkms writes to. Otherwise they would be created on the machine.
fn create_trees(system: &Root, layout: &Layout) -> Result<()> {
    let written = [&layout.dkms_tree, &layout.source_tree];
    written.into_iter().try_for_each(|tree| Ok(system.create_dir(tree).map(|_| ())?))
}

/// Whether the system is an Ubuntu; an os-release that cannot be read is reported when it is needed.
fn is_ubuntu(system: &Root) -> bool {
    let read = |path: &&str| {
        let mut bytes = Vec::new();
        let file = system.read(Path::new(path)).ok()??;
        file.take(MAX_OS_RELEASE).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = OS_RELEASE.iter().find_map(read);
    text.is_some_and(|text| Distribution::from_os_release(&text).family() == Family::Ubuntu)
}

fn mount_places(system: &Root, places: &[PathBuf]) -> Result<()> {
    let found = places.iter().map(|p| Ok((p.clone(), find_place(system, p)?))).collect::<Result<Vec<_>>>()?;
    Ok(root::show(&found)?)
}

/// A place of that system; `None` if it does not exist.
///
/// # Errors
/// It cannot be examined, or is no directory where the machine has one.
fn find_place(system: &Root, place: &Path) -> Result<Option<Held>> {
    if OS_RELEASE.iter().any(|name| place == Path::new(name)) {
        // Anything but a file is the same as none: most actions can do without it.
        return Ok(system.find(place).ok().flatten().filter(Held::is_file));
    }
    let found = system.find(place)?;
    if found.as_ref().is_some_and(|found| !found.is_dir() && place.is_dir()) {
        let not_a_directory: std::io::Error = std::io::ErrorKind::NotADirectory.into();
        return Err(dkms_sys::IoError::new("use", system.below(place), not_a_directory).into());
    }
    Ok(found)
}

/// Changes the root directory to that system, with the machine's `moved` below [`HOST`].
fn change_root(system: Root, moved: &[PathBuf]) -> Result<()> {
    for name in ["/dev", "/proc", "/sys"] {
        if let Some(there) = system.find(Path::new(name))? {
            root::mount_over(&Held::open(Path::new(name))?, &there)?;
        }
    }
    if !moved.is_empty() {
        let run = system.create_dir(Path::new("/run"))?;
        root::show_below(&run, Path::new("host"), moved)?;
    }
    Ok(system.become_root()?)
}

/// Whether the system has a shell, make, a compiler and depmod that run on this machine.
fn has_tools(system: &Root) -> Result<bool> {
    let find = |name: &str| -> Result<Option<std::fs::File>> {
        for dir in ["/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
            if let Some(file) = system.read(&Path::new(dir).join(name))? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    };
    let mut compilers = ["gcc", "clang", "cc"].iter();
    let compiler = compilers.any(|name| find(name).is_ok_and(|found| found.is_some()));
    let (Some(_), Some(_), Some(make)) = (find("sh")?, find("depmod")?, find("make")?) else {
        return Ok(false);
    };
    let ours = dkms_sys::fs::open("/proc/self/exe").ok();
    Ok(compiler && ours.is_some_and(|ours| kind_of_program(ours) == kind_of_program(make)))
}

/// Whether the programs in this directory of the system do not run on this machine, while those in the
/// machine's own directory do.
fn has_better_programs(system: &Root, dir: &Path) -> Result<bool> {
    let program = dir.join("scripts/basic/fixdep");
    let ours = dkms_sys::fs::open("/proc/self/exe").ok().and_then(kind_of_program);
    let theirs = system.read(&program)?.and_then(kind_of_program);
    let of_machine = dkms_sys::fs::open(&program).ok().and_then(kind_of_program);
    Ok(theirs.is_some() && theirs != ours && of_machine.is_some() && of_machine == ours)
}

/// Word size, byte order and machine of an ELF file (elf(5): `e_ident`, `e_machine`).
fn kind_of_program(mut file: std::fs::File) -> Option<([u8; 2], [u8; 2])> {
    let mut head = [0; 20];
    file.read_exact(&mut head).ok()?;
    let [0x7f, b'E', b'L', b'F', class, order, .., a, b] = head else { return None };
    Some(([class, order], [a, b]))
}

fn cannot_enter(path: &Path, e: dkms_sys::IoError) -> Error {
    Error::Request(RequestError::CannotEnter { root: path.to_owned(), cause: e.into() })
}
