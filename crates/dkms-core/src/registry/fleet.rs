//! Modules that are signed with a fleet's key, for machines without a signing key (`registry_signer`).
//!
//! The builder of the fleet has the key. It publishes each build twice: with unsigned modules, and with
//! signed modules under a fingerprint with the additional line `signer=<certificate>`. A machine that has
//! only the certificate looks for the signed build first, and installs its modules unchanged. Modules that it
//! compiles are signed as usual.

use super::error::CacheFault;
use crate::cache::{Entry, File, Record};
use crate::cause::Cause;
use crate::conf::framework;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::kernel::headers::{self, Headers};
use crate::registry::error::RegistryError;
use crate::system::System;
use crate::trust::signing::{self, Signing};
use dkms_bundle::record::fingerprint;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::{Build, Kernel};
use kmodule::sign::{Certificate, VerifyError};
use std::path::{Path, PathBuf};

/// The name of the additional line in a fingerprint.
pub(crate) const LINE: &str = "signer";

/// The certificate of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    certificate: Certificate,
}

/// The role of this machine in its fleet.
#[derive(Debug)]
pub(crate) enum Role {
    /// No fleet is configured.
    Alone,
    /// It uses modules that are signed with the fleet's key.
    Member(Fleet),
    /// It has the key of the fleet.
    Builder(Fleet),
}

/// Determines the role of this machine for a kernel. framework.conf may configure another key for each
/// kernel.
///
/// # Errors
/// [`RegistryError::BadSigner`]; framework.conf is invalid.
pub(crate) fn role(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Role> {
    let Some(path) = &system.settings.framework.registry_signer else { return Ok(Role::Alone) };
    let fleet = Fleet { certificate: read(Path::new(path))? };
    let headers = headers::find(system, kernel).ok();
    let framework = framework::load(system, sink, Some(&kernel.release))?;
    let is_own = has_key_of(system, &fleet, &framework, headers.as_ref());
    Ok(if is_own { Role::Builder(fleet) } else { Role::Member(fleet) })
}

/// The fleet whose signed modules this machine uses, if any. A certificate that cannot be used is a warning.
pub(crate) fn membership(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Option<Fleet> {
    match role(system, sink, kernel) {
        Ok(Role::Member(fleet)) => Some(fleet),
        Ok(_) => None,
        Err(e) => {
            super::warn(system, sink, e.to_string());
            None
        }
    }
}

fn read(path: &Path) -> Result<Certificate> {
    let unusable = |cause: Cause| Error::from(RegistryError::BadSigner { path: path.to_owned(), cause });
    let bytes = fs::read_trusted(path).map_err(|e| unusable(e.into()))?.map_err(|e| unusable(e.into()))?;
    Certificate::parse(&bytes).map_err(|e| unusable(e.into()))
}

/// Returns whether the key with which this machine signs modules is the fleet's.
fn has_key_of(system: &System, fleet: &Fleet, framework: &FrameworkConf, headers: Option<&Headers>) -> bool {
    let Ok(pair) = signing::key_pair(system, framework, headers) else { return false };
    signing::is_complete(&pair).unwrap_or_default()
        && signing::read_certificate(&pair.certificate).is_ok_and(|own| own.der() == fleet.certificate.der())
}

impl Fleet {
    /// The lines of the fingerprint of a build with signed modules.
    pub(crate) fn lines(&self, plain: &[String]) -> Vec<String> {
        let mut lines = plain.to_vec();
        lines.push(format!("{LINE}={}", self.id()));
        lines.sort();
        lines
    }

    /// The certificate's SHA-256, as `openssl x509 -fingerprint -sha256` prints it, but in lower case and
    /// without colons.
    pub(crate) fn id(&self) -> String {
        dkms_bundle::digest::hex(&self.certificate.fingerprint())
    }

    /// The name of the signer.
    pub(crate) fn name(&self) -> &str {
        self.certificate.subject_cn()
    }

    /// Checks that the fleet's key has signed a module.
    ///
    /// # Errors
    /// It has not, or the signature is invalid.
    pub(crate) fn check(&self, module: &[u8]) -> std::result::Result<(), VerifyError> {
        match kmodule::sign::verify(module, &self.certificate) {
            // The signature names this certificate. The kernel verifies it, and the record's signature covers
            // it.
            Ok(()) | Err(VerifyError::UnsupportedKeyType) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// A build with modules that this machine, the fleet's builder, has signed.
pub(super) struct SignedBuild {
    /// The build.
    pub entry: Entry,
    /// The name of the signer.
    pub signer: String,
    /// The directory of its files.
    _dir: TempDir,
}

/// Signs the modules of a build for the fleet. `None` if this machine belongs to no fleet, or if modules for
/// this kernel are not signed, which is reported.
///
/// # Errors
/// This machine has not the fleet's key, or the key cannot be used; a file of the build cannot be read.
pub(super) fn sign(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    plain: &Entry,
) -> Result<Option<SignedBuild>> {
    let fleet = match role(system, sink, &build.kernel)? {
        Role::Builder(fleet) => fleet,
        Role::Alone => return Ok(None),
        Role::Member(fleet) => {
            return Err(RegistryError::NotSigner { signer: fleet.name().to_owned() }.into());
        }
    };
    let release = &build.kernel.release;
    let headers = headers::find(system, &build.kernel)?;
    let framework = framework::load(system, sink, Some(release))?;
    let signer = match signing::prepare(system, sink, &headers, release, &framework)? {
        Signing::With(signer) => signer,
        Signing::Not(why) => {
            sink.warn(format!("{build} is not published with signed modules: {why}"));
            return Ok(None);
        }
    };
    let dir = TempDir::new_in(&system.settings.tmp_location, "dkms-signed")?;
    let copy = |file: &File| -> Result<File> {
        let unusable =
            |fault: CacheFault| Error::from(RegistryError::NotInCache { build: build.clone(), fault });
        let path: PathBuf = dir.path().join(&file.path);
        path.parent().map(fs::create_dir_all).transpose()?;
        let bytes = plain.read(file).map_err(|e| unusable(e.into()))?;
        fs::create_new(&path, &bytes, if file.executable { 0o755 } else { 0o644 })?;
        if !is_module(&file.path) {
            return Ok(file.clone());
        }
        signer.sign(&system.host, &path)?;
        let signed = fs::read(&path)?;
        fleet.check(&signed).map_err(|e| unusable(e.into()))?;
        let (size, sha256) = (signed.len() as u64, crate::digest::bytes(&signed));
        Ok(File { size, sha256, ..file.clone() })
    };
    let files = plain.record.files.iter().map(copy).collect::<Result<_>>()?;
    let lines = fleet.lines(&plain.record.lines);
    let record = Record { fingerprint: fingerprint(&lines), lines, files, ..plain.record.clone() };
    let entry = Entry { record, dir: dir.path().to_owned() };
    Ok(Some(SignedBuild { entry, signer: fleet.name().to_owned(), _dir: dir }))
}

fn is_module(path: &str) -> bool {
    path.starts_with("module/") && path.ends_with(".ko")
}

/// Returns the lines of the fingerprint for the build with signed modules, if this machine publishes one.
///
/// # Errors
/// As [`role`].
pub(super) fn lines_to_publish(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    plain: &[String],
) -> Result<Option<Vec<String>>> {
    let Role::Builder(fleet) = role(system, sink, kernel)? else { return Ok(None) };
    let headers = headers::find(system, kernel)?;
    let framework = framework::load(system, sink, Some(&kernel.release))?;
    let signs = signing::signs(&system.host, &system.settings, &headers, &framework);
    Ok(signs.then(|| fleet.lines(plain)))
}
