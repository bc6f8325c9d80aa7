//! `fsck`: reports inconsistencies as text or JSON, and repairs them.

use super::call::Call;
use crate::answer::{Answer, Summary};
use crate::printable::on_one_line;
use crate::render::json;
use crate::render::numbers::count;
use dkms_core::error::Result;
use dkms_core::finally;
use dkms_core::look::fsck::{self, Finding, Repaired, Report};
use dkms_core::look::status::Filter;

/// `dkms fsck`
pub(super) fn fsck(call: &Call<'_>, repairing: bool) -> Result<Answer> {
    let filters = super::status::filters(call)?;
    // A filter without any condition stands for everything, as does an empty list.
    let filters: Vec<Filter> = filters.into_iter().filter(|filter| *filter != Filter::default()).collect();
    let report = fsck::check(call.system, call.sink, &filters)?;
    let done = if repairing {
        repair(call, &filters, report)?
    } else {
        Repaired { left: report, ..Repaired::default() }
    };
    call.print(|| json::fsck(&done), || text(&done, repairing));
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

/// The answer, based on the findings that are left. Places that could not be read take precedence, because
/// they may hide more findings.
fn answer(left: &Report, repaired: bool) -> Answer {
    if !left.unreadable.is_empty() {
        let text = format!("{} could not be inspected", count(left.unreadable.len(), "place"));
        return Answer::Unknown(Summary::new(text).hint("run it as root, which can read everything"));
    }
    let summary = match left.findings.len() {
        0 => return Answer::Yes,
        1 => Summary::new("1 inconsistency found"),
        number => Summary::new(format!("{number} inconsistencies found")),
    };
    // A second repair would fail like the first one.
    let repairable = !repaired && left.findings.iter().any(Finding::safe);
    Answer::No(if repairable { summary.hint("'dkms fsck --repair' repairs what is safe") } else { summary })
}

fn text(done: &Repaired, repairing: bool) -> String {
    let mut text = String::new();
    for finding in &done.repaired {
        text.push_str(&format!("{}\n  repaired: {}\n", description(finding), finding.repair));
    }
    for finding in &done.left.findings {
        let word = if finding.safe() { "repair" } else { "by hand" };
        text.push_str(&format!("{}\n  {word}: {}\n", description(finding), finding.repair));
        match done.failure(finding) {
            Some(why) => text.push_str(&format!("  not repaired: {}\n", why.replace('\n', "\n    "))),
            None if repairing && finding.safe() => {
                text.push_str("  not repaired: it appeared during the repair; run this again\n")
            }
            None => {}
        }
    }
    for place in &done.left.unreadable {
        text.push_str(&format!("{place}\n  not checked\n"));
    }
    if done.left.findings.is_empty() && done.left.unreadable.is_empty() {
        let state = if done.repaired.is_empty() { "is clean" } else { "is clean now" };
        let versions = count(done.left.packages, "module version");
        let builds = count(done.left.builds, "build");
        text.push_str(&format!("The tree {state}: {versions}, {builds} checked\n"));
    }
    text
}

/// A finding on one line: a file name may contain a line feed.
fn description(finding: &Finding) -> String {
    format!("{}: {}", on_one_line(&finding.path.to_string_lossy()), finding.what)
}
