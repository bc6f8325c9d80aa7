//! The structures of X.509 certificates (RFC 5280), for reading and for writing.

use crate::asn1::{Raw, RawInteger, RawSequence, RawSet, elements};
use der::asn1::{AnyRef, BitStringRef, BmpString, GeneralizedTime, OctetStringRef, UtcTime};
use der::oid::ObjectIdentifier;
use der::{Choice, Encode, Sequence};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use std::time::Duration;

pub(crate) const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
pub(crate) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
pub(crate) const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
pub(crate) const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
pub(crate) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
pub(crate) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

#[derive(Sequence)]
pub(crate) struct Certificate<'a> {
    /// [`TbsCertificate`], the part that the issuer signs.
    pub(crate) tbs: RawSequence<'a>,
    pub(crate) algorithm: AlgorithmIdentifierRef<'a>,
    pub(crate) signature: BitStringRef<'a>,
}

#[derive(Sequence)]
pub(crate) struct TbsCertificate<'a> {
    /// 2 means version 3.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) version: Option<u8>,
    pub(crate) serial: RawInteger<'a>,
    pub(crate) algorithm: AlgorithmIdentifierRef<'a>,
    pub(crate) issuer: Name<'a>,
    pub(crate) validity: Validity,
    pub(crate) subject: Name<'a>,
    pub(crate) public_key: SubjectPublicKeyInfoRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) issuer_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) subject_id: Option<BitStringRef<'a>>,
    /// A SEQUENCE OF [`Extension`].
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<RawSequence<'a>>,
}

#[derive(Sequence)]
pub(crate) struct Validity {
    pub(crate) not_before: Time,
    pub(crate) not_after: Time,
}

#[derive(Choice)]
pub(crate) enum Time {
    #[asn1(type = "UTCTime")]
    Utc(UtcTime),
    #[asn1(type = "GeneralizedTime")]
    General(GeneralizedTime),
}

impl Time {
    /// UTCTime until 2049, GeneralizedTime from 2050 on (section 4.1.2.5); `None` after the year 9999.
    pub(crate) fn from_unix(seconds: u64) -> Option<Time> {
        let time = Duration::from_secs(seconds);
        let utc = UtcTime::from_unix_duration(time).map(Time::Utc).ok();
        utc.or_else(|| GeneralizedTime::from_unix_duration(time).map(Time::General).ok())
    }

    /// Seconds since 1970.
    pub(crate) fn to_unix(&self) -> u64 {
        match self {
            Time::Utc(time) => time.to_unix_duration().as_secs(),
            Time::General(time) => time.to_unix_duration().as_secs(),
        }
    }
}

#[derive(Sequence)]
pub(crate) struct Extension<'a> {
    pub(crate) id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    pub(crate) critical: bool,
    /// The DER of a structure that depends on `id`.
    pub(crate) value: OctetStringRef<'a>,
}

/// basicConstraints. Other fields are not needed here.
#[derive(Sequence)]
pub(crate) struct BasicConstraints {
    #[asn1(default = "Default::default")]
    pub(crate) ca: bool,
    #[asn1(optional = "true")]
    pub(crate) longest_path: Option<u8>,
}

/// authorityKeyIdentifier that contains only the identifier of the key.
#[derive(Sequence)]
pub(crate) struct AuthorityKeyId<'a> {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    pub(crate) key_id: OctetStringRef<'a>,
}

/// The name of an issuer or a subject: a SEQUENCE OF SET OF [`Attribute`].
pub(crate) type Name<'a> = RawSequence<'a>;

/// One part of a [`Name`].
#[derive(Sequence)]
pub(crate) struct Attribute<'a> {
    pub(crate) id: ObjectIdentifier,
    pub(crate) value: AnyRef<'a>,
}

impl Attribute<'_> {
    /// The value as text: BMPString is UTF-16, all other string types are read as UTF-8.
    pub(crate) fn text(&self) -> String {
        match self.value.decode_as::<BmpString>() {
            Ok(text) => text.to_string(),
            Err(_) => String::from_utf8_lossy(self.value.value()).into_owned(),
        }
    }
}

/// The parts of a name, in file order.
pub(crate) fn attributes<'a>(name: Name<'a>) -> impl Iterator<Item = Attribute<'a>> {
    elements::<RawSet<'a>>(name.0).flat_map(|set| elements(set.0))
}

/// The last common name in a name.
pub(crate) fn common_name(name: Name<'_>) -> Option<String> {
    attributes(name).filter(|attribute| attribute.id == COMMON_NAME).last().map(|attribute| attribute.text())
}

/// Encodes the content of a name with one attribute.
pub(crate) fn encode_name(attribute: &Attribute<'_>) -> der::Result<Vec<u8>> {
    Raw::<0x31>(&attribute.to_der()?).to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_type_that_certificates_require() {
        let cases: [(u64, &[u8]); 7] = [
            (0, b"\x17\x0d700101000000Z"),
            (951_782_400, b"\x17\x0d000229000000Z"),
            (1_700_000_000, b"\x17\x0d231114221320Z"),
            (2_524_607_999, b"\x17\x0d491231235959Z"),
            (2_524_608_000, b"\x18\x0f20500101000000Z"),
            (4_107_542_399, b"\x18\x0f21000228235959Z"),
            (253_402_300_799, b"\x18\x0f99991231235959Z"),
        ];
        for (seconds, expected) in cases {
            let time = Time::from_unix(seconds).unwrap();
            assert_eq!((time.to_der().unwrap().as_slice(), time.to_unix()), (expected, seconds));
        }
        for too_late in [253_402_300_800, u64::MAX] {
            assert!(Time::from_unix(too_late).is_none());
        }
    }

    #[test]
    fn names_are_read_in_every_string_type() {
        let attribute = |tag, value| Attribute { id: COMMON_NAME, value: AnyRef::new(tag, value).unwrap() };
        let bmp = attribute(der::Tag::BmpString, b"\0k\0e\0y");
        let latin = attribute(der::Tag::TeletexString, b"k\xe9y");
        assert_eq!((bmp.text(), latin.text()), ("key".to_owned(), "k\u{fffd}y".to_owned()));
        let two = [encode_name(&latin).unwrap(), encode_name(&bmp).unwrap()].concat();
        assert_eq!(common_name(Raw(&two)).as_deref(), Some("key"));
        assert_eq!(common_name(Raw(b"\x31\x02\x30\x00")), None);
    }
}
