//! The output of `dkms mok`, as text and as JSON.

use super::json;
use dkms_core::time::utc;
use dkms_core::trust::machine::{Enforce, Fact, SecureBoot};
use dkms_core::trust::mok::{Accepted, Certified, KeyFile, Status};
use serde_json::{Value, json};

fn date(seconds: i64) -> String {
    utc(u64::try_from(seconds).unwrap_or(0)).split(' ').next().unwrap_or_default().to_owned()
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
}

/// Lines of a label and its text.
#[derive(Default)]
struct Table(String);

impl Table {
    fn line(&mut self, word: &str, text: impl AsRef<str>) {
        self.0.push_str(&format!("{word:<12} {}\n", text.as_ref()));
    }
}

/// `dkms mok` as text.
pub(crate) fn text(status: &Status) -> String {
    let mut t = Table::default();
    let key = &status.pair.key;
    match &status.key {
        KeyFile::There(_) if status.key.is_exposed() => {
            t.line("Key", format!("{key}, which others than root can read: chmod 600 {key}"));
        }
        KeyFile::There(_) => t.line("Key", key),
        KeyFile::Token => t.line("Key", format!("{key} (in a token)")),
        KeyFile::Missing => t.line("Key", format!("{key}: missing")),
        KeyFile::Unknown(why) => t.line("Key", why),
    }
    match &status.certificate {
        Ok(Some(c)) => certificate(&mut t, "Certificate", c, status),
        Ok(None) => t.line("Certificate", format!("{}: missing", status.pair.certificate.display())),
        Err(why) => t.line("Certificate", why),
    }
    if let Some(c) = &status.staged {
        certificate(&mut t, "New key", c, status);
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
        t.line("Old key", text);
    }
    t.line("Secure Boot", secure_boot(&status.secure_boot));
    let word = match status.policy.enforce {
        Enforce::No => "takes modules without a good signature",
        Enforce::SigEnforce | Enforce::Lockdown => "refuses modules without a good signature",
        Enforce::Unknown => "may refuse modules without a good signature",
    };
    let running = if status.running { ", running" } else { "" };
    t.line("Kernel", format!("{}{running}: {word}, because {}", status.kernel.release, status.policy.why));
    if let Some(hash) = &status.digest_module {
        t.line("", format!("it checks {hash} digests with a module, which has to be loaded first"));
    }
    for why in &status.unreadable {
        t.line("Unknown", why);
    }
    t.line("Next", &status.next.text);
    t.0
}

fn certificate(t: &mut Table, word: &str, c: &Certified, status: &Status) {
    let cert = &c.certificate;
    t.line(word, c.path.display().to_string());
    t.line("", cert.subject());
    let late = if c.is_out_of_date(now()) { " (not now; kernels do not look at that)" } else { "" };
    let valid = format!("valid from {} to {}{late}", date(cert.not_before()), date(cert.not_after()));
    t.line("", format!("{}, {valid}", cert.key_type()));
    let usage = match cert.extended_key_usage() {
        [] => "for any use".to_owned(),
        some => format!("for {}", some.join(", ")),
    };
    t.line("", format!("{usage}; {}", if cert.is_ca() { "a CA" } else { "no CA" }));
    t.line("", format!("SHA1   {}", c.sha1()));
    t.line("", format!("SHA256 {}", c.sha256()));
    match &c.accepted {
        Accepted::Yes => {}
        Accepted::No(why) => t.line("", format!("kernel {} does not take it: {why}", status.kernel.release)),
        Accepted::Unknown(why) => {
            t.line("", format!("whether kernel {} takes it is not known: {why}", status.kernel.release));
        }
    }
    t.line("", trust(c));
}

fn trust(c: &Certified) -> String {
    let e = &c.enrolment;
    if let Ok(Some(list)) = e.forbidden {
        return format!("forbidden by {list}");
    }
    let mut places: Vec<String> = Vec::new();
    for (name, seen) in [("MokListRT", &e.mok_list), ("db", &e.db)] {
        if *seen == Ok(true) {
            places.push(name.into());
        }
    }
    if !e.keyrings.is_empty() {
        places.push(format!("the running kernel's {}", e.keyrings.join(", ")));
    }
    let mut text = match places.as_slice() {
        [] if e.is_known_untrusted() => "not enrolled".to_owned(),
        [] => "not known to be enrolled".to_owned(),
        some => format!("enrolled: {}", some.join(", ")),
    };
    if e.is_pending() {
        text.push_str("; waits to be enrolled (MokNew)");
    }
    if e.mok_del == Ok(true) {
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

/// `dkms mok --json`: one document. `done` lists the changes made, unless it was only a query.
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
            Ok(Some(c)) => certified(c),
            Ok(None) => Value::Null,
            Err(why) => json!({ "path": status.pair.certificate, "error": why }),
        },
        "new_certificate": status.staged.as_ref().map(certified),
        "old_certificate": status.previous.as_ref().map(certified),
        "secure_boot": { "state": secure_boot_word(&status.secure_boot), "off_by_shim": by_shim },
        "enforcement": {
            "state": enforcement_word(status.policy.enforce),
            "why": status.policy.why,
            "sig_enforce": status.sig_enforce.as_ref().ok().copied().flatten(),
            "lockdown": status.lockdown.as_ref().ok().map(|l| l.word()),
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
pub(crate) fn trusted(c: &Certified) -> Option<bool> {
    let e = &c.enrolment;
    if e.is_trusted() {
        Some(true)
    } else if e.is_known_untrusted() {
        Some(false)
    } else {
        None
    }
}

fn certified(c: &Certified) -> Value {
    let (cert, e) = (&c.certificate, &c.enrolment);
    let known = |seen: &Fact<bool>| seen.as_ref().ok().copied();
    let (accepted, why) = match &c.accepted {
        Accepted::Yes => (Some(true), None),
        Accepted::No(why) => (Some(false), Some(why)),
        Accepted::Unknown(why) => (None, Some(why)),
    };
    json!({
        "path": c.path,
        "error": null,
        "subject": cert.subject(),
        "serial": c.serial(),
        "key_type": cert.key_type().to_string(),
        "sha1": c.sha1(),
        "sha256": c.sha256(),
        "not_before": cert.not_before(),
        "not_after": cert.not_after(),
        "ca": cert.is_ca(),
        "extended_key_usage": cert.extended_key_usage(),
        "accepted": accepted,
        "accepted_why": why,
        "trusted": trusted(c),
        "mok_list": known(&e.mok_list),
        "mok_new": known(&e.mok_new),
        "mok_del": known(&e.mok_del),
        "db": known(&e.db),
        "forbidden_by": e.forbidden.as_ref().ok().copied().flatten(),
        "keyrings": e.keyrings,
        "kernel": e.kernel,
    })
}
