//! Finds the key pair, and creates a missing pair.

use super::error::{SignFault, SigningError};
use crate::conf::framework;
use crate::distro::Family;
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::host::Host;
use crate::kernel::headers::{self, Headers};
use crate::system::{Settings, System};
use dkms_conf::framework_conf::FrameworkConf;
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::Kernel;
use dkms_tree::journal::{Reach, op::aside};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The paths of a key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// A path, or a `pkcs11:` URI.
    pub key: String,
    /// The certificate file, PEM or DER.
    pub certificate: PathBuf,
}

impl KeyPair {
    /// Returns whether the key is in a token and can only be used there.
    pub fn is_token(&self) -> bool {
        self.key.starts_with("pkcs11:")
    }

    /// Returns all names that the file of the private key may have: its final name, its name during creation,
    /// and its name before a rotation.
    pub(super) fn private_files(&self) -> Vec<PathBuf> {
        let key = Path::new(&self.key);
        vec![key.into(), aside(key, "new"), beside(key, "next")]
    }

    /// The new pair that `dkms mok rotate` will use: `.NAME.next` beside each file.
    pub fn staged(&self) -> KeyPair {
        KeyPair {
            key: beside(Path::new(&self.key), "next").to_string_lossy().into_owned(),
            certificate: beside(&self.certificate, "next"),
        }
    }

    /// The certificate of the previous pair: `.NAME.old`.
    pub fn previous(&self) -> PathBuf {
        beside(&self.certificate, "old")
    }

    /// Returns whether key and certificate are in one PEM file.
    pub fn is_one_file(&self) -> bool {
        Path::new(&self.key) == self.certificate
    }
}

/// `.NAME.WORD`
fn beside(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{word}"))
}

/// Every file that replacing the key pair of a kernel touches ([`crate::trust::mok::rotate`]).
///
/// # Errors
/// As [`key_pair`]; framework.conf is invalid.
pub(crate) fn files(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let framework = framework::load(system, sink, Some(&kernel.release))?;
    let pair = key_pair(system, &framework, headers::find(system, kernel).ok().as_ref())?;
    let (staged, previous) = (pair.staged(), pair.previous());
    Ok(vec![pair.key.into(), pair.certificate, staged.key.into(), staged.certificate, previous])
}

/// The paths that changes may touch: the trees of the system, and the files of its signing keys.
pub(crate) fn reach<'a>(system: &'a System, sink: &'a dyn Sink) -> Reach<'a> {
    Reach::new(system.trees(), |kernel| files(system, sink, kernel).unwrap_or_default())
}

/// Finds the paths of the key pair: from framework.conf, else from the distribution, else in the dkms tree.
///
/// # Errors
/// A path is not absolute.
pub fn key_pair(system: &System, framework: &FrameworkConf, headers: Option<&Headers>) -> Result<KeyPair> {
    if let Some((key, certificate)) = system.settings.signing.clone() {
        return Ok(KeyPair { key, certificate });
    }
    let path_in_tree = |name: &str| system.layout.dkms_tree.join(name);
    let mut key = framework.mok_signing_key.clone().filter(|v| !v.is_empty());
    let mut certificate = framework.mok_certificate.clone().filter(|v| !v.is_empty());
    if key.is_none() {
        match system.host.distribution.as_ref().map(|d| d.family()) {
            Some(Family::Ubuntu) => {
                key = Some("/var/lib/shim-signed/mok/MOK.priv".into());
                certificate = certificate.or_else(|| Some("/var/lib/shim-signed/mok/MOK.der".into()));
            }
            Some(Family::Gentoo) => (key, certificate) = gentoo_keys(&system.host, headers, certificate),
            _ => {}
        }
    }
    let key = key.unwrap_or_else(|| path_in_tree("mok.key").to_string_lossy().into_owned());
    let certificate = certificate.map_or_else(|| path_in_tree("mok.pub"), PathBuf::from);
    // A relative path would depend on the current directory.
    for path in [&key, &*certificate.to_string_lossy()] {
        if !path.starts_with("pkcs11:") && !path.starts_with('/') {
            return Err(failed(Path::new(path), SignFault::RelativeKey));
        }
    }
    Ok(KeyPair { key, certificate })
}

/// The key pair of a second signer that framework.conf names. A key pair on the command line is used alone.
///
/// # Errors
/// Only one half is named, or a path is not that of a file.
pub(super) fn second(settings: &Settings, framework: &FrameworkConf) -> Result<Option<KeyPair>> {
    let value = |text: &Option<String>| text.clone().filter(|value| !value.is_empty());
    let halves = (value(&framework.mok_signing_key_2), value(&framework.mok_certificate_2));
    let (key, certificate) = match halves {
        (None, None) => return Ok(None),
        _ if settings.signing.is_some() => return Ok(None),
        (Some(key), Some(certificate)) => (key, certificate),
        (Some(path), None) | (None, Some(path)) => {
            return Err(failed(Path::new(&path), SignFault::HalfOfSecond));
        }
    };
    if let Some(path) = [&key, &certificate].into_iter().find(|path| !path.starts_with('/')) {
        return Err(failed(Path::new(path), SignFault::SecondNotFile));
    }
    Ok(Some(KeyPair { key, certificate: certificate.into() }))
}

/// Finds the key in Portage's variables, else the kernel's own key (one PEM file with both halves, relative
/// to its sources).
fn gentoo_keys(
    host: &Host,
    headers: Option<&Headers>,
    certificate: Option<String>,
) -> (Option<String>, Option<String>) {
    let inherited = |name: &str| {
        let found = host.environment.iter().find(|(k, _)| k == name)?;
        found.1.to_str().map(str::to_owned).filter(|v| !v.is_empty())
    };
    let make_conf =
        dkms_sys::fs::read_text("/etc/portage/make.conf", dkms_sys::fs::Limit::CONFIG).unwrap_or_default();
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

/// Returns whether the key exists, even if it is hidden because a build's script runs this dkms.
fn key_exists(key: &Path) -> bool {
    key.exists() || dkms_sys::mount::is_hidden(key)
}

/// Reads a private key's file, even where the build that called this dkms must not read it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_key(key: &Path) -> Result<Vec<u8>> {
    if dkms_sys::mount::is_hidden(key) {
        return Ok(dkms_sys::mount::read_hidden(key)?);
    }
    Ok(dkms_sys::fs::read_bounded(key, dkms_sys::fs::Limit::CONFIG)?)
}

/// Returns whether the pair exists, so that it need not be created.
///
/// # Errors
/// The key is in a token, and its certificate is missing: dkms cannot create it.
pub fn is_complete(pair: &KeyPair) -> Result<bool> {
    match (pair.is_token(), pair.certificate.exists()) {
        (true, false) => Err(failed(&pair.certificate, SignFault::NoCertificateOfToken)),
        (true, true) => Ok(true),
        (false, has_certificate) => Ok(key_exists(Path::new(&pair.key)) && has_certificate),
    }
}

/// Creates the pair if both halves are missing; a single half is never overwritten.
///
/// # Errors
/// One half is missing, or the files cannot be written.
pub fn ensure(system: &System, sink: &dyn Sink, pair: &KeyPair) -> Result<bool> {
    if is_complete(pair)? {
        return Ok(false);
    }
    let key = Path::new(&pair.key);
    let _lock = crate::lock::signing_key(system, sink)?;
    finish_interrupted(key, &pair.certificate)?;
    match (key_exists(key), pair.certificate.exists()) {
        // Another dkms created it meanwhile.
        (true, true) => return Ok(false),
        (false, true) => return Err(failed(key, SignFault::HalfMissing("private key"))),
        (true, false) => return Err(failed(&pair.certificate, SignFault::HalfMissing("certificate"))),
        (false, false) => {}
    }
    if system.host.distribution.as_ref().is_some_and(|d| d.family() == Family::Ubuntu)
        && pair.key == "/var/lib/shim-signed/mok/MOK.priv"
        && create_with_ubuntu_tool(&system.host)
        && key_exists(key)
        && pair.certificate.is_file()
    {
        sink.event(Event::KeyMade { key: key.into(), certificate: pair.certificate.clone() });
        return Ok(true);
    }
    require_directories(&system.host, &system.layout, pair)?;
    create(pair, false)?;
    sink.event(Event::KeyMade { key: key.into(), certificate: pair.certificate.clone() });
    Ok(true)
}

/// Makes sure that the directories of the pair exist. If the directory of a configured key does not exist,
/// the key is elsewhere (a disk that is not mounted, a misspelt path), and no other key may be created
/// instead. So only directories of dkms and of the distribution are created.
fn require_directories(host: &Host, layout: &Layout, pair: &KeyPair) -> Result<()> {
    // On Gentoo, the kernel's configuration names a key among the headers.
    let gentoo = host.distribution.as_ref().is_some_and(|d| d.family() == Family::Gentoo);
    let of_kernel = |dir: &Path| gentoo && dir.starts_with(&layout.install_tree);
    for path in [Path::new(&pair.key), &*pair.certificate] {
        let Some(dir) = path.parent() else { continue };
        let may_create = dir == layout.dkms_tree || dir == Path::new("/var/lib/shim-signed/mok");
        if may_create || of_kernel(dir) {
            dkms_sys::fs::create_dir_all(dir)?;
        } else if !dir.is_dir() {
            return Err(failed(path, SignFault::NoDirectory(dir.to_owned())));
        }
    }
    Ok(())
}

/// Creates the pair at [`KeyPair::staged`], if it does not exist.
///
/// # Errors
/// The files cannot be written.
pub(crate) fn ensure_staged(system: &System, sink: &dyn Sink, pair: &KeyPair) -> Result<()> {
    let _lock = crate::lock::signing_key(system, sink)?;
    let staged = pair.staged();
    let key = Path::new(&staged.key);
    finish_interrupted(key, &staged.certificate)?;
    if key.is_file() && staged.certificate.is_file() {
        return Ok(());
    }
    // A single half has never been in use.
    dkms_sys::fs::remove_file(key)?;
    dkms_sys::fs::remove_file(&staged.certificate)?;
    // The new certificate has the form (PEM or DER) of the current one.
    let current = dkms_sys::fs::read_bounded(&pair.certificate, dkms_sys::fs::Limit::CONFIG)?;
    let is_der = current.starts_with(&[0x30]);
    create(&staged, !is_der)
}

fn create(pair: &KeyPair, pem: bool) -> Result<()> {
    let key = Path::new(&pair.key);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (key_pem, certificate) =
        kmodule::mok::generate(kmodule::mok::COMMON_NAME, kmodule::mok::DAYS, &mut kmodule::mok::OsRng, now)
            .map_err(|e| failed(key, SignFault::NotCreated(e)))?;
    // The key gets its name last: if it exists, the pair is complete.
    let staged = aside(key, "new");
    let one_file = pair.is_one_file();
    let certificate = if pem || one_file { kmodule::mok::to_pem(&certificate) } else { certificate };
    let content = if one_file { [key_pem.as_slice(), &certificate].concat() } else { key_pem };
    dkms_sys::fs::create_new(&staged, &content, 0o600)?;
    let certified = match one_file {
        true => Ok(()),
        false => dkms_sys::fs::write_atomic(&pair.certificate, &certificate, 0o644),
    };
    let placed = certified
        .and_then(|()| dkms_sys::fs::rename_noreplace(&staged, key))
        .and_then(|()| key.parent().map_or(Ok(()), dkms_sys::fs::sync_dir));
    if let Err(e) = placed {
        if !one_file && !key.is_file() {
            let _ = dkms_sys::fs::remove_file(&pair.certificate);
        }
        let _ = dkms_sys::fs::remove_file(&staged);
        return Err(e.into());
    }
    Ok(())
}

/// Completes a pair whose creation was interrupted after its certificate was written; otherwise removes the
/// incomplete files.
fn finish_interrupted(key: &Path, certificate: &Path) -> Result<()> {
    let staged = aside(key, "new");
    if staged.is_file() && !key_exists(key) && certificate.is_file() {
        dkms_sys::fs::rename_noreplace(&staged, key)?;
    }
    dkms_sys::fs::remove_file(&staged)?;
    Ok(())
}

/// The error about a file of a key, or about a module.
pub(super) fn failed(path: &Path, fault: SignFault) -> Error {
    SigningError::SignFailed { path: path.to_owned(), fault }.into()
}

/// Runs Ubuntu's own tool, which creates the pair where shim expects it and requests its enrolment.
fn create_with_ubuntu_tool(host: &Host) -> bool {
    let Some(tool) = dkms_sys::process::which("update-secureboot-policy", &host.path) else {
        return false;
    };
    let run = |argument: &str| {
        Command::new(&tool)
            .arg(argument)
            .envs(host.environment.iter().cloned())
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
