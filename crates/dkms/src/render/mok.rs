//! Renders the output of `dkms mok` as text and as JSON.

use super::json::{self, lossy};
use super::numbers::day;
use dkms_core::trust::machine::{Enforce, Fact, SecureBoot};
use dkms_core::trust::mok::{Accepted, Certified, Enrolment, KeyFile, Status};
use serde_json::{Value, json};

/// The current time, in seconds since 1970.
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
}

/// Lines of a label and its text.
#[derive(Default)]
struct Table(String);

impl Table {
    fn line(&mut self, label: &str, text: impl AsRef<str>) {
        self.0.push_str(&format!("{label:<12} {}\n", text.as_ref()));
    }
}

/// `dkms mok`
pub(crate) fn text(status: &Status) -> String {
    let mut table = Table::default();
    let key = &status.pair.key;
    match &status.key {
        KeyFile::There(_) if status.key.is_exposed() => {
            table.line("Key", format!("{key}, which users other than root can read: chmod 600 {key}"));
        }
        KeyFile::There(_) => table.line("Key", key),
        KeyFile::Token => table.line("Key", format!("{key} (in a token)")),
        KeyFile::Missing => table.line("Key", format!("{key}: missing")),
        KeyFile::Unknown(why) => table.line("Key", why),
    }
    match &status.certificate {
        Ok(Some(current)) => certificate(&mut table, "Certificate", current, status),
        Ok(None) => table.line("Certificate", format!("{}: missing", status.pair.certificate.display())),
        Err(why) => table.line("Certificate", why),
    }
    if let Some(staged) = &status.staged {
        certificate(&mut table, "New key", staged, status);
    }
    if let Some(old) = &status.previous {
        let path = old.path.display();
        let text = if old.enrolment.is_known_untrusted() {
            format!("its certificate is kept in {path}")
        } else {
            format!(
                "its certificate is kept in {path}; 'mokutil --delete' with it withdraws this machine's trust"
            )
        };
        table.line("Old key", text);
    }
    table.line("Secure Boot", secure_boot(&status.secure_boot));
    let word = match status.policy.enforce {
        Enforce::No => "accepts modules without a trusted signature",
        Enforce::SigEnforce | Enforce::Lockdown => "refuses modules without a trusted signature",
        Enforce::Unknown => "may refuse modules without a trusted signature",
    };
    let running = if status.running { ", running" } else { "" };
    table
        .line("Kernel", format!("{}{running}: {word}, because {}", status.kernel.release, status.policy.why));
    if let Some(hash) = &status.digest_module {
        table.line("", format!("it checks {hash} digests with a module, which has to be loaded first"));
    }
    for why in &status.unreadable {
        table.line("Unknown", why);
    }
    table.line("Next", &status.next.text);
    table.0
}

fn certificate(table: &mut Table, label: &str, certified: &Certified, status: &Status) {
    let cert = &certified.certificate;
    table.line(label, lossy(&certified.path));
    table.line("", cert.subject());
    let late = if certified.is_out_of_date(now()) { " (not now; kernels do not check that)" } else { "" };
    let valid = format!("valid from {} to {}{late}", day(cert.not_before()), day(cert.not_after()));
    table.line("", format!("{}, {valid}", cert.key_type()));
    let usage = match cert.extended_key_usage() {
        [] => "for any use".to_owned(),
        some => format!("for {}", some.join(", ")),
    };
    table.line("", format!("{usage}; {}", if cert.is_ca() { "a CA" } else { "no CA" }));
    table.line("", format!("SHA1   {}", certified.sha1()));
    table.line("", format!("SHA256 {}", certified.sha256()));
    let release = &status.kernel.release;
    match &certified.accepted {
        Accepted::Yes => {}
        Accepted::No(why) => table.line("", format!("kernel {release} does not accept it: {why}")),
        Accepted::Unknown(why) => {
            table.line("", format!("it is unknown whether kernel {release} accepts it: {why}"));
        }
    }
    table.line("", trust(&certified.enrolment));
}

/// Where a certificate is enrolled, or waits to be enrolled.
fn trust(enrolment: &Enrolment) -> String {
    if let Ok(Some(list)) = enrolment.forbidden {
        return format!("forbidden by {list}");
    }
    let mut places: Vec<String> = Vec::new();
    for (name, seen) in [("MokListRT", &enrolment.mok_list), ("db", &enrolment.db)] {
        if *seen == Ok(true) {
            places.push(name.into());
        }
    }
    if !enrolment.keyrings.is_empty() {
        places.push(format!("the running kernel's {}", enrolment.keyrings.join(", ")));
    }
    let mut text = match places.as_slice() {
        [] if enrolment.is_known_untrusted() => "not enrolled".to_owned(),
        [] => "not known to be enrolled".to_owned(),
        some => format!("enrolled: {}", some.join(", ")),
    };
    if enrolment.is_pending() {
        text.push_str("; waits to be enrolled (MokNew)");
    }
    if enrolment.mok_del == Ok(true) {
        text.push_str("; waits to be deleted (MokDel)");
    }
    text
}

fn secure_boot(state: &SecureBoot) -> String {
    match state {
        SecureBoot::On => "on".into(),
        SecureBoot::Off { by_shim: false } => "off".into(),
        SecureBoot::Off { by_shim: true } => "on in the firmware, but switched off in shim".into(),
        SecureBoot::SetupMode => "off: the firmware is in setup mode".into(),
        SecureBoot::NotEfi => "none: not started by EFI firmware".into(),
        SecureBoot::Unknown(_) => "unknown".into(),
    }
}

/// `dkms mok --json`. `done` is the word for the change that was made; none for a query.
pub(crate) fn document(status: &Status, done: Option<&str>) -> String {
    let by_shim = match &status.secure_boot {
        SecureBoot::On => Some(false),
        SecureBoot::Off { by_shim } => Some(*by_shim),
        _ => None,
    };
    let mode = match &status.key {
        KeyFile::There(mode) => Some(format!("{mode:04o}")),
        _ => None,
    };
    json::document(json!({
        "done": done,
        "kernel": status.kernel.release,
        "running": status.running,
        "key": { "path": status.pair.key, "state": key_word(&status.key), "mode": mode },
        "certificate": match &status.certificate {
            Ok(Some(current)) => certified(current),
            Ok(None) => Value::Null,
            Err(why) => json!({ "path": lossy(&status.pair.certificate), "error": why }),
        },
        "new_certificate": status.staged.as_ref().map(certified),
        "old_certificate": status.previous.as_ref().map(certified),
        "secure_boot": { "state": secure_boot_word(&status.secure_boot), "off_by_shim": by_shim },
        "enforcement": {
            "state": enforcement_word(status.policy.enforce),
            "why": status.policy.why,
            "sig_enforce": status.sig_enforce.as_ref().ok().copied().flatten(),
            "lockdown": status.lockdown.as_ref().ok().map(|lockdown| lockdown.word()),
            "digest_module": status.digest_module,
        },
        "unreadable": status.unreadable,
        "next": { "step": status.next.step.word(), "text": status.next.text },
    }))
}

/// The state of Secure Boot in JSON.
pub(crate) fn secure_boot_word(state: &SecureBoot) -> &'static str {
    match state {
        SecureBoot::On => "on",
        SecureBoot::Off { .. } => "off",
        SecureBoot::SetupMode => "setup-mode",
        SecureBoot::NotEfi => "not-efi",
        SecureBoot::Unknown(_) => "unknown",
    }
}

/// Whether a kernel requires signatures, in JSON.
pub(crate) fn enforcement_word(enforce: Enforce) -> &'static str {
    match enforce {
        Enforce::No => "no",
        Enforce::SigEnforce => "sig-enforce",
        Enforce::Lockdown => "lockdown",
        Enforce::Unknown => "unknown",
    }
}

/// The state of the private key in JSON.
pub(crate) fn key_word(key: &KeyFile) -> &'static str {
    match key {
        KeyFile::There(_) => "there",
        KeyFile::Token => "token",
        KeyFile::Missing => "missing",
        KeyFile::Unknown(_) => "unknown",
    }
}

/// Whether the machine trusts a certificate; none if that is unknown.
pub(crate) fn trusted(enrolment: &Enrolment) -> Option<bool> {
    (enrolment.is_trusted() || enrolment.is_known_untrusted()).then(|| enrolment.is_trusted())
}

fn certified(certified: &Certified) -> Value {
    let Certified { certificate: cert, enrolment, .. } = certified;
    let known = |seen: &Fact<bool>| seen.as_ref().ok().copied();
    let (accepted, why) = match &certified.accepted {
        Accepted::Yes => (Some(true), None),
        Accepted::No(why) => (Some(false), Some(why)),
        Accepted::Unknown(why) => (None, Some(why)),
    };
    json!({
        "path": lossy(&certified.path),
        "error": null,
        "subject": cert.subject(),
        "serial": certified.serial(),
        "key_type": cert.key_type().to_string(),
        "sha1": certified.sha1(),
        "sha256": certified.sha256(),
        "not_before": cert.not_before(),
        "not_after": cert.not_after(),
        "ca": cert.is_ca(),
        "extended_key_usage": cert.extended_key_usage(),
        "accepted": accepted,
        "accepted_why": why,
        "trusted": trusted(enrolment),
        "mok_list": known(&enrolment.mok_list),
        "mok_new": known(&enrolment.mok_new),
        "mok_del": known(&enrolment.mok_del),
        "db": known(&enrolment.db),
        "forbidden_by": enrolment.forbidden.as_ref().ok().copied().flatten(),
        "keyrings": enrolment.keyrings,
        "kernel": enrolment.kernel,
    })
}
