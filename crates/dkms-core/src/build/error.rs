//! The errors of builds.

use crate::cause::Cause;
use dkms_tree::ids::{Build, PackageId, Release};
use kmodule::compress::CompressError;
use kmodule::elf::ElfError;
use std::path::PathBuf;

/// The reason why a build failed or was not started.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum BuildError {
    #[error(transparent)]
    HeadersMissing(#[from] HeadersMissing),
    #[error("{build} is not built: {reason}")]
    Excluded { build: Build, reason: String },
    #[error("{build} needs {} installed for the same kernel first", .missing.join(", "))]
    DependsMissing { build: Build, missing: Vec<String> },
    #[error("{build} depends on {dependency}, which {reason}")]
    DependencyFailed { build: Build, dependency: PackageId, reason: DependencyFailure },
    #[error("{build} needs {}, which will not be installed", .missing.join(", "))]
    DependsNever { build: Build, missing: Vec<String> },
    #[error("{0} contains no source to build from, only its dkms.conf")]
    EmptySource(PathBuf),
    #[error("the patch '{0}' in dkms.conf is outside of the patches directory")]
    PatchOutside(String),
    #[error("the patch '{name}' in dkms.conf is neither in patches/ of {package} nor in {own}")]
    PatchMissing { name: String, package: PackageId, own: PathBuf },
    #[error("patch {patch} does not apply")]
    PatchFailed { patch: String, log: PathBuf, tail: Vec<String> },
    #[error(transparent)]
    CannotConfine(#[from] NotConfined),
    #[error("CONFINE_WRITE names {0}, which does not exist")]
    ConfineWriteMissing(PathBuf),
    #[error("{build}: make ended with {status}")]
    MakeFailed { build: Build, status: String, log: PathBuf, diagnosis: Diagnosis },
    #[error(
        "{build} failed a moment ago with the same inputs, and is not built again in this run of the package manager"
    )]
    FailedBefore { build: Build, log: PathBuf },
    #[error("make succeeded but did not produce {file}, which dkms.conf lists, in {dir}")]
    ModuleFileMissing { file: PathBuf, dir: PathBuf },
    #[error("{path} cannot be used: {cause}")]
    BadModule {
        path: PathBuf,
        #[source]
        cause: Cause,
    },
    #[error("{path} is built for kernel {built_for}, not for {release}, because {headers} has its headers")]
    OtherHeaders {
        path: PathBuf,
        built_for: String,
        release: Release,
        headers: PathBuf,
        /// The package with the right headers.
        package: String,
    },
    #[error(
        "{build} is not compiled here (prebuilt=only), and no registry has a build with fingerprint {fingerprint}"
    )]
    NotPublished { build: Build, fingerprint: String },
    #[error("{0}: dkms itself failed here; this is a bug in dkms")]
    ThreadDied(Build),
}

/// The headers of a kernel are not installed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the headers of kernel {release} are not at {path}")]
pub struct HeadersMissing {
    /// The kernel.
    pub release: Release,
    /// The directory in which dkms expects them.
    pub path: PathBuf,
    /// The package that contains them.
    pub package: String,
    /// Kernels whose headers are installed.
    pub others: Vec<Release>,
}

/// The reason why a dependency is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DependencyFailure {
    /// BUILD_EXCLUSIVE does not allow it.
    #[error("is not meant for this kernel")]
    Excluded,
    /// It failed.
    #[error("failed to install for this kernel")]
    Failed,
}

/// The reason why a file is not a kernel module for the kernel of a build.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum NotForKernel {
    #[error(transparent)]
    Elf(#[from] ElfError),
    #[error(transparent)]
    Compression(#[from] CompressError),
    #[error("it is an object file, but no kernel module (no .gnu.linkonce.this_module section)")]
    NoModule,
    #[error("it is built for another architecture than {0}")]
    Architecture(String),
    #[error("it is built for kernel {built_for}, not for {release} (vermagic)")]
    Release { built_for: String, release: Release },
    #[error("it has no vermagic, so no kernel would load it")]
    NoVermagic,
}

/// This machine cannot enforce the confinement, and framework.conf requires it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("build_confinement=require in framework.conf, and {what} cannot be confined fully here: {}", .missing.join("; "))]
pub struct NotConfined {
    /// The activity that runs code of packages, such as "the build".
    pub what: &'static str,
    /// The restrictions that cannot be enforced.
    pub missing: Vec<String>,
}

/// The errors in the log of a failed make, and their explanation if it is certain.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The first errors, with their lines of context.
    pub errors: Vec<String>,
    /// Whether the cause may be temporary, such as a full disk.
    pub is_passing: bool,
    /// The explanation, if it is certain.
    pub meaning: Option<String>,
}

impl BuildError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        let full_output = |log: &PathBuf| format!("full output: {}", log.display());
        match self {
            Self::HeadersMissing(HeadersMissing { package, others, .. }) => {
                let others = (!others.is_empty())
                    .then(|| format!("there are headers for {}: -k names a kernel", others.join(", ")));
                let install = format!("install {package}, or name the headers with --kernelsourcedir");
                std::iter::once(install).chain(others).collect()
            }
            Self::Excluded { .. } => vec![
                "this is the package's own choice (BUILD_EXCLUSIVE in its dkms.conf), not a failure".into(),
            ],
            Self::DependsMissing { missing, .. } => {
                vec![format!("install {} for this kernel first, or use --force", missing.join(", "))]
            }
            Self::OtherHeaders { release, headers, package, .. } => {
                vec![format!("install {package}: {} must contain the headers of {release}", headers.display())]
            }
            Self::EmptySource(_) => vec![
                "this came from a tarball without source; it can be installed for the kernels that it was built for, not rebuilt"
                    .into(),
            ],
            Self::FailedBefore { log, .. } => vec![full_output(log)],
            Self::PatchFailed { log, tail, .. } => tail.iter().cloned().chain([full_output(log)]).collect(),
            Self::CannotConfine(_) => vec![
                "build_confinement=auto builds with what this machine can enforce, and reports what it cannot"
                    .into(),
            ],
            Self::ConfineWriteMissing(_) => {
                vec!["create it, or remove it from CONFINE_WRITE in /etc/dkms".into()]
            }
            Self::MakeFailed { log, diagnosis, .. } => {
                let meaning = diagnosis.meaning.iter().map(|meaning| format!("that is: {meaning}"));
                diagnosis.errors.iter().cloned().chain(meaning).chain([full_output(log)]).collect()
            }
            Self::NotPublished { build, .. } => vec![
                format!(
                    "on a machine that builds: dkms build {p} -k {k} && dkms push {p} -k {k}",
                    p = build.package,
                    k = build.kernel.release
                ),
                "'dkms cache why' shows which inputs differ from the nearest build".into(),
            ],
            Self::DependencyFailed { .. }
            | Self::DependsNever { .. }
            | Self::PatchOutside(_)
            | Self::PatchMissing { .. }
            | Self::ModuleFileMissing { .. }
            | Self::BadModule { .. }
            | Self::ThreadDied(_) => Vec::new(),
        }
    }
}
