//! Damaged and hostile bytes: an error, never a panic, and no more memory than the file justifies.

mod common;

use common::{modules, skip};
use kmodule::compress::{self, Format, Options};
use kmodule::elf::Module;
use kmodule::{fuzz_module, sign};
use proptest::prelude::*;
use std::fs;
use std::sync::OnceLock;

/// The smallest real module, or a hand-made beginning of one.
fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let all = modules(2000).into_iter().map(|file| fs::read(file).unwrap());
        all.min_by_key(Vec::len).unwrap_or_else(|| b"\x7fELF\x02\x01\x01".repeat(40))
    })
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
            // The section table is at the end of what the compiler wrote: every cut is noticed.
            assert!(Module::parse(cut).is_err(), "cut at {length}");
            assert!(sign::signature(cut).is_none());
        }
        for length in (plain.len()..data.len()).step_by(7) {
            let _ = sign::signature(&data[..length]);
        }
    }
}

#[test]
fn compressed_modules_cut_anywhere() {
    let data = module();
    for format in [Format::Gzip, Format::Xz, Format::Zstd] {
        let packed = compress::compress(format, data, &Options::default()).unwrap();
        for length in (7..packed.len()).step_by(97) {
            assert!(compress::decompress(&packed[..length], data.len()).is_err());
        }
    }
}

#[test]
fn headers_that_promise_too_much() {
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
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_module(&data);
    }

    #[test]
    fn any_bytes_behind_a_magic(
        magic in prop::sample::select(vec![
            &b"\x7fELF\x02\x01\x01\0"[..], b"\x7fELF\x01\x02\x01\0", b"\x1f\x8b\x08", b"\xfd7zXZ\0\0\x01", b"\x28\xb5\x2f\xfd",
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
        for format in [Format::None, Format::Gzip, Format::Xz, Format::Zstd] {
            if let Ok(options) = Options::parse(format, &text) {
                prop_assert!(compress::compress(format, b"abc", &options).is_ok(), "{:?} {}", format, text);
            }
        }
    }
}
