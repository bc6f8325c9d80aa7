//! The command line: `dkms ACTION [options] [MODULE/VERSION | DIR | FILE]`, options and operands in any order.

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, Parser};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The actions, by their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Add,
    Remove,
    Build,
    Unbuild,
    Install,
    Uninstall,
    Match,
    Autoinstall,
    Status,
    Mktarball,
    Ldtarball,
    Mkdeb,
    Mkdsc,
    Mkbmdeb,
    Mkrpm,
    Mkkmp,
    Mkdriverdisk,
    GenerateMok,
    Mok,
    KernelPreinst,
    KernelPostinst,
    KernelPrerm,
    Config,
    Fsck,
    Verify,
    Ready,
    Pending,
    Lint,
}

/// Every action with its word and one line of help.
pub const ACTIONS: [(&str, Action, &str); 28] = [
    (
        "add",
        Action::Add,
        "register a module: M/V whose source is in /usr/src/M-V, a directory, or an archive",
    ),
    ("build", Action::Build, "build a registered module for one or more kernels"),
    (
        "install",
        Action::Install,
        "install it for one or more kernels; adds and builds first what is not there yet",
    ),
    ("uninstall", Action::Uninstall, "take it out of a kernel; it stays built"),
    ("unbuild", Action::Unbuild, "take it out of a kernel and delete what was built"),
    ("remove", Action::Remove, "unbuild, and forget the module when no kernel is left"),
    ("status", Action::Status, "list modules and what became of them"),
    ("autoinstall", Action::Autoinstall, "install every module with AUTOINSTALL=yes for a kernel"),
    ("match", Action::Match, "install for a kernel what is installed for another (--templatekernel)"),
    ("config", Action::Config, "show what dkms understood of a dkms.conf, as JSON"),
    ("lint", Action::Lint, "say what the author of a dkms.conf could do better (--fix)"),
    (
        "verify",
        Action::Verify,
        "say whether the kernel would load the modules that are installed, or these files",
    ),
    ("ready", Action::Ready, "say whether a kernel is safe to boot next: 0 yes, 1 no, 2 cannot tell"),
    ("pending", Action::Pending, "list what waits for headers, for a dependency, for a key to be enrolled"),
    ("fsck", Action::Fsck, "look for what is not in order, in the tree and in kernels' modules (--repair)"),
    ("mktarball", Action::Mktarball, "write a tarball of a module: source, built modules, or both"),
    (
        "ldtarball",
        Action::Ldtarball,
        "load such a tarball, any tarball with a dkms.conf, or a Debian package",
    ),
    ("mkdeb", Action::Mkdeb, "write a Debian package of a module: its source, for dkms, and built modules"),
    ("mkdsc", Action::Mkdsc, "write a Debian source package that makes the same"),
    (
        "mkbmdeb",
        Action::Mkbmdeb,
        "write Debian packages of built modules, one per kernel, which need no dkms",
    ),
    ("mkrpm", Action::Mkrpm, "write an rpm package of a module: its source, for dkms, and built modules"),
    (
        "mkkmp",
        Action::Mkkmp,
        "write the source package of a SUSE kernel module package, from the module's spec file",
    ),
    (
        "mkdriverdisk",
        Action::Mkdriverdisk,
        "write an image with built modules for the installer of Fedora, RHEL and their kin",
    ),
    ("generate_mok", Action::GenerateMok, "make the key pair that signs modules, if there is none"),
    (
        "mok",
        Action::Mok,
        "the signing key: whether this machine trusts it, and what to do (status, enroll, rotate)",
    ),
    ("kernel_preinst", Action::KernelPreinst, "hook: before a kernel's files are unpacked"),
    ("kernel_postinst", Action::KernelPostinst, "hook: after a kernel is installed"),
    ("kernel_prerm", Action::KernelPrerm, "hook: before a kernel is removed"),
];

impl Action {
    fn from_word(word: &str) -> Option<Self> {
        ACTIONS.iter().find(|a| a.0 == word).map(|a| a.1)
    }

    /// Whether `--json` makes it write one document instead of events.
    pub fn is_document(self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::Config
                | Self::Lint
                | Self::Fsck
                | Self::Verify
                | Self::Ready
                | Self::Pending
                | Self::Mok
        )
    }

    /// The word it is called by.
    pub fn word(self) -> &'static str {
        ACTIONS.iter().find(|a| a.1 == self).map_or("", |a| a.0)
    }
}

/// Builds, installs and looks after kernel modules that live outside the kernel.
#[derive(Debug, Parser)]
#[command(
    name = "dkms",
    disable_version_flag = true,
    infer_long_args = true,
    args_override_self = true,
    override_usage = "dkms ACTION [OPTIONS] [MODULE/VERSION | DIRECTORY | FILE]"
)]
pub struct Arguments {
    /// An action, and what it is about
    #[arg(value_name = "ACTION | MODULE/VERSION | DIRECTORY | FILE")]
    pub words: Vec<String>,
    /// Module, or module and version
    #[arg(short = 'm', long, value_name = "M[/V]")]
    pub module: Option<String>,
    /// Module version
    #[arg(short = 'v', value_name = "V")]
    pub module_version: Option<String>,
    /// Kernel release, or release and architecture; repeatable [default: the running kernel]
    #[arg(short = 'k', long = "kernelver", value_name = "K[/A]", action = ArgAction::Append)]
    pub kernels: Vec<String>,
    /// Architecture; one for all kernels, or one per kernel
    #[arg(short = 'a', long = "arch", value_name = "A", action = ArgAction::Append)]
    pub arches: Vec<String>,
    /// Every kernel the module is built for (remove, unbuild, uninstall, mktarball, mkdeb, mkdsc, mkbmdeb, mkrpm, mkkmp,
    /// mkdriverdisk)
    #[arg(long)]
    pub all: bool,
    /// Use this dkms.conf instead of the module's
    #[arg(short = 'c', value_parser = path(), value_name = "FILE")]
    pub conf: Option<PathBuf>,
    /// Kernel configuration [default: that of the headers]
    #[arg(long, value_parser = path(), value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kernel headers [default: /lib/modules/K/build]
    #[arg(long, value_parser = path(), value_name = "DIR")]
    pub kernelsourcedir: Option<PathBuf>,
    /// Archive to write (mktarball, mkdeb, mkdsc, mkbmdeb, mkrpm, mkkmp, mkdriverdisk) or to load (ldtarball, add)
    #[arg(long, value_parser = path(), value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// mktarball, mkdeb, mkdsc, mkrpm: built modules only
    #[arg(long)]
    pub binaries_only: bool,
    /// mktarball, mkdeb, mkdsc, mkrpm: source only
    #[arg(long)]
    pub source_only: bool,
    /// mkkmp, mkdriverdisk: the spec file, in the source tree or anywhere [default: M-kmp.spec or M.spec; our own]
    #[arg(long, value_parser = path(), value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// match: the kernel to be matched
    #[arg(long, value_name = "K")]
    pub templatekernel: Option<String>,
    /// Do it all the same: rebuild, reinstall, replace newer modules, ignore missing dependencies
    #[arg(long)]
    pub force: bool,
    /// fsck: repair what is safe to repair
    #[arg(long)]
    pub repair: bool,
    /// lint: mend in the file what is safe to mend
    #[arg(long)]
    pub fix: bool,
    /// Install without comparing versions with what the kernel has
    #[arg(long)]
    pub force_version_override: bool,
    /// Override a directive of dkms.conf; repeatable
    #[arg(long = "directive", value_name = "NAME=VALUE", action = ArgAction::Append)]
    pub directives: Vec<String>,
    /// autoinstall: for every kernel with headers
    #[arg(long)]
    pub all_kernels: bool,
    /// Show step by step what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not run depmod
    #[arg(long)]
    pub no_depmod: bool,
    /// Load newly installed modules that this machine's hardware asks for
    #[arg(long)]
    pub modprobe_on_install: bool,
    /// Install symbolic links instead of copies
    #[arg(long)]
    pub symlink_modules: bool,
    /// Where dkms keeps its tree [default: /var/lib/dkms]
    #[arg(long, value_parser = path(), value_name = "DIR")]
    pub dkmstree: Option<PathBuf>,
    /// Where sources are [default: /usr/src]
    #[arg(long, value_parser = path(), value_name = "DIR")]
    pub sourcetree: Option<PathBuf>,
    /// Where kernels' modules are [default: /lib/modules]
    #[arg(long, value_parser = path(), value_name = "DIR")]
    pub installtree: Option<PathBuf>,
    /// Do it in the system below DIR, such as an image; its newest kernel takes the place of the running one
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Sign with this key, chroot or not [default: that of framework.conf]
    #[arg(long, value_parser = path(), value_name = "FILE")]
    pub mok_signing_key: Option<PathBuf>,
    /// The certificate of --mok-signing-key
    #[arg(long, value_parser = path(), value_name = "FILE")]
    pub mok_certificate: Option<PathBuf>,
    /// Parallel compiler jobs; 0: no limit [default: one per processor]
    #[arg(short = 'j', value_name = "N", value_parser = Number::<u32>::read)]
    jobs: Option<Number<u32>>,
    /// Give up after this many seconds when another dkms holds what is needed
    #[arg(long, value_name = "SECONDS", value_parser = Number::<u64>::read)]
    lock_timeout: Option<Number<u64>>,
    /// For RPM scriptlets: an add in one transaction cancels the removal that follows
    #[arg(long = "rpm_safe_upgrade")]
    pub rpm_safe_upgrade: bool,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Print nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// Print more
    #[arg(long)]
    pub verbose: bool,
    /// Print everything that happens inside
    #[arg(long)]
    pub debug: bool,
    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,
    /// mkdriverdisk, of old: for which system
    #[arg(short = 'd', long, hide = true)]
    pub distro: Option<String>,
    /// mkdriverdisk, of old: which kind of image
    #[arg(long, hide = true)]
    pub media: Option<String>,
    /// mkdriverdisk, of old: for which release of SUSE
    #[arg(short = 'r', long, hide = true)]
    pub release: Option<String>,
    #[arg(long, hide = true)]
    legacy_postinst: Option<String>,
    #[arg(long, hide = true)]
    no_initrd: bool,
    #[arg(long, hide = true)]
    no_clean_kernel: bool,
    #[arg(long, hide = true)]
    no_prepare_kernel: bool,
    #[arg(skip)]
    action: Option<Action>,
    #[arg(skip)]
    second_action: Option<Action>,
}

/// A number, or nothing where a script passed an empty variable.
#[derive(Clone, Copy, Debug)]
struct Number<T>(Option<T>);

impl<T: std::str::FromStr<Err = std::num::ParseIntError>> Number<T> {
    fn read(word: &str) -> Result<Self, std::num::ParseIntError> {
        if word.is_empty() { Ok(Self(None)) } else { word.parse().map(|n| Self(Some(n))) }
    }
}

/// A path, or nothing.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Why there is nothing to run.
pub enum Stop {
    /// Help or version was asked for.
    Text(String),
    /// The command line is wrong: message.
    Wrong(String),
}

impl Stop {
    /// Shows it and gives the exit code.
    pub fn show(self) -> ExitCode {
        match self {
            Self::Text(text) => {
                let _ = crate::ui::to_stdout(&text);
                ExitCode::SUCCESS
            }
            Self::Wrong(text) => {
                crate::ui::to_stderr(&text);
                ExitCode::from(2)
            }
        }
    }
}

impl Arguments {
    /// Reads a command line.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let mut arguments = match Self::try_parse_from(words) {
            Ok(arguments) => arguments,
            Err(e) if e.kind() == ErrorKind::DisplayHelp => return Err(Stop::Text(help())),
            Err(e) => return Err(Stop::Wrong(format!("dkms: {}\n", e.to_string().trim_end()))),
        };
        if arguments.version {
            return Err(Stop::Text(format!("dkms-{}\n", env!("CARGO_PKG_VERSION"))));
        }
        arguments.drop_empty_values();
        let mut operands = Vec::new();
        for word in std::mem::take(&mut arguments.words) {
            match Action::from_word(&word) {
                // 'dkms mok status'
                Some(Action::Status) if arguments.action == Some(Action::Mok) => operands.push(word),
                Some(action) if arguments.action.is_none() => arguments.action = Some(action),
                Some(action) if arguments.second_action.is_none() => arguments.second_action = Some(action),
                Some(_) => {}
                None => operands.push(word),
            }
        }
        arguments.words = operands;
        Ok(arguments)
    }

    /// An empty value is no value: scripts pass variables that may be empty.
    ///
    /// `--root` is the exception ([`crate::root`] refuses it): there, an empty variable would turn a command for an image
    /// into one for this machine.
    fn drop_empty_values(&mut self) {
        let texts = [&mut self.module, &mut self.module_version, &mut self.templatekernel, &mut self.distro];
        for text in texts.into_iter().chain([&mut self.media, &mut self.release]) {
            text.take_if(|t| t.is_empty());
        }
        self.jobs.take_if(|n| n.0.is_none());
        self.lock_timeout.take_if(|n| n.0.is_none());
        let paths = [
            &mut self.conf,
            &mut self.config,
            &mut self.kernelsourcedir,
            &mut self.archive,
            &mut self.spec,
            &mut self.dkmstree,
            &mut self.sourcetree,
            &mut self.installtree,
            &mut self.mok_signing_key,
            &mut self.mok_certificate,
        ];
        for path in paths {
            path.take_if(|p| p.as_os_str().is_empty());
        }
        for list in [&mut self.words, &mut self.kernels, &mut self.arches, &mut self.directives] {
            list.retain(|word| !word.is_empty());
        }
    }

    /// `-j N`, if a number is given.
    pub fn jobs(&self) -> Option<u32> {
        self.jobs.and_then(|n| n.0)
    }

    /// `--lock-timeout`, if a number is given.
    pub fn lock_timeout(&self) -> Option<u64> {
        self.lock_timeout.and_then(|n| n.0)
    }

    /// The action, if one was named.
    pub fn action(&self) -> Option<Action> {
        self.action
    }

    /// A second action, which is one too many.
    pub fn second_action(&self) -> Option<Action> {
        self.second_action
    }

    /// Whether it shows what is there, whatever state the machine is in.
    pub fn only_looks(&self) -> bool {
        match self.action {
            Some(Action::Status | Action::Verify | Action::Ready | Action::Pending) => true,
            Some(Action::Fsck) => !self.repair,
            Some(Action::Lint) => !self.fix,
            Some(Action::Mok) => self.words.iter().all(|w| w == "status"),
            _ => false,
        }
    }

    /// Whether it may build, install or take something out of a kernel, for which programs are run.
    pub fn runs_programs(&self) -> bool {
        use Action::{
            Config, GenerateMok, Lint, Mkbmdeb, Mkdeb, Mkdriverdisk, Mkdsc, Mkkmp, Mkrpm, Mktarball,
        };
        let tree_only =
            [Config, GenerateMok, Lint, Mkbmdeb, Mkdeb, Mkdriverdisk, Mkdsc, Mkkmp, Mkrpm, Mktarball];
        !self.only_looks() && !self.dry_run && self.action.is_some_and(|a| !tree_only.contains(&a))
    }

    /// Gives every path on the command line to `f` and takes what it says instead.
    pub fn map_paths(&mut self, mut f: impl FnMut(&Path) -> PathBuf) {
        // One that is not here is looked for in the source tree.
        if let Some(spec) = self.spec.as_mut().filter(|spec| spec.exists()) {
            *spec = f(spec);
        }
        let options = [
            &mut self.conf,
            &mut self.config,
            &mut self.kernelsourcedir,
            &mut self.archive,
            &mut self.mok_certificate,
            &mut self.mok_signing_key,
        ];
        for path in options.into_iter().flatten().filter(|p| !p.to_string_lossy().starts_with("pkcs11:")) {
            *path = f(path);
        }
        for word in self.words.iter_mut().filter(|w| crate::request::names_a_path(w)) {
            if let Ok(path) = f(Path::new(word)).into_os_string().into_string() {
                *word = path;
            }
        }
    }

    /// The action's word, for messages.
    pub fn action_word(&self) -> &'static str {
        self.action.map_or("dkms", Action::word)
    }

    /// Options of old that no longer mean anything, as they were written.
    pub fn deprecated(&self) -> Vec<&'static str> {
        [
            (self.legacy_postinst.is_some(), "--legacy-postinst"),
            (self.no_initrd, "--no-initrd"),
            (self.no_clean_kernel, "--no-clean-kernel"),
            (self.no_prepare_kernel, "--no-prepare-kernel"),
        ]
        .into_iter()
        .filter_map(|(given, name)| given.then_some(name))
        .collect()
    }
}

/// The help text: clap's, with the actions.
pub fn help() -> String {
    use clap::CommandFactory;
    let mut list = String::from("Actions:\n");
    for (word, _, about) in ACTIONS {
        list.push_str(&format!("  {word:<16} {about}\n"));
    }
    let mut command = Arguments::command().after_help(list);
    command.render_help().to_string()
}
