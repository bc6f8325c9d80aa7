//! Moves a finished build to `K/A` with one rename, and runs POST_BUILD, which may read `K/A`.

use super::context::Context;
use super::environment::Variables;
use super::fingerprint::Fingerprint;
use super::sign::Signed;
use super::{objects, script};
use crate::error::Result;
use crate::kernel::headers;
use crate::lock::Held;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::sandbox::{Access, Part, Place};
use dkms_tree::manifest::{BuildOrigin, Excluded, Manifest, ModuleRecord, SCHEMA};
use dkms_tree::state;
use std::path::{Path, PathBuf};

/// A build in the tree.
pub(crate) struct Placed {
    /// Its record.
    pub manifest: Manifest,
    /// The paths below `K/A` of the files that POST_BUILD added. The error is the reason why they cannot be
    /// determined, or why the build must not be stored in the cache.
    pub added: std::result::Result<Vec<PathBuf>, String>,
}

/// Places the modules of a build in the tree, with their manifest and log. Replaces an earlier build, and
/// restores it after a failure. If `added` contains the files that POST_BUILD added to this build, POST_BUILD
/// does not run.
///
/// # Errors
/// The tree cannot be written; POST_BUILD failed.
pub(crate) fn place(
    context: &Context<'_>,
    signed: Signed,
    fingerprint: Fingerprint,
    origin: BuildOrigin,
    added: Option<Vec<(PathBuf, Vec<u8>)>>,
) -> Result<Placed> {
    let Signed { staging, modules } = signed;
    let mut manifest = new_manifest(context, modules, fingerprint, origin);
    let is_complete = added.is_some();
    for (name, bytes) in added.into_iter().flatten() {
        let path = staging.path().join(name);
        if !fs::exists(&path) {
            path.parent().map(fs::create_dir_all).transpose()?;
            fs::create_new(&path, &bytes, 0o644)?;
        }
    }
    fs::create_dir_all(staging.path().join("log"))?;
    fs::copy_file(&context.log.path, staging.path().join("log/make.log"))?;
    copy_config(context, &staging.path().join("log"))?;
    if manifest.origin == BuildOrigin::Built {
        manifest.objects = objects::count(&context.log.path);
    }
    manifest.store(&staging.path().join(".manifest.json"))?;
    fs::set_mode(staging.path(), 0o755)?;
    exchange(context, staging.path(), manifest, is_complete)
}

/// Copies the kernel's configuration to the directory of the log, as dkms 3 does. The configuration may be
/// missing, because prebuilt modules can be placed without headers.
fn copy_config(context: &Context<'_>, log: &Path) -> Result<()> {
    let (system, release) = (context.system, &context.build.kernel.release);
    let path = headers::whole_config_path(&system.layout, &system.settings, release);
    let Some(name) = path.file_name().filter(|name| *name != "make.log") else { return Ok(()) };
    // A missing or unreadable configuration does not fail the build.
    let Ok(config) = fs::read_bounded(&path, fs::Limit::INDEX) else { return Ok(()) };
    Ok(fs::create_new(log.join(name), &config, 0o644)?)
}

fn new_manifest(
    context: &Context<'_>,
    modules: Vec<ModuleRecord>,
    fingerprint: Fingerprint,
    origin: BuildOrigin,
) -> Manifest {
    let (build, conf) = (context.build, &context.loaded.conf);
    let excluded = conf.modules.iter().zip(&context.exclusion.modules);
    Manifest {
        schema: SCHEMA,
        package: build.package.name.clone(),
        version: build.package.version.clone(),
        kernel: build.kernel.release.to_string(),
        arch: build.kernel.arch.clone(),
        fingerprint: fingerprint.digest(),
        origin,
        inputs: fingerprint.inputs,
        built_at: context.system.host.recorded_time(),
        build_seconds: 0.0,
        objects: 0,
        modules,
        excluded: excluded
            .filter_map(|(entry, why)| Some(Excluded { name: entry.dest_name.clone(), reason: why.clone()? }))
            .collect(),
        build_depends: conf.build_depends.clone(),
        no_weak_modules: conf.no_weak_modules,
        unconfined: if context.sandbox.is_on() {
            context.sandbox.missing()
        } else {
            vec!["the confinement is switched off".into()]
        },
        post_remove: conf.post_remove.clone(),
        installed: None,
    }
}

/// Renames `staging` to `K/A`. If there is an earlier build, exchanges the two directories. After a failure,
/// the previous state is restored.
fn exchange(context: &Context<'_>, staging: &Path, manifest: Manifest, is_complete: bool) -> Result<Placed> {
    let (system, build) = (context.system, context.build);
    let built = system.layout.built_dir(build);
    // While the build changes, no other process may install it.
    let replaced = fs::exists(&built);
    let kernel = std::slice::from_ref(&build.kernel);
    let locks = if replaced { crate::lock::install(system, context.sink, kernel)? } else { Vec::new() };
    // The installed modules are still those of the earlier build, so its list of installed files is kept.
    let earlier = Manifest::read(&system.layout, build).unwrap_or_else(|e| {
        context
            .sink
            .warn(format!("{e}; its list of installed files is lost, so dkms searches for them instead"));
        None
    });
    let installed = earlier.and_then(|manifest| manifest.installed);
    let swapped = replaced && fs::exists(&built);
    let post_build =
        context.loaded.conf.post_build.as_deref().filter(|line| !line.is_empty() && !is_complete);
    if post_build.is_some() {
        context.mark().set_unfinished(staging)?;
    }
    if swapped {
        dkms_tree::layers::exchange(staging, &built)?;
    } else {
        fs::rename_noreplace(staging, &built)?;
    }
    let finished = finish(context, Manifest { installed, ..manifest }, post_build, &locks);
    if finished.is_ok() && context.mark().is_unfinished() {
        context.mark().set_finished()?;
    }
    if finished.is_err() {
        let undone = if swapped {
            dkms_tree::layers::exchange(staging, &built)
        } else {
            fs::remove_tree(&built).map(drop)
        };
        if let Err(further) = undone {
            context.sink.warn(format!("{build}: {further}"));
        }
    }
    finished
}

/// Runs POST_BUILD and completes the manifest and the log of the build.
fn finish(
    context: &Context<'_>,
    mut manifest: Manifest,
    post_build: Option<&str>,
    locks: &[Held],
) -> Result<Placed> {
    let (system, build, conf) = (context.system, context.build, &context.loaded.conf);
    fs::sync_dir(system.layout.kernel_dir(build))?;
    let variables = context.script_variables(locks);
    let added = match post_build {
        Some(line) => run_post_build(context, line, &variables)?,
        None => Ok(Vec::new()),
    };
    fs::copy_file(&context.log.path, system.layout.make_log(build))?;
    if conf.build_depends_rebuild {
        record_dependencies(context)?;
    }
    let reproducible = system.host.source_date_epoch().is_some();
    manifest.build_seconds = if reproducible { 0.0 } else { context.started.elapsed().as_secs_f64() };
    manifest.store(&system.layout.manifest(build))?;
    Ok(Placed { manifest, added })
}

/// Runs POST_BUILD. The script sees a writable copy of `K/A`, because ZFS puts headers for other packages
/// there. New files in the copy are added to `K/A`. Existing files are not changed, because they were checked
/// and signed. Returns the paths of the new files; see [`Placed::added`].
fn run_post_build(
    context: &Context<'_>,
    line: &str,
    variables: &Variables,
) -> Result<std::result::Result<Vec<PathBuf>, String>> {
    let run = |places: &[Place]| script::run(context, "POST_BUILD", Some(line), variables, places);
    if !context.sandbox.is_on() {
        run(&[])?;
        return Ok(Err("POST_BUILD was not confined".into()));
    }
    let built = context.system.layout.built_dir(context.build);
    let copy = TempDir::new_in(&context.system.settings.tmp_location, "dkms-built")?;
    let dir = copy.path().join("built");
    fs::copy_tree(&built, &dir)?;
    context.sandbox.give(&dir)?;
    if dkms_sys::sandbox::lacks(Part::Mounts) {
        // The copy cannot be mounted at the path of K/A, so the script cannot write to it.
        run(&[])?;
        return Ok(Err("POST_BUILD could not write to its copy".into()));
    }
    run(&[Place { source: dir.clone(), target: built.clone(), access: Access::Write }])?;
    let mut added = Ok(Vec::new());
    add_new_files(context, &dir, Path::new(""), &built, &mut added)?;
    Ok(added)
}

/// Copies the files below `dir` that do not exist below `built`, in the subdirectory `below` of both. Adds
/// their names to `added`, which becomes an error if the build must not be stored in the cache.
fn add_new_files(
    context: &Context<'_>,
    dir: &Path,
    below: &Path,
    built: &Path,
    added: &mut std::result::Result<Vec<PathBuf>, String>,
) -> Result<()> {
    for name in fs::list_dir(dir.join(below))? {
        let name = below.join(name);
        let (from, to) = (dir.join(&name), built.join(&name));
        if fs::is_real_dir(&from) {
            if !fs::exists(&to) {
                fs::create_dir_all(&to)?;
                if fs::list_dir(&from)?.is_empty() {
                    *added = Err(format!("POST_BUILD added the empty directory {}", name.display()));
                }
            }
            if fs::is_real_dir(&to) {
                add_new_files(context, dir, &name, built, added)?;
            }
        } else if !fs::exists(&to) {
            let bytes = fs::read_untrusted(dir, &name, context.sandbox.owner())?;
            fs::create_new(&to, &bytes, 0o644)?;
            if name.to_string_lossy().contains(".ko") {
                // POST_BUILD may have signed or compressed it for this machine.
                *added = Err(format!("POST_BUILD added the module {}", name.display()));
            } else if let Ok(added) = added {
                added.push(name);
            }
        }
    }
    Ok(())
}

/// Writes a file `.dep_NAME` for each dependency, with the version against which the modules were built.
fn record_dependencies(context: &Context<'_>) -> Result<()> {
    let (layout, build) = (&context.system.layout, context.build);
    for name in &context.loaded.conf.build_depends {
        if let Some(id) = state::installed_version(layout, name, &build.kernel) {
            let file = layout.built_dir(build).join(format!(".dep_{name}"));
            fs::write_atomic(&file, format!("{}\n", id.version).as_bytes(), 0o644)?;
        }
    }
    Ok(())
}
