//! The tables of the page about one machine.

use super::super::data::{BuildState, KernelState, Machine, Module};
use super::super::words;
use super::sections::heading;
use crate::render::size::bytes;
use dkms_pages::{Html, Tone};
use std::collections::BTreeMap;

fn row(html: &mut Html, cells: &[&str]) {
    html.within("tr", &[], |html| {
        for cell in cells {
            html.element("td", &[], cell);
        }
    });
}

/// Packages × kernels.
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
    // The newest first: on a phone, the last ones are out of sight.
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
    let is_here = |b: &&&BuildState| {
        b.kernel.as_deref() == Some(&*kernel.kernel) && b.arch.as_ref() == Some(&kernel.arch)
    };
    if let Some(build) = builds.iter().find(is_here) {
        let (word, tone) = state(build);
        html.badge(tone, word);
        if let Some(origin) =
            build.origin.as_deref().and_then(|o| o.split(' ').next()).filter(|o| *o != "built")
        {
            html.element("span", &[("class", "muted")], &format!(" {origin}"));
        }
    } else if builds.iter().any(|b| b.state == "broken") {
        html.badge(Tone::Bad, "broken");
    } else if let Some(item) = machine.pending.iter().find(|p| {
        p.kernel == kernel.kernel
            && p.package.as_deref() == Some(package)
            && p.version.as_deref() == Some(version)
    }) {
        let word = match item.waits_for.as_str() {
            "autoinstall" => "to be installed".to_owned(),
            "build" => "failed".to_owned(),
            other => format!("waits: {other}"),
        };
        html.badge(Tone::Warn, &word);
    } else {
        html.element("span", &[("class", "muted")], "–");
    }
}

/// The word for a build, and how good that is.
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

/// The installed module files.
pub(super) fn modules(html: &mut Html, machine: &Machine) {
    heading(html, "modules");
    let rows = || machine.builds.iter().flat_map(|b| b.modules.iter().map(move |m| (b, m)));
    let Some((_, first)) = rows().next() else {
        html.paragraph("No module is installed.");
        return;
    };
    // One signer for all needs no column.
    let signer = first.signer.as_deref();
    let alike = rows().all(|(_, module)| module.signer.as_deref() == signer);
    if alike {
        let text = signer
            .map_or("None of them is signed.".to_owned(), |name| format!("{name} has signed all of them."));
        html.paragraph(&text);
    }
    let columns: Vec<&str> =
        ["Module", "Package", "Kernel", "Verdict", "Signed by", "Version", "Loaded", "Built"]
            .into_iter()
            .filter(|name| !alike || *name != "Signed by")
            .collect();
    html.table("Installed modules", "modules", &columns, |html| {
        for (build, module) in rows() {
            html.within("tr", &[], |html| self::module(html, build, module, alike));
        }
    });
}

fn module(html: &mut Html, build: &BuildState, module: &Module, alike: bool) {
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
    if !alike {
        html.element("td", &[], module.signer.as_deref().unwrap_or("not signed"));
    }
    html.element("td", &[], version);
    html.element("td", &[], &loaded(module));
    html.element("td", &[], &built(build));
}

/// Whether this module is the one that the kernel has loaded.
fn loaded(module: &Module) -> String {
    let other = module.loaded_version.as_deref().or(module.loaded_srcversion.as_deref());
    match module.loaded.as_deref() {
        Some("yes") => "yes".to_owned(),
        Some("other") => format!("another one ({})", other.unwrap_or("no version")),
        Some(_) => "no".to_owned(),
        None => "–".to_owned(),
    }
}

/// Where the modules of a build come from, how long that took, and when.
fn built(build: &BuildState) -> String {
    let origin = match build.origin.as_deref() {
        Some("built") => "compiled".to_owned(),
        Some("cache") => "from the cache".to_owned(),
        Some(other) => format!("from the {other}"),
        None => "–".to_owned(),
    };
    let took = build.build_seconds.map_or_else(String::new, |s| format!(" in {}", words::duration(s)));
    let at = build.built_at.map_or_else(String::new, |at| format!(", {}", words::time(at)));
    format!("{origin}{took}{at}")
}

/// What `pending` lists.
pub(super) fn pending(html: &mut Html, machine: &Machine) {
    heading(html, "pending");
    if machine.pending.is_empty() {
        html.paragraph("Nothing waits.");
        return;
    }
    html.table("Pending", "", &["Package", "Kernel", "Waits for", "Why", "What to do"], |html| {
        for item in &machine.pending {
            let version = item.version.as_ref().map_or_else(String::new, |v| format!("/{v}"));
            let package = item.package.as_ref().map_or_else(|| "all".to_owned(), |p| format!("{p}{version}"));
            row(html, &[&package, &item.kernel, &item.waits_for, &item.what, &item.help.join("; ")]);
        }
    });
}

/// What `fsck` finds.
pub(super) fn fsck(html: &mut Html, machine: &Machine) {
    heading(html, "fsck");
    let fsck = &machine.fsck;
    let checked = format!(
        "{} and {} were checked.",
        words::count(fsck.packages, "package version"),
        words::count(fsck.builds, "build")
    );
    let found = match fsck.findings.len() {
        0 => "Nothing is inconsistent".to_owned(),
        n => format!("{} found", words::count(n, "inconsistent place")),
    };
    html.paragraph(&format!("{found}: {checked}"));
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

/// How much space dkms takes.
pub(super) fn disk(html: &mut Html, machine: &Machine) {
    heading(html, "disk");
    let disk = &machine.disk;
    let limit = match disk.cache_limit {
        0 => "switched off".to_owned(),
        limit => format!("of at most {}", bytes(limit)),
    };
    html.within("dl", &[], |html| {
        for (name, text) in [
            ("Tree", words::counted(disk.tree)),
            ("Sources", words::counted(disk.sources)),
            ("Cache of builds", format!("{}, {limit}", words::counted(disk.cache))),
            ("Installed modules", bytes(disk.installed)),
            ("Free beside the tree", words::counted(disk.free)),
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
                html.element("td", &[("class", "number")], &words::counted(package.tree));
                html.element("td", &[("class", "number")], &words::counted(package.sources));
            });
        }
    });
}
