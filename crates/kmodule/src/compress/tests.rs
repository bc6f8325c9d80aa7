use super::{CompressError, Options, Xz, compress, decompress};
use crate::compression::Compression;

#[test]
fn data_is_compressed_and_expanded_up_to_the_limit() {
    for format in Compression::OF_MODULES {
        let packed = compress(b"payload", &Options::for_modules(format).unwrap()).unwrap();
        assert_eq!(Compression::detect(&packed), Some(format));
        assert_eq!(decompress(&packed, 7).unwrap(), b"payload");
        assert!(matches!(decompress(&packed, 6), Err(CompressError::TooLarge { limit: 6 })));
    }
    assert_eq!(decompress(b"payload", 7).unwrap(), b"payload");
    assert!(matches!(decompress(b"payload", 6), Err(CompressError::TooLarge { limit: 6 })));
    let bzip2 = Options::parse(Compression::Bzip2, "-1");
    assert!(matches!(bzip2, Err(CompressError::NotForModules(Compression::Bzip2))));
}

#[test]
fn options_that_affect_the_output() {
    const E: u32 = 1 << 31;
    let xz = [
        ("", (6, Some(1 << 20), true)),
        ("--check=crc32 --lzma2=dict=1MiB", (6, Some(1 << 20), true)),
        // A level cancels a filter in front of it.
        ("--check=crc32 --lzma2=dict=1MiB -6e -T0", (6 | E, None, true)),
        ("-9 --lzma2=dict=64KiB", (6, Some(65536), true)),
        ("--lzma2=preset=9e,dict=8Mi -q", (9 | E, Some(8 << 20), true)),
        ("-C none -T 4 -3", (3, None, false)),
        ("--threads 2 --check none -e", (6 | E, None, false)),
    ];
    for (text, (preset, dictionary, crc32)) in xz {
        let expected = Options::Xz(Xz { preset, dictionary, crc32 });
        assert_eq!(Options::parse(Compression::Xz, text).unwrap(), expected, "{text}");
    }
    let zstd = [
        ("", 3, true),
        ("-q --rm -T0 -19 --ultra", 19, true),
        ("-q -f -T0 -20 --ultra", 20, true),
        ("-22", 19, true),
        ("--fast --no-check", -1, false),
        ("--fast=5", -5, true),
        ("-T4 --threads=2", 3, true),
    ];
    for (text, level, checksum) in zstd {
        let expected = Options::Zstd { level, checksum };
        assert_eq!(Options::parse(Compression::Zstd, text).unwrap(), expected, "{text}");
    }
    for (text, level) in
        [("", 6), ("-9", 9), ("-9f", 9), ("-n9 -q", 9), ("--best", 9), ("--fast", 1), ("-3 -7", 7)]
    {
        let expected = Options::Gzip { level };
        assert_eq!(Options::parse(Compression::Gzip, text).unwrap(), expected, "{text}");
    }
}

#[test]
fn unsupported_options_are_named() {
    let cases = [
        (Compression::Gzip, "-9 --rsyncable", "--rsyncable"),
        (Compression::Gzip, "-0", "-0"),
        (Compression::Gzip, "9", "9"),
        (Compression::Gzip, "-N", "-N"),
        (Compression::Gzip, "-", "-"),
        (Compression::Xz, "--check=crc64", "--check=crc64"),
        (Compression::Xz, "--check", "--check"),
        (Compression::Xz, "--x86 --lzma2", "--x86"),
        (Compression::Xz, "--lzma2=dict=1TiB", "--lzma2=dict=1TiB"),
        (Compression::Xz, "--lzma2=lc=4", "--lzma2=lc=4"),
        (Compression::Xz, "--format=lzma", "--format=lzma"),
        (Compression::Xz, "-Tmany", "-Tmany"),
        (Compression::Zstd, "--long=31", "--long=31"),
        (Compression::Zstd, "-23 --ultra", "-23"),
        (Compression::Zstd, "-D dict", "-D"),
        (Compression::Zstd, "--fast=0", "--fast=0"),
    ];
    for (format, text, word) in cases {
        match Options::parse(format, text) {
            Err(CompressError::Option { option, .. }) => assert_eq!(option, word, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
