//! The next step, and its description.

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
                "there is no key yet: 'dkms generate_mok' makes one, and so does the next build that signs",
            );
        }
        (_, Err(why)) => return next(Step::RepairPair, why.clone()),
        (KeyFile::Missing, Ok(Some(_))) => {
            return next(
                Step::RepairPair,
                format!(
                    "the private key {} is missing: put it back, or move the certificate away as well so that a new pair can be made",
                    status.pair.key
                ),
            );
        }
        (_, Ok(None)) => {
            return next(
                Step::RepairPair,
                format!(
                    "the certificate {} is missing: put it back, or move the key away as well so that a new pair can be made",
                    status.pair.certificate.display()
                ),
            );
        }
        (_, Ok(Some(certified))) => certified,
    };
    if let Some(staged) = &status.staged {
        return of_staged(status, staged);
    }
    if let Some(list) = certified.enrolment.forbidden.as_ref().ok().copied().flatten() {
        return next(
            Step::ReplaceKey,
            format!(
                "{list} forbids this key, so no module signed with it is loaded: 'dkms mok rotate' makes another one"
            ),
        );
    }
    if let (Accepted::No(why), true) = (&certified.accepted, may_require_signatures(status)) {
        return next(
            Step::ReplaceKey,
            format!(
                "kernel {} does not take this key: {why}; 'dkms mok rotate' makes an RSA key",
                status.kernel
            ),
        );
    }
    if certified.enrolment.is_trusted() {
        return match certified.enrolment.mok_del {
            Ok(true) => next(
                Step::Nothing,
                "this machine trusts the key; it is to be deleted at the next start, if that is confirmed there",
            ),
            _ => next(Step::Nothing, "nothing to do: this machine trusts the key"),
        };
    }
    trust(status, certified, "dkms mok enroll")
}

/// Returns whether the kernel requires signatures or may require them.
fn may_require_signatures(status: &Status) -> bool {
    status.policy.enforce != Enforce::No
}

fn trust(status: &Status, certified: &Certified, command: &str) -> Next {
    if certified.enrolment.is_pending() {
        return next(Step::Restart, format!("the key waits to be enrolled: {MOKMANAGER}"));
    }
    if status.policy.enforce == Enforce::No {
        let why = &status.policy.why;
        let later = match status.secure_boot {
            SecureBoot::NotEfi => String::new(),
            _ => format!("; before Secure Boot is switched on: '{command}'"),
        };
        return next(Step::Nothing, format!("nothing to do: signatures are not enforced ({why}){later}"));
    }
    if status.secure_boot == SecureBoot::NotEfi {
        let why = &status.policy.why;
        return next(
            Step::NoFirmware,
            format!(
                "{why}, but this machine was not started by EFI firmware, so no key can be enrolled: sign with a key that the kernel was built with (CONFIG_SYSTEM_TRUSTED_KEYS), or do not have it insist"
            ),
        );
    }
    if !certified.enrolment.is_known_untrusted() && !status.root {
        return next(Step::LookAsRoot, "not all of it can be read: run this as root");
    }
    next(Step::Enroll, format!("enrol the key: '{command}', then {MOKMANAGER}"))
}

fn of_staged(status: &Status, staged: &Certified) -> Next {
    if staged.enrolment.is_trusted() || (status.demanding.is_empty() && !staged.enrolment.is_pending()) {
        return next(Step::Rotate, "the new key can be taken: 'dkms mok rotate' signs all modules with it");
    }
    let then = trust(status, staged, "dkms mok enroll");
    match then.step {
        Step::Enroll | Step::Restart => next(
            then.step,
            format!("a new key waits to be taken; {}; after that 'dkms mok rotate' again", then.text),
        ),
        // Another kernel, not this one, requires signatures.
        Step::Nothing => next(
            Step::Enroll,
            format!(
                "a new key waits to be taken, and kernel {} insists on signatures: 'dkms mok enroll', then {MOKMANAGER}; after that 'dkms mok rotate' again",
                status.demanding.first().map_or("", |k| &k.release)
            ),
        ),
        _ => then,
    }
}
