//! Renders the answers of `verify`, `ready` and `pending` as text and as JSON.

use super::json::{document, list, lossy, merged};
use dkms_core::ids::Kernel;
use dkms_core::look::ready::{self, Item, answer_word};
use dkms_core::look::verify::{Judged, KernelFacts, Outcome, Reason, Report};
use serde_json::{Value, json};

/// The word of a verdict in JSON.
pub(crate) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Loads => "loads",
        Outcome::Refused => "refused",
        Outcome::Unknown => "unknown",
    }
}

/// Reasons as JSON. Only a refusal has an error number and a log message of the kernel: for a doubt, they
/// could be wrong.
fn reasons(reasons: &[Reason], refused: bool) -> Value {
    list(reasons, |reason| {
        json!({
            "code": reason.code(), "text": reason.to_string(), "help": reason.help(),
            "log": reason.log().filter(|_| refused), "errno": refused.then(|| reason.errno()),
        })
    })
}

/// The reasons against a module, or the checks that could not be made, or why the file cannot be read.
fn reasons_against(module: &Judged) -> Value {
    if let Some(why) = &module.unreadable {
        return json!([{
            "code": "unreadable", "text": why, "log": null, "errno": null, "help": UNREADABLE,
        }]);
    }
    reasons(refusals_or_doubts(module), !module.verdict.refusals.is_empty())
}

/// The help for a module that cannot be read.
pub(crate) const UNREADABLE: &str = "dkms install --force puts it back";

/// The reasons against a module; if there are none, the checks that could not be made.
pub(crate) fn refusals_or_doubts(module: &Judged) -> &[Reason] {
    match module.verdict.refusals.as_slice() {
        [] => &module.verdict.doubts,
        refusals => refusals,
    }
}

/// `dkms verify --json`
pub(crate) fn verify_json(report: &Report) -> String {
    let module = |module: &Judged| {
        json!({
            "package": module.package.as_ref().map(|id| &id.name),
            "version": module.package.as_ref().map(|id| &id.version),
            "kernel": module.kernel.release,
            "arch": module.kernel.arch,
            "module": module.name,
            "path": lossy(&module.path),
            "verdict": word(module.outcome()),
            "reasons": reasons_against(module),
            "notes": reasons(&module.verdict.notes, false),
        })
    };
    let kernel = |known: &KernelFacts| {
        json!({
            "kernel": known.kernel.release,
            "arch": known.kernel.arch,
            "symbols_from": known.symbols_from.as_deref().map(lossy),
            "policy": known.policy,
        })
    };
    document(json!({
        "verdict": word(report.outcome()),
        "kernels": list(&report.kernels, kernel),
        "modules": list(&report.modules, module),
    }))
}

/// `dkms verify`: one line per module, with its problems below.
pub(crate) fn verify_text(report: &Report, verbose: bool) -> String {
    let mut text = String::new();
    if verbose {
        for KernelFacts { kernel, symbols_from, policy } in &report.kernels {
            let from = symbols_from.as_deref().map_or("none found".into(), lossy);
            text.push_str(&format!("{}: {policy}\n  symbols: {from}\n", kernel.release));
        }
    }
    for module in &report.modules {
        let package = module.package.as_ref().map_or_else(String::new, |id| format!("{id}, "));
        let name = if module.package.is_some() { module.name.as_str().into() } else { lossy(&module.path) };
        let verdict = match module.outcome() {
            Outcome::Loads => "would load",
            Outcome::Refused => "would not load",
            Outcome::Unknown => "may load; not everything could be checked",
        };
        let Kernel { release, arch } = &module.kernel;
        text.push_str(&format!("{package}{release}, {arch}: {name} {verdict}\n"));
        if let Some(why) = &module.unreadable {
            text.push_str(&format!("  {} cannot be read: {why}\n", module.path.display()));
        }
        text.push_str(&explain(&module.verdict.refusals));
        text.push_str(&explain(&module.verdict.doubts));
        if verbose {
            for note in &module.verdict.notes {
                text.push_str(&format!("  note: {note}\n"));
            }
        }
    }
    if report.modules.is_empty() {
        text.push_str("No module of dkms is installed\n");
    }
    text
}

/// Lists the reasons. A help text that several of them share follows the last of them.
fn explain(list: &[Reason]) -> String {
    /// A module for another kernel can lack hundreds of symbols.
    const SHOWN: usize = 8;
    let mut text = String::new();
    let (shown, others) = list.split_at(list.len().min(SHOWN));
    for same_help in shown.chunk_by(|reason, next| reason.help() == next.help()) {
        same_help.iter().for_each(|reason| text.push_str(&format!("  {reason}\n")));
        same_help.last().into_iter().for_each(|last| text.push_str(&format!("    {}\n", last.help())));
    }
    if !others.is_empty() {
        text.push_str(&format!("  and {} more (--json has them all)\n", others.len()));
    }
    text
}

/// `dkms ready --json`
pub(crate) fn ready_json(report: &ready::Report) -> String {
    let check = |check: &ready::Check| {
        let reasons = reasons(&check.reasons, check.answer == Outcome::Refused);
        merged([json!(check), json!({ "reasons": reasons, "remark": check.remark })])
    };
    document(json!({
        "kernel": report.kernel.release,
        "arch": report.kernel.arch,
        "running": report.running,
        "ready": answer_word(report.answer()),
        "checks": list(&report.checks, check),
    }))
}

/// `dkms ready`: the answer, and the reasons against it; with `verbose`, everything that was checked.
pub(crate) fn ready_text(report: &ready::Report, verbose: bool) -> String {
    let head = match report.answer() {
        Outcome::Loads => "is ready to be booted",
        Outcome::Refused => "is not ready to be booted",
        Outcome::Unknown => "may be ready to be booted; not everything could be checked",
    };
    let mut text = format!("Kernel {} {head}\n", report.kernel.release);
    // A positive answer may have a remark.
    let is_shown = |check: &&ready::Check| {
        verbose || check.remark || check.answer != Outcome::Loads || check.help.is_some()
    };
    for check in report.checks.iter().filter(is_shown) {
        let about = check.about.as_ref().map_or_else(String::new, |about| format!("{about} "));
        let verdict = match check.answer {
            _ if check.reasons.is_empty() => "",
            Outcome::Unknown => "may load: ",
            Outcome::Loads => "depends on the machine: ",
            Outcome::Refused if about.is_empty() => "",
            Outcome::Refused => "would not load: ",
        };
        text.push_str(&format!("  {about}{verdict}{}\n", check.what));
        if let Some(help) = &check.help {
            text.push_str(&format!("    {help}\n"));
        }
    }
    text
}

/// `dkms pending --json`
pub(crate) fn pending_json(items: &[Item]) -> String {
    document(json!({ "pending": items }))
}

/// `dkms pending`
pub(crate) fn pending_text(items: &[Item]) -> String {
    let mut text = String::new();
    for Item { package, kernel: Kernel { release, arch }, what, help, .. } in items {
        let package = package.as_ref().map_or_else(String::new, |id| format!("{id}, "));
        text.push_str(&format!("{package}{release}, {arch}: {what}\n"));
        for help in help {
            text.push_str(&format!("  {help}\n"));
        }
    }
    if items.is_empty() {
        text.push_str("Nothing is pending\n");
    }
    text
}
