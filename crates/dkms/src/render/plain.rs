//! Renders events, plans and errors as plain text.

use super::numbers::duration;
use super::{with_code, with_help};
use crate::answer::Summary;
use crate::exit;
use crate::printable::on_one_line;
use dkms_core::build::BuildError;
use dkms_core::conf::ConfError;
use dkms_core::error::Error;
use dkms_core::event::{BuiltModule, Event, FailedPackage, Fallback, KernelSummary, Sources};
use dkms_core::ids::{Build, Kernel, PackageId, Release};
use dkms_core::package::PackageError;
use dkms_core::plan::{Operation, Outlook, Plan};
use dkms_core::tree::manifest::BuildOrigin;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A line, and the stream that it goes to.
pub(crate) enum Line {
    /// Standard output.
    Out(String),
    /// Standard error.
    Err(String),
}

fn modules(list: &[BuiltModule]) -> String {
    list.iter()
        .map(|module| format!("  {} ({}), {}\n", module.file, size(module.size), module.signature))
        .collect()
}

fn size(bytes: u64) -> String {
    if bytes < 10_000 { format!("{bytes} bytes") } else { format!("{} kB", bytes / 1000) }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", line.replace('\t', "    "))).collect()
}

/// The line for an event. Some events are shown only if `verbose` is set, some only in the live view.
pub(crate) fn line(event: &Event, verbose: bool) -> Option<Line> {
    match event {
        Event::Failed { build, error } => Some(Line::Err(failed(build, error))),
        Event::Waiting { what, holder } => {
            let text = format!("{holder}, before {what}");
            Some(Line::Err(format!("dkms: waiting for {}\n", on_one_line(&text))))
        }
        Event::Warning { text } => {
            Some(Line::Err(format!("dkms: warning: {}\n", text.replace('\n', "\n  "))))
        }
        Event::ScriptOutput { text } => Some(Line::Out(indent(text))),
        Event::Built { build, modules: list, elapsed, origin } => {
            let from = match origin {
                BuildOrigin::Cache => format!("Took {build} from the cache"),
                BuildOrigin::Registry(from) => format!("Took {build} from {from}"),
                _ => format!("Built {build}"),
            };
            Some(Line::Out(format!("{from} in {}\n{}", duration(*elapsed), modules(list))))
        }
        Event::BuildStage { .. }
        | Event::Installed { .. }
        | Event::DepmodStarted { .. }
        | Event::DepmodSkipped { .. }
        | Event::SigningKey { .. }
        | Event::Detail { .. }
            if !verbose =>
        {
            None
        }
        // Escape line feeds, so that a name cannot start a new line.
        _ => Some(Line::Out(format!("{}\n", on_one_line(&sentence(event, verbose)?)))),
    }
}

/// The text of an event that is a single line on standard output.
fn sentence(event: &Event, verbose: bool) -> Option<String> {
    Some(match event {
        Event::Added { package, source } => format!("Added {package} from {}", source.display()),
        Event::SourceCopied { from, to, .. } => format!("Copied {} to {}", from.display(), to.display()),
        Event::BuildStarted { build, log, .. } => building(build, log, verbose),
        Event::BuildStage { stage: text, .. } | Event::Detail { text } => format!("  {text}"),
        Event::ModuleInstalled { path, .. } => format!("Installed {}", path.display()),
        Event::ModuleKept { path, reason, .. } => format!("Kept {}: {reason}", path.display()),
        Event::OriginalArchived { from, to, .. } => {
            format!("Archived the kernel's own {} in {}", from.display(), to.display())
        }
        Event::OriginalRestored { to, .. } => format!("Restored the kernel's own {}", to.display()),
        Event::Installed { build } => format!("Installed {build}"),
        Event::ModuleRemoved { path, .. } => format!("Removed {}", path.display()),
        Event::ModuleUnloaded { module } => format!("Unloaded {module}"),
        Event::ModuleLoaded { module } => format!("Loaded {module}"),
        Event::Uninstalled { build } => format!("Uninstalled {build}"),
        Event::Unbuilt { build } => format!("Deleted what was built of {build}"),
        Event::Forgotten { package } => format!("Removed {package} from the dkms tree"),
        Event::Nothing { about, reason } => format!("Nothing to do: {about} {reason}"),
        Event::Skipped { build, reason } => format!("Skipped {build}: {reason}"),
        Event::Deferred { build, reason } => format!("Deferred {build}: {reason}"),
        Event::DepmodStarted { kernel } => format!("depmod for kernel {kernel}"),
        Event::DepmodDone { kernel, elapsed } => {
            format!("Updated the module index of kernel {} in {}", kernel.release, duration(*elapsed))
        }
        Event::DepmodSkipped { kernel, reason } => {
            format!("No depmod for kernel {}: {reason}", kernel.release)
        }
        Event::ScriptStarted { package, directive, command } => {
            format!("Running {directive} of {package}: {command}")
        }
        Event::CommandRun { what, command, elapsed } => {
            format!("Ran {what} ({command}) in {}", duration(*elapsed))
        }
        Event::KeyMade { key, certificate } => key_made(key, certificate),
        Event::SigningKey { key, certificate } => {
            format!("Signing with {key}, certificate {}", certificate.display())
        }
        Event::Resigned { build, files } => resigned(build, files),
        Event::PageWritten { path } | Event::ArchiveWritten { path } => format!("Wrote {}", path.display()),
        Event::ArchiveLoaded { package, kernels } => loaded(package, kernels),
        Event::Summary(summary) => kernel_summary(summary),
        Event::StillBuilding { builds } => {
            format!("Still building {}", joined(builds, "; ", still_building))
        }
        Event::KernelsOfImage { chosen, all, tree } => kernels_of_image(chosen, all, tree),
        // Only the live view shows the queue. `line` handles the others.
        Event::Queue { .. }
        | Event::Built { .. }
        | Event::Failed { .. }
        | Event::ScriptOutput { .. }
        | Event::Waiting { .. }
        | Event::Warning { .. } => return None,
    })
}

/// What a command did for one kernel.
fn kernel_summary(summary: &KernelSummary) -> String {
    let KernelSummary { kernel, installed, sources, skipped, failed, deferred, fallbacks } = summary;
    let left_out = left_out(skipped, deferred, failed, fallbacks);
    let (count, origins) = (installed.len(), origins(*sources));
    format!("Kernel {}: {count} installed{origins}{left_out}", kernel.release)
}

/// A build that failed, on several lines.
fn failed(build: &Build, error: &Error) -> String {
    let (name, code) = (build.to_string(), exit::code(error));
    let error = with_help(error);
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.map(indent).collect();
    let name = if first.contains(&name) { String::new() } else { format!("{name}: ") };
    format!("dkms: failed ({code}): {name}{first}\n{rest}")
}

fn building(build: &Build, log: &Path, verbose: bool) -> String {
    let log = if verbose { format!(", log: {}", log.display()) } else { String::new() };
    format!("Building {build}{log}")
}

fn still_building((build, elapsed): &(Build, Duration)) -> String {
    format!("{build}, for {}", duration(Duration::from_secs(elapsed.as_secs())))
}

fn key_made(key: &Path, certificate: &Path) -> String {
    format!(
        "Made a signing key: {} (keep it secret), certificate {}; 'dkms mok' shows whether it has to be enrolled",
        key.display(),
        certificate.display()
    )
}

fn resigned(build: &Build, files: &[PathBuf]) -> String {
    format!("Re-signed {build}: {}", joined(files, ", ", |file| file.display().to_string()))
}

fn loaded(package: &PackageId, kernels: &[Kernel]) -> String {
    match kernels {
        [] => format!("Loaded {package}"),
        some => format!("Loaded {package}, built for {}", joined(some, ", ", Kernel::to_string)),
    }
}

/// The packages that autoinstall did not install, or not in their newest version.
fn left_out(
    skipped: &[PackageId],
    deferred: &[PackageId],
    failed: &[FailedPackage],
    fallbacks: &[Fallback],
) -> String {
    let instead =
        |fallback: &Fallback| format!("{} instead of {}", fallback.package, fallback.instead_of.version);
    [
        (skipped.len(), "skipped", joined(skipped, ", ", PackageId::to_string)),
        (deferred.len(), "deferred", joined(deferred, ", ", PackageId::to_string)),
        (failed.len(), "failed", joined(failed, ", ", with_code)),
        (fallbacks.len(), "in an older version", joined(fallbacks, ", ", instead)),
    ]
    .iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, word, names)| format!(", {count} {word} ({names})"))
    .collect()
}

/// The texts of the items, with a separator between them.
fn joined<T>(items: &[T], separator: &str, text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(separator)
}

/// The kernels of an image that a command works on.
fn kernels_of_image(chosen: &[Kernel], all: &[Release], tree: &Path) -> String {
    let tree = tree.display();
    match (chosen, all.len()) {
        ([kernel], 1) => format!("Using kernel {}, the only one in {tree}", kernel.release),
        ([kernel], count) => format!(
            "Using kernel {}, the newest of {count} in {tree} (-k, or autoinstall_all_kernels in framework.conf, chooses others)",
            kernel.release
        ),
        (several, _) => {
            format!(
                "Using the kernels in {tree}: {}",
                joined(several, ", ", |kernel| kernel.release.to_string())
            )
        }
    }
}

/// The origins of the builds of an autoinstall; empty if all of them were compiled.
fn origins(sources: Sources) -> String {
    if sources.cache + sources.registry == 0 {
        return String::new();
    }
    let counted = [
        (sources.compiled, "built"),
        (sources.cache, "from the cache"),
        (sources.registry, "from the registry"),
    ];
    let parts =
        counted.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}"));
    format!(" ({})", parts.collect::<Vec<_>>().join(", "))
}

/// The text of `--dry-run`: numbered steps, each with its reason.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (id, step) in plan.steps() {
        text.push_str(&format!("{:>3}  {}: {}", id.position() + 1, what(&step.operation), step.reason));
        if let Some(last) = step.last {
            text.push_str(&format!(" (took {} the last time)", duration(last.duration)));
        }
        let before: Vec<String> = plan.before(id).map(|id| (id.position() + 1).to_string()).collect();
        if !before.is_empty() {
            text.push_str(&format!(", after {}", before.join(", ")));
        }
        text.push('\n');
        for file in &step.files {
            text.push_str(&format!("       {}\n", file.display()));
        }
    }
    if plan.is_empty() {
        text.push_str("Nothing to do\n");
    }
    text.push_str("Nothing was done (--dry-run)\n");
    text
}

/// The text of a step of a plan.
fn what(operation: &Operation) -> String {
    match operation {
        Operation::CopySource { from, to, .. } => format!("copy {} to {}", from.display(), to.display()),
        Operation::Add { package, .. } => format!("add {package}"),
        Operation::Build { build, .. } => format!("build {build}"),
        Operation::Install { build, outlook: Outlook::Changes } => format!("install {build}"),
        Operation::Install { build, outlook: Outlook::Same(_) } => format!("nothing to do about {build}"),
        Operation::Install { build, outlook: Outlook::Refused(_) } => format!("cannot do {build}"),
        Operation::Uninstall(build) => format!("uninstall {build}"),
        Operation::Unbuild(build) => format!("delete what is built of {build}"),
        Operation::Remove(package) => format!("remove {package} from the tree"),
        Operation::Depmod(kernel) => format!("depmod for kernel {}", kernel.release),
        Operation::PostTransaction(command) => format!("run {command}"),
        Operation::MakeKey { key, .. } => format!("make the signing key {key}"),
        Operation::Resign(build) => format!("re-sign {build}"),
        Operation::KeepKey(_) => "nothing to do about the modules".to_owned(),
        Operation::Enroll(path) => format!("ask for the enrolment of {}", path.display()),
        Operation::WriteArchive(path) => format!("write {}", path.display()),
        Operation::LoadArchive(path) => format!("load {}", path.display()),
        Operation::Fallback { build, .. } => format!("fall back to {build}"),
        Operation::Skip(build) => format!("skip {build}"),
        Operation::Defer { build, .. } => format!("defer {build}"),
        Operation::Fail { build, .. } => format!("cannot do {build}"),
        Operation::Nothing(about) => format!("nothing to do about {about}"),
    }
}

/// An error and its hints, with the exit code.
pub(crate) fn error(error: &Error, code: u8) -> String {
    // Errors in dkms.conf quote its lines. Any other line feed may come from a name.
    let text = match error {
        Error::Conf(ConfError::Invalid(_)) => error.to_string(),
        _ => error.to_string().replace('\n', "\n  "),
    };
    message(heading(error), &text, &error.help(), code)
}

/// The summary of an inspection, which is printed in addition to its output.
pub(crate) fn summary(summary: &Summary, code: u8) -> String {
    let hint: Vec<String> = summary.hint.iter().map(ToString::to_string).collect();
    message("error", &summary.text.replace('\n', "\n  "), &hint, code)
}

fn message(heading: &str, text: &str, help: &[String], code: u8) -> String {
    let help: String = help.iter().map(|line| indent(line)).collect();
    let code = if code > 1 && code < 128 { format!("  (exit code {code})\n") } else { String::new() };
    format!("dkms: {heading}: {text}\n{help}{code}")
}

/// The word before the text of an error.
fn heading(error: &Error) -> &'static str {
    match error {
        Error::Build(BuildError::Excluded { .. }) => "skipped",
        Error::Package(PackageError::RemoveCancelled(_)) => "note",
        _ => "error",
    }
}
