//! Whether modules are signed, with which key, and doing it (module signing: kernel `Documentation/admin-guide/module-signing.rst`).
//!
//! RSA keys in files sign in this process. `pkcs11:` keys, encrypted keys and other key types go through the kernel's
//! own `sign-file`.

use crate::error::{Error, Result};
use crate::event::Event;
use crate::journal::op::aside;
use crate::kernel::distro::Family;
use crate::kernel::headers::Headers;
use crate::session::Session;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_sys::process::{Command, Stream};
use kmodule::sign::{Certificate, Hash, Key, KeyError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was decided for a kernel's modules.
#[derive(Debug)]
pub enum Signing {
    /// Sign with this.
    With(Box<Signer>),
    /// Do not sign, and why.
    Not(String),
}

/// A key, its certificate, and who computes with them.
#[derive(Debug)]
pub struct Signer {
    certificate: PathBuf,
    hash: String,
    method: Method,
}

#[derive(Debug)]
enum Method {
    InProcess { key: Box<Key>, certificate: Box<Certificate>, hash: Hash },
    SignFile { program: PathBuf, key: String, pin: Option<std::ffi::OsString> },
}

/// Where the key pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// A path, or a `pkcs11:` URI.
    pub key: String,
    /// Certificate, PEM or DER.
    pub certificate: PathBuf,
}

/// Whether the modules of a kernel are to be signed: the hash, or why not.
fn wanted(
    s: &Session<'_>,
    headers: &Headers,
    framework: &FrameworkConf,
) -> std::result::Result<String, &'static str> {
    let Some(config) = &headers.config else {
        return Err("not signed: the kernel's configuration is not there to say how");
    };
    let Some(hash) = config.value("CONFIG_MODULE_SIG_HASH").map(str::to_owned) else {
        return Err("not signed: this kernel is built without module signatures");
    };
    match framework.try_sign_modules.as_deref().unwrap_or("not_in_chroot") {
        "false" => Err("not signed: try_sign_modules is false in framework.conf"),
        "true" => Ok(hash),
        _ => match s.host.chroot {
            Some(false) => Ok(hash),
            Some(true) => Err(
                "not signed: this is a chroot (try_sign_modules=true in framework.conf signs all the same)",
            ),
            None => Err(
                "not signed: without /proc this may be a chroot (try_sign_modules=true in framework.conf signs all the same)",
            ),
        },
    }
}

/// The key pair that a build for this kernel would make, because it is not there.
pub fn key_to_be_made(s: &Session<'_>, headers: &Headers, framework: &FrameworkConf) -> Option<KeyPair> {
    wanted(s, headers, framework).ok()?;
    let pair = key_pair(s, framework, Some(headers)).ok()?;
    let there = pair.key.starts_with("pkcs11:") || Path::new(&pair.key).exists() || pair.certificate.exists();
    (!there).then_some(pair)
}

/// Decides whether and how the modules of a kernel are signed, and makes the key pair when there is none.
///
/// # Errors
/// When signing is wanted and cannot be done: no silent unsigned modules.
pub fn prepare(
    s: &Session<'_>,
    headers: &Headers,
    release: &str,
    framework: &FrameworkConf,
) -> Result<Signing> {
    let hash = match wanted(s, headers, framework) {
        Ok(hash) => hash,
        Err(why) => return Ok(Signing::Not(why.into())),
    };
    let pair = key_pair(s, framework, Some(headers))?;
    ensure(s, &pair)?;
    let method = choose(s, &pair, &hash, headers, release, framework)?;
    s.tell(Event::SigningKey { key: pair.key.clone(), certificate: pair.certificate.clone() });
    Ok(Signing::With(Box::new(Signer { certificate: pair.certificate, hash, method })))
}

/// Where the key pair is: framework.conf, the distribution's place, else the dkms tree.
///
/// # Errors
/// When only one half is configured where both are needed.
pub fn key_pair(s: &Session<'_>, framework: &FrameworkConf, headers: Option<&Headers>) -> Result<KeyPair> {
    let own = |name: &str| s.layout.dkms_tree.join(name);
    let mut key = framework.mok_signing_key.clone().filter(|v| !v.is_empty());
    let mut certificate = framework.mok_certificate.clone().filter(|v| !v.is_empty());
    if key.is_none() {
        match s.host.distribution.as_ref().map(|d| d.family()) {
            Some(Family::Ubuntu) => {
                key = Some("/var/lib/shim-signed/mok/MOK.priv".into());
                certificate = certificate.or_else(|| Some("/var/lib/shim-signed/mok/MOK.der".into()));
            }
            Some(Family::Gentoo) => (key, certificate) = gentoo_keys(s, headers, certificate),
            _ => {}
        }
    }
    let key = key.unwrap_or_else(|| own("mok.key").to_string_lossy().into_owned());
    let certificate = certificate.map_or_else(|| own("mok.pub"), PathBuf::from);
    // A relative path means nothing reliable once somebody has changed directory.
    for p in [&key, &*certificate.to_string_lossy()] {
        if !p.starts_with("pkcs11:") && !p.starts_with('/') {
            return Err(Error::SignFailed {
                path: PathBuf::from(p),
                reason: "the path of a signing key must be absolute".into(),
                help: "write the full path in framework.conf".into(),
            });
        }
    }
    Ok(KeyPair { key, certificate })
}

/// Portage's variables, then the kernel's own key (one PEM file with both halves, relative to its sources).
fn gentoo_keys(
    s: &Session<'_>,
    headers: Option<&Headers>,
    certificate: Option<String>,
) -> (Option<String>, Option<String>) {
    let inherited = |name: &str| {
        let found = s.host.environment.iter().find(|(k, _)| k == name)?;
        found.1.to_str().map(str::to_owned).filter(|v| !v.is_empty())
    };
    let make_conf = std::fs::read_to_string("/etc/portage/make.conf").unwrap_or_default();
    let configured = |name: &str| {
        make_conf.lines().rev().find_map(|l| {
            let v = l.trim().strip_prefix(name)?.strip_prefix('=')?;
            Some(v.trim_matches('"').to_owned()).filter(|v| !v.is_empty())
        })
    };
    let key = inherited("MODULES_SIGN_KEY").or_else(|| configured("MODULES_SIGN_KEY"));
    let certificate =
        certificate.or_else(|| inherited("MODULES_SIGN_CERT")).or_else(|| configured("MODULES_SIGN_CERT"));
    if key.is_some() {
        return (key.clone(), certificate.or(key));
    }
    let kernel = headers.and_then(|h| {
        let named = h.config.as_ref()?.value("CONFIG_MODULE_SIG_KEY").filter(|v| !v.is_empty())?;
        Some(h.dir.join(named).to_string_lossy().into_owned())
    });
    (kernel.clone(), certificate.or(kernel))
}

/// Makes the pair when both halves are missing; a half alone is never overwritten.
///
/// # Errors
/// One half missing, or the files cannot be written.
pub fn ensure(s: &Session<'_>, pair: &KeyPair) -> Result<bool> {
    if pair.key.starts_with("pkcs11:") {
        return if pair.certificate.is_file() {
            Ok(false)
        } else {
            Err(missing_half(&pair.certificate, "certificate"))
        };
    }
    let key = Path::new(&pair.key);
    if key.is_file() && pair.certificate.is_file() {
        return Ok(false);
    }
    let _one_at_a_time = crate::lock::signing_key(s)?;
    finish_interrupted(key, &pair.certificate)?;
    match (key.is_file(), pair.certificate.is_file()) {
        // Another dkms was faster.
        (true, true) => return Ok(false),
        (false, true) => return Err(missing_half(key, "private key")),
        (true, false) => return Err(missing_half(&pair.certificate, "certificate")),
        (false, false) => {}
    }
    if s.host.distribution.as_ref().is_some_and(|d| d.family() == Family::Ubuntu)
        && pair.key == "/var/lib/shim-signed/mok/MOK.priv"
        && ubuntu_policy_makes_key(s)
        && key.is_file()
        && pair.certificate.is_file()
    {
        s.tell(Event::KeyMade { key: key.into(), certificate: pair.certificate.clone() });
        return Ok(true);
    }
    let failed = |reason: String| {
        Error::SignFailed {
        path: key.into(),
        reason,
        help: "name an existing key pair in framework.conf (mok_signing_key, mok_certificate), or set try_sign_modules=false".into(),
    }
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (key_pem, certificate) =
        kmodule::mok::generate(kmodule::mok::COMMON_NAME, kmodule::mok::DAYS, &mut kmodule::mok::OsRng, now)
            .map_err(|e| failed(e.to_string()))?;
    for path in [key, &*pair.certificate] {
        if let Some(parent) = path.parent() {
            dkms_sys::fs::create_dir_all(parent)?;
        }
    }
    // The key takes its name last: whoever sees it sees a pair.
    let staged = aside(key, "new");
    dkms_sys::fs::create_new(&staged, &key_pem, 0o600)?;
    let placed = dkms_sys::fs::write_atomic(&pair.certificate, &certificate, 0o644)
        .and_then(|()| dkms_sys::fs::rename_noreplace(&staged, key))
        .and_then(|()| key.parent().map_or(Ok(()), dkms_sys::fs::sync_dir));
    if let Err(e) = placed {
        if !key.is_file() {
            let _ = dkms_sys::fs::remove_file(&pair.certificate);
        }
        let _ = dkms_sys::fs::remove_file(&staged);
        return Err(e.into());
    }
    s.tell(Event::KeyMade { key: key.into(), certificate: pair.certificate.clone() });
    Ok(true)
}

/// A pair whose making was cut off: with its certificate it is completed, without it begins anew.
fn finish_interrupted(key: &Path, certificate: &Path) -> Result<()> {
    let staged = aside(key, "new");
    if staged.is_file() && !key.is_file() && certificate.is_file() {
        dkms_sys::fs::rename_noreplace(&staged, key)?;
    }
    dkms_sys::fs::remove_file(&staged)?;
    Ok(())
}

fn missing_half(path: &Path, what: &str) -> Error {
    Error::SignFailed {
        path: path.into(),
        reason: format!("the {what} of the signing key pair is missing, the other half is there"),
        help: "put it back, or move the other half away as well so that a new pair can be made".into(),
    }
}

/// Ubuntu's own tool makes the pair where shim expects it, and asks for enrolment.
fn ubuntu_policy_makes_key(s: &Session<'_>) -> bool {
    let Some(tool) = dkms_sys::process::which("update-secureboot-policy", &s.host.path) else { return false };
    let run = |argument: &str| {
        Command::new(&tool)
            .arg(argument)
            .envs(s.host.environment.iter().cloned())
            .env("SHIM_NOTRIGGER", "y")
            .stdout(Stream::Null)
            .stderr(Stream::Null)
            .timeout(Duration::from_secs(120))
            .run()
            .is_ok_and(|f| f.status.success())
    };
    run("--new-key") && {
        let _ = run("--enroll-key");
        true
    }
}

fn choose(
    s: &Session<'_>,
    pair: &KeyPair,
    hash: &str,
    headers: &Headers,
    release: &str,
    framework: &FrameworkConf,
) -> Result<Method> {
    let key_path = PathBuf::from(&pair.key);
    let refuse = |path: &Path, reason: String, help: &str| Error::SignFailed {
        path: path.into(),
        reason,
        help: help.into(),
    };
    let external = |why: &str| {
        let mut candidates: Vec<PathBuf> = Vec::new();
        match framework.sign_file.as_deref().filter(|v| !v.is_empty()) {
            Some(named) => candidates.push(named.into()),
            None => {
                if let Some(d) = &s.host.distribution {
                    candidates = d.sign_file_candidates(release, &headers.dir);
                } else {
                    candidates.push(headers.dir.join("scripts/sign-file"));
                }
            }
        }
        let pin = s.host.environment.iter().find(|(k, _)| k == "KBUILD_SIGN_PIN").map(|(_, v)| v.clone());
        match candidates.iter().find(|p| p.is_file()) {
            Some(program) => Ok(Method::SignFile { program: program.clone(), key: pair.key.clone(), pin }),
            None => Err(refuse(
                &key_path,
                format!(
                    "{why}, and the kernel's sign-file is not at {}",
                    candidates.last().map_or_else(String::new, |p| p.display().to_string())
                ),
                "install the kernel's build tools, name sign_file in framework.conf, or use an RSA key in a file",
            )),
        }
    };
    if pair.key.starts_with("pkcs11:") {
        return external("a PKCS#11 key needs it");
    }
    let Some(hash) = Hash::from_config_name(hash) else {
        return external(&format!("the hash {hash} needs it"));
    };
    let key = match Key::parse(&dkms_sys::fs::read(&key_path)?) {
        Ok(key) => key,
        Err(KeyError::Encrypted) => return external("an encrypted key needs it"),
        Err(KeyError::UnsupportedKeyType(kind)) => {
            return external(&format!("a key of type {kind} needs it"));
        }
        Err(e) => {
            return Err(refuse(&key_path, e.to_string(), "an RSA key in PEM or DER form is expected here"));
        }
    };
    let certificate = Certificate::parse(&dkms_sys::fs::read(&pair.certificate)?).map_err(|e| {
        refuse(&pair.certificate, e.to_string(), "an X.509 certificate in DER or PEM form is expected here")
    })?;
    if !certificate.matches(&key) {
        return Err(refuse(
            &pair.certificate,
            format!("the certificate does not belong to the key {}", pair.key),
            "the kernel would refuse such a signature; name a pair that belongs together",
        ));
    }
    Ok(Method::InProcess { key: Box::new(key), certificate: Box::new(certificate), hash })
}

impl Signer {
    /// Signs a module in place and says by whom.
    ///
    /// # Errors
    /// [`Error::SignFailed`].
    pub fn sign(&self, module: &Path) -> Result<String> {
        let failed = |reason: String| Error::SignFailed {
            path: module.into(),
            reason,
            help:
                "the build was not kept; try_sign_modules=false in framework.conf builds without signatures"
                    .into(),
        };
        match &self.method {
            Method::InProcess { key, certificate, hash } => {
                let bytes = dkms_sys::fs::read(module)?;
                let signed = kmodule::sign::sign(&bytes, key, certificate, *hash)
                    .map_err(|e| failed(e.to_string()))?;
                dkms_sys::fs::write_atomic(module, &signed, 0o644)?;
                Ok(format!("signed by {}", certificate.subject_cn()))
            }
            Method::SignFile { program, key, pin } => {
                let mut command = Command::new(program);
                command = command.arg(&self.hash).arg(key).arg(&self.certificate).arg(module);
                if let Some(pin) = pin {
                    command = command.env("KBUILD_SIGN_PIN", pin);
                }
                let done = command
                    .stdout(Stream::Null)
                    .stderr(Stream::Capture)
                    .timeout(Duration::from_secs(120))
                    .run()
                    .map_err(|e| failed(e.to_string()))?;
                if !done.status.success() {
                    let said = String::from_utf8_lossy(&done.stderr);
                    let said = said.lines().last().unwrap_or("it said nothing").to_owned();
                    return Err(failed(format!("{} ended with {} ({said})", program.display(), done.status)));
                }
                Ok(format!("signed by {}", program.display()))
            }
        }
    }
}
