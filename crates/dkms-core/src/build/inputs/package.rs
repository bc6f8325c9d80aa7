//! Describes headers that belong to a package: the record of the package manager, and the files that differ
//! from it.

use super::dpkg::Dpkg;
use super::sums::{self, Record};
use super::tree::{Tree, add_field};
use super::{contents, parallel, rpm};
use crate::digest::Hasher;
use crate::host::Host;
use dkms_sys::IoError;
use dkms_sys::fs::{self, Scanned, ScannedKind};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A package, and those of its trees that are part of the headers.
pub(super) struct Package<'a> {
    pub(super) record: Record,
    pub(super) trees: Vec<&'a Tree>,
}

/// Finds the package that contains a tree.
pub(super) fn owner<'a>(host: &Host, dpkg: Option<&Dpkg>, path: &Path) -> Option<Package<'a>> {
    let in_dpkg = dpkg.and_then(|dpkg| dpkg.owner_of_headers(path)).filter(|r| !r.sums.is_empty());
    let record = in_dpkg.or_else(|| rpm::owner(host, path))?;
    Some(Package { record, trees: Vec::new() })
}

impl Package<'_> {
    /// Returns `pkg:NAME=VERSION:DIGEST`, followed by a digest of the targets of links, because package
    /// managers do not record them, and by a digest of the differences, if files differ from the package.
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
        let mut value = format!("pkg:{}:{}", self.record.label, self.record.digest);
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

    /// Returns the files that differ from the package, each with a description of its current content.
    fn changed<'e>(
        &self,
        files: &[&'e Scanned],
        known: &HashMap<&[u8], &str>,
    ) -> Result<Vec<(&'e [u8], String)>, IoError> {
        let may_differ = |entry: &&&Scanned| {
            self.record.may_differ(entry.stat.mtime, entry.stat.ctime) || entry.kind == ScannedKind::Special
        };
        let examined: Vec<&Scanned> = files.iter().filter(may_differ).copied().collect();
        let differences = parallel::map(&examined, contents::FILES_PER_THREAD, |entry| {
            let expected = sums::names_of(&entry.path).find_map(|name| known.get(name));
            let Some(expected) = expected else {
                return Ok(Some(format!("{ADDED}{}", contents::sha256(entry)?)));
            };
            let actual = if expected.len() == 32 { contents::md5(entry)? } else { contents::sha256(entry)? };
            (actual != **expected).then(|| contents::sha256(entry)).transpose()
        })?;
        let changed = examined.iter().zip(differences);
        Ok(changed.filter_map(|(entry, what)| Some((entry.path.as_os_str().as_bytes(), what?))).collect())
    }

    /// Returns the files of the package that do not exist. `added` is the number of existing files that are
    /// not part of the package.
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
        let existing_names: HashSet<&[u8]> =
            files.iter().flat_map(|entry| sums::names_of(&entry.path)).collect();
        let missing = expected.into_iter().filter(|name| !existing_names.contains(name));
        missing.map(|name| (name, "missing".to_owned())).collect()
    }
}

/// The prefix of the description of a file that is not part of the package.
const ADDED: &str = "added ";

fn digest_of<'a>(pairs: impl Iterator<Item = (&'a OsStr, &'a OsStr)>) -> String {
    let mut hash = Hasher::new();
    for (name, what) in pairs {
        add_field(&mut hash, name.as_bytes());
        add_field(&mut hash, what.as_bytes());
    }
    hash.finish()
}
