//! Reasons as messages: what is wrong, and what to do.

use super::{Cause, Reason};
use std::fmt;

impl Cause {
    /// The name in the kernel's log.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Cause::Unsigned => "unsigned module",
            Cause::Key { .. } => "module with unavailable key",
            Cause::Crypto(_) => "module with unsupported crypto",
        }
    }

    fn detail(&self) -> String {
        match self {
            Cause::Unsigned => String::new(),
            Cause::Key { signer } => format!(": signed by {signer}"),
            Cause::Crypto(what) => format!(": {what}"),
        }
    }
}

impl Reason {
    /// What the administrator can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Reason::Damaged { .. }
            | Reason::NotModule { .. }
            | Reason::InvalidElf { .. }
            | Reason::Unchecked { .. }
            | Reason::PercpuMemory { .. }
            | Reason::SymbolSection { .. }
            | Reason::RelocationTarget { .. }
            | Reason::RelocationOverflow { .. }
            | Reason::RelocationTable
            | Reason::Nameless
            | Reason::SameName { .. }
            | Reason::SignatureDamaged { .. } => {
                "the file differs from the one that was built; dkms fsck shows details, dkms install --force installs it again"
            }
            Reason::Compression { .. } => {
                "this system's kmod is built without that format; use the format of the kernel's own modules"
            }
            Reason::XzCheck { .. } => {
                "compress with --check=crc32 (compress_xz_opts in framework.conf), and rebuild"
            }
            Reason::LoaderUnknown { .. } => "kmod --version shows which formats it reads",
            Reason::WrongMachine { .. } => "build it on, or with a cross compiler for, the kernel's machine",
            Reason::UnknownArch { .. } => "nothing to do; the machine type was not checked",
            Reason::Stripped => "all symbols were stripped; strip -g keeps those that a module needs",
            Reason::Relocation { .. } | Reason::RelocationRefused { .. } => {
                "the compiler made code that is not for kernels; build with the flags of the kernel's own Makefile"
            }
            Reason::CommonSymbol { .. } => "build with -fno-common, as the kernel's own Makefile does",
            Reason::NotLinked { .. } => "the build stopped before modpost finished; see make.log and rebuild",
            Reason::Blacklisted { .. } => {
                "remove the name from module_blacklist= on the kernel's command line"
            }
            Reason::NoVermagic | Reason::Vermagic { .. } | Reason::StructModule { .. } => {
                "the module was built with the headers of another kernel; rebuild it against this kernel's headers"
            }
            Reason::OtherRelease { .. } => "nothing to do; all its symbols match this kernel's",
            Reason::NoSymvers => {
                "install the kernel's headers: symbols are checked against their Module.symvers"
            }
            Reason::UnknownSymbol { .. } => {
                "the module that exports it is not installed for this kernel (see BUILD_DEPENDS), or this kernel no \
                 longer has it: a newer version of the package may support the kernel"
            }
            Reason::OwnerMissing { .. } => {
                "install the package that contains that module for this kernel (linux-modules-extra or kernel-modules-extra \
                 on some distributions)"
            }
            Reason::DependencyRefused { reason, .. } => reason.help(),
            Reason::DisagreesAboutVersion { .. } => {
                "kernel, headers and the modules it depends on have different versions; install matching versions and \
                 rebuild"
            }
            Reason::NoVersions | Reason::ExportsWithoutCrcs => {
                "the headers' Module.symvers was missing or empty during the build; reinstall the kernel's headers \
                 and rebuild"
            }
            Reason::NoSymbolVersion { .. } => {
                "build with the Module.symvers of the module that exports the symbol (KBUILD_EXTRA_SYMBOLS)"
            }
            Reason::GplOnly { .. } => {
                "this kernel exports the symbol to GPL modules only; ask the module's author"
            }
            Reason::ProprietaryOwner { .. } | Reason::GplOnlyHidden { .. } => {
                "on this kernel no module can use both; ask the authors of the two modules, or use a variant of the \
                 proprietary module with a GPL-compatible licence"
            }
            Reason::InheritsTaint { .. } => "nothing to do; GPL-only symbols are hidden from the module",
            Reason::DependencyCycle { .. } => {
                "depmod does not index modules that need each other; the packages are not compatible"
            }
            Reason::Namespace { .. } => {
                "the source needs a MODULE_IMPORT_NS line for the namespace; a newer version of the package may have it"
            }
            Reason::DuplicateExport { owner, .. } if owner == crate::verdict::lookup::KERNEL => {
                "the driver is built into this kernel; the package is not needed for it"
            }
            Reason::DuplicateExport { .. } => {
                "only one of the two modules can be loaded; uninstall the package of the other one, or blacklist that module"
            }
            Reason::SignedAttributes => "sign it with the kernel's sign-file or with dkms",
            Reason::BadSignature { .. } => {
                "the file was changed after it was signed; dkms install --force signs and installs it again"
            }
            Reason::Revoked { .. } => "sign with another key: dkms mok rotate",
            Reason::Untrusted { cause, .. } => match cause {
                Cause::Unsigned => {
                    "let dkms sign it: see try_sign_modules in framework.conf and dkms mok, then rebuild"
                }
                Cause::Key { .. } => "enroll the certificate that it is signed with: dkms mok shows how",
                Cause::Crypto(_) => {
                    "this kernel has the digest only as a module, or not at all; load that module first, or sign with the \
                     digest of CONFIG_MODULE_SIG_HASH"
                }
            },
            Reason::TaintsUnsigned { .. } => {
                "nothing to do; with Secure Boot or module.sig_enforce the kernel would refuse it"
            }
            Reason::EnforcementUnknown { .. } | Reason::KeyUnknown { .. } | Reason::DigestUnknown { .. } => {
                "run it on that machine, as root, with /sys and efivarfs mounted; dkms mok shows what is known"
            }
            Reason::Taints { .. } => {
                "nothing to do; kernel developers may ignore bug reports from a tainted kernel"
            }
        }
    }
}

impl fmt::Display for Reason {
    /// What is wrong, with the message that the kernel logs, if it logs one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Damaged { reason } => f.write_str(reason),
            Reason::Compression { format } => {
                write!(f, "it is compressed with {}, which this system's kmod does not read", format.name())
            }
            Reason::XzCheck { check } => {
                write!(
                    f,
                    "its xz integrity check is {check}; this kernel decompresses modules itself and supports CRC32 only"
                )
            }
            Reason::LoaderUnknown { format } => {
                write!(f, "it is compressed with {}; it is not known whether kmod reads that", format.name())
            }
            Reason::NotModule { error } => write!(f, "Exec format error: {error}"),
            Reason::WrongMachine { module, kernel } => {
                write!(
                    f,
                    "Invalid architecture in ELF header: the module is for {module}, the kernel for {kernel}"
                )
            }
            Reason::UnknownArch { arch } => {
                write!(f, "machine type \"{arch}\" is unknown and was not checked")
            }
            Reason::NotLinked { counted: false } => {
                f.write_str("No module found in object: .gnu.linkonce.this_module is missing")
            }
            Reason::StructModule { module, kernel } => write!(
                f,
                ".gnu.linkonce.this_module section size must match the kernel's: {module} bytes, the kernel has {kernel}"
            ),
            Reason::NoVermagic => {
                f.write_str("no version magic: the module does not say which kernel it is for")
            }
            Reason::OtherRelease { module } => {
                write!(f, "built for kernel {module}; all symbol versions match this kernel")
            }
            Reason::NoSymvers => {
                f.write_str("its symbols were not checked: there is no Module.symvers for this kernel")
            }
            Reason::OwnerMissing { symbol, owner } => {
                write!(f, "Unknown symbol {symbol} (err -2): {owner}, which exports it, is not installed")
            }
            Reason::DependencyRefused { name, reason } => {
                write!(f, "{name}, which it depends on, would not be loaded: {reason}")
            }
            Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc } => write!(
                f,
                "disagrees about version of symbol {symbol}: the module needs {module_crc:#010x}, the kernel has \
                 {kernel_crc:#010x}"
            ),
            Reason::InvalidElf { log, what } => write!(f, "{log}: {what}"),
            Reason::Unchecked { what } => {
                write!(f, "damaged in a part that the kernel does not check, which can crash it: {what}")
            }
            Reason::RelocationTarget { kind, place } => {
                write!(f, "Invalid relocation target, existing value is nonzero for type {kind}: {place}")
            }
            Reason::RelocationOverflow { kind, place } => {
                write!(f, "overflow in relocation type {kind}: {place}")
            }
            Reason::RelocationRefused { kind, place, log } => {
                write!(f, "{log}: relocation type {kind} at {place}")
            }
            Reason::CommonSymbol { symbol } => {
                write!(f, "please compile with -fno-common: {symbol} is a common symbol")
            }
            Reason::SameName { section } => {
                write!(f, "cannot create duplicate filename: it has two sections {section}")
            }
            Reason::Nameless => f.write_str("its struct module has no name"),
            Reason::ExportsWithoutCrcs => {
                f.write_str("no versions for exported symbols: it has no CRCs for them")
            }
            Reason::NoVersions => f.write_str("no symbol versions: the module was built without CRCs"),
            Reason::GplOnly { symbol, license } => {
                write!(
                    f,
                    "Unknown symbol {symbol} (err -2): it is GPL-only and the module's licence is \"{license}\""
                )
            }
            Reason::ProprietaryOwner { symbol, owner } => write!(
                f,
                "module using GPL-only symbols uses symbols {symbol} from proprietary module {owner}"
            ),
            Reason::GplOnlyHidden { symbol, owner } => write!(
                f,
                "Unknown symbol {symbol} (err -2): it is GPL-only, and the module uses symbols from proprietary module {owner}"
            ),
            Reason::InheritsTaint { symbol, owner } => {
                write!(f, "module uses symbols {symbol} from proprietary module {owner}, inheriting taint")
            }
            Reason::DependencyCycle { name } => {
                write!(f, "it depends on {name}, and {name} on it: neither can be loaded first")
            }
            Reason::DuplicateExport { symbol, owner } => {
                write!(f, "exports duplicate symbol {symbol} (owned by {owner})")
            }
            Reason::SignatureDamaged { fault } => write!(f, "its signature is damaged: {fault}"),
            Reason::BadSignature { signer } => {
                write!(f, "Key was rejected by service: the signature by {signer} does not match the file")
            }
            Reason::Revoked { signer } => {
                write!(f, "Key was rejected by service: the key of {signer} was revoked")
            }
            Reason::Untrusted { cause, lockdown: false } => {
                write!(f, "Loading of {} is rejected{}", cause.words(), cause.detail())
            }
            Reason::Untrusted { cause, lockdown: true } => write!(
                f,
                "Lockdown: unsigned module loading is restricted ({}{})",
                cause.words(),
                cause.detail()
            ),
            Reason::TaintsUnsigned { cause } => {
                write!(f, "{}{}: loaded anyway, the kernel is tainted", cause.words(), cause.detail())
            }
            Reason::EnforcementUnknown { cause } => write!(
                f,
                "{}{}; it is not known whether this kernel enforces signatures",
                cause.words(),
                cause.detail()
            ),
            Reason::KeyUnknown { signer } => {
                write!(f, "signed by {signer}; it is not known whether this kernel has that key")
            }
            Reason::DigestUnknown { hash } => {
                write!(
                    f,
                    "signed with {hash}; it is not known whether this kernel can compute it at that time"
                )
            }
            Reason::Taints { license } if license.is_empty() => {
                f.write_str("module license unspecified taints kernel")
            }
            Reason::Taints { license } => write!(f, "module license '{license}' taints kernel"),
            Reason::Stripped
            | Reason::PercpuMemory { .. }
            | Reason::SymbolSection { .. }
            | Reason::RelocationTable
            | Reason::NotLinked { counted: true }
            | Reason::Relocation { .. }
            | Reason::NoSymbolVersion { .. }
            | Reason::Blacklisted { .. }
            | Reason::Vermagic { .. }
            | Reason::UnknownSymbol { .. }
            | Reason::Namespace { .. }
            | Reason::SignedAttributes => {
                f.write_str(self.log().as_deref().unwrap_or("refused without a message"))
            }
        }
    }
}
