//! Runs PRE_BUILD and POST_BUILD, with the confinement of the build.

use super::context::Context;
use super::denied;
use super::environment::Variables;
use crate::error::Result;
use crate::hooks::{self, Script};
use crate::program::ProgramError;
use dkms_sys::fs::Limit;
use dkms_sys::process::Stream;
use dkms_sys::sandbox::Place;
use std::time::Instant;

/// Runs the script in `line`, if dkms.conf has one. It may access `places` in addition to the directories of
/// the build.
///
/// # Errors
/// [`ProgramError::ScriptFailed`]; the shell cannot be started.
pub(crate) fn run(
    context: &Context<'_>,
    directive: &'static str,
    line: Option<&str>,
    variables: &Variables,
    places: &[Place],
) -> Result<()> {
    let Some(line) = line.filter(|l| !l.is_empty()) else { return Ok(()) };
    let (system, package) = (context.system, &context.build.package);
    context.log.begin(&format!("Running {directive}"), line)?;
    let started = Instant::now();
    let directory = system.layout.build_dir(package);
    let script = Script { directive, line, directory: &directory, environment: &[] };
    let Some(program) = hooks::find(&system.layout, context.sink, package, &script, context.dir) else {
        return Ok(());
    };
    hooks::announce(context.sink, package, &script);
    let shell_line = format!("{} {}", dkms_sys::process::quote(program.as_os_str()), hooks::arguments(line));
    let command = context
        .sandbox
        .command_with(hooks::shell(&system.host), places)
        .args(["-c", &shell_line])
        .envs(variables.iter().cloned())
        .stdout(context.log.stream()?)
        .stderr(Stream::ToStdout);
    let status = context.sandbox.run(system, context.sink, command, "run a package's script")?.status;
    context.log.end(status.code_for_shell(), started.elapsed())?;
    if status.success() {
        return Ok(());
    }
    if context.sandbox.is_on() {
        let text = dkms_sys::fs::read_text(&context.log.path, Limit::LOG).unwrap_or_default();
        if let Some(denied) = denied::find(&text, &directory) {
            context.sink.warn(denied.explain(&system.layout.config_dir, &package.name));
        }
    }
    Err(ProgramError::ScriptFailed {
        package: package.clone(),
        directive,
        command: line.to_owned(),
        status: status.to_string(),
        code: status.code_for_shell(),
        log: Some(system.layout.failed_log(context.build)),
    }
    .into())
}
