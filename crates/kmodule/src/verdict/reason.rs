//! What a kernel has against a module: as a code for scripts, in the words of its log, as the error number it
//! returns, and what to do about it.

use crate::compress::Format;
use crate::elf::ElfError;
use crate::sign::{HOLDS_DATA, Hash, NOT_ZERO};
use std::fmt;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There is none.
    Unsigned,
    /// The kernel does not have the key.
    Key {
        /// Whom the signature names.
        signer: String,
    },
    /// The kernel cannot compute with it.
    Crypto {
        /// The digest.
        what: String,
    },
}

impl Cause {
    /// As the kernel calls it in its log.
    fn words(&self) -> &'static str {
        match self {
            Cause::Unsigned => "unsigned module",
            Cause::Key { .. } => "module with unavailable key",
            Cause::Crypto { .. } => "module with unsupported crypto",
        }
    }

    fn detail(&self) -> String {
        match self {
            Cause::Unsigned => String::new(),
            Cause::Key { signer } => format!(": signed by {signer}"),
            Cause::Crypto { what } => format!(": {what}"),
        }
    }
}

/// One thing the kernel would complain about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The compressed file cannot be unpacked.
    Damaged {
        /// What the unpacker says.
        reason: String,
    },
    /// Nobody on this system unpacks this format.
    Compression {
        /// The format.
        format: Format,
    },
    /// The kernel unpacks xz itself, and knows CRC32 only.
    XzCheck {
        /// The integrity check of the file.
        check: &'static str,
    },
    /// It is not known whether kmod reads the format.
    LoaderUnknown {
        /// The format.
        format: Format,
    },
    /// Not a file a kernel could load, or a damaged one.
    NotModule {
        /// What is wrong with it.
        error: ElfError,
    },
    /// Built for another machine or word size.
    WrongMachine {
        /// What the module is for.
        module: String,
        /// What the kernel runs on.
        kernel: String,
    },
    /// The kernel's machine is not one we know: not checked.
    UnknownArch {
        /// Its name.
        arch: String,
    },
    /// No symbol table.
    Stripped,
    /// No `.gnu.linkonce.this_module`.
    NotLinked {
        /// The kernel counts these sections (since 6.4) and says so.
        counted: bool,
    },
    /// Built with another `struct module`.
    StructModule {
        /// Its size in the module, in bytes.
        module: u64,
        /// Its size in the kernel, in bytes.
        kernel: u64,
    },
    /// `module_blacklist=` on the kernel's command line.
    Blacklisted {
        /// The module's name.
        name: String,
    },
    /// No version magic at all.
    NoVermagic,
    /// Built for another release or configuration.
    Vermagic {
        /// The module's.
        module: String,
        /// The kernel's.
        kernel: String,
    },
    /// Built for another release, but every CRC agrees (a note).
    OtherRelease {
        /// The release.
        module: String,
    },
    /// Without the kernel's list of symbols they were not checked.
    NoSymvers,
    /// Nobody offers a symbol it needs.
    UnknownSymbol {
        /// The symbol.
        symbol: String,
    },
    /// The module that offers a symbol is not installed for this kernel.
    OwnerMissing {
        /// The symbol.
        symbol: String,
        /// The module.
        owner: String,
    },
    /// A module that is loaded before it is refused itself.
    DependencyRefused {
        /// Its name.
        name: String,
        /// Why.
        reason: Box<Reason>,
    },
    /// The symbol exists with another CRC.
    DisagreesAboutVersion {
        /// The symbol.
        symbol: String,
        /// The CRC the module was built with.
        module_crc: u32,
        /// The CRC of the kernel's symbol.
        kernel_crc: u32,
    },
    /// The module lists CRCs, but none for a symbol it needs.
    NoSymbolVersion {
        /// The symbol.
        symbol: String,
    },
    /// The module lists no CRC at all, though the kernel compares them.
    NoVersions,
    /// A proprietary module uses a GPL-only symbol.
    GplOnly {
        /// The symbol.
        symbol: String,
        /// The module's licence.
        license: String,
    },
    /// A module that uses GPL-only symbols uses one of a proprietary module.
    ProprietaryOwner {
        /// The symbol.
        symbol: String,
        /// The module that exports it.
        owner: String,
    },
    /// The symbol is in a namespace the module does not import.
    Namespace {
        /// The symbol.
        symbol: String,
        /// Its namespace.
        namespace: String,
    },
    /// A kind of relocation that the kernel does not apply.
    Relocation {
        /// Its number for this machine.
        kind: u32,
    },
    /// It exports a symbol that the kernel exports already.
    DuplicateExport {
        /// The symbol.
        symbol: String,
    },
    /// The signature cannot be read: fatal under every policy.
    SignatureDamaged {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The signature has signed attributes: fatal under every policy.
    SignedAttributes,
    /// The key is trusted and the signature is not its: fatal under every policy.
    BadSignature {
        /// Whom the signature names.
        signer: String,
    },
    /// The key was revoked (MokListXRT, dbx): fatal under every policy.
    Revoked {
        /// Whom the signature names.
        signer: String,
    },
    /// No signature by a key the kernel has, and it wants one.
    Untrusted {
        /// Why it does not count.
        cause: Cause,
        /// By lockdown, not by `sig_enforce`.
        lockdown: bool,
    },
    /// The same where signatures are not enforced (a note).
    TaintsUnsigned {
        /// Why it does not count.
        cause: Cause,
    },
    /// The same where nobody knows whether they are enforced.
    EnforcementUnknown {
        /// Why it does not count.
        cause: Cause,
    },
    /// Signatures are enforced, and whether the kernel has the key cannot be told.
    KeyUnknown {
        /// Whom the signature names.
        signer: String,
    },
    /// Whether the kernel can compute the digest cannot be told.
    DigestUnknown {
        /// The digest.
        hash: Hash,
    },
    /// A licence that taints the kernel, or none.
    Taints {
        /// The licence; empty when there is none.
        license: String,
    },
}

impl Reason {
    /// A word for scripts; it does not change between versions of dkms.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Damaged { .. } => "damaged",
            Reason::Compression { .. } => "compression",
            Reason::XzCheck { .. } => "xz-check",
            Reason::LoaderUnknown { .. } => "loader-unknown",
            Reason::NotModule { .. } => "not-a-module",
            Reason::WrongMachine { .. } => "machine",
            Reason::UnknownArch { .. } => "machine-unknown",
            Reason::Stripped => "stripped",
            Reason::NotLinked { .. } => "not-linked",
            Reason::Relocation { .. } => "relocation",
            Reason::StructModule { .. } => "struct-module",
            Reason::Blacklisted { .. } => "blacklisted",
            Reason::NoVermagic => "no-vermagic",
            Reason::Vermagic { .. } => "vermagic",
            Reason::OtherRelease { .. } => "other-release",
            Reason::NoSymvers => "no-symvers",
            Reason::UnknownSymbol { .. } => "unknown-symbol",
            Reason::OwnerMissing { .. } => "dependency-missing",
            Reason::DependencyRefused { .. } => "dependency-refused",
            Reason::DisagreesAboutVersion { .. } => "symbol-version",
            Reason::NoSymbolVersion { .. } => "no-symbol-version",
            Reason::NoVersions => "no-symbol-versions",
            Reason::GplOnly { .. } => "gpl-only",
            Reason::ProprietaryOwner { .. } => "proprietary-dependency",
            Reason::Namespace { .. } => "namespace",
            Reason::DuplicateExport { .. } => "duplicate-export",
            Reason::SignatureDamaged { .. } => "signature-damaged",
            Reason::SignedAttributes => "signature-attributes",
            Reason::BadSignature { .. } => "bad-signature",
            Reason::Revoked { .. } => "key-revoked",
            Reason::Untrusted { cause, .. } | Reason::TaintsUnsigned { cause } => match cause {
                Cause::Unsigned => "unsigned",
                Cause::Key { .. } => "key-not-trusted",
                Cause::Crypto { .. } => "digest-unsupported",
            },
            Reason::EnforcementUnknown { .. } => "enforcement-unknown",
            Reason::KeyUnknown { .. } => "key-unknown",
            Reason::DigestUnknown { .. } => "digest-unknown",
            Reason::Taints { .. } => "taints",
        }
    }

    /// Words that stand in the kernel's log when it refuses a module for this; `None`: it logs nothing.
    #[must_use]
    pub fn log(&self) -> Option<String> {
        Some(match self {
            Reason::NotModule { error: ElfError::NotElf { empty: true } } => return None,
            Reason::DependencyRefused { reason, .. } => return reason.log(),
            Reason::SignatureDamaged { reason } if *reason == HOLDS_DATA => {
                "PKCS#7 signature with non-detached data".to_owned()
            }
            Reason::SignatureDamaged { reason } if *reason == NOT_ZERO => {
                "PKCS#7 signature info has unexpected non-zero params".to_owned()
            }
            Reason::Compression { .. } | Reason::NotModule { .. } => "Invalid ELF".to_owned(),
            Reason::WrongMachine { .. } => "Invalid architecture in ELF header".to_owned(),
            Reason::Stripped => "module has no symbols (stripped?)".to_owned(),
            Reason::NotLinked { counted: false } => "No module found in object".to_owned(),
            Reason::NotLinked { counted: true } => {
                "Exactly one .gnu.linkonce.this_module section must exist".to_owned()
            }
            Reason::Relocation { kind } => format!("Unknown rela relocation: {kind}"),
            Reason::NoSymbolVersion { symbol } => format!("no symbol version for {symbol}"),
            Reason::StructModule { .. } => {
                ".gnu.linkonce.this_module section size must match the kernel's".to_owned()
            }
            Reason::Blacklisted { name } => format!("Module {name} is blacklisted"),
            Reason::Vermagic { module, kernel } => format!("version magic '{module}' should be '{kernel}'"),
            Reason::UnknownSymbol { symbol }
            | Reason::OwnerMissing { symbol, .. }
            | Reason::GplOnly { symbol, .. } => format!("Unknown symbol {symbol} (err -2)"),
            Reason::DisagreesAboutVersion { symbol, .. } => {
                format!("disagrees about version of symbol {symbol}")
            }
            Reason::ProprietaryOwner { .. } => "module using GPL-only symbols uses symbols".to_owned(),
            Reason::Namespace { symbol, namespace } => {
                format!("module uses symbol ({symbol}) from namespace {namespace}, but does not import it")
            }
            Reason::DuplicateExport { symbol } => format!("exports duplicate symbol {symbol}"),
            Reason::SignedAttributes => "Invalid module sig (has authattrs)".to_owned(),
            Reason::Untrusted { cause, lockdown: false } => {
                format!("Loading of {} is rejected", cause.words())
            }
            // Lockdown says "unsigned module loading is restricted", but not every time.
            _ => return None,
        })
    }

    /// The error number that loading the module ends with, by its name in errno(3).
    #[must_use]
    pub fn errno(&self) -> &'static str {
        match self {
            Reason::DependencyRefused { reason, .. } => reason.errno(),
            Reason::UnknownSymbol { .. }
            | Reason::OwnerMissing { .. }
            | Reason::GplOnly { .. }
            | Reason::ProprietaryOwner { .. } => "ENOENT",
            Reason::DisagreesAboutVersion { symbol, .. } | Reason::NoSymbolVersion { symbol }
                if symbol != "module_layout" =>
            {
                "EINVAL"
            }
            Reason::Namespace { .. } | Reason::XzCheck { .. } | Reason::Damaged { .. } => "EINVAL",
            Reason::NotModule { error: ElfError::NotElf { empty: true } } => "EINVAL",
            Reason::SignatureDamaged { .. } => "EBADMSG",
            Reason::Blacklisted { .. } | Reason::Untrusted { lockdown: true, .. } => "EPERM",
            Reason::SignedAttributes
            | Reason::BadSignature { .. }
            | Reason::Revoked { .. }
            | Reason::Untrusted { .. } => "EKEYREJECTED",
            _ => "ENOEXEC",
        }
    }

    /// What the administrator can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Reason::Damaged { .. } | Reason::NotModule { .. } | Reason::SignatureDamaged { .. } => {
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
            Reason::NoVersions => {
                "the headers' Module.symvers was missing or empty during the build; install the kernel's headers again \
                 and rebuild"
            }
            Reason::NoSymbolVersion { .. } => {
                "build with the Module.symvers of the module that offers the symbol (KBUILD_EXTRA_SYMBOLS)"
            }
            Reason::GplOnly { .. } | Reason::ProprietaryOwner { .. } => {
                "this kernel offers the symbol to GPL modules only; ask the module's author"
            }
            Reason::Namespace { .. } => {
                "the source needs a MODULE_IMPORT_NS line for the namespace; a newer version of the package may have it"
            }
            Reason::DuplicateExport { .. } => {
                "this kernel has the driver built in; the package is not needed for it"
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
                Cause::Crypto { .. } => {
                    "the digest is one that this kernel has only as a module, or not at all; load it first, or sign \
                     with the digest of CONFIG_MODULE_SIG_HASH"
                }
            },
            Reason::TaintsUnsigned { .. } => {
                "nothing to do; with Secure Boot or module.sig_enforce the kernel would refuse it"
            }
            Reason::EnforcementUnknown { .. } | Reason::KeyUnknown { .. } | Reason::DigestUnknown { .. } => {
                "ask again as root, with /sys and efivarfs mounted; dkms mok shows what is known"
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
            Reason::DuplicateExport { symbol } => {
                write!(f, "exports duplicate symbol {symbol} (owned by kernel)")
            }
            Reason::SignatureDamaged { reason } => write!(f, "its signature is damaged: {reason}"),
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
