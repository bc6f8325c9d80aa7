//! One line for everything that happened.

use crate::answer::Summary;
use crate::printable::on_one_line;
use dkms_core::build::BuildError;
use dkms_core::conf::ConfError;
use dkms_core::error::Error;
use dkms_core::event::{BuiltModule, Event};
use dkms_core::package::PackageError;
use dkms_core::plan::{Step, What};
use std::time::Duration;

/// A line and where it goes.
pub enum Line {
    /// Standard output.
    Out(String),
    /// Standard error.
    Err(String),
}

/// How long something took, as people say it.
pub fn took(d: Duration) -> String {
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

/// The line for an event; some events are only shown with `--verbose`, some are for the live view only.
pub fn line(event: &Event, verbose: bool) -> Option<Line> {
    // A name with a line feed in it does not make a line of its own.
    let out = |text: String| Some(Line::Out(format!("{}\n", on_one_line(&text))));
    let detail = |text: String| verbose.then(|| Line::Out(format!("{}\n", on_one_line(&text))));
    match event {
        Event::Added { package, source } => out(format!("Added {package} from {}", source.display())),
        Event::SourceCopied { from, to, .. } => out(format!("Copied {} to {}", from.display(), to.display())),
        Event::BuildStarted { build, log } => {
            if verbose {
                out(format!("Building {build}, log: {}", log.display()))
            } else {
                out(format!("Building {build}"))
            }
        }
        Event::BuildStage { stage, .. } => detail(format!("  {stage}")),
        Event::Built { build, modules: list, elapsed } => {
            Some(Line::Out(format!("Built {build} in {}\n{}", took(*elapsed), modules(list))))
        }
        Event::ModuleInstalled { path, .. } => out(format!("Installed {}", path.display())),
        Event::ModuleKept { path, reason, .. } => out(format!("Kept {}: {reason}", path.display())),
        Event::OriginalArchived { from, to, .. } => {
            out(format!("Archived the kernel's own {} in {}", from.display(), to.display()))
        }
        Event::OriginalRestored { to, .. } => out(format!("Restored the kernel's own {}", to.display())),
        Event::Installed { build } => detail(format!("Installed {build}")),
        Event::ModuleRemoved { path, .. } => out(format!("Removed {}", path.display())),
        Event::Uninstalled { build } => out(format!("Uninstalled {build}")),
        Event::Unbuilt { build } => out(format!("Deleted what was built of {build}")),
        Event::Forgotten { package } => out(format!("Removed {package} from the dkms tree")),
        Event::Nothing { about, reason } => out(format!("Nothing to do: {about} {reason}")),
        Event::Skipped { build, reason } => out(format!("Skipped {build}: {reason}")),
        Event::Deferred { build, reason } => out(format!("Deferred {build}: {reason}")),
        Event::Failed { build, error, code } => {
            let name = build.to_string();
            let mut lines = error.lines();
            let first = lines.next().unwrap_or_default();
            let rest: String = lines.map(indent).collect();
            let name = if first.contains(&name) { String::new() } else { format!("{name}: ") };
            Some(Line::Err(format!("dkms: failed ({code}): {name}{first}\n{rest}")))
        }
        Event::DepmodStarted { kernel } => detail(format!("depmod for kernel {kernel}")),
        Event::DepmodDone { kernel, elapsed } => {
            out(format!("Indexed the modules of kernel {} in {}", kernel.release, took(*elapsed)))
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
            let list: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
            out(format!("Signed {build} anew: {}", list.join(", ")))
        }
        Event::ArchiveWritten { path } => out(format!("Wrote {}", path.display())),
        Event::ArchiveLoaded { package, kernels } => {
            let list: Vec<String> = kernels.iter().map(ToString::to_string).collect();
            out(match list.as_slice() {
                [] => format!("Loaded {package}"),
                some => format!("Loaded {package}, built for {}", some.join(", ")),
            })
        }
        Event::Summary { kernel, installed, skipped, failed, deferred } => {
            let mut text = format!("Kernel {}: {} installed", kernel.release, installed.len());
            for (word, list) in [("skipped", skipped), ("deferred", deferred), ("failed", failed)] {
                if !list.is_empty() {
                    text.push_str(&format!(", {} {word} ({})", list.len(), list.join(", ")));
                }
            }
            out(text)
        }
        Event::StillBuilding { builds } => {
            let list: Vec<String> = builds
                .iter()
                .map(|(b, d)| format!("{b}, for {}", took(Duration::from_secs(d.as_secs()))))
                .collect();
            out(format!("Still building {}", list.join("; ")))
        }
        Event::Waiting { what, holder } => Some(Line::Err(format!(
            "dkms: waiting for {}\n",
            on_one_line(&format!("{holder}, before {what}"))
        ))),
        Event::Warning { text } => {
            Some(Line::Err(format!("dkms: warning: {}\n", text.replace('\n', "\n  "))))
        }
        Event::Detail { text } => detail(format!("  {text}")),
        _ => None,
    }
}

/// The text of `--dry-run`: numbered steps, each with its reason.
pub fn steps(steps: &[Step]) -> String {
    let mut text = String::new();
    for (n, step) in steps.iter().enumerate() {
        text.push_str(&format!("{:>3}  {}: {}", n + 1, what(&step.what), step.reason));
        if let Some(d) = step.expected {
            text.push_str(&format!(" (took {} the last time)", took(d)));
        }
        if !step.after.is_empty() {
            let list: Vec<String> = step.after.iter().map(|n| (n + 1).to_string()).collect();
            text.push_str(&format!(", after {}", list.join(", ")));
        }
        text.push('\n');
        for file in &step.files {
            text.push_str(&format!("       {}\n", file.display()));
        }
    }
    if steps.is_empty() {
        text.push_str("Nothing to do\n");
    }
    text.push_str("Nothing was done (--dry-run)\n");
    text
}

fn what(what: &What) -> String {
    match what {
        What::CopySource { from, to, .. } => format!("copy {} to {}", from.display(), to.display()),
        What::Add(p) => format!("add {p}"),
        What::Build(b) => format!("build {b}"),
        What::Install(b) => format!("install {b}"),
        What::Uninstall(b) => format!("uninstall {b}"),
        What::Unbuild(b) => format!("delete what is built of {b}"),
        What::Remove(p) => format!("remove {p} from the tree"),
        What::Depmod(k) => format!("depmod for kernel {}", k.release),
        What::PostTransaction(command) => format!("run {command}"),
        What::MakeKey { key, .. } => format!("make the signing key {key}"),
        What::Resign(b) => format!("sign {b} anew"),
        What::Enroll(path) => format!("ask for the enrolment of {}", path.display()),
        What::WriteArchive(path) => format!("write {}", path.display()),
        What::LoadArchive(path) => format!("load {}", path.display()),
        What::Skip(b) => format!("skip {b}"),
        What::Defer(b) => format!("defer {b}"),
        What::Fail(b) => format!("cannot do {b}"),
        What::Nothing(about) => format!("nothing to do about {about}"),
    }
}

/// How an error is shown: what happened, then what to do about it.
pub fn error(e: &Error, code: u8) -> String {
    // What dkms.conf gets wrong is shown with its lines; any other line feed may come from a name.
    let said = match e {
        Error::Conf(ConfError::Invalid(_)) => e.to_string(),
        _ => e.to_string().replace('\n', "\n  "),
    };
    message(heading(e), &said, &e.help(), code)
}

/// What an inspection has to say besides its output.
pub fn summary(summary: &Summary, code: u8) -> String {
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

/// What kind of end a command came to, for messages.
fn heading(e: &Error) -> &'static str {
    match e {
        Error::Build(BuildError::Excluded { .. }) => "skipped",
        Error::Package(PackageError::RemoveCancelled(_)) => "note",
        _ => "error",
    }
}
