//! JSON output for programs. docs/json-schema.md documents it.

use super::{with_code, with_help};
use crate::answer::Answer;
use crate::exit;
use dkms_conf::Diagnostic;
use dkms_core::conf::ConfError;
use dkms_core::error::{Error, Result};
use dkms_core::event::{BuiltModule, Event, FailedPackage, Fallback, KernelSummary, Queued, Sources};
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::look::fsck::{Finding, Repaired};
use dkms_core::look::loaded::Compared;
use dkms_core::look::status::{Entry, State};
use dkms_core::plan::{Operation, Outlook, Plan, Step, StepId};
use dkms_sys::IoError;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

/// The schema version of all JSON output.
pub(crate) const SCHEMA: u32 = 1;

/// The object with the schema version, on one line.
pub(super) fn line(value: Value) -> String {
    format!("{}\n", with_schema(value))
}

/// A value on several lines, with its keys in the order of its type.
///
/// # Errors
/// A value cannot be written as JSON, such as a path that is not UTF-8.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|e| IoError::new("write", "the JSON document", e))? + "\n")
}

/// The object with the schema version, on several lines.
pub(crate) fn document(value: Value) -> String {
    format!("{:#}\n", with_schema(value))
}

fn with_schema(value: Value) -> Value {
    merged([json!({ "schema": SCHEMA }), value])
}

/// Returns what the running kernel has loaded of an entry; `None` for other kernels.
type Loaded<'a> = dyn Fn(&Entry) -> Option<Vec<Compared>> + 'a;

/// `dkms status --json`. With `loaded`, each entry lists what the running kernel has loaded of it.
pub(crate) fn status(
    entries: &[Entry],
    origin: &dyn Fn(&Build) -> Option<String>,
    loaded: Option<&Loaded<'_>>,
) -> String {
    let entry = |entry: &Entry| {
        let mut value = status_entry(entry, origin);
        if let Some(loaded) = loaded {
            value["loaded"] = loaded(entry).map_or(Value::Null, |modules| list(&modules, compared));
        }
        value
    };
    document(json!({ "entries": list(entries, entry) }))
}

/// `dkms fsck --json`
pub(crate) fn fsck(done: &Repaired) -> String {
    let repaired = done.repaired.iter().map(|finding| fsck_finding(finding, true, None));
    let left = done.left.findings.iter().map(|finding| fsck_finding(finding, false, done.failure(finding)));
    document(json!({
        "findings": repaired.chain(left).collect::<Value>(),
        "unreadable": done.left.unreadable,
        "repaired": done.repaired.len(),
        "packages": done.left.packages,
        "builds": done.left.builds,
    }))
}

fn fsck_finding(finding: &Finding, repaired: bool, error: Option<&str>) -> Value {
    json!({
        "kind": finding.kind.word(),
        "package": finding.about.package,
        "version": finding.about.version,
        "kernel": finding.about.release,
        "arch": finding.about.arch,
        "path": lossy(&finding.path),
        "what": finding.what,
        "repair": finding.repair,
        "safe": finding.safe(),
        "repaired": repaired,
        "error": error,
    })
}

fn compared(module: &Compared) -> Value {
    json!({
        "module": module.name.as_str(),
        "state": module.state.word(),
        "path": lossy(&module.path),
        "srcversion": module.loaded.srcversion,
        "build_id": module.loaded.build_id,
        "installed_srcversion": module.installed.srcversion,
        "installed_build_id": module.installed.build_id,
    })
}

/// The word of a state.
pub(crate) fn state_word(state: &State) -> &'static str {
    match state {
        State::Added => "added",
        State::Broken => "broken",
        State::Built(_) => "built",
        State::Installed(_) => "installed",
        State::InstalledWeak { .. } => "installed-weak",
    }
}

fn status_entry(entry: &Entry, origin: &dyn Fn(&Build) -> Option<String>) -> Value {
    let kernel = entry.kernel();
    let from = match &entry.kind {
        State::InstalledWeak { from, .. } => Some(from),
        _ => None,
    };
    // A weak module belongs to the build for the other kernel.
    let built_for = match (kernel, from) {
        (Some(kernel), Some(from)) => Kernel::new(from, &kernel.arch).ok(),
        (kernel, _) => kernel.cloned(),
    };
    let origin = built_for.and_then(|kernel| origin(&Build::new(&entry.package, &kernel)));
    json!({
        "package": entry.package.name,
        "version": entry.package.version,
        "state": state_word(&entry.kind),
        "kernel": kernel.map(|id| &id.release),
        "arch": kernel.map(|id| &id.arch),
        "from_kernel": from,
        "original_modules": entry.originals,
        "built_missing": entry.built_missing,
        "differs": entry.differs,
        "origin": origin,
        "fallback_for": entry.fallback_for,
    })
}

/// The last line of an action's output.
pub(crate) fn result(action: &str, result: &Result<Answer>, code: u8) -> String {
    let error = result.as_ref().err();
    let problem = |problem: &Diagnostic| {
        let (line, column) = problem.at.as_ref().map_or((0, 0), |at| (at.line, at.column));
        json!({
            "path": lossy(&problem.path), "line": line, "column": column,
            "message": problem.message, "help": problem.help,
        })
    };
    let problems = match error {
        Some(Error::Conf(ConfError::Invalid(problems))) => list(problems, problem),
        _ => json!([]),
    };
    line(json!({
        "event": "result", "action": action, "exit_code": code,
        "error": error.map(ToString::to_string), "help": error.map_or_else(Vec::new, Error::help),
        "problems": problems,
    }))
}

/// An event, on one line.
pub(crate) fn event(event: &Event) -> String {
    let (word, subject) = subject(event);
    line(merged([json!({ "event": word }), subject, details(event)]))
}

/// The word of an event, and the keys of the package, build or kernel that it is about.
fn subject(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Added { package, .. } => ("added", package_keys(package)),
        Event::SourceCopied { package, .. } => ("source-copied", package_keys(package)),
        Event::Forgotten { package } => ("removed", package_keys(package)),
        Event::ScriptStarted { package, .. } => ("script-started", package_keys(package)),
        Event::ArchiveLoaded { package, .. } => ("archive-loaded", package_keys(package)),
        Event::BuildStarted { build, .. } => ("build-started", build_keys(build)),
        Event::BuildStage { build, .. } => ("build-stage", build_keys(build)),
        Event::Built { build, .. } => ("built", build_keys(build)),
        Event::ModuleInstalled { build, .. } => ("module-installed", build_keys(build)),
        Event::ModuleRemoved { build, .. } => ("module-removed", build_keys(build)),
        Event::ModuleKept { build, .. } => ("module-kept", build_keys(build)),
        Event::OriginalArchived { build, .. } => ("original-archived", build_keys(build)),
        Event::OriginalRestored { build, .. } => ("original-restored", build_keys(build)),
        Event::Installed { build } => ("installed", build_keys(build)),
        Event::Uninstalled { build } => ("uninstalled", build_keys(build)),
        Event::Unbuilt { build } => ("unbuilt", build_keys(build)),
        Event::Resigned { build, .. } => ("resigned", build_keys(build)),
        Event::Skipped { build, .. } => ("skipped", build_keys(build)),
        Event::Deferred { build, .. } => ("deferred", build_keys(build)),
        Event::Failed { build, .. } => ("failed", build_keys(build)),
        Event::DepmodStarted { kernel } => ("depmod-started", kernel_keys(kernel)),
        Event::DepmodDone { kernel, .. } => ("depmod-done", kernel_keys(kernel)),
        Event::DepmodSkipped { kernel, .. } => ("depmod-skipped", kernel_keys(kernel)),
        Event::Summary(KernelSummary { kernel, .. }) => ("summary", kernel_keys(kernel)),
        Event::Queue { .. } => ("queue", json!({})),
        Event::StillBuilding { .. } => ("still-building", json!({})),
        Event::ModuleUnloaded { .. } => ("module-unloaded", json!({})),
        Event::ModuleLoaded { .. } => ("module-loaded", json!({})),
        Event::Nothing { .. } => ("nothing", json!({})),
        Event::KernelsOfImage { .. } => ("kernels-of-image", json!({})),
        Event::ScriptOutput { .. } => ("script-output", json!({})),
        Event::CommandRun { .. } => ("command-run", json!({})),
        Event::KeyMade { .. } => ("key-made", json!({})),
        Event::SigningKey { .. } => ("signing-key", json!({})),
        Event::PageWritten { .. } => ("page-written", json!({})),
        Event::ArchiveWritten { .. } => ("archive-written", json!({})),
        Event::Waiting { .. } => ("waiting", json!({})),
        Event::Warning { .. } => ("warning", json!({})),
        Event::Detail { .. } => ("detail", json!({})),
    }
}

/// The other keys of an event.
fn details(event: &Event) -> Value {
    match event {
        Event::Added { source, .. } => json!({ "source": lossy(source) }),
        Event::SourceCopied { from, to, .. } | Event::OriginalArchived { from, to, .. } => {
            json!({ "from": lossy(from), "to": lossy(to) })
        }
        Event::Queue { builds } => json!({ "builds": list(builds, queued) }),
        Event::BuildStarted { log, .. } => json!({ "log": lossy(log) }),
        Event::BuildStage { stage, .. } => json!({ "stage": stage }),
        Event::Built { modules, elapsed, origin, .. } => {
            json!({ "origin": origin, "seconds": elapsed.as_secs_f64(), "modules": list(modules, module) })
        }
        Event::ModuleInstalled { path, .. }
        | Event::ModuleRemoved { path, .. }
        | Event::OriginalRestored { to: path, .. }
        | Event::PageWritten { path }
        | Event::ArchiveWritten { path } => json!({ "path": lossy(path) }),
        Event::ModuleKept { path, reason, .. } => json!({ "path": lossy(path), "reason": reason }),
        Event::ModuleUnloaded { module } | Event::ModuleLoaded { module } => json!({ "module": module }),
        Event::Nothing { about, reason } => json!({ "about": about, "reason": reason }),
        Event::KernelsOfImage { chosen, all, tree } => {
            let releases: Value = chosen.iter().map(|kernel| &*kernel.release).collect();
            json!({ "kernels": releases, "all": all, "tree": lossy(tree) })
        }
        Event::Skipped { reason, .. }
        | Event::Deferred { reason, .. }
        | Event::DepmodSkipped { reason, .. } => {
            json!({ "reason": reason })
        }
        Event::Failed { error, .. } => json!({ "error": with_help(error), "exit_code": exit::code(error) }),
        Event::DepmodDone { elapsed, .. } => json!({ "seconds": elapsed.as_secs_f64() }),
        Event::ScriptStarted { directive, command, .. } => {
            json!({ "directive": directive, "command": command })
        }
        Event::CommandRun { what, command, elapsed } => {
            json!({ "what": what, "command": command, "seconds": elapsed.as_secs_f64() })
        }
        Event::KeyMade { key, certificate } => {
            json!({ "key": lossy(key), "certificate": lossy(certificate) })
        }
        Event::SigningKey { key, certificate } => json!({ "key": key, "certificate": lossy(certificate) }),
        Event::Resigned { files, .. } => json!({ "files": list(files, |file| json!(lossy(file))) }),
        Event::ArchiveLoaded { kernels, .. } => json!({ "kernels": list(kernels, kernel_keys) }),
        Event::Summary(KernelSummary {
            installed, sources, skipped, failed, deferred, fallbacks, ..
        }) => summary([installed, skipped, deferred], *sources, failed, fallbacks),
        Event::StillBuilding { builds } => json!({ "builds": list(builds, still_building) }),
        Event::Waiting { what, holder } => json!({ "what": what, "holder": holder }),
        Event::ScriptOutput { text } | Event::Warning { text } | Event::Detail { text } => {
            json!({ "text": text })
        }
        Event::Installed { .. }
        | Event::Uninstalled { .. }
        | Event::Unbuilt { .. }
        | Event::Forgotten { .. }
        | Event::DepmodStarted { .. } => json!({}),
    }
}

fn queued(queued: &Queued) -> Value {
    let last = queued.last;
    let expected = json!({
        "expected_seconds": last.map(|last| last.duration.as_secs_f64()),
        "expected_objects": last.and_then(|last| last.objects),
    });
    merged([build_keys(&queued.build), expected])
}

fn still_building((build, elapsed): &(Build, Duration)) -> Value {
    merged([build_keys(build), json!({ "seconds": elapsed.as_secs() })])
}

fn module(module: &BuiltModule) -> Value {
    json!({ "file": module.file, "bytes": module.size, "signature": module.signature.to_string() })
}

fn summary(
    [installed, skipped, deferred]: [&[PackageId]; 3],
    sources: Sources,
    failed: &[FailedPackage],
    fallbacks: &[Fallback],
) -> Value {
    let names = |list: &[PackageId]| list.iter().map(ToString::to_string).collect::<Value>();
    let fallback = |fallback: &Fallback| {
        merged([package_keys(&fallback.package), json!({ "instead_of": fallback.instead_of.version })])
    };
    json!({
        "installed": names(installed),
        "compiled": sources.compiled,
        "from_cache": sources.cache,
        "from_registry": sources.registry,
        "skipped": names(skipped),
        "failed": failed.iter().map(with_code).collect::<Value>(),
        "deferred": names(deferred),
        "fallbacks": list(fallbacks, fallback),
    })
}

/// The document of `--dry-run`.
pub(crate) fn plan(plan: &Plan) -> String {
    let step = |(id, step): (StepId, &Step)| {
        let common = json!({
            "step": word(&step.operation),
            "reason": step.reason,
            "after": plan.before(id).map(StepId::position).collect::<Value>(),
            "expected_seconds": step.last.map(|last| last.duration.as_secs_f64()),
            "files": list(&step.files, |file| json!(lossy(file))),
        });
        merged([common, target(&step.operation)])
    };
    document(json!({ "steps": plan.steps().map(step).collect::<Value>() }))
}

/// The keys of what a step of a plan is about.
fn target(operation: &Operation) -> Value {
    match operation {
        Operation::CopySource { package, from, to, .. } => {
            merged([package_keys(package), json!({ "from": lossy(from), "to": lossy(to) })])
        }
        Operation::Add { package, .. } | Operation::Remove(package) => package_keys(package),
        Operation::Install { build, outlook: Outlook::Same(_) } => json!({ "about": build.to_string() }),
        Operation::Build { build, .. }
        | Operation::Install { build, .. }
        | Operation::Uninstall(build)
        | Operation::Unbuild(build)
        | Operation::Resign(build)
        | Operation::Skip(build)
        | Operation::Defer { build, .. }
        | Operation::Fail { build, .. } => build_keys(build),
        Operation::Fallback { build, instead_of } => {
            merged([build_keys(build), json!({ "instead_of": instead_of.version })])
        }
        Operation::Depmod(kernel) => kernel_keys(kernel),
        Operation::PostTransaction(command) => json!({ "command": command }),
        Operation::MakeKey { key, certificate } => json!({ "key": key, "certificate": lossy(certificate) }),
        Operation::WriteArchive(path) | Operation::LoadArchive(path) | Operation::Enroll(path) => {
            json!({ "path": lossy(path) })
        }
        Operation::KeepKey(_) => json!({ "about": "the modules" }),
        Operation::Nothing(what) => json!({ "about": what }),
    }
}

/// The word of a step of a plan.
fn word(operation: &Operation) -> &'static str {
    match operation {
        Operation::CopySource { .. } => "copy-source",
        Operation::Add { .. } => "add",
        Operation::Build { .. } => "build",
        Operation::Install { outlook: Outlook::Changes, .. } => "install",
        Operation::Uninstall(_) => "uninstall",
        Operation::Unbuild(_) => "unbuild",
        Operation::Remove(_) => "remove",
        Operation::Depmod(_) => "depmod",
        Operation::PostTransaction(_) => "post-transaction",
        Operation::MakeKey { .. } => "make-key",
        Operation::Resign(_) => "resign",
        Operation::Enroll(_) => "enroll",
        Operation::WriteArchive(_) => "write-archive",
        Operation::LoadArchive(_) => "load-archive",
        Operation::Skip(_) => "skip",
        Operation::Defer { .. } => "defer",
        Operation::Fallback { .. } => "fallback",
        Operation::Fail { .. } | Operation::Install { outlook: Outlook::Refused(_), .. } => "fail",
        Operation::Install { outlook: Outlook::Same(_), .. }
        | Operation::KeepKey(_)
        | Operation::Nothing(_) => "nothing",
    }
}

fn package_keys(package: &PackageId) -> Value {
    json!({ "package": package.name, "version": package.version })
}

fn kernel_keys(kernel: &Kernel) -> Value {
    json!({ "kernel": kernel.release, "arch": kernel.arch })
}

pub(crate) fn build_keys(build: &Build) -> Value {
    merged([package_keys(&build.package), kernel_keys(&build.kernel)])
}

/// A path as JSON can contain it: bytes that are not UTF-8 are replaced.
pub(super) fn lossy(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// A list of these items as JSON.
pub(crate) fn list<T>(items: &[T], json: impl Fn(&T) -> Value) -> Value {
    items.iter().map(json).collect()
}

/// One object with the keys of all of these.
pub(super) fn merged<const N: usize>(objects: [Value; N]) -> Value {
    let keys = objects.into_iter().filter_map(|object| match object {
        Value::Object(keys) => Some(keys),
        _ => None,
    });
    Value::Object(keys.flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_path_that_is_not_utf8_is_written_with_replacements() {
        let path = || Path::new(OsStr::from_bytes(b"/tree/\xff")).to_owned();
        let package = PackageId { name: "a".into(), version: "1".into() };
        let mut copied = Plan::default();
        copied.push(Step::new(Operation::WriteArchive(path()), "an archive"), []);
        for text in [
            event(&Event::ArchiveWritten { path: path() }),
            event(&Event::SourceCopied { package, from: path(), to: path() }),
            event(&Event::KeyMade { key: path(), certificate: path() }),
            plan(&copied),
        ] {
            assert!(text.contains("/tree/\u{fffd}"), "{text}");
        }
    }
}
