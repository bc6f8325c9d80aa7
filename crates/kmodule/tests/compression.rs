//! Comparison with the command line tools: xz byte by byte, the others by their decompressed data.

mod common;

use common::{filter, has, modules, skip};
use kmodule::Compression;
use kmodule::compress::{self, CompressError, Options};
use std::fs;
use std::process::Command;

fn samples() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = modules(3).iter().map(|file| fs::read(file).unwrap()).collect();
    found.push(fs::read("/proc/self/exe").unwrap().into_iter().take(600_000).collect());
    found.push(Vec::new());
    found.push(b"short".to_vec());
    found
}

#[test]
fn xz_is_byte_identical_with_the_tool() {
    if !has("xz") {
        return skip("needs xz");
    }
    let cases = [
        "",
        "--check=crc32 --lzma2=dict=1MiB",
        "--check=crc32 --lzma2=dict=1MiB -6e",
        "--check=crc32 -9 --lzma2=dict=64KiB",
        "--check=crc32 --lzma2=preset=9e,dict=2MiB",
        "--check crc32 -3q",
        "-Ccrc32 -1 -e --keep",
        "--check=none --fast",
    ];
    for text in cases {
        let options = Options::parse(Compression::Xz, text).unwrap();
        let tool = if text.is_empty() { "--check=crc32 --lzma2=dict=1MiB" } else { text };
        // One thread: with several, xz 5.6 writes other block headers.
        let arguments: Vec<&str> = tool.split(' ').chain(["-T1", "-c"]).collect();
        for data in samples() {
            let ours = compress::compress(&data, &options).unwrap();
            let theirs = filter("xz", &arguments, &data);
            assert!(ours == theirs, "\"{text}\" differs for {} bytes", data.len());
            assert_eq!(compress::decompress(&theirs, data.len()).unwrap(), data);
        }
    }
    // The documented example of a full command line.
    let with = Options::parse(Compression::Xz, "--check=crc32 --lzma2=dict=1MiB -6e -T0").unwrap();
    assert_eq!(with, Options::parse(Compression::Xz, "-6e").unwrap());
}

#[test]
fn zstd_and_gzip_files_are_interchangeable_with_the_tools() {
    let cases = [
        (Compression::Zstd, "zstd", "-q --rm -T0 -19 --ultra", &["-19", "-c", "-q"]),
        (Compression::Zstd, "zstd", "", &["-3", "-c", "-q"]),
        (Compression::Zstd, "zstd", "--fast=3 --no-check", &["--fast=3", "-c", "-q"]),
        (Compression::Gzip, "gzip", "-9", &["-9", "-n", "-c"]),
        (Compression::Gzip, "gzip", "", &["-6", "-n", "-c"]),
        (Compression::Gzip, "gzip", "--fast -n", &["-1", "-n", "-c"]),
    ];
    for (format, tool, text, arguments) in cases {
        if !has(tool) {
            skip(&format!("needs {tool}"));
            continue;
        }
        let options = Options::parse(format, text).unwrap();
        for data in samples() {
            let ours = compress::compress(&data, &options).unwrap();
            assert_eq!(Compression::detect(&ours), Some(format));
            assert_eq!(filter(tool, &["-d", "-c"], &ours), data);
            assert_eq!(compress::decompress(&ours, data.len()).unwrap(), data);
            let theirs = filter(tool, arguments, &data);
            assert_eq!(compress::decompress(&theirs, data.len()).unwrap(), data);
            if format == Compression::Zstd {
                let file = tempfile::Builder::new().suffix(".zst").tempfile().unwrap();
                fs::write(file.path(), &ours).unwrap();
                let listing = Command::new("zstd").arg("-lv").arg(file.path()).output().unwrap();
                let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
                assert!(listing.contains("Frames: 1"), "{listing}");
                assert!(listing.contains("Decompressed Size"), "{listing}");
                assert_eq!(listing.contains("XXH64"), !text.contains("no-check"), "{listing}");
            } else {
                assert_eq!(ours[..10], theirs[..10], "header of {text}");
            }
        }
    }
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    let zeros = vec![0; 50_000_000];
    for format in Compression::OF_MODULES {
        let options = Options::parse(format, "-1").unwrap();
        let bomb = compress::compress(&zeros, &options).unwrap();
        assert!(bomb.len() < 300_000);
        let refused = compress::decompress(&bomb, 1_000_000);
        assert!(matches!(refused, Err(CompressError::TooLarge { limit: 1_000_000 })), "{refused:?}");
        let cut = bomb.get(..bomb.len() / 2).unwrap();
        assert!(
            matches!(compress::decompress(cut, 60_000_000), Err(CompressError::Damaged { .. })),
            "{format:?}"
        );
    }
    assert!(compress::decompress(&zeros, 10).is_err());
}
