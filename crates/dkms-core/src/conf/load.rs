//! Loads a package's directives for one kernel: its dkms.conf, overridden by the administrator's files,
//! overridden by `--directive` (CONTRACT "dkms.conf").

use super::bash::{self, Evaluator};
use crate::conf::{ConfDiagnostic, ConfError};
use crate::error::{Error, Result};
use crate::kernel::headers;
use crate::session::Session;
use dkms_conf::module_conf::{KernelFacts, ModuleConf, Problem, Severity};
use dkms_conf::{Dialect, Directives, State};
use dkms_tree::ids::{Kernel, PackageId};
use std::path::{Path, PathBuf};

/// How one file was evaluated.
#[derive(Clone, Debug)]
pub struct FileUsed {
    /// The file.
    pub path: PathBuf,
    /// `None` if it was evaluated natively. Otherwise the line and the construct that needed bash.
    pub bash_because: Option<(u32, String)>,
}

/// A package's configuration for one kernel.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed values.
    pub conf: ModuleConf,
    /// The final values, as text.
    pub directives: Directives,
    /// The files that were evaluated, in order.
    pub files: Vec<FileUsed>,
    /// Errors that make the file unusable for every action.
    pub errors: Vec<ConfDiagnostic>,
    /// Errors that make the file unusable for add, build and install; uninstall and remove continue.
    pub strict_errors: Vec<ConfDiagnostic>,
    /// Warnings for the author.
    pub warnings: Vec<ConfDiagnostic>,
    /// Harmless remarks, which only `lint` and `config` show: the user who installs the package can do
    /// nothing about them.
    pub remarks: Vec<ConfDiagnostic>,
}

impl Loaded {
    /// Fails on any error that makes the file unusable for add, build and install.
    ///
    /// # Errors
    /// [`ConfError::Invalid`] with every problem and its place.
    pub fn strict(self) -> Result<Self> {
        let mut all = self.errors.clone();
        all.extend(self.strict_errors.iter().cloned());
        if all.is_empty() { Ok(self) } else { Err(ConfError::Invalid(all).into()) }
    }

    /// Fails on any error that makes the file unusable even for uninstall and remove.
    ///
    /// # Errors
    /// [`ConfError::Invalid`] with every problem and its place.
    pub fn lenient(self) -> Result<Self> {
        if self.errors.is_empty() { Ok(self) } else { Err(ConfError::Invalid(self.errors).into()) }
    }

    /// "native", or which construct needed bash: for the manifest and `dkms config`.
    pub fn evaluation(&self) -> String {
        let bash: Vec<String> = self
            .files
            .iter()
            .filter_map(|f| {
                let (line, what) = f.bash_because.as_ref()?;
                Some(format!("bash: {} line {line}: {what}", f.path.display()))
            })
            .collect();
        if bash.is_empty() { "native".into() } else { bash.join("; ") }
    }
}

/// The administrator's files for a package and kernel, in the order in which each overrides the one before.
pub fn override_files(config_dir: &Path, p: &PackageId, k: &Kernel) -> Vec<PathBuf> {
    let (m, v, k, a) = (&p.name, &p.version, &k.release, &k.arch);
    [
        format!("{m}.conf"),
        format!("{m}-{v}.conf"),
        format!("{m}-{v}-{k}.conf"),
        format!("{m}-{v}-{k}-{a}.conf"),
        format!("{m}--{k}.conf"),
        format!("{m}--{k}-{a}.conf"),
    ]
    .into_iter()
    .map(|f| config_dir.join(f))
    .collect()
}

/// Loads the configuration of a registered package: `-c FILE`, or the dkms.conf in its source.
///
/// # Errors
/// [`ConfError::Missing`], or [`ConfError::Invalid`] if a file cannot be evaluated at all. Problems with its
/// contents are in the result.
pub fn load(session: &Session<'_>, package: &PackageId, kernel: &Kernel) -> Result<Loaded> {
    load_file(session, &conf_file(session, package), Some(package), kernel)
}

/// The dkms.conf of a registered package: `-c FILE`, or the one in its source.
pub fn conf_file(session: &Session<'_>, package: &PackageId) -> PathBuf {
    session.options.conf_file.clone().unwrap_or_else(|| session.layout.conf(package))
}

fn suspected(path: &Path, suspicion: dkms_conf::Suspicion) -> ConfDiagnostic {
    let at = suspicion.location;
    ConfDiagnostic {
        path: path.to_path_buf(),
        line: at.line,
        column: at.column,
        len: at.len,
        text: at.text,
        message: suspicion.problem.message,
        help: suspicion.problem.help,
    }
}

/// Removes CONFINE and the like from what a package's dkms.conf set, with a warning for each: a package must
/// not decide what its builds may do.
fn refuse_own_policy(path: &Path, text: &[u8], directives: &mut Directives) -> Vec<ConfDiagnostic> {
    let text = String::from_utf8_lossy(text);
    let mut refused = Vec::new();
    for name in dkms_conf::directives::CONFINE {
        if directives.indices(name).next().is_none() {
            continue;
        }
        directives.clear(name);
        let at = dkms_conf::locate(&text, name, None);
        refused.push(ConfDiagnostic {
            path: path.to_path_buf(),
            line: at.as_ref().map_or(0, |at| at.line),
            column: at.as_ref().map_or(0, |at| at.column),
            len: at.as_ref().map_or(0, |at| at.len),
            text: at.map_or_else(String::new, |at| at.text),
            message: format!("{name} is ignored: a package cannot choose what its builds may do"),
            help: "only the administrator's files in /etc/dkms can set it".into(),
        });
    }
    refused
}

/// Loads one dkms.conf, and the administrator's files if the package is known.
///
/// # Errors
/// As [`load`].
pub fn load_file(
    session: &Session<'_>,
    path: &Path,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> Result<Loaded> {
    let mut state = State { variables: variables(session, package, kernel), directives: Directives::new() };
    let mut files = Vec::new();
    let mut texts = Vec::new();
    let mut own_policy = Vec::new();
    let mut paths = vec![path.to_path_buf()];
    if let Some(p) = package {
        paths.extend(override_files(&session.layout.config_dir, p, kernel));
    }
    for (i, file) in paths.iter().enumerate() {
        let text = match dkms_sys::fs::read_bounded(file, dkms_sys::fs::Limit::CONFIG) {
            Ok(text) => text,
            Err(e) if e.is_not_found() && i > 0 => continue,
            Err(e) if e.is_not_found() => {
                return Err(ConfError::Missing(file.clone()).into());
            }
            Err(e) => return Err(Error::Io(e)),
        };
        let (directives, used) = evaluate_one(&session.into(), file, &text, &state, Dialect::Module)?;
        state.directives = directives;
        if i == 0 {
            own_policy.extend(refuse_own_policy(file, &text, &mut state.directives));
        }
        files.push(used);
        texts.push((file.clone(), String::from_utf8_lossy(&text).into_owned()));
    }
    for (name, value) in &session.options.directives {
        let (name, index) = split_index(name);
        state.directives.set(name, index, value.clone());
    }
    let (conf, problems) = ModuleConf::from_directives(&state.directives);
    let mut loaded = Loaded {
        conf,
        directives: state.directives,
        files,
        errors: Vec::new(),
        strict_errors: Vec::new(),
        warnings: own_policy,
        remarks: Vec::new(),
    };
    for (path, text) in &texts {
        loaded
            .warnings
            .extend(dkms_conf::suspicious(text).into_iter().map(|suspicion| suspected(path, suspicion)));
    }
    for (path, text) in texts.iter().skip(1) {
        let unknown = dkms_conf::unknown_confinement(text);
        loaded.strict_errors.extend(unknown.into_iter().map(|suspicion| suspected(path, suspicion)));
    }
    for problem in &problems {
        let placed = place(problem, &texts);
        match (problem.severity, problem.strict_only) {
            // The build reports a patch that leaves its directory, with an exit code of its own.
            (Severity::Error, true) if problem.directive == "PATCH" => loaded.warnings.push(placed),
            (Severity::Note, _) => loaded.remarks.push(placed),
            (Severity::Warning, _) => loaded.warnings.push(placed),
            (Severity::Error, true) => loaded.strict_errors.push(placed),
            (Severity::Error, false) => loaded.errors.push(placed),
        }
    }
    Ok(loaded)
}

/// Evaluates one file natively, or with bash if the native evaluator declines.
///
/// # Errors
/// [`ConfError::Invalid`] if bash was needed and failed.
pub fn evaluate_one(
    evaluator: &Evaluator<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<(Directives, FileUsed)> {
    match dkms_conf::evaluate(text, before, dialect, &dkms_sys::regex::matches) {
        Ok(directives) => Ok((directives, FileUsed { path: path.to_path_buf(), bash_because: None })),
        Err(decline) => match bash::evaluate(evaluator, path, text, before, dialect) {
            Ok(directives) => {
                let because = Some((decline.line, decline.construct));
                Ok((directives, FileUsed { path: path.to_path_buf(), bash_because: because }))
            }
            Err(why) => Err(ConfError::Invalid(vec![not_evaluated(
                path,
                text,
                decline.line,
                decline.column,
                &decline.construct,
                &why,
            )])
            .into()),
        },
    }
}

/// The error for a file that neither the native evaluator nor bash could evaluate.
fn not_evaluated(
    path: &Path,
    text: &[u8],
    line: u32,
    column: u32,
    construct: &str,
    why: &str,
) -> ConfDiagnostic {
    let text = String::from_utf8_lossy(text);
    let mut problem =
        ConfDiagnostic { path: path.to_path_buf(), line, column, len: 1, ..ConfDiagnostic::default() };
    match why.strip_prefix(bash::CANNOT_PARSE) {
        Some(said) => {
            // bash reports the line: "6: syntax error: ...".
            let (number, said) = said.split_once(": ").unwrap_or(("", said));
            if let Ok(number) = number.trim().parse() {
                (problem.line, problem.column) = (number, 1);
            }
            problem.message = format!("this is no valid bash: {said}");
            problem.help = "close what is open: quotes, 'if' with 'fi', '(' with ')'".into();
        }
        None => {
            problem.message = format!("{construct} here needs bash, and {why}");
            problem.help = "plain assignments, or commands that need neither write access nor network".into();
        }
    }
    problem.text = text.lines().nth(problem.line.saturating_sub(1) as usize).unwrap_or_default().to_owned();
    problem
}

fn split_index(name: &str) -> (&str, usize) {
    name.strip_suffix(']')
        .and_then(|n| n.split_once('['))
        .and_then(|(n, i)| Some((n, i.parse().ok()?)))
        .unwrap_or((name, 0))
}

/// The variables that a dkms.conf can use.
pub fn variables(
    session: &Session<'_>,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> std::collections::BTreeMap<String, String> {
    let path = |p: &Path| p.to_string_lossy().into_owned();
    let distribution = session.host.distribution.as_ref().map_or("", |d| d.word());
    let (module, version) = package.map_or(("", ""), |p| (p.name.as_str(), p.version.as_str()));
    [
        ("kernelver", kernel.release.clone()),
        ("arch", kernel.arch.clone()),
        ("kernel_source_dir", path(&headers::source_dir(session, &kernel.release))),
        ("kernel_config", path(&headers::config_path(session, &kernel.release))),
        ("dkms_tree", path(&session.layout.dkms_tree)),
        ("source_tree", path(&session.layout.source_tree)),
        ("install_tree", path(&session.layout.install_tree)),
        ("tmp_location", path(&session.options.tmp_location)),
        ("module", module.to_owned()),
        ("module_version", version.to_owned()),
        ("parallel_jobs", session.jobs_word()),
        ("current_kernel", session.host.release.clone()),
        ("current_os", "Linux".to_owned()),
        ("running_distribution", distribution.to_owned()),
        ("addon_modules_dir", session.host.addon_modules_dir.clone().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}

pub(super) fn place(problem: &Problem, texts: &[(PathBuf, String)]) -> ConfDiagnostic {
    let mut out = ConfDiagnostic {
        path: texts.first().map(|t| t.0.clone()).unwrap_or_default(),
        message: problem.message.clone(),
        help: problem.help.clone(),
        ..ConfDiagnostic::default()
    };
    // The last file that sets it decides.
    for (path, text) in texts.iter().rev() {
        if let Some(at) = dkms_conf::locate(text, &problem.directive, problem.index) {
            out.path = path.clone();
            (out.line, out.column, out.len, out.text) = (at.line, at.column, at.len, at.text);
            break;
        }
    }
    out
}

/// The result of BUILD_EXCLUSIVE: for each module why it is left out, and why the whole package is excluded
/// if no module is left.
#[derive(Clone, Debug, Default)]
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
    let m = &dkms_sys::regex::matches;
    let bad = |e: dkms_conf::module_conf::BadRegex| bad_regex(loaded, &e.to_string());
    let mut out =
        Exclusion { whole: loaded.conf.all_excluded(&facts, m).map_err(bad)?, ..Exclusion::default() };
    for entry in &loaded.conf.modules {
        out.modules.push(loaded.conf.excluded(entry.index, &facts, m).map_err(bad)?);
    }
    Ok(out)
}

/// The error for an invalid regular expression in dkms.conf.
pub fn bad_regex(loaded: &Loaded, message: &str) -> Error {
    Error::Conf(ConfError::Invalid(vec![ConfDiagnostic {
        path: loaded.files.first().map(|f| f.path.clone()).unwrap_or_default(),
        message: message.to_owned(),
        help: "a POSIX extended regular expression, as regex(7) describes it".into(),
        ..ConfDiagnostic::default()
    }]))
}
