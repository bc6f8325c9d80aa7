//! The programs that KMM runs in an image, from the static busybox of this machine.

use super::names::Platform;
use crate::error::Result;
use crate::host::Host;
use crate::pack::PackError;
use dkms_archive::Member;
use dkms_sys::fs::{self, Limit};
use dkms_sys::process::{self, Command, Stream};
use std::path::{Path, PathBuf};

/// The names of the program in distributions.
const NAMES: [&str; 3] = ["busybox", "busybox.static", "busybox-static"];
/// The programs that an image needs.
pub(super) const PROGRAMS: [&str; 3] = ["sh", "mkdir", "cp"];
/// Program headers are near the beginning of a file.
const HEAD: Limit = Limit::bytes(64 * 1024);

/// Finds a static busybox for a platform.
///
/// # Errors
/// [`PackError::NoTools`].
pub(super) fn find(host: &Host, platform: &Platform) -> Result<PathBuf> {
    let mut rejected = String::new();
    for path in NAMES.iter().filter_map(|name| process::which(name, &host.path)) {
        let head = fs::read_start(&path, HEAD)?;
        let fault = match static_program(&head, platform) {
            Ok(()) => missing_applet(&path),
            Err(why) => Some(why.to_owned()),
        };
        match fault {
            None => return Ok(fs::canonicalize(path)?),
            Some(why) => rejected = format!(" ({} {why})", path.display()),
        }
    }
    Err(PackError::NoTools { machine: platform.architecture.to_owned(), rejected }.into())
}

/// Returns the members of the layer with the programs.
pub(super) fn members(busybox: &Path, epoch: u64) -> Vec<Member> {
    let mut members =
        vec![Member::directory("bin", epoch), Member::file("bin/busybox", busybox, 0o755, epoch)];
    members.extend(PROGRAMS.map(|name| Member::link(format!("bin/{name}"), "busybox", epoch)));
    members
}

/// Describes the first required applet that this busybox does not have. A busybox that cannot run on this
/// machine is assumed to have all of them.
fn missing_applet(busybox: &Path) -> Option<String> {
    let listed =
        Command::new(busybox).arg("--list").stdout(Stream::Capture).stderr(Stream::Null).run().ok()?;
    let text = listed.stdout_text();
    let missing = PROGRAMS.iter().find(|name| !text.lines().any(|line| line.trim() == **name));
    missing.filter(|_| listed.status.success()).map(|name| format!("has no {name}"))
}

/// Checks that a file is a program for a platform that needs no shared libraries; `head` is its beginning.
fn static_program(head: &[u8], platform: &Platform) -> Result<(), &'static str> {
    const UNREADABLE: &str = "is not an ELF program";
    let number = |at: u64, size: usize| read_number(head, platform.is_little_endian, at, size);
    let class = if platform.is_64_bit { 2 } else { 1 };
    let data = if platform.is_little_endian { 1 } else { 2 };
    if head.get(..4) != Some(b"\x7fELF") {
        return Err(UNREADABLE);
    }
    if head.get(4..6) != Some(&[class, data]) || number(18, 2) != Some(platform.machine.into()) {
        return Err("is for another architecture");
    }
    let (table, size, count) = if platform.is_64_bit { (32, 54, 56) } else { (28, 42, 44) };
    let word = if platform.is_64_bit { 8 } else { 4 };
    let start = number(table, word).ok_or(UNREADABLE)?;
    let size = number(size, 2).ok_or(UNREADABLE)?;
    let count = number(count, 2).ok_or(UNREADABLE)?;
    for index in 0..count {
        let at = index.checked_mul(size).and_then(|at| at.checked_add(start)).ok_or(UNREADABLE)?;
        // PT_INTERP names the loader of shared libraries.
        if number(at, 4).ok_or(UNREADABLE)? == 3 {
            return Err("needs shared libraries");
        }
    }
    Ok(())
}

/// Reads an unsigned number of `size` bytes.
fn read_number(bytes: &[u8], is_little_endian: bool, at: u64, size: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let add = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    Some(if is_little_endian { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_tree::ids::Kernel;

    fn platform(arch: &str) -> Platform {
        Platform::new(&Kernel::new("6.1", arch).unwrap()).unwrap()
    }

    /// An ELF file with these types of program headers.
    fn program(platform: &Platform, headers: &[u32]) -> Vec<u8> {
        let number = |value: u64, size: usize| {
            let bytes = value.to_le_bytes()[..size].to_vec();
            if platform.is_little_endian { bytes } else { bytes.into_iter().rev().collect() }
        };
        let mut head = vec![0u8; 64];
        head[..4].copy_from_slice(b"\x7fELF");
        head[4] = if platform.is_64_bit { 2 } else { 1 };
        head[5] = if platform.is_little_endian { 1 } else { 2 };
        let mut put = |at: usize, bytes: Vec<u8>| head[at..at + bytes.len()].copy_from_slice(&bytes);
        put(18, number(platform.machine.into(), 2));
        let (table, size, count) = if platform.is_64_bit { (32, 54, 56) } else { (28, 42, 44) };
        put(table, number(64, if platform.is_64_bit { 8 } else { 4 }));
        put(size, number(16, 2));
        put(count, number(headers.len() as u64, 2));
        for kind in headers {
            head.extend(number((*kind).into(), 4));
            head.extend([0; 12]);
        }
        head
    }

    #[test]
    fn only_static_programs_are_accepted() {
        for arch in ["x86_64", "i686", "s390x", "aarch64"] {
            let platform = platform(arch);
            let check = |headers: &[u32]| static_program(&program(&platform, headers), &platform);
            assert_eq!(check(&[1, 1, 7]), Ok(()), "{arch}");
            assert_eq!(check(&[6, 3, 1]), Err("needs shared libraries"), "{arch}");
        }
        let amd64 = platform("x86_64");
        assert_eq!(static_program(b"#!/bin/sh\n", &amd64), Err("is not an ELF program"));
        let other = program(&platform("aarch64"), &[1]);
        assert_eq!(static_program(&other, &amd64), Err("is for another architecture"));
        let whole = program(&amd64, &[1, 3]);
        for end in 0..whole.len() {
            assert!(static_program(&whole[..end], &amd64).is_err(), "{end}");
        }
    }
}
