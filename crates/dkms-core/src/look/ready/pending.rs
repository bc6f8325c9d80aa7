//! `dkms pending`: lists packages that are not installed yet, and the condition that each waits for.

use crate::build::BuildError;
use crate::conf::ConfError;
use crate::error::Error;
use crate::event::Sink;
use crate::install::InstallError;
use crate::look::json;
use crate::look::status::Filter;
use crate::look::verify;
use crate::plan::{Operation, gather};
use crate::request::Overrides;
use crate::system::System;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::journal::{self, Journal};
use dkms_tree::layout::Layout;
use kmodule::verdict::{Cause, Reason};
use serde::Serialize;

/// The reason why something is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// The kernel's headers.
    Headers,
    /// Another package.
    Dependency,
    /// The last build failed; it needs a new version or a fix.
    Build,
    /// The configuration is invalid.
    Configuration,
    /// The next autoinstall; nothing prevents the installation.
    Autoinstall,
    /// Enrolment of the key that signed it.
    Enrolment,
    /// Recovery of an interrupted command.
    Recovery,
}

impl Wait {
    /// All conditions.
    pub const ALL: [Self; 7] = [
        Self::Headers,
        Self::Dependency,
        Self::Build,
        Self::Configuration,
        Self::Autoinstall,
        Self::Enrolment,
        Self::Recovery,
    ];

    /// The word in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Headers => "headers",
            Self::Dependency => "dependency",
            Self::Build => "build",
            Self::Configuration => "configuration",
            Self::Autoinstall => "autoinstall",
            Self::Enrolment => "enrolment",
            Self::Recovery => "recovery",
        }
    }
}

/// One pending item, as `dkms pending --json` and `dkms report --json` write it.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Package and version; `None` for the complete kernel.
    #[serde(flatten, serialize_with = "json::package")]
    pub package: Option<PackageId>,
    /// The kernel.
    #[serde(flatten, with = "json::KernelKeys")]
    pub kernel: Kernel,
    /// The condition that it waits for.
    #[serde(rename = "waits_for")]
    pub wait: Wait,
    /// A description.
    pub what: String,
    /// Hints.
    pub help: Vec<String>,
}

/// Lists everything that is pending for these kernels, in the order of `kernels`. Changes nothing.
#[must_use]
pub fn pending(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Vec<Item> {
    let filters: Vec<Filter> = kernels.iter().map(|kernel| Filter::of_kernel(&kernel.release)).collect();
    pending_with_verdicts(system, sink, kernels, &verify::verify(system, sink, &filters))
}

/// Like [`pending`], but uses existing verdicts. `verdicts` must include all modules that are installed for
/// these kernels.
#[must_use]
pub fn pending_with_verdicts(
    system: &System,
    sink: &dyn Sink,
    kernels: &[Kernel],
    verdicts: &verify::Report,
) -> Vec<Item> {
    let mut items = Vec::new();
    let plan = gather::autoinstall(system, sink, kernels, Overrides::default());
    // Fallbacks run only if another version fails, so they are not pending.
    let is_fallback = |build: &Build| {
        plan.operations().any(|o| matches!(o, Operation::Fallback { build: other, .. } if other == build))
    };
    let is_built_first = |build: &Build| {
        plan.operations().any(|o| matches!(o, Operation::Build { build: other, .. } if other == build))
    };
    for operation in plan.operations().filter(|o| !o.build().is_some_and(is_fallback)) {
        match operation {
            Operation::Build { build, .. } => items.push(planned(&system.layout, build, true)),
            Operation::Install { build, .. } if !is_built_first(build) => {
                items.push(planned(&system.layout, build, false));
            }
            Operation::Fail { build, error } => items.push(failing(&system.layout, build, error)),
            Operation::Defer { build, missing } => {
                let missing = missing.join(", ");
                let what = format!("needs {missing}, which is not in the dkms tree");
                let help = vec![format!("install the package that contains {missing}")];
                items.push(item(build, Wait::Dependency, what, help));
            }
            _ => {}
        }
    }
    for judged in verdicts.modules.iter().filter(|module| kernels.contains(&module.kernel)) {
        let needs_enrolment =
            |reason: &&Reason| matches!(reason, Reason::Untrusted { cause: Cause::Key { .. }, .. });
        let reason = judged.verdict.refusals.iter().find(needs_enrolment);
        if let (Some(reason), Some(package)) = (reason, &judged.package) {
            let what = format!("{}: {reason}", judged.name);
            let build = Build::new(package, &judged.kernel);
            items.push(item(&build, Wait::Enrolment, what, vec![reason.help().to_owned()]));
        }
    }
    items.extend(interrupted(&system.layout, kernels));
    items.sort_by_key(|item| kernels.iter().position(|kernel| *kernel == item.kernel));
    items
}

fn item(build: &Build, wait: Wait, what: String, help: Vec<String>) -> Item {
    Item { package: Some(build.package.clone()), kernel: build.kernel.clone(), wait, what, help }
}

/// Returns the item of a build that cannot succeed at the moment.
fn failing(layout: &Layout, build: &Build, error: &Error) -> Item {
    let wait = match error {
        Error::Build(BuildError::HeadersMissing(_)) | Error::Install(InstallError::KernelDirMissing(_)) => {
            Wait::Headers
        }
        Error::Build(BuildError::DependsMissing { .. })
        | Error::Build(BuildError::DependsNever { .. })
        | Error::Build(BuildError::DependencyFailed { .. }) => Wait::Dependency,
        Error::Conf(ConfError::Invalid(_)) => Wait::Configuration,
        _ if layout.failed_log(build).is_file() => Wait::Build,
        _ => Wait::Configuration,
    };
    item(build, wait, error.to_string(), error.help())
}

/// Returns the item of a planned build or installation. If the last build failed, it waits for a fix.
fn planned(layout: &Layout, build: &Build, must_build: bool) -> Item {
    let log = layout.failed_log(build);
    if must_build && log.is_file() {
        let help = vec![
            format!("see {}", log.display()),
            format!("then: dkms install {} -k {}", build.package, build.kernel.release),
        ];
        return item(build, Wait::Build, "its last build failed".into(), help);
    }
    let what = if must_build { "is to be built and installed" } else { "is built and to be installed" };
    item(build, Wait::Autoinstall, what.into(), vec![format!("dkms autoinstall -k {}", build.kernel.release)])
}

/// Returns an item for each interrupted command and each of its kernels.
fn interrupted(layout: &Layout, kernels: &[Kernel]) -> Vec<Item> {
    // `verify` reads the status, which reports journals that cannot be read.
    let paths = journal::list(layout).unwrap_or_default();
    let journals = paths.iter().filter_map(|path| Journal::read(path).ok().flatten());
    let mut items = Vec::new();
    for journal in journals.filter(|journal| !journal.writer_is_alive()) {
        for kernel in kernels.iter().filter(|kernel| journal.begin.kernels.contains(kernel)) {
            let when = if journal.depmod_pending { " before it ran depmod" } else { "" };
            let what = format!("'{}' was interrupted{when}", journal.begin.command);
            let help =
                vec!["the next dkms command that changes this kernel's modules recovers it".to_owned()];
            items.push(Item { package: None, kernel: kernel.clone(), wait: Wait::Recovery, what, help });
        }
    }
    items
}
