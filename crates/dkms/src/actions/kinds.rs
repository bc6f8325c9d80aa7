//! What the columns of the table of actions can contain.

use super::options::Opt;

/// What an action's operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    None,
    /// A module that is registered.
    Package,
    /// One or more registered modules.
    Packages,
    /// A registered module, and a registry after it.
    PackageAndRegistry,
    /// A registered module, a source in /usr/src, a directory or an archive.
    Source,
    /// A module or module files.
    PackageOrFiles,
    Archive,
    /// Releases of kernels, which do not have to be installed.
    Kernels,
    /// A file to write.
    Output,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, and a module after it.
    WordAndPackage(&'static [&'static str]),
}

/// Whether an action changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only prints something, whatever state the machine is in.
    Queries,
    /// It only prints something, but framework.conf must be valid, and the code of a dkms.conf may run.
    Evaluates,
    /// It only prints something, unless this option is given.
    QueriesUnless(Opt),
    /// Its operand decides: this word, or none, only prints something.
    QueriesFor(&'static str),
    /// It only prints something, unless its first operand is one of these words.
    QueriesExceptFor(&'static [&'static str]),
    Changes,
}

/// Whether an action needs to be root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// It needs nothing, or only files that can be written.
    No,
    /// The action itself decides, depending on what it finds or is asked for.
    Sometimes,
    Always,
}

/// How many kernels an action takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    None,
    /// At most one; the default is the running one.
    One,
    /// Exactly one, which must be named.
    Named,
    /// Any number.
    Many,
}
