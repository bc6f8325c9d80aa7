//! `dkms lint`: checks a dkms.conf and the files next to it, for its author. `--fix` applies safe fixes.
//!
//! [`dkms_conf::lint`] checks the text. This module checks the files: patches, scripts, the name of the
//! directory, the Makefile. The administrator's files in /etc/dkms are ignored, because only the package is
//! checked.

mod makefile;

use crate::conf::bash::Evaluator;
use crate::conf::{ConfError, load};
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::kernel::headers;
use crate::system::System;
use dkms_conf::lint::{self, Code, Facts};
use dkms_conf::{Diagnostic, Dialect, Directives, Severity, State};
use dkms_sys::fs;
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directives whose value is a script in the source.
const SCRIPTS: [&str; 6] =
    ["POST_ADD", "PRE_BUILD", "POST_BUILD", "PRE_INSTALL", "POST_INSTALL", "POST_REMOVE"];

/// The result of checking a file.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The remaining diagnostics, by line.
    pub diagnostics: Vec<Diagnostic>,
    /// The diagnostics that were fixed, with their positions before the change.
    pub fixed: Vec<Diagnostic>,
    /// The reason why no fix was applied, although a diagnostic has one.
    pub not_fixed: Option<String>,
}

impl Report {
    /// Returns the number of errors and warnings.
    pub fn problems(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity > Severity::Note).count()
    }
}

/// The text of a file, and the result of its evaluation and its checks.
struct Examined {
    text: String,
    directives: Option<Directives>,
    diagnostics: Vec<Diagnostic>,
}

/// Checks a dkms.conf, for one kernel if the result depends on it.
///
/// # Errors
/// [`ConfError::Missing`], or [`Error::Io`] if it cannot be read.
pub fn check(system: &System, sink: &dyn Sink, path: &Path, kernel: &Kernel) -> Result<Report> {
    let Examined { diagnostics, .. } = examine(system, sink, path, None, &read(path)?, kernel);
    Ok(Report { path: path.to_path_buf(), diagnostics, ..Report::default() })
}

/// Checks the file, applies safe fixes, and checks it again. The file is replaced atomically, and the rest of
/// its text is unchanged. If the fixed text could not be evaluated, or if it changed a directive that was not
/// fixed, nothing is written.
///
/// # Errors
/// As for [`check`], and [`Error::Io`] if it cannot be written.
pub fn fix(system: &System, sink: &dyn Sink, path: &Path, kernel: &Kernel) -> Result<Report> {
    let bytes = read(path)?;
    let before = examine(system, sink, path, None, &bytes, kernel);
    let (text, fixed) = lint::apply(&before.text, &before.diagnostics);
    let unchanged = |diagnostics, reason: Option<String>| {
        let (path, fixed) = (path.to_path_buf(), Vec::new());
        Ok(Report { path, diagnostics, fixed, not_fixed: reason })
    };
    if text == before.text {
        return unchanged(before.diagnostics, None);
    }
    if before.text.as_bytes() != bytes {
        return unchanged(before.diagnostics, Some("the file is not UTF-8".into()));
    }
    // Follows links, so that the file itself is replaced.
    let target = fs::canonicalize(path).map_err(Error::Io)?;
    let metadata = fs::metadata(&target).map_err(Error::Io)?;
    let after = {
        let candidate = Candidate::new(&target, text.as_bytes(), metadata.mode())?;
        examine(system, sink, path, Some(&candidate.0), text.as_bytes(), kernel)
    };
    match (&before.directives, &after.directives) {
        (Some(_), None) => {
            return unchanged(before.diagnostics, Some("the fixed file could not be evaluated".into()));
        }
        (Some(old), Some(new)) => {
            let others = lint::differing(old, new, &before.diagnostics, &fixed);
            if !others.is_empty() {
                let reason = format!("it would change {} as well", others.join(", "));
                return unchanged(before.diagnostics, Some(reason));
            }
        }
        (None, _) => {}
    }
    fs::write_atomic(&target, text.as_bytes(), metadata.mode() & 0o7777).map_err(Error::Io)?;
    if system.host.root {
        fs::set_owner(&target, metadata.uid(), metadata.gid()).map_err(Error::Io)?;
    }
    let both = before.diagnostics.into_iter().zip(fixed);
    Ok(Report {
        path: path.to_path_buf(),
        diagnostics: after.diagnostics,
        fixed: both.filter(|(_, fixed)| *fixed).map(|(diagnostic, _)| diagnostic).collect(),
        not_fixed: None,
    })
}

/// A file with the fixed text next to the original, because the text may read other files there when bash
/// evaluates it. Deleted when dropped.
struct Candidate(PathBuf);

impl Candidate {
    fn new(beside: &Path, text: &[u8], mode: u32) -> Result<Self> {
        let path = beside.with_file_name(format!(".dkms.conf.lint-{}", std::process::id()));
        fs::create_new(&path, text, mode & 0o777).map_err(Error::Io)?;
        Ok(Self(path))
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    match fs::read_optional(path, fs::Limit::CONFIG) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(ConfError::Missing(path.to_path_buf()).into()),
        Err(e) => Err(Error::Io(e)),
    }
}

/// Checks a file's text. `bash_path` is the path of the file that bash reads, if it differs from `path`.
fn examine(
    system: &System,
    sink: &dyn Sink,
    path: &Path,
    bash_path: Option<&Path>,
    bytes: &[u8],
    kernel: &Kernel,
) -> Examined {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let state = State { variables: load::variables(system, None, kernel), directives: Directives::new() };
    let declined = dkms_conf::evaluate(bytes, &state, Dialect::Module, &crate::conf::regex_matches).err();
    // bash runs in another directory, so the path is made absolute.
    let bash_path = absolute(bash_path.unwrap_or(path));
    let evaluated =
        load::evaluate_file(&Evaluator::new(system, sink), &bash_path, bytes, &state, Dialect::Module);
    let (directives, error) = match evaluated {
        Ok((directives, _)) => (Some(directives), None),
        Err(error) => (None, Some(error)),
    };
    let words = [
        kernel.release.to_string(),
        headers::source_dir(&system.layout, &system.settings, &kernel.release).to_string_lossy().into_owned(),
    ];
    let facts = Facts {
        directives: directives.as_ref(),
        // If bash fails too, only that error is reported.
        declined: declined.as_ref().filter(|_| error.is_none()),
        kernel_words: &words,
        matcher: &crate::conf::regex_matches,
    };
    let mut diagnostics = lint::lint(&text, &facts);
    if let Some(error) = error {
        diagnostics.extend(cannot_evaluate(error));
    }
    if let Some(directives) = &directives {
        // A file with another name, such as Debian's debian/PACKAGE.dkms, is not next to the source.
        if path.file_name().is_some_and(|name| name == "dkms.conf") {
            let source = Source { directory: path.parent().unwrap_or(Path::new(".")), text: &text };
            source.check_makefile(directives, &mut diagnostics);
            source.check_patches(directives, &mut diagnostics);
            source.check_scripts(directives, &mut diagnostics);
            source.check_name(&system.layout, directives, &mut diagnostics);
        }
    }
    let position = |diagnostic: &Diagnostic| diagnostic.at.as_ref().map_or((0, 0), |at| (at.line, at.column));
    diagnostics.sort_by_key(position);
    Examined { text, directives, diagnostics }
}

/// Returns the absolute path, without resolving links.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn cannot_evaluate(error: Error) -> Vec<Diagnostic> {
    let code = Code::CannotEvaluate;
    match error {
        Error::Conf(ConfError::Invalid(diagnostics)) => {
            diagnostics.into_iter().map(|diagnostic| Diagnostic { code, ..diagnostic }).collect()
        }
        other => vec![Diagnostic::error(code, other.to_string(), "")],
    }
}

/// The directory of a package's source, and the text of its dkms.conf.
struct Source<'a> {
    directory: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn diagnostic(
        &self,
        code: Code,
        directive: &str,
        index: Option<usize>,
        message: String,
        help: String,
    ) -> Diagnostic {
        let at = dkms_conf::locate(self.text, directive, index);
        Diagnostic::warning(code, message, help).about(directive, index).at(at)
    }

    /// If a MAKE line does not contain the kernel release, checks whether the makefile or script uses the
    /// release.
    fn check_makefile(&self, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        if !diagnostics.iter().any(|d| d.code == Code::MakeIgnoresKernel) {
            return;
        }
        let lines = directives.indices("MAKE").take(200).filter_map(|index| directives.get("MAKE", index));
        let lines: Vec<&str> = lines.collect();
        if makefile::uses_kernel(self.directory, &lines.join(";"), directives) {
            diagnostics.retain(|d| d.code != Code::MakeIgnoresKernel);
        }
    }

    fn check_patches(&self, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        for index in directives.indices("PATCH").take(500) {
            let Some(patch) = directives.get("PATCH", index).filter(|p| !p.is_empty() && !p.contains(".."))
            else {
                continue;
            };
            if !fs::is_file(self.directory.join("patches").join(patch)) {
                let message = format!("PATCH[{index}] is patches/{patch}, which does not exist");
                let help = format!("add the file, or remove PATCH[{index}]");
                diagnostics.push(self.diagnostic(Code::PatchMissing, "PATCH", Some(index), message, help));
            }
        }
    }

    fn check_scripts(&self, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        for directive in SCRIPTS {
            let Some(script) = directives.scalar(directive).split_ascii_whitespace().next() else { continue };
            let path = self.directory.join(script);
            if fs::is_file(&path) && !fs::is_executable(&path) {
                let message = format!("{directive} names {script}, which is not executable");
                let help = format!("chmod +x {script}");
                diagnostics.push(self.diagnostic(Code::ScriptNotExecutable, directive, None, message, help));
            } else if !fs::is_file(&path) {
                let message = format!("{directive} names {script}, which does not exist");
                let help = "use a path relative to the source, with arguments; not a shell command".into();
                diagnostics.push(self.diagnostic(Code::ScriptMissing, directive, None, message, help));
            }
        }
    }

    /// Checks the name of the directory: in /usr/src it must be NAME-VERSION. Elsewhere it may have any name
    /// that does not look like NAME with another version.
    fn check_name(&self, layout: &Layout, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        let (name, version) = (directives.scalar("PACKAGE_NAME"), directives.scalar("PACKAGE_VERSION"));
        let directory = absolute(self.directory);
        let Some(actual) = directory.file_name().and_then(|name| name.to_str()) else { return };
        let expected = format!("{name}-{version}");
        if name.is_empty() || version.is_empty() || actual == expected {
            return;
        }
        let in_usr_src =
            directory.parent().is_some_and(|p| p == layout.source_tree || p.ends_with("usr/src"));
        let has_other_version = actual
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !in_usr_src && !has_other_version {
            return;
        }
        let directive = if has_other_version { "PACKAGE_VERSION" } else { "PACKAGE_NAME" };
        let message = format!("the directory is named {actual}, but dkms searches for {expected}");
        let help = format!("rename the directory to {expected}, or change {directive} to match its name");
        diagnostics.push(self.diagnostic(Code::DirectoryName, directive, None, message, help));
    }
}
