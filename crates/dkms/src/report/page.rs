//! The page about one machine.

mod lines;
mod sections;
mod tables;

use self::sections::{contents, heading};
use super::data::{KernelState, Key, Machine, Problem, Severity};
use super::problem::{self, Heading};
use super::words;
use crate::render::numbers::{count, day};
use dkms_core::look::verify::Outcome;
use dkms_core::time::utc;
use dkms_pages::{Html, Page, Tone};

/// The most reasons that are shown without a click.
const FEW: usize = 5;

/// The whole page.
pub(super) fn render(machine: &Machine) -> String {
    let title = format!("dkms on {}", machine.host.as_deref().unwrap_or("this machine"));
    let mut html = Html::new();
    html.element("h1", &[], &title);
    html.muted(&about(machine));
    facts(&mut html, machine);
    contents(&mut html);
    tables::matrix(&mut html, machine);
    problems(&mut html, machine);
    kernels(&mut html, machine);
    tables::modules(&mut html, machine);
    tables::pending(&mut html, machine);
    tables::fsck(&mut html, machine);
    trust(&mut html, machine);
    tables::disk(&mut html, machine);
    Page { title: &title, style: include_str!("page.css"), script: "" }.render(&html)
}

fn about(machine: &Machine) -> String {
    let mut parts = Vec::new();
    parts.extend(machine.distribution.clone());
    parts.push(machine.arch.clone());
    if !machine.running.is_empty() {
        parts.push(format!("running {}", machine.running));
    }
    parts.push(format!("dkms {}", machine.dkms));
    parts.push(utc(machine.generated));
    if !machine.as_root {
        parts.push("not made as root, so some facts are unknown".to_owned());
    }
    parts.join(" · ")
}

/// Adds the most important facts.
fn facts(html: &mut Html, machine: &Machine) {
    html.within("ul", &[("class", "facts")], |html| {
        for kernel in machine.kernels.iter().filter(|kernel| kernel.newest || kernel.running) {
            let (word, tone) = words::ready(kernel.ready.as_deref());
            let which = match (kernel.newest, kernel.running) {
                (true, true) => "newest and running kernel",
                (true, false) => "newest kernel",
                _ => "running kernel",
            };
            fact(html, &format!("{which}, {}", kernel.kernel), word, tone);
        }
        let number =
            |severity| machine.problems.iter().filter(|problem| problem.severity == severity).count();
        let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
        let tone = match (errors, warnings) {
            (0, 0) => Tone::Good,
            (0, _) => Tone::Warn,
            _ => Tone::Bad,
        };
        let both = format!("{}, {}", count(errors, "error"), count(warnings, "warning"));
        fact(html, "problems", if errors + warnings == 0 { "none" } else { &both }, tone);
        fact(html, "waiting to be installed", &machine.pending.len().to_string(), Tone::Plain);
        fact(html, "Secure Boot", words::secure_boot(&machine.secure_boot.state), Tone::Plain);
        fact(html, "disk", &words::size(disk_usage(machine)), Tone::Plain);
    });
}

fn disk_usage(machine: &Machine) -> Option<u64> {
    let disk = &machine.disk;
    Some(disk.tree?.saturating_add(disk.sources?).saturating_add(disk.cache?).saturating_add(disk.installed))
}

fn fact(html: &mut Html, name: &str, value: &str, tone: Tone) {
    html.within("li", &[], |html| {
        html.element("b", &[("class", tone.class())], value).text(name);
    });
}

fn problems(html: &mut Html, machine: &Machine) {
    heading(html, "problems");
    if machine.problems.is_empty() {
        html.paragraph("Everything is in order.");
    }
    machine.problems.iter().for_each(|problem| self::problem(html, problem));
}

fn problem(html: &mut Html, problem: &Problem) {
    let about = problem::subject(&problem.package, &problem.version, &problem.kernel);
    let subject = if about.is_empty() { "this machine" } else { &about };
    let heading = Heading { severity: problem.severity, subject, more: "" };
    let help: Vec<_> = problem.help.iter().map(|line| lines::split(line)).collect();
    let texts = std::iter::once(problem.what.clone()).chain(lines::merged(&help));
    let texts: Vec<String> = texts.map(|text| capitalised(&text)).collect();
    problem::section(html, heading, &texts, &problem.fix, |_| {});
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // Commands and paths keep their first letter.
        Some(first) if text.split(' ').next().is_some_and(|word| word.chars().all(char::is_alphabetic)) => {
            if text.starts_with("dkms ") {
                text.to_owned()
            } else {
                first.to_uppercase().chain(chars).collect()
            }
        }
        _ => text.to_owned(),
    }
}

fn kernels(html: &mut Html, machine: &Machine) {
    heading(html, "kernels");
    if machine.kernels.is_empty() {
        html.paragraph("There is no kernel.");
    }
    machine.kernels.iter().for_each(|kernel| self::kernel(html, kernel));
}

fn kernel(html: &mut Html, kernel: &KernelState) {
    let (word, tone) = words::ready(kernel.ready.as_deref());
    html.within("section", &[("class", "card"), ("aria-label", &kernel.kernel)], |html| {
        html.within("h3", &[], |html| {
            html.text(&kernel.kernel).text(" ").badge(tone, word);
        });
        let headers = if kernel.headers { "headers installed" } else { "no headers" };
        let mut facts = vec![kernel.arch.as_str(), headers];
        facts.extend(kernel.running.then_some("running"));
        facts.extend(kernel.newest.then_some("newest"));
        facts.extend(kernel.policy.as_deref());
        html.muted(&facts.join(" · "));
        reasons(html, kernel);
    });
}

/// Adds the reasons why a kernel is not ready. Many reasons are collapsed, because the list of problems has
/// them as well.
fn reasons(html: &mut Html, kernel: &KernelState) {
    let failed = kernel.checks.iter().filter(|check| check.answer != Outcome::Loads);
    let all: Vec<(String, String)> = failed
        .map(|check| {
            let (module, text) = lines::split(&check.what);
            let help = check.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            let about = check.about.as_deref().unwrap_or_default();
            let subject = match (about.is_empty(), module.is_empty()) {
                (false, false) => format!("{about} ({module})"),
                _ => format!("{about}{module}"),
            };
            (subject, format!("{text}{help}"))
        })
        .collect();
    let all = lines::merged(&all);
    let list = |html: &mut Html| {
        html.list(&all);
    };
    match all.len() {
        0 => {}
        number if number <= FEW => list(html),
        number => {
            html.within("details", &[], |html| {
                html.element("summary", &[], &count(number, "reason"));
                list(html);
            });
        }
    }
}

fn trust(html: &mut Html, machine: &Machine) {
    heading(html, "trust");
    let boot = &machine.secure_boot;
    html.within("dl", &[], |html| {
        html.entry("Secure Boot", words::secure_boot(&boot.state));
        let word = match boot.enforcement.as_str() {
            "no" => "are loaded",
            "unknown" => "may be refused",
            _ => "are refused",
        };
        let why = if boot.why.is_empty() { String::new() } else { format!(": {}", boot.why) };
        html.entry("Modules without a trusted signature", &format!("{word}{why}"));
        if let Some(key) = &machine.key {
            self::key(html, key);
        }
    });
}

fn key(html: &mut Html, key: &Key) {
    let state = if key.state == "there" { String::new() } else { format!(" ({})", key.state) };
    html.entry("Key", &format!("{}{state}", key.path));
    let certificate = match (&key.subject, &key.error) {
        (_, Some(error)) => error.clone(),
        (Some(subject), None) => {
            let kind = key.key_type.as_deref().unwrap_or_default();
            format!("{subject}, {kind}, in {}", key.certificate)
        }
        (None, None) => format!("{} (missing)", key.certificate),
    };
    html.entry("Certificate", &certificate);
    if let (Some(from), Some(to)) = (key.not_before, key.not_after) {
        html.entry("Valid", &format!("from {} to {}", day(from), day(to)));
    }
    let trusted = match key.trusted {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    html.entry("Trusted by this machine", trusted);
    html.entry("Next", &key.next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::{BuildState, Finding, Module, Reason};
    use dkms_core::ids::{Kernel, PackageId, Release};
    use dkms_core::look::ready::{Item, Wait};

    #[test]
    fn names_stay_text() {
        let word = || "<b>\"'&\u{1b}[31m\u{202e}".to_owned();
        let some = || Some(word());
        let module = Module {
            module: word(),
            verdict: "refused".into(),
            reasons: vec![Reason { code: word(), text: word(), help: word() }],
            signer: some(),
            version: some(),
            loaded: Some("other".into()),
            loaded_version: some(),
            ..Module::default()
        };
        let build = BuildState {
            package: word(),
            version: word(),
            kernel: some(),
            origin: some(),
            modules: vec![module],
            ..BuildState::default()
        };
        let item = Item {
            package: Some(PackageId { name: word(), version: word() }),
            // A release cannot contain such characters.
            kernel: Kernel { release: Release::new("6.1").unwrap(), arch: word() },
            wait: Wait::Build,
            what: word(),
            help: vec![word()],
        };
        let finding = Finding { path: word(), what: word(), repair: word(), ..Finding::default() };
        let problem = Problem {
            package: some(),
            kernel: some(),
            what: word(),
            fix: vec![word()],
            ..Problem::default()
        };
        let mut machine =
            Machine { host: some(), builds: vec![build], pending: vec![item], ..Machine::default() };
        machine.kernels = vec![KernelState { kernel: word(), policy: some(), ..KernelState::default() }];
        machine.fsck.findings = vec![finding];
        machine.fsck.unreadable = vec![word()];
        machine.problems = vec![problem];
        machine.key = Some(Key { path: word(), error: some(), next: word(), ..Key::default() });
        let text = render(&machine);
        assert!(!text.contains("<b>\"") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(text.matches("&lt;b&gt;&quot;&#39;&amp;\\u001b[31m\\u202e").count() > 20, "{text}");
    }

    #[test]
    fn sentences_begin_with_a_capital_letter_and_commands_do_not() {
        assert_eq!(capitalised("its last build failed"), "Its last build failed");
        assert_eq!(capitalised("dkms autoinstall -k 6.1"), "dkms autoinstall -k 6.1");
        assert_eq!(capitalised("/lib/modules is not there"), "/lib/modules is not there");
        assert_eq!(capitalised(""), "");
    }
}
