//! The reasons why a kernel refuses a module: a code for scripts, the message of the kernel's log, the error
//! number that it returns, and what to do about it.

use crate::compression::Compression;
use crate::elf::{AARCH64, ElfError};
use crate::sign::{Hash, SignatureFault};
use std::fmt;

mod words;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There is no signature.
    Unsigned,
    /// The kernel does not have the key.
    Key {
        /// The signer that the signature names.
        signer: String,
    },
    /// The kernel cannot check such a signature.
    Crypto(Unsupported),
}

/// A part of a signature that a kernel does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// It is not PKCS#7.
    NotPkcs7,
    /// A digest that is not one of [`enum@Hash`].
    UnknownDigest,
    /// This digest.
    Digest(Hash),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::NotPkcs7 => f.write_str("not PKCS#7"),
            Unsupported::UnknownDigest => f.write_str("an unknown digest"),
            Unsupported::Digest(hash) => hash.fmt(f),
        }
    }
}

/// A reason to refuse a module, a doubt or a note.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The compressed file cannot be decompressed.
    Damaged {
        /// The message of the decoder.
        reason: String,
    },
    /// This system does not decompress this format.
    Compression {
        /// The format.
        format: Compression,
    },
    /// The kernel decompresses xz itself, and supports CRC32 only.
    XzCheck {
        /// The integrity check of the file.
        check: &'static str,
    },
    /// It is not known whether kmod reads the format.
    LoaderUnknown {
        /// The format.
        format: Compression,
    },
    /// Not a file that a kernel can load, or a damaged one.
    NotModule {
        /// What is wrong with it.
        error: ElfError,
    },
    /// Built for another machine or word size.
    WrongMachine {
        /// The machine of the module.
        module: String,
        /// The machine of the kernel.
        kernel: String,
    },
    /// The kernel's machine is unknown and was not checked.
    UnknownArch {
        /// Its name.
        arch: String,
    },
    /// No symbol table.
    Stripped,
    /// No `.gnu.linkonce.this_module`.
    NotLinked {
        /// The kernel counts these sections (since 6.4), and its message says so.
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
    /// Symbols were not checked, because the kernel's list is missing.
    NoSymvers,
    /// Nothing exports a symbol that it needs.
    UnknownSymbol {
        /// The symbol.
        symbol: String,
    },
    /// The module that exports a symbol is not installed for this kernel.
    OwnerMissing {
        /// The symbol.
        symbol: String,
        /// The module.
        owner: String,
    },
    /// A module that must be loaded first is refused.
    DependencyRefused {
        /// Its name.
        name: String,
        /// The reason for that.
        reason: Box<Reason>,
    },
    /// The symbol exists with another CRC.
    DisagreesAboutVersion {
        /// The symbol.
        symbol: String,
        /// The CRC the module was built with.
        module_crc: u64,
        /// The CRC of the kernel's symbol.
        kernel_crc: u32,
    },
    /// The module lists CRCs, but none for a symbol it needs.
    NoSymbolVersion {
        /// The symbol.
        symbol: String,
    },
    /// The module lists no CRCs, but the kernel compares them.
    NoVersions,
    /// A proprietary module uses a GPL-only symbol.
    GplOnly {
        /// The symbol.
        symbol: String,
        /// The module's licence.
        license: String,
    },
    /// A module that uses GPL-only symbols also uses a symbol of a proprietary module.
    ProprietaryOwner {
        /// The symbol.
        symbol: String,
        /// The module that exports it.
        owner: String,
    },
    /// A GPL-only symbol, which is hidden from the module because it uses a symbol of a proprietary module.
    GplOnlyHidden {
        /// The symbol.
        symbol: String,
        /// The proprietary module.
        owner: String,
    },
    /// It uses a symbol of a proprietary module, and inherits its taint (a note).
    InheritsTaint {
        /// The symbol.
        symbol: String,
        /// The module that exports it.
        owner: String,
    },
    /// Modules that need each other: none of them can be loaded first.
    DependencyCycle {
        /// The module it needs, which also needs it.
        name: String,
    },
    /// The symbol is in a namespace the module does not import.
    Namespace {
        /// The symbol.
        symbol: String,
        /// Its namespace.
        namespace: String,
    },
    /// The kernel's check of the file's structure fails.
    InvalidElf {
        /// The message of the kernel's log.
        log: String,
        /// What is wrong, and where.
        what: String,
    },
    /// Damage in parts that the kernel trusts without a check: loading the module may crash it.
    Unchecked {
        /// What is wrong, and where.
        what: String,
    },
    /// The kernel has not enough memory for its per-processor data.
    PercpuMemory {
        /// How much it needs, in bytes.
        size: u64,
    },
    /// It exports symbols without CRCs.
    ExportsWithoutCrcs,
    /// A common symbol, as compilers make them without `-fno-common`.
    CommonSymbol {
        /// The symbol.
        symbol: String,
    },
    /// A symbol is in a section that does not exist.
    SymbolSection {
        /// The symbol.
        symbol: String,
        /// The section's index.
        index: u16,
    },
    /// The place that a relocation changes is not empty.
    RelocationTarget {
        /// The relocation's number for this machine.
        kind: u32,
        /// The place.
        place: String,
    },
    /// The target of a relocation is too far away for it.
    RelocationOverflow {
        /// Its number for this machine.
        kind: u32,
        /// The place.
        place: String,
    },
    /// A table of relocations without addends, on a machine that has none.
    RelocationTable,
    /// Two sections have the same name.
    SameName {
        /// Their name.
        section: String,
    },
    /// `struct module` has no name.
    Nameless,
    /// A kind of relocation that the kernel does not apply.
    Relocation {
        /// Its number for this machine.
        kind: u32,
        /// `e_machine`
        machine: u16,
    },
    /// A relocation that kernels of riscv64 refuse.
    RelocationRefused {
        /// Its number.
        kind: u32,
        /// The place.
        place: String,
        /// The words in the kernel's log.
        log: &'static str,
    },
    /// It exports a symbol that the kernel, or a module loaded before it, exports already.
    DuplicateExport {
        /// The symbol.
        symbol: String,
        /// The module, or [`super::KERNEL`].
        owner: String,
    },
    /// The signature cannot be read: fatal under every policy.
    SignatureDamaged {
        /// What is wrong with it.
        fault: SignatureFault,
    },
    /// The signature has signed attributes: fatal under every policy.
    SignedAttributes,
    /// The key is trusted, but did not make this signature: fatal under every policy.
    BadSignature {
        /// The signer that the signature names.
        signer: String,
    },
    /// The key was revoked (MokListXRT, dbx): fatal under every policy.
    Revoked {
        /// The signer that the signature names.
        signer: String,
    },
    /// There is no signature by a key that the kernel trusts, and it requires one.
    Untrusted {
        /// Why it is not accepted.
        cause: Cause,
        /// Whether lockdown requires a signature, not `sig_enforce`.
        lockdown: bool,
    },
    /// The same where signatures are not enforced (a note).
    TaintsUnsigned {
        /// Why it is not accepted.
        cause: Cause,
    },
    /// The same where it is not known whether signatures are enforced.
    EnforcementUnknown {
        /// Why it is not accepted.
        cause: Cause,
    },
    /// Signatures are enforced, and it is not known whether the kernel has the key.
    KeyUnknown {
        /// The signer that the signature names.
        signer: String,
    },
    /// It is not known whether the kernel can compute the digest.
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
            Reason::Relocation { .. } | Reason::RelocationTable | Reason::RelocationRefused { .. } => {
                "relocation"
            }
            Reason::InvalidElf { .. } => "invalid-elf",
            Reason::Unchecked { .. } => "unchecked-damage",
            Reason::PercpuMemory { .. } => "percpu-memory",
            Reason::ExportsWithoutCrcs => "exports-without-crcs",
            Reason::CommonSymbol { .. } => "common-symbol",
            Reason::SymbolSection { .. } => "symbol-section",
            Reason::RelocationTarget { .. } => "relocation-target",
            Reason::RelocationOverflow { .. } => "relocation-overflow",
            Reason::Nameless => "nameless",
            Reason::SameName { .. } => "section-twice",
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
            Reason::ProprietaryOwner { .. } | Reason::GplOnlyHidden { .. } => "proprietary-dependency",
            Reason::InheritsTaint { .. } => "inherits-taint",
            Reason::DependencyCycle { .. } => "dependency-cycle",
            Reason::Namespace { .. } => "namespace",
            Reason::DuplicateExport { .. } => "duplicate-export",
            Reason::SignatureDamaged { .. } => "signature-damaged",
            Reason::SignedAttributes => "signature-attributes",
            Reason::BadSignature { .. } => "bad-signature",
            Reason::Revoked { .. } => "key-revoked",
            Reason::Untrusted { cause, .. } | Reason::TaintsUnsigned { cause } => match cause {
                Cause::Unsigned => "unsigned",
                Cause::Key { .. } => "key-not-trusted",
                Cause::Crypto(_) => "digest-unsupported",
            },
            Reason::EnforcementUnknown { .. } => "enforcement-unknown",
            Reason::KeyUnknown { .. } => "key-unknown",
            Reason::DigestUnknown { .. } => "digest-unknown",
            Reason::Taints { .. } => "taints",
        }
    }

    /// Whether another machine may decide otherwise, because of its policy or of the keys that it trusts.
    #[must_use]
    pub fn depends_on_machine(&self) -> bool {
        matches!(
            self,
            Reason::EnforcementUnknown { .. } | Reason::KeyUnknown { .. } | Reason::Untrusted { .. }
        )
    }

    /// The message in the kernel's log when it refuses a module for this reason; `None`: it logs nothing.
    #[must_use]
    pub fn log(&self) -> Option<String> {
        Some(match self {
            Reason::NotModule { error: ElfError::NotElf { empty: true } } => return None,
            Reason::DependencyRefused { reason, .. } => return reason.log(),
            Reason::SignatureDamaged { fault: SignatureFault::HoldsData } => {
                "PKCS#7 signature with non-detached data".to_owned()
            }
            Reason::SignatureDamaged { fault: SignatureFault::NonZeroFields } => {
                "PKCS#7 signature info has unexpected non-zero params".to_owned()
            }
            Reason::Compression { .. } | Reason::NotModule { .. } => "Invalid ELF".to_owned(),
            Reason::WrongMachine { .. } => "Invalid architecture in ELF header".to_owned(),
            Reason::Stripped => "module has no symbols (stripped?)".to_owned(),
            Reason::NotLinked { counted: false } => "No module found in object".to_owned(),
            Reason::NotLinked { counted: true } => ".gnu.linkonce.this_module section must exist".to_owned(),
            Reason::Relocation { kind, machine: AARCH64 } => format!("unsupported RELA relocation: {kind}"),
            Reason::Relocation { kind, .. } => format!("Unknown rela relocation: {kind}"),
            Reason::InvalidElf { log, .. } => log.clone(),
            Reason::PercpuMemory { size } => format!("Could not allocate {size} bytes percpu data"),
            Reason::CommonSymbol { .. } => "please compile with -fno-common".to_owned(),
            Reason::SymbolSection { symbol, index } => {
                format!("Symbol {symbol} has an invalid section index {index}")
            }
            Reason::RelocationTarget { kind, .. } => format!("existing value is nonzero for type {kind}"),
            Reason::RelocationOverflow { kind, .. } => format!("overflow in relocation type {kind}"),
            Reason::RelocationTable => "REL relocation unsupported".to_owned(),
            Reason::RelocationRefused { log, .. } => (*log).to_owned(),
            Reason::SameName { .. } => "cannot create duplicate filename".to_owned(),
            Reason::Nameless => "attempted to be registered with empty name".to_owned(),
            Reason::NoSymbolVersion { symbol } => format!("no symbol version for {symbol}"),
            Reason::StructModule { .. } => {
                ".gnu.linkonce.this_module section size must match the kernel's".to_owned()
            }
            Reason::Blacklisted { name } => format!("Module {name} is blacklisted"),
            Reason::Vermagic { module, kernel } => format!("version magic '{module}' should be '{kernel}'"),
            Reason::UnknownSymbol { symbol }
            | Reason::OwnerMissing { symbol, .. }
            | Reason::GplOnly { symbol, .. }
            | Reason::GplOnlyHidden { symbol, .. } => format!("Unknown symbol {symbol} (err -2)"),
            Reason::DisagreesAboutVersion { symbol, .. } => {
                format!("disagrees about version of symbol {symbol}")
            }
            Reason::ProprietaryOwner { .. } => "module using GPL-only symbols uses symbols".to_owned(),
            Reason::Namespace { symbol, namespace } => {
                format!("module uses symbol ({symbol}) from namespace {namespace}, but does not import it")
            }
            Reason::DuplicateExport { symbol, .. } => format!("exports duplicate symbol {symbol}"),
            Reason::SignedAttributes => "Invalid module sig (has authattrs)".to_owned(),
            Reason::Untrusted { cause, lockdown: false } => {
                format!("Loading of {} is rejected", cause.words())
            }
            // Lockdown says "unsigned module loading is restricted", but not every time.
            _ => return None,
        })
    }

    /// The error number that loading the module returns, by its name in errno(3).
    #[must_use]
    pub fn errno(&self) -> &'static str {
        match self {
            Reason::DependencyRefused { reason, .. } => reason.errno(),
            Reason::UnknownSymbol { .. }
            | Reason::OwnerMissing { .. }
            | Reason::GplOnly { .. }
            | Reason::GplOnlyHidden { .. }
            | Reason::DependencyCycle { .. }
            | Reason::ProprietaryOwner { .. } => "ENOENT",
            Reason::DisagreesAboutVersion { symbol, .. } | Reason::NoSymbolVersion { symbol }
                if symbol != "module_layout" =>
            {
                "EINVAL"
            }
            Reason::Namespace { .. }
            | Reason::XzCheck { .. }
            | Reason::Damaged { .. }
            | Reason::Nameless
            | Reason::RelocationRefused { .. } => "EINVAL",
            Reason::PercpuMemory { .. } => "ENOMEM",
            Reason::SameName { .. } => "EEXIST",
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
}
