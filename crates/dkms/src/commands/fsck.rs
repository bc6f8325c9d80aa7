//! `fsck`: reports inconsistencies as text or JSON, and repairs them.

use super::call::Call;
use crate::answer::{Answer, Summary};
use crate::printable::on_one_line;
use crate::render::json;
use dkms_core::error::Result;
use dkms_core::finally;
use dkms_core::look::fsck::{self, Finding, Repaired, Report};
use dkms_core::look::status::Filter;

/// `dkms fsck`
pub(super) fn fsck(call: &Call<'_>, repairing: bool) -> Result<Answer> {
    let filters = super::status::filters(call)?;
    // Without -k, -a and a module, check everything.
    let everything =
        |f: &Filter| f.name.is_none() && f.version.is_none() && f.release.is_none() && f.arch.is_none();
    let filters: Vec<Filter> = filters.into_iter().filter(|f| !everything(f)).collect();
    let report = fsck::check(call.system, call.sink, &filters)?;
    let done = if repairing {
        repair(call, &filters, report)?
    } else {
        Repaired { left: report, ..Repaired::default() }
    };
    if call.arguments.json {
        call.ui.data(&json::fsck(&done));
    } else {
        call.ui.data(&text(&done, repairing));
    }
    finally::once_per_command(call.system, call.sink, &done.changed, false);
    Ok(answer(&done.left, repairing))
}

fn repair(call: &Call<'_>, filters: &[Filter], report: Report) -> Result<Repaired> {
    if report.findings.iter().any(Finding::safe) {
        call.system.require_writable_tree()?;
    }
    if report.findings.iter().any(Finding::changes_a_kernel) {
        call.require_root()?;
    }
    fsck::repair(call.system, call.sink, filters, report)
}

/// The answer, based on what is left. Places that could not be read take precedence over findings, because
/// they may hide more findings.
fn answer(left: &Report, repaired: bool) -> Answer {
    match left.unreadable.len() {
        0 => {}
        n => {
            let text = format!("{} could not be inspected", count(n, "place"));
            return Answer::Unknown(Summary::new(text).hint("run it as root, which can read everything"));
        }
    }
    let summary = match left.findings.len() {
        0 => return Answer::Yes,
        1 => Summary::new("1 inconsistency found"),
        n => Summary::new(format!("{n} inconsistencies found")),
    };
    // A second repair would fail like the first one.
    let repairable = !repaired && left.findings.iter().any(Finding::safe);
    Answer::No(if repairable { summary.hint("'dkms fsck --repair' repairs what is safe") } else { summary })
}

fn text(done: &Repaired, repairing: bool) -> String {
    let mut text = String::new();
    for f in &done.repaired {
        text.push_str(&format!("{}: {}\n  repaired: {}\n", path(f), f.what, f.repair));
    }
    for f in &done.left.findings {
        let word = if f.safe() { "repair" } else { "by hand" };
        text.push_str(&format!("{}: {}\n  {word}: {}\n", path(f), f.what, f.repair));
        match done.failure(f) {
            Some(why) => text.push_str(&format!("  not repaired: {}\n", why.replace('\n', "\n    "))),
            None if repairing && f.safe() => {
                text.push_str("  not repaired: it came up during the repair; run this again\n")
            }
            None => {}
        }
    }
    for u in &done.left.unreadable {
        text.push_str(&format!("{u}\n  not checked\n"));
    }
    if done.left.findings.is_empty() && done.left.unreadable.is_empty() {
        text.push_str(&clean(&done.left, !done.repaired.is_empty()));
    }
    text
}

/// The path on one line: a file name may contain a line feed.
fn path(f: &Finding) -> String {
    on_one_line(&f.path.to_string_lossy()).into_owned()
}

fn clean(left: &Report, repaired: bool) -> String {
    let now = if repaired { "is clean now" } else { "is clean" };
    format!(
        "The tree {now}: {}, {} checked\n",
        count(left.packages, "module version"),
        count(left.builds, "build")
    )
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
