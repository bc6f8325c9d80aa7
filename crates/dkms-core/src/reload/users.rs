//! Finds the users of a module, as far as `/proc` and `/sys` show them: mounted file systems, and processes
//! that have one of its devices open.

use dkms_sys::fs::{self, Limit};
use kmodule::ModuleName;
use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The maximum number of users that are listed.
const SHOWN: usize = 8;

/// Describes the users of a module that can be found.
pub(super) fn find_users(module: &ModuleName) -> Vec<String> {
    let mut users = mounts(module);
    users.extend(processes(module));
    if users.len() > SHOWN {
        let more = users.len() - SHOWN;
        users.truncate(SHOWN);
        users.push(format!("and {more} more"));
    }
    users
}

/// Describes the mounts of the file system that has the name of the module.
fn mounts(module: &ModuleName) -> Vec<String> {
    let text = fs::read_text("/proc/self/mounts", Limit::INDEX).unwrap_or_default();
    let describe_mount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (ModuleName::new(kind) == *module).then(|| format!("mounted on {place}"))
    };
    text.lines().filter_map(describe_mount).collect()
}

/// Describes the processes that have a device of the module open.
fn processes(module: &ModuleName) -> Vec<String> {
    let majors = majors(module);
    let mut users = Vec::new();
    for pid in numbered("/proc") {
        let files = PathBuf::from(format!("/proc/{pid}/fd"));
        let mut devices = BTreeSet::new();
        for descriptor in numbered(&files) {
            let link = files.join(descriptor.to_string());
            // This follows the link to the device.
            let Ok(meta) = fs::metadata(&link) else { continue };
            let kind = meta.file_type();
            let class = match (kind.is_char_device(), kind.is_block_device()) {
                (true, _) => "char",
                (_, true) => "block",
                _ => continue,
            };
            if belongs_to(class, meta.rdev(), module, &majors) {
                let name = fs::read_link(&link).unwrap_or(link);
                devices.insert(name.display().to_string());
            }
        }
        if !devices.is_empty() {
            let devices: Vec<String> = devices.into_iter().collect();
            users.push(format!("{} (process {pid}) has {} open", program(pid), devices.join(", ")));
        }
    }
    users
}

/// Returns the entries of a directory whose names are numbers.
fn numbered(dir: impl AsRef<Path>) -> Vec<u32> {
    let names = fs::list_dir(dir).unwrap_or_default();
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn program(pid: u32) -> String {
    let name = fs::read_text(format!("/proc/{pid}/comm"), Limit::CONFIG);
    name.map_or_else(|_| "a program".to_owned(), |name| name.trim().to_owned())
}

/// Returns the major numbers that are registered under the module's name, such as `char` and 240.
fn majors(module: &ModuleName) -> BTreeSet<(&'static str, u64)> {
    let text = fs::read_text("/proc/devices", Limit::CONFIG).unwrap_or_default();
    let mut class = "char";
    let mut majors = BTreeSet::new();
    for line in text.lines() {
        match line.trim() {
            "Character devices:" => class = "char",
            "Block devices:" => class = "block",
            line => {
                let number = line.split_once(' ').and_then(|(n, name)| Some((n.parse().ok()?, name)));
                if let Some((number, _)) = number.filter(|(_, name)| ModuleName::new(name) == *module) {
                    majors.insert((class, number));
                }
            }
        }
    }
    majors
}

/// Returns whether a device belongs to a module. This is determined by the name of its major number, by its
/// driver, or by the name of a device without a driver.
fn belongs_to(
    class: &'static str,
    device: u64,
    module: &ModuleName,
    majors: &BTreeSet<(&'static str, u64)>,
) -> bool {
    let (major, minor) = dkms_sys::sys::device_numbers(device);
    if majors.contains(&(class, major)) {
        return true;
    }
    let dir = PathBuf::from(format!("/sys/dev/{class}/{major}:{minor}"));
    let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).map(ModuleName::new);
    if let Ok(driver) = fs::canonicalize(dir.join("device/driver/module")) {
        return name(&driver).as_ref() == Some(module);
    }
    fs::canonicalize(dir).is_ok_and(|dir| name(&dir).as_ref() == Some(module))
}
