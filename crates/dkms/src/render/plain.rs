//! Plain text: one line for each event.

use super::{with_code, with_help};
use crate::answer::Summary;
use crate::exit;
use crate::printable::on_one_line;
use dkms_core::build::BuildError;
use dkms_core::conf::ConfError;
use dkms_core::error::Error;
use dkms_core::event::{BuiltModule, Event, Fallback, Sources};
use dkms_core::ids::{Build, Kernel, PackageId, Release};
use dkms_core::package::PackageError;
use dkms_core::plan::{Operation, Outlook, Plan};
use dkms_core::tree::manifest::BuildOrigin;
use std::path::Path;
use std::time::Duration;

/// A line and its stream.
pub(crate) enum Line {
    /// Standard output.
    Out(String),
    /// Standard error.
    Err(String),
}

/// A duration in readable form.
pub(crate) fn took(d: Duration) -> String {
    let s = d.as_secs_f64();
    if s < 60.0 { format!("{s:.1} s") } else { format!("{} min {} s", d.as_secs() / 60, d.as_secs() % 60) }
}

fn modules(list: &[BuiltModule]) -> String {
    let mut out = String::new();
    for m in list {
        out.push_str(&format!("  {} ({}), {}\n", m.file, size(m.size), m.signature));
    }
    out
}

fn size(bytes: u64) -> String {
    if bytes < 10_000 { format!("{bytes} bytes") } else { format!("{} kB", bytes / 1000) }
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("  {}\n", l.replace('\t', "    "))).collect()
}

/// The line for an event. Some events are shown only with `--verbose`, some only in the live view.
pub(crate) fn line(event: &Event, verbose: bool) -> Option<Line> {
    // Escape line feeds, so that a name cannot start a new line.
    let out = |text: String| Some(Line::Out(format!("{}\n", on_one_line(&text))));
    let detail = |text: String| verbose.then(|| Line::Out(format!("{}\n", on_one_line(&text))));
    match event {
        Event::Added { package, source } => out(format!("Added {package} from {}", source.display())),
        Event::SourceCopied { from, to, .. } => out(format!("Copied {} to {}", from.display(), to.display())),
        Event::BuildStarted { build, log, .. } if verbose => {
            out(format!("Building {build}, log: {}", log.display()))
        }
        Event::BuildStarted { build, .. } => out(format!("Building {build}")),
        Event::BuildStage { stage, .. } => detail(format!("  {stage}")),
        Event::Built { build, modules: list, elapsed, origin } => {
            let text = format!("{} in {}\n{}", built(build, origin), took(*elapsed), modules(list));
            Some(Line::Out(text))
        }
        Event::ModuleInstalled { path, .. } => out(format!("Installed {}", path.display())),
        Event::ModuleKept { path, reason, .. } => out(format!("Kept {}: {reason}", path.display())),
        Event::OriginalArchived { from, to, .. } => {
            out(format!("Archived the kernel's own {} in {}", from.display(), to.display()))
        }
        Event::OriginalRestored { to, .. } => out(format!("Restored the kernel's own {}", to.display())),
        Event::Installed { build } => detail(format!("Installed {build}")),
        Event::ModuleRemoved { path, .. } => out(format!("Removed {}", path.display())),
        Event::ModuleUnloaded { module } => out(format!("Unloaded {module}")),
        Event::ModuleLoaded { module } => out(format!("Loaded {module}")),
        Event::Uninstalled { build } => out(format!("Uninstalled {build}")),
        Event::Unbuilt { build } => out(format!("Deleted what was built of {build}")),
        Event::Forgotten { package } => out(format!("Removed {package} from the dkms tree")),
        Event::Nothing { about, reason } => out(format!("Nothing to do: {about} {reason}")),
        Event::Skipped { build, reason } => out(format!("Skipped {build}: {reason}")),
        Event::Deferred { build, reason } => out(format!("Deferred {build}: {reason}")),
        Event::Failed { build, error } => Some(Line::Err(failed(build, error))),
        Event::DepmodStarted { kernel } => detail(format!("depmod for kernel {kernel}")),
        Event::DepmodDone { kernel, elapsed } => {
            out(format!("Updated the module index of kernel {} in {}", kernel.release, took(*elapsed)))
        }
        Event::DepmodSkipped { kernel, reason } => {
            detail(format!("No depmod for kernel {}: {reason}", kernel.release))
        }
        Event::ScriptStarted { package, directive, command } => {
            out(format!("Running {directive} of {package}: {command}"))
        }
        Event::ScriptOutput { text } => Some(Line::Out(indent(text))),
        Event::CommandRun { what, command, elapsed } => {
            out(format!("Ran {what} ({command}) in {}", took(*elapsed)))
        }
        Event::KeyMade { key, certificate } => out(format!(
            "Made a signing key: {} (keep it secret), certificate {}; 'dkms mok' says whether it has to be enrolled",
            key.display(),
            certificate.display()
        )),
        Event::SigningKey { key, certificate } => {
            detail(format!("Signing with {key}, certificate {}", certificate.display()))
        }
        Event::Resigned { build, files } => {
            out(format!("Re-signed {build}: {}", joined(files, |file| file.display().to_string(), ", ")))
        }
        Event::PageWritten { path } | Event::ArchiveWritten { path } => {
            out(format!("Wrote {}", path.display()))
        }
        Event::ArchiveLoaded { package, kernels } if kernels.is_empty() => out(format!("Loaded {package}")),
        Event::ArchiveLoaded { package, kernels } => {
            out(format!("Loaded {package}, built for {}", joined(kernels, ToString::to_string, ", ")))
        }
        Event::Summary { .. } => out(summary_of_kernel(event)),
        Event::StillBuilding { builds } => {
            let one = |(build, time): &(Build, Duration)| {
                format!("{build}, for {}", took(Duration::from_secs(time.as_secs())))
            };
            out(format!("Still building {}", joined(builds, one, "; ")))
        }
        Event::KernelsOfImage { chosen, all, tree } => out(kernels_of_image(chosen, all, tree)),
        Event::Waiting { what, holder } => Some(Line::Err(format!(
            "dkms: waiting for {}\n",
            on_one_line(&format!("{holder}, before {what}"))
        ))),
        Event::Warning { text } => {
            Some(Line::Err(format!("dkms: warning: {}\n", text.replace('\n', "\n  "))))
        }
        Event::Detail { text } => detail(format!("  {text}")),
        Event::Queue { .. } => None,
    }
}

/// How a build was made.
fn built(build: &Build, origin: &BuildOrigin) -> String {
    match origin {
        BuildOrigin::Cache => format!("Took {build} from the cache"),
        BuildOrigin::Registry(from) => format!("Took {build} from {from}"),
        _ => format!("Built {build}"),
    }
}

fn failed(build: &Build, error: &Error) -> String {
    let (name, code) = (build.to_string(), exit::code(error));
    let error = with_help(error);
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.map(indent).collect();
    let name = if first.contains(&name) { String::new() } else { format!("{name}: ") };
    format!("dkms: failed ({code}): {name}{first}\n{rest}")
}

/// The text of [`Event::Summary`].
fn summary_of_kernel(event: &Event) -> String {
    let Event::Summary { kernel, installed, sources, skipped, failed, deferred, fallbacks } = event else {
        return String::new();
    };
    let mut text = format!("Kernel {}: {} installed{}", kernel.release, installed.len(), origins(*sources));
    let names = |list: &[PackageId]| joined(list, ToString::to_string, ", ");
    let lists = [
        ("skipped", skipped.len(), names(skipped)),
        ("deferred", deferred.len(), names(deferred)),
        ("failed", failed.len(), joined(failed, with_code, ", ")),
    ];
    for (word, count, list) in lists.iter().filter(|(_, count, _)| *count > 0) {
        text.push_str(&format!(", {count} {word} ({list})"));
    }
    if !fallbacks.is_empty() {
        let instead = |f: &Fallback| format!("{} instead of {}", f.package, f.instead_of.version);
        let list = joined(fallbacks, instead, ", ");
        text.push_str(&format!(", {} in an older version ({list})", fallbacks.len()));
    }
    text
}

fn joined<T>(list: &[T], text: impl Fn(&T) -> String, separator: &str) -> String {
    list.iter().map(text).collect::<Vec<_>>().join(separator)
}

/// Which kernels of an image a command works on.
fn kernels_of_image(chosen: &[Kernel], all: &[Release], tree: &Path) -> String {
    let tree = tree.display();
    match (chosen, all.len()) {
        ([one], 1) => format!("Using kernel {}, the only one in {tree}", one.release),
        ([one], count) => format!(
            "Using kernel {}, the newest of {count} in {tree} (-k, or autoinstall_all_kernels in framework.conf, chooses others)",
            one.release
        ),
        (several, _) => {
            let releases: Vec<&str> = several.iter().map(|kernel| &*kernel.release).collect();
            format!("Using the kernels in {tree}: {}", releases.join(", "))
        }
    }
}

/// Where the builds of an autoinstall came from, unless all of them were compiled.
fn origins(sources: Sources) -> String {
    if sources.cache + sources.registry == 0 {
        return String::new();
    }
    let counted = [
        (sources.compiled, "built"),
        (sources.cache, "from the cache"),
        (sources.registry, "from the registry"),
    ];
    let parts = counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    format!(" ({})", parts.collect::<Vec<_>>().join(", "))
}

/// The text of `--dry-run`: numbered steps, each with its reason.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (id, step) in plan.steps() {
        text.push_str(&format!("{:>3}  {}: {}", id.position() + 1, what(&step.operation), step.reason));
        if let Some(d) = step.last.map(|last| last.duration) {
            text.push_str(&format!(" (took {} the last time)", took(d)));
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

/// Formats an error: what happened, then how to fix it.
pub(crate) fn error(e: &Error, code: u8) -> String {
    // Errors in dkms.conf are shown with its lines; any other line feed may come from a name.
    let said = match e {
        Error::Conf(ConfError::Invalid(_)) => e.to_string(),
        _ => e.to_string().replace('\n', "\n  "),
    };
    message(heading(e), &said, &e.help(), code)
}

/// Everything an inspection reports in addition to its output.
pub(crate) fn summary(summary: &Summary, code: u8) -> String {
    let hint: Vec<String> = summary.hint.iter().map(ToString::to_string).collect();
    message("error", &summary.text.replace('\n', "\n  "), &hint, code)
}

fn message(heading: &str, text: &str, help: &[String], code: u8) -> String {
    let mut message = format!("dkms: {heading}: {text}\n");
    for line in help {
        message.push_str(&indent(line));
    }
    if code > 1 && code < 128 {
        message.push_str(&format!("  (exit code {code})\n"));
    }
    message
}

/// The kind of failure, for messages.
fn heading(e: &Error) -> &'static str {
    match e {
        Error::Build(BuildError::Excluded { .. }) => "skipped",
        Error::Package(PackageError::RemoveCancelled(_)) => "note",
        _ => "error",
    }
}
