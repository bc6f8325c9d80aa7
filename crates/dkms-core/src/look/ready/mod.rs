//! `dkms ready`: checks whether a kernel can safely be booted next. Every required module must be installed
//! for it, be listed in its depmod index, and be accepted by it. It must also be in its initramfs if it is in
//! the running kernel's initramfs. Required are the modules in `required_modules`; by default, those that
//! dkms installed for the running kernel.

mod initramfs;
mod loaded;
mod pending;
mod report;
mod required;

use crate::event::Sink;
use crate::host::Host;
pub use pending::{Item, Wait, pending, pending_with_verdicts};
pub use report::{Check, Report, answer_word};
use required::{Required, builtin_modules};

use crate::build::{BuildError, HeadersMissing};
use crate::conf::load;
use crate::error::Result;
use crate::kernel::headers;
use crate::kernel::installed::{self, has_modules};
use crate::look::status::{self, Filter, State};
use crate::look::verify::{self, Judged};
use crate::system::System;
use dkms_tree::entry::Entry;
use dkms_tree::ids::{Build, Kernel, PackageId, Release};
use dkms_tree::journal::{self, Begin, Journal};
use dkms_tree::layout::Layout;
use dkms_tree::state;
use kmodule::ModuleName;
use kmodule::verdict::{Outcome, Reason};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// depmod's index: the module files, by the kernel's names for the modules.
type Index = HashMap<ModuleName, PathBuf>;

/// Returns the kernel that a boot loader is expected to start by default: the newest kernel with modules, in
/// dkms's version order.
#[must_use]
pub fn newest_kernel(layout: &Layout) -> Option<Release> {
    kernels(layout).pop()
}

/// Returns the kernels that have modules, oldest first. A directory with headers only is not a kernel.
#[must_use]
pub fn kernels(layout: &Layout) -> Vec<Release> {
    installed::releases(layout)
}

/// Checks whether `kernel` can be booted. Changes nothing. If `must_be_loaded` is set and `kernel` is the
/// running kernel, also checks that the modules and packages in `required_modules` are loaded.
///
/// # Errors
/// framework.conf cannot be read.
pub fn ready(system: &System, sink: &dyn Sink, kernel: &Kernel, must_be_loaded: bool) -> Result<Report> {
    let verdicts = || verify::verify(system, sink, &[Filter::of_kernel(&kernel.release)]);
    check(system, sink, kernel, must_be_loaded, &verdicts)
}

/// Like [`ready`], but uses existing verdicts. `verdicts` must include all modules that are installed for
/// this kernel.
///
/// # Errors
/// framework.conf cannot be read.
pub fn ready_with_verdicts(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    verdicts: &verify::Report,
) -> Result<Report> {
    let of_kernel = || {
        let modules = verdicts.modules.iter().filter(|module| module.kernel == *kernel).cloned().collect();
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
    check_interrupted(&system.layout, kernel, &mut report);
    let Requirements { reference, installed, reference_entries, required } =
        Requirements::determine(system, sink, kernel)?;
    if required.is_empty() {
        let subject = match reference {
            Reference::Running(_) => "the running kernel",
            Reference::Tree => "that system",
        };
        let what = format!("{subject} has no module of dkms that is required");
        report.note(None, Outcome::Loads, what, None);
    }
    let verdicts = verdicts();
    let index = verify::indexed_files(&modules);
    let mut names = Vec::new();
    for item in &required {
        match item {
            Required::Package(name) => {
                check_package(system, name, &installed, &verdicts.modules, &index, &mut report);
                names.extend(modules_of(&system.layout, &reference_entries, name));
            }
            Required::Module(name) => {
                check_kernel_module(&modules, name, &index, &mut report);
                names.push(ModuleName::new(name));
            }
        }
    }
    if let Reference::Running(running) = &reference {
        loaded::note_other_builds(system, sink, &reference_entries, &required, &mut report);
        initramfs::compare(&system.layout, running, kernel, &names, &mut report);
    }
    let required_modules = system.settings.framework.required_modules.as_deref().unwrap_or_default();
    if must_be_loaded && !required_modules.trim().is_empty() && system.host.runs(&kernel.release) {
        loaded::check(system, sink, &reference_entries, &required, &mut report);
    }
    Ok(report)
}

/// Checks that the kernel's own package is installed.
fn check_own_modules(host: &Host, kernel: &Kernel, modules: &Path, report: &mut Report) {
    if has_modules(modules) {
        return;
    }
    let what = format!("{} does not contain the modules of the kernel itself", modules.display());
    let package = host.distribution.as_ref().map_or_else(
        || "the kernel's own package".into(),
        |distribution| distribution.kernel_package(&kernel.release, modules),
    );
    report.note(None, Outcome::Refused, what, Some(&format!("install {package}")));
}

/// Returns the required packages that are not installed for a kernel. Changes nothing, and examines no module
/// files: a new kernel has neither an index nor an initramfs yet.
///
/// # Errors
/// framework.conf cannot be read.
pub fn missing_packages(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Vec<String>> {
    let Requirements { installed, required, .. } = Requirements::determine(system, sink, kernel)?;
    let is_installed = |name: &str| installed.iter().any(|e| e.package.name == name && !e.built_missing);
    let missing = required.into_iter().filter_map(|item| match item {
        Required::Package(name) if !is_installed(&name) => Some(name),
        Required::Package(_) | Required::Module(_) => None,
    });
    Ok(missing.collect())
}

/// What a kernel must have, and the entries that were used to determine it.
struct Requirements {
    reference: Reference,
    /// What is installed for the kernel.
    installed: Vec<Entry>,
    /// What is installed for the running kernel, if that is the reference; else the same as `installed`.
    reference_entries: Vec<Entry>,
    required: Vec<Required>,
}

impl Requirements {
    fn determine(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Self> {
        let reference = Reference::determine(&system.host, &system.layout, &kernel.arch);
        let installed = installed_entries(system, sink, kernel);
        let reference_entries = match &reference {
            Reference::Running(running) => installed_entries(system, sink, running),
            Reference::Tree => installed.clone(),
        };
        let required = required(system, sink, &reference, &reference_entries, kernel)?;
        Ok(Self { reference, installed, reference_entries, required })
    }
}

/// The packages that are required if the administrator does not set `required_modules`.
#[derive(Debug)]
enum Reference {
    /// The packages that are installed for the running kernel.
    Running(Kernel),
    /// All packages in the tree. This is used if the system is an image, or if the modules of the running
    /// kernel were removed.
    Tree,
}

impl Reference {
    fn determine(host: &Host, layout: &Layout, arch: &str) -> Self {
        let running = Kernel::from_release(host.release.clone(), arch)
            .ok()
            .filter(|running| host.image.is_none() && has_modules(&layout.kernel_modules(&running.release)));
        running.map_or(Self::Tree, Self::Running)
    }
}

/// Reports running and interrupted commands that change this kernel's modules.
fn check_interrupted(layout: &Layout, kernel: &Kernel, report: &mut Report) {
    let journals = match journal::list(layout) {
        Ok(paths) => paths,
        Err(e) => return report.note(None, Outcome::Unknown, e.to_string(), None),
    };
    for path in journals {
        match Journal::read(&path) {
            Ok(Some(journal)) if journal.begin.kernels.iter().any(|k| k.release == kernel.release) => {
                let Begin { command, pid, .. } = &journal.begin;
                if journal.writer_is_alive() {
                    let what = format!("its modules are being changed by '{command}' (pid {pid})");
                    report.note(None, Outcome::Unknown, what, Some("try again when it has finished"));
                } else {
                    let when = match journal.depmod_pending {
                        true => "before it ran depmod",
                        false => "while it changed this kernel's modules",
                    };
                    let what = format!("'{command}' was interrupted {when}");
                    let help = "the next dkms command that changes this kernel's modules recovers it";
                    report.note(None, Outcome::Refused, what, Some(help));
                }
            }
            Ok(_) => {}
            Err(e) => report.note(None, Outcome::Unknown, e.to_string(), None),
        }
    }
}

fn installed_entries(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Vec<Entry> {
    let mut entries = status::status(system, sink, &Filter::of_kernel(&kernel.release));
    entries.retain(|entry| matches!(entry.kind, State::Installed(_) | State::InstalledWeak { .. }));
    entries
}

/// Returns what `required_modules` lists. If it is not set, returns the packages of the reference, and those
/// whose last build for this kernel failed, except packages that autoinstall does not install.
fn required(
    system: &System,
    sink: &dyn Sink,
    reference: &Reference,
    reference_entries: &[Entry],
    kernel: &Kernel,
) -> Result<Vec<Required>> {
    let layout = &system.layout;
    let framework = crate::conf::framework::load(system, sink, None)?;
    let packages = state::all_packages(layout);
    if let Some(names) = framework.required_modules.as_deref().filter(|names| !names.trim().is_empty()) {
        let requirement = |name: &str| {
            if packages.iter().any(|package| package.name == name) {
                return Required::Package(name.to_owned());
            }
            let module = ModuleName::new(name);
            let mut owners = reference_entries.iter().map(|entry| &entry.package.name);
            match owners.find(|owner| modules_of(layout, reference_entries, owner).contains(&module)) {
                Some(owner) => Required::Package(owner.clone()),
                None => Required::Module(name.to_owned()),
            }
        };
        return Ok(names.split_whitespace().map(requirement).collect());
    }
    let mut required: Vec<PackageId> = match reference {
        Reference::Running(_) => reference_entries.iter().map(|entry| entry.package.clone()).collect(),
        Reference::Tree => packages.clone(),
    };
    required.extend(packages.into_iter().filter(|package| build_failed(layout, package, kernel)));
    required.sort_by(|a, b| a.name.cmp(&b.name));
    required.dedup_by(|a, b| a.name == b.name);
    required.retain(|package| is_autoinstalled(system, sink, reference, package, kernel));
    Ok(required.into_iter().map(|package| Required::Package(package.name)).collect())
}

/// Returns whether autoinstall installs a package; `true` if its dkms.conf cannot be read. If the reference
/// is the tree, a package that is excluded for this kernel is not installed either.
fn is_autoinstalled(
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

/// Returns the modules of a package that have an entry.
fn modules_of(layout: &Layout, entries: &[Entry], name: &str) -> Vec<ModuleName> {
    let built_modules = |entry: &Entry| {
        let mut built_for = entry.kernel()?.clone();
        if let State::InstalledWeak { from, .. } = &entry.kind {
            built_for.release = from.clone();
        }
        Some(state::module_files(layout, &Build::new(&entry.package, &built_for)))
    };
    let entries = entries.iter().filter(|entry| entry.package.name == name);
    entries.filter_map(built_modules).flatten().map(|file| ModuleName::new(&file.name)).collect()
}

/// Checks a required package: whether it is installed, and whether the kernel would load its modules.
fn check_package(
    system: &System,
    name: &str,
    installed: &[Entry],
    verdicts: &[Judged],
    index: &Index,
    report: &mut Report,
) {
    let Some(entry) = installed.iter().find(|entry| entry.package.name == name) else {
        let (what, help) = why_not_installed(system, name, &report.kernel);
        return report.note(Some(name), Outcome::Refused, what, Some(&help));
    };
    if build_failed(&system.layout, &entry.package, &report.kernel) {
        let (what, help) = why_not_installed(system, name, &report.kernel);
        let newest = state::versions(&system.layout, name).pop().filter(|newest| *newest != entry.package);
        let Some(newest) = newest.filter(|_| system.settings.framework.fallback == Some(true)) else {
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
    for judged in verdicts.iter().filter(|judged| judged.package.as_ref() == Some(&entry.package)) {
        loaded += usize::from(check_module(&id, judged, index, system.host.image.is_some(), report));
    }
    match loaded {
        0 => {}
        1 => report.note(Some(&id), Outcome::Loads, "would be loaded", None),
        n => report.note(Some(&id), Outcome::Loads, format!("{n} modules would be loaded"), None),
    }
}

/// The hint for a module of an image whose loading depends on the machine that boots it.
const ON_OTHER_MACHINES: &str = "a machine with Secure Boot loads it only if it is signed (--mok-signing-key) with a key that the machine trusts";

/// Checks one module of a required package. Returns whether the kernel would load it.
fn check_module(id: &str, judged: &Judged, index: &Index, in_image: bool, report: &mut Report) -> bool {
    let about = format!("{id}: {}", judged.name);
    if let Some(why) = &judged.unreadable {
        let what = format!("{} cannot be read: {why}", judged.path.display());
        report.note(Some(&about), Outcome::Refused, what, None);
        return false;
    }
    // If several files have the same name, the index lists the file that modprobe uses.
    let conflict = match index.get(&ModuleName::new(&judged.name)) {
        Some(file) if same_file(file, &judged.path) => None,
        Some(file) => Some(format!("modprobe uses {} instead", file.display())),
        None => Some("modules.dep does not list it, so modprobe does not find it".into()),
    };
    if let Some(what) = conflict {
        let help = format!("depmod {}", judged.kernel.release);
        report.note(Some(&about), Outcome::Refused, what, Some(&help));
    }
    let reasons = match judged.outcome() {
        Outcome::Loads if in_image => &refusals_on_other_machines(&judged.verdict.notes),
        Outcome::Loads => return true,
        Outcome::Refused => &judged.verdict.refusals,
        Outcome::Unknown => &judged.verdict.doubts,
    };
    if reasons.is_empty() {
        return true;
    }
    // Many machines may boot an image. A reason that depends on the machine does not count against the
    // kernel.
    let depends_on_machine = in_image && reasons.iter().all(Reason::depends_on_machine);
    let (answer, help) = if depends_on_machine {
        (Outcome::Loads, Some(ON_OTHER_MACHINES.to_owned()))
    } else {
        (judged.outcome(), reasons.first().map(|reason| reason.help().to_owned()))
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

/// Returns the reasons for which a machine that enforces signatures may refuse a module, although this
/// machine loads it.
fn refusals_on_other_machines(notes: &[Reason]) -> Vec<Reason> {
    let refusal = |note: &Reason| match note {
        Reason::TaintsUnsigned { cause } => Some(Reason::EnforcementUnknown { cause: cause.clone() }),
        _ => None,
    };
    notes.iter().filter_map(refusal).collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// Returns the reason why a package is not installed for a kernel, and how to fix it.
fn why_not_installed(system: &System, name: &str, kernel: &Kernel) -> (String, String) {
    let (layout, settings, release) = (&system.layout, &system.settings, &kernel.release);
    let Some(package) = state::versions(layout, name).pop() else {
        return ("is not in the dkms tree".into(), "add it, or remove it from required_modules".into());
    };
    let log = layout.failed_log(&Build::new(&package, kernel));
    if !headers::present(layout, settings, release) {
        let error = BuildError::HeadersMissing(HeadersMissing {
            release: release.clone(),
            path: headers::source_dir(layout, settings, release),
            package: headers::package(layout, &system.host, kernel),
            others: Vec::new(),
        });
        let help = error.help().join("; ");
        (format!("is not installed for {release}, whose headers are missing"), help)
    } else if log.is_file() {
        (format!("did not build for {release}"), format!("see {}", log.display()))
    } else {
        (format!("is not installed for {release}"), format!("dkms install {name} -k {release}"))
    }
}

/// Checks a required module that does not belong to a dkms package.
fn check_kernel_module(modules: &Path, name: &str, index: &Index, report: &mut Report) {
    let module = ModuleName::new(name);
    if index.contains_key(&module) || builtin_modules(modules).contains(&module) {
        report.note(Some(name), Outcome::Loads, "is a module of this kernel", None);
    } else {
        let what = "is neither a package of dkms nor a module of this kernel";
        let help = "install it, or correct required_modules in framework.conf";
        report.note(Some(name), Outcome::Refused, what, Some(help));
    }
}
