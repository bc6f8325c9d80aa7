//! Would this kernel load this module? The checks of kernel/module/main.c and version.c, made before the module
//! is installed: format, machine, version magic, symbols, their CRCs, licences and namespaces.

use crate::elf::{self, Class, Module};
use crate::symvers::{Entry, Symvers};
use std::fmt;

mod license;
pub use license::is_gpl_compatible;

/// What is known about a kernel. Start with [`KernelView::new`] and fill in what there is; what is missing is not
/// checked.
#[derive(Debug, Clone)]
pub struct KernelView<'a> {
    /// Its release, as `uname -r` prints it.
    pub release: &'a str,
    /// Its machine, as `uname -m` prints it.
    pub arch: &'a str,
    /// The symbols of the kernel and its own modules.
    pub symvers: Option<&'a Symvers>,
    /// The symbols of the modules this one depends on; they count before the kernel's.
    pub extra: &'a [&'a Symvers],
    /// `CONFIG_MODVERSIONS`: CRCs are compared.
    pub modversions: bool,
    /// The whole version magic of this kernel's modules, when one is at hand to compare with.
    pub vermagic: Option<&'a str>,
    /// `CONFIG_MODULE_FORCE_LOAD`: a module without any CRC is loaded all the same, and taints the kernel.
    pub force_load: bool,
    /// `CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS`: a missing import is only a warning.
    pub allow_missing_namespaces: bool,
}

impl<'a> KernelView<'a> {
    /// A kernel of which only release and machine are known.
    #[must_use]
    pub fn new(release: &'a str, arch: &'a str) -> KernelView<'a> {
        KernelView {
            release,
            arch,
            symvers: None,
            extra: &[],
            modversions: false,
            vermagic: None,
            force_load: true,
            allow_missing_namespaces: false,
        }
    }

    fn lookup(&self, symbol: &str) -> Option<Entry<'a>> {
        let extra = self.extra.iter().find_map(|list| list.lookup(symbol));
        extra.or_else(|| self.symvers?.lookup(symbol))
    }
}

/// One thing the kernel would complain about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
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
    /// No `.gnu.linkonce.this_module`.
    NotLinked,
    /// No version magic at all.
    NoVermagic,
    /// Built for another release or configuration.
    Vermagic {
        /// The module's.
        module: String,
        /// The kernel's.
        kernel: String,
    },
    /// Nobody offers a symbol it needs.
    UnknownSymbol {
        /// The symbol.
        symbol: String,
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
    /// The module lists no CRC for a symbol it needs (a note: the kernel loads it and is tainted).
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
    /// The symbol is in a namespace the module does not import.
    Namespace {
        /// The symbol.
        symbol: String,
        /// Its namespace.
        namespace: String,
    },
    /// A licence that taints the kernel, or none.
    Taints {
        /// The licence; empty when there is none.
        license: String,
    },
}

impl Reason {
    /// What the administrator can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Reason::WrongMachine { .. } => "build it on, or with a cross compiler for, the kernel's machine",
            Reason::UnknownArch { .. } => "nothing to do; the machine type was not checked",
            Reason::NotLinked => {
                "the build stopped before modpost finished; look into make.log and build again"
            }
            Reason::NoVermagic | Reason::Vermagic { .. } => {
                "the module was built with the headers of another kernel; rebuild it against this kernel's headers"
            }
            Reason::UnknownSymbol { .. } => {
                "the module that offers it is not installed for this kernel (see BUILD_DEPENDS), or this kernel no longer \
                 has it: a newer version of the package may support the kernel"
            }
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
            Reason::GplOnly { .. } => {
                "this kernel offers the symbol to GPL modules only; ask the module's author"
            }
            Reason::Namespace { .. } => {
                "the source needs a MODULE_IMPORT_NS line for the namespace; a newer version of the package may have it"
            }
            Reason::Taints { .. } => {
                "nothing to do; kernel developers look at such a kernel's faults less gladly"
            }
        }
    }
}

impl fmt::Display for Reason {
    /// What is wrong, with the words the kernel would log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::WrongMachine { module, kernel } => {
                write!(f, "Exec format error: the module is for {module}, the kernel for {kernel}")
            }
            Reason::UnknownArch { arch } => {
                write!(f, "machine type \"{arch}\" is unknown and was not checked")
            }
            Reason::NotLinked => {
                f.write_str("No module found in object: .gnu.linkonce.this_module is missing")
            }
            Reason::NoVermagic => {
                f.write_str("no version magic: the module does not say which kernel it is for")
            }
            Reason::Vermagic { module, kernel } => {
                write!(f, "version magic '{module}' should be '{kernel}'")
            }
            Reason::UnknownSymbol { symbol } => write!(f, "Unknown symbol {symbol} (err -2)"),
            Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc } => write!(
                f,
                "disagrees about version of symbol {symbol}: the module wants {module_crc:#010x}, the kernel has \
                 {kernel_crc:#010x}"
            ),
            Reason::NoVersions => f.write_str("no symbol versions: the module was built without CRCs"),
            Reason::NoSymbolVersion { symbol } => write!(f, "no symbol version for {symbol}"),
            Reason::GplOnly { symbol, license } => {
                write!(
                    f,
                    "Unknown symbol {symbol} (err -2): it is GPL-only and the module's licence is \"{license}\""
                )
            }
            Reason::Namespace { symbol, namespace } => {
                write!(f, "module uses symbol ({symbol}) from namespace {namespace}, but does not import it")
            }
            Reason::Taints { license } if license.is_empty() => {
                f.write_str("module license unspecified taints kernel")
            }
            Reason::Taints { license } => write!(f, "module license '{license}' taints kernel"),
        }
    }
}

/// The result of [`check`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Each of these alone makes the kernel refuse the module.
    pub refusals: Vec<Reason>,
    /// Worth knowing; the kernel loads the module all the same.
    pub notes: Vec<Reason>,
}

impl Verdict {
    /// True when nothing we can see keeps the kernel from loading the module.
    #[must_use]
    pub fn loads(&self) -> bool {
        self.refusals.is_empty()
    }
}

/// Checks `module` against everything known about the kernel `k`. Symbols are checked only with `k.symvers`.
#[must_use]
pub fn check(module: &Module, k: &KernelView<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    machine(module, k, &mut verdict);
    if !module.has_this_module {
        verdict.refusals.push(Reason::NotLinked);
    }
    vermagic(module, k, &mut verdict.refusals);
    let license = module.modinfo.license().unwrap_or_default();
    if !is_gpl_compatible(license) {
        verdict.notes.push(Reason::Taints { license: license.to_owned() });
    }
    if k.symvers.is_some() {
        symbols(module, k, &mut verdict);
    }
    verdict
}

fn machine(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    let Some((class, machine)) = elf::machine_of_arch(k.arch) else {
        verdict.notes.push(Reason::UnknownArch { arch: k.arch.to_owned() });
        return;
    };
    // `uname -m` can name a 32-bit personality (i686 on x86_64), and distributions call ppc64le "ppc64": the
    // machine must be the same, the byte order is told where the name tells it.
    let order = byte_order(k.arch);
    if (module.class, module.machine) != (class, machine)
        || order.is_some_and(|little| little != module.little_endian)
    {
        verdict.refusals.push(Reason::WrongMachine {
            module: describe(module.class, module.machine, module.little_endian),
            kernel: k.arch.to_owned(),
        });
    }
}

/// Little-endian or not, where the name of the machine leaves no doubt.
fn byte_order(arch: &str) -> Option<bool> {
    match arch {
        "ppc64le" | "ppc64el" | "powerpc64le" | "mipsel" | "mips64el" | "x86_64" | "amd64" | "arm64"
        | "loongarch64" | "riscv64" | "aarch64" => Some(true),
        "s390x" | "aarch64_be" => Some(false),
        _ => None,
    }
}

fn describe(class: Class, machine: u16, little_endian: bool) -> String {
    let order = if little_endian { "little" } else { "big" };
    match elf::machine_name(class, machine) {
        Some(name) => format!("{name} ({}-bit, {order} endian)", class.bits()),
        None => format!("ELF machine {machine} ({}-bit, {order} endian)", class.bits()),
    }
}

/// With `CONFIG_MODVERSIONS` the kernel compares everything but the release (same_magic in kernel/module/version.c):
/// the CRCs stand for it. We ask for the release all the same, since dkms builds for one kernel: a module that
/// names another was built with the wrong headers.
fn vermagic(module: &Module, k: &KernelView<'_>, refusals: &mut Vec<Reason>) {
    let Some(magic) = module.modinfo.vermagic() else {
        refusals.push(Reason::NoVermagic);
        return;
    };
    let right = match k.vermagic {
        Some(expected) => magic == expected,
        None => module.modinfo.vermagic_release() == Some(k.release),
    };
    if !right {
        let kernel = k.vermagic.unwrap_or(k.release).to_owned();
        refusals.push(Reason::Vermagic { module: magic.to_owned(), kernel });
    }
}

fn symbols(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    let license = module.modinfo.license().unwrap_or_default();
    let gpl = is_gpl_compatible(license);
    let versions: std::collections::HashMap<&str, u32> =
        module.versions.iter().map(|(symbol, crc)| (symbol.as_str(), *crc)).collect();
    if k.modversions && versions.is_empty() && !module.undefined.is_empty() {
        let list = if k.force_load { &mut verdict.notes } else { &mut verdict.refusals };
        list.push(Reason::NoVersions);
    }
    for needed in &module.undefined {
        let symbol = needed.name.as_str();
        // 64-bit PowerPC (ABI 1) marks function entry points with a dot; the kernel looks without.
        let found = k.lookup(symbol).or_else(|| k.lookup(symbol.strip_prefix('.')?));
        let Some(entry) = found else {
            if !needed.weak && !made_by_loader(module.machine, symbol) {
                verdict.refusals.push(Reason::UnknownSymbol { symbol: symbol.to_owned() });
            }
            continue;
        };
        if entry.export_gpl && !gpl {
            let reason = Reason::GplOnly { symbol: symbol.to_owned(), license: license.to_owned() };
            verdict.refusals.push(reason);
        }
        if k.modversions && !versions.is_empty() {
            let wanted =
                versions.get(symbol.strip_prefix('.').unwrap_or(symbol)).or_else(|| versions.get(symbol));
            crc(entry, wanted.copied(), verdict);
        }
        namespace(module, entry, k, verdict);
    }
}

fn crc(entry: Entry<'_>, wanted: Option<u32>, verdict: &mut Verdict) {
    let symbol = entry.symbol.to_owned();
    match wanted {
        Some(module_crc) if module_crc != entry.crc => {
            verdict.refusals.push(Reason::DisagreesAboutVersion { symbol, module_crc, kernel_crc: entry.crc })
        }
        Some(_) => {}
        None => verdict.notes.push(Reason::NoSymbolVersion { symbol }),
    }
}

fn namespace(module: &Module, entry: Entry<'_>, k: &KernelView<'_>, verdict: &mut Verdict) {
    let Some(namespace) = entry.namespace else { return };
    let allowed = match namespace.strip_prefix("module:") {
        // Linux 6.16: only for the modules listed, where a `*` at the end stands for anything.
        Some(list) => module.modinfo.name().is_none_or(|name| named(list, &name.replace('-', "_"))),
        None => module.modinfo.all("import_ns").any(|import| import == namespace),
    };
    if !allowed {
        let reason = Reason::Namespace { symbol: entry.symbol.to_owned(), namespace: namespace.to_owned() };
        if k.allow_missing_namespaces { verdict.notes.push(reason) } else { verdict.refusals.push(reason) }
    }
}

fn named(list: &str, name: &str) -> bool {
    list.split(',').any(|pattern| {
        let pattern = pattern.replace('-', "_");
        pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
    })
}

/// Symbols that the kernel's module loader provides itself or ignores (ignore_undef_symbol, arch/powerpc).
fn made_by_loader(machine: u16, symbol: &str) -> bool {
    const I386: u16 = 3;
    const PPC: u16 = 20;
    const PPC64: u16 = 21;
    const X86_64: u16 = 62;
    const REGISTER_SAVERS: [&str; 8] = [
        "_restgpr",
        "_savegpr",
        "_rest32gpr_",
        "_save32gpr_",
        "_restfpr_",
        "_savefpr_",
        "_restvr_",
        "_savevr_",
    ];
    match machine {
        I386 | X86_64 => symbol == "_GLOBAL_OFFSET_TABLE_",
        PPC | PPC64 => symbol == ".TOC." || REGISTER_SAVERS.iter().any(|prefix| symbol.starts_with(prefix)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
