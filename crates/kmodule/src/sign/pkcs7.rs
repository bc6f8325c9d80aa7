//! The PKCS#7 / CMS SignedData message (RFC 5652) in the one shape module signatures have.

use super::{Certificate, Hash};
use crate::der::{self, OCTET_STRING, OID, Reader, SEQUENCE, SET, element, oid, wrap};

/// The parts of a message that say who signed what how.
#[derive(Debug)]
pub struct Message<'a> {
    /// The issuer Name, as it stands in the message; none when the signer is named by key identifier.
    pub issuer: Option<&'a [u8]>,
    /// Serial number without leading zero, or key identifier.
    pub serial: &'a [u8],
    pub hash: Option<Hash>,
    pub signed_attributes: bool,
    /// The message holds what it signs; for a module that is the file before it.
    pub has_content: bool,
    pub signature: &'a [u8],
}

/// The detached message for `signature`. Digest identifiers have no parameters, the RSA one has NULL, as
/// OpenSSL writes them.
pub fn build(certificate: &Certificate, hash: Hash, signature: &[u8]) -> Vec<u8> {
    let one = der::integer(&[1]);
    let digest = wrap(SEQUENCE, &[&element(OID, hash.oid())]);
    let serial = element(der::INTEGER, certificate.raw_serial());
    let signer = wrap(
        SEQUENCE,
        &[
            &one,
            &wrap(SEQUENCE, &[certificate.issuer(), &serial]),
            &digest,
            &der::algorithm_null(oid::RSA_ENCRYPTION),
            &element(OCTET_STRING, signature),
        ],
    );
    let content = wrap(SEQUENCE, &[&element(OID, oid::PKCS7_DATA)]);
    let signed = wrap(SEQUENCE, &[&one, &element(SET, &digest), &content, &element(SET, &signer)]);
    wrap(SEQUENCE, &[&element(OID, oid::PKCS7_SIGNED_DATA), &element(der::context(0), &signed)])
}

/// Reads a message with one signer; `None` when it is anything else.
pub fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let mut outer = Reader::new(bytes).enter(SEQUENCE)?;
    outer.take(OID).filter(|oid| oid.body == oid::PKCS7_SIGNED_DATA)?;
    let mut signed = outer.enter(der::context(0))?.enter(SEQUENCE)?;
    signed.take(der::INTEGER)?;
    signed.take(SET)?;
    let mut content = signed.enter(SEQUENCE)?;
    content.take(OID)?;
    let has_content = content.take(der::context(0)).is_some();
    // Certificates and revocation lists may stand here.
    signed.take(der::context(0));
    signed.take(der::context(1));
    let mut signer = signed.enter(SET)?.enter(SEQUENCE)?;
    signer.take(der::INTEGER)?;
    let (issuer, serial) = match signer.take(0x80) {
        Some(key_id) => (None, key_id.body),
        None => {
            let mut name = signer.enter(SEQUENCE)?;
            (Some(name.take(SEQUENCE)?.whole), der::unsigned(name.take(der::INTEGER)?.body))
        }
    };
    let hash = Hash::from_oid(signer.enter(SEQUENCE)?.take(OID)?.body);
    let signed_attributes = signer.take(der::context(0)).is_some();
    signer.take(SEQUENCE)?;
    let signature = signer.take(OCTET_STRING)?.body;
    Some(Message { issuer, serial, hash, signed_attributes, has_content, signature })
}
