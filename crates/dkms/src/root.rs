//! `--root DIR`: the same actions on the system in DIR, such as an image that is being made.
//!
//! dkms goes into a mount namespace of its own, in which every path means what it means in that system. Does that
//! system have a compiler, make and depmod that run here, its directory becomes the root, and its own programs work.
//! Otherwise the machine's programs work, that system's trees lie over the machine's, and everything else is read-only. Either way dkms.conf, links and
//! records are what they would be if dkms had run inside.

use crate::cli::{Action, Arguments};
use crate::request;
use dkms_core::distro::{Distribution, Family};
use dkms_core::error::{Error, Result};
use dkms_core::tree::layout::Layout;
use dkms_sys::root::{self, Held, Root};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Directories and files that belong to the system and not to the machine, besides the three trees.
const ITS_OWN: [&str; 12] = [
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

/// Where files of the machine appear in the other root, as in containers of systemd.
const HOST: &str = "/run/host";

/// The other root, after dkms went there.
#[derive(Debug)]
pub struct Entered {
    /// Its path on the machine.
    pub path: PathBuf,
    /// It was root of the machine who went there.
    pub by_root: bool,
    /// Where the machine's directory of credentials is now.
    pub credentials: Option<PathBuf>,
    /// The action is one that may change something.
    changes: bool,
    /// The system and what is shown of it already; none when its own programs work.
    shown: Option<(Root, Vec<PathBuf>)>,
}

/// Goes there, if the command line says so; paths on it are then as they are to be opened.
///
/// They are the machine's, unless they lie below DIR or in one of that system's trees.
///
/// # Errors
/// DIR is no directory, or there are no private mounts here.
pub fn enter(arguments: &mut Arguments) -> Result<Option<Entered>> {
    let Some(dir) = arguments.root.clone() else { return Ok(None) };
    let path = dir.canonicalize().ok().filter(|p| p.is_dir());
    let path =
        path.ok_or_else(|| Error::Usage(format!("--root {}: there is no such directory", dir.display())))?;
    if path == Path::new("/") {
        return Ok(None);
    }
    if arguments.action() == Some(Action::Mok) {
        return Err(Error::Conflict(
            "mok is about a machine's firmware and kernel; --root is about its files".into(),
        ));
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
    request::named_trees(arguments, &mut layout);
    let by_root = dkms_sys::sys::effective_uid() == 0;
    let changes = !arguments.only_looks() && !arguments.dry_run;
    let mut credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|d| d.is_dir());

    root::leave_machine().map_err(|e| cannot_enter(&path, &e))?;
    let system = Root::open(&path)?;
    let shown = if arguments.runs_programs() && has_tools(&system)? {
        with_its_programs(system, arguments, &layout, &mut credentials)?;
        None
    } else {
        // The machine's files can be reached from there by links.
        root::protect_machine(&writable(&path, arguments))?;
        let system = Root::open(&path)?;
        let places = with_host_programs(&system, &layout, changes)?;
        Some((system, places))
    };
    Ok(Some(Entered { path, by_root, credentials, changes, shown }))
}

/// What may be changed of the machine's files: the system itself, an archive that was asked for, and temporary ones.
fn writable(path: &Path, arguments: &Arguments) -> Vec<PathBuf> {
    let archive = arguments.archive.as_deref().and_then(Path::parent).map(Path::to_owned);
    let temporary = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    std::iter::once(path.to_owned()).chain(archive).chain(temporary).collect()
}

/// Makes that system our root, and shows in it what the command line names of the machine's files.
fn with_its_programs(
    system: Root,
    arguments: &mut Arguments,
    layout: &Layout,
    credentials: &mut Option<PathBuf>,
) -> Result<()> {
    let own: Vec<&Path> = ITS_OWN.map(Path::new).into_iter().chain(trees(layout)).collect();
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
    go_inside(system, &moved)
}

/// Lays what belongs to that system over the machine's; returns where.
fn with_host_programs(system: &Root, layout: &Layout, changes: bool) -> Result<Vec<PathBuf>> {
    if changes {
        make(system, layout)?;
        if is_ubuntu(system)? {
            // Its signing key lies there.
            system.create_dir(Path::new("/var/lib/shim-signed"))?;
        }
    }
    let own = ITS_OWN.map(Path::new).into_iter().chain(trees(layout));
    let mut places: Vec<PathBuf> = own.map(Path::to_owned).collect();
    // Only System.map is wanted from there, and depmod can do without.
    places.retain(|place| place != Path::new("/boot") || place.exists());
    // Debian keeps the programs that build modules apart from the headers.
    if let Some(lib) = system.find(Path::new("/usr/lib"))? {
        let names = lib.names()?;
        let kbuild = names.iter().filter(|n| n.to_string_lossy().starts_with("linux-kbuild-"));
        places.extend(kbuild.map(|n| Path::new("/usr/lib").join(n)));
    }
    show(system, &places)?;
    Ok(places)
}

fn trees(layout: &Layout) -> [&Path; 3] {
    [&layout.dkms_tree, &layout.source_tree, &layout.install_tree]
}

impl Entered {
    /// Shows the trees that framework.conf of that system names.
    ///
    /// # Errors
    /// They cannot be mounted.
    pub fn follow(&self, layout: &Layout) -> Result<()> {
        let Some((system, shown)) = &self.shown else { return Ok(()) };
        let mut more: Vec<PathBuf> = trees(layout).map(Path::to_owned).into();
        more.retain(|tree| !shown.iter().any(|s| tree.starts_with(s)));
        if self.changes {
            make(system, layout)?;
        }
        show(system, &more)
    }
}

/// Makes the trees that dkms writes to, where they are not there; they would otherwise come to be on the machine.
fn make(system: &Root, layout: &Layout) -> Result<()> {
    let written = [&layout.dkms_tree, &layout.source_tree];
    written.into_iter().try_for_each(|tree| Ok(system.create_dir(tree).map(|_| ())?))
}

fn is_ubuntu(system: &Root) -> Result<bool> {
    let mut text = String::new();
    for path in ["/usr/lib/os-release", "/etc/os-release"] {
        if let Some(mut file) = system.read(Path::new(path))? {
            text.clear();
            (&mut file)
                .take(1 << 20)
                .read_to_string(&mut text)
                .map_err(|e| dkms_sys::IoError::new("read", system.below(Path::new(path)), e))?;
        }
    }
    Ok(Distribution::from_os_release(&text).family() == Family::Ubuntu)
}

fn show(system: &Root, places: &[PathBuf]) -> Result<()> {
    let found = places.iter().map(|p| Ok((p.clone(), system.find(p)?))).collect::<Result<Vec<_>>>()?;
    Ok(root::show(&found)?)
}

/// Its directory becomes ours; `moved` of the machine are seen in it.
fn go_inside(system: Root, moved: &[PathBuf]) -> Result<()> {
    for name in ["/dev", "/proc", "/sys"] {
        if let Some(there) = system.find(Path::new(name))? {
            root::mount_over(&Held::of(Path::new(name))?, &there)?;
        }
    }
    if !moved.is_empty() {
        let run = system.create_dir(Path::new("/run"))?;
        root::show_below(&run, Path::new("host"), moved)?;
    }
    Ok(system.become_root()?)
}

/// Whether a shell, make, a compiler and depmod are there, and run on this machine.
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

/// Word size, byte order and machine of an ELF file (elf(5): `e_ident`, `e_machine`).
fn kind_of_program(mut file: std::fs::File) -> Option<([u8; 2], [u8; 2])> {
    let mut head = [0; 20];
    file.read_exact(&mut head).ok()?;
    let [0x7f, b'E', b'L', b'F', class, order, .., a, b] = head else { return None };
    Some(([class, order], [a, b]))
}

fn cannot_enter(path: &Path, e: &dkms_sys::IoError) -> Error {
    Error::CannotEnter { root: path.to_owned(), reason: e.to_string() }
}
