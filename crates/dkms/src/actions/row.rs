//! A row in the table of actions, and groups of options that several rows share.

use super::kinds::{Effect, Kernels, Operand, Root};
use super::options::Opt;

/// Everything about an action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActionRow {
    /// The word on the command line.
    pub word: &'static str,
    /// A phrase that describes what it does.
    pub purpose: &'static str,
    /// A description in a few sentences.
    pub about: &'static str,
    /// Its operands.
    pub operand: Operand,
    /// Command lines that can be used unchanged.
    pub examples: &'static [&'static str],
    pub effect: Effect,
    pub root: Root,
    /// Whether the tree must be writable. Other actions check this only if there is something to change.
    pub writable_tree: bool,
    pub kernels: Kernels,
    /// Whether it may run programs of the system: compilers, depmod, scripts of modules.
    pub runs_programs: bool,
    /// The options of this action. Help and completions list them in addition to [`super::COMMON`].
    pub options: &'static [&'static [Opt]],
    /// Options that are accepted without a warning, but not listed: they have a minor effect, scripts pass
    /// them, or the action itself rejects them with an explanation.
    pub accepts: &'static [&'static [Opt]],
}

pub(super) const PACKAGE: &[Opt] = &[Opt::Module, Opt::ModuleVersion];
pub(super) const KERNELS: &[Opt] = &[Opt::Kernel, Opt::Arch];
/// The dkms.conf to use, and how it is evaluated.
pub(super) const CONF: &[Opt] = &[Opt::Conf, Opt::Directive];
pub(super) const HEADERS: &[Opt] = &[Opt::KernelSourceDir, Opt::KernelConfig];
pub(super) const BUILD: &[Opt] =
    &[Opt::Jobs, Opt::Timings, Opt::Force, Opt::NoCache, Opt::Registry, Opt::Prebuilt];
pub(super) const INSTALL: &[Opt] =
    &[Opt::ForceVersionOverride, Opt::NoDepmod, Opt::ModprobeOnInstall, Opt::SymlinkModules];
pub(super) const SIGN: &[Opt] = &[Opt::MokSigningKey, Opt::MokCertificate];
pub(super) const CHANGE: &[Opt] = &[Opt::DryRun, Opt::LockTimeout];

/// The values that most actions have.
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
