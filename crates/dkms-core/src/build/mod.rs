//! Builds one package version for one kernel, from its source to `M/V/K/A`, completely or not at all.
//!
//! A build is a pipeline. Each step is one function, and later steps use only its result:
//!
//! 1. `prepare::prepare`: a fresh copy of the source with its patches (`prepared::Prepared`).
//! 2. `fingerprint::describe`: the inputs of the build (`fingerprint::Fingerprint`), read from that
//!    copy before any code of the package runs.
//! 3. `obtain`: the modules for this fingerprint (`cached::Obtained`). They come from the cache of builds
//!    (`cached::find`) or from a registry (`published::find`), or they are compiled: `compile::compile` runs
//!    PRE_BUILD and make (`compile::Compiled`), and `collect::collect` checks and strips the modules.
//! 4. `sign::sign` signs and compresses the modules for this machine (`sign::Signed`). If the key of this
//!    machine's fleet has signed them, they keep that signature.
//! 5. `place::place` moves the modules to `K/A` with one rename, with a manifest. Then it runs POST_BUILD,
//!    which may read `K/A`. A build from the cache already contains the result of POST_BUILD.
//! 6. `cached::store` stores a compiled build in the cache.
//!
//! All commands of a build are created in one place, `sandbox::BuildSandbox::command_with`.

mod btf;
mod cached;
pub mod collect;
mod compile;
mod context;
pub(crate) mod denied;
pub mod diagnose;
pub(crate) mod environment;
pub(crate) mod error;
mod fingerprint;
mod inputs;
pub mod jobs;
mod kernel_btf;
pub mod log;
pub(crate) mod mark;
pub(crate) mod objects;
mod place;
pub mod prepare;
mod prepared;
pub mod preview;
mod programs;
mod published;
pub mod recipe;
mod repeat;
pub(crate) mod sandbox;
mod script;
pub(crate) mod sign;
mod subject;
mod target;

use crate::conf::load::{self, Exclusion, Loaded};
use crate::error::{Error, Result};
use crate::event::{BuiltModule, Event, Sink};
use crate::kernel::headers;
use crate::lock::Held;
use crate::registry::fleet;
use crate::system::System;
use cached::Obtained;
pub use cached::local_entry;
use context::Context;
use dkms_sys::jobserver::{Jobserver, Slots};
use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use dkms_tree::manifest::{BuildOrigin, Manifest, ModuleRecord};
use dkms_tree::state;
pub use error::{BuildError, DependencyFailure, Diagnosis, HeadersMissing, NotConfined, NotForKernel};
use fingerprint::Fingerprint;
use log::MakeLog;
use mark::Mark;
use recipe::Recipe;
use sandbox::BuildSandbox;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;
use subject::Subject;
pub use target::Target;

/// The options of a build.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions<'a> {
    /// `--force`: failed checks are warnings.
    pub force: bool,
    /// An existing build is replaced when the new build is complete, and stays if the new build fails.
    pub replace: bool,
    /// The build has a private directory, which only its processes see as `M/V/build`, so that the package
    /// can be built for other kernels at the same time.
    pub private: bool,
    /// The job slots that it shares with other builds; `None` if the number of jobs is not limited.
    pub pool: Option<&'a Jobserver>,
    /// The lock of the package version, which the caller holds.
    pub held: &'a Held,
}

/// Loads a package's configuration from the dkms.conf at `conf`, and checks it. Changes nothing.
///
/// # Errors
/// [`crate::conf::ConfError::Invalid`]; [`BuildError::Excluded`] if BUILD_EXCLUSIVE does not allow any module
/// for this kernel.
pub fn configuration(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    conf: &Path,
) -> Result<(Loaded, Exclusion)> {
    let loaded = load::load_file(system, sink, conf, Some(&build.package), &build.kernel)?.strict()?;
    let config = headers::KernelConfig::read(&headers::config_path(
        &system.layout,
        &system.settings,
        &build.kernel.release,
    ));
    let exclusion = load::exclusion(&loaded, &build.kernel, config.as_ref())?;
    if let Some(reason) = &exclusion.whole {
        return Err(BuildError::Excluded { build: build.clone(), reason: reason.clone() }.into());
    }
    Ok((loaded, exclusion))
}

/// Builds a registered package, and returns the origin of its modules; `None` if another dkms has built it in
/// the meantime. `configuration` is the result of [`configuration()`] for this build.
///
/// A failed build leaves only the build directory with its make.log, and a copy of the log in `M/V/.log/`.
///
/// # Errors
/// Any [`BuildError`], and the errors of the steps that the module documentation lists.
pub fn build(
    system: &System,
    sink: &dyn Sink,
    target: &Target,
    build: &Build,
    configuration: &(Loaded, Exclusion),
    options: &BuildOptions<'_>,
) -> Result<Option<BuildOrigin>> {
    let (loaded, exclusion) = configuration;
    require_dependencies(&system.layout, sink, build, loaded, options.force)?;
    // While this dkms waited for the lock, another dkms may have built or removed the package.
    crate::add::require_added(&system.layout, &build.package)?;
    if !options.replace && system.layout.module_dir(build).is_dir() {
        let reason = "another dkms built it meanwhile".into();
        sink.event(Event::Nothing { about: build.to_string(), reason });
        return Ok(None);
    }
    let slot = options.pool.map(Jobserver::acquire).transpose().map_err(|e| Error::Interrupted(e.0))?;
    let started = Instant::now();
    let mount_point = system.layout.build_dir(&build.package);
    let dir = if options.private { system.layout.private_build_dir(build) } else { mount_point.clone() };
    let mark = Mark::new(&system.layout, build, &dir)?;
    copy_source(system, sink, target, build, &dir)?;
    if options.private {
        dkms_sys::fs::create_dir_all(&mount_point)?;
    }
    let subject = Subject { system, sink, target, build, loaded, store_digests: true };
    let sandbox = BuildSandbox::for_build(&subject, &dir, &mount_point)?;
    sandbox.hand_over()?;
    let visible_log = dir.join("make.log");
    let failed_log = if options.private { system.layout.failed_log(build) } else { visible_log.clone() };
    let log = MakeLog::create(&system.host, &system.layout.running_log(build), &failed_log, build)?;
    log.show_at(&visible_log);
    sink.event(Event::BuildStarted { build: build.clone(), log: visible_log.clone(), since: started });
    let context = Context {
        system,
        sink,
        target,
        build,
        loaded,
        exclusion,
        dir: &dir,
        sandbox: &sandbox,
        pool: options.pool,
        held: options.held,
        force: options.force,
        rebuild: options.replace && options.force,
        log: &log,
        started,
        mark: Mutex::new(mark),
    };
    match run_steps(&context, slot) {
        Ok((manifest, origin)) => clean_up(&context, manifest, origin).map(Some),
        Err(error) => {
            leave_log(&context, &visible_log, &error);
            Err(error)
        }
    }
}

/// Copies the source, and reads the kernel's headers at the same time. Errors in the headers are reported
/// later, when the fingerprint is computed.
fn copy_source(system: &System, sink: &dyn Sink, target: &Target, build: &Build, dir: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let headers = std::thread::Builder::new();
        let _ = headers.spawn_scoped(scope, || target.inputs(system, sink, true).map(drop));
        prepare::fresh_copy(&system.layout, sink, build, dir)
    })
}

/// After a failure, keeps the build directory and the log, so that the user can examine them. Removes both
/// after an interrupt. `visible_log` is the path of the log in the build directory.
fn leave_log(context: &Context<'_>, visible_log: &Path, error: &Error) {
    let failed_log = context.system.layout.failed_log(context.build);
    match error {
        // A user who interrupts a build does not need its log.
        Error::Interrupted(_) => {
            let _ = dkms_sys::fs::remove_tree(context.dir);
            let _ = remove_log(context.log);
        }
        Error::Build(BuildError::FailedBefore { .. }) => {
            crate::owner::give_to_root(context.dir);
            let _ = remove_log(context.log);
            let _ = dkms_sys::fs::remove_tree(visible_log);
            let _ = dkms_sys::fs::hard_link(failed_log, visible_log);
        }
        _ => {
            crate::owner::give_to_root(context.dir);
            keep_log(&failed_log, context.log, visible_log);
        }
    }
}

/// Runs all steps of a build. Returns the manifest, and the origin of the modules.
fn run_steps(context: &Context<'_>, slot: Option<Slots<'_>>) -> Result<(Manifest, BuildOrigin)> {
    let prepared = prepare::prepare(context)?;
    let subject = context.subject();
    let recipe = Recipe::new(&subject)?;
    context.stage("reading the inputs");
    let mut fingerprint = fingerprint::describe(&subject, &prepared, &recipe)?;
    let obtained = obtain(context, &recipe, &fingerprint, slot)?;
    let signed = match obtained.signer {
        Some(fleet) => {
            fingerprint.add_signer(&fleet);
            sign::keep_signatures(context, obtained.collected, &fleet)?
        }
        None => sign::sign(context, obtained.collected)?,
    };
    let lines = fingerprint.lines();
    context.stage("placing the modules");
    let placed = place::place(context, signed, fingerprint, obtained.recorded, obtained.added)?;
    if let Some(draft) = obtained.draft {
        cached::store(context, draft, lines, &placed);
    }
    Ok((placed.manifest, obtained.origin))
}

/// Obtains the modules of a build from the local cache or a registry, or compiles them.
fn obtain(
    context: &Context<'_>,
    recipe: &Recipe,
    fingerprint: &Fingerprint,
    slot: Option<Slots<'_>>,
) -> Result<Obtained> {
    let lines = fingerprint.lines();
    let fleet = fleet::membership(context.system, context.sink, &context.build.kernel);
    let signed = fleet.map(|fleet| (fleet.lines(&lines), Some(fleet)));
    for (lines, signer) in signed.into_iter().chain([(lines, None)]) {
        let obtained = match cached::find(context, &lines, signer.as_ref())? {
            None => published::find(context, &lines, signer.as_ref())?,
            obtained => obtained,
        };
        if let Some(obtained) = obtained {
            return Ok(Obtained { signer, ..obtained });
        }
    }
    repeat::check(context, fingerprint)?;
    let compiled = compile::compile(context, recipe, slot);
    let collected = compiled.and_then(|compiled| {
        context.stage("checking the modules");
        collect::collect(context, &compiled)
    });
    let collected = collected.inspect_err(|error| repeat::record_failure(context, fingerprint, error))?;
    let draft = cached::draft(context, fingerprint, &collected)?;
    let origin = BuildOrigin::Built;
    Ok(Obtained { collected, signer: None, recorded: origin.clone(), origin, added: None, draft })
}

/// Checks that all BUILD_DEPENDS are installed for the same kernel. With `force`, a missing one is a warning.
fn require_dependencies(
    layout: &Layout,
    sink: &dyn Sink,
    build: &Build,
    loaded: &Loaded,
    force: bool,
) -> Result<()> {
    let missing = missing_dependencies(layout, build, loaded);
    if missing.is_empty() {
        return Ok(());
    }
    if !force {
        return Err(BuildError::DependsMissing { build: build.clone(), missing }.into());
    }
    sink.warn(format!(
        "building {} although {} is not installed for this kernel (--force)",
        build.package,
        missing.join(", ")
    ));
    Ok(())
}

/// The BUILD_DEPENDS that are not installed for a kernel.
pub fn missing_dependencies(layout: &Layout, build: &Build, loaded: &Loaded) -> Vec<String> {
    let missing = |name: &&String| state::installed_version(layout, name, &build.kernel).is_none();
    loaded.conf.build_depends.iter().filter(missing).cloned().collect()
}

/// Removes files that a successful build no longer needs, and reports the result.
fn clean_up(context: &Context<'_>, manifest: Manifest, origin: BuildOrigin) -> Result<BuildOrigin> {
    let (system, build) = (context.system, context.build);
    dkms_sys::fs::remove_tree(context.dir)?;
    dkms_sys::fs::remove_file(system.layout.failed_log(build))?;
    dkms_sys::fs::remove_file(system.layout.failed_inputs(build))?;
    remove_log(context.log)?;
    let describe = |m: ModuleRecord| BuiltModule { file: m.file, size: m.size, signature: m.signature };
    context.sink.event(Event::Built {
        build: build.clone(),
        modules: manifest.modules.into_iter().map(describe).collect(),
        elapsed: context.started.elapsed(),
        origin: origin.clone(),
    });
    Ok(origin)
}

/// Removes the log of a build that has ended, and the directory of the log if it is empty.
fn remove_log(log: &MakeLog) -> Result<()> {
    dkms_sys::fs::remove_file(&log.path)?;
    let _ = log.path.parent().map(dkms_sys::fs::remove_dir);
    Ok(())
}

/// Keeps the log of a failed build. Errors are ignored: the build may have failed because the disk is full.
fn keep_log(failed_log: &Path, log: &MakeLog, visible_log: &Path) {
    let _ = dkms_sys::fs::remove_tree(failed_log);
    if dkms_sys::fs::rename(&log.path, failed_log).is_ok() {
        let _ = dkms_sys::fs::remove_tree(visible_log);
        let _ = dkms_sys::fs::copy_file(failed_log, visible_log);
    }
}
