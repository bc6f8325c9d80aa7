//! Errors in command lines.

use dkms_tree::ids::{PackageId, Release};
use std::path::PathBuf;

/// A command line is incomplete, or names an action, option or file that does not exist.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum UsageError {
    #[error("no action is given")]
    NoAction,
    #[error("'{word}' is not an action{}", did_you_mean(.meant, "; 'dkms help' lists them"))]
    UnknownAction { word: String, meant: Option<&'static str> },
    #[error("{}", unknown_word(.action, .word, .known, *.meant))]
    UnknownWord { action: String, word: String, known: &'static [&'static str], meant: Option<&'static str> },
    #[error("'{0}' is neither an action nor a file or directory, and a module is already named")]
    ExtraOperand(String),
    #[error("{action} writes only one file, so '{file}' cannot be used")]
    ExtraFile { action: &'static str, file: String },
    #[error("{path}: {action} takes MODULE or MODULE/VERSION, but this is a path")]
    PathForModule { action: String, path: PathBuf },
    #[error("{action} takes no module: dkms {action} {operands}")]
    NoModule { action: String, operands: &'static str },
    #[error("{action} needs {what}: dkms {action} {operand}")]
    OperandMissing { action: &'static str, what: &'static str, operand: &'static str },
    #[error("{action} needs an archive, and {path} is a directory")]
    DirectoryForArchive { action: &'static str, path: PathBuf },
    #[error("{action} writes {writes}: {option} names only one file")]
    OneName { action: &'static str, writes: &'static str, option: &'static str },
    #[error("{option} {path}: there is no such {kind}")]
    NoSuchFile { option: &'static str, path: PathBuf, kind: &'static str },
    #[error("{option} {value}: write {expected}")]
    BadValue { option: &'static str, value: String, expected: &'static str },
    #[error("{} and {} belong together: give both", .0[0], .0[1])]
    HalfOfPair([&'static str; 2]),
    #[error("{option} needs {needed}")]
    NeedsOption { option: &'static str, needed: &'static str },
    #[error("{option} was an option of {action}")]
    OptionOf { option: &'static str, action: &'static str },
    #[error("mkdriverdisk writes {}: {}", .0.refused(), .0.instead())]
    OldDriverDisk(OldDriverDisk),
    #[error("{action} changes nothing, so --dry-run has no meaning for it")]
    DryRunOfQuery { action: String },
    #[error("--loaded applies to the running kernel, but {0} is not running")]
    NotRunning(Release),
    #[error("{0} publishes in only one registry, but several are named")]
    SeveralRegistries(&'static str),
    #[error("{0} is not added, so it is not built: see 'dkms add'")]
    NotAdded(PackageId),
}

/// A form of driver disk that mkdriverdisk no longer writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldDriverDisk {
    /// For Red Hat's installers before RHEL 6.
    RedHat(String),
    /// For SUSE's installer.
    Suse(String),
    /// For Ubuntu's installer.
    Ubuntu,
    /// For a distribution that mkdriverdisk never supported.
    Distribution(String),
    /// On a medium other than an ISO image.
    Medium(String),
}

impl OldDriverDisk {
    /// What is no longer written.
    fn refused(&self) -> String {
        match self {
            Self::RedHat(name) => format!("no disks for '{name}', whose installers are no longer in use"),
            Self::Suse(name) | Self::Distribution(name) => format!("no disks for '{name}'"),
            Self::Ubuntu => "no disks for 'ubuntu'".into(),
            Self::Medium(name) => format!("no '{name}'"),
        }
    }

    /// What to do instead.
    fn instead(&self) -> &'static str {
        match self {
            Self::RedHat(_) | Self::Distribution(_) => {
                "without -d it writes the image that RHEL since 6 and Fedora read"
            }
            Self::Suse(_) => {
                "dkms mkkmp makes a kernel module package, and SUSE's mkdud a driver update of it"
            }
            Self::Ubuntu => "its installer takes packages; dkms mkbmdeb and dkms mkdeb make them",
            Self::Medium(_) => {
                "it writes an ISO image, which can be written to a USB stick or attached as a disk"
            }
        }
    }
}

fn did_you_mean(meant: &Option<&str>, otherwise: &str) -> String {
    meant.map_or_else(|| otherwise.to_owned(), |meant| format!(": did you mean '{meant}'?"))
}

fn unknown_word(action: &str, word: &str, known: &[&str], meant: Option<&str>) -> String {
    let all = known.join(", ");
    match meant {
        Some(meant) => format!("'{word}' is not one of {all}: did you mean 'dkms {action} {meant}'?"),
        None => format!("{action} takes one of these words: {all}, but not '{word}'"),
    }
}
