//! The file system as a confined program sees it: a list of mounts, planned before the fork and executed in
//! the child.
//!
//! Everything is mounted read-only. Home directories are covered by empty directories, `/tmp`, `/var/tmp` and
//! `/dev/shm` by private ones of limited size, keys by the null device. The places that the program needs
//! (its build directory, its sources) are mounted back, even if they are below a covered directory or one
//! that its user cannot enter. All covers are directories of one tmpfs. It is detached before the program
//! starts, so it disappears with the program.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::operation::Op;
use super::parts::Part;

/// A directory or file that the program sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its real path.
    pub source: PathBuf,
    /// The path that the program sees: an existing path, or one below a covered directory.
    pub target: PathBuf,
    /// What the program may do there.
    pub access: Access,
}

/// What a program may do in a [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, with its user's permissions.
    Read,
    /// Write, with its user's permissions.
    Write,
    /// Write to a temporary layer over it. The program's user owns the directory itself; the files in it keep
    /// their owners.
    Layer,
    /// Read and write a temporary copy in memory, which belongs to the program's user regardless of file
    /// modes. Sockets, FIFOs and devices are left out.
    Copy,
}

impl Place {
    /// A place that is seen at its real path.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        let target = path.into();
        Place { source: target.clone(), target, access }
    }
}

/// The requirements of a view.
pub(super) struct Requirements<'a> {
    /// An existing private directory, in which a mount point for the tmpfs is created.
    pub(super) scratch: &'a Path,
    /// Directories that must be empty.
    pub(super) empty: &'a [PathBuf],
    /// Files that must be empty.
    pub(super) hidden: &'a [PathBuf],
    pub(super) places: &'a [Place],
    /// The size in bytes of all files that the program writes outside places.
    pub(super) size: u64,
    /// The program's user, if it differs from ours.
    pub(super) user: Option<(u32, u32)>,
    /// Whether a new user namespace is used.
    pub(super) own_user_namespace: bool,
    /// Whether it gets a `/proc` of its own process namespace.
    pub(super) own_proc: bool,
}

/// A list of mounts.
#[derive(Debug)]
pub(super) struct View {
    ops: Vec<Op>,
    /// Directories other than places to which the program may write.
    pub(super) writable: Vec<PathBuf>,
    /// The program's private empty directory, for `HOME` and as working directory.
    pub(super) home: Option<PathBuf>,
}

/// The name of the private directory below `/tmp`.
const HOME: &str = "dkms";
/// Directories that programs expect to be writable; they get private ones.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// The devices in the private `/dev`.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// A directory that is covered by a directory of the tmpfs.
struct Cover {
    path: PathBuf,
    /// Its path in the tmpfs.
    staged: PathBuf,
}

struct Planner<'a> {
    requirements: &'a Requirements<'a>,
    stage: PathBuf,
    ops: Vec<Op>,
    covers: Vec<Cover>,
    made: BTreeSet<PathBuf>,
}

impl View {
    /// Plans the view. Paths that do not exist are left out.
    ///
    /// # Errors
    /// A path contains a NUL byte, or the mount point for the tmpfs cannot be created.
    pub(super) fn plan(requirements: &Requirements<'_>) -> std::io::Result<View> {
        let stage = requirements.scratch.join(".view");
        match std::fs::create_dir(&stage) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let mut planner =
            Planner { requirements, stage, ops: Vec::new(), covers: Vec::new(), made: BTreeSet::new() };
        planner.plan()
    }

    /// Executes the plan, in a child with its own mount namespace. Returns missing parts that the rest does
    /// not need.
    ///
    /// # Errors
    /// The part that was denied, and the system's error.
    pub(super) fn mount(&self) -> Result<u32, (Part, std::io::Error)> {
        let mut missing = 0;
        for op in &self.ops {
            match op.perform() {
                Ok(()) => {}
                Err(_) if matches!(op, Op::ReadOnly | Op::Writable { .. }) => {
                    missing |= Part::ReadOnly as u32;
                }
                Err(e) => {
                    let part = match op {
                        Op::Proc => Part::Processes,
                        Op::Overlay { .. } => Part::Layer,
                        _ => Part::Mounts,
                    };
                    return Err((part, e));
                }
            }
        }
        Ok(missing)
    }
}

impl Planner<'_> {
    /// The path for an operation; a path in the tmpfs is relative to it.
    fn name(&self, path: &Path) -> std::io::Result<CString> {
        c_string(path.strip_prefix(&self.stage).unwrap_or(path))
    }

    fn plan(&mut self) -> std::io::Result<View> {
        for file in self.requirements.hidden {
            let (source, target) = (c_string(Path::new("/dev/null"))?, c_string(file)?);
            self.ops.push(Op::Bind { source, target });
        }
        // Before the tmpfs and the binds, so that it does not affect them. However, a bind mount inherits the
        // flag of its source.
        self.ops.push(Op::ReadOnly);
        let data = format!(
            "mode=0755,size={},nr_inodes={}",
            self.requirements.size,
            self.requirements.size / 2048 + 1024
        );
        let stage = c_string(&self.stage)?;
        self.ops.push(Op::Tmpfs { target: stage.clone(), data: CString::new(data)? });
        self.ops.push(Op::Enter { path: stage });
        let temporary = self.plan_covers()?;
        let home = self.plan_home(&temporary)?;
        let places = self.needed_places();
        for (number, place) in places.iter().enumerate() {
            self.stage_place(number, place)?;
        }
        self.plan_dev()?;
        let covers: Vec<(PathBuf, PathBuf)> =
            self.covers.iter().map(|c| (c.staged.clone(), c.path.clone())).collect();
        for (staged, path) in covers {
            self.bind(&staged, &path)?;
        }
        for (number, place) in places.iter().enumerate() {
            self.bind(&self.place(number), &place.target)?;
        }
        if self.requirements.own_proc && Path::new("/proc").is_dir() {
            self.ops.push(Op::Proc);
        }
        self.ops.push(Op::Detach);
        Ok(View { ops: std::mem::take(&mut self.ops), writable: temporary, home })
    }

    /// Covers the directories that must be empty or private, outermost first. Returns the private ones.
    fn plan_covers(&mut self) -> std::io::Result<Vec<PathBuf>> {
        let mut covered: Vec<(PathBuf, libc::mode_t)> = Vec::new();
        let real = |p: &Path| p.canonicalize().ok().filter(|p| p.is_dir() && p != Path::new("/"));
        covered.extend(TEMPORARY.iter().filter_map(|p| Some((real(Path::new(p))?, 0o1777))));
        covered.extend(self.requirements.empty.iter().filter_map(|p| Some((real(p)?, 0o755))));
        covered.extend(self.closed_directories().into_iter().map(|p| (p, 0o755)));
        covered.sort();
        covered.dedup_by(|later, first| later.0 == first.0);
        let mut temporary = Vec::new();
        for (path, mode) in covered {
            if mode == 0o1777 {
                temporary.push(path.clone());
            }
            // Nothing below another cover needs a cover, but the private directories must exist.
            if self.covers.iter().any(|c| path.starts_with(&c.path)) {
                if mode == 0o1777 {
                    let inside = self.inside_covers(&path).unwrap_or_default();
                    self.directories(&inside)?;
                    self.ops.push(Op::Directory { path: self.name(&inside)?, mode });
                }
                continue;
            }
            let staged = self.stage.join(format!("c{}", self.covers.len()));
            self.ops.push(Op::Directory { path: self.name(&staged)?, mode });
            self.covers.push(Cover { path, staged });
        }
        Ok(temporary)
    }

    /// For each place, its outermost parent that the program's user, if it differs from ours, may not enter.
    fn closed_directories(&self) -> Vec<PathBuf> {
        let Some((uid, _)) = self.requirements.user else { return Vec::new() };
        let closed =
            |dir: &Path| dir.metadata().is_ok_and(|m| m.is_dir() && m.mode() & 0o001 == 0 && m.uid() != uid);
        let above = |place: &Place| {
            let mut outermost_first: Vec<&Path> = place.target.ancestors().skip(1).collect();
            outermost_first.reverse();
            outermost_first.into_iter().find(|dir| closed(dir)).map(Path::to_owned)
        };
        self.requirements.places.iter().filter_map(above).filter(|p| p != Path::new("/")).collect()
    }

    /// The path in the tmpfs of a path that is covered.
    fn inside_covers(&self, path: &Path) -> Option<PathBuf> {
        self.covers.iter().find_map(|c| path.strip_prefix(&c.path).ok().map(|rest| c.staged.join(rest)))
    }

    fn plan_home(&mut self, temporary: &[PathBuf]) -> std::io::Result<Option<PathBuf>> {
        let Some(home) = temporary.first().map(|tmp| tmp.join(HOME)) else { return Ok(None) };
        let Some(inside) = self.inside_covers(&home) else { return Ok(None) };
        self.ops.push(Op::Directory { path: self.name(&inside)?, mode: 0o700 });
        if let Some(user) = self.requirements.user {
            self.ops.push(Op::Owner { path: self.name(&inside)?, user });
        }
        Ok(Some(home))
    }

    /// The places that must be mounted, outermost first: writable ones, and those that are covered.
    fn needed_places(&self) -> Vec<Place> {
        let needed = |place: &&Place| {
            place.source.exists()
                && (place.access != Access::Read
                    || place.source != place.target
                    || self.inside_covers(&place.target).is_some())
        };
        let mut places: Vec<Place> = self.requirements.places.iter().filter(needed).cloned().collect();
        places.sort_by(|a, b| a.target.cmp(&b.target));
        places
    }

    fn place(&self, number: usize) -> PathBuf {
        self.stage.join(format!("p{number}"))
    }

    /// Mounts a place in the tmpfs, where nothing can cover it, and creates the directories for its target.
    fn stage_place(&mut self, number: usize, place: &Place) -> std::io::Result<()> {
        let staged = self.place(number);
        self.mount_point(&place.source, &staged)?;
        match place.access {
            Access::Layer => self.layer(number, place, &staged)?,
            Access::Copy => self.copy(&place.source, &staged, true)?,
            Access::Read | Access::Write => self.bind(&place.source, &staged)?,
        }
        if place.access == Access::Write {
            self.ops.push(Op::Writable { path: self.name(&staged)? });
        }
        if let Some(inside) = self.inside_covers(&place.target) {
            self.directories(&inside)?;
            if self.made.insert(inside.clone()) {
                self.mount_point(&place.source, &inside)?;
            }
        }
        Ok(())
    }

    /// Creates an empty directory or file, of the same type as `like`.
    fn mount_point(&mut self, like: &Path, path: &Path) -> std::io::Result<()> {
        let path = self.name(path)?;
        self.ops.push(if like.is_dir() { Op::Directory { path, mode: 0o755 } } else { Op::File { path } });
        Ok(())
    }

    fn layer(&mut self, number: usize, place: &Place, staged: &Path) -> std::io::Result<()> {
        let (upper, work) = (self.stage.join(format!("u{number}")), self.stage.join(format!("w{number}")));
        self.ops.push(Op::Directory { path: self.name(&upper)?, mode: 0o755 });
        self.ops.push(Op::Directory { path: self.name(&work)?, mode: 0o755 });
        if let Some(user) = self.requirements.user {
            self.ops.push(Op::Owner { path: self.name(&upper)?, user });
        }
        let mut data = b"lowerdir=".to_vec();
        data.extend(escaped(&place.source));
        for (name, dir) in [(&b",upperdir="[..], &upper), (b",workdir=", &work)] {
            data.extend_from_slice(name);
            data.extend(escaped(dir.strip_prefix(&self.stage).unwrap_or(dir)));
        }
        if self.requirements.own_user_namespace {
            data.extend_from_slice(b",userxattr");
        }
        self.ops.push(Op::Overlay { target: self.name(staged)?, data: CString::new(data)? });
        Ok(())
    }

    /// Copies `source` to the tmpfs. The top directory already exists.
    fn copy(&mut self, source: &Path, path: &Path, top: bool) -> std::io::Result<()> {
        let meta = if top { source.metadata()? } else { source.symlink_metadata()? };
        let mode = meta.mode() & 0o777 | 0o600;
        let user = self.requirements.user;
        if meta.is_dir() {
            let to = self.name(path)?;
            self.ops.push(Op::Directory { path: to.clone(), mode: mode | 0o700 });
            if let Some(user) = user {
                self.ops.push(Op::Owner { path: to, user });
            }
            for entry in std::fs::read_dir(source)? {
                let entry = entry?;
                self.copy(&entry.path(), &path.join(entry.file_name()), false)?;
            }
        } else if meta.is_symlink() {
            let target = c_string(&std::fs::read_link(source)?)?;
            self.ops.push(Op::Symlink { target, path: self.name(path)? });
        } else if meta.is_file() {
            self.ops.push(Op::Copy { source: c_string(source)?, path: self.name(path)?, mode, user });
        }
        Ok(())
    }

    /// Creates the directories between a cover and `inside`, in the tmpfs.
    fn directories(&mut self, inside: &Path) -> std::io::Result<()> {
        let mut above: Vec<&Path> = inside
            .ancestors()
            .skip(1)
            .take_while(|p| p.starts_with(&self.stage) && *p != self.stage)
            .collect();
        // The outermost of them is the cover itself.
        above.pop();
        for dir in above.into_iter().rev() {
            if self.made.insert(dir.to_owned()) {
                self.ops.push(Op::Directory { path: self.name(dir)?, mode: 0o755 });
            }
        }
        Ok(())
    }

    /// A `/dev` with the devices that compilers use.
    fn plan_dev(&mut self) -> std::io::Result<()> {
        let dev = Path::new("/dev");
        if !dev.is_dir() || !dev.join("null").exists() {
            return Ok(());
        }
        let staged = self.stage.join("dev");
        self.ops.push(Op::Directory { path: self.name(&staged)?, mode: 0o755 });
        for name in DEVICES.iter().filter(|name| dev.join(name).exists()) {
            let path = staged.join(name);
            self.ops.push(Op::File { path: self.name(&path)? });
            self.bind(&dev.join(name), &path)?;
        }
        for (name, target) in [
            ("fd", c"/proc/self/fd"),
            ("stdin", c"/proc/self/fd/0"),
            ("stdout", c"/proc/self/fd/1"),
            ("stderr", c"/proc/self/fd/2"),
        ] {
            self.ops.push(Op::Symlink { target: target.to_owned(), path: self.name(&staged.join(name))? });
        }
        let shm = self.covers.iter().position(|c| c.path == Path::new("/dev/shm"));
        if let Some(shm) = shm.map(|at| self.covers.remove(at)) {
            self.ops.push(Op::Directory { path: self.name(&staged.join("shm"))?, mode: 0o1777 });
            self.bind(&shm.staged, &staged.join("shm"))?;
        }
        self.bind(&staged, dev)
    }

    fn bind(&mut self, source: &Path, target: &Path) -> std::io::Result<()> {
        self.ops.push(Op::Bind { source: self.name(source)?, target: self.name(target)? });
        Ok(())
    }
}

fn c_string(path: &Path) -> std::io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Escapes a path for the options of overlayfs: `,`, `:` and `\` get a backslash.
fn escaped(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_overlayfs_are_escaped() {
        assert_eq!(escaped(Path::new("/a,b:c\\d")), b"/a\\,b\\:c\\\\d");
    }
}
