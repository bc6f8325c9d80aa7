//! Damaged and hostile bytes are errors, never a panic, and do not use much more memory than the file.

mod common;

use common::{bzimage, modules, skip};
use kmodule::compress::{self, Options};
use kmodule::elf::Module;
use kmodule::{Compression, exports, fuzz_module, image, sign};
use proptest::prelude::*;
use std::fs;
use std::sync::OnceLock;

/// A small real module that exports symbols, or else the smallest module.
fn exporting() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let exports =
            |data: &Vec<u8>| exports::read_module(data, "m").is_ok_and(|list| list.iter().count() > 2);
        let all = modules(2000).into_iter().map(|file| fs::read(file).unwrap());
        all.filter(exports).min_by_key(Vec::len).unwrap_or_else(|| module().to_vec())
    })
}

/// The smallest real module, or the handmade beginning of a module.
fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let all = modules(2000).into_iter().map(|file| fs::read(file).unwrap());
        all.min_by_key(Vec::len).unwrap_or_else(|| b"\x7fELF\x02\x01\x01".repeat(40))
    })
}

fn packed(format: Compression, data: &[u8]) -> Vec<u8> {
    compress::compress(data, &Options::for_modules(format).unwrap()).unwrap()
}

#[test]
fn cut_at_every_97th_byte() {
    let files = modules(4);
    if files.is_empty() {
        return skip("needs unpacked kernel modules");
    }
    for file in files {
        let data = fs::read(file).unwrap();
        let plain = sign::strip_signature(&data);
        for length in (0..plain.len()).step_by(97) {
            let cut = &plain[..length];
            // The section table is at the end of the compiler's output, so every cut is noticed.
            assert!(Module::parse(cut).is_err(), "cut at {length}");
            assert!(sign::signature(cut).is_none());
            assert!(exports::read_module(cut, "m").is_err());
        }
        for length in (plain.len()..data.len()).step_by(7) {
            let _ = sign::signature(&data[..length]);
        }
    }
}

#[test]
fn compressed_modules_cut_anywhere() {
    let data = module();
    for format in Compression::OF_MODULES {
        let packed = packed(format, data);
        for length in (7..packed.len()).step_by(97) {
            assert!(compress::decompress(&packed[..length], data.len()).is_err());
        }
    }
}

#[test]
fn headers_with_too_large_numbers() {
    let data = module();
    for at in [0x28, 0x3a, 0x3c, 0x3e] {
        for value in [0xff, 0x7f, 0x80, 0] {
            let mut bad = data.to_vec();
            for byte in bad.iter_mut().skip(at).take(if at == 0x28 { 8 } else { 2 }) {
                *byte = value;
            }
            fuzz_module(&bad);
        }
    }
}

#[test]
fn images_cut_anywhere() {
    let data = module();
    for format in Compression::OF_MODULES {
        let packed = packed(format, data);
        let whole = bzimage(&packed);
        assert!(*image::unpack(&whole).unwrap() == *data);
        for length in (0..0x400).step_by(13).chain((0x400..whole.len()).step_by(97)) {
            assert!(image::unpack(&whole[..length]).is_err(), "{format:?} {length}");
        }
        // Here the header's lengths cut the payload.
        for length in (0..packed.len()).step_by(97) {
            let mut short = whole.clone();
            short[0x24c..0x250].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            assert!(image::unpack(&short).is_err(), "{format:?} {length}");
        }
    }
}

/// A small archive: a directory, a module, a link and the end.
fn initramfs() -> Vec<u8> {
    let mut all = Vec::new();
    for (mode, path, content) in [
        (0o40_755, "lib/modules/6.1", ""),
        (0o100_644, "lib/modules/6.1/a.ko", "module"),
        (0o120_777, "bin", "usr/bin"),
        (0, "TRAILER!!!", ""),
    ] {
        all.extend_from_slice(b"070701");
        for number in [1, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, path.len() + 1, 0] {
            all.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        for text in [format!("{path}\0"), content.to_owned()] {
            all.extend_from_slice(text.as_bytes());
            all.resize(all.len().next_multiple_of(4), 0);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..12)) {
        let mut data = module().to_vec();
        let length = data.len();
        for (place, bit) in flips {
            data[place.index(length)] ^= 1 << bit;
        }
        fuzz_module(&data);
    }

    #[test]
    fn flipped_bits_in_headers(flips in prop::collection::vec((0usize..64, any::<u8>()), 1..6), tail in 0usize..4096) {
        let mut data = module().to_vec();
        let length = data.len();
        for (place, value) in flips {
            data[place.min(length - 1)] = value;
            data[length - 1 - (place + tail).min(length - 1)] ^= value;
        }
        fuzz_module(&data);
    }

    #[test]
    fn flipped_bytes_of_exports(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        linked in any::<bool>(),
    ) {
        let mut data = exporting().to_vec();
        let length = data.len();
        if linked {
            // An image instead of a module.
            data[16] = 2;
        }
        for (place, value) in flips {
            data[place.index(length)] = value;
        }
        let _ = exports::read_module(&data, "m").map(|list| list.iter().count());
        let _ = exports::read_vmlinux(&data).map(|list| list.iter().count());
    }

    #[test]
    fn flipped_bytes_of_section_headers(
        flips in prop::collection::vec((0usize..64 * 60, any::<u8>()), 1..12),
    ) {
        let mut data = exporting().to_vec();
        let length = sign::strip_signature(&data).len();
        for (place, value) in flips {
            data[length - 1 - place.min(length - 1)] ^= value;
        }
        let _ = exports::read_module(&data, "m").map(|list| list.iter().count());
        let _ = exports::read_vmlinux(&data).map(|list| list.iter().count());
    }

    #[test]
    fn flipped_bytes_of_images(
        flips in prop::collection::vec((0usize..0x500, any::<u8>()), 1..6),
        format in prop::sample::select(Compression::OF_MODULES.to_vec()),
    ) {
        let data = module();
        let packed = packed(format, &data[..data.len().min(4000)]);
        let mut all = bzimage(&packed);
        let length = all.len();
        for (place, value) in flips {
            all[place.min(length - 1)] = value;
        }
        fuzz_module(&all);
    }

    #[test]
    fn flipped_bytes_of_initramfs(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        inside in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        format in prop::sample::select(vec![None, Some(Compression::Gzip), Some(Compression::Xz), Some(Compression::Zstd)]),
    ) {
        let mut archive = initramfs();
        let length = archive.len();
        for (place, value) in inside {
            archive[place.index(length)] = value;
        }
        let packed = format.map_or_else(|| archive.clone(), |format| packed(format, &archive));
        let mut all = [initramfs(), packed].concat();
        let length = all.len();
        for (place, value) in flips {
            all[place.index(length)] = value;
        }
        fuzz_module(&all);
        fuzz_module(&all[..cut.index(length)]);
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_module(&data);
    }

    #[test]
    fn any_bytes_behind_a_magic(
        magic in prop::sample::select(vec![
            &b"\x7fELF\x02\x01\x01\0"[..], b"\x7fELF\x01\x02\x01\0", b"\x1f\x8b\x08", b"\xfd7zXZ\0\0\x01", b"\x28\xb5\x2f\xfd",
            b"070701000000010000a1ff000000000000000000000001", b"\x02\x21\x4c\x18\x20\0\0\0", b"BZh91AY&SY", b"\x5d\0\0\x80\0", b"MZ\0\0zimg\x10\0\0\0\x20\0\0\0",
            b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82\x01\x00", b"0x1\ta\tb\tc\n",
        ]),
        data in prop::collection::vec(any::<u8>(), 0..600),
        signed in any::<bool>(),
    ) {
        let mut all = [magic, &data].concat();
        if signed {
            all.extend_from_slice(sign::MAGIC);
        }
        fuzz_module(&all);
    }

    #[test]
    fn any_option_text(text in "[-a-z0-9=,T ]{0,40}|(-{1,2}(check|lzma2|ultra|fast|threads|T|C|[0-9e]{1,3})=?[a-z0-9=,]{0,8} ?){0,4}") {
        for format in Compression::OF_MODULES {
            if let Ok(options) = Options::parse(format, &text) {
                prop_assert!(compress::compress(b"abc", &options).is_ok(), "{:?} {}", format, text);
            }
        }
    }
}
