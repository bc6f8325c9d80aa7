//! Decides whether and with which key modules are signed, and signs them (kernel
//! `Documentation/admin-guide/module-signing.rst`).
//!
//! With an RSA key in a file, this process signs. For `pkcs11:` keys, encrypted keys and other key types it
//! runs the kernel's `sign-file`. If framework.conf names a `sign_file`, that program is run for every kind
//! of key: it may request signatures from a service, or fetch a pass phrase.

pub(crate) mod ask;
pub(crate) mod error;
mod pair;
mod pin;

use crate::event::Sink;
use crate::system::Settings;
pub use error::{EnrolFault, RotateFault, SignFault, SignFileReason, SigningError};
use pair::failed;
pub use pair::{KeyPair, ensure, is_complete, key_pair};
pub(crate) use pair::{ensure_staged, reach};
pub(crate) use pin::of_token as pin_of_token;

use crate::error::Result;
use crate::event::Event;
use crate::host::Host;
use crate::kernel::headers::Headers;
use crate::secret::Secret;
use crate::system::System;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_sys::process::{Command, Stream};
use dkms_tree::manifest::Signature;
use kmodule::sign::{Certificate, Hash, Key, KeyError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The decision whether the modules of a kernel are signed.
#[derive(Debug)]
pub enum Signing {
    /// They are signed with this signer.
    With(Box<Signer>),
    /// They are not signed, for this reason.
    Not(Unsigned),
}

/// Signs modules with a key and its certificate.
#[derive(Debug)]
pub struct Signer {
    certificate: PathBuf,
    hash: String,
    method: Method,
}

#[derive(Debug)]
enum Method {
    /// In this process. All pairs sign the same message.
    InProcess { pairs: Vec<(Key, Certificate)>, hash: Hash },
    /// With this program.
    SignFile { program: PathBuf, key: String, pin: Option<Secret>, reason: SignFileReason },
}

/// The reason why the modules of a kernel are not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// The hash that the kernel expects is unknown.
    #[error("the kernel's configuration, which names the hash, is missing")]
    NoConfig,
    /// The kernel does not check signatures.
    #[error("this kernel is built without module signatures")]
    NoSignatures,
    /// The administrator has disabled it.
    #[error("try_sign_modules is false in framework.conf")]
    Disabled,
    /// The key of this machine is elsewhere.
    #[error("this is a chroot (try_sign_modules=true in framework.conf signs anyway)")]
    Chroot,
    /// It is not known whether this is a chroot.
    #[error("without /proc this may be a chroot (try_sign_modules=true in framework.conf signs anyway)")]
    MaybeChroot,
    /// A key that is created in a container is lost with it.
    #[error(
        "there is no key, and none is created in a container \
         (give one with --mok-signing-key, or set try_sign_modules=true in framework.conf)"
    )]
    NoKeyInContainer,
}

/// Decides whether the modules of a kernel are signed. Returns the hash for the signatures, or the reason why
/// they are not signed.
fn hash_to_sign_with(
    host: &Host,
    settings: &Settings,
    headers: &Headers,
    framework: &FrameworkConf,
) -> std::result::Result<String, Unsigned> {
    let Some(config) = &headers.config else {
        return Err(Unsigned::NoConfig);
    };
    let Some(hash) = config.value("CONFIG_MODULE_SIG_HASH").map(str::to_owned) else {
        return Err(Unsigned::NoSignatures);
    };
    if settings.signing.is_some() {
        return Ok(hash);
    }
    match framework.try_sign_modules.as_deref().unwrap_or("not_in_chroot") {
        "false" => Err(Unsigned::Disabled),
        "true" => Ok(hash),
        _ => match host.chroot {
            Some(false) => Ok(hash),
            Some(true) => Err(Unsigned::Chroot),
            None => Err(Unsigned::MaybeChroot),
        },
    }
}

/// Returns whether the modules of a kernel are signed.
pub(crate) fn signs(host: &Host, settings: &Settings, headers: &Headers, framework: &FrameworkConf) -> bool {
    hash_to_sign_with(host, settings, headers, framework).is_ok()
}

/// Returns the key pair that a build for this kernel would create because none exists.
pub(crate) fn missing_pair(system: &System, headers: &Headers, framework: &FrameworkConf) -> Option<KeyPair> {
    hash_to_sign_with(&system.host, &system.settings, headers, framework).ok()?;
    let pair = key_pair(system, framework, Some(headers)).ok()?;
    (is_missing(&pair) && may_create(&system.host, framework)).then_some(pair)
}

/// Returns whether neither half of a pair exists.
fn is_missing(pair: &KeyPair) -> bool {
    !(pair.is_token() || Path::new(&pair.key).exists() || pair.certificate.exists())
}

/// Returns whether a missing key pair is created. The files of a container may become an image, and every
/// copy of the image would have the same private key.
fn may_create(host: &Host, framework: &FrameworkConf) -> bool {
    !host.container || framework.try_sign_modules.as_deref() == Some("true")
}

/// The existing files that contain a private key for a kernel's modules.
pub(crate) fn private_files(system: &System, headers: &Headers, framework: &FrameworkConf) -> Vec<PathBuf> {
    let pairs = key_pair(system, framework, Some(headers)).into_iter().filter(|pair| !pair.is_token());
    let second = framework.mok_signing_key_2.iter().map(PathBuf::from);
    let files = pairs.flat_map(|pair| pair.private_files()).chain(second);
    files.filter(|f| f.is_file()).collect()
}

/// Decides whether and how the modules of a kernel are signed, and creates the key pair if it is missing.
///
/// # Errors
/// Signing is requested but impossible. Modules are never silently left unsigned.
pub fn prepare(
    system: &System,
    sink: &dyn Sink,
    headers: &Headers,
    release: &str,
    framework: &FrameworkConf,
) -> Result<Signing> {
    let hash = match hash_to_sign_with(&system.host, &system.settings, headers, framework) {
        Ok(hash) => hash,
        Err(why) => return Ok(Signing::Not(why)),
    };
    let pair = key_pair(system, framework, Some(headers))?;
    if is_missing(&pair) && system.settings.signing.is_none() && !may_create(&system.host, framework) {
        return Ok(Signing::Not(Unsigned::NoKeyInContainer));
    }
    ensure(system, sink, &pair)?;
    let second = second_signer(&system.settings, framework)?;
    let target = Target { host: &system.host, headers, release, framework };
    let method = choose_method(&target, &pair, second, &hash)?;
    sink.event(Event::SigningKey { key: pair.key.clone(), certificate: pair.certificate.clone() });
    Ok(Signing::With(Box::new(Signer { certificate: pair.certificate, hash, method })))
}

/// The kernel whose modules are signed, and the settings for it.
struct Target<'a> {
    host: &'a Host,
    headers: &'a Headers,
    release: &'a str,
    framework: &'a FrameworkConf,
}

/// Chooses how to compute the signatures: in this process if it supports the key, else with the kernel's
/// sign-file.
fn choose_method(
    target: &Target<'_>,
    pair: &KeyPair,
    second: Option<(Key, Certificate)>,
    hash: &str,
) -> Result<Method> {
    let external = |reason: SignFileReason| match second {
        None => sign_file(target, pair, reason),
        Some(_) => Err(failed(Path::new(&pair.key), SignFault::SecondNeedsFiles(reason))),
    };
    if named_sign_file(target.framework).is_some() {
        return external(SignFileReason::Configured);
    }
    if pair.is_token() {
        return external(SignFileReason::Token);
    }
    let key_path = Path::new(&pair.key);
    let (key, hash) = match (Key::parse(&pair::read_key(key_path)?), Hash::from_config_name(hash)) {
        (Ok(key), Some(hash)) => (key, hash),
        (Err(KeyError::Encrypted), _) if pin::find(target.host)?.is_none() => {
            return Err(failed(key_path, SignFault::NoPassPhrase));
        }
        (Err(KeyError::Encrypted), _) => return external(SignFileReason::Encrypted),
        (Err(KeyError::UnsupportedKeyType(kind)), _) => {
            return external(SignFileReason::KeyType(kind));
        }
        (Err(e), _) => {
            return Err(failed(key_path, SignFault::BadKey(e)));
        }
        (Ok(_), None) => return external(SignFileReason::Hash(hash.to_owned())),
    };
    let certificate = certificate_for(pair, &key)?;
    let pairs = std::iter::once((key, certificate)).chain(second).collect();
    Ok(Method::InProcess { pairs, hash })
}

/// Reads the certificate of a pair, and checks that it belongs to the key.
fn certificate_for(pair: &KeyPair, key: &Key) -> Result<Certificate> {
    let certificate = read_certificate(&pair.certificate)?;
    if !certificate.matches(key) {
        return Err(failed(&pair.certificate, SignFault::OtherKey(pair.key.clone())));
    }
    Ok(certificate)
}

/// Reads the second key pair that framework.conf names.
///
/// # Errors
/// It is not a complete RSA key pair in files.
pub(crate) fn second_signer(
    settings: &Settings,
    framework: &FrameworkConf,
) -> Result<Option<(Key, Certificate)>> {
    let Some(pair) = pair::second(settings, framework)? else { return Ok(None) };
    let path = Path::new(&pair.key);
    let key = Key::parse(&pair::read_key(path)?).map_err(|e| failed(path, SignFault::BadSecondKey(e)))?;
    let certificate = certificate_for(&pair, &key)?;
    Ok(Some((key, certificate)))
}

/// Signs a module with all pairs, and returns it with its signers.
///
/// # Errors
/// A key cannot sign.
pub(crate) fn sign_with(
    module: &[u8],
    pairs: &[(&Key, &Certificate)],
    hash: Hash,
) -> std::result::Result<(Vec<u8>, Signature), kmodule::sign::SignError> {
    let signed = kmodule::sign::sign_with(module, pairs, hash)?;
    let names: Vec<_> = pairs.iter().map(|(_, certificate)| certificate.subject_cn()).collect();
    Ok((signed, Signature::SignedBy(names.join(" and "))))
}

/// Reads a certificate file.
///
/// # Errors
/// The file cannot be read, or is not a certificate.
pub(crate) fn read_certificate(path: &Path) -> Result<Certificate> {
    Certificate::parse(&dkms_sys::fs::read_bounded(path, dkms_sys::fs::Limit::CONFIG)?)
        .map_err(|e| failed(path, SignFault::BadCertificate(e)))
}

/// The signing program in framework.conf, if it is set.
pub(crate) fn named_sign_file(framework: &FrameworkConf) -> Option<&str> {
    framework.sign_file.as_deref().filter(|v| !v.is_empty())
}

/// Finds the program that signs: the one in framework.conf, else the kernel's sign-file from the
/// distribution.
fn sign_file(target: &Target<'_>, pair: &KeyPair, reason: SignFileReason) -> Result<Method> {
    let Target { host, headers, release, framework } = *target;
    if dkms_sys::mount::is_hidden(Path::new(&pair.key)) {
        return Err(failed(Path::new(&pair.key), SignFault::HiddenKey(reason)));
    }
    // The program's own error message about the certificate is not helpful.
    read_certificate(&pair.certificate)?;
    let named = named_sign_file(framework);
    if let Some(named) = named.filter(|n| !n.starts_with('/')) {
        return Err(failed(Path::new(named), SignFault::RelativeSignFile));
    }
    let candidates: Vec<PathBuf> = match named {
        Some(named) => vec![named.into()],
        None => match &host.distribution {
            Some(d) => d.sign_file_candidates(release, &headers.dir),
            None => vec![headers.dir.join("scripts/sign-file")],
        },
    };
    match candidates.iter().find(|p| p.is_file()) {
        Some(program) => Ok(Method::SignFile {
            program: program.clone(),
            key: pair.key.clone(),
            pin: pin::find(host)?,
            reason,
        }),
        None => Err(match named {
            Some(named) => failed(Path::new(named), SignFault::NoNamedSignFile),
            None => {
                let last = candidates.last().cloned().unwrap_or_default();
                failed(Path::new(&pair.key), SignFault::NoSignFile { reason, last })
            }
        }),
    }
}

impl Signer {
    /// Signs a module in place, and returns a description of the signer.
    ///
    /// # Errors
    /// [`SigningError::SignFailed`].
    pub fn sign(&self, host: &Host, module: &Path) -> Result<Signature> {
        match &self.method {
            Method::InProcess { pairs, hash } => {
                let bytes = dkms_sys::fs::read(module)?;
                let pairs: Vec<_> = pairs.iter().map(|(key, certificate)| (key, certificate)).collect();
                let (signed, signers) = sign_with(&bytes, &pairs, *hash)
                    .map_err(|e| failed(module, SignFault::Failed(e.into())))?;
                dkms_sys::fs::write_atomic(module, &signed, 0o644)?;
                Ok(signers)
            }
            Method::SignFile { program, key, pin, reason } => {
                let mut command = Command::new(program)
                    .arg(&self.hash)
                    .arg(key)
                    .arg(&self.certificate)
                    .arg(module)
                    // Environment variables configure the token's driver.
                    .envs(host.environment.iter().cloned());
                if let Some(pin) = pin {
                    command = command.env("KBUILD_SIGN_PIN", pin.reveal());
                }
                let done = command
                    .stdout(Stream::Null)
                    .stderr(Stream::Capture)
                    .timeout(Duration::from_secs(120))
                    .run()
                    .map_err(|e| failed(module, SignFault::Failed(e.into())))?;
                if !done.status.success() {
                    let output = String::from_utf8_lossy(&done.stderr);
                    let output = output.lines().last().unwrap_or("it printed nothing").to_owned();
                    let (program, status) = (program.clone(), done.status.to_string());
                    return Err(failed(module, SignFault::ProgramFailed { program, status, output }));
                }
                match kmodule::sign::signature(&dkms_sys::fs::read(module)?) {
                    Some(_) => {
                        let signer = read_certificate(&self.certificate)?;
                        let signers = format!("{} with {}: {reason}", signer.subject_cn(), program.display());
                        Ok(Signature::SignedBy(signers))
                    }
                    None => Err(failed(module, SignFault::NothingAppended(program.clone()))),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
