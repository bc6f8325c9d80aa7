//! Renders what kernels would do with modules: `verify`, `ready` and `pending`, as text and as JSON.

use super::json::{document, list};
use dkms_core::look::ready::{self, Item};
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

/// The error number and the kernel's log message are only for refusals: for a mere doubt they would be wrong.
fn reasons(reasons: &[Reason], refused: bool) -> Value {
    list(reasons, |r| {
        json!({
            "code": r.code(), "text": r.to_string(), "help": r.help(),
            "log": r.log().filter(|_| refused), "errno": refused.then(|| r.errno()),
        })
    })
}

/// The reasons against a module, or what could not be checked; for an unreadable file, the reason for that.
fn against(m: &Judged) -> Value {
    if let Some(why) = &m.unreadable {
        return json!([{
            "code": "unreadable", "text": why, "log": null, "errno": null, "help": UNREADABLE,
        }]);
    }
    reasons(refusals_or_doubts(m), !m.verdict.refusals.is_empty())
}

/// What to do about a module that cannot be read.
pub(crate) const UNREADABLE: &str = "dkms install --force puts it back";

/// The reasons against a module, or else what could not be checked.
pub(crate) fn refusals_or_doubts(m: &Judged) -> &[Reason] {
    match m.verdict.refusals.as_slice() {
        [] => &m.verdict.doubts,
        refusals => refusals,
    }
}

/// `dkms verify --json`
pub(crate) fn verify_json(report: &Report) -> String {
    let module = |m: &Judged| {
        json!({
            "package": m.package.as_ref().map(|p| &p.name),
            "version": m.package.as_ref().map(|p| &p.version),
            "kernel": m.kernel.release,
            "arch": m.kernel.arch,
            "module": m.name,
            "path": m.path.to_string_lossy(),
            "verdict": word(m.outcome()),
            "reasons": against(m),
            "notes": reasons(&m.verdict.notes, false),
        })
    };
    let kernel = |k: &KernelFacts| {
        json!({
            "kernel": k.kernel.release,
            "arch": k.kernel.arch,
            "symbols_from": k.symbols_from.as_ref().map(|p| p.to_string_lossy()),
            "policy": k.policy,
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
        for k in &report.kernels {
            let from =
                k.symbols_from.as_ref().map_or_else(|| "none found".into(), |p| p.display().to_string());
            text.push_str(&format!("{}: {}\n  symbols: {from}\n", k.kernel.release, k.policy));
        }
    }
    for m in &report.modules {
        let package = m.package.as_ref().map_or_else(String::new, |p| format!("{p}, "));
        let name = if m.package.is_some() { m.name.clone() } else { m.path.display().to_string() };
        let said = match m.outcome() {
            Outcome::Loads => "would load",
            Outcome::Refused => "would not load",
            Outcome::Unknown => "may load; not everything could be checked",
        };
        text.push_str(&format!("{package}{}, {}: {name} {said}\n", m.kernel.release, m.kernel.arch));
        if let Some(why) = &m.unreadable {
            text.push_str(&format!("  {} cannot be read: {why}\n", m.path.display()));
        }
        text.push_str(&explain(&m.verdict.refusals));
        text.push_str(&explain(&m.verdict.doubts));
        if verbose {
            for note in &m.verdict.notes {
                text.push_str(&format!("  note: {note}\n"));
            }
        }
    }
    if report.modules.is_empty() {
        text.push_str("No module of dkms is installed\n");
    }
    text
}

/// Lists each reason; reasons with the same help text share it, and it follows the last of them.
fn explain(list: &[Reason]) -> String {
    /// A module for another kernel can lack hundreds of symbols.
    const SHOWN: usize = 8;
    let mut text = String::new();
    for (n, reason) in list.iter().take(SHOWN).enumerate() {
        text.push_str(&format!("  {reason}\n"));
        let last = n + 1 == SHOWN || list.get(n + 1).is_none_or(|next| next.help() != reason.help());
        if last {
            text.push_str(&format!("    {}\n", reason.help()));
        }
    }
    if list.len() > SHOWN {
        text.push_str(&format!("  and {} more (--json has them all)\n", list.len() - SHOWN));
    }
    text
}

/// The word of an answer in JSON.
pub(crate) fn answer(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Loads => "yes",
        Outcome::Refused => "no",
        Outcome::Unknown => "unknown",
    }
}

/// `dkms ready --json`
pub(crate) fn ready_json(report: &ready::Report) -> String {
    let check = |c: &ready::Check| {
        json!({
            "about": c.about, "answer": answer(c.answer), "what": c.what, "help": c.help,
            "reasons": reasons(&c.reasons, c.answer == Outcome::Refused), "remark": c.remark,
        })
    };
    document(json!({
        "kernel": report.kernel.release,
        "arch": report.kernel.arch,
        "running": report.running,
        "ready": answer(report.answer()),
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
    let is_shown = |c: &&ready::Check| verbose || c.remark || c.answer != Outcome::Loads || c.help.is_some();
    for c in report.checks.iter().filter(is_shown) {
        let about = c.about.as_ref().map_or_else(String::new, |a| format!("{a} "));
        let colon = if about.is_empty() || c.reasons.is_empty() { "" } else { "would not load: " };
        let colon = match c.answer {
            Outcome::Unknown if !c.reasons.is_empty() => "may load: ",
            Outcome::Loads if !c.reasons.is_empty() => "depends on the machine: ",
            _ => colon,
        };
        text.push_str(&format!("  {about}{colon}{}\n", c.what));
        if let Some(help) = &c.help {
            text.push_str(&format!("    {help}\n"));
        }
    }
    text
}

/// `dkms pending --json`
pub(crate) fn pending_json(items: &[Item]) -> String {
    let item = |i: &Item| {
        json!({
            "package": i.package.as_ref().map(|p| &p.name),
            "version": i.package.as_ref().map(|p| &p.version),
            "kernel": i.kernel.release,
            "arch": i.kernel.arch,
            "waits_for": i.wait.word(),
            "what": i.what,
            "help": i.help,
        })
    };
    document(json!({ "pending": list(items, item) }))
}

/// `dkms pending`
pub(crate) fn pending_text(items: &[Item]) -> String {
    let mut text = String::new();
    for i in items {
        let package = i.package.as_ref().map_or_else(String::new, |p| format!("{p}, "));
        text.push_str(&format!("{package}{}, {}: {}\n", i.kernel.release, i.kernel.arch, i.what));
        for help in &i.help {
            text.push_str(&format!("  {help}\n"));
        }
    }
    if items.is_empty() {
        text.push_str("Nothing waits\n");
    }
    text
}
