//! Collects the modules of a build directory. They are checked and stripped, but not signed or compressed.

use super::compile::Compiled;
use super::context::Context;
use super::sandbox::Change;
use super::{btf, mark};
use crate::build::{BuildError, NotForKernel};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::kernel::headers;
use dkms_conf::module_conf::ModuleEntry;
use dkms_sys::fs::TempDir;
use dkms_sys::process::{Command, Stream};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use kmodule::elf::Module;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The results of a build before they are signed. They depend only on the inputs of the build, and not on
/// keys, compression or the destination.
pub(crate) struct Collected {
    /// Contains `module/NAME.ko` for each module and, if the package exports symbols,
    /// `module/Module.symvers`.
    pub staging: Staging,
    /// The modules, in the order of dkms.conf.
    pub modules: Vec<CollectedModule>,
}

/// One module of [`Collected`].
pub(crate) struct CollectedModule {
    /// `DEST_MODULE_NAME`: the name of its file without `.ko`.
    pub name: String,
    /// The destination below `/lib/modules/K`.
    pub destination: String,
    /// From `.modinfo`.
    pub vermagic: String,
    /// From `.modinfo`; can be empty.
    pub version: String,
    /// From `.modinfo`; can be empty.
    pub srcversion: String,
}

/// A temporary directory that will become `K/A`. It is removed when dropped, and so are its parent
/// directories that are empty then.
pub(crate) struct Staging {
    dir: Option<TempDir>,
    kernel_dir: PathBuf,
    version_dir: PathBuf,
}

impl Staging {
    /// Creates the directory, and removes those that an earlier build left. The caller holds the lock of the
    /// package version.
    ///
    /// # Errors
    /// It cannot be created.
    pub(crate) fn new(layout: &Layout, build: &Build) -> Result<Self> {
        let kernel_dir = layout.kernel_dir(build);
        dkms_sys::fs::create_dir_all(&kernel_dir)?;
        let mut staging = Self { dir: None, version_dir: layout.version_dir(&build.package), kernel_dir };
        mark::remove_staging(&staging.kernel_dir, build)?;
        let dir = TempDir::new_in(&staging.kernel_dir, &format!(".tmp_{}_", build.kernel.arch))?;
        staging.dir = Some(dir);
        dkms_sys::fs::create_dir_all(staging.modules())?;
        Ok(staging)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.as_ref().map_or(&self.kernel_dir, TempDir::path)
    }

    /// The directory of the modules in it.
    pub(crate) fn modules(&self) -> PathBuf {
        self.path().join("module")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.dir = None;
        let _ = dkms_sys::fs::remove_empty_dirs(&self.kernel_dir, &self.version_dir);
    }
}

/// Collects the modules that dkms.conf lists for this kernel.
///
/// # Errors
/// A file is missing ([`BuildError::ModuleFileMissing`]), or is not a module for this kernel
/// ([`BuildError::BadModule`]).
pub(crate) fn collect(context: &Context<'_>, compiled: &Compiled<'_>) -> Result<Collected> {
    let dir = compiled.dir;
    let staging = Staging::new(&context.system.layout, context.build)?;
    for entry in context.modules() {
        if !dkms_sys::fs::is_file(dir.join(built_file(entry))) {
            return Err(BuildError::ModuleFileMissing { file: built_file(entry), dir: dir.to_owned() }.into());
        }
    }
    // Some packages export no symbols.
    if dkms_sys::fs::exists(dir.join("Module.symvers")) {
        let symvers = dkms_sys::fs::read_untrusted(dir, "Module.symvers", context.sandbox.owner())?;
        dkms_sys::fs::create_new(staging.modules().join("Module.symvers"), &symvers, 0o644)?;
    }
    let modules = context.modules().map(|entry| collect_module(context, dir, entry, &staging));
    Ok(Collected { modules: modules.collect::<Result<_>>()?, staging })
}

fn collect_module(
    context: &Context<'_>,
    dir: &Path,
    entry: &ModuleEntry,
    staging: &Staging,
) -> Result<CollectedModule> {
    let (system, name) = (context.system, built_file(entry));
    let bytes = dkms_sys::fs::read_untrusted(dir, &name, context.sandbox.owner())?;
    let module = check(&bytes, context.build, context.force)
        .map_err(|cause| not_for_kernel(context, dir.join(&name), cause))?;
    let is_module = |bytes: &[u8]| check(bytes, context.build, context.force).map(drop);
    let bytes = btf::add(context, &entry.dest_name, bytes, is_module)?;
    let bytes = if entry.strip { strip(context, &entry.dest_name, bytes)? } else { bytes };
    let path = staging.modules().join(format!("{}.ko", entry.dest_name));
    dkms_sys::fs::create_new(&path, &bytes, 0o644)?;
    Ok(CollectedModule::new(&system.host, entry, &module))
}

impl CollectedModule {
    /// The data that is recorded about a module that passed [`check`].
    pub(crate) fn new(host: &Host, entry: &ModuleEntry, module: &Module) -> Self {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Self {
            name: entry.dest_name.clone(),
            destination: destination(host, &entry.dest_location),
            vermagic: text(module.modinfo.vermagic()),
            version: text(module.modinfo.version()),
            srcversion: text(module.modinfo.srcversion()),
        }
    }
}

/// Returns the destination of a module below `/lib/modules/K`. `location` is its DEST_MODULE_LOCATION.
pub fn destination(host: &Host, location: &str) -> String {
    host.fixed_destination().unwrap_or_else(|| location.trim_end_matches('/').to_owned())
}

/// Checks that these bytes are a kernel module for the kernel of this build. With `force`, the module may be
/// for another kernel of the same architecture.
///
/// # Errors
/// The reason why they are not.
pub fn check(bytes: &[u8], build: &Build, force: bool) -> std::result::Result<Module, NotForKernel> {
    let module = Module::parse(bytes)?;
    if module.this_module_size.is_none() {
        return Err(NotForKernel::NoModule);
    }
    let kernel = &build.kernel;
    if let Some((class, machine)) = kmodule::machine_of_arch(&kernel.arch) {
        if (module.class, module.machine) != (class, machine) {
            return Err(NotForKernel::Architecture(kernel.arch.clone()));
        }
    }
    match module.modinfo.vermagic_release() {
        Some(release) if release == kernel.release || force => Ok(module),
        Some(other) => {
            Err(NotForKernel::Release { built_for: other.to_owned(), release: kernel.release.clone() })
        }
        None => Err(NotForKernel::NoVermagic),
    }
}

/// Returns the error for a module that the kernel would not load.
fn not_for_kernel(context: &Context<'_>, path: PathBuf, cause: NotForKernel) -> BuildError {
    let headers = &context.target.headers.dir;
    let headers_release = headers::kernel_release(headers);
    match cause {
        NotForKernel::Release { built_for, release } if headers_release.as_ref() == Some(&built_for) => {
            let package =
                headers::package(&context.system.layout, &context.system.host, &context.build.kernel);
            BuildError::OtherHeaders { path, built_for, release, headers: headers.clone(), package }
        }
        cause => BuildError::BadModule { path, cause: cause.into() },
    }
}

/// The path of a built module below the build directory.
fn built_file(entry: &ModuleEntry) -> PathBuf {
    Path::new(&entry.built_location).join(format!("{}.ko", entry.built_name))
}

/// Removes a module's debugging symbols. The result is checked, because the input of strip is untrusted.
fn strip(context: &Context<'_>, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let (system, program) = (context.system, context.target.toolchain.strip_program());
    let Some(path) = dkms_sys::process::which(program, &system.host.path) else {
        let package = system.host.program_package(program);
        context.sink.warn(format!(
            "{program} is not installed (package {package}), so the module keeps its debugging symbols"
        ));
        return Ok(bytes);
    };
    let file = format!("{name}.ko");
    let bad = |reason: String| {
        Error::Build(BuildError::BadModule { path: file.clone().into(), cause: reason.into() })
    };
    let with_options = |command: Command| {
        command.arg("-g").stdout(Stream::Null).stderr(Stream::Capture).timeout(Duration::from_secs(300))
    };
    let purpose = "strip debugging symbols";
    let change = Change { program: &path, purpose, name: &file, bytes: &bytes, places: &[] };
    let (done, stripped) = context.sandbox.change_file(system, context.sink, &change, with_options)?;
    if !done.status.success() {
        let output = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(bad(format!("{program} -g failed: {output}")));
    }
    check(&stripped, context.build, context.force)
        .map_err(|reason| bad(format!("{program} -g damaged it: {reason}")))?;
    Ok(stripped)
}
