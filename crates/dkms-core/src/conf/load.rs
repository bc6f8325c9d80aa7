//! A package's directives for one kernel: the module's dkms.conf, the administrator's files over it, `--directive` over
//! all (CONTRACT "dkms.conf").

use super::bash;
use crate::conf::{ConfError, ConfProblem};
use crate::error::{Error, Result};
use crate::ids::{Kernel, PackageId};
use crate::kernel::headers;
use crate::session::Session;
use dkms_conf::lint::Code;
use dkms_conf::module_conf::{KernelFacts, ModuleConf, Problem, Severity};
use dkms_conf::{Dialect, Directives, State};
use std::path::{Path, PathBuf};

/// How one file was evaluated.
#[derive(Clone, Debug)]
pub struct FileUsed {
    /// Which file.
    pub path: PathBuf,
    /// `None`: natively. Else the line and construct that made bash necessary.
    pub bash_because: Option<(u32, String)>,
}

/// A package's configuration for one kernel.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Typed.
    pub conf: ModuleConf,
    /// As the files left them.
    pub directives: Directives,
    /// Which files spoke, in order.
    pub files: Vec<FileUsed>,
    /// Errors that any use of the file refuses.
    pub errors: Vec<ConfProblem>,
    /// Errors that only add, build and install refuse; uninstall and remove go on.
    pub strict_errors: Vec<ConfProblem>,
    /// What the author should look at.
    pub warnings: Vec<ConfProblem>,
    /// What does no harm, for `lint` and `config` only: the user who installs the package can do nothing about it.
    pub remarks: Vec<ConfProblem>,
}

impl Loaded {
    /// Refuses what add, build and install refuse.
    ///
    /// # Errors
    /// [`ConfError::Invalid`] with every problem and its place.
    pub fn strict(self) -> Result<Self> {
        let mut all = self.errors.clone();
        all.extend(self.strict_errors.iter().cloned());
        if all.is_empty() { Ok(self) } else { Err(ConfError::Invalid(all).into()) }
    }

    /// Refuses what even uninstall and remove cannot use.
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
/// [`ConfError::Missing`], or [`ConfError::Invalid`] when a file cannot be evaluated at all. Problems with its contents are
/// in the result.
pub fn load(s: &Session<'_>, package: &PackageId, kernel: &Kernel) -> Result<Loaded> {
    let path = s.options.conf_file.clone().unwrap_or_else(|| s.layout.conf(package));
    load_file(s, &path, Some(package), kernel)
}

fn suspected(path: &Path, suspicion: dkms_conf::Suspicion) -> ConfProblem {
    let at = suspicion.location;
    ConfProblem {
        path: path.to_path_buf(),
        line: at.line,
        column: at.column,
        len: at.len,
        text: at.text,
        message: suspicion.problem.message,
        help: suspicion.problem.help,
    }
}

/// What a package's builds may do is not the package's to say: takes CONFINE and the like out of what its dkms.conf set,
/// with a warning for each.
fn refuse_own_policy(path: &Path, text: &[u8], directives: &mut Directives) -> Vec<ConfProblem> {
    let text = String::from_utf8_lossy(text);
    let mut refused = Vec::new();
    for name in dkms_conf::directives::CONFINE {
        if directives.indices(name).next().is_none() {
            continue;
        }
        directives.clear(name);
        let at = dkms_conf::locate(&text, name, None);
        refused.push(ConfProblem {
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

/// Loads one dkms.conf; the administrator's files join in when the package is known.
///
/// # Errors
/// As [`load`].
pub fn load_file(
    s: &Session<'_>,
    path: &Path,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> Result<Loaded> {
    let mut state = State { variables: variables(s, package, kernel), directives: Directives::new() };
    let mut files = Vec::new();
    let mut texts = Vec::new();
    let mut own_policy = Vec::new();
    let mut paths = vec![path.to_path_buf()];
    if let Some(p) = package {
        paths.extend(override_files(&s.layout.config_dir, p, kernel));
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
        let (directives, used) = evaluate_one(s, file, &text, &state, Dialect::Module)?;
        state.directives = directives;
        if i == 0 {
            own_policy.extend(refuse_own_policy(file, &text, &mut state.directives));
        }
        files.push(used);
        texts.push((file.clone(), String::from_utf8_lossy(&text).into_owned()));
    }
    for (name, value) in &s.options.directives {
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
        loaded.warnings.extend(dkms_conf::suspicious(text).into_iter().map(|s| suspected(path, s)));
    }
    for (path, text) in texts.iter().skip(1) {
        let unknown = dkms_conf::unknown_confinement(text);
        loaded.strict_errors.extend(unknown.into_iter().map(|s| suspected(path, s)));
    }
    for problem in &problems {
        let placed = place(problem, &texts);
        match (problem.severity, problem.strict_only) {
            // A patch that leaves its directory has an exit code of its own, at the build.
            (Severity::Error, true) if problem.directive == "PATCH" => loaded.warnings.push(placed),
            (Severity::Warning, _) if problem.code == Code::Deprecated => loaded.remarks.push(placed),
            (Severity::Warning, _) => loaded.warnings.push(placed),
            (Severity::Error, true) => loaded.strict_errors.push(placed),
            (Severity::Error, false) => loaded.errors.push(placed),
        }
    }
    Ok(loaded)
}

/// Evaluates one file natively, or by bash when the native evaluator declines.
///
/// # Errors
/// [`ConfError::Invalid`] when bash was needed and failed.
pub fn evaluate_one(
    s: &Session<'_>,
    path: &Path,
    text: &[u8],
    before: &State,
    dialect: Dialect,
) -> Result<(Directives, FileUsed)> {
    match dkms_conf::evaluate(text, before, dialect, &dkms_sys::regex::matches) {
        Ok(directives) => Ok((directives, FileUsed { path: path.to_path_buf(), bash_because: None })),
        Err(decline) => match bash::evaluate(s, path, text, before, dialect) {
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

/// A file that neither the native evaluator nor bash could make sense of.
fn not_evaluated(
    path: &Path,
    text: &[u8],
    line: u32,
    column: u32,
    construct: &str,
    why: &str,
) -> ConfProblem {
    let text = String::from_utf8_lossy(text);
    let mut problem =
        ConfProblem { path: path.to_path_buf(), line, column, len: 1, ..ConfProblem::default() };
    match why.strip_prefix(bash::CANNOT_PARSE) {
        Some(said) => {
            // bash knows the line better: "6: syntax error: ...".
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

/// What a dkms.conf may refer to before it sets anything.
pub fn variables(
    s: &Session<'_>,
    package: Option<&PackageId>,
    kernel: &Kernel,
) -> std::collections::BTreeMap<String, String> {
    let path = |p: &Path| p.to_string_lossy().into_owned();
    let distribution = s.host.distribution.as_ref().map_or("", |d| d.word());
    let (module, version) = package.map_or(("", ""), |p| (p.name.as_str(), p.version.as_str()));
    [
        ("kernelver", kernel.release.clone()),
        ("arch", kernel.arch.clone()),
        ("kernel_source_dir", path(&headers::source_dir(s, &kernel.release))),
        ("kernel_config", path(&headers::config_path(s, &kernel.release))),
        ("dkms_tree", path(&s.layout.dkms_tree)),
        ("source_tree", path(&s.layout.source_tree)),
        ("install_tree", path(&s.layout.install_tree)),
        ("tmp_location", path(&s.options.tmp_location)),
        ("module", module.to_owned()),
        ("module_version", version.to_owned()),
        ("parallel_jobs", s.jobs_word()),
        ("current_kernel", s.host.release.clone()),
        ("current_os", "Linux".to_owned()),
        ("running_distribution", distribution.to_owned()),
        ("addon_modules_dir", s.host.addon_modules_dir.clone().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}

pub(super) fn place(problem: &Problem, texts: &[(PathBuf, String)]) -> ConfProblem {
    let mut out = ConfProblem {
        path: texts.first().map(|t| t.0.clone()).unwrap_or_default(),
        message: problem.message.clone(),
        help: problem.help.clone(),
        ..ConfProblem::default()
    };
    // The last file that sets it is the one that counts.
    for (path, text) in texts.iter().rev() {
        if let Some(at) = dkms_conf::locate(text, &problem.directive, problem.index) {
            out.path = path.clone();
            (out.line, out.column, out.len, out.text) = (at.line, at.column, at.len, at.text);
            break;
        }
    }
    out
}

/// Which entries of BUILD_EXCLUSIVE apply: per module the reason it is left out, and the reason for the whole package
/// when no module is left.
#[derive(Clone, Debug, Default)]
pub struct Exclusion {
    /// One entry per module of the conf.
    pub modules: Vec<Option<String>>,
    /// Set when nothing is left to build.
    pub whole: Option<String>,
}

/// Decides BUILD_EXCLUSIVE for a kernel.
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

/// Wraps a bad regular expression as a problem of the file.
pub fn bad_regex(loaded: &Loaded, message: &str) -> Error {
    Error::Conf(ConfError::Invalid(vec![ConfProblem {
        path: loaded.files.first().map(|f| f.path.clone()).unwrap_or_default(),
        message: message.to_owned(),
        help: "a POSIX extended regular expression, as regex(7) describes it".into(),
        ..ConfProblem::default()
    }]))
}
