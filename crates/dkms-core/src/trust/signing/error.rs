//! Errors of signing a module, and of enrolling or replacing a key.

use crate::cause::Cause;
use kmodule::mok::MokError;
use kmodule::sign::{CertificateError, KeyError};
use std::path::PathBuf;

/// Signing failed, or the signing key cannot be changed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum SigningError {
    #[error("the module {path} cannot be signed: {fault}")]
    SignFailed {
        path: PathBuf,
        #[source]
        fault: SignFault,
    },
    #[error("the key is not enrolled: {0}")]
    NotEnrolled(#[source] EnrolFault),
    #[error("the signing key is not replaced: {0}")]
    KeyKept(#[source] RotateFault),
}

/// The reason why a module cannot be signed. The path next to it is the module, or the file that caused the
/// error.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum SignFault {
    #[error("the path of a signing key must be absolute")]
    RelativeKey,
    #[error("mok_signing_key_2 and mok_certificate_2 belong together, and one of them is missing")]
    HalfOfSecond,
    #[error("the second signing key and its certificate have to be files with absolute paths")]
    SecondNotFile,
    #[error("the directory {0} does not exist")]
    NoDirectory(PathBuf),
    #[error("the {0} of the signing key pair is missing, but the other half exists")]
    HalfMissing(&'static str),
    #[error("the certificate of this key does not exist, and dkms creates none for a key in a token")]
    NoCertificateOfToken,
    #[error(transparent)]
    NotCreated(MokError),
    #[error("{0}, and with a second signer (mok_signing_key_2) both keys have to be RSA keys in files")]
    SecondNeedsFiles(SignFileReason),
    #[error("the private key is encrypted, and there is no pass phrase for it")]
    NoPassPhrase,
    #[error(transparent)]
    BadKey(KeyError),
    #[error(transparent)]
    BadSecondKey(KeyError),
    #[error(transparent)]
    BadCertificate(CertificateError),
    #[error("the certificate does not belong to the key {0}")]
    OtherKey(String),
    #[error("{0}, and a dkms that a build's script calls cannot give the key to it")]
    HiddenKey(SignFileReason),
    #[error("the path of sign_file must be absolute")]
    RelativeSignFile,
    #[error("framework.conf sets sign_file to this program, which does not exist")]
    NoNamedSignFile,
    #[error("{reason}, and the kernel's sign-file is not at {last}")]
    NoSignFile { reason: SignFileReason, last: PathBuf },
    #[error("{program} failed with {status} ({output})")]
    ProgramFailed { program: PathBuf, status: String, output: String },
    #[error("{0} appended no signature to it")]
    NothingAppended(PathBuf),
    #[error("{0}")]
    Failed(#[source] Cause),
    #[error("{0}")]
    NotResigned(#[source] Cause),
}

/// The reason why a program computes the signatures, and not this process. Manifests contain these texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum SignFileReason {
    #[error("framework.conf names it as sign_file")]
    Configured,
    #[error("a PKCS#11 key needs it")]
    Token,
    #[error("an encrypted key needs it")]
    Encrypted,
    #[error("a key of type {0} needs it")]
    KeyType(String),
    #[error("the hash {0} needs it")]
    Hash(String),
}

/// The reason why the enrolment of a certificate is not requested.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum EnrolFault {
    #[error("{list} forbids the certificate {certificate}")]
    Forbidden { list: &'static str, certificate: PathBuf },
    #[error("this machine was not started by EFI firmware, which would store the key")]
    NoFirmware,
    #[error("there is no certificate {0}")]
    NoCertificate(PathBuf),
    #[error("the certificate cannot be used: {0}")]
    BadCertificate(String),
    #[error("enrolling needs a one-time password, and there is no terminal to ask for it")]
    NoTerminal,
    #[error("mokutil succeeded, but the certificate is not among those that wait to be enrolled")]
    NotListed,
    #[error("mokutil refused: {0}")]
    Mokutil(String),
}

/// The reason why the signing key is not replaced.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum RotateFault {
    #[error("{0} is in a token, and dkms creates keys only in files")]
    Token(String),
    #[error("{0} does not exist")]
    Missing(PathBuf),
    #[error("{list} forbids the new key's certificate {certificate}")]
    Forbidden { list: &'static str, certificate: PathBuf },
    #[error("{path}: {cause}")]
    BadNewKey {
        path: String,
        #[source]
        cause: KeyError,
    },
    #[error("{key} and {certificate} do not belong together")]
    NoPair { key: String, certificate: PathBuf },
}

impl SigningError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        let help = match self {
            Self::SignFailed { fault, .. } => fault.help(),
            Self::NotEnrolled(fault) => fault.help(),
            Self::KeyKept(fault) => fault.help(),
        };
        Some(help).filter(|help| !help.is_empty()).map(str::to_owned).into_iter().collect()
    }
}

impl SignFault {
    fn help(&self) -> &'static str {
        match self {
            Self::RelativeKey => "write the full path in framework.conf",
            Self::HalfOfSecond => "set both in framework.conf, or neither",
            Self::SecondNotFile => "write the full paths in framework.conf",
            Self::NoDirectory(_) => {
                "mount or create it, or correct mok_signing_key and mok_certificate in framework.conf"
            }
            Self::HalfMissing(_) => {
                "restore it, or move the other half away too, so that a new pair can be created"
            }
            Self::NoCertificateOfToken => {
                "set mok_certificate in framework.conf to the certificate of the key"
            }
            Self::NotCreated(_) => {
                "set an existing key pair in framework.conf (mok_signing_key, mok_certificate), or set try_sign_modules=false"
            }
            Self::SecondNeedsFiles(_) => {
                "remove mok_signing_key_2 and mok_certificate_2 from framework.conf, or use such a key without sign_file"
            }
            Self::NoPassPhrase => {
                "provide it as the systemd credential dkms.signing-pin or in KBUILD_SIGN_PIN, or run this on a terminal"
            }
            Self::BadKey(_) => "a private key in PEM or DER form is expected here",
            Self::BadSecondKey(_) => "the second signing key has to be an RSA key that is not encrypted",
            Self::BadCertificate(_) => "an X.509 certificate in DER or PEM form is expected here",
            Self::OtherKey(_) => {
                "the kernel would refuse such a signature; configure a key and the certificate for it"
            }
            Self::HiddenKey(_) => "call dkms after the build instead, or use an RSA key in a file",
            Self::RelativeSignFile => "write the full path as sign_file in framework.conf",
            Self::NoNamedSignFile => {
                "install it, or remove sign_file from framework.conf: RSA keys in files need no program"
            }
            Self::NoSignFile { .. } => {
                "install the kernel's build tools, set sign_file in framework.conf, or use an RSA key in a file"
            }
            Self::ProgramFailed { output, .. } if output.contains("OSSL_PROVIDER_try_load(pkcs11)") => {
                "this sign-file uses tokens through OpenSSL's provider pkcs11: install pkcs11-provider"
            }
            Self::ProgramFailed { .. } | Self::NothingAppended(_) | Self::Failed(_) => {
                "the build was not kept; try_sign_modules=false in framework.conf builds without signatures"
            }
            Self::NotResigned(_) => "nothing was changed; the old key is in use as before",
        }
    }
}

impl EnrolFault {
    fn help(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "'dkms mok rotate' creates another key",
            Self::NoFirmware => "'dkms mok' reports whether it needs to be enrolled",
            Self::NoCertificate(_) => "'dkms generate_mok' creates a key pair",
            Self::NoTerminal => {
                "run this on a terminal, or provide it as the systemd credential dkms.mok-password"
            }
            Self::NotListed => "check the output of 'mokutil --list-new'",
            Self::BadCertificate(_) | Self::Mokutil(_) => "",
        }
    }
}

impl RotateFault {
    fn help(&self) -> &'static str {
        match self {
            Self::Token(_) => "create a new key there, set it in framework.conf, and build again",
            Self::Missing(_) => "'dkms generate_mok' creates a missing key pair",
            Self::Forbidden { .. } | Self::BadNewKey { .. } | Self::NoPair { .. } => {
                "delete the new pair, then rotate again"
            }
        }
    }
}
