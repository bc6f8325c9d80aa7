//! What the administrator can do about a reason.

use super::{Cause, Reason};
use crate::verdict::lookup::KERNEL;

const INSTALL_AGAIN: &str = "the file differs from the one that was built; dkms fsck shows details, \
    dkms install --force installs it again";
const USE_OTHER_FORMAT: &str =
    "this system's kmod is built without that format; use the format of the kernel's own modules";
const USE_CRC32: &str = "compress with --check=crc32 (compress_xz_opts in framework.conf), and rebuild";
const SHOW_FORMATS: &str = "kmod --version shows which formats it reads";
const BUILD_FOR_MACHINE: &str = "build it on, or with a cross compiler for, the kernel's machine";
const UNCHECKED_MACHINE: &str = "nothing to do; the machine type was not checked";
const KEEP_SYMBOLS: &str = "all symbols were stripped; strip -g keeps the symbols that a module needs";
const USE_KERNEL_FLAGS: &str = "the compiler made code that is not for kernels; build with the flags of the \
    kernel's own Makefile";
const NO_COMMON: &str = "build with -fno-common, as the kernel's own Makefile does";
const FINISH_BUILD: &str = "the build stopped before modpost finished; see make.log and rebuild";
const ALLOW_NAME: &str = "remove the name from module_blacklist= on the kernel's command line";
const REBUILD_FOR_KERNEL: &str = "the module was built with the headers of another kernel; rebuild it against \
    this kernel's headers";
const SYMBOLS_MATCH: &str = "nothing to do; all its symbols match this kernel's";
const INSTALL_HEADERS: &str =
    "install the kernel's headers: symbols are checked against their Module.symvers";
const FIND_SYMBOL: &str = "the module that exports it is not installed for this kernel (see BUILD_DEPENDS), \
    or this kernel no longer has it: a newer version of the package may support the kernel";
const INSTALL_OWNER: &str = "install the package that contains that module for this kernel \
    (linux-modules-extra or kernel-modules-extra on some distributions)";
const MATCH_VERSIONS: &str = "kernel, headers and the modules it depends on have different versions; install \
    matching versions and rebuild";
const REINSTALL_HEADERS: &str = "the headers' Module.symvers was missing or empty during the build; reinstall \
    the kernel's headers and rebuild";
const USE_SYMVERS: &str =
    "build with the Module.symvers of the module that exports the symbol (KBUILD_EXTRA_SYMBOLS)";
const ASK_AUTHOR: &str = "this kernel exports the symbol to GPL modules only; ask the module's author";
const USE_FREE_VARIANT: &str = "on this kernel no module can use both; ask the authors of the two modules, or \
    use a variant of the proprietary module with a GPL-compatible licence";
const HIDDEN_SYMBOLS: &str = "nothing to do; GPL-only symbols are hidden from the module";
const INCOMPATIBLE: &str =
    "depmod does not index modules that need each other; the packages are not compatible";
const IMPORT_NAMESPACE: &str = "the source needs a MODULE_IMPORT_NS line for the namespace; a newer version of \
    the package may have it";
const BUILT_IN: &str = "the driver is built into this kernel; the package is not needed for it";
const CHOOSE_ONE: &str = "only one of the two modules can be loaded; uninstall the package of the other one, \
    or blacklist that module";
const SIGN_WITH_DKMS: &str = "sign it with the kernel's sign-file or with dkms";
const SIGN_AGAIN: &str =
    "the file was changed after it was signed; dkms install --force signs and installs it again";
const ROTATE_KEY: &str = "sign with another key: dkms mok rotate";
const SIGN: &str = "let dkms sign it: see try_sign_modules in framework.conf and dkms mok, then rebuild";
const ENROLL: &str = "enroll the certificate that it is signed with: dkms mok shows how";
const LOAD_DIGEST: &str = "this kernel has the digest only as a module, or not at all; load that module \
    first, or sign with the digest of CONFIG_MODULE_SIG_HASH";
const REFUSED_ELSEWHERE: &str =
    "nothing to do; with Secure Boot or module.sig_enforce the kernel would refuse it";
const RUN_THERE: &str = "run it on that machine, as root, with /sys and efivarfs mounted; dkms mok shows what \
    is known";
const TAINTED: &str = "nothing to do; kernel developers may ignore bug reports from a tainted kernel";

impl Reason {
    /// What the administrator can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Reason::Damaged { .. } | Reason::NotModule { .. } | Reason::InvalidElf { .. } => INSTALL_AGAIN,
            Reason::Unchecked { .. } | Reason::PercpuMemory { .. } => INSTALL_AGAIN,
            Reason::SymbolSection { .. } | Reason::RelocationTarget { .. } => INSTALL_AGAIN,
            Reason::RelocationOverflow { .. } | Reason::RelocationTable => INSTALL_AGAIN,
            Reason::Nameless | Reason::SameName { .. } | Reason::SignatureDamaged { .. } => INSTALL_AGAIN,
            Reason::Compression { .. } => USE_OTHER_FORMAT,
            Reason::XzCheck { .. } => USE_CRC32,
            Reason::LoaderUnknown { .. } => SHOW_FORMATS,
            Reason::WrongMachine { .. } => BUILD_FOR_MACHINE,
            Reason::UnknownArch { .. } => UNCHECKED_MACHINE,
            Reason::Stripped => KEEP_SYMBOLS,
            Reason::Relocation { .. } | Reason::RelocationRefused { .. } => USE_KERNEL_FLAGS,
            Reason::CommonSymbol { .. } => NO_COMMON,
            Reason::NotLinked { .. } => FINISH_BUILD,
            Reason::Blacklisted { .. } => ALLOW_NAME,
            Reason::NoVermagic | Reason::Vermagic { .. } | Reason::StructModule { .. } => REBUILD_FOR_KERNEL,
            Reason::OtherRelease { .. } => SYMBOLS_MATCH,
            Reason::NoSymvers => INSTALL_HEADERS,
            Reason::UnknownSymbol { .. } => FIND_SYMBOL,
            Reason::OwnerMissing { .. } => INSTALL_OWNER,
            Reason::DependencyRefused { reason, .. } => reason.help(),
            Reason::DisagreesAboutVersion { .. } => MATCH_VERSIONS,
            Reason::NoVersions | Reason::ExportsWithoutCrcs => REINSTALL_HEADERS,
            Reason::NoSymbolVersion { .. } => USE_SYMVERS,
            Reason::GplOnly { .. } => ASK_AUTHOR,
            Reason::ProprietaryOwner { .. } | Reason::GplOnlyHidden { .. } => USE_FREE_VARIANT,
            Reason::InheritsTaint { .. } => HIDDEN_SYMBOLS,
            Reason::DependencyCycle { .. } => INCOMPATIBLE,
            Reason::Namespace { .. } => IMPORT_NAMESPACE,
            Reason::DuplicateExport { owner, .. } if owner == KERNEL => BUILT_IN,
            Reason::DuplicateExport { .. } => CHOOSE_ONE,
            Reason::SignedAttributes => SIGN_WITH_DKMS,
            Reason::BadSignature { .. } => SIGN_AGAIN,
            Reason::Revoked { .. } => ROTATE_KEY,
            Reason::Untrusted { cause: Cause::Unsigned, .. } => SIGN,
            Reason::Untrusted { cause: Cause::Key { .. }, .. } => ENROLL,
            Reason::Untrusted { cause: Cause::Crypto(_), .. } => LOAD_DIGEST,
            Reason::TaintsUnsigned { .. } => REFUSED_ELSEWHERE,
            Reason::EnforcementUnknown { .. } | Reason::KeyUnknown { .. } => RUN_THERE,
            Reason::DigestUnknown { .. } => RUN_THERE,
            Reason::Taints { .. } => TAINTED,
        }
    }
}
