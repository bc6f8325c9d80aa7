//! `--root DIR`: the same actions on the system in DIR, such as an image that is being built.
//!
//! dkms enters a new mount namespace, in which every path has the same meaning as in that system. If that
//! system has a compiler, make and depmod that run on this machine, DIR becomes the root directory, and its
//! own programs are used. Otherwise the programs of the machine are used, the trees of that system are
//! mounted over those of the machine, and everything else is read-only. In both cases, dkms.conf, links and
//! records are the same as if dkms had run inside.

use crate::actions::Action;
use crate::cli::Arguments;
use crate::operand::absolute;
use dkms_core::distro::{Distribution, Family};
use dkms_core::error::{Error, Result};
use dkms_core::request::{RequestError, UsageError};
use dkms_core::tree::layout::Layout;
use dkms_sys::root::{self, OpenPath, Root};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files and directories that are those of the other system, besides the three trees.
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

/// The most bytes of os-release that are read.
const MAX_OS_RELEASE: u64 = 1 << 20;

/// The directory in the other root with files of the machine, as in containers of systemd-nspawn.
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
    /// The system, and its directories that are already mounted; `None` if its own programs are used.
    shown: Option<(Root, Vec<PathBuf>)>,
}

/// Enters the other root if the command line names one, and converts the paths on the command line to paths
/// in it. These are paths of the machine, unless they are below DIR or in one of the trees of that system.
///
/// # Errors
/// DIR is not a directory, or private mounts are not permitted.
pub(crate) fn enter(arguments: &mut Arguments) -> Result<Option<Entered>> {
    let Some(dir) = arguments.root.clone() else { return Ok(None) };
    let path = dir.canonicalize().ok().filter(|path| path.is_dir());
    let path = path.ok_or(UsageError::NoSuchFile { option: "--root", path: dir, kind: "directory" })?;
    if path == Path::new("/") {
        return Ok(None);
    }
    if arguments.action == Some(Action::Mok) {
        let works_on = "this machine's firmware and kernel";
        return Err(RequestError::OtherRoot { action: "mok", works_on }.into());
    }
    let inside = |given: &Path| {
        let given = absolute(given);
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
    let mut credentials =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|dir| dir.is_dir());
    let cache = by_root.then(|| machines_cache(changes)).flatten();
    root::leave_machine().map_err(|e| cannot_enter(&path, e))?;
    let system = Root::open(&path)?;
    let mut cache_inside = cache.clone();
    let shown = if arguments.runs_programs() && has_tools(&system)? {
        cache_inside = with_its_programs(system, arguments, &layout, &mut credentials, cache)?;
        None
    } else {
        // Links in that system could lead to files of the machine.
        root::protect_machine(&writable(&path, arguments, cache))?;
        let system = Root::open(&path)?;
        let places = with_host_programs(&system, &layout, changes)?;
        Some((system, places))
    };
    Ok(Some(Entered { path, by_root, credentials, cache: cache_inside, changes, shown }))
}

/// The machine's cache of builds, which several images share; none if there is none, or if it is a link. With
/// `changes`, it is created.
fn machines_cache(changes: bool) -> Option<PathBuf> {
    let dir = Layout::default().cache_dir;
    if changes && !dkms_sys::fs::exists(&dir) {
        let _ = dkms_sys::fs::create_dir_all(&dir);
    }
    Some(dir).filter(|dir| dkms_sys::fs::is_real_dir(dir))
}

/// The directories of the machine that stay writable: the system itself, the directories of the archive or
/// report to write, the cache, and temporary directories.
fn writable(path: &Path, arguments: &Arguments, cache: Option<PathBuf>) -> Vec<PathBuf> {
    let archive = arguments.archive.as_deref().and_then(Path::parent).map(Path::to_owned);
    let temporary = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let reports = report_dirs(arguments);
    std::iter::once(path.to_owned()).chain(archive).chain(reports).chain(cache).chain(temporary).collect()
}

/// The directories of the files that `dkms report` writes: those of the given files, and the current one.
fn report_dirs(arguments: &Arguments) -> Vec<PathBuf> {
    if arguments.action != Some(Action::Report) {
        return Vec::new();
    }
    let files = arguments.words.iter().map(Path::new).chain(arguments.metrics.as_deref());
    let dir = |file: &Path| std::path::absolute(file).ok()?.parent()?.canonicalize().ok();
    files.filter_map(dir).chain(std::env::current_dir()).collect()
}

/// Makes that system the root directory, and mounts in it the files of the machine that the command line
/// names, and the cache of the machine. Returns the path of the cache in it.
fn with_its_programs(
    system: Root,
    arguments: &mut Arguments,
    layout: &Layout,
    credentials: &mut Option<PathBuf>,
    cache: Option<PathBuf>,
) -> Result<Option<PathBuf>> {
    let own: Vec<&Path> = SYSTEM_PLACES.map(Path::new).into_iter().chain(trees(layout)).collect();
    let inside = |path: &Path| Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path));
    let mut mounted = Vec::new();
    let mut mount = |path: &Path| {
        if !path.exists() || own.iter().any(|tree| path.starts_with(tree)) {
            return path.to_owned();
        }
        mounted.push(path.to_owned());
        inside(path)
    };
    arguments.map_paths(&mut mount);
    *credentials = credentials.as_deref().map(mount);
    let cache_inside = cache.as_deref().map(inside);
    mounted.extend(cache);
    change_root(system, &mounted)?;
    Ok(cache_inside)
}

/// Mounts the places of that system over those of the machine, and returns them.
fn with_host_programs(system: &Root, layout: &Layout, changes: bool) -> Result<Vec<PathBuf>> {
    if changes {
        create_trees(system, layout)?;
        if is_ubuntu(system) {
            // The default directory of its signing key.
            system.create_dir(Path::new("/var/lib/shim-signed"))?;
        }
    }
    let own = SYSTEM_PLACES.map(Path::new).into_iter().chain(trees(layout));
    let mut places: Vec<PathBuf> = own.map(Path::to_owned).collect();
    // Only System.map is needed from /boot, and depmod can do without it.
    places.retain(|place| place != Path::new("/boot") || place.exists());
    // On Debian, the programs that build modules are not in the directory of the headers.
    if let Some(lib) = system.find(Path::new("/usr/lib"))? {
        let names = lib.names()?;
        let kbuild = names.iter().filter(|name| name.to_string_lossy().starts_with("linux-kbuild-"));
        for path in kbuild.map(|name| Path::new("/usr/lib").join(name)) {
            if !needs_programs_of_machine(system, &path)? {
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
        more.retain(|tree| !shown.iter().any(|place| tree.starts_with(place)));
        if self.changes {
            create_trees(system, layout)?;
        }
        mount_places(system, &more)
    }
}

/// Creates the trees that dkms writes to, if they are missing. Otherwise they would be created on the
/// machine.
fn create_trees(system: &Root, layout: &Layout) -> Result<()> {
    let written = [&layout.dkms_tree, &layout.source_tree];
    written.into_iter().try_for_each(|tree| Ok(system.create_dir(tree).map(|_| ())?))
}

/// Whether the system is Ubuntu. If os-release cannot be read, that is reported later, when it is needed.
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
    let place = |path: &PathBuf| Ok((path.clone(), find_place(system, path)?));
    Ok(root::show(&places.iter().map(place).collect::<Result<Vec<_>>>()?)?)
}

/// A file or directory of that system; `None` if it does not exist.
///
/// # Errors
/// It cannot be examined, or it is not a directory, but that of the machine is one.
fn find_place(system: &Root, place: &Path) -> Result<Option<OpenPath>> {
    if OS_RELEASE.iter().any(|name| place == Path::new(name)) {
        // Most actions can do without os-release, so anything but a file counts as missing.
        return Ok(system.find(place).ok().flatten().filter(OpenPath::is_file));
    }
    let found = system.find(place)?;
    if found.as_ref().is_some_and(|found| !found.is_dir() && place.is_dir()) {
        let not_a_directory: std::io::Error = std::io::ErrorKind::NotADirectory.into();
        return Err(dkms_sys::IoError::new("use", system.below(place), not_a_directory).into());
    }
    Ok(found)
}

/// Changes the root directory to that system. The paths `mounted` of the machine are mounted below [`HOST`].
fn change_root(system: Root, mounted: &[PathBuf]) -> Result<()> {
    for name in ["/dev", "/proc", "/sys"] {
        if let Some(there) = system.find(Path::new(name))? {
            root::mount_over(&OpenPath::open(Path::new(name))?, &there)?;
        }
    }
    if !mounted.is_empty() {
        let run = system.create_dir(Path::new("/run"))?;
        root::show_below(&run, Path::new("host"), mounted)?;
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

/// Whether the programs in this directory of the system do not run on this machine, but those in the same
/// directory of the machine do.
fn needs_programs_of_machine(system: &Root, dir: &Path) -> Result<bool> {
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

fn cannot_enter(path: &Path, error: dkms_sys::IoError) -> Error {
    Error::Request(RequestError::CannotEnter { root: path.to_owned(), cause: error.into() })
}
