//! The BTF of a kernel: the types of its data, to which the BTF of modules refers
//! (Documentation/bpf/btf.rst of Linux).

use crate::elf::reader::Reader;

/// `struct btf_header` without its magic number, version and flags.
const HEADER: usize = 24;

/// The start of BTF in little-endian kernels: magic number 0xeb9f, version 1, no flags.
const START: [u8; 4] = [0x9f, 0xeb, 1, 0];

/// The BTF of an unpacked kernel; `None` if it has none.
///
/// A flat image has no table of sections. There, BTF is recognised by its header, whose sizes must describe
/// two adjacent parts, and by the first and the last byte of its strings.
#[must_use]
pub fn btf(kernel: &[u8]) -> Option<&[u8]> {
    if kernel.starts_with(b"\x7fELF") {
        return section(kernel, b".BTF");
    }
    let starts = kernel.windows(START.len()).enumerate().filter(|(_, window)| *window == START);
    // A kernel of this type has been seen with one only; data in it may look like a small one.
    starts.filter_map(|(at, _)| whole(kernel.get(at..)?)).max_by_key(|btf| btf.len())
}

/// Whether a module has BTF.
#[must_use]
pub fn has_btf(module: &[u8]) -> bool {
    section(module, b".BTF").is_some_and(|btf| !btf.is_empty())
}

/// Whether an ELF file has a section of this name.
#[must_use]
pub fn has_section(file: &[u8], name: &str) -> bool {
    section(file, name.as_bytes()).is_some()
}

fn section<'a>(file: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let reader = Reader::any(file).ok()?;
    let sections = reader.sections().ok()?;
    reader.contents(sections.iter().find(|section| section.name == name)?).ok()
}

/// The BTF that begins here: its header, types and strings.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    let size = |at: usize| usize::try_from(word(at)?).ok();
    let (header, types, types_size) = (size(4)?, size(8)?, size(12)?);
    let (strings, strings_size) = (size(16)?, size(20)?);
    let adjacent = types == 0 && types_size > 0 && strings == types_size;
    if !(HEADER..256).contains(&header) || !adjacent || strings_size < 2 {
        return None;
    }
    let start = header.checked_add(strings)?;
    let end = start.checked_add(strings_size)?;
    let terminated = bytes.get(start) == Some(&0) && bytes.get(end - 1) == Some(&0);
    bytes.get(..end).filter(|_| terminated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(types: u32, strings: &[u8]) -> Vec<u8> {
        let length = u32::try_from(strings.len()).unwrap();
        let words = [24, 0, types, types, length].map(u32::to_le_bytes).concat();
        let types = vec![7; usize::try_from(types).unwrap()];
        [&START[..], &words, &types, strings].concat()
    }

    #[test]
    fn in_a_flat_image_it_is_found_by_its_header() {
        let good = sample(40, b"\0int\0long\0");
        let small = sample(4, b"\0a\0");
        let mut image = vec![0; 0x38];
        image.extend_from_slice(b"ARM\x64");
        for part in [&small[..], &[0x9f, 0xeb, 1, 0, 1, 2], &good, b"behind"] {
            image.extend_from_slice(part);
        }
        assert_eq!(btf(&image), Some(&good[..]));
    }

    #[test]
    fn what_only_begins_like_it_is_not_btf() {
        let cut = sample(40, b"\0int\0");
        let flat = |bytes: &[u8]| [&[0; 0x38][..], b"ARM\x64", bytes].concat();
        for bad in [&cut[..cut.len() - 1], &sample(0, b"\0a\0"), &sample(4, b"ab\0"), &sample(4, b"\0ab")] {
            assert_eq!(btf(&flat(bad)), None, "{bad:?}");
        }
        assert_eq!(btf(&flat(b"")), None);
        assert_eq!(btf(b"\x7fELF"), None);
    }
}
