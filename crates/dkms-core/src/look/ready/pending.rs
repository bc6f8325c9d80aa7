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

/// Lists everything that is pending, for the given kernels or for all kernels that have modules. Changes
/// nothing.
#[must_use]
pub fn pending(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Vec<Item> {
    let filters: Vec<Filter> = kernels.iter().map(|k| Filter::of_kernel(&k.release)).collect();
    pending_given(system, sink, kernels, &verify::verify(system, sink, &filters))
}

/// Like [`pending`], with the verdicts on the modules that are installed for these kernels.
#[must_use]
pub fn pending_given(
    system: &System,
    sink: &dyn Sink,
    kernels: &[Kernel],
    verdicts: &verify::Report,
) -> Vec<Item> {
    let mut items = Vec::new();
    let plan = gather::autoinstall(system, sink, kernels, Overrides::default());
    // Fallbacks run only if another version fails, so nothing waits for them.
    let fallbacks: Vec<&Build> = plan
        .operations()
        .filter_map(|o| if let Operation::Fallback { build, .. } = o { Some(build) } else { None })
        .collect();
    let is_fallback = |o: &&Operation| o.build().is_some_and(|build| fallbacks.contains(&build));
    for operation in plan.operations().filter(|o| !is_fallback(o)) {
        let is_built_first = |build: &Build| {
            plan.operations().any(|o| matches!(o, Operation::Build { build: other, .. } if other == build))
        };
        match operation {
            Operation::Build { build, .. } => items.push(ready_to_go(&system.layout, build, true)),
            Operation::Install { build, .. } if !is_built_first(build) => {
                items.push(ready_to_go(&system.layout, build, false));
            }
            Operation::Fail { build, error } => items.push(wait(&system.layout, build, error)),
            Operation::Defer { build, missing } => {
                let what = format!("needs {}, which dkms does not know", missing.join(", "));
                let help = vec![format!("install the package that has {}", missing.join(", "))];
                items.push(item(build, Wait::Dependency, what, help));
            }
            _ => {}
        }
    }
    for judged in verdicts.modules.iter().filter(|m| kernels.contains(&m.kernel)) {
        let not_enrolled = judged
            .verdict
            .refusals
            .iter()
            .find(|r| matches!(r, Reason::Untrusted { cause: Cause::Key { .. }, .. }));
        if let (Some(reason), Some(package)) = (not_enrolled, &judged.package) {
            let build = Build::new(package, &judged.kernel);
            items.push(item(
                &build,
                Wait::Enrolment,
                format!("{}: {reason}", judged.name),
                vec![reason.help().to_owned()],
            ));
        }
    }
    items.extend(cut_off(&system.layout, kernels));
    let place = |k: &Kernel| kernels.iter().position(|other| other == k);
    items.sort_by_key(|i| place(&i.kernel));
    items
}

fn item(b: &Build, wait: Wait, what: String, help: Vec<String>) -> Item {
    Item { package: Some(b.package.clone()), kernel: b.kernel.clone(), wait, what, help }
}

/// Returns the condition that an impossible build waits for.
fn wait(layout: &Layout, build: &Build, e: &Error) -> Item {
    let wait = match e {
        Error::Build(BuildError::HeadersMissing { .. })
        | Error::Install(InstallError::KernelDirMissing(_)) => Wait::Headers,
        Error::Build(BuildError::DependsMissing { .. })
        | Error::Build(BuildError::DependsNever { .. })
        | Error::Build(BuildError::DependencyFailed { .. }) => Wait::Dependency,
        Error::Conf(ConfError::Invalid(_)) => Wait::Configuration,
        _ if layout.failed_log(build).is_file() => Wait::Build,
        _ => Wait::Configuration,
    };
    item(build, wait, e.to_string(), e.help())
}

fn ready_to_go(layout: &Layout, build: &Build, make: bool) -> Item {
    let log = layout.failed_log(build);
    if make && log.is_file() {
        let help = vec![
            format!("see {}", log.display()),
            format!("then: dkms install {} -k {}", build.package, build.kernel.release),
        ];
        return item(build, Wait::Build, "its last build failed".into(), help);
    }
    let what = if make { "is to be built and installed" } else { "is built and to be installed" };
    item(build, Wait::Autoinstall, what.into(), vec![format!("dkms autoinstall -k {}", build.kernel.release)])
}

/// Interrupted commands and pending depmod runs.
fn cut_off(layout: &Layout, kernels: &[Kernel]) -> Vec<Item> {
    // The status reports journals that cannot be read.
    let paths = journal::list(layout).unwrap_or_default();
    let journals =
        paths.iter().filter_map(|p| Journal::read(p).ok().flatten()).filter(|j| !j.writer_is_alive());
    let mut items = Vec::new();
    for journal in journals {
        for kernel in kernels.iter().filter(|k| journal.begin.kernels.contains(k)) {
            let command = &journal.begin.command;
            let what = if journal.depmod_pending {
                format!("'{command}' did not come to its depmod")
            } else {
                format!("'{command}' was cut off")
            };
            let help = vec!["any dkms command that changes this kernel puts it right first".to_owned()];
            items.push(Item { package: None, kernel: kernel.clone(), wait: Wait::Recovery, what, help });
        }
    }
    items
}
