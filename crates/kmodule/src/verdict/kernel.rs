//! The properties of a kernel that decide whether it loads a module.

use super::lookup::Symbols;
use super::release::since;
use crate::compression::Compression;
use crate::sign::{Certificate, Hash, Signed};

/// A kernel. Start with [`KernelView::new`] and set the fields whose values are known.
#[derive(Clone)]
pub struct KernelView<'a> {
    /// Its release, as in `uname -r`.
    pub release: &'a str,
    /// Its machine, as in `uname -m`.
    pub arch: &'a str,
    /// The symbols it exports; without them, symbols are not checked and the verdict contains a doubt.
    pub symbols: Option<&'a dyn Symbols>,
    /// `CONFIG_MODVERSIONS`: CRCs are compared.
    pub modversions: bool,
    /// The whole version magic of this kernel's modules; without it, only its first word is known.
    pub vermagic: Option<&'a str>,
    /// `sizeof(struct module)` in bytes; kernels compare it since 6.4.
    pub struct_module: Option<u64>,
    /// The offsets in this kernel's `struct module` of the addresses of a module's first and last function
    /// (see [`super::File::entry_places`]).
    pub entry_places: Option<(u64, u64)>,
    /// `CONFIG_MODULE_FORCE_LOAD`: a module without any CRC or version magic is loaded anyway, and taints the
    /// kernel.
    pub force_load: bool,
    /// A module whose list of CRCs lacks a symbol that it needs is loaded anyway. This is so since Linux 4.9,
    /// but not in Debian's kernels.
    pub missing_crcs: bool,
    /// `CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS`: a missing import is only a warning.
    pub allow_missing_namespaces: bool,
    /// A module that uses a symbol of a proprietary module is tainted as well, and cannot use GPL-only
    /// symbols: since Linux 5.9.
    pub inherits_taint: bool,
    /// The kernel extends a module's tables of distant branches (`CONFIG_ARM64_MODULE_PLTS`, always since
    /// 6.5), so every module needs the sections for them.
    pub module_plts: bool,
    /// `CONFIG_MODULE_SECTIONS` of riscv64: the same, and a table of addresses; `None` if unknown.
    pub module_sections: Option<bool>,
    /// Names on the kernel's own blacklist (`module_blacklist=`).
    pub blacklist: &'a [String],
    /// Signatures; `None` for a kernel without `CONFIG_MODULE_SIG`, which ignores them.
    pub signatures: Option<Signatures<'a>>,
    /// The programs that decompress modules.
    pub loader: Loader,
}

impl<'a> KernelView<'a> {
    /// A kernel with this release and machine, whose other properties are unknown.
    #[must_use]
    pub fn new(release: &'a str, arch: &'a str) -> KernelView<'a> {
        KernelView {
            release,
            arch,
            symbols: None,
            modversions: false,
            vermagic: None,
            struct_module: None,
            entry_places: None,
            force_load: true,
            missing_crcs: since(release, 4, 9),
            allow_missing_namespaces: false,
            inherits_taint: since(release, 5, 9),
            module_plts: since(release, 6, 5),
            module_sections: None,
            blacklist: &[],
            signatures: None,
            loader: Loader::default(),
        }
    }
}

/// How a kernel treats signatures.
#[derive(Clone, Copy)]
pub struct Signatures<'a> {
    /// What happens to a module without a valid signature.
    pub enforcement: Enforcement,
    /// The keys it trusts.
    pub keys: &'a dyn Keys,
}

/// What a kernel does with a module that is not signed with a trusted key (module_sig_check in
/// kernel/module/signing.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It loads the module, and is tainted.
    Off,
    /// It refuses the module: `module.sig_enforce`, `CONFIG_MODULE_SIG_FORCE` or Secure Boot.
    SigEnforce,
    /// It refuses the module because it is locked down.
    Lockdown,
    /// Unknown.
    Unknown,
}

/// The keys that a kernel trusts for modules.
pub trait Keys {
    /// The key that a signature names.
    fn find(&self, signed: &Signed<'_>) -> Key<'_>;
    /// Whether the kernel can compute a digest when the module is loaded; `None` if unknown.
    fn supports(&self, hash: Hash) -> Option<bool>;
}

/// The result of [`Keys::find`].
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// Trusted, and this is its certificate.
    Trusted(&'a Certificate),
    /// Trusted, but its certificate is not available: the signature itself cannot be checked.
    Unseen,
    /// On a list of keys that are no longer trusted.
    Revoked,
    /// The kernel does not have it.
    Absent,
    /// It is unknown whether the kernel has it.
    Unknown,
}

/// The programs that decompress modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loader {
    /// Whether kmod reads gzip; `None` if unknown.
    pub gzip: Option<bool>,
    /// Whether kmod reads xz.
    pub xz: Option<bool>,
    /// Whether kmod reads Zstandard.
    pub zstd: Option<bool>,
    /// The format that kmod leaves to the kernel (`CONFIG_MODULE_DECOMPRESS`, kmod 31).
    pub kernel: Option<Compression>,
}
