//! The BTF of a kernel: the types of its data, to which the BTF of modules refers
//! (Documentation/bpf/btf.rst of Linux).

use super::ImageError;
use crate::elf::reader::Reader;
use std::io::Read;

/// The length of `struct btf_header`, in bytes.
const HEADER: usize = 24;

/// The start of BTF in little-endian kernels: magic number 0xeb9f, version 1, no flags.
const START: [u8; 4] = [0x9f, 0xeb, 1, 0];

/// The largest accepted BTF in bytes. Debian's kernels have 4 to 7 MB.
const LONGEST: usize = 64 << 20;

/// The number of bytes of a kernel that are read at once.
const PIECE: u64 = 1 << 20;

/// The BTF of the kernel in an image (see [`super`] for the formats); `None` if it has none.
///
/// The kernel is read piece by piece and is never in memory as a whole, so its section table is not used. BTF
/// is recognised by its header, whose sizes must describe two adjacent parts, and by the first and the last
/// byte of its strings. Other data may look like small BTF, so the longest match is returned.
///
/// # Errors
/// As [`super::unpack`].
pub fn btf(image: &[u8]) -> Result<Option<Vec<u8>>, ImageError> {
    btf_within(image, super::LIMIT)
}

pub(crate) fn btf_within(image: &[u8], limit: usize) -> Result<Option<Vec<u8>>, ImageError> {
    super::read_kernel(image, limit, |kernel| {
        let mut search = Search::default();
        while search.read_more(kernel)? {
            search.scan();
        }
        Ok(search.longest)
    })
}

/// Searches for BTF in a stream.
#[derive(Default)]
struct Search {
    /// The bytes that are read, but not scanned yet.
    window: Vec<u8>,
    /// The number of bytes in `window` that the next scan needs.
    needed: usize,
    ended: bool,
    /// The longest BTF so far.
    longest: Option<Vec<u8>>,
}

impl Search {
    /// Fills the window. Returns whether there is anything to scan.
    fn read_more(&mut self, kernel: &mut dyn Read) -> std::io::Result<bool> {
        while !self.ended && self.window.len() < self.needed.max(HEADER) {
            let read = (&mut *kernel).take(PIECE).read_to_end(&mut self.window)?;
            self.ended = read == 0;
        }
        Ok(!self.window.is_empty())
    }

    /// Scans the window, and keeps only the bytes that the next scan needs.
    fn scan(&mut self) {
        let mut rest = self.window.as_slice();
        // The start of BTF may be cut by the end of the window.
        let mut kept = if self.ended { 0 } else { rest.len().min(START.len() - 1) };
        self.needed = 0;
        while let Some(at) = memchr::memmem::find(rest, &START) {
            rest = &rest[at..];
            let Some(length) = length_in_header(rest) else {
                rest = &rest[1..];
                continue;
            };
            match rest.get(..length) {
                None if !self.ended => {
                    (self.needed, kept) = (length, rest.len());
                    break;
                }
                Some(btf) if has_terminated_strings(btf) => {
                    if self.longest.as_ref().is_none_or(|longest| longest.len() < btf.len()) {
                        self.longest = Some(btf.to_vec());
                    }
                    rest = &rest[length..];
                    kept = kept.min(rest.len());
                }
                _ => rest = &rest[1..],
            }
        }
        self.window.drain(..self.window.len() - kept);
    }
}

/// The length in bytes of the BTF that begins here, according to its header. If the header is cut off, this
/// is the length of the header. `None`: it is not BTF.
fn length_in_header(bytes: &[u8]) -> Option<usize> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    let size = |at: usize| usize::try_from(word(at)?).ok();
    let (Some(header), Some(types), Some(types_size), Some(strings), Some(strings_size)) =
        (size(4), size(8), size(12), size(16), size(20))
    else {
        return Some(HEADER);
    };
    let adjacent = types == 0 && types_size > 0 && strings == types_size;
    if !(HEADER..256).contains(&header) || !adjacent || strings_size < 2 {
        return None;
    }
    let length = header.checked_add(strings)?.checked_add(strings_size)?;
    (length <= LONGEST).then_some(length)
}

/// Whether the strings of this BTF begin and end with a zero byte.
fn has_terminated_strings(btf: &[u8]) -> bool {
    let word = |at: usize| btf.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    let start = word(4).zip(word(16)).and_then(|(header, strings)| header.checked_add(strings));
    let first = start.and_then(|start| btf.get(usize::try_from(start).ok()?));
    first == Some(&0) && btf.last() == Some(&0)
}

/// Whether a module has BTF.
#[must_use]
pub fn has_btf(module: &[u8]) -> bool {
    section(module, b".BTF").is_some_and(|btf| !btf.is_empty())
}

/// Whether an ELF file has a section with this name.
#[must_use]
pub fn has_section(file: &[u8], name: &str) -> bool {
    section(file, name.as_bytes()).is_some()
}

fn section<'a>(file: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let reader = Reader::any(file).ok()?;
    let sections = reader.sections().ok()?;
    reader.contents(sections.iter().find(|section| section.name == name)?).ok()
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
        assert_eq!(btf(&image).unwrap(), Some(good));
    }

    /// Returns a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn it_is_found_wherever_the_pieces_end() {
        let good = sample(4000, b"\0int\0long\0");
        let mut cut = sample(60_000, b"\0int\0");
        cut.truncate(100);
        for (before, after) in [(0, 0), (1, 3), (70, 4000), (5000, 70_000)] {
            let stream = [&vec![0x9f; before][..], &cut, &good, &vec![0xeb; after]].concat();
            for piece in [1, 7, 28, 4096, 1 << 20] {
                let mut search = Search::default();
                let mut kernel = Slow(&stream, piece);
                while search.read_more(&mut kernel).unwrap() {
                    search.scan();
                }
                assert_eq!(search.longest.as_deref(), Some(&good[..]), "{before} {after} {piece}");
            }
        }
    }

    #[test]
    fn data_that_only_begins_like_btf_is_not_btf() {
        let cut = sample(40, b"\0int\0");
        let flat = |bytes: &[u8]| [&[0; 0x38][..], b"ARM\x64", bytes].concat();
        for bad in [&cut[..cut.len() - 1], &sample(0, b"\0a\0"), &sample(4, b"ab\0"), &sample(4, b"\0ab")] {
            assert_eq!(btf(&flat(bad)).unwrap(), None, "{bad:?}");
        }
        assert_eq!(btf(&flat(b"")).unwrap(), None);
        assert_eq!(btf(b"\x7fELF").unwrap(), None);
    }
}
