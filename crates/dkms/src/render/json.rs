//! JSON output for programs. It contains a schema version; the schema is documented in docs/json-schema.md.

use super::{with_code, with_help};
use crate::answer::Answer;
use crate::exit;
use dkms_core::conf::ConfError;
use dkms_core::error::{Error, Result};
use dkms_core::event::{BuiltModule, Event, Fallback, LastBuild};
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::look::fsck::{Finding, Repaired};
use dkms_core::look::loaded::Compared;
use dkms_core::look::status::{Entry, State};
use dkms_core::plan::{Operation, Outlook, Plan, Step, StepId};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The schema version of all JSON output.
pub(crate) const SCHEMA: u32 = 1;

pub(super) fn line(value: &Value) -> String {
    format!("{value}\n")
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
    let text = format!("{:#}", json!({ "schema": SCHEMA, "entries": list }));
    format!("{text}\n")
}

/// `dkms fsck --json`: one document.
pub(crate) fn fsck(done: &Repaired) -> String {
    let repaired = done.repaired.iter().map(|f| finding(f, true, None));
    let left = done.left.findings.iter().map(|f| finding(f, false, done.failure(f)));
    let all: Vec<Value> = repaired.chain(left).collect();
    let document = json!({
        "schema": SCHEMA,
        "findings": all,
        "unreadable": done.left.unreadable,
        "repaired": done.repaired.len(),
        "packages": done.left.packages,
        "builds": done.left.builds,
    });
    format!("{document:#}\n")
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
    line(&json!({
        "schema": SCHEMA, "event": "result", "action": action, "exit_code": code,
        "error": error, "help": help, "problems": problems,
    }))
}

/// What an event is about.
enum Subject<'a> {
    Command,
    Package(&'a PackageId),
    Build(&'a Build),
    Kernel(&'a Kernel),
}

/// One line per event.
pub(crate) fn event(event: &Event) -> String {
    let (name, subject, fields) = fields(event);
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        map.insert(key.into(), value);
    };
    put("schema", SCHEMA.into());
    put("event", name.into());
    match subject {
        Subject::Command => {}
        Subject::Package(package) => about(&mut put, package, None),
        Subject::Build(build) => about(&mut put, &build.package, Some(&build.kernel)),
        Subject::Kernel(kernel) => on_kernel(&mut put, kernel),
    }
    if let Value::Object(fields) = fields {
        map.extend(fields);
    }
    line(&Value::Object(map))
}

/// The name of an event, its subject, and its other fields.
fn fields(event: &Event) -> (&'static str, Subject<'_>, Value) {
    use Subject::{Build, Command, Kernel, Package};
    match event {
        Event::Added { package, source } => ("added", Package(package), json!({ "source": source })),
        Event::SourceCopied { package, from, to } => {
            ("source-copied", Package(package), json!({ "from": from, "to": to }))
        }
        Event::Queue { builds } => {
            let builds: Vec<Value> =
                builds.iter().map(|queued| build_value(&queued.build, queued.last)).collect();
            ("queue", Command, json!({ "builds": builds }))
        }
        Event::BuildStarted { build, log, .. } => ("build-started", Build(build), json!({ "log": log })),
        Event::BuildStage { build, stage } => ("build-stage", Build(build), json!({ "stage": stage })),
        Event::Built { build, modules, elapsed, origin } => {
            let modules: Vec<Value> = modules.iter().map(built_module).collect();
            let seconds = elapsed.as_secs_f64();
            ("built", Build(build), json!({ "origin": origin, "seconds": seconds, "modules": modules }))
        }
        Event::ModuleInstalled { build, path } => ("module-installed", Build(build), json!({ "path": path })),
        Event::ModuleRemoved { build, path } => ("module-removed", Build(build), json!({ "path": path })),
        Event::OriginalRestored { build, to } => ("original-restored", Build(build), json!({ "path": to })),
        Event::ModuleKept { build, path, reason } => {
            ("module-kept", Build(build), json!({ "path": path, "reason": reason }))
        }
        Event::OriginalArchived { build, from, to } => {
            ("original-archived", Build(build), json!({ "from": from, "to": to }))
        }
        Event::ModuleUnloaded { module } => ("module-unloaded", Command, json!({ "module": module })),
        Event::ModuleLoaded { module } => ("module-loaded", Command, json!({ "module": module })),
        Event::Installed { build } => ("installed", Build(build), json!({})),
        Event::Uninstalled { build } => ("uninstalled", Build(build), json!({})),
        Event::Unbuilt { build } => ("unbuilt", Build(build), json!({})),
        Event::Forgotten { package } => ("removed", Package(package), json!({})),
        Event::Nothing { about, reason } => ("nothing", Command, json!({ "about": about, "reason": reason })),
        Event::KernelsOfImage { chosen, all, tree } => {
            let kernels: Vec<&str> = chosen.iter().map(|kernel| &*kernel.release).collect();
            let tree = tree.display().to_string();
            ("kernels-of-image", Command, json!({ "kernels": kernels, "all": all, "tree": tree }))
        }
        Event::Skipped { build, reason } => ("skipped", Build(build), json!({ "reason": reason })),
        Event::Deferred { build, reason } => ("deferred", Build(build), json!({ "reason": reason })),
        Event::Failed { build, error } => {
            let code = exit::code(error);
            ("failed", Build(build), json!({ "error": with_help(error), "exit_code": code }))
        }
        Event::DepmodStarted { kernel } => ("depmod-started", Kernel(kernel), json!({})),
        Event::DepmodDone { kernel, elapsed } => {
            ("depmod-done", Kernel(kernel), json!({ "seconds": elapsed.as_secs_f64() }))
        }
        Event::DepmodSkipped { kernel, reason } => {
            ("depmod-skipped", Kernel(kernel), json!({ "reason": reason }))
        }
        Event::ScriptStarted { package, directive, command } => {
            ("script-started", Package(package), json!({ "directive": directive, "command": command }))
        }
        Event::ScriptOutput { text } => ("script-output", Command, json!({ "text": text })),
        Event::CommandRun { what, command, elapsed } => {
            let seconds = elapsed.as_secs_f64();
            ("command-run", Command, json!({ "what": what, "command": command, "seconds": seconds }))
        }
        Event::KeyMade { key, certificate } => {
            ("key-made", Command, json!({ "key": key, "certificate": certificate }))
        }
        Event::SigningKey { key, certificate } => {
            ("signing-key", Command, json!({ "key": key, "certificate": certificate }))
        }
        Event::Resigned { build, files } => ("resigned", Build(build), json!({ "files": files })),
        Event::PageWritten { path } => ("page-written", Command, json!({ "path": path })),
        Event::ArchiveWritten { path } => ("archive-written", Command, json!({ "path": path })),
        Event::ArchiveLoaded { package, kernels } => {
            let kernel = |k: &dkms_core::ids::Kernel| json!({ "kernel": k.release, "arch": k.arch });
            let kernels: Vec<Value> = kernels.iter().map(kernel).collect();
            ("archive-loaded", Package(package), json!({ "kernels": kernels }))
        }
        Event::Summary { kernel, .. } => ("summary", Kernel(kernel), summary(event)),
        Event::StillBuilding { builds } => {
            let builds: Vec<Value> = builds.iter().map(|(build, time)| running(build, *time)).collect();
            ("still-building", Command, json!({ "builds": builds }))
        }
        Event::Waiting { what, holder } => ("waiting", Command, json!({ "what": what, "holder": holder })),
        Event::Warning { text } => ("warning", Command, json!({ "text": text })),
        Event::Detail { text } => ("detail", Command, json!({ "text": text })),
    }
}

fn built_module(module: &BuiltModule) -> Value {
    json!({ "file": module.file, "bytes": module.size, "signature": module.signature.to_string() })
}

/// A build that is running.
fn running(build: &Build, time: Duration) -> Value {
    let (package, kernel) = (&build.package, &build.kernel);
    json!({
        "package": package.name, "version": package.version, "kernel": kernel.release, "arch": kernel.arch,
        "seconds": time.as_secs(),
    })
}

/// The fields of [`Event::Summary`].
fn summary(event: &Event) -> Value {
    let Event::Summary { installed, sources, skipped, failed, deferred, fallbacks, .. } = event else {
        return Value::Null;
    };
    let names = |list: &[PackageId]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let fallback = |found: &Fallback| {
        let (package, newest) = (&found.package, &found.instead_of.version);
        json!({ "package": package.name, "version": package.version, "instead_of": newest })
    };
    json!({
        "installed": names(installed),
        "compiled": sources.compiled,
        "from_cache": sources.cache,
        "from_registry": sources.registry,
        "skipped": names(skipped),
        "failed": failed.iter().map(with_code).collect::<Vec<_>>(),
        "deferred": names(deferred),
        "fallbacks": fallbacks.iter().map(fallback).collect::<Vec<_>>(),
    })
}

fn build_value(b: &Build, last: Option<LastBuild>) -> Value {
    json!({
        "package": b.package.name,
        "version": b.package.version,
        "kernel": b.kernel.release,
        "arch": b.kernel.arch,
        "expected_seconds": last.map(|last| last.duration.as_secs_f64()),
        "expected_objects": last.and_then(|last| last.objects),
    })
}

/// The document of `--dry-run`.
pub(crate) fn plan(plan: &Plan) -> String {
    let step = |(id, one): (StepId, &Step)| {
        let after: Vec<usize> = plan.before(id).map(StepId::position).collect();
        step(one, &after)
    };
    let list: Vec<Value> = plan.steps().map(step).collect();
    let text = format!("{:#}", json!({ "schema": SCHEMA, "steps": list }));
    format!("{text}\n")
}

fn step(step: &Step, after: &[usize]) -> Value {
    let mut value = json!({
        "step": word(&step.operation),
        "reason": step.reason,
        "after": after,
        "expected_seconds": step.last.map(|last| last.duration.as_secs_f64()),
        "files": step.files,
    });
    let mut put = |key: &str, v: Value| {
        if let Some(map) = value.as_object_mut() {
            map.insert(key.to_owned(), v);
        }
    };
    match &step.operation {
        Operation::CopySource { package, from, to, .. } => {
            about(&mut put, package, None);
            put("from", json!(from));
            put("to", json!(to));
        }
        Operation::Add { package, .. } | Operation::Remove(package) => about(&mut put, package, None),
        Operation::Install { build, outlook: Outlook::Same(_) } => put("about", json!(build.to_string())),
        Operation::Build { build, .. }
        | Operation::Install { build, .. }
        | Operation::Uninstall(build)
        | Operation::Unbuild(build)
        | Operation::Resign(build)
        | Operation::Skip(build)
        | Operation::Defer { build, .. }
        | Operation::Fail { build, .. } => about(&mut put, &build.package, Some(&build.kernel)),
        Operation::Fallback { build, instead_of } => {
            about(&mut put, &build.package, Some(&build.kernel));
            put("instead_of", json!(instead_of.version));
        }
        Operation::Depmod(kernel) => on_kernel(&mut put, kernel),
        Operation::PostTransaction(command) => put("command", json!(command)),
        Operation::MakeKey { key, certificate } => {
            put("key", json!(key));
            put("certificate", json!(certificate));
        }
        Operation::WriteArchive(path) | Operation::LoadArchive(path) | Operation::Enroll(path) => {
            put("path", json!(path));
        }
        Operation::KeepKey(_) => put("about", json!("the modules")),
        Operation::Nothing(what) => put("about", json!(what)),
    }
    value
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

fn about(put: &mut dyn FnMut(&str, Value), package: &PackageId, kernel: Option<&Kernel>) {
    put("package", json!(package.name));
    put("version", json!(package.version));
    if let Some(kernel) = kernel {
        on_kernel(put, kernel);
    }
}

fn on_kernel(put: &mut dyn FnMut(&str, Value), kernel: &Kernel) {
    put("kernel", json!(kernel.release));
    put("arch", json!(kernel.arch));
}
