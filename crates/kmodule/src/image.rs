//! Kernel images in `/boot`, and the kernels in them.
//!
//! | image | recognised by | contains |
//! |---|---|---|
//! | x86 bzImage | `HdrS` at 0x202 (Documentation/arch/x86/boot.rst) | vmlinux, an ELF file |
//! | EFI zboot | `zimg` at 4 (drivers/firmware/efi/libstub/zboot-header.S) | a flat image |
//! | `Image.gz` and the like | the compression's magic number | a flat image or an ELF file |
//! | `Image` (arm64, riscv, loongarch) | a magic number at 0x38 | it is a flat image |
//! | `vmlinux` | ELF | it is the ELF file |
//!
//! A flat image is the kernel's memory without a table of sections. [`crate::exports`] needs the ELF file.

use crate::compression::Compression;
use crate::unpack::{self, Source};
use std::borrow::Cow;
use std::io::Read;

mod btf;
pub(crate) use btf::btf_within;
pub use btf::{btf, has_btf, has_section};

/// The largest accepted kernel in bytes. Debian's have 60 MiB; with all debug options, it would be about 400.
pub const LIMIT: usize = 512 << 20;

/// Why a file cannot be unpacked as a kernel image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// An unknown format.
    #[error("not a kernel image that can be read: {0}")]
    Unknown(&'static str),
    /// The payload is longer than the file.
    #[error("the kernel image is cut short: its payload ends at byte {needed}, the file has {have}")]
    Truncated {
        /// The end of the payload, in bytes from the start.
        needed: u64,
        /// Length of the file in bytes.
        have: u64,
    },
    /// There is no decoder for its compression.
    #[error("the kernel image is compressed with {}, which dkms cannot decompress", .0.name())]
    Unreadable(Compression),
    /// The compressed data is damaged.
    #[error("the kernel image is damaged: its {} data: {source}", format.name())]
    Damaged {
        /// Its compression.
        format: Compression,
        /// The error of the decoder.
        source: std::io::Error,
    },
    /// It expands to more than [`LIMIT`].
    #[error("the kernel image expands to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// The kernel in an image: an ELF file if there is one, otherwise a flat image (see above). An image that is
/// not compressed is returned unchanged.
///
/// # Errors
/// [`ImageError`].
pub fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ImageError> {
    unpack_within(bytes, LIMIT)
}

pub(crate) fn unpack_within(bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, ImageError> {
    let payload = payload(bytes)?;
    if is_kernel(payload) {
        return Ok(Cow::Borrowed(payload));
    }
    let read = |reader: &mut dyn Read| {
        let mut kernel = Vec::new();
        reader.read_to_end(&mut kernel).map(|_| kernel)
    };
    read_kernel(bytes, limit, read).map(Cow::Owned)
}

/// Calls `read` with the kernel in an image as a stream, then reads the rest to the end to check it.
fn read_kernel<T>(
    bytes: &[u8],
    limit: usize,
    read: impl FnOnce(&mut dyn Read) -> std::io::Result<T>,
) -> Result<T, ImageError> {
    let mut payload = payload(bytes)?;
    if is_kernel(payload) {
        // Reading from memory does not fail.
        return read(&mut payload).map_err(|_| ImageError::Unknown("it cannot be read"));
    }
    let format = Compression::detect(payload)
        .ok_or(ImageError::Unknown("it contains no compressed data of a known format"))?;
    let damaged = |source: std::io::Error| ImageError::Damaged { format, source };
    let mut source = Source::new(&mut payload);
    let reader = unpack::reader(format, &mut source).map_err(damaged)?;
    let reader = reader.ok_or(ImageError::Unreadable(format))?;
    let allowed = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut reader = reader.take(allowed);
    let mut start = Vec::new();
    reader.by_ref().take(MAGIC_END).read_to_end(&mut start).map_err(damaged)?;
    if !is_kernel(&start) {
        return Err(ImageError::Unknown("its compressed data is not a kernel"));
    }
    let mut kernel = start.as_slice().chain(reader);
    let result = read(&mut kernel).map_err(damaged)?;
    std::io::copy(&mut kernel, &mut std::io::sink()).map_err(damaged)?;
    let (_, reader) = kernel.into_inner();
    if reader.limit() == 0 { Err(ImageError::TooLarge { limit }) } else { Ok(result) }
}

/// The part of an image that contains the kernel, which may be compressed. It does not include a signature of
/// the image.
///
/// # Errors
/// [`ImageError`] if its header is damaged.
pub fn payload(bytes: &[u8]) -> Result<&[u8], ImageError> {
    // The headers of bzImage and zboot contain the magic number of a flat image as well, so these are checked
    // first.
    Ok(match (bzimage(bytes)?, zboot(bytes)?) {
        (Some(payload), _) | (None, Some(payload)) => payload,
        (None, None) => bytes,
    })
}

/// The end of the magic numbers that [`is_kernel`] looks for.
const MAGIC_END: u64 = 0x3c;

/// Whether the bytes are an ELF file or a flat image.
fn is_kernel(bytes: &[u8]) -> bool {
    let flat = bytes.get(0x38..0x3c).is_some_and(|magic| {
        // arch/arm64/include/asm/image.h, arch/riscv/include/asm/image.h, include/linux/pe.h (loongarch)
        matches!(magic, b"ARM\x64" | b"RSC\x05") || magic == 0x8182_23cd_u32.to_le_bytes()
    });
    flat || bytes.starts_with(b"\x7fELF")
}

/// The payload of an x86 image.
fn bzimage(bytes: &[u8]) -> Result<Option<&[u8]>, ImageError> {
    let Some(setup) = setup_header(bytes) else { return Ok(None) };
    // payload_offset and payload_length were added in protocol 2.08 (Linux 2.6.26).
    let (Some(offset), Some(length)) = (setup.word(0x48), setup.word(0x4c)) else {
        return Err(ImageError::Truncated { needed: 0x250, have: bytes.len() as u64 });
    };
    if setup.half(6).unwrap_or_default() < 0x208 || length == 0 {
        return Err(ImageError::Unknown("its boot protocol is older than 2.08"));
    }
    let sectors = match bytes.get(0x1f1) {
        None | Some(0) => 4,
        Some(count) => u64::from(*count),
    };
    let payload = part(bytes, (sectors + 1) * 512 + u64::from(offset), length)?;
    // The length of the kernel follows the compressed data. All formats except lz4 mark their own end.
    let body = match payload.split_last_chunk::<4>() {
        Some((body, _)) if Compression::detect(payload) == Some(Compression::Lz4) => body,
        _ => payload,
    };
    Ok(Some(body))
}

/// The payload of an EFI zboot image. Its length does not include the data after the compressed data.
fn zboot(bytes: &[u8]) -> Result<Option<&[u8]>, ImageError> {
    if !bytes.starts_with(b"MZ") || bytes.get(4..8) != Some(b"zimg") {
        return Ok(None);
    }
    let header = Header(bytes);
    match (header.word(8), header.word(12)) {
        (Some(offset), Some(length)) => part(bytes, offset.into(), length).map(Some),
        _ => Err(ImageError::Truncated { needed: 16, have: bytes.len() as u64 }),
    }
}

fn part(bytes: &[u8], offset: u64, length: u32) -> Result<&[u8], ImageError> {
    let needed = offset.saturating_add(length.into());
    let place = usize::try_from(offset).ok().zip(usize::try_from(needed).ok());
    place
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or(ImageError::Truncated { needed, have: bytes.len() as u64 })
}

/// Little-endian fields, by their offset.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn half(&self, at: usize) -> Option<u16> {
        self.0.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

/// The x86 setup header, which begins at 0x200.
fn setup_header(bytes: &[u8]) -> Option<Header<'_>> {
    let header = Header(bytes.get(0x200..)?);
    (bytes.get(0x202..0x206)? == b"HdrS" && bytes.get(0x1fe..0x200)? == [0x55, 0xaa]).then_some(header)
}

#[cfg(test)]
mod tests;
