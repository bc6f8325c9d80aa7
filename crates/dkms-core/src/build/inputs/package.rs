//! Header files that belong to a package: what the package manager knows of them, and what differs.

use super::dpkg::Dpkg;
use super::sums::{self, Record};
use super::tree::Tree;
use super::{contents, rpm};
use crate::digest::{self, Hasher};
use crate::host::Host;
use dkms_sys::IoError;
use dkms_sys::fs::{self, Scanned, ScannedKind};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A package, and those of its trees that are part of the headers.
pub(super) struct Package<'a> {
    /// `NAME=VERSION`
    pub(super) label: String,
    record: Record,
    pub(super) trees: Vec<&'a Tree>,
}

/// The package that has a tree.
pub(super) fn owner<'a>(host: &Host, dpkg: Option<&Dpkg>, path: &Path) -> Option<Package<'a>> {
    let of_dpkg = dpkg.and_then(|dpkg| dpkg.owner_of_headers(path)).filter(|o| !o.md5sums.is_empty());
    let (label, record) = match of_dpkg {
        Some(owner) => {
            let digest = digest::bytes(&owner.md5sums);
            let (made, unpacked) = (owner.made, owner.unpacked);
            let record = Record { digest, sums: owner.md5sums, made, unpacked };
            (format!("{}={}", owner.name, owner.version), record)
        }
        None => rpm::owner(host, path)?,
    };
    Some(Package { label, record, trees: Vec::new() })
}

impl Package<'_> {
    /// `pkg:NAME=VERSION:DIGEST`, a digest of the targets of links, of which package managers have no digest,
    /// and if files differ from the package's, a digest of the differences.
    pub(super) fn value(&self) -> Result<String, IoError> {
        let known = sums::digests(&self.record.sums);
        let (links, files): (Vec<&Scanned>, Vec<&Scanned>) = self
            .trees
            .iter()
            .flat_map(|tree| &tree.entries)
            .filter(|entry| entry.kind != ScannedKind::Directory)
            .partition(|entry| entry.kind == ScannedKind::Link);
        let mut differences = self.changed(&files, &known)?;
        let added = differences.iter().filter(|(_, what)| what.starts_with(ADDED)).count();
        differences.extend(self.missing(&files, added, &known));
        let mut value = format!("pkg:{}:{}", self.label, self.record.digest);
        if !links.is_empty() {
            let targets = links.iter().map(|link| {
                let target = fs::read_link(&link.path)?;
                Ok((link.path.as_os_str(), target.into_os_string()))
            });
            let targets = targets.collect::<Result<Vec<_>, IoError>>()?;
            value += &format!("+links:{}", digest_of(targets.iter().map(|(n, t)| (*n, t.as_os_str()))));
        }
        if !differences.is_empty() {
            differences.sort_unstable();
            let pairs = differences.iter().map(|(name, what)| (OsStr::from_bytes(name), OsStr::new(what)));
            value += &format!("+local:{}", digest_of(pairs));
        }
        Ok(value)
    }

    /// Files that are not as in the package, with what they are instead.
    fn changed<'e>(
        &self,
        files: &[&'e Scanned],
        known: &HashMap<&[u8], &str>,
    ) -> Result<Vec<(&'e [u8], String)>, IoError> {
        let suspect = |entry: &&&Scanned| {
            entry.stat.mtime > self.record.made
                || entry.stat.ctime > self.record.unpacked
                || entry.kind == ScannedKind::Special
        };
        let suspects: Vec<&Scanned> = files.iter().filter(suspect).copied().collect();
        let found = contents::of_each(&suspects, |content| {
            let expected = sums::names_of(content.path()).find_map(|name| known.get(name));
            let Some(expected) = expected else { return Ok(Some(format!("{ADDED}{}", content.sha256()?))) };
            let actual = if expected.len() == 32 { content.md5()? } else { content.sha256()? };
            (actual != **expected).then(|| content.sha256()).transpose()
        })?;
        let changed = suspects.iter().zip(found);
        Ok(changed.filter_map(|(entry, what)| Some((entry.path.as_os_str().as_bytes(), what?))).collect())
    }

    /// Files of the package that are not there. `added` of the files do not belong to it.
    fn missing<'s>(
        &self,
        files: &[&Scanned],
        added: usize,
        known: &HashMap<&'s [u8], &str>,
    ) -> Vec<(&'s [u8], String)> {
        let roots: Vec<&[u8]> = self.trees.iter().flat_map(|tree| sums::names_of(&tree.path)).collect();
        let below = |name: &[u8]| {
            let rest = |root: &&[u8]| name.strip_prefix(*root);
            roots.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let expected: Vec<&'s [u8]> = known.keys().copied().filter(|name| below(name)).collect();
        if expected.len() + added == files.len() {
            return Vec::new();
        }
        let here: HashSet<&[u8]> = files.iter().flat_map(|entry| sums::names_of(&entry.path)).collect();
        let missing = expected.into_iter().filter(|name| !here.contains(name));
        missing.map(|name| (name, "missing".to_owned())).collect()
    }
}

/// How the content of a file is described that the package does not have.
const ADDED: &str = "added ";

fn digest_of<'a>(pairs: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) -> String {
    let mut hash = Hasher::new();
    for (name, what) in pairs {
        for text in [name, what] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.finish()
}
