//! The check of the signature, which is the first one (module_sig_check in kernel/module/signing.c). Some
//! faults are always fatal, others only where signatures are enforced.

use super::kernel::{Enforcement, Key, Signatures};
use super::outcome::Verdict;
use super::reason::{Cause, Reason, Unsupported};
use crate::sign::{Signed, VerifyError};

pub(super) fn check(bytes: &[u8], signatures: &Signatures<'_>, verdict: &mut Verdict) {
    let signed = match Signed::read(bytes) {
        Ok(signed) => signed,
        Err(VerifyError::NotSigned) => return weigh(Cause::Unsigned, signatures.enforcement, verdict),
        Err(VerifyError::OtherKind) => {
            let cause = Cause::Crypto(Unsupported::NotPkcs7);
            return weigh(cause, signatures.enforcement, verdict);
        }
        Err(VerifyError::Malformed(fault)) => {
            return verdict.refusals.push(Reason::SignatureDamaged { fault });
        }
        Err(_) => return,
    };
    if signed.has_signed_attributes() {
        return verdict.refusals.push(Reason::SignedAttributes);
    }
    let key = signatures.keys.find(&signed);
    if let Key::Revoked = key {
        return verdict.refusals.push(Reason::Revoked { signer: signed.signer() });
    }
    let digest = signed.hash().map(|hash| (hash, signatures.keys.digest(hash)));
    match digest {
        None => {
            return weigh(Cause::Crypto(Unsupported::UnknownDigest), signatures.enforcement, verdict);
        }
        Some((hash, Some(false))) => {
            return weigh(Cause::Crypto(Unsupported::Digest(hash)), signatures.enforcement, verdict);
        }
        Some((hash, None)) if signatures.enforcement != Enforcement::Off => {
            verdict.doubts.push(Reason::DigestUnknown { hash });
        }
        Some(_) => {}
    }
    match key {
        Key::Trusted(certificate) => {
            if let Err(VerifyError::BadSignature) = signed.verify(certificate) {
                verdict.refusals.push(Reason::BadSignature { signer: signed.signer() });
            }
        }
        Key::Unseen | Key::Revoked => {}
        Key::Absent => weigh(Cause::Key { signer: signed.signer() }, signatures.enforcement, verdict),
        Key::Unknown if signatures.enforcement == Enforcement::Off => {}
        Key::Unknown => verdict.doubts.push(Reason::KeyUnknown { signer: signed.signer() }),
    }
}

/// Adds a fault that the kernel ignores where signatures are not enforced.
fn weigh(cause: Cause, enforcement: Enforcement, verdict: &mut Verdict) {
    match enforcement {
        Enforcement::Off => verdict.notes.push(Reason::TaintsUnsigned { cause }),
        Enforcement::SigEnforce => verdict.refusals.push(Reason::Untrusted { cause, lockdown: false }),
        Enforcement::Lockdown => verdict.refusals.push(Reason::Untrusted { cause, lockdown: true }),
        Enforcement::Unknown => verdict.doubts.push(Reason::EnforcementUnknown { cause }),
    }
}
