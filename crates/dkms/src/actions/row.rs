//! A row of the table of actions, and what many rows have in common.

use super::kinds::{Effect, Kernels, Operand, Root};
use super::options::Opt;

/// Everything about an action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActionRow {
    /// The word that it is called by.
    pub word: &'static str,
    /// One phrase: what it is for.
    pub purpose: &'static str,
    /// A few sentences more.
    pub about: &'static str,
    /// What its operands can be.
    pub operand: Operand,
    /// Command lines that work as they stand.
    pub examples: &'static [&'static str],
    pub effect: Effect,
    pub root: Root,
    /// Whether the tree must be writable from the start. Other actions need that only if there is something
    /// to change.
    pub writable_tree: bool,
    pub kernels: Kernels,
    /// Whether it may run programs of the system: compilers, depmod, scripts of modules.
    pub runs_programs: bool,
    /// The options of this action, which help and completions list besides [`super::COMMON`].
    pub options: &'static [&'static [Opt]],
    /// Options that are accepted without a warning, but not listed: they have a minor effect, scripts pass
    /// them, or the action itself explains why they are wrong.
    pub accepts: &'static [&'static [Opt]],
}

pub(super) const PACKAGE: &[Opt] = &[Opt::Module, Opt::ModuleVersion];
pub(super) const KERNELS: &[Opt] = &[Opt::Kernel, Opt::Arch];
/// Which dkms.conf counts, and how it is evaluated for a kernel.
pub(super) const CONF: &[Opt] = &[Opt::Conf, Opt::Directive];
pub(super) const HEADERS: &[Opt] = &[Opt::KernelSourceDir, Opt::KernelConfig];
pub(super) const BUILD: &[Opt] =
    &[Opt::Jobs, Opt::Timings, Opt::Force, Opt::NoCache, Opt::Registry, Opt::Prebuilt];
pub(super) const INSTALL: &[Opt] =
    &[Opt::ForceVersionOverride, Opt::NoDepmod, Opt::ModprobeOnInstall, Opt::SymlinkModules];
pub(super) const SIGN: &[Opt] = &[Opt::MokSigningKey, Opt::MokCertificate];
pub(super) const CHANGE: &[Opt] = &[Opt::DryRun, Opt::LockTimeout];

/// What most actions have in common.
pub(super) const BASE: ActionRow = ActionRow {
    word: "",
    purpose: "",
    about: "",
    operand: Operand::Package,
    examples: &[],
    effect: Effect::Changes,
    root: Root::No,
    writable_tree: false,
    kernels: Kernels::Many,
    runs_programs: false,
    options: &[],
    accepts: &[],
};
