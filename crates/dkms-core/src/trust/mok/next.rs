//! Determines the next step towards a trusted key, and its description.

use super::certificate::{Accepted, Certified};
use super::facts::{KeyFile, Status};
use super::step::{Next, Step};
use crate::trust::machine::{Enforce, SecureBoot};

fn next(step: Step, text: impl Into<String>) -> Next {
    Next { step, text: text.into() }
}

const MOKMANAGER: &str = "restart; before the system starts, a blue screen asks: choose \"Enroll MOK\", \"Continue\", \"Yes\", and type \
                          the one-time password";

/// Determines the next step from the status.
pub(super) fn next_step(status: &Status) -> Next {
    let certified = match (&status.key, &status.certificate) {
        (KeyFile::Missing, Ok(None)) => {
            return next(
                Step::MakeKey,
                "there is no key yet: 'dkms generate_mok' creates one, and so does the next build that signs",
            );
        }
        (_, Err(why)) => return next(Step::RepairPair, why.clone()),
        (KeyFile::Missing, Ok(Some(_))) => {
            return next(
                Step::RepairPair,
                format!(
                    "the private key {} is missing: restore it, or move the certificate away too, so that a new pair can be created",
                    status.pair.key
                ),
            );
        }
        (_, Ok(None)) => {
            return next(
                Step::RepairPair,
                format!(
                    "the certificate {} is missing: restore it, or move the key away too, so that a new pair can be created",
                    status.pair.certificate.display()
                ),
            );
        }
        (_, Ok(Some(certified))) => certified,
    };
    if let Some(staged) = &status.staged {
        return next_with_staged(status, staged);
    }
    if let Some(list) = certified.enrolment.forbidden.as_ref().ok().copied().flatten() {
        return next(
            Step::ReplaceKey,
            format!(
                "{list} forbids this key, so no module signed with it is loaded: 'dkms mok rotate' creates another key"
            ),
        );
    }
    if let (Accepted::No(why), true) = (&certified.accepted, may_require_signatures(status)) {
        return next(
            Step::ReplaceKey,
            format!(
                "kernel {} does not accept this key: {why}; 'dkms mok rotate' creates an RSA key",
                status.kernel
            ),
        );
    }
    if certified.enrolment.is_trusted() {
        return match certified.enrolment.mok_del {
            Ok(true) => next(
                Step::Nothing,
                "this machine trusts the key, but at the next start it will be deleted, if you confirm that there",
            ),
            _ => next(Step::Nothing, "nothing to do: this machine trusts the key"),
        };
    }
    next_to_trust(status, certified, "dkms mok enroll")
}

/// Returns whether the kernel requires signatures or may require them.
fn may_require_signatures(status: &Status) -> bool {
    status.policy.enforce != Enforce::No
}

/// The next step for a certificate that this machine does not trust.
fn next_to_trust(status: &Status, certified: &Certified, command: &str) -> Next {
    if certified.enrolment.is_pending() {
        return next(Step::Restart, format!("the key waits to be enrolled: {MOKMANAGER}"));
    }
    if status.policy.enforce == Enforce::No {
        let why = &status.policy.why;
        let later = match status.secure_boot {
            SecureBoot::NotEfi => String::new(),
            _ => format!("; before you enable Secure Boot, run '{command}'"),
        };
        return next(Step::Nothing, format!("nothing to do: signatures are not enforced ({why}){later}"));
    }
    if status.secure_boot == SecureBoot::NotEfi {
        let why = &status.policy.why;
        return next(
            Step::NoFirmware,
            format!(
                "{why}, but this machine was not started by EFI firmware, so no key can be enrolled: sign with a key that the kernel was built with (CONFIG_SYSTEM_TRUSTED_KEYS), or configure the kernel not to require signatures"
            ),
        );
    }
    if !certified.enrolment.is_known_untrusted() && !status.root {
        return next(Step::LookAsRoot, "not all facts can be read: run this as root");
    }
    next(Step::Enroll, format!("enrol the key: '{command}', then {MOKMANAGER}"))
}

/// The next step while a new pair waits to be used.
fn next_with_staged(status: &Status, staged: &Certified) -> Next {
    if staged.enrolment.is_trusted() || (status.demanding.is_empty() && !staged.enrolment.is_pending()) {
        return next(Step::Rotate, "the new key can be used: 'dkms mok rotate' signs all modules with it");
    }
    let then = next_to_trust(status, staged, "dkms mok enroll");
    match then.step {
        Step::Enroll | Step::Restart => next(
            then.step,
            format!("a new key waits to be used; {}; after that, run 'dkms mok rotate' again", then.text),
        ),
        // Another kernel, not this one, requires signatures.
        Step::Nothing => next(
            Step::Enroll,
            format!(
                "a new key waits to be used, and kernel {} requires signatures: 'dkms mok enroll', then {MOKMANAGER}; after that, run 'dkms mok rotate' again",
                status.demanding.first().map_or("", |k| &k.release)
            ),
        ),
        _ => then,
    }
}
