//! The key pair: where it is, and making it.

use crate::conf::framework;
use crate::distro::Family;
use crate::error::{Cause, Error, Result};
use crate::event::Event;
use crate::ids::Kernel;
use crate::journal::{Reach, op::aside};
use crate::kernel::headers::{self, Headers};
use crate::session::Session;
use crate::signing::SigningError;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_sys::process::{Command, Stream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the key pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// A path, or a `pkcs11:` URI.
    pub key: String,
    /// Certificate, PEM or DER.
    pub certificate: PathBuf,
}

impl KeyPair {
    /// The key is in a token, and can only be used there.
    pub fn is_token(&self) -> bool {
        self.key.starts_with("pkcs11:")
    }

    /// Under which names a private key may lie: its own, while it is made, and while it waits.
    pub(super) fn private_files(&self) -> Vec<PathBuf> {
        let key = Path::new(&self.key);
        vec![key.into(), aside(key, "new"), beside(key, "next")]
    }

    /// A new pair that waits to be taken (`dkms mok rotate`): `.NAME.next` beside each file.
    pub fn staged(&self) -> KeyPair {
        KeyPair {
            key: beside(Path::new(&self.key), "next").to_string_lossy().into_owned(),
            certificate: beside(&self.certificate, "next"),
        }
    }

    /// The certificate of the pair before this one: `.NAME.old`.
    pub fn previous(&self) -> PathBuf {
        beside(&self.certificate, "old")
    }

    /// Key and certificate are in one PEM file.
    pub fn is_one_file(&self) -> bool {
        Path::new(&self.key) == self.certificate
    }
}

/// `.NAME.WORD`
fn beside(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{word}"))
}

/// Every file that replacing the key pair of a kernel touches ([`crate::mok::rotate`]).
///
/// # Errors
/// As [`key_pair`]; framework.conf is wrong.
pub(crate) fn files(s: &Session<'_>, kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let framework = framework::load(s, Some(&kernel.release))?;
    let pair = key_pair(s, &framework, headers::find(s, kernel).ok().as_ref())?;
    let (staged, previous) = (pair.staged(), pair.previous());
    Ok(vec![pair.key.into(), pair.certificate, staged.key.into(), staged.certificate, previous])
}

/// What changes may touch: the trees of a session, and the files of its signing key.
pub(crate) fn reach<'a>(s: &'a Session<'_>) -> Reach<'a> {
    Reach::new(s.trees(), |kernel| files(s, kernel).unwrap_or_default())
}

/// Where the key pair is: framework.conf, the distribution's place, else the dkms tree.
///
/// # Errors
/// When only one half is configured where both are needed.
pub fn key_pair(s: &Session<'_>, framework: &FrameworkConf, headers: Option<&Headers>) -> Result<KeyPair> {
    if let Some((key, certificate)) = s.options.signing.clone() {
        return Ok(KeyPair { key, certificate });
    }
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
            return Err(SigningError::SignFailed {
                path: PathBuf::from(p),
                cause: "the path of a signing key must be absolute".into(),
                help: "write the full path in framework.conf".into(),
            }
            .into());
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

/// The key is there, if only for a dkms that a build's script calls.
fn is_there(key: &Path) -> bool {
    key.exists() || dkms_sys::mount::is_hidden(key)
}

/// A private key's file, also where the build that called this dkms must not read it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_key(key: &Path) -> Result<Vec<u8>> {
    if dkms_sys::mount::is_hidden(key) {
        return Ok(dkms_sys::mount::read_hidden(key)?);
    }
    Ok(dkms_sys::fs::read_bounded(key, dkms_sys::fs::Limit::CONFIG)?)
}

/// Whether the pair does not have to be made.
///
/// # Errors
/// The key is in a token, and its certificate is missing: dkms cannot make that.
pub fn is_complete(pair: &KeyPair) -> Result<bool> {
    match (pair.is_token(), pair.certificate.exists()) {
        (true, false) => Err(missing_half(&pair.certificate, "certificate")),
        (true, true) => Ok(true),
        (false, has_certificate) => Ok(is_there(Path::new(&pair.key)) && has_certificate),
    }
}

/// Makes the pair when both halves are missing; a half alone is never overwritten.
///
/// # Errors
/// One half missing, or the files cannot be written.
pub fn ensure(s: &Session<'_>, pair: &KeyPair) -> Result<bool> {
    if is_complete(pair)? {
        return Ok(false);
    }
    let key = Path::new(&pair.key);
    let _one_at_a_time = crate::lock::signing_key(s)?;
    finish_interrupted(key, &pair.certificate)?;
    match (is_there(key), pair.certificate.exists()) {
        // Another dkms was faster.
        (true, true) => return Ok(false),
        (false, true) => return Err(missing_half(key, "private key")),
        (true, false) => return Err(missing_half(&pair.certificate, "certificate")),
        (false, false) => {}
    }
    if s.host.distribution.as_ref().is_some_and(|d| d.family() == Family::Ubuntu)
        && pair.key == "/var/lib/shim-signed/mok/MOK.priv"
        && ubuntu_policy_makes_key(s)
        && is_there(key)
        && pair.certificate.is_file()
    {
        s.tell(Event::KeyMade { key: key.into(), certificate: pair.certificate.clone() });
        return Ok(true);
    }
    require_directories(s, pair)?;
    make(pair, false)?;
    s.tell(Event::KeyMade { key: key.into(), certificate: pair.certificate.clone() });
    Ok(true)
}

/// A configured key whose directory is not there is elsewhere (a disk that is not mounted, a misspelt path): another one
/// must not be made in its place. Only directories of dkms and of the distribution are made.
fn require_directories(s: &Session<'_>, pair: &KeyPair) -> Result<()> {
    // Gentoo's is the one that the kernel's configuration names, among its headers.
    let gentoo = s.host.distribution.as_ref().is_some_and(|d| d.family() == Family::Gentoo);
    let of_kernel = |dir: &Path| gentoo && dir.starts_with(&s.layout.install_tree);
    for path in [Path::new(&pair.key), &*pair.certificate] {
        let Some(dir) = path.parent() else { continue };
        let own = dir == s.layout.dkms_tree || dir == Path::new("/var/lib/shim-signed/mok");
        if own || of_kernel(dir) {
            dkms_sys::fs::create_dir_all(dir)?;
        } else if !dir.is_dir() {
            return Err(SigningError::SignFailed {
                path: path.into(),
                cause: format!("there is no directory {}, and so no key", dir.display()).into(),
                help: "mount or create it, or correct mok_signing_key and mok_certificate in framework.conf"
                    .into(),
            }
            .into());
        }
    }
    Ok(())
}

/// Makes the pair that [`KeyPair::staged`] names, when it is not there.
///
/// # Errors
/// The files cannot be written.
pub(crate) fn ensure_staged(s: &Session<'_>, pair: &KeyPair) -> Result<()> {
    let _one_at_a_time = crate::lock::signing_key(s)?;
    let staged = pair.staged();
    let key = Path::new(&staged.key);
    finish_interrupted(key, &staged.certificate)?;
    if key.is_file() && staged.certificate.is_file() {
        return Ok(());
    }
    // Half of it was never in use.
    dkms_sys::fs::remove_file(key)?;
    dkms_sys::fs::remove_file(&staged.certificate)?;
    // Whoever reads the certificate finds it in the form it had.
    make(
        &staged,
        !dkms_sys::fs::read_bounded(&pair.certificate, dkms_sys::fs::Limit::CONFIG)?.starts_with(&[0x30]),
    )
}

fn make(pair: &KeyPair, pem: bool) -> Result<()> {
    let key = Path::new(&pair.key);
    let failed = |cause: Cause| {
        Error::Signing(SigningError::SignFailed {
        path: key.into(), cause,
        help: "name an existing key pair in framework.conf (mok_signing_key, mok_certificate), or set try_sign_modules=false".into(),
    })
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (key_pem, certificate) =
        kmodule::mok::generate(kmodule::mok::COMMON_NAME, kmodule::mok::DAYS, &mut kmodule::mok::OsRng, now)
            .map_err(|e| failed(e.into()))?;
    // The key takes its name last: whoever sees it sees a pair.
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

/// A pair whose making was cut off: with its certificate it is completed, without it begins anew.
fn finish_interrupted(key: &Path, certificate: &Path) -> Result<()> {
    let staged = aside(key, "new");
    if staged.is_file() && !is_there(key) && certificate.is_file() {
        dkms_sys::fs::rename_noreplace(&staged, key)?;
    }
    dkms_sys::fs::remove_file(&staged)?;
    Ok(())
}

fn missing_half(path: &Path, what: &str) -> Error {
    Error::Signing(SigningError::SignFailed {
        path: path.into(),
        cause: format!("the {what} of the signing key pair is missing, the other half is there").into(),
        help: "put it back, or move the other half away as well so that a new pair can be made".into(),
    })
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
