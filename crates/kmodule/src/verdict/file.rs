//! A module file, and the verdict about it.

use super::format::Image;
use super::kernel::KernelView;
use super::machine::X86_64;
use super::outcome::Verdict;
use super::reason::Reason;
use super::{damage, early, relocate, signature, symbols};
use crate::compress::{self, CompressError, XzCheck};
use crate::compression::Compression;
use crate::elf::{ElfError, Module};
use crate::{exports, sign};
use std::borrow::Cow;

/// A module file, read once for any number of kernels.
#[derive(Debug)]
pub struct File<'a> {
    bytes: &'a [u8],
    format: Option<Compression>,
    plain: Result<Cow<'a, [u8]>, CompressError>,
    module: Result<Module, ElfError>,
}

impl<'a> File<'a> {
    /// Reads the bytes of a file, which may be compressed. Decompressed, it may have at most `limit` bytes.
    /// This does not fail: if the file is damaged, the verdict contains the reason.
    #[must_use]
    pub fn read(bytes: &'a [u8], limit: usize) -> File<'a> {
        let format = Compression::detect_module(bytes);
        let plain = match format {
            None => Ok(Cow::Borrowed(bytes)),
            Some(_) => compress::decompress(bytes, limit).map(Cow::Owned),
        };
        let module = Module::read(plain.as_deref().unwrap_or(&[]));
        File { bytes, format, plain, module }
    }

    /// The parsed module; `None` if it is not a module.
    #[must_use]
    pub fn module(&self) -> Option<&Module> {
        self.module.as_ref().ok().filter(|module| module.has_modinfo)
    }

    /// The offsets in `struct module` of the addresses of `init_module` and `cleanup_module`, if this is a
    /// module for x86-64 that has both. They are the same in all modules of a kernel.
    #[must_use]
    pub fn entry_places(&self) -> Option<(u64, u64)> {
        let plain = self.plain();
        let length = sign::length_without_signature(plain);
        let kernel = KernelView::new("", "x86_64");
        let image = Image::read(plain, length, &kernel).ok()?;
        let relocated = relocate::check(&image, &kernel);
        match relocated.places.get(&image.this_module).map(Vec::as_slice) {
            Some([one, other]) => Some((one.offset.min(other.offset), one.offset.max(other.offset))),
            _ => None,
        }
    }

    /// The decompressed bytes; empty if they cannot be decompressed.
    #[must_use]
    pub fn plain(&self) -> &[u8] {
        self.plain.as_deref().unwrap_or(&[])
    }

    /// Whether the file is compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.format.is_some()
    }

    /// Predicts whether this kernel would load the module.
    #[must_use]
    pub fn judge(&self, kernel: &KernelView<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        if self.bytes.is_empty() {
            let error = ElfError::NotElf { empty: true };
            return Verdict { refusals: vec![Reason::NotModule { error }], ..verdict };
        }
        match self.format.and_then(|format| decompression(format, self.bytes, kernel)) {
            // kmod passes a file that it cannot read to the kernel as it is.
            Some(Obstacle::Refusal(reason @ Reason::Compression { .. })) => {
                check_signature(self.bytes, kernel, &mut verdict);
                verdict.refusals.push(reason);
                return verdict;
            }
            Some(Obstacle::Refusal(reason)) => verdict.refusals.push(reason),
            Some(Obstacle::Doubt(reason)) => verdict.doubts.push(reason),
            None => {}
        }
        match &self.plain {
            Ok(plain) => check_signature(plain, kernel, &mut verdict),
            Err(error) => {
                verdict.refusals.insert(0, Reason::Damaged { reason: error.to_string() });
                return verdict;
            }
        }
        self.load(kernel, &mut verdict);
        verdict
    }

    /// The checks after the signature, in the kernel's order.
    fn load(&self, kernel: &KernelView<'_>, verdict: &mut Verdict) {
        let length = match kernel.signatures {
            Some(_) => sign::length_without_signature(self.plain()),
            None => self.plain().len(),
        };
        let image = match Image::read(self.plain(), length, kernel) {
            Ok(image) => image,
            Err(reason @ Reason::Unchecked { .. }) => return verdict.doubts.push(reason),
            Err(reason) => return verdict.refusals.push(reason),
        };
        let module = image.module();
        early::check(&module, kernel, verdict);
        verdict.refusals.extend(relocate::aarch64::lacks_tables(&image, kernel));
        verdict.refusals.extend(relocate::riscv::lacks_tables(&image, kernel));
        verdict.refusals.extend(image.layout(kernel));
        if image.reader.machine == X86_64 && image.has_more_than_a_name() {
            verdict.doubts.extend(damage::check(&image, &module, &relocate::Places::new(), kernel));
            return;
        }
        symbols::check(&module, kernel, verdict);
        verdict.refusals.extend(image.own_symbols());
        let relocated = relocate::check(&image, kernel);
        verdict.refusals.extend(relocated.refusal);
        if !relocated.can_crash {
            self.duplicates(&module, kernel, verdict);
            verdict.refusals.extend(image.lacks_name().then_some(Reason::Nameless));
            verdict.refusals.extend(image.same_name(kernel));
        }
        verdict.doubts.extend(relocated.doubts);
        verdict.doubts.extend(damage::check(&image, &module, &relocated.places, kernel));
    }

    /// Checks for exported symbols that something else exports already.
    fn duplicates(&self, module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
        let Some(symbols) = kernel.symbols.filter(|_| !module.exports.is_empty()) else { return };
        if let Ok(list) = exports::read_module(self.plain(), "") {
            for entry in list.iter() {
                if let Some(owner) = symbols.exported_before(entry.symbol) {
                    let (symbol, owner) = (entry.symbol.to_owned(), owner.to_owned());
                    verdict.refusals.push(Reason::DuplicateExport { symbol, owner });
                }
            }
        }
    }
}

fn check_signature(bytes: &[u8], kernel: &KernelView<'_>, verdict: &mut Verdict) {
    if let Some(signatures) = &kernel.signatures {
        signature::check(bytes, signatures, verdict);
    }
}

/// Why a file is not decompressed, or may not be.
enum Obstacle {
    Refusal(Reason),
    Doubt(Reason),
}

/// Checks that kmod or the kernel decompresses the format.
fn decompression(format: Compression, bytes: &[u8], kernel: &KernelView<'_>) -> Option<Obstacle> {
    let loader = &kernel.loader;
    if loader.kernel == Some(format) {
        let check = compress::xz_check(bytes).filter(|check| *check != XzCheck::Crc32)?;
        return Some(Obstacle::Refusal(Reason::XzCheck { check: check.name() }));
    }
    let reads = match format {
        Compression::Gzip => loader.gzip,
        Compression::Xz => loader.xz,
        Compression::Zstd => loader.zstd,
        Compression::Bzip2 | Compression::Lzma | Compression::Lzo | Compression::Lz4 => Some(false),
    };
    match reads {
        Some(true) => None,
        Some(false) => Some(Obstacle::Refusal(Reason::Compression { format })),
        None => Some(Obstacle::Doubt(Reason::LoaderUnknown { format })),
    }
}
