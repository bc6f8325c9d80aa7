//! The exit codes of all answers and errors. dkms(8) documents them.

use crate::answer::Answer;
use dkms_core::Error;
use dkms_core::build::BuildError;
use dkms_core::conf::ConfError;
use dkms_core::install::InstallError;
use dkms_core::origin::OriginError;
use dkms_core::pack::PackError;
use dkms_core::package::PackageError;
use dkms_core::program::ProgramError;
use dkms_core::registry::RegistryError;
use dkms_core::reload::ReloadError;
use dkms_core::request::RequestError;
use dkms_tree::Error as TreeError;

/// The exit code of a command. For `ready` and `preflight`, 1 means no and 2 unknown, so an error is 2.
pub(crate) fn of_command(action: &str, result: &Result<Answer, Error>) -> u8 {
    match result {
        Err(_) if action == "ready" || action == "preflight" => 2,
        Ok(Answer::Yes) => 0,
        Ok(Answer::No(_)) if action == "kernel_hold" => 77,
        Ok(Answer::No(_)) => 1,
        Ok(Answer::Unknown(_)) => 2,
        Err(error) => code(error),
    }
}

/// The exit code of an error.
pub(crate) fn code(error: &Error) -> u8 {
    match error {
        Error::Request(e) => request(e),
        Error::Package(e) => package(e),
        Error::Origin(e) => origin(e),
        Error::Conf(ConfError::Missing(_)) => 4,
        Error::Conf(ConfError::Invalid(_)) => 8,
        Error::Build(e) => build(e),
        Error::Install(e) => install(e),
        Error::Pack(e) => pack(e),
        Error::Program(ProgramError::ScriptFailed { code, .. }) => u8::try_from(*code).unwrap_or(1).max(1),
        Error::Signing(_) | Error::Program(ProgramError::Missing { .. } | ProgramError::Failed { .. }) => 10,
        Error::Look(_) => 2,
        Error::Reload(ReloadError::InUse(_)) => 75,
        Error::Reload(_) => 6,
        Error::Registry(e) => registry(e),
        Error::Io(_) | Error::Cache(_) | Error::TreeNotWritable(_) => 1,
        Error::NoOsRelease(_) | Error::OsReleaseUnusable(_) => 4,
        Error::AutoinstallFailed(_) => 11,
        Error::KernelHookFailed { .. } => 14,
        Error::SeveralFailed { first, .. } => code(first),
        Error::Tree(e) => tree(e),
        Error::Interrupted(signal) => interrupted(*signal),
    }
}

/// The exit code that shells use for a program that was killed by a signal.
fn interrupted(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(130)
}

fn tree(error: &TreeError) -> u8 {
    match error {
        TreeError::Io(_) | TreeError::NotWritable(_) => 1,
        TreeError::KernelNotPart(_) => 2,
        TreeError::JournalUnknown(_)
        | TreeError::JournalDamaged { .. }
        | TreeError::JournalRefused { .. }
        | TreeError::JournalLeaves { .. }
        | TreeError::LeavesTree { .. }
        | TreeError::RecordDamaged { .. } => 6,
        TreeError::Busy { .. } => 75,
        TreeError::Interrupted(signal) => interrupted(*signal),
    }
}

fn request(error: &RequestError) -> u8 {
    match error {
        RequestError::NotRoot
        | RequestError::BadName(_)
        | RequestError::CannotEnter { .. }
        | RequestError::ModuleNotNamed { .. }
        | RequestError::VersionNotNamed { .. }
        | RequestError::ArchesForKernels { .. }
        | RequestError::SeveralArches { .. }
        | RequestError::NoTemplate => 1,
        RequestError::Usage(_)
        | RequestError::SameKernel(_)
        | RequestError::Exclusive(_)
        | RequestError::NothingBuilt(_)
        | RequestError::OptionOfOthers { .. }
        | RequestError::OtherRoot { .. }
        | RequestError::FleetWith(_)
        | RequestError::RpmInOtherRoot { .. } => 2,
        RequestError::AllWithArch => 3,
        RequestError::TwoActions(..)
        | RequestError::NoKernel
        | RequestError::NoKernelIn { .. }
        | RequestError::KernelNotNamed(_)
        | RequestError::SeveralKernels { .. } => 4,
        RequestError::AllBanned(_) => 5,
        RequestError::BothOnly => 8,
        // The same as if the headers of a given kernel were missing.
        RequestError::NoKernelInImage { .. } => 21,
    }
}

fn package(error: &PackageError) -> u8 {
    match error {
        // Not a failure: the same package was added in the same RPM transaction.
        PackageError::RemoveCancelled(_) => 0,
        PackageError::AlreadyAdded(_)
        | PackageError::NotAdded(_)
        | PackageError::OtherSplit { .. }
        | PackageError::Unknown(_) => 3,
        PackageError::Broken { .. } => 4,
        PackageError::WouldBeReplaced(_) => 8,
    }
}

fn origin(error: &OriginError) -> u8 {
    match error {
        OriginError::SourceMissing(_) | OriginError::ArchiveMissing(_) => 2,
        OriginError::ArchiveWithoutConf(_) => 3,
        OriginError::BadArchive { .. } => 7,
        OriginError::DirectoryWithoutConf(_) | OriginError::RpmFailed { .. } => 9,
    }
}

fn build(error: &BuildError) -> u8 {
    match error {
        BuildError::ThreadDied(_) => 1,
        BuildError::PatchOutside(_) | BuildError::PatchMissing { .. } => 5,
        BuildError::PatchFailed { .. } => 6,
        BuildError::ModuleFileMissing { .. }
        | BuildError::BadModule { .. }
        | BuildError::OtherHeaders { .. } => 7,
        BuildError::ConfineWriteMissing(_) | BuildError::EmptySource(_) => 8,
        BuildError::CannotConfine(_) | BuildError::MakeFailed { .. } | BuildError::FailedBefore { .. } => 10,
        BuildError::DependsMissing { .. }
        | BuildError::DependencyFailed { .. }
        | BuildError::DependsNever { .. } => 13,
        BuildError::HeadersMissing(_) => 21,
        BuildError::NotPublished { .. } => 12,
        BuildError::Excluded { .. } => 77,
    }
}

fn registry(error: &RegistryError) -> u8 {
    match error {
        RegistryError::NoRegistry | RegistryError::BadName { .. } => 2,
        RegistryError::NotBuilt(_) | RegistryError::NotInCache { .. } | RegistryError::Missing { .. } => 3,
        RegistryError::NoKey(_)
        | RegistryError::BadKey { .. }
        | RegistryError::BadSigner { .. }
        | RegistryError::NotSigner { .. }
        | RegistryError::KeyExists(_)
        | RegistryError::Unconfined { .. }
        | RegistryError::BadRecord { .. } => 6,
        RegistryError::NoCache | RegistryError::NotStored(_) => 9,
        RegistryError::Failed { .. } => 10,
    }
}

fn pack(error: &PackError) -> u8 {
    match error {
        PackError::Encoding(_) => 1,
        PackError::ModuleTwice { .. }
        | PackError::ImageName { .. }
        | PackError::SameImageName { .. }
        | PackError::ImageDirectory(_)
        | PackError::OsRelease { .. }
        | PackError::ExtensionSuffix { .. }
        | PackError::ExtensionName(_) => 2,
        PackError::SpecMissing { .. } => 5,
        PackError::BadBase { .. } => 7,
        PackError::DestinationNotWritable(_) | PackError::OutputExists(_) => 9,
        PackError::NoTools { .. } => 10,
        PackError::DependencyMissing { .. } => 13,
    }
}

fn install(error: &InstallError) -> u8 {
    match error {
        InstallError::KernelDirMissing(_)
        | InstallError::NothingBuilt(_)
        | InstallError::Newer(_)
        | InstallError::BuiltModuleMissing { .. }
        | InstallError::Unusable { .. }
        | InstallError::TargetIsDirectory(_)
        | InstallError::Failed { .. }
        | InstallError::WouldNotLoad { .. }
        | InstallError::DepmodFailed { .. } => 6,
        InstallError::PreInstallFailed { .. } => 101,
    }
}
