//! Would this kernel load this module? The checks of kernel/module/{main,signing,version}.c in their order, made
//! before the module is needed: signature, format, machine, version magic, symbols, their CRCs, licences and
//! namespaces.

use crate::compress::{self, CompressError};
use crate::compression::Compression;
use crate::elf::{self, Class, ElfError, Module};
use crate::exports;
use crate::sign::{self, Certificate, Hash, Signed};
use format::Image;
use std::borrow::Cow;

mod damage;
mod format;
mod generation;
mod license;
mod reason;
mod relocate;
mod signature;
mod symbols;
pub use license::is_gpl_compatible;
pub use reason::{Cause, Reason, Unsupported};
pub use symbols::{Found, KERNEL, Symbols, made_by_loader};

const X86_64: u16 = 62;

/// What is known about a kernel. Start with [`KernelView::new`] and fill in what there is.
#[derive(Clone)]
pub struct KernelView<'a> {
    /// Its release, as `uname -r` prints it.
    pub release: &'a str,
    /// Its machine, as `uname -m` prints it.
    pub arch: &'a str,
    /// Where symbols are looked up; without, they are not checked and the verdict has a doubt.
    pub symbols: Option<&'a dyn Symbols>,
    /// `CONFIG_MODVERSIONS`: CRCs are compared.
    pub modversions: bool,
    /// The whole version magic of this kernel's modules; without, only its first word is known.
    pub vermagic: Option<&'a str>,
    /// `sizeof(struct module)` in bytes; kernels compare it since 6.4.
    pub struct_module: Option<u64>,
    /// Where this kernel's `struct module` has the addresses of a module's first and last function (see
    /// [`File::entry_places`]).
    pub entry_places: Option<(u64, u64)>,
    /// `CONFIG_MODULE_FORCE_LOAD`: a module without any CRC or version magic is loaded all the same, and taints the
    /// kernel.
    pub force_load: bool,
    /// A module that lists CRCs, but not one of every symbol it needs, is loaded all the same: so does Linux since 4.9, but
    /// not Debian's.
    pub missing_crcs: bool,
    /// `CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS`: a missing import is only a warning.
    pub allow_missing_namespaces: bool,
    /// Whoever uses a symbol of a proprietary module is tainted as well, and both kinds of symbols exclude each other: since
    /// Linux 5.9.
    pub inherits_taint: bool,
    /// Names on the kernel's own blacklist (`module_blacklist=`).
    pub blacklist: &'a [String],
    /// Signatures; `None` for a kernel without `CONFIG_MODULE_SIG`, which does not look at them.
    pub signatures: Option<Signatures<'a>>,
    /// Who unpacks compressed modules.
    pub loader: Loader,
}

/// How a kernel sees signatures.
#[derive(Clone, Copy)]
pub struct Signatures<'a> {
    /// What happens to a module without a good one.
    pub enforcement: Enforcement,
    /// The keys it trusts.
    pub keys: &'a dyn Keys,
}

/// What a kernel does with a module that no key it trusts has signed (module_sig_check in kernel/module/signing.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It loads it, and is tainted.
    Off,
    /// It refuses it: `module.sig_enforce`, `CONFIG_MODULE_SIG_FORCE` or Secure Boot.
    SigEnforce,
    /// It refuses it because it is locked down.
    Lockdown,
    /// Not known.
    Unknown,
}

/// The keys a kernel trusts for modules.
pub trait Keys {
    /// The key that a signature names.
    fn find(&self, signed: &Signed<'_>) -> Key<'_>;
    /// Whether the kernel can compute a digest when the module is loaded; `None`: not known.
    fn digest(&self, hash: Hash) -> Option<bool>;
}

/// What [`Keys::find`] found.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// Trusted, and this is its certificate.
    Trusted(&'a Certificate),
    /// Trusted, but its certificate is not at hand: the signature itself cannot be checked.
    Unseen,
    /// On a list of keys that are no longer trusted.
    Revoked,
    /// The kernel does not have it.
    Absent,
    /// It cannot be told.
    Unknown,
}

/// Who unpacks a compressed module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loader {
    /// kmod reads gzip; `None`: not known.
    pub gzip: Option<bool>,
    /// kmod reads xz.
    pub xz: Option<bool>,
    /// kmod reads Zstandard.
    pub zstd: Option<bool>,
    /// The format the kernel unpacks itself, when kmod leaves it to the kernel (`CONFIG_MODULE_DECOMPRESS`, kmod 31).
    pub kernel: Option<Compression>,
}

impl<'a> KernelView<'a> {
    /// A kernel of which only release and machine are known.
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
            blacklist: &[],
            signatures: None,
            loader: Loader::default(),
        }
    }
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel loads the module.
    Loads,
    /// It refuses it.
    Refused,
    /// Nothing speaks against it, but not everything could be checked.
    Unknown,
}

/// The result of [`check`] and [`File::judge`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Each of these alone makes the kernel refuse the module; the first is the one it names.
    pub refusals: Vec<Reason>,
    /// What could not be checked.
    pub doubts: Vec<Reason>,
    /// Worth knowing; the kernel loads the module all the same.
    pub notes: Vec<Reason>,
    /// The module is tainted as proprietary when it is loaded, and taints whoever uses its symbols.
    pub proprietary: bool,
}

impl Verdict {
    /// True when everything was checked and nothing keeps the kernel from loading the module.
    #[must_use]
    pub fn loads(&self) -> bool {
        self.outcome() == Outcome::Loads
    }

    /// In one word.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.refusals.is_empty(), self.doubts.is_empty()) {
            (false, _) => Outcome::Refused,
            (true, false) => Outcome::Unknown,
            (true, true) => Outcome::Loads,
        }
    }
}

/// A module file, read once for any number of questions.
#[derive(Debug)]
pub struct File<'a> {
    bytes: &'a [u8],
    format: Option<Compression>,
    plain: Result<Cow<'a, [u8]>, CompressError>,
    module: Result<Module, ElfError>,
}

impl<'a> File<'a> {
    /// Reads the bytes of a file as it lies on disk, compressed or not; unpacked it may have `limit` bytes. Every file can
    /// be read; what it lacks comes out in the verdict.
    #[must_use]
    pub fn read(bytes: &'a [u8], limit: usize) -> File<'a> {
        let format = Compression::detect_module(bytes);
        let plain = match format {
            None => Ok(Cow::Borrowed(bytes)),
            Some(_) => compress::decompress(bytes, limit).map(Cow::Owned),
        };
        let module = Module::read(plain.as_deref().unwrap_or_default());
        File { bytes, format, plain, module }
    }

    /// What it says of itself, if it is a module.
    #[must_use]
    pub fn module(&self) -> Option<&Module> {
        self.module.as_ref().ok().filter(|module| module.has_modinfo)
    }

    /// Where `struct module` has the addresses of `init_module` and `cleanup_module`, if this is a module of x86-64 that has
    /// both. The same in all modules of a kernel.
    #[must_use]
    pub fn entry_places(&self) -> Option<(u64, u64)> {
        let plain = self.plain();
        let length = sign::length_without_signature(plain);
        let image = Image::read(plain, length, &KernelView::new("", "x86_64")).ok()?;
        let relocated = relocate::check(&image);
        match relocated.places.get(&image.this_module).map(Vec::as_slice) {
            Some([one, other]) => Some((one.offset.min(other.offset), one.offset.max(other.offset))),
            _ => None,
        }
    }

    /// The bytes without compression; none when they cannot be unpacked.
    #[must_use]
    pub fn plain(&self) -> &[u8] {
        self.plain.as_deref().unwrap_or_default()
    }

    /// It is compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.format.is_some()
    }

    /// Symbols that are exported already, by the names in the module's own list.
    fn duplicates(&self, module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
        let Some(symbols) = k.symbols.filter(|_| !module.exports.is_empty()) else { return };
        if let Ok(list) = exports::of_module(self.plain(), "") {
            for entry in list.iter() {
                if let Some(owner) = symbols.exported_before(entry.symbol) {
                    let (symbol, owner) = (entry.symbol.to_owned(), owner.to_owned());
                    verdict.refusals.push(Reason::DuplicateExport { symbol, owner });
                }
            }
        }
    }

    /// Would this kernel load it?
    #[must_use]
    pub fn judge(&self, k: &KernelView<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        if self.bytes.is_empty() {
            let error = ElfError::NotElf { empty: true };
            return Verdict { refusals: vec![Reason::NotModule { error }], ..verdict };
        }
        let sign = |bytes: &[u8], verdict: &mut Verdict| {
            if let Some(signatures) = &k.signatures {
                signature::check(bytes, signatures, verdict);
            }
        };
        match self.format.and_then(|format| unpacking(format, self.bytes, k)) {
            // What kmod does not read it hands over as it is.
            Some((reason @ Reason::Compression { .. }, _)) => {
                sign(self.bytes, &mut verdict);
                verdict.refusals.push(reason);
                return verdict;
            }
            Some((reason, true)) => verdict.refusals.push(reason),
            Some((reason, false)) => verdict.doubts.push(reason),
            None => {}
        }
        match &self.plain {
            Ok(plain) => sign(plain, &mut verdict),
            Err(error) => {
                verdict.refusals.insert(0, Reason::Damaged { reason: error.to_string() });
                return verdict;
            }
        }
        self.load(k, &mut verdict);
        verdict
    }

    /// What comes after the signature, in the kernel's order.
    fn load(&self, k: &KernelView<'_>, verdict: &mut Verdict) {
        let length = match k.signatures {
            Some(_) => sign::length_without_signature(self.plain()),
            None => self.plain().len(),
        };
        let image = match Image::read(self.plain(), length, k) {
            Ok(image) => image,
            Err(reason @ Reason::Unchecked { .. }) => return verdict.doubts.push(reason),
            Err(reason) => return verdict.refusals.push(reason),
        };
        let module = image.module();
        early(&module, k, verdict);
        verdict.refusals.extend(image.layout(k));
        if image.reader.machine == X86_64 && image.holds_more_than_a_name() {
            verdict.doubts.extend(damage::check(&image, &module, &relocate::Places::new(), k));
            return;
        }
        symbols::check(&module, k, verdict);
        verdict.refusals.extend(image.own_symbols());
        let relocated = relocate::check(&image);
        verdict.refusals.extend(relocated.refusal);
        if !relocated.can_crash {
            self.duplicates(&module, k, verdict);
            verdict.refusals.extend(image.lacks_name().then_some(Reason::Nameless));
            verdict.refusals.extend(image.same_name(k));
        }
        verdict.doubts.extend(relocated.doubts);
        verdict.doubts.extend(damage::check(&image, &module, &relocated.places, k));
    }
}

/// Whether kmod or the kernel can unpack the file: a reason against it, certain or not.
fn unpacking(format: Compression, bytes: &[u8], k: &KernelView<'_>) -> Option<(Reason, bool)> {
    if k.loader.kernel == Some(format) {
        let check = compress::xz_check(bytes).filter(|check| *check != compress::XzCheck::Crc32);
        return check.map(|check| (Reason::XzCheck { check: check.name() }, true));
    }
    let reads = match format {
        Compression::Gzip => k.loader.gzip,
        Compression::Xz => k.loader.xz,
        Compression::Zstd => k.loader.zstd,
        Compression::Bzip2 | Compression::Lzma | Compression::Lzo | Compression::Lz4 => Some(false),
    };
    match reads {
        Some(true) => None,
        Some(false) => Some((Reason::Compression { format }, true)),
        None => Some((Reason::LoaderUnknown { format }, false)),
    }
}

/// Checks what a module says of itself against everything known about the kernel `k`. Signatures and the structure of the
/// file are a matter of its bytes: [`File::judge`] has them too.
#[must_use]
pub fn check(module: &Module, k: &KernelView<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if let Err(reason) = machine(module.class, module.machine, module.little_endian, k) {
        verdict.refusals.push(reason);
    }
    if !module.has_symbols {
        verdict.refusals.push(Reason::Stripped);
    }
    if !module.has_this_module {
        verdict.refusals.push(Reason::NotLinked { counted: since(k.release, 6, 4) });
    } else if let Some(kernel) =
        k.struct_module.filter(|size| since(k.release, 6, 4) && *size != module.this_module_size)
    {
        verdict.refusals.push(Reason::StructModule { module: module.this_module_size, kernel });
    }
    early(module, k, &mut verdict);
    symbols::check(module, k, &mut verdict);
    verdict
}

/// The checks before memory is laid out.
fn early(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    if elf::machine_of_arch(k.arch).is_none() {
        verdict.doubts.push(Reason::UnknownArch { arch: k.arch.to_owned() });
    }
    if let Some(name) = module.modinfo.name().filter(|name| k.blacklist.iter().any(|word| word == name)) {
        verdict.refusals.push(Reason::Blacklisted { name: name.to_owned() });
    }
    symbols::layout(module, k, verdict);
    vermagic(module, k, verdict);
    let license = module.modinfo.license().unwrap_or_default();
    if !is_gpl_compatible(license) {
        verdict.notes.push(Reason::Taints { license: license.to_owned() });
    }
}

/// The release is this version of Linux or a later one.
#[must_use]
pub fn since(release: &str, major: u32, minor: u32) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// The kernel's machine is that of a module; a kernel's that is not known is not checked.
fn machine(class: Class, number: u16, little_endian: bool, k: &KernelView<'_>) -> Result<(), Reason> {
    // `uname -m` can name a 32-bit personality (i686 on x86_64), and distributions call ppc64le "ppc64": the
    // machine must be the same, the byte order is told where the name tells it.
    let order = byte_order(k.arch);
    match elf::machine_of_arch(k.arch) {
        Some(machine)
            if machine != (class, number) || order.is_some_and(|little| little != little_endian) =>
        {
            let (module, kernel) = (describe(class, number, little_endian), k.arch.to_owned());
            Err(Reason::WrongMachine { module, kernel })
        }
        _ => Ok(()),
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

/// With CRCs in the module the kernel compares everything but the release (same_magic in kernel/module/version.c):
/// the CRCs stand for it.
fn vermagic(module: &Module, k: &KernelView<'_>, verdict: &mut Verdict) {
    let Some(magic) = module.modinfo.vermagic() else {
        let list = if k.force_load { &mut verdict.notes } else { &mut verdict.refusals };
        list.push(Reason::NoVermagic);
        return;
    };
    let by_crcs = k.modversions && module.has_versions;
    let flags = |magic: &str| magic.split_once(' ').map_or("", |(_, flags)| flags).to_owned();
    let same_release = module.modinfo.vermagic_release() == Some(k.release);
    let same = match k.vermagic {
        Some(kernel) if by_crcs => flags(kernel) == flags(magic),
        Some(kernel) => kernel == magic,
        None => by_crcs || same_release,
    };
    if !same {
        let kernel = k.vermagic.unwrap_or(k.release).to_owned();
        verdict.refusals.push(Reason::Vermagic { module: magic.to_owned(), kernel });
    } else if !same_release {
        verdict.notes.push(Reason::OtherRelease {
            module: module.modinfo.vermagic_release().unwrap_or_default().to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
