//! Describes the programs that compile modules, by package and version or by the contents of the file.

use super::dpkg::Dpkg;
use super::sums::{self, Record};
use crate::digest;
use dkms_sys::fs::{self, Stat};
use dkms_sys::process::{Command, Stream};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Descriptions of programs, which are determined once per command, and dpkg's database.
#[derive(Default)]
pub(crate) struct Tools {
    dpkg: OnceLock<Option<Dpkg>>,
    /// The descriptions by the path of the program.
    known: Mutex<HashMap<PathBuf, String>>,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").finish_non_exhaustive()
    }
}

impl Tools {
    /// dpkg's database, if this system has one.
    pub(super) fn dpkg(&self) -> Option<&Dpkg> {
        self.dpkg.get_or_init(Dpkg::detect).as_ref()
    }

    /// Describes a program, which is searched in the directories of `path`. The description consists of the
    /// name of the file and, if it belongs to a package of dpkg, of the package and its version. Otherwise it
    /// consists of the name, the first line of `--version`, the digest of the file and, for gcc, the digest
    /// of the real compiler (`cc1`).
    pub(crate) fn describe(&self, program: &str, path: &OsStr) -> String {
        // The path before links are resolved, because a wrapper such as ccache runs a different compiler for
        // each of its names.
        let Some(link) = dkms_sys::process::which(program, path) else { return "absent".into() };
        let Ok(file) = fs::canonicalize(&link) else { return "absent".into() };
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&link) {
            return known.clone();
        }
        let text = self.description(program, &link, &file, path);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(link, text.clone());
        text
    }

    /// Describes a program. `link` is its path, and `file` the same path without links.
    fn description(&self, program: &str, link: &Path, file: &Path, path: &OsStr) -> String {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owner = self.dpkg().and_then(|dpkg| dpkg.owner(file, &package_names(file)));
        let requested_name = program.rsplit('/').next().unwrap_or(program);
        match owner.filter(|owner| is_unchanged(file, owner)).map(|owner| owner.label) {
            // The package contains the program itself, so its version is that of the program.
            Some(package) if is_requested_program(file, &name, requested_name) => format!("{name} {package}"),
            Some(package) => format!("{name} {package} {}", version_line(link, path)),
            None => {
                let mut text = format!("{name} {} {}", version_line(link, path), file_digest(file));
                if let Some(file) = compiler_proper(&name, link, path) {
                    text = format!("{text} cc1 {}", file_digest(&file));
                }
                text
            }
        }
    }
}

/// Returns the names of packages that may contain a program.
fn package_names(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = vec![name.clone()];
    // x86_64-linux-gnu-gcc-12 is in gcc-12, or gcc-12-x86-64-linux-gnu.
    let triple = name.find("-linux-").map(|at| {
        let after = name.get(at + 1..).unwrap_or_default();
        let end = after.match_indices('-').nth(1).map_or(name.len(), |(n, _)| at + 1 + n);
        name.split_at_checked(end).unwrap_or((&name, ""))
    });
    if let Some((triple, rest)) = triple {
        let (triple, rest) = (triple.replace('_', "-"), rest.trim_start_matches('-'));
        names.extend([rest.to_owned(), format!("{rest}-{triple}"), format!("binutils-{triple}")]);
    }
    // /usr/lib/llvm-18/bin/clang is in clang-18, and most other programs of LLVM are in llvm-18.
    let llvm = file.iter().filter_map(OsStr::to_str).find_map(|c| c.strip_prefix("llvm-"));
    if let Some(version) = llvm {
        names.extend([format!("{name}-{version}"), format!("llvm-{version}")]);
    }
    names.extend(["binutils", "dwarves", "make-guile"].map(str::to_owned));
    names
}

/// Returns whether a file is unchanged since its package was installed.
fn is_unchanged(file: &Path, owner: &Record) -> bool {
    let Some(stat) = Stat::lstat(file) else { return false };
    if !owner.may_differ(stat.mtime, stat.ctime) {
        return true;
    }
    let known = sums::digests(&owner.sums);
    let expected = sums::names_of(file).find_map(|name| known.get(name));
    let actual = digest::md5_of_file(file).ok().flatten();
    expected.is_some_and(|expected| actual.as_deref() == Some(*expected))
}

/// Returns whether a file with this name is the requested program, and not a wrapper such as ccache that runs
/// another program.
fn is_requested_program(file: &Path, name: &str, program: &str) -> bool {
    let word = program.split('-').next().unwrap_or(program);
    let elf = fs::open_untrusted(file.parent().unwrap_or(file), name, None).is_ok_and(|mut file| {
        let mut magic = [0u8; 4];
        std::io::Read::read_exact(&mut file, &mut magic).is_ok() && &magic == b"\x7fELF"
    });
    elf && (name.contains(word) || name.contains(program))
}

/// Returns the digest of a file.
fn file_digest(file: &Path) -> String {
    match digest::file(file) {
        Ok(Some(digest)) => format!("sha256:{digest}"),
        _ => "unreadable".into(),
    }
}

/// Returns the path of the compiler proper (`cc1`) of a gcc. `gcc` itself only starts it.
fn compiler_proper(name: &str, program: &Path, path: &OsStr) -> Option<PathBuf> {
    let is_gcc = name.contains("gcc") || name == "cc";
    let cc1 = is_gcc.then(|| PathBuf::from(first_line(program, "-print-prog-name=cc1", path)));
    cc1.filter(|file| file.is_absolute())
}

/// Returns the first line of `PROGRAM --version`.
fn version_line(program: &Path, path: &OsStr) -> String {
    first_line(program, "--version", path)
}

/// Returns the first line that a program prints with this argument; empty if the program fails.
fn first_line(program: &Path, argument: &str, path: &OsStr) -> String {
    let done = Command::new(program)
        .arg(argument)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .timeout(Duration::from_secs(10))
        .run();
    let text = done.map(|done| done.stdout_text()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_programs() {
        for (file, package) in [
            ("/usr/bin/x86_64-linux-gnu-gcc-12", "gcc-12"),
            ("/usr/bin/x86_64-linux-gnu-gcc-14", "gcc-14-x86-64-linux-gnu"),
            ("/usr/bin/arm-linux-gnueabihf-gcc-12", "gcc-12-arm-linux-gnueabihf"),
            ("/usr/bin/x86_64-linux-gnu-ld.bfd", "binutils-x86-64-linux-gnu"),
            ("/usr/lib/llvm-18/bin/clang", "clang-18"),
            ("/usr/lib/llvm-18/bin/llvm-strip", "llvm-18"),
            ("/usr/bin/make", "make"),
            ("/usr/bin/pahole", "dwarves"),
        ] {
            assert!(package_names(Path::new(file)).contains(&package.to_owned()), "{file}");
        }
    }

    #[test]
    fn a_program_without_a_package_is_described_by_version_and_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::join_paths([dir.path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            fs::set_mode(&file, 0o755).unwrap();
            fs::set_modified(&file, std::time::UNIX_EPOCH).unwrap();
        };
        let describe = |name: &str| Tools::default().describe(name, &path);
        write("tool", "#!/bin/sh\necho tool 3 \"$1\"\necho more\n");
        let first = describe("tool");
        assert!(first.starts_with("tool tool 3 --version sha256:"), "{first}");
        // The same size and time.
        write("tool", "#!/bin/sh\necho tool 3 \"$1\"\necho MORE\n");
        assert_ne!(describe("tool"), first);
        assert_eq!(describe("no-such-tool"), "absent");
        let compiler =
            format!("#!/bin/sh\n[ \"$1\" = --version ] && echo 1 || echo {}/cc1\n", dir.path().display());
        write("my-gcc", &compiler);
        write("cc1", "1");
        let first = describe("my-gcc");
        write("cc1", "2");
        assert_ne!(describe("my-gcc"), first);
    }
}
