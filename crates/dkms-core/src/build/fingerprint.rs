//! The inputs of a build, described before make runs, from the very copy that is compiled.
//!
//! A fingerprint is the SHA-256 of sorted lines `name=value`. Two builds with the same fingerprint have the
//! same inputs, as far as these lines describe them: the source after patches, the directives, the commands
//! and scripts, their environment, the kernel's headers (`inputs::headers`), and the programs that compile
//! (`inputs::tools`). No value depends on where or when files were unpacked, so machines with the same
//! packages have the same lines. What does not change the compiled modules is left out: key, compression,
//! destination, number of jobs, times, the user.

use super::prepared::Prepared;
use super::recipe::Recipe;
use super::subject::Subject;
use super::target;
use super::{environment, jobs};
use crate::conf::load::Loaded;
use crate::digest;
use crate::error::Result;
use crate::hooks;
use crate::registry::fleet::{self, Fleet};
use dkms_tree::manifest::Inputs;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Must be increased whenever a change in dkms changes the result of builds.
const BUILDER: u32 = 1;

/// Directives that do not count: MAKE has a line of its own, because it often contains the number of jobs.
/// The others decide when a build is made, where its modules are installed, and what happens then.
const OTHERWISE: [&str; 10] = [
    "MAKE",
    "DEST_MODULE_LOCATION",
    "AUTOINSTALL",
    "BUILD_DEPENDS_REBUILD",
    "NO_WEAK_MODULES",
    "REMAKE_INITRD",
    "PRE_INSTALL",
    "POST_INSTALL",
    "POST_ADD",
    "POST_REMOVE",
];

/// What decides the result of one build.
pub(crate) struct Fingerprint {
    lines: BTreeMap<String, String>,
    /// The same for people, as the manifest records it.
    pub inputs: Inputs,
}

impl Fingerprint {
    /// SHA-256 of the lines, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let text: String = self.lines().into_iter().map(|line| line + "\n").collect();
        digest::bytes(text.as_bytes())
    }

    /// The lines `name=value`, sorted. No line contains a line break.
    pub(crate) fn lines(&self) -> Vec<String> {
        sorted_lines(&self.lines)
    }

    /// Adds the signer of the modules.
    pub(crate) fn add_signer(&mut self, fleet: &Fleet) {
        self.lines.insert(fleet::LINE.to_owned(), fleet.id());
    }
}

/// Sorted as lines: `=` sorts after some characters of names, so the order of the names is another one.
fn sorted_lines(lines: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines: Vec<String> =
        lines.iter().map(|(name, value)| format!("{name}={}", one_line(value))).collect();
    lines.sort();
    lines
}

/// A value without control characters: each is written as Rust escapes it, and so is a backslash.
fn one_line(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_control() || c == '\\' { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

/// Describes the inputs of a build. Nothing of the package has run yet but its patches.
///
/// # Errors
/// A file of the copy or of the kernel cannot be read.
pub(crate) fn describe(
    subject: &Subject<'_>,
    prepared: &Prepared<'_>,
    recipe: &Recipe,
) -> Result<Fingerprint> {
    let kernel = subject.target.inputs(subject.session, subject.keep)?;
    let inputs = Inputs {
        source: digest_of_copy(prepared.dir)?,
        directives: directives(subject.loaded, |_| true),
        patches: prepared.patches.clone(),
        headers: subject.target.headers.dir.clone(),
        kernel_config: kernel.config.clone(),
        compiler: subject.target.toolchain.compiler.clone(),
        make: recipe.line.clone(),
        evaluated: subject.loaded.evaluation(),
    };
    let mut lines = package_lines(subject, prepared.dir, recipe, &inputs)?;
    lines.extend(kernel_lines(subject, recipe, kernel));
    Ok(Fingerprint { lines, inputs })
}

fn package_lines(
    subject: &Subject<'_>,
    dir: &Path,
    recipe: &Recipe,
    inputs: &Inputs,
) -> Result<BTreeMap<String, String>> {
    let conf = &subject.loaded.conf;
    let mut lines = BTreeMap::from([
        ("schema".to_owned(), "1".to_owned()),
        ("builder".to_owned(), BUILDER.to_string()),
        ("source".to_owned(), inputs.source.clone()),
        ("directives".to_owned(), directives(subject.loaded, |name| !OTHERWISE.contains(&name))),
        ("make".to_owned(), jobs::without_jobs(&recipe.line)),
    ]);
    lines.extend(environment::lines(
        &environment::inherited(subject.session.host, subject.session.options),
        &recipe.environment,
    ));
    for (name, line) in [("PRE_BUILD", &conf.pre_build), ("POST_BUILD", &conf.post_build)] {
        let Some(line) = line.as_deref().filter(|l| !l.is_empty()) else { continue };
        let layout = subject.session.layout;
        // A script that make creates does not exist yet; what creates it is part of the source.
        let file = hooks::locate(layout, &subject.build.package, line, dir);
        let digest = file.map(|f| digest::file(&f)).transpose()?.flatten();
        let digest = digest.as_deref().unwrap_or("absent");
        lines.insert(format!("script={name}"), format!("{digest} {line}"));
    }
    for (name, symvers) in &recipe.symbols {
        // It existed when the recipe was made. Without it, make would fail.
        let digest = digest::existing_file(symvers)?;
        lines.insert(format!("depends={name}"), digest);
    }
    Ok(lines)
}

fn kernel_lines(
    subject: &Subject<'_>,
    recipe: &Recipe,
    inputs: &target::KernelInputs,
) -> Vec<(String, String)> {
    let kernel = &subject.build.kernel;
    let mut lines = vec![
        ("arch", kernel.arch.clone()),
        ("kernel", kernel.release.to_string()),
        ("headers", inputs.headers.headers.clone()),
        ("config", inputs.config.clone()),
        ("symvers", inputs.symvers.clone()),
        ("autoconf", inputs.autoconf.clone()),
        ("utsrelease", inputs.utsrelease.clone()),
        ("btf", inputs.btf.clone()),
        ("objtool", inputs.objtool.clone()),
    ];
    lines.extend(inputs.headers.kbuild.clone().map(|kbuild| ("kbuild", kbuild)));
    lines.extend(tool_lines(subject, recipe));
    lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The programs that compile. A kernel's Makefile chooses its compiler itself, with `CROSS_COMPILE` and
/// `LLVM`; packages and Debian's headers take the one of `CC`. Both count.
fn tool_lines(subject: &Subject<'_>, recipe: &Recipe) -> Vec<(&'static str, String)> {
    let inherited = environment::inherited(subject.session.host, subject.session.options);
    let variable = |name: &str| {
        let mut all = recipe.environment.iter().rev().chain(&inherited);
        let (_, value) = all.find(|(n, value)| n == name && !value.is_empty())?;
        Some(value.to_string_lossy().into_owned())
    };
    let path = variable("PATH").unwrap_or_default();
    let cross = variable("CROSS_COMPILE").unwrap_or_default();
    let llvm = variable("LLVM").or_else(|| subject.target.toolchain.llvm.clone());
    // LLVM is 1, a directory with a slash at its end, or a suffix such as -18.
    let of_llvm = |name: &str| {
        llvm.as_deref().map(|llvm| match llvm {
            directory if directory.ends_with('/') => format!("{directory}{name}"),
            suffix if suffix.starts_with('-') => format!("{name}{suffix}"),
            _ => name.to_owned(),
        })
    };
    let describe = |own: Option<String>, usual: String| {
        // CC may be `ccache gcc`: all of its words that are programs count.
        let words = own.as_deref().unwrap_or_default().split_whitespace();
        let mut programs: Vec<&str> = words.filter(|word| !word.starts_with('-')).collect();
        programs.push(&usual);
        let mut texts: Vec<String> =
            programs.iter().map(|p| subject.target.tools.describe(p, path.as_ref())).collect();
        texts.dedup();
        texts.join("; ")
    };
    let usual = |name: &str, llvm: &str| of_llvm(llvm).unwrap_or_else(|| format!("{cross}{name}"));
    let strip = subject.target.toolchain.strip_program();
    vec![
        ("compiler", describe(variable("CC"), usual("gcc", "clang"))),
        ("ld", describe(variable("LD"), usual("ld", "ld.lld"))),
        ("as", describe(None, format!("{cross}as"))),
        ("pahole", describe(None, variable("PAHOLE").unwrap_or_else(|| "pahole".into()))),
        ("strip", describe(None, strip.to_owned())),
        ("tool=make", describe(None, "make".to_owned())),
    ]
}

/// Digest of the final directives whose names are wanted.
fn directives(loaded: &Loaded, wanted: impl Fn(&str) -> bool) -> String {
    let wanted = loaded.directives.iter().filter(|(name, _, _)| wanted(name));
    let text: String = wanted.map(|(name, index, value)| format!("{name}[{index}]={value}\n")).collect();
    digest::bytes(text.as_bytes())
}

/// Digest of the copy of a source: names, kinds, execute bits, contents and link targets, with the contents
/// of files outside to which links lead. Times and owners do not count, nor does the `make.log` that dkms shows
/// there.
fn digest_of_copy(dir: &Path) -> Result<String> {
    let mut hash = digest::Hasher::new();
    add_directory(dir, Path::new(""), &mut hash)?;
    Ok(hash.finish())
}

/// Adds what is in the directory `below` of the copy, in the order of the names.
fn add_directory(dir: &Path, below: &Path, hash: &mut digest::Hasher) -> Result<()> {
    for name in dkms_sys::fs::list_dir(dir.join(below))? {
        let name = below.join(name);
        let path = dir.join(&name);
        if name == Path::new("make.log") {
            continue;
        }
        let field = |hash: &mut digest::Hasher, kind: &[u8], data: &[u8]| {
            hash.update(kind);
            hash.update(&(data.len() as u64).to_le_bytes());
            hash.update(data);
        };
        field(hash, b"n", name.as_os_str().as_bytes());
        if dkms_sys::fs::is_real_dir(&path) {
            hash.update(b"d");
            add_directory(dir, &name, hash)?;
        } else if dkms_sys::fs::is_symlink(&path) {
            field(hash, b"l", dkms_sys::fs::read_link(&path)?.as_os_str().as_bytes());
            if let Some(contents) = digest_outside(dir, &path) {
                field(hash, b"o", contents.as_bytes());
            }
        } else {
            let file = dkms_sys::fs::open_untrusted(dir, &name, None)?;
            let meta = file.metadata().map_err(|e| dkms_sys::IoError::new("examine", &path, e))?;
            let executable = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0;
            field(hash, if executable { b"x" } else { b"f" }, &meta.len().to_le_bytes());
            hash.update_from(file, &path)?;
        }
    }
    Ok(())
}

/// Digest of a file outside the copy to which a link leads: it can change while the link stays the same.
/// `None` if the link leads to something else, or the file cannot be read. A directory outside does not
/// count.
fn digest_outside(dir: &Path, link: &Path) -> Option<String> {
    let target = dkms_sys::fs::canonicalize(link).ok()?;
    let dir = dkms_sys::fs::canonicalize(dir).ok()?;
    if target.starts_with(dir) { None } else { digest::file(&target).ok()? }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_outside_to_which_a_link_leads_counts() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = outside.path().join("shared.h");
        std::fs::write(&file, "1").unwrap();
        symlink(&file, dir.path().join("shared.h")).unwrap();
        for other in ["/dev/null", "/no/such/file", "/proc", "itself"] {
            symlink(other, dir.path().join(other.replace('/', "_"))).unwrap();
        }
        let before = digest_of_copy(dir.path()).unwrap();
        assert_eq!(digest_of_copy(dir.path()).unwrap(), before);
        std::fs::write(&file, "2").unwrap();
        assert_ne!(digest_of_copy(dir.path()).unwrap(), before);
    }
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn copy() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/a.c"), "int a;\n").unwrap();
        std::fs::write(dir.path().join("dkms.conf"), "x\n").unwrap();
        symlink("a.c", dir.path().join("sub/link")).unwrap();
        dir
    }

    #[test]
    fn equal_copies_have_equal_digests_and_every_change_shows() {
        type Change = fn(&Path);
        let original = digest_of_copy(copy().path()).unwrap();
        assert_eq!(original, digest_of_copy(copy().path()).unwrap());
        let changes: [(&str, Change); 8] = [
            ("content", |d| std::fs::write(d.join("sub/a.c"), "int b;\n").unwrap()),
            ("name", |d| std::fs::rename(d.join("sub/a.c"), d.join("sub/b.c")).unwrap()),
            ("directory", |d| std::fs::rename(d.join("sub/a.c"), d.join("a.c")).unwrap()),
            ("new file", |d| std::fs::write(d.join("new"), "").unwrap()),
            ("new directory", |d| std::fs::create_dir(d.join("new")).unwrap()),
            ("execute bit", |d| {
                std::fs::set_permissions(d.join("sub/a.c"), PermissionsExt::from_mode(0o755)).unwrap();
            }),
            ("link target", |d| {
                std::fs::remove_file(d.join("sub/link")).unwrap();
                symlink("../dkms.conf", d.join("sub/link")).unwrap();
            }),
            ("kind", |d| {
                std::fs::remove_file(d.join("sub/link")).unwrap();
                std::fs::write(d.join("sub/link"), "a.c").unwrap();
            }),
        ];
        for (what, change) in changes {
            let dir = copy();
            change(dir.path());
            assert_ne!(original, digest_of_copy(dir.path()).unwrap(), "{what}");
        }
    }

    #[test]
    fn times_modes_that_do_not_matter_and_the_log_change_nothing() {
        let dir = copy();
        let before = digest_of_copy(dir.path()).unwrap();
        std::fs::write(dir.path().join("make.log"), "log\n").unwrap();
        std::fs::set_permissions(dir.path().join("dkms.conf"), PermissionsExt::from_mode(0o600)).unwrap();
        dkms_sys::fs::set_modified(dir.path().join("dkms.conf"), std::time::UNIX_EPOCH).unwrap();
        assert_eq!(before, digest_of_copy(dir.path()).unwrap());
        std::fs::write(dir.path().join("sub/make.log"), "part of the source\n").unwrap();
        assert_ne!(before, digest_of_copy(dir.path()).unwrap());
    }

    #[test]
    fn lines_are_sorted_as_records_want_them() {
        let names = ["depends=base", "depends=base-2", "env=PYTHON", "env=PYTHON3", "arch"];
        let lines = names.iter().map(|name| ((*name).to_owned(), "x\ny".to_owned())).collect();
        let lines = sorted_lines(&lines);
        assert!(lines.is_sorted(), "{lines:?}");
        assert!(lines.contains(&"env=PYTHON3=x\\ny".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let dir = copy();
        std::fs::hard_link(dir.path().join("dkms.conf"), dir.path().join("again")).unwrap();
        assert!(digest_of_copy(dir.path()).is_err());
    }
}
