use super::{Source, reader};
use crate::compress::{Options, compress};
use crate::compression::Compression;
use std::io::{BufRead, Read, Write};

const TEXT: &[u8] = b"abcabcabcabcabcabcabcabcabcabc-the end of it";
/// The output of `lz4 -l`: literals, a copy that overlaps itself, and the rest.
const LZ4: &[u8] = b"\x02\x21\x4c\x18\x16\x00\x00\x00\x3f\x61\x62\x63\x03\x00\x08\xe0-the end of it";

fn packed(format: Compression) -> Vec<u8> {
    match format {
        Compression::Gzip | Compression::Xz | Compression::Zstd => {
            compress(TEXT, &Options::for_modules(format).unwrap()).unwrap()
        }
        Compression::Lz4 => LZ4.to_vec(),
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(TEXT).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Lzma => {
            let options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
            let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
            let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            encoder.write_all(TEXT).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Lzo => b"\x89LZO\0\r\n\x1a\n".to_vec(),
    }
}

const READABLE: [Compression; 6] = [
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Lzma,
    Compression::Xz,
    Compression::Lz4,
    Compression::Zstd,
];

/// Reads the stream at the beginning, and returns the rest as well.
fn expand(bytes: &[u8], format: Compression) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    // Small pieces: the buffer of a real file does not end where the stream ends.
    let mut pieces = std::io::BufReader::with_capacity(5, bytes);
    let mut source = Source::new(&mut pieces);
    assert_eq!(Compression::detect(source.peek(Compression::MAGIC)?), Some(format));
    let mut out = Vec::new();
    reader(format, &mut source)?.unwrap().read_to_end(&mut out)?;
    let offset = source.offset();
    let mut rest = Vec::new();
    source.read_to_end(&mut rest)?;
    assert_eq!(offset + rest.len() as u64, bytes.len() as u64);
    Ok((out, rest))
}

#[test]
fn data_after_a_stream_stays_in_the_source() {
    for format in READABLE {
        // The zeros are padding; for lz4 they are a length, which ends the stream.
        for tail in [&b""[..], &[0; 9], b"\x00\x00\x00\x00070701"] {
            let bytes = [&packed(format), tail].concat();
            let (out, rest) = expand(&bytes, format).unwrap();
            assert_eq!((&*out, &*rest), (TEXT, tail), "{format:?}");
        }
    }
    let lzo = packed(Compression::Lzo);
    assert_eq!(Compression::detect(&lzo), Some(Compression::Lzo));
    assert!(reader(Compression::Lzo, &mut Source::new(&mut &lzo[..])).unwrap().is_none());
}

#[test]
fn a_stream_that_is_cut_short_is_an_error() {
    for format in READABLE {
        let bytes = packed(format);
        for length in Compression::MAGIC..bytes.len() {
            match expand(&bytes[..length], format) {
                Err(_) => {}
                // Nothing marks the end of lz4: a length that is cut ends the stream.
                Ok((out, _)) => {
                    assert!(format == Compression::Lz4 && length < 8 && out.is_empty(), "{format:?} {length}")
                }
            }
        }
    }
}

#[test]
fn damaged_lz4_blocks_are_errors() {
    let block = |bytes: &[u8]| {
        let mut all = LZ4[..4].to_vec();
        all.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        all.extend_from_slice(bytes);
        expand(&all, Compression::Lz4).map(|(out, _)| out)
    };
    assert_eq!(block(b"\x20ab").unwrap(), b"ab");
    assert_eq!(block(b"\x11a\x01\x00\x10b").unwrap(), b"aaaaaab");
    for bad in [
        &b"\x30ab"[..],           // fewer literals than announced
        b"\x10a\x02\x00\x10b",    // a copy from before the beginning
        b"\x10a\x00\x00\x10b",    // a copy of itself
        b"\x10a\x01",             // half a distance
        b"\xf0\xff",              // a length without end
        b"\x1fa\x01\x00\xff\xff", // the same of a copy
        b"\x10a\x01\x00",         // no last literals
    ] {
        assert!(block(bad).is_err(), "{bad:x?}");
    }
    // A copy that is longer than a chunk.
    let mut bomb = b"\x1fa\x01\x00".to_vec();
    bomb.resize(33_000, 255);
    bomb.extend_from_slice(b"\x00\x10b");
    assert!(block(&bomb).is_err());
}

#[test]
fn looking_ahead_consumes_nothing() {
    let mut pieces = std::io::BufReader::with_capacity(3, &b"0123456789"[..]);
    let mut source = Source::new(&mut pieces);
    assert_eq!(source.peek(4).unwrap(), b"0123");
    assert_eq!(source.peek(2).unwrap(), b"01");
    source.consume(1);
    assert_eq!(source.peek(8).unwrap(), b"12345678");
    assert_eq!(source.offset(), 1);
    source.skip(8).unwrap();
    assert_eq!(source.peek(6).unwrap(), b"9");
    assert_eq!(source.skip(2).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!((source.offset(), source.peek(1).unwrap().len()), (10, 0));
}
