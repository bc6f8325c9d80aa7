//! The make command of a build, as dkms.conf has it, and the environment of make and of the package's
//! scripts.

use super::environment::{self, Variables};
use super::jobs;
use super::subject::Subject;
use super::target::Target;
use crate::conf::load::{Loaded, bad_regex};
use crate::error::Result;
use crate::hooks;
use crate::lock::Held;
use crate::system::System;
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::layout::Layout;
use dkms_tree::{manifest::Manifest, state};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The make command of one build, determined before any code of the package runs.
pub(crate) struct Recipe {
    /// The make command from dkms.conf.
    pub line: String,
    /// The same command, changed so that make uses the job slots that all builds share.
    pub fitted: jobs::Line,
    /// Variables for make.
    pub environment: Variables,
    /// The names of the packages that this package depends on, each with its Module.symvers.
    pub symbols: Vec<(String, PathBuf)>,
}

impl Recipe {
    /// Determines the make command that builds this package for this kernel.
    ///
    /// # Errors
    /// As [`command_line`]; `build_environment` cannot be read.
    pub(crate) fn new(subject: &Subject<'_>) -> Result<Self> {
        let Subject { system, build, loaded, .. } = *subject;
        let line = command_line(system, build, loaded)?;
        let symbols = extra_symbols(&system.layout, &build.kernel, &loaded.conf.build_depends);
        let environment = make_variables(subject, &symbols)?;
        Ok(Self { fitted: jobs::fit(&line), line, environment, symbols })
    }
}

/// Returns the make command for a kernel: the MAKE of dkms.conf for this kernel, or the default command. If
/// it begins with the word `make`, `-jN KERNELRELEASE=K` is inserted after that word.
///
/// # Errors
/// A MAKE_MATCH is not a valid regular expression.
pub fn command_line(system: &System, build: &Build, loaded: &Loaded) -> Result<String> {
    let release = &build.kernel.release;
    let chosen = loaded
        .conf
        .make_command(release, &crate::conf::regex_matches)
        .map_err(|e| bad_regex(loaded, &e.to_string()))?;
    let mut line = match chosen {
        Some(line) => line.to_owned(),
        None => format!(
            "make -C {} M={}",
            crate::kernel::headers::source_dir(&system.layout, &system.settings, release).display(),
            system.layout.build_dir(&build.package).display()
        ),
    };
    if let Some(rest) = line.strip_prefix("make") {
        if rest.is_empty() || rest.starts_with(char::is_whitespace) {
            line = format!("make -j{} KERNELRELEASE={release}{rest}", system.jobs_word());
        }
    }
    Ok(line)
}

/// Variables for PRE_BUILD and POST_BUILD: those that dkms exports, the toolchain, and the locks that are
/// held.
pub(crate) fn script_variables<'a>(
    system: &System,
    target: &Target,
    build: &Build,
    held: impl IntoIterator<Item = &'a Held>,
) -> Variables {
    let exported = hooks::variables(&build.package, Some(&build.kernel));
    let toolchain = target.toolchain.environment.iter().cloned();
    let all = exported.into_iter().chain(toolchain).chain([crate::lock::variable(system, held)]);
    all.map(|(name, value)| (name.into(), value.into())).collect()
}

/// Variables for make: those that dkms exports, the toolchain, `build_environment`, and KBUILD_EXTRA_SYMBOLS.
fn make_variables(subject: &Subject<'_>, symbols: &[(String, PathBuf)]) -> Result<Variables> {
    let exported = hooks::variables(&subject.build.package, Some(&subject.build.kernel));
    let exported_by_dkms = exported.iter().chain(&subject.target.toolchain.environment);
    let mut variables: Variables =
        exported_by_dkms.map(|(name, value)| (name.into(), value.into())).collect();
    variables.extend(build_environment(subject)?);
    if !symbols.is_empty() {
        let joined: Vec<String> = symbols.iter().map(|(_, p)| p.to_string_lossy().into_owned()).collect();
        variables.push(("KBUILD_EXTRA_SYMBOLS".into(), joined.join(" ").into()));
    }
    Ok(variables)
}

/// Returns the Module.symvers of all packages that this package depends on, directly or indirectly.
fn extra_symbols(layout: &Layout, kernel: &Kernel, depends: &[String]) -> Vec<(String, PathBuf)> {
    let mut pending: Vec<String> = depends.to_vec();
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    while let Some(name) = pending.pop() {
        if seen.contains(&name) {
            continue;
        }
        if let Some(id) = state::installed_version(layout, &name, kernel) {
            let build = Build::new(&id, kernel);
            let symvers = layout.module_dir(&build).join("Module.symvers");
            if symvers.is_file() {
                found.push((name.clone(), symvers));
            }
            if let Some(manifest) = Manifest::load(layout, &build) {
                pending.extend(manifest.build_depends);
            }
        }
        seen.push(name);
    }
    found
}

/// Returns the variables that the file `build_environment` exports. bash sources the file and prints the
/// exported variables.
fn build_environment(subject: &Subject<'_>) -> Result<Variables> {
    use std::os::unix::ffi::OsStringExt;
    let system = subject.system;
    let Some(file) = subject.target.framework.build_environment.as_deref().filter(|f| !f.is_empty()) else {
        return Ok(Vec::new());
    };
    if !Path::new(file).is_file() {
        subject.sink.warn(format!("build_environment in framework.conf is {file}, which does not exist"));
        return Ok(Vec::new());
    }
    let inherited = environment::inherited(&system.host, &system.settings);
    let bash = dkms_sys::process::which("bash", &system.host.path).unwrap_or_else(|| "bash".into());
    // The file belongs to the administrator, not to the package, so it is not confined.
    let done = Command::new(bash)
        .args(["--noprofile", "--norc", "-c", "source \"$1\" >/dev/null 2>&1; exec env -0", "dkms", file])
        .envs(inherited.iter().cloned())
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .run()
        .map_err(|e| hooks::process_error(&system.host, e, "read build_environment"))?;
    let variables = done.stdout.split(|b| *b == 0).filter_map(|record| {
        let at = record.iter().position(|b| *b == b'=')?;
        let (name, value) = record.split_at(at);
        let pair = (OsString::from_vec(name.to_vec()), OsString::from_vec(value.get(1..)?.to_vec()));
        let of_shell = [b"_".as_slice(), b"SHLVL", b"PWD", b"OLDPWD"].contains(&name);
        (!of_shell && !inherited.contains(&pair)).then_some(pair)
    });
    Ok(variables.collect())
}
