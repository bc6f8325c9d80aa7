//! `dkms ready`: checks whether a kernel can safely be booted next. Every required module must be installed
//! for it, be listed in its depmod index, and be accepted by it. It must also be in its initramfs if it is in
//! the running kernel's initramfs. The required modules are those this machine runs with and cannot do
//! without.

mod initramfs;
mod loaded;
mod pending;
mod report;
mod required;

use crate::event::Sink;
use crate::host::Host;
pub use pending::{Item, Wait, pending, pending_given};
pub use report::{Check, Report, answer_word};
use required::{Required, own_names};

use crate::build::BuildError;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::kernel::headers;
use crate::kernel::installed::{self, has_modules};
use crate::look::status::{self, Filter, State};
use crate::look::verify::{self, Judged};
use crate::system::System;
use dkms_tree::entry::Entry;
use dkms_tree::ids::{Build, Kernel, PackageId, Release};
use dkms_tree::journal::{self, Journal};
use dkms_tree::layout::Layout;
use dkms_tree::state;
use kmodule::ModuleName;
use kmodule::verdict::{Outcome, Reason};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// depmod's index: the module files, by the kernel's names for the modules.
type Index = HashMap<ModuleName, PathBuf>;

/// Returns the kernel that a boot loader starts by default: the newest kernel with modules, in dkms's version
/// order.
#[must_use]
pub fn newest_kernel(layout: &Layout) -> Option<Release> {
    kernels(layout).pop()
}

/// The kernels that have modules, oldest first. A directory with headers only is not a kernel.
#[must_use]
pub fn kernels(layout: &Layout) -> Vec<Release> {
    installed::releases(layout)
}

/// Checks whether `kernel` can be booted. With `must_be_loaded`, also whether it, the running kernel, has
/// loaded what `required_modules` names. Changes nothing.
///
/// # Errors
/// framework.conf cannot be read.
pub fn ready(system: &System, sink: &dyn Sink, kernel: &Kernel, must_be_loaded: bool) -> Result<Report> {
    let verdicts = || verify::verify(system, sink, &[Filter::of_kernel(&kernel.release)]);
    check(system, sink, kernel, must_be_loaded, &verdicts)
}

/// Like [`ready`], with the verdicts on at least the modules that are installed for this kernel.
///
/// # Errors
/// framework.conf cannot be read.
pub fn ready_given(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    verdicts: &verify::Report,
) -> Result<Report> {
    let of_kernel = || {
        let modules = verdicts.modules.iter().filter(|m| m.kernel == *kernel).cloned().collect();
        verify::Report { modules, kernels: Vec::new() }
    };
    check(system, sink, kernel, false, &of_kernel)
}

fn check(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    must_be_loaded: bool,
    verdicts: &dyn Fn() -> verify::Report,
) -> Result<Report> {
    let mut report =
        Report { kernel: kernel.clone(), running: system.host.release.to_string(), checks: Vec::new() };
    let modules = system.layout.kernel_modules(&kernel.release);
    if !modules.is_dir() {
        let what = format!("there is no {}: this kernel is not installed", modules.display());
        report.note(None, Outcome::Refused, what, None);
        return Ok(report);
    }
    check_own_modules(&system.host, kernel, &modules, &mut report);
    unfinished(&system.layout, kernel, &mut report);
    let reference = Reference::determine(&system.host, &system.layout, &kernel.arch);
    let entries_here = entries(system, sink, kernel);
    let reference_entries = match &reference {
        Reference::Running(running) => entries(system, sink, running),
        Reference::Tree => entries_here.clone(),
    };
    let required = required(system, sink, &reference, &reference_entries, kernel)?;
    if required.is_empty() {
        let who = match reference {
            Reference::Running(_) => "the running kernel",
            Reference::Tree => "that system",
        };
        let what = format!("{who} has no module of dkms that is required");
        report.note(None, Outcome::Loads, what, None);
    }
    let verdicts = verdicts();
    let index = verify::indexed_files(&modules);
    let mut early = Vec::new();
    for item in &required {
        match item {
            Required::Package(name) => {
                package(system, name, &entries_here, &verdicts.modules, &index, &mut report);
                early.extend(modules_of(&system.layout, &reference_entries, name));
            }
            Required::Module(name) => {
                own_module(&modules, name, &index, &mut report);
                early.push(ModuleName::new(name));
            }
        }
    }
    if let Reference::Running(running) = &reference {
        loaded::note_other_builds(system, sink, &reference_entries, &required, &mut report);
        initramfs::compare(&system.layout, running, kernel, &early, &mut report);
    }
    let is_named =
        system.settings.framework.required_modules.as_deref().is_some_and(|v| !v.trim().is_empty());
    if must_be_loaded && is_named && system.host.runs(&kernel.release) {
        loaded::check(system, sink, &reference_entries, &required, &mut report);
    }
    Ok(report)
}

/// Returns whether the kernel's own package is installed.
fn check_own_modules(host: &Host, kernel: &Kernel, modules: &Path, report: &mut Report) {
    if has_modules(modules) {
        return;
    }
    let what = format!("{} holds no modules of the kernel itself", modules.display());
    let package = host.distribution.as_ref().map_or_else(
        || "the kernel's own package".into(),
        |known| known.kernel_package(&kernel.release, modules),
    );
    report.note(None, Outcome::Refused, what, Some(&format!("install {package}")));
}

/// The required packages that are not installed for a kernel. Changes nothing, and examines no module files:
/// a new kernel has neither an index nor an initramfs yet.
///
/// # Errors
/// framework.conf cannot be read.
pub fn missing(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Vec<String>> {
    let reference = Reference::determine(&system.host, &system.layout, &kernel.arch);
    let entries_here = entries(system, sink, kernel);
    let reference_entries = match &reference {
        Reference::Running(running) => entries(system, sink, running),
        Reference::Tree => entries_here.clone(),
    };
    let is_there = |name: &str| entries_here.iter().any(|e| e.package.name == name && !e.built_missing);
    let required = required(system, sink, &reference, &reference_entries, kernel)?.into_iter();
    Ok(required
        .filter_map(|item| match item {
            Required::Package(name) if !is_there(&name) => Some(name),
            Required::Package(_) | Required::Module(_) => None,
        })
        .collect())
}

/// The source of the list of required packages, if the administrator does not set it.
#[derive(Debug)]
enum Reference {
    /// The packages that are installed for the running kernel.
    Running(Kernel),
    /// Everything in the tree: none of its kernels is running, because this is an image, or because the
    /// running kernel's modules were removed.
    Tree,
}

impl Reference {
    fn determine(host: &Host, layout: &Layout, arch: &str) -> Self {
        let running = Kernel::of(host.release.clone(), arch)
            .ok()
            .filter(|running| host.image.is_none() && has_modules(&layout.kernel_modules(&running.release)));
        running.map_or(Self::Tree, Self::Running)
    }
}

/// Reports interrupted changes of this kernel's modules.
fn unfinished(layout: &Layout, kernel: &Kernel, report: &mut Report) {
    let journals = match journal::list(layout) {
        Ok(paths) => paths,
        Err(e) => return report.note(None, Outcome::Unknown, e.to_string(), None),
    };
    for path in journals {
        match Journal::read(&path) {
            Ok(Some(j)) if j.begin.kernels.iter().any(|k| k.release == kernel.release) => {
                if j.writer_is_alive() {
                    let what = format!(
                        "its modules are being changed by '{}' (pid {})",
                        j.begin.command, j.begin.pid
                    );
                    report.note(None, Outcome::Unknown, what, Some("ask again when that is done"));
                } else if j.depmod_pending {
                    let what = format!("'{}' did not come to its depmod", j.begin.command);
                    report.note(
                        None,
                        Outcome::Refused,
                        what,
                        Some("any dkms command on this kernel runs it"),
                    );
                } else {
                    let what =
                        format!("'{}' was cut off while it changed this kernel's modules", j.begin.command);
                    report.note(
                        None,
                        Outcome::Refused,
                        what,
                        Some("any dkms command on this kernel puts it right"),
                    );
                }
            }
            Ok(_) => {}
            Err(e) => report.note(None, Outcome::Unknown, e.to_string(), None),
        }
    }
}

fn entries(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Vec<Entry> {
    let mut entries = status::status(system, sink, &Filter::of_kernel(&kernel.release));
    entries.retain(|e| matches!(e.kind, State::Installed(_) | State::InstalledWeak { .. }));
    entries
}

/// The modules in `required_modules`; if it is not set, every package with AUTOINSTALL that the running
/// kernel has, or, without one, every such package in the tree; and every one whose last build for this
/// kernel failed.
fn required(
    system: &System,
    sink: &dyn Sink,
    reference: &Reference,
    here: &[Entry],
    kernel: &Kernel,
) -> Result<Vec<Required>> {
    let framework = crate::conf::framework::load(system, sink, None)?;
    let mut required = Vec::new();
    match framework.required_modules.as_deref().filter(|v| !v.trim().is_empty()) {
        Some(names) => {
            for name in names.split_whitespace() {
                let packages = state::all_packages(&system.layout);
                let owner = here.iter().find(|e| {
                    modules_of(&system.layout, here, &e.package.name).contains(&ModuleName::new(name))
                });
                required.push(match owner {
                    _ if packages.iter().any(|p| p.name == name) => Required::Package(name.to_owned()),
                    Some(entry) => Required::Package(entry.package.name.clone()),
                    None => Required::Module(name.to_owned()),
                });
            }
        }
        None => {
            let mut packages: Vec<PackageId> = match reference {
                Reference::Running(_) => here.iter().map(|entry| entry.package.clone()).collect(),
                Reference::Tree => state::all_packages(&system.layout),
            };
            let all = state::all_packages(&system.layout).into_iter();
            packages.extend(all.filter(|p| build_failed(&system.layout, p, kernel)));
            packages.sort_by(|a, b| a.name.cmp(&b.name));
            packages.dedup_by(|a, b| a.name == b.name);
            for package in packages {
                if is_wanted(system, sink, reference, &package, kernel) {
                    required.push(Required::Package(package.name));
                }
            }
        }
    }
    Ok(required)
}

/// Returns whether autoinstall installs a package. Returns `true` if its dkms.conf cannot be read. A package
/// that is only in the tree may also be excluded for this kernel.
fn is_wanted(
    system: &System,
    sink: &dyn Sink,
    reference: &Reference,
    package: &PackageId,
    kernel: &Kernel,
) -> bool {
    let newest = state::versions(&system.layout, &package.name).pop();
    let package = newest.as_ref().unwrap_or(package);
    let Ok(loaded) = load::load(system, sink, package, kernel).and_then(load::Loaded::lenient) else {
        return true;
    };
    let config =
        headers::KernelConfig::read(&headers::config_path(&system.layout, &system.settings, &kernel.release));
    let excluded = matches!(reference, Reference::Tree)
        && load::exclusion(&loaded, kernel, config.as_ref()).is_ok_and(|e| e.whole.is_some());
    loaded.conf.autoinstall && !excluded
}

/// Returns whether the newest version is not installed for a kernel because its last build for it failed.
fn build_failed(layout: &Layout, package: &PackageId, kernel: &Kernel) -> bool {
    let newest = state::versions(layout, &package.name).pop();
    newest.is_some_and(|newest| {
        let build = Build::new(&newest, kernel);
        layout.failed_log(&build).is_file() && !layout.module_dir(&build).is_dir()
    })
}

/// The modules of a package, by the kernel's names for them.
fn modules_of(layout: &Layout, entries: &[Entry], name: &str) -> Vec<ModuleName> {
    let build_of_entry = |e: &Entry| {
        let mut built_for = e.kernel()?.clone();
        if let State::InstalledWeak { from, .. } = &e.kind {
            built_for.release = from.clone();
        }
        let files = state::module_files(layout, &Build::new(&e.package, &built_for));
        Some(files.into_iter().map(|f| ModuleName::new(&f.name)).collect::<Vec<_>>())
    };
    entries.iter().filter(|e| e.package.name == name).filter_map(build_of_entry).flatten().collect()
}

fn package(
    system: &System,
    name: &str,
    there: &[Entry],
    verdicts: &[Judged],
    index: &Index,
    report: &mut Report,
) {
    let Some(entry) = there.iter().find(|e| e.package.name == name) else {
        let (what, help) = absent(system, name, &report.kernel);
        return report.note(Some(name), Outcome::Refused, what, Some(&help));
    };
    if build_failed(&system.layout, &entry.package, &report.kernel) {
        let (what, help) = absent(system, name, &report.kernel);
        let newest = state::versions(&system.layout, name).pop().filter(|newest| *newest != entry.package);
        let newest = newest.filter(|_| system.settings.framework.fallback == Some(true));
        let Some(newest) = newest else {
            return report.note(Some(name), Outcome::Refused, what, Some(&help));
        };
        let what = format!("is installed instead of {}, which {what} (fallback=yes)", newest.version);
        report.remark(&entry.package.to_string(), what, Some(&help));
    }
    let id = entry.package.to_string();
    if entry.built_missing || entry.differs {
        let what = if entry.built_missing {
            "module files that were installed are missing"
        } else {
            "installed module files differ from what was built"
        };
        report.note(Some(&id), Outcome::Refused, what, Some("dkms install --force puts them back"));
    }
    let mut loaded = 0;
    for judged in verdicts.iter().filter(|j| j.package.as_ref() == Some(&entry.package)) {
        loaded += usize::from(module(&id, judged, index, system.host.image.is_some(), report));
    }
    if loaded > 0 {
        let what = if loaded == 1 {
            "would be loaded".to_owned()
        } else {
            format!("{loaded} modules would be loaded")
        };
        report.note(Some(&id), Outcome::Loads, what, None);
    }
}

/// A condition that only affects modules of an image.
const ON_OTHER_MACHINES: &str = "a machine with Secure Boot loads it only if it is signed (--mok-signing-key) with a key that the machine trusts";

/// Checks one module of a required package. Returns true if the kernel would load it.
fn module(id: &str, judged: &Judged, index: &Index, in_image: bool, report: &mut Report) -> bool {
    let about = format!("{id}: {}", judged.name);
    if let Some(why) = &judged.unreadable {
        let what = format!("{} cannot be read: {why}", judged.path.display());
        report.note(Some(&about), Outcome::Refused, what, None);
        return false;
    }
    // If several files have the same name, depmod lists the file that modprobe uses.
    let other = match index.get(&ModuleName::new(&judged.name)) {
        Some(file) if same_file(file, &judged.path) => None,
        Some(file) => Some(format!("modprobe takes {} instead", file.display())),
        None => Some("modules.dep does not list it, so modprobe does not find it".into()),
    };
    if let Some(what) = other {
        let help = format!("depmod {}", judged.kernel.release);
        report.note(Some(&about), Outcome::Refused, what, Some(&help));
    }
    let reasons = match judged.outcome() {
        Outcome::Loads if in_image => &enforced_elsewhere(&judged.verdict.notes),
        Outcome::Loads => return true,
        Outcome::Refused => &judged.verdict.refusals,
        Outcome::Unknown => &judged.verdict.doubts,
    };
    if reasons.is_empty() {
        return true;
    }
    // Many machines may boot an image. Facts that only these machines can determine are remarks here.
    let depends_on_machine = in_image && reasons.iter().all(Reason::depends_on_machine);
    let (answer, help) = if depends_on_machine {
        (Outcome::Loads, Some(ON_OTHER_MACHINES.to_owned()))
    } else {
        (judged.outcome(), reasons.first().map(|r| r.help().to_owned()))
    };
    report.checks.push(Check {
        about: Some(about),
        answer,
        what: reasons.first().map_or_else(String::new, ToString::to_string),
        help,
        reasons: reasons.clone(),
        remark: false,
    });
    false
}

/// Returns what this machine accepts because it does not require signatures, which is also the assumption for
/// a machine about which no data exists.
fn enforced_elsewhere(notes: &[Reason]) -> Vec<Reason> {
    let unknown = |note: &Reason| match note {
        Reason::TaintsUnsigned { cause } => Some(Reason::EnforcementUnknown { cause: cause.clone() }),
        _ => None,
    };
    notes.iter().filter_map(unknown).collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// Returns the reason why a package is not installed for a kernel, and how to fix it.
fn absent(system: &System, name: &str, kernel: &Kernel) -> (String, String) {
    let release = &kernel.release;
    let install = format!("dkms install {name} -k {release}");
    let newest: Option<PackageId> = state::versions(&system.layout, name).pop();
    let Some(package) = newest else {
        return ("is not in the dkms tree".into(), "add it, or take it out of required_modules".into());
    };
    let log = system.layout.failed_log(&Build::new(&package, kernel));
    if !crate::kernel::headers::present(&system.layout, &system.settings, release) {
        let help = Error::Build(BuildError::HeadersMissing {
            release: release.clone(),
            path: crate::kernel::headers::source_dir(&system.layout, &system.settings, release),
            package: crate::kernel::headers::package(&system.layout, &system.host, kernel),
            others: Vec::new(),
        })
        .help()
        .join("; ");
        (format!("is not installed for {release}, whose headers are missing"), help)
    } else if log.is_file() {
        (format!("did not build for {release}"), format!("see {}", log.display()))
    } else {
        (format!("is not installed for {release}"), install)
    }
}

/// Checks a required module that does not belong to a dkms package.
fn own_module(modules: &Path, name: &str, index: &Index, report: &mut Report) {
    let wanted = ModuleName::new(name);
    if index.contains_key(&wanted) || own_names(&modules.join("modules.builtin")).contains(&wanted) {
        report.note(Some(name), Outcome::Loads, "is a module of this kernel", None);
    } else {
        let what = "is neither a package of dkms nor a module of this kernel";
        report.note(
            Some(name),
            Outcome::Refused,
            what,
            Some("install it, or correct required_modules in framework.conf"),
        );
    }
}
