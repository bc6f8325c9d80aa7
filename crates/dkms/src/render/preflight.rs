//! Renders the answer of `dkms preflight` as text and as JSON.

use super::json::{document, list};
use crate::printable::on_one_line;
use dkms_core::look::ready::answer_word;
use dkms_core::look::verify::Outcome;
use dkms_core::preflight::{KernelReport, PackageReport, PackageState, Report};
use serde_json::{Value, json};

/// `dkms preflight --json`
pub(crate) fn json(report: &Report) -> String {
    document(json!({
        "manager": report.manager,
        "answer": answer_word(report.answer()),
        "kernels": list(&report.kernels, kernel_json),
    }))
}

fn kernel_json(kernel: &KernelReport) -> Value {
    let package = |report: &PackageReport| {
        json!({
            "package": report.package.name,
            "version": report.package.version,
            "state": report.state.word(),
            "required": report.required,
            "reason": reason(&report.state),
        })
    };
    json!({
        "kernel": kernel.release,
        "headers": kernel.headers,
        "answer": answer_word(kernel.answer()),
        "unknown": kernel.unknown,
        "packages": list(&kernel.packages, package),
    })
}

fn reason(state: &PackageState) -> Option<String> {
    match state {
        PackageState::Builds => None,
        PackageState::Fallback(newest) => Some(format!("{newest} does not build (fallback=yes)")),
        PackageState::Fails(why) | PackageState::Unsupported(why) | PackageState::Deferred(why) => {
            Some(why.clone())
        }
    }
}

/// `dkms preflight`: a line for each kernel, then the packages that would not be built for it; with
/// `verbose`, all packages.
pub(crate) fn text(report: &Report, verbose: bool) -> String {
    if report.kernels.is_empty() {
        return format!("{} offers no new kernel\n", report.manager);
    }
    report.kernels.iter().map(|kernel| kernel_text(kernel, verbose)).collect()
}

fn kernel_text(kernel: &KernelReport, verbose: bool) -> String {
    let head = match kernel.answer() {
        Outcome::Loads => "would get its modules",
        Outcome::Refused => "would not get all modules that it needs",
        Outcome::Unknown => "cannot be checked",
    };
    let mut text = format!("Kernel {} {head}\n", on_one_line(&kernel.release));
    if let Some(why) = &kernel.unknown {
        text.push_str(&format!("  {}\n", why.replace('\n', "\n  ")));
    }
    if verbose {
        text.push_str(&format!("  headers: {}\n", on_one_line(&kernel.headers.join(", "))));
    }
    for report in kernel.packages.iter().filter(|report| verbose || report.state != PackageState::Builds) {
        let state = match &report.state {
            PackageState::Builds => "builds",
            PackageState::Fallback(_) => "builds, an older version",
            PackageState::Fails(_) => "does not build",
            PackageState::Unsupported(_) => "does not support it",
            PackageState::Deferred(_) => "is not built",
        };
        let reason = reason(&report.state).map_or_else(String::new, |why| format!(": {why}"));
        text.push_str(&format!(
            "  {} {state}{}\n",
            report.package,
            reason.trim_end().replace('\n', "\n    ")
        ));
    }
    text
}
