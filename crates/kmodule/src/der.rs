//! The few rules of DER (ITU-T X.690) that certificates and signatures need.

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OID: u8 = 0x06;
pub const UTF8_STRING: u8 = 0x0c;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;

/// Context tag `[number]`, constructed.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Object identifiers, as content bytes.
pub mod oid {
    pub const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    pub const SHA256_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
    pub const PKCS7_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    pub const PKCS7_SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    pub const COMMON_NAME: &[u8] = b"\x55\x04\x03";
    pub const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
    pub const SUBJECT_KEY_ID: &[u8] = b"\x55\x1d\x0e";
    pub const AUTHORITY_KEY_ID: &[u8] = b"\x55\x1d\x23";
    pub const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
    pub const CODE_SIGNING: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x03";
}

/// One element: tag, content, and the element as it stood.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    pub tag: u8,
    pub body: &'a [u8],
    pub whole: &'a [u8],
}

/// Walks through elements that follow one another.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// The next element's tag, without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Takes the next element. `None` at the end and for what DER does not allow: indefinite or missing lengths,
    /// multi-byte tags (nothing we read has them).
    pub fn any(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            rest = after;
            bytes
                .iter()
                .try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?
        };
        let (body, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Element { tag, body, whole })
    }

    /// Takes the next element if it has this tag.
    pub fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.any().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// Takes a constructed element and walks into it.
    pub fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(|element| Reader(element.body))
    }
}

/// The content of a positive INTEGER without the leading zero that keeps it positive.
pub fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => rest,
        other => other,
    }
}

/// One element around `body`.
pub fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 6);
    out.push(tag);
    let length = body.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let length = length.get(significant..).unwrap_or_default();
    if body.len() >= 0x80 {
        // At most eight length bytes on any machine.
        out.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
    }
    out.extend_from_slice(length);
    out.extend_from_slice(body);
    out
}

/// One element around several.
pub fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// An INTEGER from an unsigned number, most significant byte first.
pub fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    match digits.first() {
        None => element(INTEGER, &[0]),
        Some(first) if *first >= 0x80 => wrap(INTEGER, &[&[0], digits]),
        Some(_) => element(INTEGER, digits),
    }
}

/// A BIT STRING of whole bytes.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    wrap(BIT_STRING, &[&[0], bytes])
}

/// `AlgorithmIdentifier { oid, NULL }`.
pub fn algorithm_null(oid: &[u8]) -> Vec<u8> {
    wrap(SEQUENCE, &[&element(OID, oid), &element(NULL, &[])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65535, 65536] {
            let body = vec![7; length];
            let bytes = element(OCTET_STRING, &body);
            let mut reader = Reader::new(&bytes);
            assert!(reader.take(SEQUENCE).is_none());
            assert_eq!(
                reader.take(OCTET_STRING).map(|e| (e.body.len(), e.whole.len())),
                Some((length, bytes.len()))
            );
            assert!(reader.peek().is_none());
        }
    }

    #[test]
    fn integers_stay_positive_and_short() {
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0x80]), [0x80]);
        assert_eq!(unsigned(&[0]), [0]);
    }

    #[test]
    fn damage_ends_the_walk() {
        for bytes in
            [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 5, 1], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x1f, 1, 0]]
        {
            assert!(Reader::new(bytes).any().is_none(), "{bytes:?}");
        }
    }
}
