//! What the columns of the table of options can contain.

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
