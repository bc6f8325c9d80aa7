//! The page about one machine.

mod lines;
mod sections;
mod tables;

use self::sections::{contents, heading};
use super::data::{KernelState, Key, Machine, Problem, Severity};
use super::problem::{self, Heading};
use super::words;
use dkms_pages::{Html, Page, Tone};

/// So many reasons are not folded up.
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
    parts.push(words::time(machine.generated));
    if !machine.as_root {
        parts.push("not written as root, so some facts are not known".to_owned());
    }
    parts.join(" · ")
}

/// The most important facts, at a glance.
fn facts(html: &mut Html, machine: &Machine) {
    html.within("ul", &[("class", "facts")], |html| {
        for kernel in machine.kernels.iter().filter(|k| k.newest || k.running) {
            let (word, tone) = words::ready(kernel.ready.as_deref());
            let which = match (kernel.newest, kernel.running) {
                (true, true) => "newest and running kernel",
                (true, false) => "newest kernel",
                _ => "running kernel",
            };
            fact(html, &format!("{which}, {}", kernel.kernel), word, tone);
        }
        let of = |severity| machine.problems.iter().filter(|p| p.severity == severity).count();
        let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
        let tone = match (errors, warnings) {
            (0, 0) => Tone::Good,
            (0, _) => Tone::Warn,
            _ => Tone::Bad,
        };
        let both = format!("{}, {}", words::count(errors, "error"), words::count(warnings, "warning"));
        fact(html, "problems", if errors + warnings == 0 { "none" } else { &both }, tone);
        fact(html, "waiting to be installed", &machine.pending.len().to_string(), Tone::Plain);
        fact(html, "Secure Boot", words::secure_boot(&machine.secure_boot.state), Tone::Plain);
        fact(html, "disk", &words::counted(used(machine)), Tone::Plain);
    });
}

fn used(machine: &Machine) -> Option<u64> {
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
    let about = problem::about(&problem.package, &problem.version, &problem.kernel);
    let subject = if about.is_empty() { "this machine" } else { &about };
    let heading = Heading { severity: problem.severity, subject, more: "" };
    let help: Vec<_> = problem.help.iter().map(|line| lines::split(line)).collect();
    let texts = std::iter::once(problem.what.clone()).chain(lines::joined(&help));
    let texts: Vec<String> = texts.map(|text| capitalised(&text)).collect();
    problem::section(html, heading, &texts, &problem.fix, |_| {});
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // A command or a path begins as it is.
        Some(first) if text.split(' ').next().is_some_and(|w| w.chars().all(char::is_alphabetic)) => {
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

/// Why a kernel is not ready; many reasons are folded up, because the problems above have them, too.
fn reasons(html: &mut Html, kernel: &KernelState) {
    let failed = kernel.checks.iter().filter(|check| check.answer != "yes");
    let all: Vec<(String, String)> = failed
        .map(|check| {
            let (module, text) = lines::split(&check.what);
            let help = check.help.as_ref().map_or_else(String::new, |h| format!(" ({h})"));
            let about = check.about.as_deref().unwrap_or_default();
            let subject = match (about.is_empty(), module.is_empty()) {
                (false, false) => format!("{about} ({module})"),
                _ => format!("{about}{module}"),
            };
            (subject, format!("{text}{help}"))
        })
        .collect();
    let all = lines::joined(&all);
    let list = |html: &mut Html| {
        html.list(&all);
    };
    match all.len() {
        0 => {}
        n if n <= FEW => list(html),
        n => {
            html.within("details", &[], |html| {
                html.element("summary", &[], &words::count(n, "reason"));
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
        html.entry("Modules without a good signature", &format!("{word}{why}"));
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
        html.entry("Valid", &format!("from {} to {}", words::day(from), words::day(to)));
    }
    let trusted = match key.trusted {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    html.entry("Trusted by this machine", trusted);
    html.entry("Next", &key.next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::{BuildState, Finding, Module, Pending, Reason};

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
        let item = Pending {
            package: some(),
            kernel: word(),
            what: word(),
            help: vec![word()],
            ..Pending::default()
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
