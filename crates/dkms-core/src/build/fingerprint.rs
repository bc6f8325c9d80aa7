//! Describes the inputs of a build before make runs. The source is described as the copy that is compiled.
//!
//! A fingerprint is the SHA-256 of sorted lines `name=value`. Two builds with the same fingerprint have the
//! same inputs, as far as these lines describe them: the source after patches, the directives, the commands
//! and scripts, their environment, the kernel's headers (`inputs::headers`), and the programs that compile
//! (`inputs::tools`). No value depends on where or when files were unpacked, so machines with the same
//! packages have the same lines. Settings that do not change the compiled modules are not included: key,
//! compression, destination, number of jobs, times, the user.

use super::inputs::source;
use super::prepared::Prepared;
use super::recipe::Recipe;
use super::subject::Subject;
use super::{environment, jobs, target};
use crate::conf::load::Loaded;
use crate::error::Result;
use crate::registry::fleet::{self, Fleet};
use crate::{digest, hooks};
use dkms_tree::manifest::Inputs;
use std::collections::BTreeMap;
use std::path::Path;

/// Must be increased whenever a change in dkms changes the result of builds.
const BUILDER: u32 = 1;

/// Directives that are not part of the line `directives`. MAKE has a separate line, because it often contains
/// the number of jobs. The others control when a module is built, where it is installed, and what happens
/// afterwards.
const EXCLUDED_DIRECTIVES: [&str; 10] = [
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

/// The inputs that determine the result of a build.
pub(crate) struct Fingerprint {
    lines: BTreeMap<String, String>,
    /// The inputs as the manifest records them, for people.
    pub inputs: Inputs,
    /// Inputs that the lines do not describe. If there are any, the build is not stored in the cache.
    pub undescribed: Option<String>,
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

    /// Adds a line for the signer of the modules.
    pub(crate) fn add_signer(&mut self, fleet: &Fleet) {
        self.lines.insert(fleet::LINE.to_owned(), fleet.id());
    }
}

/// Returns the lines `name=value`, sorted as lines. The order of the names would be different, because some
/// characters of names sort before `=`.
fn sorted_lines(lines: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines: Vec<String> =
        lines.iter().map(|(name, value)| format!("{name}={}", one_line(value))).collect();
    lines.sort();
    lines
}

/// Escapes control characters and backslashes in a value, as in a Rust string.
fn one_line(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_control() || c == '\\' { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

/// Describes the inputs of a build. The patches are applied, and no code of the package has run yet.
///
/// # Errors
/// A file of the source or of the kernel cannot be read.
pub(crate) fn describe(
    subject: &Subject<'_>,
    prepared: &Prepared<'_>,
    recipe: &Recipe,
) -> Result<Fingerprint> {
    let kernel = subject.target.inputs(subject.system, subject.sink, subject.store_digests)?;
    let source = source::digest(prepared.dir, &subject.target.headers.dir)?;
    let inputs = Inputs {
        source: source.digest,
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
    Ok(Fingerprint { lines, inputs, undescribed: source.undescribed })
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
        ("directives".to_owned(), directives(subject.loaded, |name| !EXCLUDED_DIRECTIVES.contains(&name))),
        ("make".to_owned(), jobs::without_jobs(&recipe.line)),
    ]);
    lines.extend(environment::lines(
        &environment::inherited(&subject.system.host, &subject.system.settings),
        &recipe.environment,
    ));
    for (name, line) in [("PRE_BUILD", &conf.pre_build), ("POST_BUILD", &conf.post_build)] {
        let Some(line) = line.as_deref().filter(|l| !l.is_empty()) else { continue };
        let layout = &subject.system.layout;
        // A script that make creates does not exist yet. The code that creates it is part of the source.
        let file = hooks::locate(layout, &subject.build.package, line, dir);
        let digest = file.map(|f| digest::file(&f)).transpose()?.flatten();
        let digest = digest.as_deref().unwrap_or("absent");
        lines.insert(format!("script={name}"), format!("{digest} {line}"));
    }
    for (name, symvers) in &recipe.symbols {
        // It existed when the recipe was created, and make needs it.
        lines.insert(format!("depends={name}"), digest::existing_file(symvers)?);
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

/// The lines for the programs that compile modules. The kernel's Makefile uses the compiler that
/// `CROSS_COMPILE` and `LLVM` select; packages and Debian's headers use the compiler in `CC`. Both are part
/// of the fingerprint.
fn tool_lines(subject: &Subject<'_>, recipe: &Recipe) -> Vec<(&'static str, String)> {
    let inherited = environment::inherited(&subject.system.host, &subject.system.settings);
    let variable = |name: &str| {
        let mut all = recipe.environment.iter().rev().chain(&inherited);
        let (_, value) = all.find(|(n, value)| n == name && !value.is_empty())?;
        Some(value.to_string_lossy().into_owned())
    };
    let path = variable("PATH").unwrap_or_default();
    let cross = variable("CROSS_COMPILE").unwrap_or_default();
    let llvm = variable("LLVM").or_else(|| subject.target.toolchain.llvm.clone());
    // LLVM is 1, a directory that ends with a slash, or a suffix such as -18.
    let llvm_program = |name: &str| {
        llvm.as_deref().map(|llvm| match llvm {
            directory if directory.ends_with('/') => format!("{directory}{name}"),
            suffix if suffix.starts_with('-') => format!("{name}{suffix}"),
            _ => name.to_owned(),
        })
    };
    let describe = |configured: Option<String>, usual: String| {
        // CC can be `ccache gcc`, so all of its words that are programs are described.
        let words = configured.as_deref().unwrap_or_default().split_whitespace();
        let mut programs: Vec<&str> = words.filter(|word| !word.starts_with('-')).collect();
        programs.push(&usual);
        let mut texts: Vec<String> =
            programs.iter().map(|p| subject.target.tools.describe(p, path.as_ref())).collect();
        texts.dedup();
        texts.join("; ")
    };
    let usual = |name: &str, llvm: &str| llvm_program(llvm).unwrap_or_else(|| format!("{cross}{name}"));
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

/// Digest of the final values of the directives for whose names `is_included` returns true.
fn directives(loaded: &Loaded, is_included: impl Fn(&str) -> bool) -> String {
    let included = loaded.directives.iter().filter(|(name, _, _)| is_included(name));
    let text: String = included.map(|(name, index, value)| format!("{name}[{index}]={value}\n")).collect();
    digest::bytes(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_as_in_records() {
        let names = ["depends=base", "depends=base-2", "env=PYTHON", "env=PYTHON3", "arch"];
        let lines = names.iter().map(|name| ((*name).to_owned(), "x\ny".to_owned())).collect();
        let lines = sorted_lines(&lines);
        assert!(lines.is_sorted(), "{lines:?}");
        assert!(lines.contains(&"env=PYTHON3=x\\ny".to_owned()), "{lines:?}");
    }
}
