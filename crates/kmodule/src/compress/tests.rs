use super::{CompressError, Format, Options, options::XzCheck};

#[test]
fn formats_by_magic_and_suffix() {
    for format in [Format::None, Format::Gzip, Format::Xz, Format::Zstd] {
        assert_eq!(Format::from_suffix(format.suffix()), Some(format));
        let packed = super::compress(format, b"payload", &Options::default()).unwrap();
        assert_eq!(Format::detect(&packed), format);
        assert_eq!(super::decompress(&packed, 7).unwrap(), b"payload");
        assert_eq!(super::decompress(&packed, 6), Err(CompressError::TooLarge { format, limit: 6 }));
    }
    assert_eq!(Format::from_suffix("xz"), Some(Format::Xz));
    assert_eq!(Format::from_suffix(".bz2"), None);
    assert_eq!(Format::detect(b""), Format::None);
}

#[test]
fn options_that_shape_the_output() {
    const E: u32 = 1 << 31;
    let xz = [
        ("", (6, Some(1 << 20), XzCheck::Crc32)),
        ("--check=crc32 --lzma2=dict=1MiB", (6, Some(1 << 20), XzCheck::Crc32)),
        // A level makes xz forget a filter that stands before it.
        ("--check=crc32 --lzma2=dict=1MiB -6e -T0", (6 | E, None, XzCheck::Crc32)),
        ("-9 --lzma2=dict=64KiB", (6, Some(65536), XzCheck::Crc32)),
        ("--lzma2=preset=9e,dict=8Mi -q", (9 | E, Some(8 << 20), XzCheck::Crc32)),
        ("-C none -T 4 -3", (3, None, XzCheck::None)),
        ("--threads 2 --check none -e", (6 | E, None, XzCheck::None)),
    ];
    for (text, expected) in xz {
        let options = Options::parse(Format::Xz, text).unwrap().xz;
        assert_eq!((options.preset, options.dictionary, options.check), expected, "{text}");
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
        let options = Options::parse(Format::Zstd, text).unwrap();
        assert_eq!((options.zstd_level, options.zstd_checksum), (level, checksum), "{text}");
    }
    for (text, level) in
        [("", 6), ("-9", 9), ("-9f", 9), ("-n9 -q", 9), ("--best", 9), ("--fast", 1), ("-3 -7", 7)]
    {
        assert_eq!(Options::parse(Format::Gzip, text).unwrap().gzip_level, level, "{text}");
    }
}

#[test]
fn options_that_cannot_be_followed_are_named() {
    let cases = [
        (Format::Gzip, "-9 --rsyncable", "--rsyncable"),
        (Format::Gzip, "-0", "-0"),
        (Format::Gzip, "9", "9"),
        (Format::Gzip, "-N", "-N"),
        (Format::Gzip, "-", "-"),
        (Format::Xz, "--check=crc64", "--check=crc64"),
        (Format::Xz, "--check", "--check"),
        (Format::Xz, "--x86 --lzma2", "--x86"),
        (Format::Xz, "--lzma2=dict=1TiB", "--lzma2=dict=1TiB"),
        (Format::Xz, "--lzma2=lc=4", "--lzma2=lc=4"),
        (Format::Xz, "--format=lzma", "--format=lzma"),
        (Format::Xz, "-Tmany", "-Tmany"),
        (Format::Zstd, "--long=31", "--long=31"),
        (Format::Zstd, "-23 --ultra", "-23"),
        (Format::Zstd, "-D dict", "-D"),
        (Format::Zstd, "--fast=0", "--fast=0"),
        (Format::None, "-1", "-1"),
    ];
    for (format, text, word) in cases {
        match Options::parse(format, text) {
            Err(CompressError::Option { option, .. }) => assert_eq!(option, word, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
