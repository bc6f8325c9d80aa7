//! The reasons to leave the index to depmod.

use crate::elf::ElfError;

/// Why the index is left to depmod: for this input, our result was not compared with depmod's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Decline {
    /// A line or a keyword of depmod.d that only depmod interprets.
    #[error("depmod.d: '{0}' is left to depmod")]
    Setting(String),
    /// A line of depmod.d with too few words.
    #[error("depmod.d: '{0}' lacks words")]
    IncompleteSetting(String),
    /// The path of a module with unusual characters or an unusual extension.
    #[error("{0} has an unusual name")]
    ModulePath(String),
    /// The path of a module in gzip format.
    #[error("{0} is compressed with gzip, which not every kmod can read")]
    Gzip(String),
    /// A module that is not a readable object file.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A module for SPARC, where register symbols look like undefined symbols.
    #[error("modules of SPARC are left to depmod")]
    Sparc,
    /// The name of two sections of a module.
    #[error("two sections are called {0}")]
    DuplicateSection(&'static str),
    /// Damage in the tables of a module that kmod might read differently.
    #[error("{0}")]
    DamagedModule(&'static str),
    /// A name or a value with this number of bytes or more.
    #[error("a name or value has {0} characters or more")]
    TooLong(usize),
    /// The start of a name or a value that is not ASCII, or contains a newline.
    #[error("'{0}' is not ASCII text")]
    NotAscii(String),
    /// Modules that depend on each other.
    #[error("some modules depend on each other")]
    DependencyCycle,
    /// `modules.order` was cut off.
    #[error("modules.order has no newline at its end")]
    NoFinalNewline,
    /// A line of `modules.builtin` that is not the path of a module.
    #[error("modules.builtin: '{0}' is not the path of a module")]
    BuiltinLine(String),
    /// `modules.builtin.modinfo` is damaged.
    #[error("modules.builtin.modinfo is not a list of MODULE.KEY=VALUE")]
    BuiltinModinfo,
    /// An alias with an unpaired bracket.
    #[error("alias {0}: '[' without ']', or ']' without '['")]
    AliasBrackets(String),
    /// An alias for a device number that `scanf` reads in its own way.
    #[error("an alias has the unusual device number {0}")]
    DeviceNumber(String),
    /// A module with an alias for a device node, but none for its number.
    #[error("{path} names {name} without a device number")]
    NoDeviceNumber {
        /// The path of the module.
        path: String,
        /// The name of the device node.
        name: String,
    },
    /// A binary file would be too large for its format.
    #[error("an index would have more than 256 MiB")]
    TooLarge,
}
