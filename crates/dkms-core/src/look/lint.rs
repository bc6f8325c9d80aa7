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

/// The result for a file.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The diagnostics that are left, by line.
    pub diagnostics: Vec<Diagnostic>,
    /// The diagnostics that were fixed, with their positions before the change.
    pub fixed: Vec<Diagnostic>,
    /// The reason why nothing was fixed although something could have been.
    pub not_fixed: Option<String>,
}

impl Report {
    /// The number of diagnostics that are more than notes.
    pub fn problems(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity > Severity::Note).count()
    }
}

/// A file as it was checked.
struct Looked {
    text: String,
    directives: Option<Directives>,
    diagnostics: Vec<Diagnostic>,
}

/// Checks a dkms.conf, for one kernel if the result depends on it.
///
/// # Errors
/// [`ConfError::Missing`], or [`Error::Io`] if it cannot be read.
pub fn look(system: &System, sink: &dyn Sink, path: &Path, kernel: &Kernel) -> Result<Report> {
    let looked = examine(system, sink, path, None, &read(path)?, kernel);
    Ok(Report { path: path.to_path_buf(), diagnostics: looked.diagnostics, ..Report::default() })
}

/// Checks the file, applies safe fixes, and checks it again. The file is replaced atomically, and the rest of
/// its text is unchanged. If the fixed text could not be evaluated, or if it changed a directive that was not
/// fixed, nothing is written.
///
/// # Errors
/// As for [`look`], and [`Error::Io`] if it cannot be written.
pub fn fix(system: &System, sink: &dyn Sink, path: &Path, kernel: &Kernel) -> Result<Report> {
    let bytes = read(path)?;
    let before = examine(system, sink, path, None, &bytes, kernel);
    let mut report = Report { path: path.to_path_buf(), ..Report::default() };
    let (text, fixed) = lint::apply(&before.text, &before.diagnostics);
    if text == before.text {
        report.diagnostics = before.diagnostics;
        return Ok(report);
    }
    if before.text.as_bytes() != bytes {
        report.not_fixed = Some("the file is not UTF-8".into());
        report.diagnostics = before.diagnostics;
        return Ok(report);
    }
    // Follows links, so that the file itself is replaced.
    let target = fs::canonicalize(path).map_err(Error::Io)?;
    let metadata = fs::metadata(&target).map_err(Error::Io)?;
    let after = {
        let candidate = Candidate::new(&target, text.as_bytes(), metadata.mode())?;
        examine(system, sink, path, Some(&candidate.0), text.as_bytes(), kernel)
    };
    if before.directives.is_some() && after.directives.is_none() {
        report.not_fixed = Some("the fixed file could not be evaluated".into());
        report.diagnostics = before.diagnostics;
        return Ok(report);
    }
    if let (Some(old), Some(new)) = (&before.directives, &after.directives) {
        let other = lint::differing(old, new, &before.diagnostics, &fixed);
        if !other.is_empty() {
            report.not_fixed = Some(format!("it would change {} as well", other.join(", ")));
            report.diagnostics = before.diagnostics;
            return Ok(report);
        }
    }
    fs::write_atomic(&target, text.as_bytes(), metadata.mode() & 0o7777).map_err(Error::Io)?;
    if system.host.root {
        fs::set_owner(&target, metadata.uid(), metadata.gid()).map_err(Error::Io)?;
    }
    let both = before.diagnostics.into_iter().zip(fixed);
    report.fixed = both.filter(|(_, fixed)| *fixed).map(|(f, _)| f).collect();
    report.diagnostics = after.diagnostics;
    Ok(report)
}

/// A file with the fixed text next to the original, for bash, which may read the files beside it. Deleted
/// when dropped.
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

/// Checks a file's text. `shown_at` is the path at which bash finds it, if it differs from `path`.
fn examine(
    system: &System,
    sink: &dyn Sink,
    path: &Path,
    shown_at: Option<&Path>,
    bytes: &[u8],
    kernel: &Kernel,
) -> Looked {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let state = State { variables: load::variables(system, None, kernel), directives: Directives::new() };
    let declined = dkms_conf::evaluate(bytes, &state, Dialect::Module, &crate::conf::regex_matches).err();
    // bash runs in another directory, so the path is made absolute.
    let shown_at = shown_at.unwrap_or(path);
    let shown_at = std::path::absolute(shown_at).unwrap_or_else(|_| shown_at.to_path_buf());
    let (directives, refused) =
        match load::evaluate_one(&Evaluator::new(system, sink), &shown_at, bytes, &state, Dialect::Module) {
            Ok((directives, _)) => (Some(directives), None),
            Err(e) => (None, Some(e)),
        };
    let words = [
        kernel.release.to_string(),
        headers::source_dir(&system.layout, &system.settings, &kernel.release).to_string_lossy().into_owned(),
    ];
    let facts = Facts {
        directives: directives.as_ref(),
        // A file that cannot be evaluated at all is reported once.
        declined: declined.as_ref().filter(|_| refused.is_none()),
        kernel_words: &words,
        matcher: &crate::conf::regex_matches,
    };
    let mut diagnostics = lint::lint(&text, &facts);
    if let Some(error) = refused {
        diagnostics.extend(cannot_evaluate(error));
    }
    if let Some(directives) = &directives {
        // Elsewhere, for example in Debian's debian/PACKAGE.dkms, the source is not next to the file.
        if path.file_name().is_some_and(|n| n == "dkms.conf") {
            let source = Source { directory: path.parent().unwrap_or(Path::new(".")), text: &text };
            source.makefile(directives, &mut diagnostics);
            source.patches(directives, &mut diagnostics);
            source.scripts(directives, &mut diagnostics);
            source.name(&system.layout, directives, &mut diagnostics);
        }
    }
    diagnostics.sort_by_key(|f| f.at.as_ref().map_or((0, 0), |at| (at.line, at.column)));
    Looked { text, directives, diagnostics }
}

fn cannot_evaluate(error: Error) -> Vec<Diagnostic> {
    match error {
        Error::Conf(ConfError::Invalid(found)) => {
            found.into_iter().map(|found| Diagnostic { code: Code::CannotEvaluate, ..found }).collect()
        }
        other => vec![Diagnostic::error(Code::CannotEvaluate, other.to_string(), "")],
    }
}

/// A package's source, with its dkms.conf in it.
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
    fn makefile(&self, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        if !diagnostics.iter().any(|d| d.code == Code::MakeIgnoresKernel) {
            return;
        }
        let lines = directives.indices("MAKE").take(200).filter_map(|i| directives.get("MAKE", i));
        let lines: Vec<&str> = lines.collect();
        if makefile::uses_kernel(self.directory, &lines.join(";"), directives) {
            diagnostics.retain(|d| d.code != Code::MakeIgnoresKernel);
        }
    }

    fn patches(&self, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        for index in directives.indices("PATCH").take(500) {
            let Some(patch) = directives.get("PATCH", index).filter(|p| !p.is_empty() && !p.contains(".."))
            else {
                continue;
            };
            if !fs::is_file(self.directory.join("patches").join(patch)) {
                let message = format!("PATCH[{index}] is patches/{patch}, which is not there");
                let help = format!("put it there, or remove PATCH[{index}]");
                diagnostics.push(self.diagnostic(Code::PatchMissing, "PATCH", Some(index), message, help));
            }
        }
    }

    fn scripts(&self, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        for directive in SCRIPTS {
            let Some(script) = directives.scalar(directive).split_ascii_whitespace().next() else { continue };
            let path = self.directory.join(script);
            if fs::is_file(&path) && !fs::is_executable(&path) {
                let message = format!("{directive} names {script}, which is not executable");
                let help = format!("chmod +x {script}");
                diagnostics.push(self.diagnostic(Code::ScriptNotExecutable, directive, None, message, help));
            } else if !fs::is_file(&path) {
                let message = format!("{directive} names {script}, which is not there");
                let help =
                    "a path below the source's directory, with its arguments; not a shell command".into();
                diagnostics.push(self.diagnostic(Code::ScriptMissing, directive, None, message, help));
            }
        }
    }

    /// In /usr/src the directory must be named NAME-VERSION; elsewhere only if its name has this form.
    fn name(&self, layout: &Layout, directives: &Directives, diagnostics: &mut Vec<Diagnostic>) {
        let (name, version) = (directives.scalar("PACKAGE_NAME"), directives.scalar("PACKAGE_VERSION"));
        let directory = std::path::absolute(self.directory).unwrap_or_else(|_| self.directory.to_path_buf());
        let Some(have) = directory.file_name().and_then(|n| n.to_str()) else { return };
        let want = format!("{name}-{version}");
        if name.is_empty() || version.is_empty() || have == want {
            return;
        }
        let usr_src = directory.parent().is_some_and(|p| p == layout.source_tree || p.ends_with("usr/src"));
        let versioned = have
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !usr_src && !versioned {
            return;
        }
        // The part of the name that differs.
        let directive = if versioned { "PACKAGE_VERSION" } else { "PACKAGE_NAME" };
        let message = format!("the directory is named {have}, but dkms searches for {want}");
        let help = format!("rename the directory to {want}, or change {directive} to match its name");
        diagnostics.push(self.diagnostic(Code::DirectoryName, directive, None, message, help));
    }
}
