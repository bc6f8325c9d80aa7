//! Runs PRE_BUILD and make in the build directory.

use super::context::Context;
use super::recipe::Recipe;
use super::{denied, diagnose, jobs, script};
use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::kernel::toolchain::Missing;
use dkms_sys::fs::Limit;
use dkms_sys::jobserver::Slots;
use dkms_sys::process::Stream;
use std::path::Path;

/// A build directory in which make succeeded. Its files are untrusted.
pub(crate) struct Compiled<'a> {
    /// The build directory.
    pub dir: &'a Path,
}

/// Runs PRE_BUILD and make, confined. Their output goes to make.log.
///
/// # Errors
/// [`ProgramError::ScriptFailed`]; [`BuildError::MakeFailed`] with the first errors of the compiler.
pub(crate) fn compile<'a>(
    context: &'a Context<'_>,
    recipe: &Recipe,
    slot: Option<Slots<'_>>,
) -> Result<Compiled<'a>> {
    let system = context.system;
    context.target.require_foreign_tools(&system.host, &system.settings)?;
    let variables = context.script_variables(&[]);
    script::run(context, "PRE_BUILD", context.loaded.conf.pre_build.as_deref(), &variables, &[])?;
    context.sink.event(Event::Detail { text: context.target.toolchain.as_typed(&recipe.line) });
    context.stage("make");
    let _slots = match context.pool {
        // The command chooses its number of jobs itself, so it first acquires all slots.
        Some(pool) if recipe.fitted.share == jobs::Share::All => {
            drop(slot);
            Some(pool.acquire_all().map_err(|e| Error::Interrupted(e.0))?)
        }
        _ => slot,
    };
    run_make(context, recipe)?;
    Ok(Compiled { dir: context.dir })
}

fn run_make(context: &Context<'_>, recipe: &Recipe) -> Result<()> {
    let (system, log, path) = (context.system, context.log, &context.system.host.path);
    // Without a pool, the number of jobs is not limited, and the command stays as it is in dkms.conf.
    let pool = context.pool.filter(|_| recipe.fitted.share == jobs::Share::Pool);
    let line = if context.pool.is_some() { &recipe.fitted.text } else { &recipe.line };
    log.begin("Building module(s)", &context.target.toolchain.as_typed(line))?;
    if dkms_sys::process::which("make", path).is_none() {
        return Err(system.host.missing_program("make", "build modules").into());
    }
    let bash = dkms_sys::process::which("bash", path).unwrap_or_else(|| "/bin/bash".into());
    let mut command = context
        .sandbox
        .command(bash)
        .args(["--noprofile", "--norc", "-c", line])
        .envs(recipe.environment.iter().cloned())
        .stdout(log.stream()?)
        .stderr(Stream::ToStdout);
    if let Some(pool) = pool {
        let [read, write] = pool.descriptors();
        command = command.env("MAKEFLAGS", pool.makeflags()).pass_fd(read).pass_fd(write);
    }
    let done = context.sandbox.run(system, context.sink, command, "build modules")?;
    log.end(done.status.code_for_shell(), done.elapsed)?;
    if done.status.success() {
        return Ok(());
    }
    Err(BuildError::MakeFailed {
        build: context.build.clone(),
        status: done.status.to_string(),
        log: log.failed_path.clone(),
        diagnosis: diagnose_failure(context)?,
    }
    .into())
}

/// Finds the first errors in make.log, and their explanation if it is certain.
fn diagnose_failure(context: &Context<'_>) -> Result<crate::build::Diagnosis> {
    let (system, package) = (context.system, &context.build.package);
    let text = dkms_sys::fs::read_start(&context.log.path, Limit::LOG)?;
    let text = String::from_utf8_lossy(&text);
    let mut diagnosis = diagnose::diagnose(&system.host, &text);
    if context.sandbox.is_on() {
        if let Some(denied) = denied::find(&text, &system.layout.build_dir(package)) {
            diagnosis.meaning = Some(denied.explain(&system.layout.config_dir, &package.name));
        }
    }
    if let Some(missing) = &context.target.toolchain.missing {
        let is_same = |meaning: &String| missing.programs.iter().any(|p| meaning.starts_with(p.as_str()));
        if diagnosis.meaning.as_ref().is_none_or(is_same) {
            diagnosis.meaning = Some(explain_missing(context, missing));
        }
    }
    Ok(diagnosis)
}

fn explain_missing(context: &Context<'_>, missing: &Missing) -> String {
    let package = |program: &String| context.system.host.program_package(program);
    let mut packages: Vec<String> = missing.programs.iter().map(package).collect();
    packages.dedup();
    format!(
        "this kernel was compiled with {}, and modules for it need the same tools; not installed: {} (packages: {})",
        missing.compiler,
        missing.programs.join(", "),
        packages.join(" ")
    )
}
