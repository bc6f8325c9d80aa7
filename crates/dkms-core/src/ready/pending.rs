//! `dkms pending`: what is not installed yet, and what it waits for.

use crate::build::BuildError;
use crate::conf::ConfError;
use crate::error::Error;
use crate::gather;
use crate::ids::{Build, Kernel, PackageId};
use crate::install::InstallError;
use crate::journal::{self, Journal};
use crate::session::Session;
use crate::status::Filter;
use crate::tree::layout::Layout;
use crate::verify;
use kmodule::verdict::{Cause, Reason};

/// What something waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The kernel's headers.
    Headers,
    /// Another package.
    Dependency,
    /// Its last build failed; a new version, or a mend.
    Build,
    /// Its configuration is wrong.
    Configuration,
    /// The next autoinstall: nothing is in its way.
    Autoinstall,
    /// The key that signed it is not enrolled.
    Enrolment,
    /// An interrupted command is to be put right.
    Recovery,
}

impl Wait {
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

/// One thing that waits.
#[derive(Clone, Debug)]
pub struct Item {
    /// Package and version; none: the kernel as a whole.
    pub package: Option<PackageId>,
    /// The kernel.
    pub kernel: Kernel,
    /// For what.
    pub wait: Wait,
    /// In words.
    pub what: String,
    /// What to do.
    pub help: Vec<String>,
}

/// Everything that waits, for the kernels given or for all that have modules; changes nothing.
#[must_use]
pub fn pending(s: &Session<'_>, kernels: &[Kernel]) -> Vec<Item> {
    let mut items = Vec::new();
    let g = gather::autoinstall(s, kernels);
    for (n, task) in g.work.tasks.iter().enumerate() {
        let b = &task.build;
        match gather::foresee(s, &g.work, n).map_err(|e| wait(s.layout, b, e)) {
            Err(None) => {}
            Err(Some(item)) => items.push(item),
            Ok(()) => items.push(ready_to_go(s.layout, b, task.make.is_some())),
        }
    }
    items.extend(g.wrong.into_iter().filter_map(|(b, e)| wait(s.layout, &b, e)));
    for (b, missing) in g.deferred {
        let what = format!("needs {}, which dkms does not know", missing.join(", "));
        items.push(item(
            &b,
            Wait::Dependency,
            what,
            vec![format!("install the package that has {}", missing.join(", "))],
        ));
    }
    let filters: Vec<Filter> = kernels.iter().map(|k| Filter::of_kernel(&k.release)).collect();
    for judged in verify::verify(s, &filters).modules {
        let not_enrolled = judged
            .verdict
            .refusals
            .iter()
            .find(|r| matches!(r, Reason::Untrusted { cause: Cause::Key { .. }, .. }));
        if let (Some(reason), Some(package)) = (not_enrolled, &judged.package) {
            let b = Build::new(package, &judged.kernel);
            items.push(item(
                &b,
                Wait::Enrolment,
                format!("{}: {reason}", judged.name),
                vec![reason.help().to_owned()],
            ));
        }
    }
    items.extend(cut_off(s.layout, kernels));
    let place = |k: &Kernel| kernels.iter().position(|other| other == k);
    items.sort_by_key(|i| place(&i.kernel));
    items
}

fn item(b: &Build, wait: Wait, what: String, help: Vec<String>) -> Item {
    Item { package: Some(b.package.clone()), kernel: b.kernel.clone(), wait, what, help }
}

/// What an error of a build that was only looked at means for it; none: it is not meant to be built.
fn wait(layout: &Layout, b: &Build, e: Error) -> Option<Item> {
    let wait = match &e {
        Error::Build(BuildError::Excluded { .. }) => return None,
        Error::Build(BuildError::HeadersMissing { .. })
        | Error::Install(InstallError::KernelDirMissing(_)) => Wait::Headers,
        Error::Build(BuildError::DependsMissing { .. }) | Error::Build(BuildError::DependsNever { .. }) => {
            Wait::Dependency
        }
        Error::Conf(ConfError::Invalid(_)) => Wait::Configuration,
        _ if layout.failed_log(b).is_file() => Wait::Build,
        _ => Wait::Configuration,
    };
    Some(item(b, wait, e.to_string(), e.help()))
}

fn ready_to_go(layout: &Layout, b: &Build, make: bool) -> Item {
    let log = layout.failed_log(b);
    if make && log.is_file() {
        let help = vec![
            format!("see {}", log.display()),
            format!("then: dkms install {} -k {}", b.package, b.kernel.release),
        ];
        return item(b, Wait::Build, "its last build failed".into(), help);
    }
    let what = if make { "is to be built and installed" } else { "is built and to be installed" };
    item(b, Wait::Autoinstall, what.into(), vec![format!("dkms autoinstall -k {}", b.kernel.release)])
}

/// Commands that were cut off, and depmods that are owed.
fn cut_off(layout: &Layout, kernels: &[Kernel]) -> Vec<Item> {
    let paths = journal::list(layout).unwrap_or_default();
    let journals =
        paths.iter().filter_map(|p| Journal::read(p).ok().flatten()).filter(|j| !j.writer_is_alive());
    let mut items = Vec::new();
    for j in journals {
        for kernel in kernels.iter().filter(|k| j.begin.kernels.contains(k)) {
            let command = &j.begin.command;
            let what = if j.owed {
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
