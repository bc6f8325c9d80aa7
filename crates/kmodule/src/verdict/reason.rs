//! The reasons why a kernel refuses a module. Each is displayed as a description that contains the message of
//! the kernel's log, if there is one.

use crate::compression::Compression;
use crate::elf::{AARCH64, ElfError};
use crate::sign::{Hash, SignatureFault};
use std::fmt;

mod kernel;
mod remedy;

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
    /// The kernel does not support this kind of signature.
    Crypto(Unsupported),
}

/// A part of a signature that a kernel does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It is not PKCS#7.
    #[error("not PKCS#7")]
    NotPkcs7,
    /// A digest that is not one of [`enum@Hash`].
    #[error("an unknown digest")]
    UnknownDigest,
    /// This digest.
    #[error("{0}")]
    Digest(Hash),
}

/// A reason to refuse a module, a doubt or a note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The compressed file cannot be decompressed.
    #[error("{reason}")]
    Damaged {
        /// The message of the decoder.
        reason: String,
    },
    /// This system does not decompress this format.
    #[error("it is compressed with {}, which this system's kmod does not read", .format.name())]
    Compression {
        /// The format.
        format: Compression,
    },
    /// The kernel decompresses xz itself, and supports CRC32 only.
    #[error(
        "its xz integrity check is {check}; this kernel decompresses modules itself and supports CRC32 only"
    )]
    XzCheck {
        /// The integrity check of the file.
        check: &'static str,
    },
    /// It is not known whether kmod reads the format.
    #[error("it is compressed with {}; it is not known whether kmod reads that", .format.name())]
    LoaderUnknown {
        /// The format.
        format: Compression,
    },
    /// Not a file that a kernel can load, or a damaged one.
    #[error("Exec format error: {error}")]
    NotModule {
        /// The error when it was read.
        error: ElfError,
    },
    /// Built for another machine or word size.
    #[error("Invalid architecture in ELF header: the module is for {module}, the kernel for {kernel}")]
    WrongMachine {
        /// The machine of the module.
        module: String,
        /// The machine of the kernel.
        kernel: String,
    },
    /// The kernel's machine is unknown and was not checked.
    #[error("machine type \"{arch}\" is unknown and was not checked")]
    UnknownArch {
        /// Its name.
        arch: String,
    },
    /// No symbol table.
    #[error("module has no symbols (stripped?)")]
    Stripped,
    /// No `.gnu.linkonce.this_module`.
    #[error("{}", if *.counted { ".gnu.linkonce.this_module section must exist" } else { "No module found in object: .gnu.linkonce.this_module is missing" })]
    NotLinked {
        /// The kernel counts these sections (since 6.4), and its message says so.
        counted: bool,
    },
    /// Built with another `struct module`.
    #[error(
        ".gnu.linkonce.this_module section size must match the kernel's: {module} bytes, the kernel has {kernel}"
    )]
    StructModule {
        /// Its size in the module, in bytes.
        module: u64,
        /// Its size in the kernel, in bytes.
        kernel: u64,
    },
    /// `module_blacklist=` on the kernel's command line.
    #[error("Module {name} is blacklisted")]
    Blacklisted {
        /// The module's name.
        name: String,
    },
    /// No version magic at all.
    #[error("no version magic: the module does not record which kernel it was built for")]
    NoVermagic,
    /// Built for another release or configuration.
    #[error("version magic '{module}' should be '{kernel}'")]
    Vermagic {
        /// The module's version magic.
        module: String,
        /// The kernel's version magic.
        kernel: String,
    },
    /// Built for another release, but all CRCs match (a note).
    #[error("built for kernel {module}; all symbol versions match this kernel")]
    OtherRelease {
        /// The release.
        module: String,
    },
    /// Symbols were not checked, because the kernel's list is missing.
    #[error("its symbols were not checked: there is no Module.symvers for this kernel")]
    NoSymvers,
    /// The module needs a symbol that nothing exports.
    #[error("Unknown symbol {symbol} (err -2)")]
    UnknownSymbol {
        /// The symbol.
        symbol: String,
    },
    /// The module that exports a symbol is not installed for this kernel.
    #[error("Unknown symbol {symbol} (err -2): {owner}, which exports it, is not installed")]
    OwnerMissing {
        /// The symbol.
        symbol: String,
        /// The module.
        owner: String,
    },
    /// A module that must be loaded first is refused.
    #[error("{name}, which it depends on, would not be loaded: {reason}")]
    DependencyRefused {
        /// Its name.
        name: String,
        /// The reason for that.
        reason: Box<Reason>,
    },
    /// The symbol exists with another CRC.
    #[error(
        "disagrees about version of symbol {symbol}: the module needs {module_crc:#010x}, the kernel has {kernel_crc:#010x}"
    )]
    DisagreesAboutVersion {
        /// The symbol.
        symbol: String,
        /// The CRC the module was built with.
        module_crc: u64,
        /// The CRC of the kernel's symbol.
        kernel_crc: u32,
    },
    /// The module lists CRCs, but none for a symbol it needs.
    #[error("no symbol version for {symbol}")]
    NoSymbolVersion {
        /// The symbol.
        symbol: String,
    },
    /// The module lists no CRCs, but the kernel compares them.
    #[error("no symbol versions: the module was built without CRCs")]
    NoVersions,
    /// A proprietary module uses a GPL-only symbol.
    #[error("Unknown symbol {symbol} (err -2): it is GPL-only and the module's licence is \"{license}\"")]
    GplOnly {
        /// The symbol.
        symbol: String,
        /// The module's licence.
        license: String,
    },
    /// A module that uses GPL-only symbols also uses a symbol of a proprietary module.
    #[error("module using GPL-only symbols uses symbols {symbol} from proprietary module {owner}")]
    ProprietaryOwner {
        /// The symbol.
        symbol: String,
        /// The module that exports it.
        owner: String,
    },
    /// A GPL-only symbol, which is hidden from the module because it uses a symbol of a proprietary module.
    #[error(
        "Unknown symbol {symbol} (err -2): it is GPL-only, and the module uses symbols from proprietary module {owner}"
    )]
    GplOnlyHidden {
        /// The symbol.
        symbol: String,
        /// The proprietary module.
        owner: String,
    },
    /// It uses a symbol of a proprietary module, and inherits its taint (a note).
    #[error("module uses symbols {symbol} from proprietary module {owner}, inheriting taint")]
    InheritsTaint {
        /// The symbol.
        symbol: String,
        /// The module that exports it.
        owner: String,
    },
    /// Modules that need each other: none of them can be loaded first.
    #[error("it depends on {name}, and {name} on it: neither can be loaded first")]
    DependencyCycle {
        /// The module it needs, which also needs it.
        name: String,
    },
    /// The symbol is in a namespace the module does not import.
    #[error("module uses symbol ({symbol}) from namespace {namespace}, but does not import it")]
    Namespace {
        /// The symbol.
        symbol: String,
        /// Its namespace.
        namespace: String,
    },
    /// The kernel's check of the file's structure fails.
    #[error("{log}: {what}")]
    InvalidElf {
        /// The message of the kernel's log.
        log: String,
        /// A description of the damage and its place.
        what: String,
    },
    /// Damage in parts that the kernel does not check: loading the module may crash it.
    #[error("damaged in a part that the kernel does not check, which can crash it: {what}")]
    Unchecked {
        /// A description of the damage and its place.
        what: String,
    },
    /// The module needs more per-processor memory than the kernel has.
    #[error("Could not allocate {size} bytes percpu data")]
    PercpuMemory {
        /// The number of bytes that it needs.
        size: u64,
    },
    /// It exports symbols without CRCs.
    #[error("no versions for exported symbols: it has no CRCs for them")]
    ExportsWithoutCrcs,
    /// A common symbol, which compilers create without `-fno-common`.
    #[error("please compile with -fno-common: {symbol} is a common symbol")]
    CommonSymbol {
        /// The symbol.
        symbol: String,
    },
    /// A symbol is in a section that does not exist.
    #[error("Symbol {symbol} has an invalid section index {index}")]
    SymbolSection {
        /// The symbol.
        symbol: String,
        /// The section's index.
        index: u16,
    },
    /// The place that a relocation writes to is not empty.
    #[error("Invalid relocation target, existing value is nonzero for type {kind}: {place}")]
    RelocationTarget {
        /// The relocation's number for this machine.
        kind: u32,
        /// The place.
        place: String,
    },
    /// The target of a relocation is too far away for it.
    #[error("overflow in relocation type {kind}: {place}")]
    RelocationOverflow {
        /// Its number for this machine.
        kind: u32,
        /// The place.
        place: String,
    },
    /// A table of relocations without addends, which kernels of this machine do not support.
    #[error("REL relocation unsupported")]
    RelocationTable,
    /// Two sections have the same name.
    #[error("cannot create duplicate filename: it has two sections {section}")]
    SameName {
        /// Their name.
        section: String,
    },
    /// `struct module` has no name.
    #[error("its struct module has no name")]
    Nameless,
    /// A kind of relocation that the kernel does not support.
    #[error("{} relocation: {kind}", if *.machine == AARCH64 { "unsupported RELA" } else { "Unknown rela" })]
    Relocation {
        /// Its number for this machine.
        kind: u32,
        /// `e_machine`
        machine: u16,
    },
    /// A relocation that kernels of riscv64 refuse.
    #[error("{log}: relocation type {kind} at {place}")]
    RelocationRefused {
        /// Its number.
        kind: u32,
        /// The place.
        place: String,
        /// The words in the kernel's log.
        log: &'static str,
    },
    /// It exports a symbol that the kernel, or a module loaded before it, exports already.
    #[error("exports duplicate symbol {symbol} (owned by {owner})")]
    DuplicateExport {
        /// The symbol.
        symbol: String,
        /// The module, or [`super::KERNEL`].
        owner: String,
    },
    /// The signature cannot be read. This is fatal even if signatures are not enforced.
    #[error("its signature is damaged: {fault}")]
    SignatureDamaged {
        /// Why it cannot be read.
        fault: SignatureFault,
    },
    /// The signature has signed attributes. This is fatal even if signatures are not enforced.
    #[error("Invalid module sig (has authattrs)")]
    SignedAttributes,
    /// The key is trusted, but did not create this signature. This is fatal even if signatures are not
    /// enforced.
    #[error("Key was rejected by service: the signature by {signer} does not match the file")]
    BadSignature {
        /// The signer that the signature names.
        signer: String,
    },
    /// The key was revoked (MokListXRT, dbx). This is fatal even if signatures are not enforced.
    #[error("Key was rejected by service: the key of {signer} was revoked")]
    Revoked {
        /// The signer that the signature names.
        signer: String,
    },
    /// There is no signature by a key that the kernel trusts, and the kernel requires one.
    #[error("{}", .cause.rejection(*.lockdown))]
    Untrusted {
        /// Why it is not accepted.
        cause: Cause,
        /// Whether lockdown requires a signature, not `sig_enforce`.
        lockdown: bool,
    },
    /// There is no signature by a trusted key, but signatures are not enforced (a note).
    #[error("{cause}: loaded anyway, the kernel is tainted")]
    TaintsUnsigned {
        /// Why it is not accepted.
        cause: Cause,
    },
    /// There is no signature by a trusted key, and it is not known whether signatures are enforced.
    #[error("{cause}; it is not known whether this kernel enforces signatures")]
    EnforcementUnknown {
        /// Why it is not accepted.
        cause: Cause,
    },
    /// Signatures are enforced, and it is not known whether the kernel has the key.
    #[error("signed by {signer}; it is not known whether this kernel has that key")]
    KeyUnknown {
        /// The signer that the signature names.
        signer: String,
    },
    /// It is not known whether the kernel can compute the digest.
    #[error("signed with {hash}; it is not known whether this kernel can compute it at that time")]
    DigestUnknown {
        /// The digest.
        hash: Hash,
    },
    /// A licence that taints the kernel, or none.
    #[error("module license {} taints kernel", if .license.is_empty() { "unspecified".to_owned() } else { format!("'{license}'") })]
    Taints {
        /// The licence; empty if there is none.
        license: String,
    },
}

impl Cause {
    /// The words in the kernel's log.
    fn words(&self) -> &'static str {
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

    fn rejection(&self, lockdown: bool) -> String {
        if lockdown {
            format!("Lockdown: unsigned module loading is restricted ({self})")
        } else {
            format!("Loading of {} is rejected{}", self.words(), self.detail())
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.words(), self.detail())
    }
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

    /// Whether this may be different on another machine, because of its policy or of the keys that it trusts.
    #[must_use]
    pub fn depends_on_machine(&self) -> bool {
        matches!(
            self,
            Reason::EnforcementUnknown { .. } | Reason::KeyUnknown { .. } | Reason::Untrusted { .. }
        )
    }
}
