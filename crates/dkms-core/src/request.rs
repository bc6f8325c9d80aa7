//! The overrides of safety checks, which all requests have, and errors in requests.

mod usage;

pub use usage::{OldDriverDisk, UsageError};

use crate::cause::Cause;
use dkms_tree::ids::{BadName, Release};
use std::path::PathBuf;

/// The safety checks that a request overrides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--force`
    pub force: bool,
    /// `--force-version-override`: versions of modules are not compared.
    pub version: bool,
    /// `--rpm_safe_upgrade`: an `add` cancels a `remove` in the same transaction of rpm.
    pub rpm_safe_upgrade: bool,
}

/// The reason why a request cannot be executed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum RequestError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    BadName(#[from] BadName),
    #[error("cannot work on the system in {root}: {cause}")]
    CannotEnter {
        root: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("this action changes the system and needs root")]
    NotRoot,
    #[error("{action} needs a module and its version")]
    ModuleNotNamed { action: String },
    #[error("{action} needs a version: {name} has {}", .versions.join(", "))]
    VersionNotNamed { action: String, name: String, versions: Vec<String> },
    #[error("{arches} architectures for {kernels} kernels: give one for all kernels, or one for each")]
    ArchesForKernels { arches: usize, kernels: usize },
    #[error("{what} is for one architecture, and these kernels are for {} and {}", .arches[0], .arches[1])]
    SeveralArches { what: &'static str, arches: [String; 2] },
    #[error("match needs a template kernel: dkms match --templatekernel KERNEL [-k KERNEL]")]
    NoTemplate,
    #[error("{0} cannot be used together")]
    Exclusive(&'static str),
    #[error("{0} packs built modules: --source-only leaves nothing")]
    NothingBuilt(&'static str),
    #[error("{option} is for {}, not for {action}", .actions.join(" and "))]
    OptionOfOthers { option: String, actions: Vec<&'static str>, action: String },
    #[error("{action} works on {works_on}, but --root selects the files of another system")]
    OtherRoot { action: &'static str, works_on: &'static str },
    #[error(
        "report --fleet combines the reports of several machines: {0} only applies to the report of one machine"
    )]
    FleetWith(&'static str),
    #[error(
        "rpm installs packages itself: rpm --root {root} -U {archive}, then dkms --root {root} autoinstall"
    )]
    RpmInOtherRoot { root: PathBuf, archive: String },
    #[error("template kernel and target kernel are both {0}")]
    SameKernel(Release),
    #[error("--all and an architecture cannot be used together")]
    AllWithArch,
    #[error("more than one action: {0} and {1}")]
    TwoActions(String, String),
    #[error("no kernel is given")]
    NoKernel,
    #[error("there is no kernel in {tree} of {root}: name one with -k")]
    NoKernelIn { tree: PathBuf, root: PathBuf, packages: String },
    #[error("there is no kernel in {tree}, and the running kernel is not that of this image")]
    NoKernelInImage { tree: PathBuf, packages: String },
    #[error("{0} takes exactly one kernel: dkms {0} -k KERNEL")]
    KernelNotNamed(String),
    #[error("{action} takes one kernel, but {count} are given")]
    SeveralKernels { action: String, count: usize },
    #[error("{0} does not take --all")]
    AllBanned(String),
    #[error("--binaries-only and --source-only cannot be used together")]
    BothOnly,
}

impl RequestError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        match self {
            Self::Usage(_) => vec!["'dkms --help' lists actions and options".into()],
            Self::CannotEnter { .. } => vec![
                "this needs a private mount namespace: run it as root, or enable user namespaces (user.max_user_namespaces)"
                    .into(),
            ],
            Self::NotRoot => vec!["run it again with sudo or as root".into()],
            Self::ModuleNotNamed { action } => vec![
                format!("write: dkms {action} MODULE/VERSION"),
                format!("   or: dkms {action} -m MODULE -v VERSION"),
                "'dkms status' lists what is in the tree".into(),
            ],
            Self::NoKernelIn { packages, .. } | Self::NoKernelInImage { packages, .. } => {
                vec![format!("install {packages} first, or name a kernel with -k")]
            }
            Self::VersionNotNamed { action, name, versions } => {
                versions.iter().map(|version| format!("dkms {action} {name}/{version}")).collect()
            }
            Self::BadName(_)
            | Self::ArchesForKernels { .. }
            | Self::SeveralArches { .. }
            | Self::NoTemplate
            | Self::Exclusive(_)
            | Self::NothingBuilt(_)
            | Self::OptionOfOthers { .. }
            | Self::OtherRoot { .. }
            | Self::FleetWith(_)
            | Self::RpmInOtherRoot { .. }
            | Self::SameKernel(_)
            | Self::AllWithArch
            | Self::TwoActions(..)
            | Self::NoKernel
            | Self::KernelNotNamed(_)
            | Self::SeveralKernels { .. }
            | Self::AllBanned(_)
            | Self::BothOnly => Vec::new(),
        }
    }
}
