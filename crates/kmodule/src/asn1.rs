//! DER (ITU-T X.690) values that are kept exactly as they are in the file.
//!
//! Kernels compare the names and serial numbers of certificates byte for byte, so they must not be decoded
//! and encoded again.

use der::{
    Decode, DecodeValue, EncodeValue, FixedTag, Header, Length, Reader, Result, SliceReader, Tag, Writer,
};

/// An element with a known tag, whose content is not decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a, const TAG: u8>(pub(crate) &'a [u8]);

pub(crate) type RawInteger<'a> = Raw<'a, 0x02>;
pub(crate) type RawSequence<'a> = Raw<'a, 0x30>;
pub(crate) type RawSet<'a> = Raw<'a, 0x31>;

impl<const TAG: u8> FixedTag for Raw<'_, TAG> {
    const TAG: Tag = match TAG {
        0x02 => Tag::Integer,
        0x30 => Tag::Sequence,
        0x31 => Tag::Set,
        _ => panic!("this tag is not used; checked by the compiler"),
    };
}

impl<'a, const TAG: u8> DecodeValue<'a> for Raw<'a, TAG> {
    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> Result<Self> {
        reader.read_slice(header.length).map(Raw)
    }
}

impl<const TAG: u8> EncodeValue for Raw<'_, TAG> {
    fn value_len(&self) -> Result<Length> {
        self.0.len().try_into()
    }

    fn encode_value(&self, writer: &mut impl Writer) -> Result<()> {
        writer.write(self.0)
    }
}

/// Decodes one element after the other, until the end or the first element that is not a `T`.
pub(crate) fn elements<'a, T: Decode<'a>>(bytes: &'a [u8]) -> impl Iterator<Item = T> + use<'a, T> {
    let mut reader = SliceReader::new(bytes).ok();
    std::iter::from_fn(move || T::decode(reader.as_mut()?).ok())
}

/// Decodes the first element; bytes after it are ignored.
pub(crate) fn first<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T> {
    T::decode(&mut SliceReader::new(bytes)?)
}

/// The content of a positive INTEGER without the leading zero that keeps it positive.
pub(crate) fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => rest,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;

    #[test]
    fn content_is_passed_on_unchanged() {
        // Neither of these is canonical: a sorted SET and a short INTEGER would be written differently.
        for bytes in [&b"\x31\x06\x02\x01\x02\x02\x01\x01"[..], b"\x31\x00"] {
            assert_eq!(RawSet::from_der(bytes).unwrap().to_der().unwrap(), bytes);
        }
        let zeros = b"\x02\x03\x00\x00\x01";
        assert_eq!(RawInteger::from_der(zeros).unwrap().to_der().unwrap(), zeros);
        assert!(RawSequence::from_der(zeros).is_err());
        assert_eq!((unsigned(&[0, 0x80]), unsigned(&[0])), (&[0x80][..], &[0][..]));
    }

    #[test]
    fn elements_end_at_damage() {
        let bytes = b"\x02\x01\x05\x02\x01\x06\x04\x01\x07";
        assert_eq!(elements::<RawInteger<'_>>(bytes).map(|n| n.0[0]).collect::<Vec<_>>(), [5, 6]);
        for damaged in
            [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 5, 1], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x1f, 1, 0]]
        {
            assert!(first::<der::asn1::AnyRef<'_>>(damaged).is_err(), "{damaged:?}");
        }
    }
}
