//! The types of the columns in the table of options.

/// The kind of value that an option takes. Shells complete it accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// The option is a flag without a value.
    Flag,
    Module,
    Version,
    Kernel,
    Arch,
    File,
    /// An optional file: `--option[=FILE]`.
    OptionalFile,
    Directory,
    Directive,
    Jobs,
    Seconds,
    Text,
}

/// The headings of the options in help and dkms(8).
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
    /// Options of dkms 3, which are accepted but not listed.
    Former,
}

/// What happens if an option is given to an action that it does not apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// It is ignored with a warning.
    Warn,
    /// It is an error, because without it the command would do something else.
    Refuse,
    /// It is ignored without a warning, because scripts for dkms 3.x may pass it.
    Ignore,
}

impl Group {
    /// The groups with a heading, in the order of dkms(8).
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
