//! Reasons in words, for people: what is wrong, and what to do.

use super::{Cause, Reason};
use std::fmt;

impl Cause {
    /// As the kernel calls it in its log.
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
                "the file is not what the build made; dkms fsck tells more, and dkms install --force puts it back"
            }
            Reason::Compression { .. } => {
                "this system's kmod is built without that format; the modules of the kernel itself are packed otherwise"
            }
            Reason::XzCheck { .. } => {
                "compress with --check=crc32 (compress_xz_opts in framework.conf), and rebuild"
            }
            Reason::LoaderUnknown { .. } => "kmod --version tells which formats it reads",
            Reason::WrongMachine { .. } => "build it on, or with a cross compiler for, the kernel's machine",
            Reason::UnknownArch { .. } => "nothing to do; the machine type was not checked",
            Reason::Stripped => "it was stripped of all symbols; strip -g leaves those a module needs",
            Reason::Relocation { .. } => {
                "the compiler made position-independent code; build with the flags of the kernel's own Makefile"
            }
            Reason::CommonSymbol { .. } => "build with -fno-common, as the kernel's own Makefile does",
            Reason::NotLinked { .. } => {
                "the build stopped before modpost finished; look into make.log and build again"
            }
            Reason::Blacklisted { .. } => {
                "take the name out of module_blacklist= on the kernel's command line"
            }
            Reason::NoVermagic | Reason::Vermagic { .. } | Reason::StructModule { .. } => {
                "the module was built with the headers of another kernel; rebuild it against this kernel's headers"
            }
            Reason::OtherRelease { .. } => "nothing to do; all its symbols agree with this kernel's",
            Reason::NoSymvers => {
                "install the kernel's headers: their Module.symvers is what symbols are held against"
            }
            Reason::UnknownSymbol { .. } => {
                "the module that offers it is not installed for this kernel (see BUILD_DEPENDS), or this kernel no \
                 longer has it: a newer version of the package may support the kernel"
            }
            Reason::OwnerMissing { .. } => {
                "install the package that has that module for this kernel (linux-modules-extra or kernel-modules-extra \
                 on some distributions)"
            }
            Reason::DependencyRefused { reason, .. } => reason.help(),
            Reason::DisagreesAboutVersion { .. } => {
                "kernel, headers and the modules it depends on do not belong together; bring them to the same version \
                 and rebuild"
            }
            Reason::NoVersions | Reason::ExportsWithoutCrcs => {
                "the headers' Module.symvers was missing or empty during the build; install the kernel's headers again \
                 and rebuild"
            }
            Reason::NoSymbolVersion { .. } => {
                "build with the Module.symvers of the module that offers the symbol (KBUILD_EXTRA_SYMBOLS)"
            }
            Reason::GplOnly { .. } => {
                "this kernel offers the symbol to GPL modules only; ask the module's author"
            }
            Reason::ProprietaryOwner { .. } | Reason::GplOnlyHidden { .. } => {
                "this kernel lets no module use both; ask the authors of the two modules, or use a variant of the \
                 proprietary one that has a GPL-compatible licence"
            }
            Reason::InheritsTaint { .. } => "nothing to do; GPL-only symbols are hidden from the module",
            Reason::DependencyCycle { .. } => {
                "depmod indexes no modules that need each other; the packages do not belong together"
            }
            Reason::Namespace { .. } => {
                "the source needs a MODULE_IMPORT_NS line for the namespace; a newer version of the package may have it"
            }
            Reason::DuplicateExport { owner, .. } if owner == crate::verdict::lookup::KERNEL => {
                "this kernel has the driver built in; the package is not needed for it"
            }
            Reason::DuplicateExport { .. } => {
                "only one of the two modules can be loaded; uninstall the package of the other one, or blacklist it"
            }
            Reason::SignedAttributes => "sign it with the kernel's sign-file or with dkms",
            Reason::BadSignature { .. } => {
                "the file was changed after it was signed; dkms install --force signs and installs it anew"
            }
            Reason::Revoked { .. } => "sign with another key: dkms mok rotate",
            Reason::Untrusted { cause, .. } => match cause {
                Cause::Unsigned => {
                    "let dkms sign it: see try_sign_modules in framework.conf and dkms mok, then rebuild"
                }
                Cause::Key { .. } => "enrol the certificate that signs it: dkms mok tells how",
                Cause::Crypto(_) => {
                    "the digest is one that this kernel has only as a module, or not at all; load it first, or sign \
                     with the digest of CONFIG_MODULE_SIG_HASH"
                }
            },
            Reason::TaintsUnsigned { .. } => {
                "nothing to do; with Secure Boot or module.sig_enforce the kernel would refuse it"
            }
            Reason::EnforcementUnknown { .. } | Reason::KeyUnknown { .. } | Reason::DigestUnknown { .. } => {
                "ask on that machine, as root, with /sys and efivarfs mounted; dkms mok shows what is known"
            }
            Reason::Taints { .. } => {
                "nothing to do; kernel developers look at such a kernel's faults less gladly"
            }
        }
    }
}

impl fmt::Display for Reason {
    /// What is wrong, with the words the kernel would log where it logs some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Damaged { reason } => f.write_str(reason),
            Reason::Compression { format } => {
                write!(f, "it is compressed with {}, which this system's kmod does not read", format.name())
            }
            Reason::XzCheck { check } => {
                write!(
                    f,
                    "its xz integrity check is {check}; this kernel unpacks modules itself and reads CRC32 only"
                )
            }
            Reason::LoaderUnknown { format } => {
                write!(f, "it is compressed with {}; whether kmod reads that is not known", format.name())
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
                write!(f, "built for kernel {module}; every symbol version agrees with this one")
            }
            Reason::NoSymvers => {
                f.write_str("its symbols were not checked: there is no Module.symvers for this kernel")
            }
            Reason::OwnerMissing { symbol, owner } => {
                write!(f, "Unknown symbol {symbol} (err -2): {owner}, which offers it, is not installed")
            }
            Reason::DependencyRefused { name, reason } => {
                write!(f, "{name}, which it needs, would not be loaded: {reason}")
            }
            Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc } => write!(
                f,
                "disagrees about version of symbol {symbol}: the module wants {module_crc:#010x}, the kernel has \
                 {kernel_crc:#010x}"
            ),
            Reason::InvalidElf { log, what } => write!(f, "{log}: {what}"),
            Reason::Unchecked { what } => {
                write!(f, "damaged where the kernel does not check, which can crash it: {what}")
            }
            Reason::RelocationTarget { kind, place } => {
                write!(f, "Invalid relocation target, existing value is nonzero for type {kind}: {place}")
            }
            Reason::RelocationOverflow { kind, place } => {
                write!(f, "overflow in relocation type {kind}: {place}")
            }
            Reason::CommonSymbol { symbol } => {
                write!(f, "please compile with -fno-common: {symbol} is a common symbol")
            }
            Reason::SameName { section } => {
                write!(f, "cannot create duplicate filename: it has two sections {section}")
            }
            Reason::Nameless => f.write_str("its struct module has no name"),
            Reason::ExportsWithoutCrcs => {
                f.write_str("no versions for exported symbols: it has no CRCs of them")
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
                write!(f, "it needs {name}, and {name} needs it: neither can be loaded first")
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
                write!(f, "{}{}: loaded all the same, the kernel is tainted", cause.words(), cause.detail())
            }
            Reason::EnforcementUnknown { cause } => write!(
                f,
                "{}{}; whether this kernel enforces signatures is not known",
                cause.words(),
                cause.detail()
            ),
            Reason::KeyUnknown { signer } => {
                write!(f, "signed by {signer}; whether this kernel has that key is not known")
            }
            Reason::DigestUnknown { hash } => {
                write!(f, "signed with {hash}; whether this kernel can compute it at that time is not known")
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
            | Reason::SignedAttributes => f.write_str(&self.log().unwrap_or_default()),
        }
    }
}
