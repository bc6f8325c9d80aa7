//! Checks that the layers of a base contain the programs that KMM runs.

use super::tools::PROGRAMS;
use crate::cause::Cause;
use dkms_archive::{ListedKind, list};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The maximum size of an unpacked layer, in bytes.
const UNPACKED: u64 = 16 << 30;
/// The maximum number of files in a layer.
const ENTRIES: usize = 1_000_000;
/// The maximum number of links that are followed, as in the kernel.
const LINKS: u32 = 40;
/// The search path of an image that sets none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kind of a file in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Directory,
    /// A file, and whether it can be executed.
    File(bool),
    /// A link to this path.
    Link(String),
}

/// The files of an image, by their paths without a leading slash.
#[derive(Default)]
struct Files(BTreeMap<String, Entry>);

/// Checks the layers of a base, lowest first. The search path is that of its configuration.
///
/// # Errors
/// A layer cannot be read; one of the programs is missing.
pub(super) fn require<'a>(
    layers: impl Iterator<Item = &'a Path>,
    config: &Map<String, Value>,
) -> Result<(), Cause> {
    let mut files = Files::default();
    for layer in layers {
        let mut upper = Vec::new();
        list(layer, UNPACKED, |name, kind, mode| {
            if let Some(entry) = entry(kind, mode).filter(|_| upper.len() <= ENTRIES) {
                upper.push((clean(&String::from_utf8_lossy(name)), entry));
            }
        })?;
        if upper.len() > ENTRIES {
            return Err(format!("a layer has more than {ENTRIES} files").into());
        }
        files.stack(upper);
    }
    let path = search_path(config);
    for program in PROGRAMS {
        let places: Vec<String> = match program {
            "sh" => vec!["bin/sh".to_owned()],
            _ => path.split(':').map(|dir| format!("{dir}/{program}")).collect(),
        };
        if !places.iter().any(|place| files.has_program(place)) {
            let shown = if program == "sh" { "/bin/sh" } else { program };
            return Err(format!("it has no {shown}, and KMM runs /bin/sh, mkdir and cp in an image").into());
        }
    }
    Ok(())
}

fn entry(kind: ListedKind<'_>, mode: u32) -> Option<Entry> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match kind {
        ListedKind::Directory => Entry::Directory,
        ListedKind::File => Entry::File(mode & 0o111 != 0),
        ListedKind::Symlink(target) => Entry::Link(text(target)),
        // The target of a hard link is relative to the root.
        ListedKind::HardLink(target) => Entry::Link(format!("/{}", clean(&text(target)))),
        ListedKind::Other => return None,
    })
}

/// Returns the variable PATH of an image's configuration.
fn search_path(config: &Map<String, Value>) -> &str {
    let env = config.get("config").and_then(|c| c.get("Env")).and_then(Value::as_array);
    let mut all = env.into_iter().flatten().filter_map(Value::as_str);
    all.find_map(|line| line.strip_prefix("PATH=")).unwrap_or(PATH)
}

/// Returns a path without `./`, leading and trailing slashes, and double slashes.
fn clean(name: &str) -> String {
    name.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

impl Files {
    /// Adds a layer on top. Its entry `.wh.NAME` deletes NAME in the layers below, and `.wh..wh..opq` deletes
    /// the contents of its directory there.
    fn stack(&mut self, upper: Vec<(String, Entry)>) {
        for (name, _) in &upper {
            let (dir, last) = name.rsplit_once('/').unwrap_or(("", name));
            if last == ".wh..wh..opq" {
                self.remove_below(dir);
            } else if let Some(deleted) = last.strip_prefix(".wh.") {
                let deleted = if dir.is_empty() { deleted.to_owned() } else { format!("{dir}/{deleted}") };
                self.0.remove(&deleted);
                self.remove_below(&deleted);
            }
        }
        let is_marker = |name: &str| name.rsplit('/').next().is_some_and(|last| last.starts_with(".wh."));
        self.0.extend(upper.into_iter().filter(|(name, _)| !is_marker(name)));
    }

    fn remove_below(&mut self, dir: &str) {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        self.0.retain(|name, _| !name.starts_with(&prefix));
    }

    /// Returns whether a path leads to a file that can be executed.
    fn has_program(&self, path: &str) -> bool {
        let mut remaining: Vec<String> = reversed_parts(path);
        let mut current: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = remaining.pop() {
            if part == ".." {
                current.pop();
                continue;
            }
            current.push(part);
            match self.0.get(&current.join("/")) {
                Some(Entry::Link(target)) => {
                    links += 1;
                    if links > LINKS {
                        return false;
                    }
                    current.pop();
                    if target.starts_with('/') {
                        current.clear();
                    }
                    remaining.extend(reversed_parts(target));
                }
                Some(Entry::File(executable)) => return *executable && remaining.is_empty(),
                // Archives may leave out directories.
                Some(Entry::Directory) | None => {}
            }
        }
        false
    }
}

/// Returns the parts of a path, the last one first.
fn reversed_parts(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|p| !matches!(*p, "" | ".")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(entries: &[(&str, Entry)]) -> Vec<(String, Entry)> {
        entries.iter().map(|(name, entry)| (clean(name), entry.clone())).collect()
    }

    fn link(target: &str) -> Entry {
        Entry::Link(target.to_owned())
    }

    #[test]
    fn programs_are_found_through_links() {
        let mut files = Files::default();
        files.stack(layer(&[
            ("./bin", link("usr/bin")),
            ("./usr/bin/", Entry::Directory),
            ("usr/bin/dash", Entry::File(true)),
            ("usr/bin/sh", link("dash")),
            ("usr/bin/cp", link("/bin/../bin/busybox")),
            ("usr/bin/text", Entry::File(false)),
            ("usr/bin/loop", link("loop")),
        ]));
        assert!(files.has_program("/bin/sh"));
        assert!(!files.has_program("/bin/cp"));
        assert!(!files.has_program("/bin/text"));
        assert!(!files.has_program("/bin/loop"));
        assert!(!files.has_program("/bin/sh/x"));
        files.stack(layer(&[("usr/bin/busybox", Entry::File(true))]));
        assert!(files.has_program("/bin/cp"));
    }

    #[test]
    fn a_layer_can_delete() {
        let mut files = Files::default();
        files.stack(layer(&[("bin/sh", Entry::File(true)), ("bin/cp", Entry::File(true))]));
        files.stack(layer(&[("bin/.wh.sh", Entry::File(false))]));
        assert!(!files.has_program("/bin/sh") && files.has_program("/bin/cp"));
        files.stack(layer(&[("bin/.wh..wh..opq", Entry::File(false)), ("bin/mkdir", Entry::File(true))]));
        assert!(!files.has_program("/bin/cp") && files.has_program("/bin/mkdir"));
    }
}
