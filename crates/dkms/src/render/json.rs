//! JSON output for programs. It contains a schema version; the schema is documented in docs/json-schema.md.

use super::{with_code, with_help};
use crate::answer::Answer;
use crate::exit;
use dkms_core::conf::ConfError;
use dkms_core::error::{Error, Result};
use dkms_core::event::{BuiltModule, Event, FailedPackage, Fallback, Queued, Sources};
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::look::fsck::{Finding, Repaired};
use dkms_core::look::loaded::Compared;
use dkms_core::look::status::{Entry, State};
use dkms_core::plan::{Operation, Outlook, Plan, Step, StepId};
use dkms_sys::IoError;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The schema version of all JSON output.
pub(crate) const SCHEMA: u32 = 1;

/// An object with the schema version, on one line.
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

/// An object with the schema version, on several lines.
pub(crate) fn document(value: Value) -> String {
    format!("{:#}\n", with_schema(value))
}

fn with_schema(value: Value) -> Value {
    merged([json!({ "schema": SCHEMA }), value])
}

/// Finds what the running kernel has loaded of an entry; `None` for other kernels.
type Loaded<'a> = dyn Fn(&Entry) -> Option<Vec<Compared>> + 'a;

/// `dkms status --json`: one document. With `loaded`, it has what the running kernel has loaded.
pub(crate) fn status(
    entries: &[Entry],
    origin: &dyn Fn(&Build) -> Option<String>,
    loaded: Option<&Loaded<'_>>,
) -> String {
    let one = |e: &Entry| {
        let mut value = entry(e, origin);
        if let (Some(loaded), Some(map)) = (loaded, value.as_object_mut()) {
            let modules = loaded(e).map(|modules| modules.iter().map(compared).collect::<Vec<_>>());
            map.insert("loaded".into(), json!(modules));
        }
        value
    };
    let list: Vec<Value> = entries.iter().map(one).collect();
    document(json!({ "entries": list }))
}

/// `dkms fsck --json`: one document.
pub(crate) fn fsck(done: &Repaired) -> String {
    let repaired = done.repaired.iter().map(|f| finding(f, true, None));
    let left = done.left.findings.iter().map(|f| finding(f, false, done.failure(f)));
    let all: Vec<Value> = repaired.chain(left).collect();
    document(json!({
        "findings": all,
        "unreadable": done.left.unreadable,
        "repaired": done.repaired.len(),
        "packages": done.left.packages,
        "builds": done.left.builds,
    }))
}

fn finding(f: &Finding, repaired: bool, error: Option<&str>) -> Value {
    json!({
        "kind": f.kind.word(),
        "package": f.about.package,
        "version": f.about.version,
        "kernel": f.about.release,
        "arch": f.about.arch,
        "path": f.path.to_string_lossy(),
        "what": f.what,
        "repair": f.repair,
        "safe": f.safe(),
        "repaired": repaired,
        "error": error,
    })
}

fn compared(module: &Compared) -> Value {
    json!({
        "module": module.name.as_str(),
        "state": module.state.word(),
        "path": module.path,
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

fn entry(e: &Entry, origin: &dyn Fn(&Build) -> Option<String>) -> Value {
    let kernel = e.kernel();
    let from = match &e.kind {
        State::InstalledWeak { from, .. } => Some(from),
        _ => None,
    };
    // A weak module belongs to the build for the other kernel.
    let built_for = match (kernel, from) {
        (Some(kernel), Some(from)) => Kernel::new(from, &kernel.arch).ok(),
        (kernel, _) => kernel.cloned(),
    };
    let origin = built_for.and_then(|kernel| origin(&Build::new(&e.package, &kernel)));
    json!({
        "package": e.package.name,
        "version": e.package.version,
        "state": state_word(&e.kind),
        "kernel": kernel.map(|k| &k.release),
        "arch": kernel.map(|k| &k.arch),
        "from_kernel": from,
        "original_modules": e.originals,
        "built_missing": e.built_missing,
        "differs": e.differs,
        "origin": origin,
        "fallback_for": e.fallback_for,
    })
}

/// The last line of an action's output.
pub(crate) fn result(action: &str, result: &Result<Answer>, code: u8) -> String {
    let (error, help) = match result {
        Ok(_) => (Value::Null, Vec::new()),
        Err(e) => (Value::String(e.to_string()), e.help()),
    };
    let problems = match result {
        Err(Error::Conf(ConfError::Invalid(list))) => list
            .iter()
            .map(|found| {
                let (line, column) = found.at.as_ref().map_or((0, 0), |at| (at.line, at.column));
                json!({
                    "path": found.path, "line": line, "column": column,
                    "message": found.message, "help": found.help,
                })
            })
            .collect(),
        _ => Vec::new(),
    };
    line(json!({
        "event": "result", "action": action, "exit_code": code,
        "error": error, "help": help, "problems": problems,
    }))
}

/// One line per event.
pub(crate) fn event(event: &Event) -> String {
    let (word, subject) = subject(event);
    line(merged([json!({ "event": word }), subject, details(event)]))
}

/// The word of an event, and the keys that name what it is about.
fn subject(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Added { package, .. } => ("added", of_package(package)),
        Event::SourceCopied { package, .. } => ("source-copied", of_package(package)),
        Event::Forgotten { package } => ("removed", of_package(package)),
        Event::ScriptStarted { package, .. } => ("script-started", of_package(package)),
        Event::ArchiveLoaded { package, .. } => ("archive-loaded", of_package(package)),
        Event::BuildStarted { build, .. } => ("build-started", of_build(build)),
        Event::BuildStage { build, .. } => ("build-stage", of_build(build)),
        Event::Built { build, .. } => ("built", of_build(build)),
        Event::ModuleInstalled { build, .. } => ("module-installed", of_build(build)),
        Event::ModuleRemoved { build, .. } => ("module-removed", of_build(build)),
        Event::ModuleKept { build, .. } => ("module-kept", of_build(build)),
        Event::OriginalArchived { build, .. } => ("original-archived", of_build(build)),
        Event::OriginalRestored { build, .. } => ("original-restored", of_build(build)),
        Event::Installed { build } => ("installed", of_build(build)),
        Event::Uninstalled { build } => ("uninstalled", of_build(build)),
        Event::Unbuilt { build } => ("unbuilt", of_build(build)),
        Event::Resigned { build, .. } => ("resigned", of_build(build)),
        Event::Skipped { build, .. } => ("skipped", of_build(build)),
        Event::Deferred { build, .. } => ("deferred", of_build(build)),
        Event::Failed { build, .. } => ("failed", of_build(build)),
        Event::DepmodStarted { kernel } => ("depmod-started", of_kernel(kernel)),
        Event::DepmodDone { kernel, .. } => ("depmod-done", of_kernel(kernel)),
        Event::DepmodSkipped { kernel, .. } => ("depmod-skipped", of_kernel(kernel)),
        Event::Summary { kernel, .. } => ("summary", of_kernel(kernel)),
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
        Event::Added { source, .. } => json!({ "source": source }),
        Event::SourceCopied { from, to, .. } | Event::OriginalArchived { from, to, .. } => {
            json!({ "from": from, "to": to })
        }
        Event::Queue { builds } => json!({ "builds": list(builds, queued) }),
        Event::BuildStarted { log, .. } => json!({ "log": log }),
        Event::BuildStage { stage, .. } => json!({ "stage": stage }),
        Event::Built { modules, elapsed, origin, .. } => {
            json!({ "origin": origin, "seconds": elapsed.as_secs_f64(), "modules": list(modules, module) })
        }
        Event::ModuleInstalled { path, .. }
        | Event::ModuleRemoved { path, .. }
        | Event::OriginalRestored { to: path, .. }
        | Event::PageWritten { path }
        | Event::ArchiveWritten { path } => json!({ "path": path }),
        Event::ModuleKept { path, reason, .. } => json!({ "path": path, "reason": reason }),
        Event::ModuleUnloaded { module } | Event::ModuleLoaded { module } => json!({ "module": module }),
        Event::Nothing { about, reason } => json!({ "about": about, "reason": reason }),
        Event::KernelsOfImage { chosen, all, tree } => {
            let releases: Value = chosen.iter().map(|kernel| &*kernel.release).collect();
            json!({ "kernels": releases, "all": all, "tree": tree.display().to_string() })
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
        Event::KeyMade { key, certificate } => json!({ "key": key, "certificate": certificate }),
        Event::SigningKey { key, certificate } => json!({ "key": key, "certificate": certificate }),
        Event::Resigned { files, .. } => json!({ "files": files }),
        Event::ArchiveLoaded { kernels, .. } => json!({ "kernels": list(kernels, of_kernel) }),
        Event::Summary { installed, sources, skipped, failed, deferred, fallbacks, .. } => {
            summary([installed, skipped, deferred], *sources, failed, fallbacks)
        }
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
    merged([of_build(&queued.build), expected])
}

fn still_building((build, elapsed): &(Build, Duration)) -> Value {
    merged([of_build(build), json!({ "seconds": elapsed.as_secs() })])
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
    let fallback =
        |one: &Fallback| merged([of_package(&one.package), json!({ "instead_of": one.instead_of.version })]);
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
            "files": step.files,
        });
        merged([common, target(&step.operation)])
    };
    document(json!({ "steps": plan.steps().map(step).collect::<Value>() }))
}

/// What a step of a plan is about.
fn target(operation: &Operation) -> Value {
    match operation {
        Operation::CopySource { package, from, to, .. } => {
            merged([of_package(package), json!({ "from": from, "to": to })])
        }
        Operation::Add { package, .. } | Operation::Remove(package) => of_package(package),
        Operation::Install { build, outlook: Outlook::Same(_) } => json!({ "about": build.to_string() }),
        Operation::Build { build, .. }
        | Operation::Install { build, .. }
        | Operation::Uninstall(build)
        | Operation::Unbuild(build)
        | Operation::Resign(build)
        | Operation::Skip(build)
        | Operation::Defer { build, .. }
        | Operation::Fail { build, .. } => of_build(build),
        Operation::Fallback { build, instead_of } => {
            merged([of_build(build), json!({ "instead_of": instead_of.version })])
        }
        Operation::Depmod(kernel) => of_kernel(kernel),
        Operation::PostTransaction(command) => json!({ "command": command }),
        Operation::MakeKey { key, certificate } => json!({ "key": key, "certificate": certificate }),
        Operation::WriteArchive(path) | Operation::LoadArchive(path) | Operation::Enroll(path) => {
            json!({ "path": path })
        }
        Operation::KeepKey(_) => json!({ "about": "the modules" }),
        Operation::Nothing(what) => json!({ "about": what }),
    }
}

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

fn of_package(package: &PackageId) -> Value {
    json!({ "package": package.name, "version": package.version })
}

fn of_kernel(kernel: &Kernel) -> Value {
    json!({ "kernel": kernel.release, "arch": kernel.arch })
}

fn of_build(build: &Build) -> Value {
    merged([of_package(&build.package), of_kernel(&build.kernel)])
}

/// A list of these.
pub(super) fn list<T>(items: &[T], json: impl Fn(&T) -> Value) -> Value {
    items.iter().map(json).collect()
}

/// One object with the keys of all of these.
fn merged<const N: usize>(objects: [Value; N]) -> Value {
    let keys = objects.into_iter().filter_map(|object| match object {
        Value::Object(keys) => Some(keys),
        _ => None,
    });
    Value::Object(keys.flatten().collect())
}
