//! JSON output for programs. It contains a schema version; the schema is documented in docs/json-schema.md.

use super::{with_code, with_help};
use crate::answer::Answer;
use crate::exit;
use dkms_core::conf::ConfError;
use dkms_core::error::{Error, Result};
use dkms_core::event::{Event, Fallback, LastBuild};
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::look::fsck::{Finding, Repaired};
use dkms_core::look::loaded::Compared;
use dkms_core::look::status::{Entry, State};
use dkms_core::plan::{Operation, Outlook, Plan, Step, StepId};
use serde_json::{Map, Value, json};

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

/// One line per event.
pub(crate) fn event(e: &Event) -> String {
    let mut map = Map::new();
    map.insert("schema".into(), SCHEMA.into());
    let mut put = |key: &str, value: Value| {
        map.insert(key.into(), value);
    };
    match e {
        Event::Added { package, source } => {
            put("event", "added".into());
            about(&mut put, package, None);
            put("source", json!(source));
        }
        Event::SourceCopied { package, from, to } => {
            put("event", "source-copied".into());
            about(&mut put, package, None);
            put("from", json!(from));
            put("to", json!(to));
        }
        Event::Queue { builds } => {
            put("event", "queue".into());
            let list: Vec<Value> = builds.iter().map(|q| build_value(&q.build, q.last)).collect();
            put("builds", json!(list));
        }
        Event::BuildStarted { build, log, .. } => {
            of(&mut put, "build-started", build);
            put("log", json!(log));
        }
        Event::BuildStage { build, stage } => {
            of(&mut put, "build-stage", build);
            put("stage", json!(stage));
        }
        Event::Built { build, modules, elapsed, origin } => {
            of(&mut put, "built", build);
            put("origin", json!(origin));
            put("seconds", json!(elapsed.as_secs_f64()));
            let list: Vec<Value> = modules
                .iter()
                .map(|m| json!({ "file": m.file, "bytes": m.size, "signature": m.signature.to_string() }))
                .collect();
            put("modules", json!(list));
        }
        Event::ModuleInstalled { build, path } => with_path(&mut put, "module-installed", build, path),
        Event::ModuleRemoved { build, path } => with_path(&mut put, "module-removed", build, path),
        Event::OriginalRestored { build, to } => with_path(&mut put, "original-restored", build, to),
        Event::ModuleKept { build, path, reason } => {
            with_path(&mut put, "module-kept", build, path);
            put("reason", json!(reason));
        }
        Event::OriginalArchived { build, from, to } => {
            of(&mut put, "original-archived", build);
            put("from", json!(from));
            put("to", json!(to));
        }
        Event::ModuleUnloaded { module } => {
            put("event", "module-unloaded".into());
            put("module", json!(module));
        }
        Event::ModuleLoaded { module } => {
            put("event", "module-loaded".into());
            put("module", json!(module));
        }
        Event::Installed { build } => of(&mut put, "installed", build),
        Event::Uninstalled { build } => of(&mut put, "uninstalled", build),
        Event::Unbuilt { build } => of(&mut put, "unbuilt", build),
        Event::Forgotten { package } => {
            put("event", "removed".into());
            about(&mut put, package, None);
        }
        Event::Nothing { about, reason } => {
            put("event", "nothing".into());
            put("about", json!(about));
            put("reason", json!(reason));
        }
        Event::KernelsOfImage { chosen, all, tree } => {
            put("event", "kernels-of-image".into());
            let releases: Vec<&str> = chosen.iter().map(|kernel| &*kernel.release).collect();
            put("kernels", json!(releases));
            put("all", json!(all));
            put("tree", json!(tree.display().to_string()));
        }
        Event::Skipped { build, reason } => reasoned(&mut put, "skipped", build, reason),
        Event::Deferred { build, reason } => reasoned(&mut put, "deferred", build, reason),
        Event::Failed { build, error } => {
            of(&mut put, "failed", build);
            put("error", json!(with_help(error)));
            put("exit_code", json!(exit::code(error)));
        }
        Event::DepmodStarted { kernel } => on_kernel(&mut put, "depmod-started", kernel),
        Event::DepmodDone { kernel, elapsed } => {
            on_kernel(&mut put, "depmod-done", kernel);
            put("seconds", json!(elapsed.as_secs_f64()));
        }
        Event::DepmodSkipped { kernel, reason } => {
            on_kernel(&mut put, "depmod-skipped", kernel);
            put("reason", json!(reason));
        }
        Event::ScriptStarted { package, directive, command } => {
            put("event", "script-started".into());
            about(&mut put, package, None);
            put("directive", json!(directive));
            put("command", json!(command));
        }
        Event::ScriptOutput { text } => {
            put("event", "script-output".into());
            put("text", json!(text));
        }
        Event::CommandRun { what, command, elapsed } => {
            put("event", "command-run".into());
            put("what", json!(what));
            put("command", json!(command));
            put("seconds", json!(elapsed.as_secs_f64()));
        }
        Event::KeyMade { key, certificate } => {
            put("event", "key-made".into());
            put("key", json!(key));
            put("certificate", json!(certificate));
        }
        Event::SigningKey { key, certificate } => {
            put("event", "signing-key".into());
            put("key", json!(key));
            put("certificate", json!(certificate));
        }
        Event::Resigned { build, files } => {
            of(&mut put, "resigned", build);
            put("files", json!(files));
        }
        Event::PageWritten { path } => {
            put("event", "page-written".into());
            put("path", json!(path));
        }
        Event::ArchiveWritten { path } => {
            put("event", "archive-written".into());
            put("path", json!(path));
        }
        Event::ArchiveLoaded { package, kernels } => {
            put("event", "archive-loaded".into());
            about(&mut put, package, None);
            let list: Vec<Value> =
                kernels.iter().map(|k| json!({ "kernel": k.release, "arch": k.arch })).collect();
            put("kernels", json!(list));
        }
        Event::Summary { kernel, installed, sources, skipped, failed, deferred, fallbacks } => {
            let names = |list: &[PackageId]| json!(list.iter().map(ToString::to_string).collect::<Vec<_>>());
            on_kernel(&mut put, "summary", kernel);
            put("installed", names(installed));
            put("compiled", json!(sources.compiled));
            put("from_cache", json!(sources.cache));
            put("from_registry", json!(sources.registry));
            put("skipped", names(skipped));
            put("failed", json!(failed.iter().map(with_code).collect::<Vec<_>>()));
            put("deferred", names(deferred));
            let fallback = |f: &Fallback| json!({ "package": f.package.name, "version": f.package.version, "instead_of": f.instead_of.version });
            put("fallbacks", fallbacks.iter().map(fallback).collect());
        }
        Event::StillBuilding { builds } => {
            put("event", "still-building".into());
            let one = |(b, d): &(Build, std::time::Duration)| {
                let (package, kernel) = (&b.package, &b.kernel);
                json!({ "package": package.name, "version": package.version, "kernel": kernel.release,
                    "arch": kernel.arch, "seconds": d.as_secs() })
            };
            put("builds", builds.iter().map(one).collect());
        }
        Event::Waiting { what, holder } => {
            put("event", "waiting".into());
            put("what", json!(what));
            put("holder", json!(holder));
        }
        Event::Warning { text } => {
            put("event", "warning".into());
            put("text", json!(text));
        }
        Event::Detail { text } => {
            put("event", "detail".into());
            put("text", json!(text));
        }
    }
    line(&Value::Object(map))
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
        Operation::Depmod(kernel) => {
            put("kernel", json!(kernel.release));
            put("arch", json!(kernel.arch));
        }
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
    if let Some(k) = kernel {
        put("kernel", json!(k.release));
        put("arch", json!(k.arch));
    }
}

fn of(put: &mut dyn FnMut(&str, Value), event: &str, build: &Build) {
    put("event", json!(event));
    about(put, &build.package, Some(&build.kernel));
}

fn with_path(put: &mut dyn FnMut(&str, Value), event: &str, build: &Build, path: &std::path::Path) {
    of(put, event, build);
    put("path", json!(path));
}

fn reasoned(put: &mut dyn FnMut(&str, Value), event: &str, build: &Build, reason: &str) {
    of(put, event, build);
    put("reason", json!(reason));
}

fn on_kernel(put: &mut dyn FnMut(&str, Value), event: &str, kernel: &Kernel) {
    put("event", json!(event));
    put("kernel", json!(kernel.release));
    put("arch", json!(kernel.arch));
}
