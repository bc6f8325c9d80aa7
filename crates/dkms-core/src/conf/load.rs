//! Loads a package's directives for one kernel: its dkms.conf, overridden by the administrator's files,
//! overridden by `--directive` (CONTRACT "dkms.conf").

use super::bash::{self, Evaluator};
use crate::conf::ConfError;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::kernel::headers;
use crate::system::{Settings, System};
use dkms_conf::lint::Code;
use dkms_conf::module_conf::{KernelFacts, ModuleConf};
use dkms_conf::{Decline, Diagnostic, Dialect, Directives, Location, Severity, State};
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::layout::Layout;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// A file that was evaluated.
#[derive(Clone, Debug)]
pub struct EvaluatedFile {
    /// The file.
    pub path: PathBuf,
    /// The construct that required bash; `None` if the file was evaluated natively.
    pub bash_because: Option<BashConstruct>,
}

/// A construct that the native evaluator does not support, so that bash evaluates the file.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BashConstruct {
    /// Its line, counted from 1.
    pub line: u32,
    /// A description of the construct.
    pub construct: String,
}

/// A package's configuration for one kernel.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed values.
    pub conf: ModuleConf,
    /// The final values, as text.
    pub directives: Directives,
    /// The files that were evaluated, in order.
    pub files: Vec<EvaluatedFile>,
    /// Its diagnostics: errors first, those for every action before those for add, build and install only.
    /// Notes are only shown by `lint` and `config`, because the user who installs the package cannot fix
    /// them.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Returns the diagnostics of one severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(move |diagnostic| diagnostic.severity == severity)
    }

    /// Fails on any error that makes the file unusable for add, build and install.
    ///
    /// # Errors
    /// [`ConfError::Invalid`] with every error and its place.
    pub fn strict(self) -> Result<Self> {
        self.without_errors(|_| true)
    }

    /// Fails on any error that makes the file unusable even for uninstall and remove.
    ///
    /// # Errors
    /// [`ConfError::Invalid`] with every error and its place.
    pub fn lenient(self) -> Result<Self> {
        self.without_errors(|error| !error.strict_only)
    }

    fn without_errors(self, is_fatal: impl Fn(&Diagnostic) -> bool) -> Result<Self> {
        let errors: Vec<_> = self.of(Severity::Error).filter(|error| is_fatal(error)).cloned().collect();
        if errors.is_empty() { Ok(self) } else { Err(ConfError::Invalid(errors).into()) }
    }

    /// Returns "native", or the constructs that required bash. The manifest records this text.
    pub fn evaluation(&self) -> String {
        let reason = |file: &EvaluatedFile| {
            let BashConstruct { line, construct } = file.bash_because.as_ref()?;
            Some(format!("bash: {} line {line}: {construct}", file.path.display()))
        };
        let reasons: Vec<String> = self.files.iter().filter_map(reason).collect();
        if reasons.is_empty() { "native".into() } else { reasons.join("; ") }
    }
}

/// Returns the administrator's files for a package and kernel. Each file overrides the previous files.
pub fn override_files(config_dir: &Path, package: &PackageId, kernel: &Kernel) -> Vec<PathBuf> {
    let (name, version, release, arch) = (&package.name, &package.version, &kernel.release, &kernel.arch);
    [
        format!("{name}.conf"),
        format!("{name}-{version}.conf"),
        format!("{name}-{version}-{release}.conf"),
        format!("{name}-{version}-{release}-{arch}.conf"),
        format!("{name}--{release}.conf"),
        format!("{name}--{release}-{arch}.conf"),
    ]
    .into_iter()
    .map(|file| config_dir.join(file))
    .collect()
}

/// Loads the configuration of a registered package: `-c FILE`, or the dkms.conf in its source.
///
/// # Errors
/// [`ConfError::Missing`], or [`ConfError::Invalid`] if a file cannot be evaluated at all. The diagnostics of
/// its contents are part of the result.
pub fn load(system: &System, sink: &dyn Sink, package: &PackageId, kernel: &Kernel) -> Result<Loaded> {
    load_file(system, sink, &conf_file(&system.layout, &system.settings, package), Some(package), kernel)
}

/// Returns the dkms.conf of a registered package: `-c FILE`, or the file in its source.
pub fn conf_file(layout: &Layout, settings: &Settings, package: &PackageId) -> PathBuf {
    settings.conf_file.clone().unwrap_or_else(|| layout.conf(package))
}

/// Removes CONFINE and similar directives from a package's dkms.conf, with a warning for each: a package must
/// not decide what its builds are allowed to do.
fn drop_own_policy(path: &Path, text: &[u8], directives: &mut Directives) -> Vec<Diagnostic> {
    let text = String::from_utf8_lossy(text);
    let mut warnings = Vec::new();
    for name in dkms_conf::directives::CONFINE {
        if directives.indices(name).next().is_none() {
            continue;
        }
        directives.clear(name);
        let message = format!("{name} is ignored: a package cannot choose what its builds may do");
        let help = "only the administrator's files in /etc/dkms can set it";
        let at = dkms_conf::locate(&text, name, None);
        let warning = Diagnostic::warning(Code::Confine, message, help);
        warnings.push(warning.about(name, None).at(at).in_file(path));
    }
    warnings
}

/// Loads one dkms.conf, and the administrator's files if the package is known.
///
/// # Errors
/// As [`load`].
pub fn load_file(
    system: &System,
    sink: &dyn Sink,
    path: &Path,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> Result<Loaded> {
    let mut state = State { variables: variables(system, package, kernel), directives: Directives::new() };
    let mut files = Vec::new();
    let mut texts = Vec::new();
    let mut diagnostics = Vec::new();
    let mut paths = vec![path.to_path_buf()];
    if let Some(package) = package {
        paths.extend(override_files(&system.layout.config_dir, package, kernel));
    }
    for (index, file) in paths.iter().enumerate() {
        let text = match dkms_sys::fs::read_bounded(file, dkms_sys::fs::Limit::CONFIG) {
            Ok(text) => text,
            Err(e) if e.is_not_found() && index > 0 => continue,
            Err(e) if e.is_not_found() => return Err(ConfError::Missing(file.clone()).into()),
            Err(e) => return Err(Error::Io(e)),
        };
        let (directives, evaluated) =
            evaluate_file(&Evaluator::new(system, sink), file, &text, &state, Dialect::Module)?;
        state.directives = directives;
        if index == 0 {
            diagnostics.extend(drop_own_policy(file, &text, &mut state.directives));
        }
        files.push(evaluated);
        texts.push((file.clone(), String::from_utf8_lossy(&text).into_owned()));
    }
    for (name, value) in &system.settings.directives {
        let (name, index) = split_index(name);
        state.directives.set(name, index, value.clone());
    }
    let (conf, problems) = ModuleConf::from_directives(&state.directives);
    for (path, text) in &texts {
        diagnostics.extend(dkms_conf::suspicious(text).into_iter().map(|warning| warning.in_file(path)));
    }
    for (path, text) in texts.iter().skip(1) {
        let warnings = dkms_conf::unknown_confinement(text);
        diagnostics.extend(warnings.into_iter().map(|warning| warning.in_file(path)));
    }
    diagnostics.extend(problems.into_iter().map(|problem| match problem.code {
        // The build reports a patch outside the patches directory, with a separate exit code.
        Code::PatchPath => {
            Diagnostic { severity: Severity::Warning, strict_only: false, ..locate(problem, &texts) }
        }
        _ => locate(problem, &texts),
    }));
    diagnostics.sort_by_key(|diagnostic| (Reverse(diagnostic.severity), diagnostic.strict_only));
    Ok(Loaded { conf, directives: state.directives, files, diagnostics })
}

/// Evaluates one file natively, or with bash if the native evaluator declines.
///
/// # Errors
/// [`ConfError::Invalid`] if bash was needed and failed.
pub fn evaluate_file(
    evaluator: &Evaluator<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<(Directives, EvaluatedFile)> {
    let (directives, bash_because) =
        match dkms_conf::evaluate(text, before, dialect, &crate::conf::regex_matches) {
            Ok(directives) => (directives, None),
            Err(decline) => match bash::evaluate(evaluator, path, text, before, dialect) {
                Ok(directives) => {
                    let Decline { line, construct, .. } = decline;
                    (directives, Some(BashConstruct { line, construct }))
                }
                Err(why) => {
                    return Err(ConfError::Invalid(vec![not_evaluated(path, text, &decline, &why)]).into());
                }
            },
        };
    Ok((directives, EvaluatedFile { path: path.to_path_buf(), bash_because }))
}

/// Returns the error for a file that neither the native evaluator nor bash could evaluate. `why` is the
/// reason why bash failed.
fn not_evaluated(path: &Path, text: &[u8], decline: &Decline, why: &str) -> Diagnostic {
    let (mut line, mut column) = (decline.line, decline.column);
    let (message, help) = match why.strip_prefix(bash::CANNOT_PARSE) {
        Some(output) => {
            // bash reports the line: "6: syntax error: ...".
            let (number, error) = output.split_once(": ").unwrap_or(("", output));
            if let Ok(number) = number.trim().parse() {
                (line, column) = (number, 1);
            }
            let help = "close what is open: quotes, 'if' with 'fi', '(' with ')'";
            (format!("this is not valid bash: {error}"), help)
        }
        None => {
            let help = "use plain assignments, or commands that need neither write access nor network";
            (format!("{} here needs bash, and {why}", decline.construct), help)
        }
    };
    let text = String::from_utf8_lossy(text);
    let text = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default().to_owned();
    let at = (line > 0).then_some(Location { line, column, len: 1, text });
    Diagnostic::error(Code::CannotEvaluate, message, help).at(at).in_file(path)
}

fn split_index(name: &str) -> (&str, usize) {
    name.strip_suffix(']')
        .and_then(|n| n.split_once('['))
        .and_then(|(n, i)| Some((n, i.parse().ok()?)))
        .unwrap_or((name, 0))
}

/// Returns the variables that a dkms.conf can use.
pub fn variables(
    system: &System,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> std::collections::BTreeMap<String, String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let distribution = system.host.distribution.as_ref().map_or("", |d| d.word());
    let (module, version) = package.map_or(("", ""), |p| (p.name.as_str(), p.version.as_str()));
    [
        ("kernelver", kernel.release.to_string()),
        ("arch", kernel.arch.clone()),
        ("kernel_source_dir", path(&headers::source_dir(&system.layout, &system.settings, &kernel.release))),
        ("kernel_config", path(&headers::config_path(&system.layout, &system.settings, &kernel.release))),
        ("dkms_tree", path(&system.layout.dkms_tree)),
        ("source_tree", path(&system.layout.source_tree)),
        ("install_tree", path(&system.layout.install_tree)),
        ("tmp_location", path(&system.settings.tmp_location)),
        ("module", module.to_owned()),
        ("module_version", version.to_owned()),
        ("parallel_jobs", system.jobs_word()),
        ("current_kernel", system.host.release.to_string()),
        ("current_os", "Linux".to_owned()),
        ("running_distribution", distribution.to_owned()),
        ("addon_modules_dir", system.host.addon_modules_dir.clone().unwrap_or_default()),
        (dkms_conf::DESTINATION, system.host.fixed_destination().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Adds the file and the position to a diagnostic. If several files set its directive, the last one is used,
/// because it overrides the others.
pub(super) fn locate(diagnostic: Diagnostic, texts: &[(PathBuf, String)]) -> Diagnostic {
    let Diagnostic { directive, index, .. } = &diagnostic;
    let find = |(path, text): &'_ (PathBuf, String)| {
        Some((path.clone(), dkms_conf::locate(text, directive, *index)?))
    };
    match texts.iter().rev().find_map(find) {
        Some((path, at)) => diagnostic.in_file(&path).at(Some(at)),
        None => diagnostic.in_file(texts.first().map_or(Path::new(""), |(path, _)| path)),
    }
}

/// The result of BUILD_EXCLUSIVE: the reason why each module is excluded, and the reason why the complete
/// package is excluded if no module is left.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// One entry for each module of dkms.conf.
    pub modules: Vec<Option<String>>,
    /// Set if nothing is left to build.
    pub whole: Option<String>,
}

/// Evaluates BUILD_EXCLUSIVE for a kernel.
///
/// # Errors
/// [`ConfError::Invalid`] for a regular expression that does not compile.
pub fn exclusion(
    loaded: &Loaded,
    kernel: &Kernel,
    config: Option<&crate::kernel::headers::KernelConfig>,
) -> Result<Exclusion> {
    let enabled = |name: &str| config.is_some_and(|c| c.enabled(name));
    let facts = KernelFacts {
        release: &kernel.release,
        arch: &kernel.arch,
        config: config.is_some().then_some(&enabled as &dyn Fn(&str) -> bool),
    };
    let (conf, matcher) = (&loaded.conf, &crate::conf::regex_matches);
    let bad_regex = |e: dkms_conf::module_conf::BadRegex| bad_regex(loaded, &e.to_string());
    let whole = conf.all_excluded(&facts, matcher).map_err(bad_regex)?;
    let modules = conf.modules.iter().map(|entry| conf.excluded(entry.index, &facts, matcher));
    Ok(Exclusion { modules: modules.collect::<std::result::Result<_, _>>().map_err(bad_regex)?, whole })
}

/// The error for an invalid regular expression in dkms.conf.
pub fn bad_regex(loaded: &Loaded, message: &str) -> Error {
    let help = "use a POSIX extended regular expression, see regex(7)";
    let path = loaded.files.first().map_or(Path::new(""), |file| &file.path);
    let diagnostic = Diagnostic::error(Code::RegexInvalid, message.to_owned(), help).in_file(path);
    Error::Conf(ConfError::Invalid(vec![diagnostic]))
}
