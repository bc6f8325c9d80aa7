//! What can go wrong, one variant per exit code or per way out. The program's edge turns them into codes and hints.

use crate::ids::{BadName, Build, Kernel, PackageId};
use dkms_sys::IoError;
use kmodule::verdict::Reason;
use std::path::PathBuf;

/// Result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything an action can fail with. `Display` says what, where and why; [`Error::help`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    BadName(#[from] BadName),
    #[error("cannot work on the system in {root}: {reason}")]
    CannotEnter { root: PathBuf, reason: String },
    #[error("this action changes the system and needs root")]
    NotRoot,
    #[error("the dkms tree cannot be changed: {0}")]
    TreeNotWritable(IoError),
    #[error("{action} needs a module and its version")]
    ModuleNotNamed { action: String },
    #[error("{action} needs a version: {name} has {}", .versions.join(", "))]
    VersionNotNamed { action: String, name: String, versions: Vec<String> },
    #[error("{0}")]
    KernelArchPairing(String),
    #[error("{0}")]
    Conflict(String),
    #[error("the source directory {0} does not exist")]
    SourceMissing(PathBuf),
    #[error("{0} does not exist")]
    ArchiveMissing(PathBuf),
    #[error("template kernel and target kernel are both {0}")]
    SameKernel(String),
    #[error("--all and an architecture exclude each other")]
    AllWithArch,
    #[error("{0} is already in the dkms tree")]
    AlreadyAdded(PackageId),
    #[error("{0} is not in the dkms tree")]
    NotAdded(PackageId),
    #[error("package {0} is not in the dkms tree")]
    PackageUnknown(String),
    #[error("{0} holds no dkms.conf")]
    ArchiveWithoutConf(PathBuf),
    #[error("more than one action: {0} and {1}")]
    TwoActions(String, String),
    #[error("{0}")]
    KernelCount(String),
    #[error("there is no dkms.conf at {0}")]
    ConfMissing(PathBuf),
    #[error("there is no os-release in /etc or /usr/lib, so the distribution's places are unknown")]
    NoOsRelease,
    #[error("{package} is broken: {what}")]
    Broken { package: PackageId, what: String },
    #[error("{0} does not take --all")]
    AllBanned(String),
    #[error("{0}")]
    PatchName(String),
    #[error("patch {patch} does not apply")]
    PatchFailed { patch: String, log: PathBuf, tail: Vec<String> },
    #[error("there is no kernel directory {0}")]
    KernelDirMissing(PathBuf),
    #[error("{0}")]
    InstallAborted(String),
    #[error("{} is not installed: kernel {release} would not load it: {}", .path.display(), reasons.first().map_or_else(String::new, ToString::to_string))]
    WouldNotLoad { path: PathBuf, release: String, reasons: Vec<Reason> },
    #[error("depmod failed for kernel {kernel}: {reason}")]
    DepmodFailed { kernel: Kernel, reason: String },
    #[error("nothing is built of {0}")]
    NothingBuilt(Build),
    #[error("{0}")]
    ModuleFileMissing(String),
    #[error("{action} needs a spec file, and there is none: {places}")]
    SpecMissing { action: String, places: String },
    #[error("{path} cannot be used: {reason}")]
    BadModule { path: PathBuf, reason: String },
    #[error("{path} is not a dkms archive: {reason}")]
    BadArchive { path: PathBuf, reason: String },
    #[error("{}", conf_problems(.0))]
    BadConf(Vec<ConfProblem>),
    #[error("{0} holds no source to build from, only its dkms.conf")]
    EmptySource(PathBuf),
    #[error("--binaries-only and --source-only exclude each other")]
    BothOnly,
    #[error("{0} is already in the dkms tree, and the archive would replace it")]
    ArchiveAlreadyAdded(PackageId),
    #[error("{0} holds no dkms.conf")]
    DirectoryWithoutConf(PathBuf),
    #[error("{0} is not writable")]
    DestinationNotWritable(PathBuf),
    #[error("rpm could not install {path}: {reason}")]
    RpmFailed { path: PathBuf, reason: String },
    #[error("{0}")]
    CannotConfine(String),
    #[error("CONFINE_WRITE names {0}, which does not exist")]
    ConfineWriteMissing(PathBuf),
    #[error("{build}: make ended with {status}")]
    MakeFailed { build: Build, status: String, log: PathBuf, diagnosis: Diagnosis },
    #[error("{} of {of} modules failed for kernel {kernel}", .failed.len())]
    AutoinstallFailed { kernel: Kernel, failed: Vec<PackageId>, of: usize },
    #[error("{build} needs {} installed for the same kernel first", .missing.join(", "))]
    DependsMissing { build: Build, missing: Vec<String> },
    #[error("{build} depends on {dependency}, which {what}")]
    DependencyFailed { build: Build, dependency: PackageId, what: &'static str },
    #[error("{build} needs {}, which will not be installed", .missing.join(", "))]
    DependsNever { build: Build, missing: Vec<String> },
    #[error("{failed} of {of} failed")]
    SeveralFailed { first: Box<Error>, failed: usize, of: usize },
    #[error("{action} for kernel {kernel} failed for {}", .failed.join(", "))]
    KernelHookFailed { action: String, kernel: Kernel, failed: Vec<String> },
    #[error("the headers of kernel {release} are not at {path}")]
    HeadersMissing { release: String, path: PathBuf, package: String },
    #[error("{build} is not meant to be built: {reason}")]
    Excluded { build: Build, reason: String },
    #[error("PRE_INSTALL of {package} ({command}) ended with {status}")]
    PreInstallFailed { package: PackageId, command: String, status: String },
    #[error("{directive} of {package} ({command}) ended with {status}")]
    ScriptFailed {
        package: PackageId,
        directive: &'static str,
        command: String,
        status: String,
        code: i32,
        log: Option<PathBuf>,
    },
    #[error("the module {path} cannot be signed: {reason}")]
    SignFailed { path: PathBuf, reason: String, help: String },
    #[error("the key is not enrolled: {reason}")]
    NotEnrolled { reason: String, help: String },
    #[error("the signing key stays as it is: {reason}")]
    KeyKept { reason: String, help: String },
    #[error("there is no program '{program}', which dkms needs to {purpose}")]
    ProgramMissing { program: String, purpose: String, package: String },
    #[error("{0}")]
    Io(#[from] IoError),
    #[error(transparent)]
    Tree(dkms_tree::Error),
    #[error("interrupted by {}", dkms_sys::signal::name(*.0))]
    Interrupted(i32),
    #[error("{0}: dkms itself failed here; this is a bug in dkms")]
    ThreadDied(Build),
    #[error("removal cancelled: {0} was added in the same RPM transaction")]
    RemoveCancelled(PackageId),
    #[error("{}", count(*.left, "thing is not in order", "things are not in order"))]
    FsckFound { left: usize, safe: usize },
    #[error("{} could not be looked at", count(*.0, "place", "places"))]
    FsckPartly(usize),
    #[error("{0}")]
    No(String),
    #[error("{0}")]
    CannotTell(String),
    #[error("the tree cannot be looked at: {0}")]
    FsckUnable(String),
    #[error("{command} failed: {reason}")]
    CommandFailed { command: String, reason: String },
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Something wrong in a configuration file, with its place.
#[derive(Clone, Debug, Default)]
pub struct ConfProblem {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 when it concerns the file as a whole.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// How much to underline, in characters.
    pub len: u32,
    /// The line itself.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl ConfProblem {
    /// The blanks before a snippet's bars.
    pub fn margin(&self) -> String {
        " ".repeat(self.line.to_string().len())
    }

    /// The line with its number, and marks under the place; three lines, the last without its end.
    pub fn snippet(&self) -> String {
        let margin = self.margin();
        let shown: String =
            self.text.chars().map(|c| if dkms_conf::is_unprintable(c) { ' ' } else { c }).take(160).collect();
        let indent = " ".repeat(self.column.saturating_sub(1).min(160) as usize);
        let marks = "^".repeat(self.len.clamp(1, 160) as usize);
        format!("{margin} |\n{} | {shown}\n{margin} | {indent}{marks}", self.line)
    }
}

fn conf_problems(problems: &[ConfProblem]) -> String {
    let mut out = String::new();
    let one_line = |text: &str| text.replace('\n', "\\n");
    for p in problems {
        if !out.is_empty() {
            out.push('\n');
        }
        let path = one_line(&p.path.to_string_lossy());
        let (message, help) = (one_line(&p.message), one_line(&p.help));
        if p.line > 0 {
            out.push_str(&format!("{path}:{}:{}: {}", p.line, p.column.max(1), message));
            let margin = p.margin();
            out.push_str(&format!("\n{}", p.snippet()));
            if !p.help.is_empty() {
                out.push_str(&format!("\n{margin} = write: {help}"));
            }
        } else {
            out.push_str(&format!("{path}: {message}"));
            if !p.help.is_empty() {
                out.push_str(&format!("\n  write: {help}"));
            }
        }
    }
    out
}

/// What the log of a failed make says, and what it means where that is certain.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The first real errors, with their lines of context.
    pub errors: Vec<String>,
    /// What it means, when that is certain.
    pub meaning: Option<String>,
}

impl Error {
    /// It is the answer to a question, and was told with it: nothing went wrong.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::FsckFound { .. } | Self::FsckPartly(_) | Self::No(_) | Self::CannotTell(_))
    }

    /// It would be the same for everything else that the command has to do.
    #[must_use]
    pub fn ends_the_command(&self) -> bool {
        matches!(self, Self::Interrupted(_) | Self::TreeNotWritable(_))
    }

    /// What the administrator can do about it; empty when the message says it all.
    pub fn help(&self) -> Vec<String> {
        let one = |s: &str| vec![s.to_owned()];
        match self {
            Self::NotRoot => one("run it again with sudo or as root"),
            Self::CannotEnter { .. } => one(
                "it takes a private mount namespace: run it as root, or where users may have one (user.max_user_namespaces)",
            ),
            Self::TreeNotWritable(_) => one("--dkmstree names another tree"),
            Self::ModuleNotNamed { action } => vec![
                format!("write: dkms {action} MODULE/VERSION"),
                format!("   or: dkms {action} -m MODULE -v VERSION"),
                "'dkms status' lists what is there".into(),
            ],
            Self::VersionNotNamed { action, name, versions } => {
                versions.iter().map(|version| format!("dkms {action} {name}/{version}")).collect()
            }
            Self::SourceMissing(p) => vec![format!(
                "unpack the module's source to {}, or name its directory: dkms add DIRECTORY",
                p.display()
            )],
            Self::AlreadyAdded(id) => vec![format!("to register it anew: dkms remove {id} --all")],
            Self::NotAdded(id) => {
                vec![format!("register it first: dkms add {id}"), "'dkms status' lists what is there".into()]
            }
            Self::Broken { package, .. } => vec![format!(
                "put the source back (reinstall the package that brought {package}), then: dkms add {package}"
            )],
            Self::PatchFailed { log, tail, .. } => {
                let mut out = tail.clone();
                out.push(format!("full output: {}", log.display()));
                out
            }
            Self::DepmodFailed { .. } => {
                one("everything this command installed for that kernel was taken back")
            }
            Self::WouldNotLoad { reasons, .. } => {
                let more = reasons.iter().skip(1).take(4).map(ToString::to_string);
                let help = reasons.first().map(|reason| reason.help().to_owned());
                more.chain(help).chain(["--force installs it all the same".to_owned()]).collect()
            }
            Self::HeadersMissing { package, .. } => {
                vec![format!("install {package}, or name the headers with --kernelsourcedir")]
            }
            Self::DependsMissing { missing, .. } => {
                vec![format!("install {} for this kernel first, or use --force", missing.join(", "))]
            }
            Self::PreInstallFailed { .. } => one("nothing was installed; --force installs all the same"),
            Self::ScriptFailed { log: Some(log), .. } => vec![format!("its output: {}", log.display())],
            Self::SignFailed { help, .. } | Self::NotEnrolled { help, .. } | Self::KeyKept { help, .. }
                if !help.is_empty() =>
            {
                vec![help.clone()]
            }
            Self::ProgramMissing { package, .. } => vec![format!("install the package {package}")],
            Self::MakeFailed { log, diagnosis, .. } => {
                let mut out = diagnosis.errors.clone();
                if let Some(m) = &diagnosis.meaning {
                    out.push(format!("that is: {m}"));
                }
                out.push(format!("full output: {}", log.display()));
                out
            }
            Self::CannotConfine(_) => one(
                "build_confinement=auto builds with what this machine can enforce, and reports what it cannot",
            ),
            Self::ConfineWriteMissing(_) => one("create it, or take it out of CONFINE_WRITE in /etc/dkms"),
            Self::EmptySource(_) => one(
                "this came from a tarball without source; it can be installed where it is built, not built anew",
            ),
            Self::ArchiveAlreadyAdded(id) => vec![format!("use --force to load it over {id}")],
            Self::SeveralFailed { failed, of, .. } if failed == of => one("the errors are above"),
            Self::SeveralFailed { .. } => one("the errors are above; the others are done"),
            Self::AutoinstallFailed { .. } => one("the errors are above; the other modules are in place"),
            Self::Usage(_) => one("'dkms --help' lists actions and options"),
            Self::Tree(e) => tree_help(e),
            Self::Excluded { .. } => {
                one("this is the package's own choice (BUILD_EXCLUSIVE in its dkms.conf), not a failure")
            }
            Self::FsckFound { safe, .. } if *safe > 0 => one("'dkms fsck --repair' repairs what is safe"),
            Self::FsckPartly(_) => one("run it as root, who may read everything"),
            Self::NoOsRelease => one("put a file /etc/os-release there that says ID=..."),
            _ => Vec::new(),
        }
    }
}

fn tree_help(error: &dkms_tree::Error) -> Vec<String> {
    use dkms_tree::Error;
    let one = |s: &str| vec![s.to_owned()];
    match error {
        Error::Busy { .. } => {
            one("try again later, or wait longer: --lock-timeout, lock_timeout in framework.conf")
        }
        Error::JournalUnknown(_) => one(
            "another version of dkms was interrupted: let that one finish it (any command that changes something), or look at what it says and delete it",
        ),
        Error::JournalDamaged { .. } => one(
            "nothing was changed, and the journal is kept: undo by hand what its lines say was begun, delete it, then run 'dkms fsck'",
        ),
        Error::JournalRefused { path, .. } => vec![format!(
            "nothing was changed: if you trust {} and who could write it, give it to root (chown, chmod go-w); else delete it",
            path.display()
        )],
        Error::JournalLeaves { path, .. } => vec![format!(
            "nothing was changed: dkms changes only its tree and the modules of the kernel; if {} does not come from dkms on this system, delete it",
            path.display()
        )],
        Error::LeavesTree { .. } => {
            one("nothing was changed: remove or correct that link or path, then try again")
        }
        Error::RecordDamaged { path, .. } => vec![format!(
            "build it again (dkms build --force), or delete {}: dkms then looks at the files instead, as for builds of dkms 3.x",
            path.display()
        )],
        _ => Vec::new(),
    }
}

impl From<dkms_tree::Error> for Error {
    /// What can happen anywhere is the same error, wherever it happens.
    fn from(error: dkms_tree::Error) -> Self {
        match error {
            dkms_tree::Error::Io(e) => Self::Io(e),
            dkms_tree::Error::NotWritable(e) => Self::TreeNotWritable(e),
            dkms_tree::Error::Interrupted(signal) => Self::Interrupted(signal),
            other => Self::Tree(other),
        }
    }
}
