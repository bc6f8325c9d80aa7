//! What the columns of the table of options can contain.

use super::options::Opt;

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

/// A flag without a short name; what most options have in common.
pub(super) const BASE: OptionRow = OptionRow {
    opt: Opt::Help,
    short: None,
    long: "",
    value: Value::Flag,
    value_name: "",
    repeatable: false,
    group: Group::Output,
    misplaced: Misplaced::Warn,
    about: "",
    details: "",
};
