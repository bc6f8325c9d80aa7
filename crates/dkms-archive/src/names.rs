//! Decides which entries of an archive are accepted. It checks names, links and types without any I/O.
//!
//! Why this is safe: the parents of every entry are real directories of the archive itself, and a link
//! contains `..` only at its beginning and never climbs above the top. So every link resolves to a path below
//! the top, even if it passes through other links.

use std::collections::BTreeMap;

/// The reason why an entry is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `/etc/passwd`.
    #[error("its name is absolute")]
    Absolute,
    /// `../x`.
    #[error("its name contains \"..\"")]
    ParentDir,
    /// An empty name, or a regular file named `.`.
    #[error("it has no name")]
    Empty,
    /// Newlines, escape sequences and other control characters.
    #[error("its name has control characters")]
    ControlCharacter,
    /// Bytes that are not valid text.
    #[error("its name is not UTF-8 text")]
    NotText,
    /// Longer than the path limit.
    #[error("its name is too long")]
    TooLong,
    /// The entry would be written through a link or below a file.
    #[error("{0:?} would have to be a directory, but the archive contains it as a link or file")]
    ThroughNonDirectory(String),
    /// The same name was used before for another type of entry.
    #[error("the archive contains its name twice, with different types")]
    Duplicate,
    /// A symbolic link to an absolute path or out of the archive.
    #[error("it is a link to {0:?}, outside of the archive")]
    LinkOutside(String),
    /// A hard link whose target is not an earlier file of the archive.
    #[error("it is a hard link to {0:?}, which is not a file earlier in the archive")]
    HardLink(String),
    /// Not a file, directory or link.
    #[error("it is a {0}; only files, directories and links may be in an archive")]
    Kind(&'static str),
    /// A set-user-ID or set-group-ID file.
    #[error("it would run with its owner's privileges (setuid or setgid)")]
    SetId,
}

/// The type of an entry, as far as the name checks need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Directory,
    File,
    /// With its target.
    Symlink(&'a [u8]),
    /// With the name of the file it links to.
    HardLink(&'a [u8]),
}

/// The type of an unpacked entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A file (hard links become separate files).
    File,
    /// A symbolic link, with its target. The target is always inside the unpacked directory.
    Symlink(String),
}

/// The entries accepted so far.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, EntryKind>,
    /// Length that the directory to unpack into adds to each path.
    room_taken: usize,
}

/// An accepted entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Its relative name, without `.` and without doubled or trailing slashes; empty for the top itself.
    pub(super) name: String,
    /// Its type.
    pub(super) kind: EntryKind,
    /// For a hard link, the name of the original file.
    pub(super) copy_of: Option<String>,
    /// Whether an earlier entry of the same type has this name.
    pub(super) again: bool,
}

impl Tree {
    pub(super) fn new(room_taken: usize) -> Self {
        Tree { nodes: BTreeMap::new(), room_taken }
    }

    /// Checks one entry and records it.
    pub(super) fn admit(&mut self, name: &[u8], kind: Kind<'_>) -> Result<Admitted, Refusal> {
        let name = self.normalise(name)?;
        if name.is_empty() {
            return match kind {
                Kind::Directory => {
                    Ok(Admitted { name, kind: EntryKind::Directory, copy_of: None, again: true })
                }
                _ => Err(Refusal::Empty),
            };
        }
        self.check_parents(&name)?;
        let (kind, copy_of) = match kind {
            Kind::Directory => (EntryKind::Directory, None),
            Kind::File => (EntryKind::File, None),
            Kind::Symlink(target) => (EntryKind::Symlink(check_link(&name, target)?), None),
            Kind::HardLink(target) => {
                let shown = || String::from_utf8_lossy(target).into_owned();
                let target = self.normalise(target).map_err(|_| Refusal::HardLink(shown()))?;
                if target == name || self.nodes.get(&target) != Some(&EntryKind::File) {
                    return Err(Refusal::HardLink(shown()));
                }
                (EntryKind::File, Some(target))
            }
        };
        let again = match self.nodes.get(&name) {
            None => false,
            Some(before) if *before == kind => true,
            Some(_) => return Err(Refusal::Duplicate),
        };
        self.insert_parents(&name);
        self.nodes.insert(name.clone(), kind.clone());
        Ok(Admitted { name, kind, copy_of, again })
    }

    /// The number of known names, including directories that are only implied.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Checks a name and removes `.` and additional slashes.
    fn normalise(&self, name: &[u8]) -> Result<String, Refusal> {
        let name = std::str::from_utf8(name).map_err(|_| Refusal::NotText)?;
        if name.chars().any(char::is_control) {
            return Err(Refusal::ControlCharacter);
        }
        if name.starts_with('/') {
            return Err(Refusal::Absolute);
        }
        let mut parts = Vec::new();
        for part in name.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(Refusal::ParentDir),
                part if part.len() > NAME_MAX => return Err(Refusal::TooLong),
                part => parts.push(part),
            }
        }
        let normal = parts.join("/");
        if name.is_empty() {
            return Err(Refusal::Empty);
        }
        if parts.len() > DEPTH_MAX || normal.len() + self.room_taken >= PATH_MAX {
            return Err(Refusal::TooLong);
        }
        Ok(normal)
    }

    fn check_parents(&self, name: &str) -> Result<(), Refusal> {
        for parent in parents(name) {
            if !matches!(self.nodes.get(parent), None | Some(EntryKind::Directory)) {
                return Err(Refusal::ThroughNonDirectory(parent.to_owned()));
            }
        }
        Ok(())
    }

    fn insert_parents(&mut self, name: &str) {
        for parent in parents(name) {
            if !self.nodes.contains_key(parent) {
                self.nodes.insert(parent.to_owned(), EntryKind::Directory);
            }
        }
    }
}

/// The maximum length of a path in bytes, which is the kernel's limit.
const PATH_MAX: usize = 4096;
/// The maximum length of one name in a path in bytes.
const NAME_MAX: usize = 255;
/// The maximum number of names in a path. A deeper tree could not be removed.
const DEPTH_MAX: usize = 256;

/// The parents of a name, for example `a/b` and `a` for `a/b/c`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.rsplit_once('/').map(|(dir, _)| dir), |dir| {
        dir.rsplit_once('/').map(|(above, _)| above)
    })
}

/// Checks the target of a symbolic link: `..` is allowed only at its beginning, and must not lead above the
/// top of the archive.
fn check_link(name: &str, target: &[u8]) -> Result<String, Refusal> {
    let outside = || Refusal::LinkOutside(String::from_utf8_lossy(target).into_owned());
    let target = std::str::from_utf8(target).map_err(|_| Refusal::NotText)?;
    if target.chars().any(char::is_control) {
        return Err(Refusal::ControlCharacter);
    }
    if target.is_empty() || target.starts_with('/') {
        return Err(outside());
    }
    if target.len() >= PATH_MAX {
        return Err(Refusal::TooLong);
    }
    let parts = || target.split('/').filter(|p| !p.is_empty() && *p != ".");
    let climbs = parts().take_while(|p| *p == "..").count();
    let depth = name.matches('/').count();
    if climbs > depth || parts().skip(climbs).any(|p| p == "..") {
        return Err(outside());
    }
    Ok(target.to_owned())
}
