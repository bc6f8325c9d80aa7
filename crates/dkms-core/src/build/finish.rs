//! From what make left behind to `K/A`: check, strip, sign, compress, describe, and rename into place.

use super::{Job, Target};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::Build;
use crate::session::Session;
use crate::signing::Signing;
use crate::tree::manifest::ModuleRecord;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_conf::module_conf::ModuleEntry;
use dkms_sys::process::{Command, Stream};
use kmodule::Compression;
use kmodule::compress::Options;
use kmodule::elf::Module;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a module goes below `/lib/modules/K`.
pub fn destination(s: &Session<'_>, written: &str) -> String {
    if let Some(dir) = s.host.addon_modules_dir.as_deref().filter(|d| !d.is_empty()) {
        return format!("/{}", dir.trim_matches('/'));
    }
    match s.host.distribution.as_ref().and_then(|d| d.destination()) {
        Some(fixed) => fixed.to_owned(),
        None => written.trim_end_matches('/').to_owned(),
    }
}

/// Collects every expected module of `dir` in `staging/module`.
///
/// # Errors
/// A file missing ([`Error::ModuleFileMissing`]), no module for this kernel ([`Error::BadModule`]), signing or
/// compression failed. The caller drops the staging directory.
pub(crate) fn collect(job: &Job<'_>, staging: &Path) -> Result<Vec<ModuleRecord>> {
    let modules = staging.join("module");
    dkms_sys::fs::create_dir_all(&modules)?;
    let wanted: Vec<&ModuleEntry> = job
        .loaded
        .conf
        .modules
        .iter()
        .zip(&job.exclusion.modules)
        .filter_map(|(entry, excluded)| excluded.is_none().then_some(entry))
        .collect();
    for entry in &wanted {
        if !job.dir.join(built_file(entry)).is_file() {
            return Err(Error::ModuleFileMissing(format!(
                "make ended well, but {}{}.ko, which dkms.conf promises, is not in {}",
                entry.built_location,
                entry.built_name,
                job.dir.display()
            )));
        }
    }
    // Some packages have none.
    if dkms_sys::fs::exists(job.dir.join("Module.symvers")) {
        let symvers = dkms_sys::fs::read_untrusted(job.dir, "Module.symvers", job.sandbox.owner())?;
        dkms_sys::fs::create_new(modules.join("Module.symvers"), &symvers, 0o644)?;
    }
    let mut records = Vec::new();
    for entry in wanted {
        records.push(one(job, entry, &modules)?);
    }
    Ok(records)
}

fn one(job: &Job<'_>, entry: &ModuleEntry, modules: &Path) -> Result<ModuleRecord> {
    let (s, target, b) = (job.s, job.target, job.b);
    let name = built_file(entry);
    let built = job.dir.join(&name);
    let bytes = dkms_sys::fs::read_untrusted(job.dir, &name, job.sandbox.owner())?;
    let module = check(&bytes, b, s.options.force)
        .map_err(|reason| Error::BadModule { path: built.clone(), reason })?;
    let bytes = if entry.strip { strip(job, &entry.dest_name, bytes)? } else { bytes };
    let plain = modules.join(format!("{}.ko", entry.dest_name));
    dkms_sys::fs::create_new(&plain, &bytes, 0o644)?;
    drop(bytes);
    let signature = match target.signing(s)? {
        Signing::With(signer) => {
            s.tell(Event::BuildStage { build: b.clone(), stage: format!("signing {}.ko", entry.dest_name) });
            signer.sign(s, &plain)?
        }
        Signing::Not(why) => why.clone(),
    };
    let path = compress(target, &plain)?;
    dkms_sys::fs::sync_file(&path)?;
    let bytes = dkms_sys::fs::read(&path)?;
    let info = |v: Option<&str>| v.unwrap_or_default().to_owned();
    Ok(ModuleRecord {
        name: entry.dest_name.clone(),
        file: path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        destination: destination(s, &entry.dest_location),
        size: bytes.len() as u64,
        sha256: crate::digest::bytes(&bytes),
        vermagic: info(module.modinfo.vermagic()),
        version: info(module.modinfo.version()),
        srcversion: info(module.modinfo.srcversion()),
        signature,
    })
}

/// Whether these bytes are a kernel module for the kernel of this build, in the kernel's own terms.
///
/// # Errors
/// The reason it is refused.
pub fn check(bytes: &[u8], b: &Build, force: bool) -> std::result::Result<Module, String> {
    let module = Module::parse(bytes).map_err(|e| e.to_string())?;
    if module.this_module_size.is_none() {
        return Err(
            "it is an object file, but no kernel module (no .gnu.linkonce.this_module section)".into()
        );
    }
    if let Some((class, machine)) = kmodule::machine_of_arch(&b.kernel.arch) {
        if (module.class, module.machine) != (class, machine) {
            return Err(format!("it is built for another architecture than {}", b.kernel.arch));
        }
    }
    match module.modinfo.vermagic_release() {
        Some(release) if release == b.kernel.release || force => Ok(module),
        Some(release) => {
            Err(format!("it is built for kernel {release}, not for {} (vermagic)", b.kernel.release))
        }
        None => Err("it says no vermagic, so no kernel would load it".into()),
    }
}

/// The file that dkms.conf names, below the build directory.
fn built_file(entry: &ModuleEntry) -> PathBuf {
    Path::new(&entry.built_location).join(format!("{}.ko", entry.built_name))
}

/// The module without debugging symbols. What strip makes of an untrusted file is untrusted, so it is checked again.
fn strip(job: &Job<'_>, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let (s, toolchain) = (job.s, &job.target.toolchain);
    let program = if toolchain.strip.is_empty() { "strip" } else { toolchain.strip };
    let Some(path) = dkms_sys::process::which(program, &s.host.path) else {
        s.warn(format!("{program} is not installed: the module keeps its debugging symbols"));
        return Ok(bytes);
    };
    let file = format!("{name}.ko");
    let bad = |reason| Error::BadModule { path: file.clone().into(), reason };
    let with_options = |command: Command| {
        command
            .arg("-g")
            .envs(s.host.environment.iter().cloned())
            .stdout(Stream::Null)
            .stderr(Stream::Capture)
            .timeout(Duration::from_secs(300))
    };
    let (done, stripped) = job.sandbox.change_file(s, &file, &bytes, with_options, &path)?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(bad(format!("{program} -g refuses it: {said}")));
    }
    check(&stripped, job.b, s.options.force).map_err(|why| bad(format!("{program} -g damaged it: {why}")))?;
    Ok(stripped)
}

/// Compresses in the kernel's own format and returns the file that is left.
fn compress(target: &Target, plain: &Path) -> Result<std::path::PathBuf> {
    let Some(format) = target.index.compression() else { return Ok(plain.to_owned()) };
    let packed = packed(Some(format), &target.framework, &dkms_sys::fs::read(plain)?)
        .map_err(|reason| Error::BadModule { path: plain.into(), reason })?;
    let mut name = plain.as_os_str().to_owned();
    name.push(format.suffix());
    let path = std::path::PathBuf::from(name);
    dkms_sys::fs::create_new(&path, &packed, 0o644)?;
    dkms_sys::fs::remove_file(plain)?;
    Ok(path)
}

/// A module in this format, with the options of framework.conf.
///
/// # Errors
/// What is wrong with the options.
pub(crate) fn packed(
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
