//! An option as data: everything that the table of options says about it.
//!
//! To add an option: a variant of [`Opt`], its row in the same place in one of the files of `options/`, the
//! actions that it applies to in `table.rs`, and a field of [`crate::cli::Arguments`] that receives its
//! value.

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    Module,
    ModuleVersion,
    Kernel,
    Arch,
    AllKernels,
    All,
    TemplateKernel,
    Conf,
    Directive,
    Fingerprint,
    KernelSourceDir,
    KernelConfig,
    Jobs,
    Timings,
    Force,
    NoCache,
    Registry,
    Prebuilt,
    LockTimeout,
    MokSigningKey,
    MokCertificate,
    ForceVersionOverride,
    NoDepmod,
    ModprobeOnInstall,
    SymlinkModules,
    RpmSafeUpgrade,
    Repair,
    Fix,
    DryRun,
    Archive,
    BinariesOnly,
    SourceOnly,
    Spec,
    Output,
    Image,
    Base,
    Prefix,
    Kmm,
    Format,
    Os,
    SysextLevel,
    Load,
    Fleet,
    Metrics,
    DkmsTree,
    SourceTree,
    InstallTree,
    Root,
    Loaded,
    Table,
    Json,
    Quiet,
    Verbose,
    Debug,
    Plain,
    Version,
    Help,
    Distro,
    Media,
    Release,
    LegacyPostinst,
    NoInitrd,
    NoCleanKernel,
    NoPrepareKernel,
}

/// What an option takes, which is also what shells complete after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing: the option is a flag.
    Flag,
    Module,
    Version,
    Kernel,
    Arch,
    File,
    /// A file, which can be omitted: `--option[=FILE]`.
    OptionalFile,
    Directory,
    Directive,
    Jobs,
    Seconds,
    Text,
}

/// The headings of dkms(8), in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Selection,
    Building,
    Signing,
    Installing,
    Repairing,
    Planning,
    Archives,
    Reports,
    Places,
    Output,
    /// Options of former versions, which are accepted but not listed.
    Former,
}

/// What happens when an option is given to an action that it does not apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// It has no effect and one warning says so.
    Warn,
    /// It is an error: ignoring it would do something else than what was asked for.
    Refuse,
    /// It has no effect, and scripts of dkms 3.x may pass it.
    Ignore,
}

/// Everything about an option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionRow {
    pub opt: Opt,
    pub short: Option<char>,
    /// Without the dashes; empty if there is only a short name.
    pub long: &'static str,
    pub value: Value,
    /// The value's name in help, such as `FILE`.
    pub value_name: &'static str,
    /// Several values can be given; otherwise the last one counts.
    pub repeatable: bool,
    pub group: Group,
    pub misplaced: Misplaced,
    /// One sentence without its full stop.
    pub about: &'static str,
    /// More sentences for dkms(8) and the help of an action; words in backticks are literal.
    pub details: &'static str,
}

impl OptionRow {
    /// How messages name it: the long name if there is one.
    pub(crate) fn name(&self) -> String {
        match self.short {
            Some(short) if self.long.is_empty() => format!("-{short}"),
            _ => format!("--{}", self.long),
        }
    }

    /// How clap names it.
    pub(crate) fn id(&self) -> &'static str {
        if self.long.is_empty() { self.value_name } else { self.long }
    }

    pub(crate) fn takes_value(&self) -> bool {
        self.value != Value::Flag
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.group == Group::Former
    }
}

impl Group {
    /// All with a heading, in the order of dkms(8).
    pub(crate) const ALL: [Self; 10] = [
        Self::Selection,
        Self::Building,
        Self::Signing,
        Self::Installing,
        Self::Repairing,
        Self::Planning,
        Self::Archives,
        Self::Reports,
        Self::Places,
        Self::Output,
    ];

    /// Its heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Selection => "Selection options",
            Self::Building => "Build options",
            Self::Signing => "Signing options",
            Self::Installing => "Installation options",
            Self::Repairing => "Repair options",
            Self::Planning => "Planning options",
            Self::Archives => "Archive options",
            Self::Reports => "Report options",
            Self::Places => "Location options",
            Self::Output => "Output options",
            Self::Former => "Former options",
        }
    }
}

/// A flag that only has a long name.
pub(super) const fn flag(opt: Opt, long: &'static str, group: Group, about: &'static str) -> OptionRow {
    OptionRow {
        opt,
        short: None,
        long,
        value: Value::Flag,
        value_name: "",
        repeatable: false,
        group,
        misplaced: Misplaced::Warn,
        about,
        details: "",
    }
}

/// An option with a value that only has a long name.
pub(super) const fn valued(
    opt: Opt,
    long: &'static str,
    (value, value_name): (Value, &'static str),
    group: Group,
    about: &'static str,
) -> OptionRow {
    OptionRow { value, value_name, ..flag(opt, long, group, about) }
}

/// An option of former versions, without a description.
pub(super) const fn former(opt: Opt, short: Option<char>, long: &'static str, value: Value) -> OptionRow {
    let row = flag(opt, long, Group::Former, "");
    OptionRow { short, value, value_name: if matches!(value, Value::Flag) { "" } else { "WORD" }, ..row }
}

impl OptionRow {
    pub(super) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(super) const fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    pub(super) const fn misplaced(self, misplaced: Misplaced) -> Self {
        Self { misplaced, ..self }
    }

    pub(super) const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }
}
