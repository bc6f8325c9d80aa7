//! Checks whether a path stays beneath its tree.
//!
//! The owner of a tree, for example the author of an image, may have created records and links in it.
//! Following them must not lead to files outside. The kernel decides most cases with one call (`openat2(2)`,
//! `RESOLVE_BENEATH`, Linux 5.6). But it refuses absolute links even if they lead back inside, and older
//! kernels do not have the call, so a refused path is checked component by component.

use crate::{IoError, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The maximum number of links in one path, as in the kernel. More are treated as a loop.
const MAX_LINKS: usize = 40;

/// The point where a path leaves its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escape {
    /// The tree.
    pub tree: PathBuf,
    /// The link that leads out, or the path itself.
    pub at: PathBuf,
    /// The target of that link; `None` if the path itself is not beneath the tree.
    pub target: Option<PathBuf>,
}

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tree, at) = (self.tree.display(), self.at.display());
        match &self.target {
            Some(target) => {
                write!(f, "{at} is a symbolic link to {}, which is outside {tree}", target.display())
            }
            None => write!(f, "{at} is not beneath {tree}"),
        }
    }
}

impl std::error::Error for Escape {}

/// How the last component of a path is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// As a name: it is created, renamed or removed, so a link is not followed.
    Name,
    /// It is opened, so a link is followed.
    Followed,
}

/// Checks that a path stays beneath a tree, by its text and by every symbolic link in it. The path of the
/// tree itself may contain links. A path that does not exist stays beneath. Returns `None` if it stays
/// beneath.
///
/// # Errors
/// A directory or link cannot be examined, or there are too many links.
pub fn find_escape(tree: impl AsRef<Path>, path: impl AsRef<Path>, last: Last) -> Result<Option<Escape>> {
    let (tree, path) = (tree.as_ref(), path.as_ref());
    let outside = || Some(Escape { tree: tree.to_owned(), at: path.to_owned(), target: None });
    let Some(inside) = below(tree, path).filter(|inside| is_plain(inside)) else { return Ok(outside()) };
    if inside.as_os_str().is_empty() {
        return Ok(if last == Last::Name { outside() } else { None });
    }
    let Ok(real) = std::fs::canonicalize(tree) else { return Ok(None) };
    let top = rustix::fs::open(&real, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| IoError::new("open", &real, e))?;
    if kernel_stays_beneath(&top, &inside, last) {
        return Ok(None);
    }
    Walk { tree, real, stack: vec![(top, tree.to_owned())], above: None, link: None, links: 0 }
        .run(&inside, last)
}

/// The part of a path after its tree, which may be written in another form in the path.
fn below(tree: &Path, path: &Path) -> Option<PathBuf> {
    if let Ok(rest) = path.strip_prefix(tree) {
        return Some(rest.to_owned());
    }
    if path.components().any(|c| c == Component::ParentDir) {
        return None;
    }
    let identity = |p: &Path| p.metadata().ok().map(|m| (m.dev(), m.ino()));
    let tree_identity = identity(tree)?;
    let same = path.ancestors().find(|ancestor| identity(ancestor) == Some(tree_identity))?;
    path.strip_prefix(same).ok().map(Path::to_owned)
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|c| matches!(c, Component::Normal(_)))
}

fn kernel_stays_beneath(top: &OwnedFd, inside: &Path, last: Last) -> bool {
    let followed = match last {
        Last::Followed => Some(inside),
        Last::Name => inside.parent().filter(|parent| !parent.as_os_str().is_empty()),
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    followed.is_none_or(|path| openat2(top, path, flags, Mode::empty(), resolve).is_ok())
}

/// A walk down from the tree. Every directory of the path is kept open.
struct Walk<'a> {
    tree: &'a Path,
    real: PathBuf,
    /// The directories from the tree to the current position, with their paths.
    stack: Vec<(OwnedFd, PathBuf)>,
    /// The position outside the tree to which a link has led, as long as it may still lead back.
    above: Option<PathBuf>,
    /// The link that was followed last, and its target.
    link: Option<(PathBuf, PathBuf)>,
    links: usize,
}

impl Walk<'_> {
    fn run(mut self, inside: &Path, last: Last) -> Result<Option<Escape>> {
        let mut pending: Vec<OsString> = Vec::new();
        push(&mut pending, inside);
        while let Some(name) = pending.pop() {
            if self.goes_above(&name) {
                continue;
            }
            if pending.is_empty() && last == Last::Name {
                break;
            }
            let Some((directory, path)) = self.stack.last() else { break };
            let path = path.join(&name);
            let failed = |e: Errno| IoError::new("examine", &path, e);
            let kind = match statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT | Errno::NOTDIR) => break,
                Err(e) => return Err(failed(e)),
            };
            match kind {
                FileType::Symlink => {
                    self.links += 1;
                    if self.links > MAX_LINKS {
                        return Err(failed(Errno::LOOP));
                    }
                    let target = readlinkat(directory, &name, Vec::new()).map_err(failed)?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    self.link = Some((path, target.clone()));
                    if !self.follow(&target, &mut pending) {
                        return Ok(Some(self.escape()));
                    }
                }
                FileType::Directory => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let next = openat(directory, &name, flags, Mode::empty()).map_err(failed)?;
                    self.stack.push((next, path));
                }
                // Nothing is below a file.
                _ => break,
            }
        }
        // `..` after a name that does not exist yet may lead anywhere once it exists.
        let leaves = self.above.is_some() || pending.iter().any(|name| name == "..");
        Ok(leaves.then(|| self.escape()))
    }

    /// Handles `..`, and names after a `..` that led above the tree, because they may lead back into it, as
    /// in `../K/extra`.
    fn goes_above(&mut self, name: &OsStr) -> bool {
        match &mut self.above {
            Some(above) if name == ".." => {
                above.pop();
            }
            Some(above) => {
                // The real path contains no links, so its names can be compared.
                above.push(name);
                if *above == self.real {
                    self.above = None;
                }
            }
            None if name == ".." && self.stack.len() == 1 => {
                self.above = Some(self.real.parent().unwrap_or(&self.real).to_owned());
            }
            None if name == ".." => {
                self.stack.pop();
            }
            None => return false,
        }
        true
    }

    /// Continues with the target of a link. Returns `false` if it leads elsewhere.
    fn follow(&mut self, target: &Path, pending: &mut Vec<OsString>) -> bool {
        if !target.is_absolute() {
            push(pending, target);
            return true;
        }
        let inside = target.strip_prefix(self.tree).or_else(|_| target.strip_prefix(&self.real));
        let Some(inside) = inside.map(Path::to_owned).ok().or_else(|| below(self.tree, target)) else {
            return false;
        };
        self.stack.truncate(1);
        self.above = None;
        push(pending, &inside);
        true
    }

    fn escape(&self) -> Escape {
        let (at, target) = match &self.link {
            Some((at, target)) => (at.clone(), Some(target.clone())),
            None => (self.tree.to_owned(), None),
        };
        Escape { tree: self.tree.to_owned(), at, target }
    }
}

/// Pushes the components of a path onto the stack, the first one on top.
fn push(pending: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    let names: Vec<OsString> = names.map(OsStr::to_owned).collect();
    pending.extend(names.into_iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Fixture(crate::fs::TempDir);

    impl Fixture {
        fn new() -> Self {
            let t = crate::fs::TempDir::new_in(std::env::temp_dir(), "beneath").unwrap();
            for dir in ["tree/a/b", "tree/c", "out", "other"] {
                std::fs::create_dir_all(t.path().join(dir)).unwrap();
            }
            symlink("tree", t.path().join("alias")).unwrap();
            Self(t)
        }
        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }
        fn link(&self, target: impl AsRef<Path>, path: &str) {
            symlink(target, self.at(path)).unwrap();
        }
        /// Checks that both methods give the same answer.
        fn stays(&self, tree: &str, path: &str, last: Last) -> bool {
            let (tree, path) = (self.at(tree), self.at(path));
            let found = find_escape(&tree, &path, last).unwrap();
            if let Some(inside) = below(&tree, &path).filter(|p| is_plain(p) && !p.as_os_str().is_empty()) {
                let real = tree.canonicalize().unwrap();
                let top = rustix::fs::open(&real, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
                let walk = Walk {
                    tree: &tree,
                    real,
                    stack: vec![(top, tree.clone())],
                    above: None,
                    link: None,
                    links: 0,
                };
                assert_eq!(walk.run(&inside, last).unwrap(), found, "{path:?} beneath {tree:?}");
            }
            found.is_none()
        }
    }

    #[test]
    fn by_its_text() {
        let f = Fixture::new();
        for inside in ["tree/a", "tree/a/b/new", "tree/none/at/all", "tree/./a//b"] {
            assert!(f.stays("tree", inside, Last::Name), "{inside}");
        }
        for outside in ["out", "tree/../out/x", "tree/a/../../out", "treetop/x", "tree/a/../c", "tree"] {
            assert!(!f.stays("tree", outside, Last::Name), "{outside}");
        }
        assert!(f.stays("tree", "tree", Last::Followed));
    }

    #[test]
    fn the_tree_itself_may_be_reached_by_links() {
        let f = Fixture::new();
        for (tree, path) in [("alias", "alias/a/x"), ("alias", "tree/a/x"), ("tree", "alias/a/x")] {
            assert!(f.stays(tree, path, Last::Name), "{path} beneath {tree}");
        }
        assert!(!f.stays("tree", "alias/../out/x", Last::Name));
    }

    #[test]
    fn by_links_on_the_way() {
        let f = Fixture::new();
        for (n, stays, target) in [
            (1, true, "a".into()),
            (2, true, "a/../c".into()),
            (3, false, "../out".into()),
            (4, false, "a/b/../../../out".into()),
            (5, true, f.at("tree/a/b")),
            (6, true, f.at("alias/a/b")),
            (7, false, f.at("out")),
            (8, false, f.at("tree/../out")),
            (9, false, "none/../../out".into()),
            (10, true, "not/there".into()),
            (11, false, "/proc/self/cwd".into()),
            (12, true, "../tree/a".into()),
            (13, true, f.at("tree/../tree/a")),
            (14, true, "../tree".into()),
            (15, false, "../other/../tree/a/../../out".into()),
        ] {
            let name = format!("tree/l{n}");
            f.link(&target, &name);
            assert_eq!(f.stays("tree", &format!("{name}/x"), Last::Name), stays, "{target:?}");
            assert_eq!(f.stays("tree", &name, Last::Followed), stays, "{target:?} itself");
            // The name itself can be removed and replaced.
            assert!(f.stays("tree", &name, Last::Name), "{target:?} as a name");
        }
        let escape = find_escape(f.at("tree"), f.at("tree/l3/x"), Last::Name).unwrap().unwrap();
        let expected =
            format!("{} is a symbolic link to ../out, which is outside", f.at("tree/l3").display());
        assert!(escape.to_string().starts_with(&expected), "{escape}");
    }

    #[test]
    fn links_behind_links_and_loops() {
        let f = Fixture::new();
        f.link("c", "tree/one");
        f.link("../one", "tree/a/two");
        f.link("../../out", "tree/c/three");
        assert!(f.stays("tree", "tree/a/two/x", Last::Name));
        assert!(!f.stays("tree", "tree/a/two/three/x", Last::Name));
        f.link("loop", "tree/loop");
        assert!(find_escape(f.at("tree"), f.at("tree/loop/x"), Last::Name).is_err());
    }

    #[test]
    fn names_are_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let f = Fixture::new();
        let odd = f.at("tree").join(OsStr::from_bytes(b"b\xff"));
        symlink("../out", &odd).unwrap();
        let escape = find_escape(f.at("tree"), odd.join("x"), Last::Name).unwrap().unwrap();
        assert_eq!(escape.at, odd);
        assert!(find_escape(f.at("tree"), &odd, Last::Name).unwrap().is_none());
    }
}
