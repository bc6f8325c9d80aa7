//! Takes builds from the cache of builds, and stores builds in it.
//!
//! [`take`] has the same result as a compilation: the same files in `K/A`, and the same log. PRE_BUILD and
//! POST_BUILD do not run. An entry contains the files that POST_BUILD added to `K/A`.

use super::collect::{self, Collected, CollectedModule, Staging};
use super::context::{Context, cache};
use super::fingerprint::Fingerprint;
use super::place::Placed;
use crate::cache::{ADDED, Cache, Damaged, Draft, Entry, LOG, Record, StoreError};
use crate::error::Result;
use crate::event::Event;
use crate::registry::fleet::Fleet;
use crate::system::System;
use dkms_bundle::record::SCHEMA;
use dkms_conf::module_conf::{ModuleConf, ModuleEntry};
use dkms_sys::fs::{self, Limit};
use dkms_tree::manifest::BuildOrigin;
use kmodule::Compression;
use kmodule::compress::Options;
use std::path::{Path, PathBuf};

/// The file with the exported symbols, in an entry and in `K/A/module`.
const SYMBOLS: &str = "Module.symvers";

/// The maximum size of a log that is restored, in bytes.
const MAX_LOG_SIZE: usize = 64 << 20;

/// The modules of a build: compiled, or from a cache or registry.
pub(crate) struct Obtained {
    pub collected: Collected,
    /// The signer, if the modules are signed already.
    pub signer: Option<Fleet>,
    /// The origin of the modules: a compilation, the local cache or a registry.
    pub origin: BuildOrigin,
    /// The origin that the manifest records.
    pub recorded: BuildOrigin,
    /// The names and contents of the files that POST_BUILD added to `K/A`; `None` if POST_BUILD has not run.
    pub added: Option<Vec<(PathBuf, Vec<u8>)>>,
    /// The data to store in the cache when the build is in place.
    pub draft: Option<Draft>,
}

/// Returns the name of a build in the local cache, and the lines of its fingerprint. With SOURCE_DATE_EPOCH,
/// the records and the log of a build do not depend on earlier builds, so a build whose log would differ gets
/// a separate entry.
#[must_use]
pub fn local_entry(system: &System, lines: &[String]) -> (String, Vec<String>) {
    let mut lines = lines.to_vec();
    lines.extend(reproducible(system));
    lines.sort();
    (dkms_bundle::record::fingerprint(&lines), lines)
}

/// Returns the fingerprint line for the inputs of the build log, if SOURCE_DATE_EPOCH is set.
fn reproducible(system: &System) -> Option<String> {
    let epoch = system.host.source_date_epoch()?;
    let (version, jobs) = (env!("CARGO_PKG_VERSION"), system.jobs_word());
    Some(format!("reproducible=SOURCE_DATE_EPOCH {epoch}, dkms {version}, jobs {jobs}"))
}

/// Finds the build with these lines in the local cache. Deletes a damaged entry, with a warning. With
/// `fleet`, only an entry whose modules this fleet has signed is used.
///
/// # Errors
/// The tree cannot be written. A problem of the cache is never an error.
pub(crate) fn find(
    context: &Context<'_>,
    lines: &[String],
    fleet: Option<&Fleet>,
) -> Result<Option<Obtained>> {
    // `--force` requests a new compilation of a build that already exists.
    if context.rebuild {
        return Ok(None);
    }
    let Some(cache) = cache(context) else { return Ok(None) };
    let (name, lines) = local_entry(context.system, lines);
    let obtained = match cache.find(&name) {
        Ok(None) => {
            if fleet.is_none() {
                report_miss(context, &cache, &lines);
            }
            return Ok(None);
        }
        Ok(Some(entry)) => take(context, &entry, BuildOrigin::Cache, fleet)?.inspect(|_| entry.touch()),
        Err(damaged) => Err(damaged),
    };
    Ok(obtained.map_err(|damaged| delete_damaged(context, &cache, &damaged)).ok())
}

/// Takes the modules of this build from an entry. Every file is compared with the record, and every module is
/// checked in the same way as a compiled one. The log in the entry becomes the log of this build. With
/// `fleet`, this fleet must have signed the modules.
///
/// # Errors
/// The tree cannot be written. The inner error is the reason why the entry cannot be used.
pub(crate) fn take(
    context: &Context<'_>,
    entry: &Entry,
    origin: BuildOrigin,
    fleet: Option<&Fleet>,
) -> Result<std::result::Result<Obtained, Damaged>> {
    let contents = match contents(context, entry, fleet) {
        Ok(contents) => contents,
        Err(damaged) => return Ok(Err(damaged)),
    };
    context.stage(match &origin {
        BuildOrigin::Registry(_) => "from the registry",
        _ => "from the cache",
    });
    let staging = Staging::new(&context.system.layout, context.build)?;
    if let Some(symbols) = &contents.symbols {
        fs::create_new(staging.modules().join(SYMBOLS), symbols, 0o644)?;
    }
    let mut modules = Vec::new();
    for (module, bytes) in contents.modules {
        fs::create_new(staging.modules().join(format!("{}.ko", module.name)), &bytes, 0o644)?;
        modules.push(module);
    }
    let from = match &origin {
        BuildOrigin::Registry(from) => format!("from {from}"),
        _ => "from the cache".to_owned(),
    };
    let first = format!("Not compiled: taken {from}, fingerprint {}", entry.record.fingerprint);
    // In this case, the records must equal those of the compilation.
    let is_local = origin == BuildOrigin::Cache;
    let as_compiled =
        is_local && reproducible(context.system).is_some_and(|line| entry.record.lines.contains(&line));
    context.log.restart(Some(first.as_str()).filter(|_| !as_compiled), &contents.log)?;
    let recorded = if as_compiled { BuildOrigin::Built } else { origin.clone() };
    Ok(Ok(Obtained {
        collected: Collected { staging, modules },
        signer: None,
        origin,
        recorded,
        added: Some(contents.added),
        draft: None,
    }))
}

/// The files of an entry, after they were checked.
struct Contents {
    modules: Vec<(CollectedModule, Vec<u8>)>,
    symbols: Option<Vec<u8>>,
    added: Vec<(PathBuf, Vec<u8>)>,
    log: Vec<u8>,
}

fn contents(
    context: &Context<'_>,
    entry: &Entry,
    fleet: Option<&Fleet>,
) -> std::result::Result<Contents, Damaged> {
    let damaged = |reason: String| Damaged { path: entry.dir.clone(), reason };
    let modules = context.modules().map(|listed| read_module(context, entry, listed, fleet));
    let mut added = Vec::new();
    for file in &entry.record.files {
        if let Ok(below) = Path::new(&file.path).strip_prefix(ADDED) {
            if !is_addition(below) {
                return Err(damaged(format!("POST_BUILD cannot have added {}", below.display())));
            }
            added.push((below.to_owned(), entry.read(file)?));
        }
    }
    let log = entry.file(LOG).map(|file| entry.read(file)).transpose()?.unwrap_or_default();
    let log = kmodule::compress::decompress(&log, MAX_LOG_SIZE);
    Ok(Contents {
        modules: modules.collect::<std::result::Result<_, _>>()?,
        symbols: entry.file(SYMBOLS).map(|file| entry.read(file)).transpose()?,
        added,
        log: log.map_err(|e| damaged(format!("{LOG}: {e}")))?,
    })
}

/// Returns whether POST_BUILD may add a file at this path below `K/A`. It may not add modules and logs,
/// because dkms writes those itself. This also protects against a malicious registry.
fn is_addition(below: &Path) -> bool {
    let first = below.iter().next();
    first.is_some_and(|name| name != "module" && name != "log")
}

/// Reads and checks a module that dkms.conf lists.
fn read_module(
    context: &Context<'_>,
    entry: &Entry,
    listed: &ModuleEntry,
    fleet: Option<&Fleet>,
) -> std::result::Result<(CollectedModule, Vec<u8>), Damaged> {
    let path = path_in_entry(&listed.dest_name);
    let damaged = |reason: String| Damaged { path: entry.dir.clone(), reason };
    let file = entry.file(&path).ok_or_else(|| damaged(format!("it has no {path}")))?;
    let bytes = entry.read(file)?;
    let module =
        collect::check(&bytes, context.build, false).map_err(|why| damaged(format!("{path}: {why}")))?;
    if let Some(fleet) = fleet {
        fleet.check(&bytes).map_err(|why| damaged(format!("{path}: {why}")))?;
    }
    Ok((CollectedModule::new(&context.system.host, listed, &module), bytes))
}

/// The path of a module in an entry.
fn path_in_entry(module: &str) -> String {
    format!("module/{module}.ko")
}

fn delete_damaged(context: &Context<'_>, cache: &Cache, damaged: &Damaged) {
    context.sink.warn(format!(
        "{}: the cache of builds has a damaged entry, which is dropped: {damaged}",
        context.build
    ));
    if let Err(e) = cache.drop_entry(&damaged.path) {
        let text = format!("the damaged entry cannot be dropped: {e}");
        context.system.warn_about_cache(context.sink, text);
    }
}

/// With `--verbose`, reports the inputs that differ from those of the most similar entry.
fn report_miss(context: &Context<'_>, cache: &Cache, lines: &[String]) {
    if !context.system.settings.verbose {
        return;
    }
    let nearest = cache.nearest(&context.build.package.name, lines).ok().flatten();
    let text = match nearest {
        Some(nearest) => {
            let names: Vec<&str> = nearest.differences.iter().map(|d| d.name.as_str()).collect();
            format!("not in the cache; the nearest build there differs in {}", names.join(", "))
        }
        None => "not in the cache, which has no build of this package".into(),
    };
    context.sink.event(Event::Detail { text: format!("{}: {text}", context.build) });
}

/// Returns the reason why builds with this configuration and these inputs are never stored: they may read or
/// change data that the fingerprint does not describe.
pub(super) fn reason_not_to_store(conf: &ModuleConf, fingerprint: &Fingerprint) -> Option<String> {
    if conf.no_cache {
        Some("dkms.conf sets CACHE=no".into())
    } else if conf.confine.network {
        Some("dkms.conf sets CONFINE_NETWORK=yes".into())
    } else if !conf.confine.write.is_empty() {
        Some("dkms.conf sets CONFINE_WRITE".into())
    } else {
        fingerprint.undescribed.clone()
    }
}

/// Reads the files of a compiled build for the cache, before the modules are signed. Returns `None` if the
/// build is not to be stored.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn draft(
    context: &Context<'_>,
    fingerprint: &Fingerprint,
    collected: &Collected,
) -> Result<Option<Draft>> {
    // --force accepts a module for another kernel.
    let release = &context.build.kernel.release;
    let is_foreign = |module: &CollectedModule| module.vermagic.split(' ').next() != Some(release.as_str());
    if collected.modules.iter().any(is_foreign) || cache(context).is_none() {
        return Ok(None);
    }
    if let Some(why) = reason_not_to_store(&context.loaded.conf, fingerprint) {
        report_not_stored(context, &why);
        return Ok(None);
    }
    let modules = collected.staging.modules();
    let mut draft = Draft::default();
    for module in &collected.modules {
        draft.add(path_in_entry(&module.name), fs::read(modules.join(format!("{}.ko", module.name)))?);
    }
    if let Some(symbols) = fs::read_optional(modules.join(SYMBOLS), Limit::INDEX)? {
        draft.add(SYMBOLS, symbols);
    }
    Ok(Some(draft))
}

/// Stores a build that is in place. If the cache cannot be written, this is only a warning.
pub(crate) fn store(context: &Context<'_>, draft: Draft, lines: Vec<String>, placed: &Placed) {
    let system = context.system;
    let Some(cache) = cache(context).filter(|cache| system.host.root || may_write(cache)) else { return };
    let entry = local_entry(system, &lines);
    let stored = check_described(context, placed)
        .map_err(NotStored::Unsuitable)
        .and_then(|()| store_in(context, &cache, draft, entry, placed));
    match stored {
        Ok(()) => {}
        Err(NotStored::Unsuitable(why)) => report_not_stored(context, &why),
        Err(NotStored::Failed(e)) => {
            system.warn_about_cache(
                context.sink,
                format!("the cache of builds cannot be written, so builds are not stored: {e}"),
            );
        }
    }
}

fn report_not_stored(context: &Context<'_>, why: &str) {
    let text = format!("{}: not stored in the cache: {why}", context.build);
    context.sink.event(Event::Detail { text });
}

/// The reason why a build is not stored in the cache.
enum NotStored {
    /// This build must not be stored, or is too large.
    Unsuitable(String),
    /// The cache cannot be written.
    Failed(StoreError),
}

impl From<StoreError> for NotStored {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::TooLarge { .. } | StoreError::Record(_) => Self::Unsuitable(e.to_string()),
            other => Self::Failed(other),
        }
    }
}

fn may_write(cache: &Cache) -> bool {
    fs::require_writable_below(cache.dir()).is_ok()
}

/// Checks that the fingerprint describes all inputs and results of this build.
///
/// # Errors
/// The input or result that it may not describe.
fn check_described(context: &Context<'_>, placed: &Placed) -> std::result::Result<(), String> {
    let conf = &context.loaded.conf;
    let runs = |line: &Option<String>| line.as_deref().is_some_and(|line| !line.is_empty());
    let code_that_ran = [
        (runs(&conf.pre_build), "PRE_BUILD ran"),
        (runs(&conf.post_build), "POST_BUILD ran"),
        (context.loaded.evaluation() != "native", "dkms.conf needed a shell"),
    ];
    if let Some((_, what)) = code_that_ran.iter().find(|(ran, _)| *ran) {
        if let Some(missing) = placed.manifest.unconfined.first() {
            return Err(format!("{what} and the build was not confined completely ({missing})"));
        }
    }
    placed.added.as_ref().map(drop).map_err(String::clone)
}

fn store_in(
    context: &Context<'_>,
    cache: &Cache,
    mut draft: Draft,
    (fingerprint, lines): (String, Vec<String>),
    placed: &Placed,
) -> std::result::Result<(), NotStored> {
    let built = context.system.layout.built_dir(context.build);
    let io = |e: dkms_sys::IoError| NotStored::Failed(StoreError::Io(e));
    let odd_name = || NotStored::Unsuitable("POST_BUILD added odd names".into());
    for name in placed.added.iter().flatten() {
        let path = Path::new(ADDED).join(name);
        draft.add(path.to_str().ok_or_else(odd_name)?, fs::read_untrusted(&built, name, None).map_err(io)?);
    }
    let log = fs::read_start(&context.log.path, Limit::LOG).map_err(io)?;
    draft.add(LOG, zstd(&log).map_err(NotStored::Unsuitable)?);
    let build = context.build;
    let milliseconds = context.started.elapsed().as_millis();
    let record = Record {
        schema: SCHEMA,
        fingerprint,
        lines,
        package: build.package.name.clone(),
        version: build.package.version.clone(),
        kernel: build.kernel.release.to_string(),
        arch: build.kernel.arch.clone(),
        builder: env!("CARGO_PKG_VERSION").into(),
        unconfined: placed.manifest.unconfined.clone(),
        build_ms: u64::try_from(milliseconds).unwrap_or(u64::MAX),
        files: Vec::new(),
        layer: None,
    };
    Ok(cache.store(record, draft, context.rebuild)?)
}

fn zstd(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let options = Options::parse(Compression::Zstd, "").map_err(|e| e.to_string())?;
    kmodule::compress::compress(bytes, &options).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_build_adds_neither_modules_nor_logs() {
        for place in ["zfs_config.h", "include/a.h", "modules", "logs/x", "x/module/a.ko"] {
            assert!(is_addition(Path::new(place)), "{place}");
        }
        for place in ["", "module", "module/a.ko", "log/make.log"] {
            assert!(!is_addition(Path::new(place)), "{place}");
        }
    }
}
