//! Makes apt hold back kernels that a package does not support.
//!
//! apt's preferences select packages by regular expressions on their names, which contain the version of the
//! kernel. The expressions match every newer version, so they also hold back kernels that do not exist yet.

use crate::conf::load;
use crate::event::Sink;
use crate::look::ready;
use crate::system::System;
use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::{Kernel, PackageId, Release};
use dkms_tree::state;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Returns the newest kernel version that each package supports. Packages without such a limit, or that are
/// not installed for any kernel, are left out. Only the newest version of each package counts.
pub(super) fn limits(system: &System, sink: &dyn Sink) -> Vec<(PackageId, String)> {
    let releases = ready::kernels(&system.layout);
    let mut newest: BTreeMap<String, PackageId> = BTreeMap::new();
    for package in state::all_packages(&system.layout) {
        if let Some(version) = state::versions(&system.layout, &package.name).pop() {
            newest.insert(package.name, version);
        }
    }
    let mut limits = Vec::new();
    for (name, package) in newest {
        let kernel =
            |release: &Release| Kernel { release: release.clone(), arch: system.host.machine.clone() };
        let Some(release) = releases
            .iter()
            .rev()
            .find(|release| state::installed_version(&system.layout, &name, &kernel(release)).is_some())
        else {
            continue;
        };
        let loaded = load::load(system, sink, &package, &kernel(release)).and_then(load::Loaded::lenient);
        if let Ok(loaded) = loaded {
            // Index 0 is the limit of the whole package.
            if let Some(max) = loaded.conf.exclusive.kernel_max.get(&0).filter(|_| loaded.conf.autoinstall) {
                limits.push((package, max.clone()));
            }
        }
    }
    limits
}

/// Returns the text of the preferences that hold kernels back; `None` if there is no limit.
pub(super) fn text(limits: &[(PackageId, String)]) -> Option<String> {
    let parts: Vec<String> = limits.iter().filter_map(|(package, max)| paragraph(package, max)).collect();
    let head = "# Written by dkms, and removed when a version is registered that supports newer kernels (hold_kernel in\n\
                # dkms-framework.conf(5)).\n";
    (!parts.is_empty()).then(|| format!("{head}{}", parts.join("\n")))
}

fn paragraph(package: &PackageId, max: &str) -> Option<String> {
    let newer = newer_than(max)?;
    let shown: String = max.chars().filter(|c| !c.is_control()).collect();
    Some(format!(
        "Explanation: {package} supports kernels up to {shown}\n\
         Package: /^linux-(image|headers|modules|modules-extra)-(unsigned-)?({newer})[.+~-]/\n\
         Pin: release *\n\
         Pin-Priority: -1\n"
    ))
}

/// Returns a regular expression for the first two numbers of all versions that exceed a limit; `None` if the
/// limit does not begin with a number.
fn newer_than(max: &str) -> Option<String> {
    let mut numbers = max.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next().flatten());
    let Some(minor) = minor else { return Some(format!("({})\\.[0-9]+", above(major))) };
    // `6.5` excludes 6.5.1, and `6.5.999` does not exclude any 6.5.
    let first = format!("{major}.{minor}.0");
    let from =
        if compare_versions(&first, max) == Ordering::Greater { minor.checked_sub(1) } else { Some(minor) };
    let same_major = from.map_or_else(|| "[0-9]+".to_owned(), |from| format!("({})", above(from)));
    Some(format!("{major}\\.{same_major}|({})\\.[0-9]+", above(major)))
}

/// Returns a regular expression for the integers above a number: more digits, or a greater digit at some
/// position.
fn above(number: u32) -> String {
    let digits = number.to_string();
    let mut parts = vec![format!("[1-9][0-9]{{{},}}", digits.len())];
    for (position, digit) in digits.char_indices().filter(|(_, digit)| *digit != '9') {
        let next = char::from(digit as u8 + 1);
        let rest = digits.len() - position - 1;
        let tail = if rest == 0 { String::new() } else { format!("[0-9]{{{rest}}}") };
        parts.push(format!("{}[{next}-9]{tail}", digits.get(..position).unwrap_or_default()));
    }
    parts.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(max: &str, version: &str) -> bool {
        let pattern = format!("^({})[.+~-]", newer_than(max).unwrap());
        dkms_sys::regex::matches(&pattern, version).unwrap()
    }

    #[test]
    fn newer_kernels_match() {
        for (max, version, expected) in [
            ("6.5", "6.4.9-1-amd64", false),
            ("6.5", "6.5.0-1-amd64", true),
            ("6.5.999", "6.5.10-1-amd64", false),
            ("6.5.999", "6.6.0-1-amd64", true),
            ("6.5.999", "6.12.94+deb13-amd64", true),
            ("6.12.999", "6.9.1-amd64", false),
            ("6.12.999", "6.13.1-amd64", true),
            ("6.12.999", "6.100.1-amd64", true),
            ("6.12.999", "10.0.1-amd64", true),
            ("6.12.999", "7.0.1-amd64", true),
            ("6.12.999", "5.99.1-amd64", false),
            ("6", "6.1.0-1-amd64", false),
            ("6.0", "6.0.1-1", true),
            ("9.99.99", "9.100.1-1", true),
            ("9.99.99", "10.1.1-1", true),
        ] {
            assert_eq!(matches(max, version), expected, "{max} {version}");
        }
        assert_eq!(newer_than("none"), None);
    }
}
