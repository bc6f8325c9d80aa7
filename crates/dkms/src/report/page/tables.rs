//! The tables of the page about one machine.

use super::super::data::{BuildState, KernelState, Machine, Module};
use super::super::words;
use super::sections::heading;
use crate::render::numbers::{bytes, count, duration};
use dkms_core::look::ready::Wait;
use dkms_core::time::utc;
use dkms_pages::{Html, Tone};
use std::collections::BTreeMap;
use std::time::Duration;

fn row(html: &mut Html, cells: &[&str]) {
    html.within("tr", &[], |html| {
        for cell in cells {
            html.element("td", &[], cell);
        }
    });
}

/// Adds the table of packages and kernels.
pub(super) fn matrix(html: &mut Html, machine: &Machine) {
    heading(html, "packages");
    if machine.builds.is_empty() {
        html.paragraph("The tree has no package.");
        return;
    }
    let mut packages: BTreeMap<(&str, &str), Vec<&BuildState>> = BTreeMap::new();
    for build in &machine.builds {
        packages.entry((&build.package, &build.version)).or_default().push(build);
    }
    // The newest kernels come first, because narrow screens do not show the last columns.
    let names: Vec<String> = machine.kernels.iter().rev().map(column).collect();
    let columns: Vec<&str> = std::iter::once("Package").chain(names.iter().map(String::as_str)).collect();
    html.table("Packages and kernels", "matrix", &columns, |html| {
        for ((package, version), builds) in &packages {
            html.within("tr", &[], |html| {
                html.row_heading(&format!("{package}/{version}"));
                for kernel in machine.kernels.iter().rev() {
                    html.within("td", &[], |html| cell(html, machine, (package, version), builds, kernel));
                }
            });
        }
    });
}

/// The heading of a kernel's column.
fn column(kernel: &KernelState) -> String {
    match (kernel.running, kernel.newest) {
        (true, true) => format!("{} (running, newest)", kernel.kernel),
        (true, false) => format!("{} (running)", kernel.kernel),
        (false, true) => format!("{} (newest)", kernel.kernel),
        (false, false) => kernel.kernel.clone(),
    }
}

fn cell(
    html: &mut Html,
    machine: &Machine,
    (package, version): (&str, &str),
    builds: &[&BuildState],
    kernel: &KernelState,
) {
    let is_for_kernel = |build: &&&BuildState| {
        build.kernel.as_ref() == Some(&kernel.kernel) && build.arch.as_ref() == Some(&kernel.arch)
    };
    if let Some(build) = builds.iter().find(is_for_kernel) {
        let (word, tone) = state(build);
        html.badge(tone, word);
        let origin = build.origin.as_deref().and_then(|origin| origin.split(' ').next());
        if let Some(origin) = origin.filter(|origin| *origin != "built") {
            html.element("span", &[("class", "muted")], &format!(" {origin}"));
        }
    } else if builds.iter().any(|build| build.state == "broken") {
        html.badge(Tone::Bad, "broken");
    } else if let Some(item) = machine.pending.iter().find(|item| {
        item.kernel.release == *kernel.kernel
            && item.package.as_ref().is_some_and(|id| id.name == package && id.version == version)
    }) {
        let word = match item.wait {
            Wait::Autoinstall => "to be installed".to_owned(),
            Wait::Build => "failed".to_owned(),
            other => format!("waits: {}", other.word()),
        };
        html.badge(Tone::Warn, &word);
    } else {
        html.element("span", &[("class", "muted")], "–");
    }
}

/// The state of a build in words, with its tone.
fn state(build: &BuildState) -> (&'static str, Tone) {
    if build.state == "failed" {
        ("failed", Tone::Bad)
    } else if build.built_missing {
        ("files missing", Tone::Bad)
    } else if build.verdict.as_deref() == Some("refused") {
        ("would not load", Tone::Bad)
    } else if build.failed_log.is_some() {
        ("rebuild failed", Tone::Bad)
    } else if build.differs {
        ("differs", Tone::Warn)
    } else {
        match build.state.as_str() {
            "installed" => ("installed", Tone::Good),
            "installed-weak" => ("installed (weak)", Tone::Good),
            "built" => ("built", Tone::Plain),
            _ => ("added", Tone::Plain),
        }
    }
}

/// Adds the table of installed module files.
pub(super) fn modules(html: &mut Html, machine: &Machine) {
    heading(html, "modules");
    let rows =
        || machine.builds.iter().flat_map(|build| build.modules.iter().map(move |module| (build, module)));
    let Some((_, first)) = rows().next() else {
        html.paragraph("No module is installed.");
        return;
    };
    // If all modules have the same signer, one sentence replaces the column.
    let signer = first.signer.as_deref();
    let have_same_signer = rows().all(|(_, module)| module.signer.as_deref() == signer);
    if have_same_signer {
        let text = signer.map_or("None of them is signed.".to_owned(), |name| {
            format!("All of them are signed by {name}.")
        });
        html.paragraph(&text);
    }
    let columns: Vec<&str> =
        ["Module", "Package", "Kernel", "Verdict", "Signed by", "Version", "Loaded", "Built"]
            .into_iter()
            .filter(|name| !have_same_signer || *name != "Signed by")
            .collect();
    html.table("Installed modules", "modules", &columns, |html| {
        for (build, module) in rows() {
            html.within("tr", &[], |html| self::module(html, build, module, !have_same_signer));
        }
    });
}

fn module(html: &mut Html, build: &BuildState, module: &Module, with_signer: bool) {
    let (word, tone) = words::verdict(&module.verdict);
    let version = module.version.as_deref().or(module.srcversion.as_deref()).unwrap_or("–");
    html.row_heading(&module.module);
    html.element("td", &[], &format!("{}/{}", build.package, build.version));
    html.element("td", &[], build.kernel.as_deref().unwrap_or_default());
    html.within("td", &[], |html| {
        html.badge(tone, word);
        if let Some(reason) = module.reasons.first() {
            html.muted(&reason.text);
        }
    });
    if with_signer {
        html.element("td", &[], module.signer.as_deref().unwrap_or("not signed"));
    }
    html.element("td", &[], version);
    html.element("td", &[], &loaded(module));
    html.element("td", &[], &built(build));
}

/// Whether the kernel has loaded this module file, or another one of this name.
fn loaded(module: &Module) -> String {
    let other = module.loaded_version.as_deref().or(module.loaded_srcversion.as_deref());
    match module.loaded.as_deref() {
        Some("yes") => "yes".to_owned(),
        Some("other") => format!("another one ({})", other.unwrap_or("no version")),
        Some(_) => "no".to_owned(),
        None => "–".to_owned(),
    }
}

/// The origin of a build, how long it took, and when it ended.
fn built(build: &BuildState) -> String {
    let origin = match build.origin.as_deref() {
        Some("built") => "compiled".to_owned(),
        Some("cache") => "from the cache".to_owned(),
        Some(other) => format!("from the {other}"),
        None => "–".to_owned(),
    };
    let took = build.build_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let took = took.map_or_else(String::new, |took| format!(" in {}", duration(took)));
    let at = build.built_at.map_or_else(String::new, |at| format!(", {}", utc(at)));
    format!("{origin}{took}{at}")
}

/// Adds the table of pending items.
pub(super) fn pending(html: &mut Html, machine: &Machine) {
    heading(html, "pending");
    if machine.pending.is_empty() {
        html.paragraph("Nothing is pending.");
        return;
    }
    html.table("Pending", "", &["Package", "Kernel", "Waits for", "Why", "What to do"], |html| {
        for item in &machine.pending {
            let package = item.package.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
            let help = item.help.join("; ");
            row(html, &[&package, &item.kernel.release, item.wait.word(), &item.what, &help]);
        }
    });
}

/// Adds the result of `dkms fsck`.
pub(super) fn fsck(html: &mut Html, machine: &Machine) {
    heading(html, "fsck");
    let fsck = &machine.fsck;
    let checked = format!(
        "{} and {} were checked.",
        count(fsck.packages, "package version"),
        count(fsck.builds, "build")
    );
    let result = match fsck.findings.len() {
        0 => "Nothing is inconsistent".to_owned(),
        number => format!("{} found", count(number, "inconsistent place")),
    };
    html.paragraph(&format!("{result}: {checked}"));
    if !fsck.findings.is_empty() {
        html.table("Inconsistencies", "", &["Path", "What is wrong", "Repair"], |html| {
            for finding in &fsck.findings {
                let by = if finding.safe { "dkms fsck --repair: " } else { "by hand: " };
                row(html, &[&finding.path, &finding.what, &format!("{by}{}", finding.repair)]);
            }
        });
    }
    if !fsck.unreadable.is_empty() {
        html.paragraph("These places could not be checked:");
        html.list(&fsck.unreadable);
    }
}

/// Adds the disk usage of dkms.
pub(super) fn disk(html: &mut Html, machine: &Machine) {
    heading(html, "disk");
    let disk = &machine.disk;
    let limit = match disk.cache_limit {
        0 => "switched off".to_owned(),
        limit => format!("of at most {}", bytes(limit)),
    };
    html.within("dl", &[], |html| {
        for (name, text) in [
            ("Tree", words::size(disk.tree)),
            ("Sources", words::size(disk.sources)),
            ("Cache of builds", format!("{}, {limit}", words::size(disk.cache))),
            ("Installed modules", bytes(disk.installed)),
            ("Free beside the tree", words::size(disk.free)),
        ] {
            html.entry(name, &text);
        }
    });
    if disk.packages.is_empty() {
        return;
    }
    html.table("Disk usage of packages", "", &["Package", "In the tree", "Sources"], |html| {
        for package in &disk.packages {
            html.within("tr", &[], |html| {
                html.row_heading(&format!("{}/{}", package.package, package.version));
                html.element("td", &[("class", "number")], &words::size(package.tree));
                html.element("td", &[("class", "number")], &words::size(package.sources));
            });
        }
    });
}
