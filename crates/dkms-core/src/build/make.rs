//! The make command: as dkms.conf has it, with the kernel's own toolchain and the symbols of the packages it builds on.

use super::{Job, Target, denied, diagnose, jobs};
use crate::build::BuildError;
use crate::conf::load::{Loaded, bad_regex};
use crate::error::{Error, Result};
use crate::hooks;
use crate::ids::{Build, Kernel};
use crate::program::ProgramError;
use crate::session::Session;
use crate::tree::{manifest::Manifest, state};
use dkms_sys::process::{Command, Stream};
use std::ffi::OsString;
use std::path::PathBuf;

/// The command line for a kernel: MAKE as dkms.conf chooses it, or the default; `LLVM=1` behind it for a kernel that
/// clang built; `-jN KERNELRELEASE=K` behind a leading bare `make`.
///
/// # Errors
/// A MAKE_MATCH that does not compile.
pub fn command_line(s: &Session<'_>, b: &Build, loaded: &Loaded, llvm: bool) -> Result<String> {
    let chosen = loaded
        .conf
        .make_command(&b.kernel.release, &dkms_sys::regex::matches)
        .map_err(|e| bad_regex(loaded, &e.to_string()))?;
    let mut line = match chosen {
        Some(line) => line.to_owned(),
        None => format!(
            "make -C {} M={}",
            crate::kernel::headers::source_dir(s, &b.kernel.release).display(),
            s.layout.build_dir(&b.package).display()
        ),
    };
    if llvm {
        line.push_str(" LLVM=1");
    }
    if let Some(rest) = line.strip_prefix("make") {
        if rest.is_empty() || rest.starts_with(char::is_whitespace) {
            line = format!("make -j{} KERNELRELEASE={}{rest}", s.jobs_word(), b.kernel.release);
        }
    }
    Ok(line)
}

/// What the build sees: the inherited environment, the toolchain, `build_environment`, and KBUILD_EXTRA_SYMBOLS.
pub fn environment(
    s: &Session<'_>,
    target: &Target,
    b: &Build,
    loaded: &Loaded,
) -> Result<Vec<(OsString, OsString)>> {
    let mut env = s.host.environment.clone();
    let mut set = |k: OsString, v: OsString| {
        env.retain(|(name, _)| *name != k);
        env.push((k, v));
    };
    let exported = crate::hooks::variables(&b.package, Some(&b.kernel));
    for (k, v) in exported.iter().chain(&target.toolchain.environment) {
        set(k.into(), v.into());
    }
    for (k, v) in build_environment(s, target)? {
        set(k, v);
    }
    let symvers = extra_symbols(s, &b.kernel, &loaded.conf.build_depends);
    if !symvers.is_empty() {
        let joined: Vec<String> = symvers.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        set("KBUILD_EXTRA_SYMBOLS".into(), joined.join(" ").into());
    }
    Ok(env)
}

/// The Module.symvers of everything the package builds on, directly or through others.
fn extra_symbols(s: &Session<'_>, kernel: &Kernel, depends: &[String]) -> Vec<PathBuf> {
    let mut pending: Vec<String> = depends.to_vec();
    let (mut seen, mut found) = (Vec::new(), Vec::new());
    while let Some(name) = pending.pop() {
        if seen.contains(&name) {
            continue;
        }
        if let Some(id) = state::installed_version(s.layout, &name, kernel) {
            let build = Build::new(&id, kernel);
            let symvers = s.layout.module_dir(&build).join("Module.symvers");
            if symvers.is_file() {
                found.push(symvers);
            }
            if let Some(m) = Manifest::load(s.layout, &build) {
                pending.extend(m.build_depends);
            }
        }
        seen.push(name);
    }
    found
}

/// The variables that the file `build_environment` exports: it is sourced by bash, and what it exports is read back.
fn build_environment(s: &Session<'_>, target: &Target) -> Result<Vec<(OsString, OsString)>> {
    use std::os::unix::ffi::OsStringExt;
    let Some(file) = target.framework.build_environment.as_deref().filter(|f| !f.is_empty()) else {
        return Ok(Vec::new());
    };
    if !std::path::Path::new(file).is_file() {
        s.warn(format!("build_environment in framework.conf names {file}, which is not there"));
        return Ok(Vec::new());
    }
    let bash = dkms_sys::process::which("bash", &s.host.path).unwrap_or_else(|| "bash".into());
    let done = Command::new(bash)
        .args(["--noprofile", "--norc", "-c", "source \"$1\" >/dev/null 2>&1; exec env -0", "dkms", file])
        .envs(s.host.environment.iter().cloned())
        .stdout(Stream::Capture)
        .stderr(Stream::Null)
        .run()
        .map_err(|e| hooks::process_error(s, e, "read build_environment"))?;
    let inherited = &s.host.environment;
    let variables = done.stdout.split(|b| *b == 0).filter_map(|record| {
        let at = record.iter().position(|b| *b == b'=')?;
        let (k, v) = record.split_at(at);
        let pair = (OsString::from_vec(k.to_vec()), OsString::from_vec(v.get(1..)?.to_vec()));
        (k != b"_" && k != b"SHLVL" && !inherited.contains(&pair)).then_some(pair)
    });
    Ok(variables.collect())
}

/// Runs the make command in the build directory; all output goes to the log.
///
/// # Errors
/// [`BuildError::MakeFailed`] with the first real errors.
pub(crate) fn run(job: &Job<'_>, line: &jobs::Line) -> Result<()> {
    let (s, b, log) = (job.s, job.b, job.log);
    let io = |source| Error::Io(dkms_sys::IoError::new("write", &log.path, source));
    log.begin("Building module(s)", &line.text)?;
    let bash = dkms_sys::process::which("bash", &s.host.path).unwrap_or_else(|| "/bin/bash".into());
    if dkms_sys::process::which("make", &s.host.path).is_none() {
        let package = s.host.distribution.as_ref().map_or("make".into(), |d| d.program_package("make"));
        return Err(ProgramError::Missing {
            program: "make".into(),
            purpose: "build modules".into(),
            package,
        }
        .into());
    }
    let build_dir = s.layout.build_dir(&b.package);
    let mut command = job
        .sandbox
        .command(bash)
        .args(["--noprofile", "--norc", "-c", &line.text])
        .envs(environment(s, job.target, b, job.loaded)?)
        .env("PWD", &build_dir)
        .stdout(Stream::File(log.file().try_clone().map_err(io)?))
        .stderr(Stream::ToStdout);
    if let Some(pool) = job.pool.filter(|_| line.share == jobs::Share::Pool) {
        let [read, write] = pool.descriptors();
        command = command.env("MAKEFLAGS", pool.makeflags()).pass_fd(read).pass_fd(write);
    }
    let done = job.sandbox.run(s, command, "build modules")?;
    log.end(done.status.code_for_shell(), done.elapsed)?;
    if done.status.success() {
        return Ok(());
    }
    let text =
        String::from_utf8_lossy(&dkms_sys::fs::read_start(&log.path, dkms_sys::fs::Limit::LOG)?).into_owned();
    let mut diagnosis = diagnose::diagnose(s, &text);
    if job.sandbox.is_on() {
        if let Some(denied) = denied::find(&text, &build_dir) {
            diagnosis.meaning = Some(denied.explain(&s.layout.config_dir, &b.package.name));
        }
    }
    if diagnosis.meaning.is_none() {
        if let Some(cc) = &job.target.toolchain.missing {
            diagnosis.meaning = Some(format!(
                "this kernel was built with {cc}, which is not installed; modules need the same compiler"
            ));
        }
    }
    Err(BuildError::MakeFailed {
        build: b.clone(),
        status: done.status.to_string(),
        log: log.kept.clone(),
        diagnosis,
    }
    .into())
}
