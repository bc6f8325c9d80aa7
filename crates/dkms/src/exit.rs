//! From errors to exit codes, in one table (CONTRACT "Exit codes").

use dkms_core::Error;
use dkms_tree::Error as TreeError;

/// The exit code of an error.
pub fn code(e: &Error) -> u8 {
    match e {
        Error::RemoveCancelled(_) => 0,
        Error::FsckFound { .. } | Error::No(_) => 1,
        Error::NotRoot
        | Error::TreeNotWritable(_)
        | Error::ModuleNotNamed { .. }
        | Error::VersionNotNamed { .. }
        | Error::KernelArchPairing(_) => 1,
        Error::BadName(_) => 1,
        Error::Usage(_)
        | Error::SourceMissing(_)
        | Error::ArchiveMissing(_)
        | Error::SameKernel(_)
        | Error::Conflict(_)
        | Error::FsckPartly(_)
        | Error::CannotTell(_)
        | Error::FsckUnable(_) => 2,
        Error::AlreadyAdded(_)
        | Error::NotAdded(_)
        | Error::PackageUnknown(_)
        | Error::ArchiveWithoutConf(_)
        | Error::AllWithArch => 3,
        Error::TwoActions(..)
        | Error::KernelCount(_)
        | Error::ConfMissing(_)
        | Error::NoOsRelease
        | Error::Broken { .. } => 4,
        Error::AllBanned(_) | Error::PatchName(_) | Error::SpecMissing { .. } => 5,
        Error::PatchFailed { .. }
        | Error::KernelDirMissing(_)
        | Error::InstallAborted(_)
        | Error::WouldNotLoad { .. }
        | Error::DepmodFailed { .. }
        | Error::NothingBuilt(_) => 6,
        Error::ModuleFileMissing(_) | Error::BadModule { .. } | Error::BadArchive { .. } => 7,
        Error::BadConf(_)
        | Error::ConfineWriteMissing(_)
        | Error::EmptySource(_)
        | Error::BothOnly
        | Error::ArchiveAlreadyAdded(_) => 8,
        Error::DirectoryWithoutConf(_) | Error::DestinationNotWritable(_) | Error::RpmFailed { .. } => 9,
        Error::CannotConfine(_)
        | Error::MakeFailed { .. }
        | Error::SignFailed { .. }
        | Error::NotEnrolled { .. }
        | Error::KeyKept { .. }
        | Error::ProgramMissing { .. }
        | Error::CommandFailed { .. } => 10,
        Error::AutoinstallFailed { .. } => 11,
        Error::DependsMissing { .. } | Error::DependencyFailed { .. } | Error::DependsNever { .. } => 13,
        Error::SeveralFailed { first, .. } => code(first),
        Error::KernelHookFailed { .. } => 14,
        Error::HeadersMissing { .. } => 21,
        Error::Excluded { .. } => 77,
        Error::PreInstallFailed { .. } => 101,
        Error::ScriptFailed { code, .. } => u8::try_from(*code).unwrap_or(1).max(1),
        Error::Interrupted(signal) => u8::try_from(128 + *signal).unwrap_or(130),
        Error::Tree(e) => tree_code(e),
        Error::Io(_) => 1,
        _ => 1,
    }
}

fn tree_code(e: &TreeError) -> u8 {
    match e {
        TreeError::KernelNotPart(_) => 2,
        TreeError::JournalUnknown(_)
        | TreeError::JournalDamaged { .. }
        | TreeError::JournalRefused { .. }
        | TreeError::JournalLeaves { .. }
        | TreeError::LeavesTree { .. }
        | TreeError::RecordDamaged { .. } => 6,
        TreeError::Busy { .. } => 75,
        _ => 1,
    }
}
