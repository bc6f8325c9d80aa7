//! Finds the package of a file on distributions with rpm.

use super::sums::Record;
use crate::host::Host;
use dkms_sys::process::{Command, Stream};
use std::path::Path;
use std::time::Duration;

/// The possible paths of rpm's database.
const DATABASES: [&str; 6] = [
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/Packages",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages.db",
    "/var/lib/rpm/Packages",
];

/// The format of rpm's answer. The first line contains the name, the version and the digest of the header. It
/// is followed by the files with their digests, in the format of `.md5sums`.
const QUERY: &str = "%{NAME}=%{EPOCHNUM}:%{VERSION}-%{RELEASE}.%{ARCH} \
    %|SHA256HEADER?{%{SHA256HEADER}}:{%{SHA1HEADER}}|\\n[%{FILEDIGESTS}  %{FILENAMES}\\n]\\n";

/// Returns rpm's record of the package that contains `path`.
pub(super) fn owner(host: &Host, path: &Path) -> Option<Record> {
    if !DATABASES.iter().any(dkms_sys::fs::exists_followed) {
        return None;
    }
    let rpm = dkms_sys::process::which("rpm", &host.path)?;
    let done = Command::new(rpm)
        .args(["-q", "--queryformat", QUERY, "-f"])
        .arg(path)
        .env("LC_ALL", "C")
        .env("PATH", &host.path)
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .timeout(Duration::from_secs(30))
        .run()
        .ok()?;
    if !done.status.success() {
        return None;
    }
    parse(&done.stdout)
}

/// Parses rpm's answer. If a directory belongs to several packages, returns the first one.
fn parse(answer: &[u8]) -> Option<Record> {
    let end = answer.iter().position(|b| *b == b'\n')?;
    let (label, digest) = std::str::from_utf8(answer.get(..end)?).ok()?.split_once(' ')?;
    let is_digest = digest.len() >= 40 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_digest || !label.contains('=') {
        return None;
    }
    let rest = answer.get(end + 1..)?;
    let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    let (label, digest, sums) = (label.to_owned(), digest.to_owned(), rest.get(..end)?.to_vec());
    // rpm does not record when it unpacked the files, so all of them are read.
    Some(Record { label, digest, sums, created: i64::MIN, unpacked: i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::inputs::sums;
    use proptest::prelude::*;

    #[test]
    fn the_first_of_several_packages() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let answer = format!(
            "kernel-devel=0:6-1.x {a}\n  /usr/src/kernels/6\n{b}  /usr/src/kernels/6/Makefile\n\nother=0:1-1.x {b}\n\n"
        );
        let record = parse(answer.as_bytes()).unwrap();
        assert_eq!((record.label.as_str(), record.digest), ("kernel-devel=0:6-1.x", a));
        let known = sums::digests(&record.sums);
        assert_eq!(known.len(), 1);
        assert_eq!(known.get(b"usr/src/kernels/6/Makefile".as_slice()), Some(&b.as_str()));
        assert!(parse(b"file /x is not owned by any package\n").is_none());
    }

    proptest! {
        #[test]
        fn any_answer(answer in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&answer);
            let _ = sums::digests(&answer);
        }
    }
}
