//! Signs and compresses collected modules, as this machine and this kernel require.

use super::collect::{Collected, CollectedModule, Staging};
use super::context::Context;
use crate::build::BuildError;
use crate::error::{Error, Result};
use crate::registry::fleet::Fleet;
use crate::trust::signing::Signing;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_tree::manifest::{ModuleRecord, Signature};
use kmodule::Compression;
use kmodule::compress::Options;
use std::path::{Path, PathBuf};

/// The modules as they will be installed.
pub(crate) struct Signed {
    /// The directory that will become `K/A`.
    pub staging: Staging,
    /// The records of the modules in the manifest.
    pub modules: Vec<ModuleRecord>,
}

/// Signs each module with this machine's key, if modules for this kernel are to be signed, and compresses it.
///
/// # Errors
/// The key cannot be read or used; the compression options of framework.conf are invalid.
pub(crate) fn sign(context: &Context<'_>, collected: Collected) -> Result<Signed> {
    finish(context, collected, |module, plain| {
        let system = context.system;
        match context.target.signing(system, context.sink)? {
            Signing::With(signer) => {
                context.stage(&format!("signing {}.ko", module.name));
                signer.sign(&system.host, plain)
            }
            Signing::Not(why) => Ok(Signature::NotSigned(why.to_string())),
        }
    })
}

/// Compresses modules that a fleet has signed.
///
/// # Errors
/// As [`sign`], except that no key is needed.
pub(crate) fn keep_signatures(context: &Context<'_>, collected: Collected, fleet: &Fleet) -> Result<Signed> {
    finish(context, collected, |_, _| Ok(Signature::SignedBy(format!("{} (registry_signer)", fleet.name()))))
}

/// Signs and compresses the modules. `sign` signs the file of a module, and returns a description of the
/// signature.
fn finish(
    context: &Context<'_>,
    collected: Collected,
    sign: impl Fn(&CollectedModule, &Path) -> Result<Signature>,
) -> Result<Signed> {
    let Collected { staging, modules } = collected;
    let finish = |module: CollectedModule| {
        let plain = staging.modules().join(format!("{}.ko", module.name));
        let signature = sign(&module, &plain)?;
        finish_module(context, &plain, module, signature)
    };
    let modules = modules.into_iter().map(finish).collect::<Result<_>>()?;
    Ok(Signed { modules, staging })
}

fn finish_module(
    context: &Context<'_>,
    plain: &Path,
    module: CollectedModule,
    signature: Signature,
) -> Result<ModuleRecord> {
    let target = context.target;
    let path = compress_file(target.index.compression(), &target.framework, plain)?;
    dkms_sys::fs::sync_file(&path)?;
    let bytes = dkms_sys::fs::read(&path)?;
    Ok(ModuleRecord {
        name: module.name,
        file: path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        destination: module.destination,
        size: bytes.len() as u64,
        sha256: crate::digest::bytes(&bytes),
        vermagic: module.vermagic,
        version: module.version,
        srcversion: module.srcversion,
        signature,
    })
}

/// Compresses a file in the format of the kernel's own modules, and returns the path of the compressed file.
fn compress_file(format: Option<Compression>, framework: &FrameworkConf, plain: &Path) -> Result<PathBuf> {
    let Some(format) = format else { return Ok(plain.to_owned()) };
    let bytes = compress(Some(format), framework, &dkms_sys::fs::read(plain)?)
        .map_err(|reason| Error::Build(BuildError::BadModule { path: plain.into(), cause: reason.into() }))?;
    let mut name = plain.as_os_str().to_owned();
    name.push(format.suffix());
    let path = PathBuf::from(name);
    dkms_sys::fs::create_new(&path, &bytes, 0o644)?;
    dkms_sys::fs::remove_file(plain)?;
    Ok(path)
}

/// Compresses a module in this format with the options of framework.conf.
///
/// # Errors
/// The reason why the options are invalid, or cannot be used.
pub(crate) fn compress(
    format: Option<Compression>,
    framework: &FrameworkConf,
    plain: &[u8],
) -> std::result::Result<Vec<u8>, String> {
    let Some(format) = format else { return Ok(plain.to_vec()) };
    let text = match format {
        Compression::Gzip => framework.compress_gzip_opts.as_deref(),
        Compression::Xz => framework.compress_xz_opts.as_deref(),
        Compression::Zstd => framework.compress_zstd_opts.as_deref(),
        _ => None,
    };
    let text = text.unwrap_or("");
    let options = Options::parse(format, text).map_err(|e| format!("compression options '{text}': {e}"))?;
    kmodule::compress::compress(plain, &options).map_err(|e| format!("cannot be compressed: {e}"))
}
