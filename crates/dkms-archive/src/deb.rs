//! Writes Debian binary packages (deb(5), format 2.0): an `ar` archive of `debian-binary`, `control.tar.xz`
//! and `data.tar.xz`. The output is reproducible: entries are sorted and owned by root, modes are 0755 or
//! 0644, and no timestamp is later than the one given. Both parts are compressed in memory before they are
//! written.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dkms_sys::{IoError, fs};
use md5::Digest;
use tar::{Builder, EntryType, Header};

use super::error::ArchiveError;
use super::write::{Encoder, Item, Member, Plan, What, bad, plan};

/// The contents of a package.
#[derive(Debug, Clone)]
pub struct Deb {
    /// The control file, without `Installed-Size`. Every line ends with a newline.
    pub control: String,
    /// Maintainer scripts, keyed by name, such as `postinst`.
    pub scripts: Vec<(&'static str, String)>,
    /// The files to install; names are relative to the root. Parent directories are added automatically. The
    /// metadata directories of version control systems are left out.
    pub members: Vec<Member>,
    /// The latest timestamp allowed, in seconds since 1970. Generated files get exactly this one.
    pub mtime: u64,
}

/// The metadata directories of version control systems.
const VERSION_CONTROL: [&[u8]; 5] = [b".git", b".svn", b".hg", b".bzr", b"CVS"];

/// Writes the package to `dest` atomically: it writes a temporary file next to `dest` and renames it.
///
/// # Errors
/// A member cannot be read, is not a file, directory or link, or has a control character in its name; the
/// destination cannot be written.
pub fn write_deb(dest: &Path, deb: &Deb) -> Result<(), ArchiveError> {
    let failed = |e| ArchiveError::Io(IoError::new("compress", dest, e));
    let files = sorted(&deb.members, deb.mtime)?;
    let mut sums = Sums::default();
    let data = tar_xz(&files, deb.mtime, &mut sums, &failed)?;
    let control = tar_xz(&control_files(deb, &sums), deb.mtime, &mut Sums::default(), &failed)?;
    fs::replace_with(dest, 0o644, |file| {
        file.write_all(b"!<arch>\n")?;
        ar_member(file, "debian-binary", b"2.0\n", deb.mtime)?;
        ar_member(file, "control.tar.xz", &control, deb.mtime)?;
        ar_member(file, "data.tar.xz", &data, deb.mtime)
    })?;
    Ok(())
}

/// Writes these members to an xz-compressed tar archive, in the same layout as in a package. Timestamps are
/// at most `mtime`.
///
/// # Errors
/// As for [`write_deb`].
pub fn write_tar_xz(dest: &Path, members: &[Member], mtime: u64) -> Result<(), ArchiveError> {
    let failed = |e| ArchiveError::Io(IoError::new("compress", dest, e));
    let files = sorted(members, mtime)?;
    let bytes = tar_xz(&files, mtime, &mut Sums::default(), &failed)?;
    fs::write_atomic(dest, &bytes, 0o644)?;
    Ok(())
}

/// Compresses with gzip, without a name or timestamp in the header, as for Debian's changelogs.
///
/// # Errors
/// None in practice, because it writes to memory.
pub fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Data about the files of a package: `md5sums` and `Installed-Size`.
#[derive(Debug, Default)]
struct Sums {
    md5: Vec<u8>,
    /// Computed as dpkg-gencontrol does: files in whole KiB, everything else as 1 KiB.
    kibibytes: u64,
}

impl Sums {
    fn file(&mut self, name: &[u8], bytes: &[u8]) {
        self.kibibytes += (bytes.len() as u64).div_ceil(1024);
        self.md5.extend_from_slice(format!("{:x}", md5::Md5::digest(bytes)).as_bytes());
        self.md5.extend_from_slice(b"  ");
        self.md5.extend_from_slice(name);
        self.md5.push(b'\n');
    }
}

/// The entries of the archive, by name, with the modes and times of a package.
fn sorted(members: &[Member], mtime: u64) -> Result<Plan, ArchiveError> {
    let mut files = plan(members, &mut Vec::new())?;
    files.retain(|name, _| !name.split(|b| *b == b'/').any(|part| VERSION_CONTROL.contains(&part)));
    normalise(&mut files, mtime);
    Ok(files)
}

fn normalise(plan: &mut Plan, mtime: u64) {
    let mut parents = Vec::new();
    for (name, item) in plan.iter_mut() {
        item.mtime = item.mtime.min(mtime);
        item.mode = match item.what {
            What::Directory => 0o755,
            What::Symlink(_) => 0o777,
            _ if item.mode & 0o111 != 0 => 0o755,
            _ => 0o644,
        };
        let ends = name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        parents.extend(ends.filter_map(|at| name.get(..at).map(<[u8]>::to_vec)));
    }
    for name in parents {
        plan.entry(name).or_insert(Item { what: What::Directory, mode: 0o755, mtime });
    }
}

fn control_files(deb: &Deb, sums: &Sums) -> Plan {
    let file = |text: Vec<u8>, mode| Item { what: What::Bytes(text), mode, mtime: deb.mtime };
    let mut size = format!("Installed-Size: {}\n", sums.kibibytes);
    let mut control = String::new();
    for line in deb.control.lines() {
        // dpkg-gencontrol puts the field here.
        if line.starts_with("Depends:") {
            control.push_str(&std::mem::take(&mut size));
        }
        control.push_str(line);
        control.push('\n');
    }
    control.push_str(&size);
    let mut plan = Plan::new();
    plan.insert(b"control".to_vec(), file(control.into_bytes(), 0o644));
    plan.insert(b"md5sums".to_vec(), file(sums.md5.clone(), 0o644));
    for (name, text) in &deb.scripts {
        plan.insert(name.as_bytes().to_vec(), file(text.clone().into_bytes(), 0o755));
    }
    plan
}

/// A tar archive in dpkg-deb's layout: `./` is the first entry, and every name begins with `./`.
fn tar_xz(
    plan: &Plan,
    mtime: u64,
    sums: &mut Sums,
    failed: &dyn Fn(std::io::Error) -> ArchiveError,
) -> Result<Vec<u8>, ArchiveError> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, Some(kmodule::Compression::Xz)).map_err(failed)?;
    let mut builder = Builder::new(&mut encoder);
    let root = Item { what: What::Directory, mode: 0o755, mtime };
    entry(&mut builder, b"./", &root, &[]).map_err(failed)?;
    for (name, item) in plan {
        if name.iter().any(u8::is_ascii_control) {
            let path = Path::new(std::ffi::OsStr::from_bytes(name));
            return Err(bad(path, "a name in a Debian package has no control characters"));
        }
        let mut inside = b"./".to_vec();
        inside.extend_from_slice(name);
        let read;
        let bytes: &[u8] = match &item.what {
            What::Bytes(bytes) => bytes,
            What::File(path, _) => {
                read = fs::read(path)?;
                &read
            }
            What::Directory => {
                inside.push(b'/');
                &[]
            }
            What::Symlink(_) => &[],
        };
        match item.what {
            What::Bytes(_) | What::File(..) => sums.file(name, bytes),
            _ => sums.kibibytes += 1,
        }
        entry(&mut builder, &inside, item, bytes).map_err(failed)?;
    }
    builder.into_inner().map_err(failed)?;
    encoder.finish().map_err(failed)?;
    Ok(out)
}

/// Appends one entry under exactly this name; `tar::Builder` would remove the `./`.
fn entry(builder: &mut Builder<impl Write>, name: &[u8], item: &Item, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(item.mode);
    header.set_mtime(item.mtime);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_size(bytes.len() as u64);
    header.set_entry_type(match item.what {
        What::Directory => EntryType::Directory,
        What::Symlink(_) => EntryType::Symlink,
        _ => EntryType::Regular,
    });
    let old = header.as_old_mut();
    if let What::Symlink(target) = &item.what {
        let target = target.as_os_str().as_bytes();
        if !fill(&mut old.linkname, target) {
            long(builder, b'K', target)?;
        }
    }
    if !fill(&mut old.name, name) {
        long(builder, b'L', name)?;
    }
    header.set_cksum();
    builder.append(&header, bytes)
}

/// Writes text into a header field; `false` if it does not fit. The part that fits is kept, as in GNU tar.
fn fill(field: &mut [u8; 100], text: &[u8]) -> bool {
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
    text.len() <= field.len()
}

/// GNU tar's extension entry for a name (`L`) or link target (`K`) that is too long for the header of the
/// next entry.
fn long(builder: &mut Builder<impl Write>, kind: u8, text: &[u8]) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    fill(&mut header.as_old_mut().name, b"././@LongLink");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::new(kind));
    header.set_size(text.len() as u64 + 1);
    header.set_cksum();
    let mut text = text.to_vec();
    text.push(0);
    builder.append(&header, text.as_slice())
}

/// ar(5): name, time, owner, group, mode and size as text, then the bytes, padded to an even length.
fn ar_member(file: &mut impl Write, name: &str, bytes: &[u8], mtime: u64) -> std::io::Result<()> {
    let header = format!("{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", bytes.len());
    file.write_all(header.as_bytes())?;
    file.write_all(bytes)?;
    if bytes.len() % 2 == 1 { file.write_all(b"\n") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(members: Vec<Member>) -> Result<Vec<u8>, ArchiveError> {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("x.deb");
        let control = "Package: x\nDepends: dkms\nDescription: x\n".to_owned();
        let scripts = vec![("postinst", "#!/bin/sh\n".to_owned())];
        write_deb(&path, &Deb { control, scripts, members, mtime: 1_700_000_000 })?;
        Ok(std::fs::read(&path).expect("read"))
    }

    /// The parts of an ar archive: name and contents.
    fn parts(mut bytes: &[u8]) -> Vec<(String, &[u8])> {
        bytes = bytes.strip_prefix(b"!<arch>\n").expect("ar");
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (header, rest) = bytes.split_at(60);
            assert_eq!(&header[58..], b"`\n");
            let text = std::str::from_utf8(header).expect("ascii");
            assert_eq!(text[16..28].trim_end(), "1700000000");
            let size: usize = text[48..58].trim_end().parse().expect("size");
            found.push((text[..16].trim_end().to_owned(), &rest[..size]));
            bytes = &rest[size + size % 2..];
        }
        found
    }

    #[test]
    fn parts_and_names_are_in_dpkgs_order() {
        let long = format!("usr/src/{}/{}.c", "d".repeat(90), "e".repeat(90));
        let members =
            vec![Member::bytes(long.as_str(), "int x;\n", 2_000_000_000), Member::bytes("usr/a", "", 5)];
        let bytes = written(members.clone()).unwrap();
        assert_eq!(bytes, written(members).unwrap());
        let parts = parts(&bytes);
        let names: Vec<&str> = parts.iter().map(|p| p.0.as_str()).collect();
        assert_eq!(names, ["debian-binary", "control.tar.xz", "data.tar.xz"]);
        assert_eq!(parts[0].1, b"2.0\n");
        let mut tar = tar::Archive::new(liblzma::read::XzDecoder::new(parts[2].1));
        let seen: Vec<(String, u64)> = tar
            .entries()
            .unwrap()
            .map(|e| {
                let e = e.unwrap();
                (String::from_utf8(e.path_bytes().into_owned()).unwrap(), e.header().mtime().unwrap())
            })
            .collect();
        let directory = long.rsplit_once('/').unwrap().0;
        let want = [
            ("./".to_owned(), 1_700_000_000),
            ("./usr/".to_owned(), 1_700_000_000),
            ("./usr/a".to_owned(), 5),
            ("./usr/src/".to_owned(), 1_700_000_000),
            (format!("./{directory}/"), 1_700_000_000),
            (format!("./{long}"), 1_700_000_000),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn names_that_md5sums_cannot_hold_are_refused() {
        assert!(matches!(written(vec![Member::bytes("a\nb", "", 0)]), Err(ArchiveError::BadMember { .. })));
    }
}
