//! Reads the parts of a Debian binary package (deb(5), format 2.x) that dkms needs. A package is an `ar`
//! archive whose first member is `debian-binary`; its `data.tar` has the files to install. From it we take
//! the sources in `usr/src` and the tarball of built modules that `common.postinst` would load. Everything
//! else is skipped without reading or checking it: a package may legitimately have links that point out of
//! it.

use std::io::{Read, Take};

use super::entries::StreamError;
use super::error::Damage;

/// The magic of every `ar` archive.
pub(super) const AR: [u8; 8] = *b"!<arch>\n";
/// The length of a member's header: name, time, owner, group, mode, size, end mark.
const HEADER: usize = 60;
/// The size limit of the member `debian-binary`. It contains a version; a valid one has four bytes.
const VERSION_MAX: u64 = 64;

/// Returns the contents of `data.tar`, still compressed, of a package whose first eight bytes ([`AR`]) have
/// been read.
pub(super) fn data(mut package: impl Read) -> Result<Take<impl Read>, StreamError> {
    let first = member(&mut package)?.ok_or(StreamError::NotTar)?;
    if first.name != "debian-binary" || first.size > VERSION_MAX {
        return Err(StreamError::NotTar);
    }
    let mut version = Vec::new();
    package.by_ref().take(first.size).read_to_end(&mut version)?;
    if version.len() as u64 != first.size {
        return Err(Damage::CutOff.into());
    }
    if !version.starts_with(b"2.") {
        let version = String::from_utf8_lossy(&version).trim().escape_debug().to_string();
        return Err(Damage::PackageFormat(version).into());
    }
    loop {
        skip(&mut package, first.size % 2)?;
        let Some(next) = member(&mut package)? else {
            return Err(Damage::NoData.into());
        };
        if next.name.strip_prefix("data.tar").is_some_and(|end| end.is_empty() || end.starts_with('.')) {
            return Ok(package.take(next.size));
        }
        skip(&mut package, next.size)?;
        skip(&mut package, next.size % 2)?;
    }
}

struct ArMember {
    name: String,
    size: u64,
}

/// Reads the header of the next member; `None` at the end.
fn member(package: &mut impl Read) -> Result<Option<ArMember>, StreamError> {
    let mut header = Vec::new();
    match package.take(HEADER as u64).read_to_end(&mut header)? {
        0 => return Ok(None),
        HEADER => {}
        _ => return Err(Damage::CutOff.into()),
    }
    let bad = || StreamError::from(Damage::ArHeader);
    let text = std::str::from_utf8(&header).map_err(|_| bad())?;
    let field = |from: usize, to: usize| text.get(from..to).map(str::trim_end).ok_or_else(bad);
    if field(58, HEADER)? != "`" {
        return Err(bad());
    }
    let size = field(48, 58)?;
    if size.is_empty() || !size.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let name = field(0, 16)?;
    Ok(Some(ArMember {
        // GNU ar ends names with a slash; dpkg does not.
        name: name.strip_suffix('/').unwrap_or(name).to_owned(),
        size: size.parse().map_err(|_| bad())?,
    }))
}

fn skip(from: &mut impl Read, size: u64) -> Result<(), StreamError> {
    let skipped = std::io::copy(&mut from.take(size), &mut std::io::sink())?;
    if skipped == size { Ok(()) } else { Err(Damage::CutOff.into()) }
}

/// Returns whether an entry of `data.tar` is skipped. A suspicious name is not skipped, so that the name
/// checks reject it.
pub(super) fn is_skipped(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let parts: Vec<&str> = name.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if name.starts_with('/') || parts.contains(&"..") {
        return false;
    }
    match parts.as_slice() {
        [] | ["usr"] | ["usr", "src", ..] => false,
        ["usr", "share", _, file] => !is_tarball(file),
        _ => true,
    }
}

/// Returns whether this is a name such as `M-V.dkms.tar.gz`.
pub fn is_tarball(file: &str) -> bool {
    file.split_once(".dkms.tar").is_some_and(|(_, end)| end.is_empty() || end.starts_with('.'))
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a test that cannot run says why")]
mod tests {
    use super::*;
    use crate::{ArchiveError, Deb, Format, Limits, Member, fuzz_unpack, unpack, write_deb};
    use dkms_sys::process::Command;
    use std::path::{Path, PathBuf};

    #[test]
    fn only_sources_and_tarballs_are_unpacked() {
        let names = [
            "./usr/src/a-1/a.c",
            "usr/src",
            "./",
            "usr/share/a-dkms/a-1.dkms.tar.gz",
            "../etc/x",
            "/etc/x",
            "usr",
        ];
        for name in names {
            assert!(!is_skipped(name.as_bytes()), "{name}");
        }
        for name in
            ["./etc/modprobe.d/a.conf", "usr/share/doc/a/copyright", "usr/lib/x", "usr/srcs/a", "usr/share/a"]
        {
            assert!(is_skipped(name.as_bytes()), "{name}");
        }
        assert!(!is_skipped(b"usr/src/\xff"));
    }

    /// A package built by this test.
    fn package(dir: &Path, members: Vec<Member>) -> Vec<u8> {
        let path = dir.join("x.deb");
        let control = "Package: x\nDepends: dkms\nDescription: x\n".to_owned();
        write_deb(&path, &Deb { control, scripts: Vec::new(), members, mtime: 1_700_000_000 })
            .expect("write");
        std::fs::read(path).expect("read")
    }

    fn unpacked(dir: &Path, bytes: &[u8]) -> Result<PathBuf, ArchiveError> {
        let (file, into) = (dir.join("y.deb"), dir.join("into"));
        std::fs::write(&file, bytes).expect("write");
        let result = unpack(&file, &into, &Limits::default());
        assert_eq!(result.is_ok(), into.exists());
        result.map(|u| {
            assert_eq!(u.format, Format::Package);
            into
        })
    }

    #[test]
    fn the_source_comes_out_and_nothing_else() {
        let dir = tempfile::tempdir().expect("tempdir");
        let links = dir.path().join("links");
        std::fs::create_dir(&links).expect("mkdir");
        std::os::unix::fs::symlink("/etc/passwd", links.join("link")).expect("link");
        let bytes = package(
            dir.path(),
            vec![
                Member::bytes("usr/src/x-1/dkms.conf", "x\n", 5),
                Member::bytes("etc/modprobe.d/x.conf", "y\n", 5),
                Member::path("usr/share/doc/x", &links),
            ],
        );
        let into = unpacked(dir.path(), &bytes).unwrap();
        assert_eq!(std::fs::read(into.join("usr/src/x-1/dkms.conf")).unwrap(), b"x\n");
        assert_eq!(dkms_sys::fs::list_dir(into.join("usr")).unwrap(), ["src"]);
        assert_eq!(dkms_sys::fs::list_dir(&into).unwrap(), ["usr"]);
        // The same link, within the source.
        let bytes = package(dir.path(), vec![Member::path("usr/src/x-1", &links)]);
        std::fs::remove_dir_all(into).unwrap();
        assert!(matches!(unpacked(dir.path(), &bytes), Err(ArchiveError::Refused { .. })));
    }

    #[test]
    fn damaged_packages_have_their_own_errors() {
        let dir = tempfile::tempdir().expect("tempdir");
        let bytes = package(dir.path(), vec![Member::bytes("usr/src/x-1/dkms.conf", "x\n".repeat(99), 5)]);
        let message = |bytes: &[u8]| unpacked(dir.path(), bytes).unwrap_err().to_string();
        // The padding after the last member may be missing; that is at most one byte.
        for length in 8..bytes.len() - 1 {
            assert!(unpacked(dir.path(), &bytes[..length]).is_err(), "cut to {length} of {}", bytes.len());
        }
        for at in 0..bytes.len() {
            for bit in [1, 0x40] {
                let mut flipped = bytes.clone();
                flipped[at] ^= bit;
                fuzz_unpack(&flipped);
            }
        }
        let with = |from: &str, to: &str| {
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut other = bytes.clone();
            other[at..at + to.len()].copy_from_slice(to.as_bytes());
            other
        };
        assert!(message(&with("2.0\n", "3.0\n")).contains("3.0"));
        assert!(message(&with("data.tar", "date.tar")).contains("before data.tar"));
        assert!(message(&with("debian-binary", "object.o     ")).contains("an ar archive"));
        assert!(message(&with("data.tar.xz", "data.tar/  ")[..80]).contains("cut off"));
        // As GNU ar writes names.
        assert!(unpacked(dir.path(), &with("debian-binary   ", "debian-binary/  ")).is_ok());
    }

    /// Compares the archive's packages with dpkg-deb.
    #[test]
    fn debians_packages_give_what_dpkg_gives() {
        let debs = std::env::var_os("DKMS_TEST_BUILD").map(PathBuf::from).unwrap_or_default().join("debs");
        let names = dkms_sys::fs::list_dir_optional(&debs).unwrap_or_default();
        let names: Vec<_> = names.iter().filter(|n| n.to_string_lossy().contains("-dkms_")).collect();
        if names.is_empty() || dkms_sys::process::which("dpkg-deb", dkms_sys::process::DEFAULT_PATH).is_none()
        {
            eprintln!("skipped: no dpkg-deb, or no packages below DKMS_TEST_BUILD (tests/fetch.sh)");
            return;
        }
        for name in names {
            let dir = tempfile::tempdir().expect("tempdir");
            let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
            unpack(&debs.join(name), &ours, &Limits::default()).unwrap_or_else(|e| panic!("{e}"));
            let run = |program: &str, words: &[&Path]| {
                let done = Command::new(program).args(words).run().expect(program);
                assert!(done.status.success(), "{program} {words:?}: {}", done.stderr_text());
            };
            run("dpkg-deb", &[Path::new("-x"), &debs.join(name), &theirs]);
            run(
                "diff",
                &[
                    Path::new("-r"),
                    Path::new("--no-dereference"),
                    &ours.join("usr/src"),
                    &theirs.join("usr/src"),
                ],
            );
        }
    }
}
