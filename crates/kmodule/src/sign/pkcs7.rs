//! The parts of PKCS#7 / CMS SignedData messages (RFC 5652) that module signatures use.

use super::certificate::Certificate;
use super::hash::Hash;
use crate::asn1::{Raw, RawInteger, RawSet, first, unsigned};
use crate::x509::{Name, RSA_ENCRYPTION};
use der::asn1::{AnyRef, OctetStringRef};
use der::oid::ObjectIdentifier;
use der::{Choice, Decode, Encode, Reader, Sequence, SliceReader};
use spki::AlgorithmIdentifierRef;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

#[derive(Sequence)]
struct ContentInfo<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData<'a>,
}

#[derive(Sequence)]
struct SignedData<'a> {
    version: u8,
    digests: RawSet<'a>,
    content: Encapsulated<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<RawSet<'a>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    revoked: Option<RawSet<'a>>,
    /// A SET OF [`SignerInfo`].
    signers: RawSet<'a>,
}

/// The signed data. For a module, that is the file before the message, so `content` is absent.
#[derive(Sequence)]
struct Encapsulated<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct SignerInfo<'a> {
    version: u8,
    signer: SignerId<'a>,
    digest: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    signed_attributes: Option<RawSet<'a>>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: OctetStringRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    unsigned_attributes: Option<RawSet<'a>>,
}

#[derive(Choice)]
enum SignerId<'a> {
    Certificate(CertificateId<'a>),
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Key(OctetStringRef<'a>),
}

#[derive(Sequence)]
struct CertificateId<'a> {
    issuer: Name<'a>,
    serial: RawInteger<'a>,
}

/// The key that signed, as the message names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer<'a> {
    /// By its certificate: the content of the issuer's name, and the serial number without a leading zero.
    Certificate { issuer: &'a [u8], serial: &'a [u8] },
    /// By the subject key identifier (sign-file -k).
    KeyId(&'a [u8]),
}

/// The contents of a message.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// At least one.
    pub(super) signatures: Vec<Signature<'a>>,
    /// The message contains the data that it signs.
    pub(super) has_content: bool,
}

/// The signature of one of the signers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signature<'a> {
    pub(super) signer: Signer<'a>,
    /// `None`: a digest that [`Hash`] does not know.
    pub(super) hash: Option<Hash>,
    pub(super) has_signed_attributes: bool,
    pub(super) signature: &'a [u8],
}

/// Encodes a detached message with these signatures and their certificates, as `sign-file` and OpenSSL do.
pub(super) fn build(signatures: &[(&Certificate, Vec<u8>)], hash: Hash) -> der::Result<Vec<u8>> {
    let infos = signatures.iter().map(|(certificate, signature)| signer_info(certificate, hash, signature));
    let mut infos = infos.collect::<der::Result<Vec<_>>>()?;
    // The elements of a SET OF are sorted.
    infos.sort();
    let digest = AlgorithmIdentifierRef { oid: hash.oid(), parameters: None }.to_der()?;
    let signers = infos.concat();
    let content = SignedData {
        version: 1,
        digests: Raw(&digest),
        content: Encapsulated { kind: DATA, content: None },
        certificates: None,
        revoked: None,
        signers: Raw(&signers),
    };
    ContentInfo { kind: SIGNED_DATA, content }.to_der()
}

/// Encodes one signature. As in OpenSSL, digest identifiers have no parameters, and that of RSA has NULL.
fn signer_info(certificate: &Certificate, hash: Hash, signature: &[u8]) -> der::Result<Vec<u8>> {
    let digest = AlgorithmIdentifierRef { oid: hash.oid(), parameters: None };
    let id = CertificateId { issuer: Raw(certificate.issuer()), serial: Raw(certificate.raw_serial()) };
    SignerInfo {
        version: 1,
        signer: SignerId::Certificate(id),
        digest,
        signed_attributes: None,
        algorithm: AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) },
        signature: OctetStringRef::new(signature)?,
        unsigned_attributes: None,
    }
    .to_der()
}

/// Reads a message with all of its signers; `None` if the bytes are not a message.
pub(super) fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let outer: ContentInfo<'_> = first(bytes).ok()?;
    let signed = Some(outer).filter(|outer| outer.kind == SIGNED_DATA)?.content;
    let (mut signatures, mut reader) = (Vec::new(), SliceReader::new(signed.signers.0).ok()?);
    while !reader.is_finished() {
        signatures.push(Signature::from(SignerInfo::decode(&mut reader).ok()?));
    }
    let has_content = signed.content.content.is_some();
    (!signatures.is_empty()).then_some(Message { signatures, has_content })
}

impl<'a> From<SignerInfo<'a>> for Signature<'a> {
    fn from(info: SignerInfo<'a>) -> Self {
        Self {
            signer: match info.signer {
                SignerId::Certificate(id) => {
                    Signer::Certificate { issuer: id.issuer.0, serial: unsigned(id.serial.0) }
                }
                SignerId::Key(id) => Signer::KeyId(id.as_bytes()),
            },
            hash: Hash::from_oid(info.digest.oid),
            has_signed_attributes: info.signed_attributes.is_some(),
            signature: info.signature.as_bytes(),
        }
    }
}
