//! The kernel's log message and error number when it refuses a module.

use super::Reason;
use crate::elf::ElfError;
use crate::sign::SignatureFault;

impl Reason {
    /// The message in the kernel's log when it refuses a module for this reason; `None`: it logs nothing.
    #[must_use]
    pub fn log(&self) -> Option<String> {
        Some(match self {
            Reason::NotModule { error: ElfError::NotElf { empty: true } } => return None,
            Reason::DependencyRefused { reason, .. } => return reason.log(),
            Reason::SignatureDamaged { fault: SignatureFault::ContainsData } => {
                "PKCS#7 signature with non-detached data".to_owned()
            }
            Reason::SignatureDamaged { fault: SignatureFault::NonZeroFields } => {
                "PKCS#7 signature info has unexpected non-zero params".to_owned()
            }
            Reason::Stripped
            | Reason::PercpuMemory { .. }
            | Reason::SymbolSection { .. }
            | Reason::RelocationTable
            | Reason::NotLinked { counted: true }
            | Reason::Relocation { .. }
            | Reason::NoSymbolVersion { .. }
            | Reason::Blacklisted { .. }
            | Reason::Vermagic { .. }
            | Reason::Namespace { .. }
            | Reason::SignedAttributes => self.to_string(),
            Reason::Compression { .. } | Reason::NotModule { .. } => "Invalid ELF".to_owned(),
            Reason::WrongMachine { .. } => "Invalid architecture in ELF header".to_owned(),
            Reason::NotLinked { counted: false } => "No module found in object".to_owned(),
            Reason::InvalidElf { log, .. } => log.clone(),
            Reason::CommonSymbol { .. } => "please compile with -fno-common".to_owned(),
            Reason::RelocationTarget { kind, .. } => format!("existing value is nonzero for type {kind}"),
            Reason::RelocationOverflow { kind, .. } => format!("overflow in relocation type {kind}"),
            Reason::RelocationRefused { log, .. } => (*log).to_owned(),
            Reason::SameName { .. } => "cannot create duplicate filename".to_owned(),
            Reason::Nameless => "attempted to be registered with empty name".to_owned(),
            Reason::StructModule { .. } => {
                ".gnu.linkonce.this_module section size must match the kernel's".to_owned()
            }
            Reason::UnknownSymbol { symbol }
            | Reason::OwnerMissing { symbol, .. }
            | Reason::GplOnly { symbol, .. }
            | Reason::GplOnlyHidden { symbol, .. } => format!("Unknown symbol {symbol} (err -2)"),
            Reason::DisagreesAboutVersion { symbol, .. } => {
                format!("disagrees about version of symbol {symbol}")
            }
            Reason::ProprietaryOwner { .. } => "module using GPL-only symbols uses symbols".to_owned(),
            Reason::DuplicateExport { symbol, .. } => format!("exports duplicate symbol {symbol}"),
            Reason::Untrusted { cause, lockdown: false } => {
                format!("Loading of {} is rejected", cause.words())
            }
            // Lockdown does not always log "unsigned module loading is restricted".
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
