//! Counts the object files that a build compiles, using make's output in the log.
//!
//! Before kbuild compiles a file, it prints a line such as `  CC [M]  DIR/x.o`, or with V=1 the command
//! itself.

use dkms_sys::fs::Limit;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The number of bytes of a log that are read at once. The rest is read later.
const CHUNK: u64 = 256 * 1024;
/// The maximum number of bytes of a line that are parsed.
const LINE: usize = 16 * 1024;
/// The maximum length of an object's name, in bytes. Longer names are shortened.
const NAME: usize = 100;

/// Counts the object files in the log of a build that has ended. Returns 0 if the log cannot be read.
pub(crate) fn count(log: &Path) -> u32 {
    let text = dkms_sys::fs::read_start(log, Limit::LOG).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| object(line).is_some());
    u32::try_from(lines.count()).unwrap_or(u32::MAX)
}

/// Reads the log of a running build piece by piece.
#[derive(Debug)]
pub(crate) struct Follower {
    file: File,
    /// The beginning of a line whose end has not been read.
    partial: Vec<u8>,
    objects: u32,
}

impl Follower {
    /// Opens a log; `None` if it does not exist.
    pub(crate) fn new(log: &Path) -> Option<Self> {
        dkms_sys::fs::open(log).ok().map(|file| Self { file, partial: Vec::new(), objects: 0 })
    }

    /// Reads the new lines. If they announce objects, returns the number of objects so far and the name of
    /// the last one.
    pub(crate) fn read(&mut self) -> Option<(u32, String)> {
        let mut bytes = Vec::new();
        (&self.file).take(CHUNK).read_to_end(&mut bytes).ok()?;
        let mut last = None;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.partial.len());
            self.partial.extend(part.iter().take(room));
            if part.ends_with(b"\n") {
                if let Some(name) = object(&self.partial) {
                    self.objects = self.objects.saturating_add(1);
                    last = Some(name);
                }
                self.partial.clear();
            }
        }
        last.map(|name| (self.objects, name))
    }
}

/// Returns the name of the object file that a line announces.
fn object(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let path = match words.next()? {
        b"CC" | b"AS" | b"CXX" | b"CPP" | b"HOSTCC" | b"RUSTC" | b"CLANG" => words.next_back()?,
        _ if line.windows(4).any(|part| part == b" -c ") => words.skip_while(|word| *word != b"-o").nth(1)?,
        _ => return None,
    };
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    name.ends_with(b".o").then(|| String::from_utf8_lossy(name.get(..NAME).unwrap_or(name)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_that_announce_an_object() {
        for (line, name) in [
            ("  CC [M]  /var/lib/dkms/a/1/build/src/a.o", Some("a.o")),
            ("  AS [M]  b.o\r", Some("b.o")),
            ("  CC      c.mod.o", Some("c.mod.o")),
            ("  gcc-12 -Wp,-MMD,x.d -DA='b' -c -o /x/d.o /x/d.c  ; true", Some("d.o")),
            ("  LD [M]  /x/a.ko", None),
            ("  MODPOST /x/Module.symvers", None),
            ("CC=gcc make -C /x", None),
            ("/x/a.c:1: warning: -c is not a thing", None),
            ("CC", None),
            ("", None),
        ] {
            assert_eq!(object(line.as_bytes()).as_deref(), name, "{line}");
        }
    }

    #[test]
    fn a_log_is_followed_while_it_grows() {
        let dir = dkms_sys::fs::TempDir::new_in(std::env::temp_dir(), "objects").unwrap();
        let path = dir.path().join("make.log");
        let mut log = dkms_sys::fs::open_append(&path).unwrap();
        let mut follower = Follower::new(&path).unwrap();
        assert_eq!(follower.read(), None);
        log.write_all(b"make: x\n  CC [M]  a.o\n  CC [M]").unwrap();
        assert_eq!(follower.read(), Some((1, "a.o".into())));
        log.write_all(b"  b.o\n  CC [M]  c.o\n").unwrap();
        assert_eq!(follower.read(), Some((3, "c.o".into())));
        log.write_all(&vec![b'x'; 2 * LINE]).unwrap();
        assert_eq!((follower.read(), follower.partial.len()), (None, LINE));
        log.write_all(b"\n  CC [M]  d.o\n").unwrap();
        assert_eq!(follower.read(), Some((4, "d.o".into())));
        assert_eq!((count(&path), count(Path::new("/nonexistent"))), (4, 0));
    }
}
