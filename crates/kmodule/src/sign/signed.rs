//! Reading and checking the signature of a module.

use super::appended::Appended;
use super::certificate::Certificate;
use super::error::{SignatureFault, VerifyError};
use super::hash::Hash;
use super::hex::hex;
use super::pkcs7::{self, Signature, Signer};
use crate::asn1::Raw;
use crate::x509::common_name;
use std::ops::Range;

/// A readable signature at the end of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInfo {
    /// The common name of the certificate's issuer; for self-signed certificates, that is the signer. Empty
    /// if the signature names its key by an identifier (sign-file -k).
    pub signer: String,
    /// The certificate's serial number, most significant byte first, without a leading zero, or the subject
    /// key identifier.
    pub serial: Vec<u8>,
    /// The digest that was signed; `None`: not one of [`enum@Hash`].
    pub hash: Option<Hash>,
    /// The names of further signers.
    pub others: Vec<String>,
    /// Position of the PKCS#7 message in the file.
    pub pkcs7: Range<usize>,
}

impl SignatureInfo {
    /// The serial number in the format of `modinfo -F sig_key`: `0A:FF:…`.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        hex(&self.serial)
    }
}

/// The signature of a module; `None` if it is not signed, or if the signature is not readable PKCS#7.
#[must_use]
pub fn signature(data: &[u8]) -> Option<SignatureInfo> {
    let appended = Appended::locate(data)?.ok().filter(Appended::is_pkcs7)?;
    let message = pkcs7::parse(data.get(appended.message.clone())?)?;
    let (signature, others) = message.signatures.split_first()?;
    Some(SignatureInfo {
        signer: signature.signer.common_name(),
        serial: signature.signer.serial().to_vec(),
        hash: signature.hash,
        others: others.iter().map(|other| other.signer.common_name()).collect(),
        pkcs7: appended.message,
    })
}

impl<'a> Signer<'a> {
    /// The common name of the issuer; empty if there is none.
    fn common_name(self) -> String {
        match self {
            Signer::Certificate { issuer, .. } => common_name(Raw(issuer)).unwrap_or_default(),
            Signer::KeyId(_) => String::new(),
        }
    }

    /// Serial number or key identifier.
    fn serial(self) -> &'a [u8] {
        match self {
            Signer::Certificate { serial, .. } => serial,
            Signer::KeyId(id) => id,
        }
    }
}

/// The signature of one signer of a module, as the kernel reads it (mod_verify_sig and mod_check_sig).
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    content: &'a [u8],
    message: Signature<'a>,
}

impl<'a> Signed<'a> {
    /// Reads the last signature of a module. The result has at least one signer.
    ///
    /// # Errors
    /// [`VerifyError::NotSigned`], [`VerifyError::OtherKind`] and [`VerifyError::Malformed`].
    pub fn read(module: &'a [u8]) -> Result<Vec<Signed<'a>>, VerifyError> {
        let appended = Appended::locate(module).ok_or(VerifyError::NotSigned)??;
        if !appended.is_pkcs7() {
            return Err(VerifyError::OtherKind);
        }
        if !appended.has_zero_fields() {
            return Err(SignatureFault::NonZeroFields.into());
        }
        let content = module.get(..appended.message.start).ok_or(SignatureFault::DoesNotFit)?;
        let message = module.get(appended.message).and_then(pkcs7::parse).ok_or(SignatureFault::NotPkcs7)?;
        if message.has_content {
            return Err(SignatureFault::ContainsData.into());
        }
        Ok(message.signatures.into_iter().map(|message| Signed { content, message }).collect())
    }

    /// The digest that was signed; `None`: not one of [`enum@Hash`].
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        self.message.hash
    }

    /// Whether the message has signed attributes, which no kernel accepts for a module.
    #[must_use]
    pub fn has_signed_attributes(&self) -> bool {
        self.message.has_signed_attributes
    }

    /// The common name of the certificate's issuer; empty if there is none.
    #[must_use]
    pub fn issuer_cn(&self) -> String {
        self.message.signer.common_name()
    }

    /// The certificate's serial number without a leading zero, or the key identifier that the signature
    /// contains instead.
    #[must_use]
    pub fn serial(&self) -> &'a [u8] {
        self.message.signer.serial()
    }

    /// The signer, for messages.
    #[must_use]
    pub fn signer(&self) -> String {
        match self.issuer_cn() {
            cn if cn.is_empty() => format!("key {}", hex(self.serial())),
            cn => format!("\"{cn}\" (serial {})", hex(self.serial())),
        }
    }

    /// Whether the signature names this certificate.
    #[must_use]
    pub fn names(&self, certificate: &Certificate) -> bool {
        match self.message.signer {
            Signer::Certificate { issuer, serial } => {
                issuer == certificate.issuer() && serial == certificate.serial()
            }
            Signer::KeyId(id) => certificate.subject_key_id() == Some(id),
        }
    }

    /// Checks the signature with the certificate's key.
    ///
    /// # Errors
    /// [`VerifyError`]: another key signed it, or the module was changed afterwards.
    pub fn verify(&self, certificate: &Certificate) -> Result<(), VerifyError> {
        if !self.names(certificate) {
            return Err(VerifyError::OtherSigner { signer: self.issuer_cn(), serial: hex(self.serial()) });
        }
        let hash = self.message.hash.ok_or(SignatureFault::UnknownDigest)?;
        if self.message.has_signed_attributes {
            return Err(SignatureFault::SignedAttributes.into());
        }
        certificate.verify(self.content, hash, self.message.signature)
    }
}

/// Checks that the last signature of a module was created with the key of `certificate`. There may be other
/// signers as well.
///
/// # Errors
/// [`VerifyError`]: the module is not signed, its signature is unreadable, another key signed it, or the
/// module was changed afterwards.
pub fn verify(module: &[u8], certificate: &Certificate) -> Result<(), VerifyError> {
    let signers = Signed::read(module)?;
    let named = signers.iter().find(|signed| signed.names(certificate));
    named.or(signers.first()).ok_or(VerifyError::NotSigned)?.verify(certificate)
}
