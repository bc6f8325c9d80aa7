//! `fsck`: what is not in order, as text or JSON, and its repair.

use super::Call;
use crate::printable::on_one_line;
use crate::render::json;
use dkms_core::error::{Error, Result};
use dkms_core::finally;
use dkms_core::fsck::{self, Finding, Repaired, Report};
use dkms_core::status::Filter;

/// `dkms fsck`
pub fn fsck(call: &Call<'_>, repairing: bool) -> Result<()> {
    let filters = super::status::filters(call)?;
    // With neither -k nor -a nor a module, everything.
    let everything =
        |f: &Filter| f.name.is_none() && f.version.is_none() && f.release.is_none() && f.arch.is_none();
    let filters: Vec<Filter> = filters.into_iter().filter(|f| !everything(f)).collect();
    let report = fsck::look(call.s, &filters)?;
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
    finally::once_per_command(call.s, &done.changed, false);
    verdict(&done.left, repairing)
}

fn repair(call: &Call<'_>, filters: &[Filter], report: Report) -> Result<Repaired> {
    if report.findings.iter().any(Finding::safe) {
        call.s.require_writable_tree()?;
    }
    if report.findings.iter().any(Finding::changes_a_kernel) {
        call.require_root()?;
    }
    fsck::repair(call.s, filters, report)
}

fn verdict(left: &Report, repaired: bool) -> Result<()> {
    if !left.unreadable.is_empty() {
        return Err(Error::FsckPartly(left.unreadable.len()));
    }
    match left.findings.len() {
        0 => Ok(()),
        n => {
            // What a repair could not do, another will not do either.
            let safe = if repaired { 0 } else { left.findings.iter().filter(|f| f.safe()).count() };
            Err(Error::FsckFound { left: n, safe })
        }
    }
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
        text.push_str(&format!("{u}\n  not looked at\n"));
    }
    if done.left.findings.is_empty() && done.left.unreadable.is_empty() {
        text.push_str(&clean(&done.left, !done.repaired.is_empty()));
    }
    text
}

/// A file's name may hold a line feed.
fn path(f: &Finding) -> String {
    on_one_line(&f.path.to_string_lossy()).into_owned()
}

fn clean(left: &Report, repaired: bool) -> String {
    let now = if repaired { "is clean now" } else { "is clean" };
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    format!(
        "The tree {now}: {}, {} looked at\n",
        count(left.packages, "module version"),
        count(left.builds, "build")
    )
}
