//! Runs a second dkms that builds in the prepared directory, and reads its events.

use super::manager::failed;
use super::report::{KernelReport, PackageReport, PackageState};
use super::scratch;
use crate::error::Result;
use crate::event::Sink;
use crate::host::Host;
use crate::system::System;
use dkms_sys::process::Command;
use dkms_tree::ids::PackageId;
use dkms_tree::state;
use serde_json::Value;
use std::path::Path;

/// Runs `dkms --root DIR autoinstall`, and adds the result for each package to the report.
pub(super) fn autoinstall(
    host: &Host,
    root: &Path,
    release: &str,
    dkms: &Path,
    report: &mut KernelReport,
) -> Result<()> {
    let command = Command::new(dkms)
        .arg("--root")
        .arg(root)
        .args(["autoinstall", "--json", "-k", release])
        .envs(host.environment.iter().cloned());
    let shown = command.display();
    let done = command.run().map_err(|e| failed(&shown, e.to_string()))?;
    let text = done.stdout_text();
    let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let Some(result) = events.iter().rev().find(|event| event["event"] == "result") else {
        return Err(failed(&shown, format!("{}: {}", done.status, done.stderr_text().trim())));
    };
    report.packages = packages(&events);
    // 11 means that some packages failed. The report contains these failures.
    let code = result["exit_code"].as_i64().unwrap_or(1);
    if code != 0 && code != 11 {
        report.unknown = Some(result["error"].as_str().unwrap_or("autoinstall failed").to_owned());
    }
    Ok(())
}

/// Returns the state of each package after these events, sorted by name.
fn packages(events: &[Value]) -> Vec<PackageReport> {
    let mut reports: Vec<PackageReport> = Vec::new();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let mut put = |event: &Value, state: PackageState| {
        let (name, version) = (text(event, "package"), text(event, "version"));
        let Ok(package) = PackageId::new(&name, &version) else { return };
        reports.retain(|report| report.package != package);
        reports.push(PackageReport { package, state, required: false });
    };
    for event in events {
        match event["event"].as_str().unwrap_or_default() {
            "built" => put(event, PackageState::Builds),
            "failed" => put(event, PackageState::Fails(without_log(&text(event, "error")))),
            "skipped" => put(event, PackageState::Unsupported(text(event, "reason"))),
            "deferred" => put(event, PackageState::Deferred(text(event, "reason"))),
            _ => {}
        }
    }
    let summaries = events.iter().filter(|event| event["event"] == "summary");
    for fallback in summaries.filter_map(|event| event["fallbacks"].as_array()).flatten() {
        let (name, version) = (text(fallback, "package"), text(fallback, "version"));
        // The report of this version replaces those of the versions that were tried before.
        reports.retain(|report| report.package.name != name || report.package.version == version);
        if let Some(report) = reports.iter_mut().find(|report| report.package.name == name) {
            report.state = PackageState::Fallback(text(fallback, "instead_of"));
        }
    }
    reports.sort_by(|a, b| a.package.name.cmp(&b.package.name));
    reports
}

/// Removes the path of the log from an error, because the log is deleted with the directory.
fn without_log(error: &str) -> String {
    let lines: Vec<&str> = error.lines().filter(|line| !line.contains("/make.log")).collect();
    lines.join("\n")
}

/// Marks the packages that the kernel needs: those of `required_modules`; if this is not set, those that do
/// not build, and those that are installed for the running kernel.
pub(super) fn mark_required(system: &System, sink: &dyn Sink, report: &mut KernelReport) {
    let required = system.settings.framework.required_modules.as_deref().unwrap_or_default();
    let names: Vec<&str> = required.split_whitespace().collect();
    let running = system.host.kernel().ok();
    let is_installed = |package: &PackageId| {
        running.as_ref().is_some_and(|k| state::installed_version(&system.layout, &package.name, k).is_some())
    };
    for PackageReport { package, state, required } in &mut report.packages {
        *required = match (names.is_empty(), state) {
            (false, _) => scratch::has_name(system, sink, package, &names),
            (true, PackageState::Fails(_)) => true,
            (true, _) => is_installed(package),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_states() {
        let lines = [
            r#"{"event":"built","package":"a","version":"1"}"#,
            r#"{"event":"failed","package":"b","version":"2","error":"make failed"}"#,
            r#"{"event":"built","package":"b","version":"1"}"#,
            r#"{"event":"skipped","package":"c","version":"1","reason":"old"}"#,
            r#"{"event":"summary","fallbacks":[{"package":"b","version":"1","instead_of":"2"}]}"#,
        ];
        let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let reports: Vec<(String, PackageState)> =
            packages(&events).into_iter().map(|report| (report.package.to_string(), report.state)).collect();
        let state = |name: &str| reports.iter().find(|(p, _)| p == name).map(|(_, state)| state.clone());
        assert_eq!(reports.len(), 3);
        assert_eq!(state("a/1"), Some(PackageState::Builds));
        assert_eq!(state("b/1"), Some(PackageState::Fallback("2".into())));
        assert_eq!(state("c/1"), Some(PackageState::Unsupported("old".into())));
    }
}
