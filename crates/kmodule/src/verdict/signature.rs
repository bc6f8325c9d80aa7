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
    // Some signers with signed attributes and some without are refused too.
    if signed.iter().any(Signed::has_signed_attributes) {
        return verdict.refusals.push(Reason::SignedAttributes);
    }
    let revoked = |one: &&Signed<'_>| matches!(signatures.keys.find(one), Key::Revoked);
    if let Some(one) = signed.iter().find(revoked) {
        return verdict.refusals.push(Reason::Revoked { signer: one.signer() });
    }
    let usable: Vec<&Signed<'_>> =
        signed.iter().filter(|one| unsupported(one, signatures).is_none()).collect();
    if usable.is_empty() {
        if let Some(unsupported) = signed.first().and_then(|one| unsupported(one, signatures)) {
            weigh(Cause::Crypto(unsupported), signatures.enforcement, verdict);
        }
        return;
    }
    trust(&usable, signatures, verdict);
}

/// Why the kernel ignores this signer.
fn unsupported(signed: &Signed<'_>, signatures: &Signatures<'_>) -> Option<Unsupported> {
    let Some(hash) = signed.hash() else { return Some(Unsupported::UnknownDigest) };
    (signatures.keys.digest(hash) == Some(false)).then_some(Unsupported::Digest(hash))
}

/// One trusted signer is enough, but a wrong signature by any trusted key is fatal (pkcs7_validate_trust).
fn trust(signed: &[&Signed<'_>], signatures: &Signatures<'_>, verdict: &mut Verdict) {
    let (mut trusted, mut certain, mut unknown) = (false, false, false);
    for one in signed {
        match signatures.keys.find(one) {
            Key::Trusted(certificate) => {
                if let Err(VerifyError::BadSignature) = one.verify(certificate) {
                    return verdict.refusals.push(Reason::BadSignature { signer: one.signer() });
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
        certain |= one.hash().and_then(|hash| signatures.keys.digest(hash)) == Some(true);
    }
    let enforced = signatures.enforcement != Enforcement::Off;
    if !certain && enforced {
        doubt_digests(signed, signatures, verdict);
    }
    if trusted {
        return;
    }
    let signer = signed.iter().map(|one| one.signer()).collect::<Vec<_>>().join(" and ");
    match unknown {
        true if enforced => verdict.doubts.push(Reason::KeyUnknown { signer }),
        true => {}
        false => weigh(Cause::Key { signer }, signatures.enforcement, verdict),
    }
}

fn doubt_digests(signed: &[&Signed<'_>], signatures: &Signatures<'_>, verdict: &mut Verdict) {
    let mut hashes: Vec<_> = signed.iter().filter_map(|one| one.hash()).collect();
    hashes.dedup();
    let unknown = hashes.into_iter().filter(|hash| signatures.keys.digest(*hash).is_none());
    verdict.doubts.extend(unknown.map(|hash| Reason::DigestUnknown { hash }));
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
