//! The first check, that of the signature (module_sig_check in kernel/module/signing.c). Some faults are
//! always fatal, others only if signatures are enforced.

use super::kernel::{Enforcement, Key, Signatures};
use super::outcome::Verdict;
use super::reason::{Cause, Reason, Unsupported};
use crate::sign::{Signed, VerifyError};

pub(super) fn check(bytes: &[u8], signatures: &Signatures<'_>, verdict: &mut Verdict) {
    let signed = match Signed::read(bytes) {
        Ok(signed) => signed,
        Err(VerifyError::NotSigned) => return add_fault(Cause::Unsigned, signatures.enforcement, verdict),
        Err(VerifyError::OtherKind) => {
            let cause = Cause::Crypto(Unsupported::NotPkcs7);
            return add_fault(cause, signatures.enforcement, verdict);
        }
        Err(VerifyError::Malformed(fault)) => {
            return verdict.refusals.push(Reason::SignatureDamaged { fault });
        }
        Err(_) => return,
    };
    // The kernel also refuses a module if only some signers have signed attributes.
    if signed.iter().any(Signed::has_signed_attributes) {
        return verdict.refusals.push(Reason::SignedAttributes);
    }
    let revoked = |signature: &&Signed<'_>| matches!(signatures.keys.find(signature), Key::Revoked);
    if let Some(signature) = signed.iter().find(revoked) {
        return verdict.refusals.push(Reason::Revoked { signer: signature.signer() });
    }
    let usable: Vec<&Signed<'_>> =
        signed.iter().filter(|signature| unsupported(signature, signatures).is_none()).collect();
    if usable.is_empty() {
        if let Some(unsupported) = signed.first().and_then(|signature| unsupported(signature, signatures)) {
            add_fault(Cause::Crypto(unsupported), signatures.enforcement, verdict);
        }
        return;
    }
    check_trust(&usable, signatures, verdict);
}

/// Why the kernel ignores this signer.
fn unsupported(signed: &Signed<'_>, signatures: &Signatures<'_>) -> Option<Unsupported> {
    let Some(hash) = signed.hash() else { return Some(Unsupported::UnknownDigest) };
    (signatures.keys.supports(hash) == Some(false)).then_some(Unsupported::Digest(hash))
}

/// One trusted signer is enough, but a wrong signature by any trusted key is fatal (pkcs7_validate_trust).
fn check_trust(signed: &[&Signed<'_>], signatures: &Signatures<'_>, verdict: &mut Verdict) {
    let (mut trusted, mut certain, mut unknown) = (false, false, false);
    for signature in signed {
        match signatures.keys.find(signature) {
            Key::Trusted(certificate) => {
                if let Err(VerifyError::BadSignature) = signature.verify(certificate) {
                    return verdict.refusals.push(Reason::BadSignature { signer: signature.signer() });
                }
            }
            Key::Unseen => {}
            Key::Unknown => {
                unknown = true;
                continue;
            }
            Key::Absent | Key::Revoked => continue,
        }
        trusted = true;
        certain |= signature.hash().and_then(|hash| signatures.keys.supports(hash)) == Some(true);
    }
    let enforced = signatures.enforcement != Enforcement::Off;
    if !certain && enforced {
        doubt_digests(signed, signatures, verdict);
    }
    if trusted {
        return;
    }
    let signer = signed.iter().map(|signature| signature.signer()).collect::<Vec<_>>().join(" and ");
    match unknown {
        true if enforced => verdict.doubts.push(Reason::KeyUnknown { signer }),
        true => {}
        false => add_fault(Cause::Key { signer }, signatures.enforcement, verdict),
    }
}

fn doubt_digests(signed: &[&Signed<'_>], signatures: &Signatures<'_>, verdict: &mut Verdict) {
    let mut hashes: Vec<_> = signed.iter().filter_map(|signature| signature.hash()).collect();
    hashes.dedup();
    let unknown = hashes.into_iter().filter(|hash| signatures.keys.supports(*hash).is_none());
    verdict.doubts.extend(unknown.map(|hash| Reason::DigestUnknown { hash }));
}

/// Adds a fault that is fatal only if signatures are enforced.
fn add_fault(cause: Cause, enforcement: Enforcement, verdict: &mut Verdict) {
    match enforcement {
        Enforcement::Off => verdict.notes.push(Reason::TaintsUnsigned { cause }),
        Enforcement::SigEnforce => verdict.refusals.push(Reason::Untrusted { cause, lockdown: false }),
        Enforcement::Lockdown => verdict.refusals.push(Reason::Untrusted { cause, lockdown: true }),
        Enforcement::Unknown => verdict.doubts.push(Reason::EnforcementUnknown { cause }),
    }
}
