//! The types of the columns in the table of actions.

use super::options::Opt;

/// The operands of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    None,
    /// A registered module.
    Package,
    /// One or more registered modules.
    Packages,
    /// A registered module, then a registry.
    PackageAndRegistry,
    /// A registered module, a source in /usr/src, a directory or an archive.
    Source,
    /// A module or module files.
    PackageOrFiles,
    Archive,
    /// Releases of kernels, which need not be installed.
    Kernels,
    /// A file to write.
    Output,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, then a module.
    WordAndPackage(&'static [&'static str]),
}

/// Whether an action changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only prints something, and works even on a machine that is broken.
    Queries,
    /// It only prints something, but framework.conf must be valid, and the code of a dkms.conf may run.
    Evaluates,
    /// It only prints something, unless this option is given.
    QueriesUnless(Opt),
    /// It only prints something if its operand is this word or missing.
    QueriesFor(&'static str),
    /// It only prints something, unless its first operand is one of these words.
    QueriesExceptFor(&'static [&'static str]),
    Changes,
}

/// Whether an action needs root's privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// It needs at most files that are writable.
    No,
    /// The action itself checks this, depending on what it has to do.
    Sometimes,
    Always,
}

/// The number of kernels that an action takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    None,
    /// At most one. The default is the running kernel.
    One,
    /// Exactly one, which must be given.
    Named,
    /// Any number.
    Many,
}
