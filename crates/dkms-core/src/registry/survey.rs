//! Determines which builds of this machine's packages the registries have, without building anything.

use super::error::RegistryError;
use super::pull::{self, Fetched, Offer, Wanted};
use super::{fleet, mode};
use crate::build::{self, BuildError, preview};
use crate::cache::Cache;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::plan::order;
use crate::system::System;
use dkms_conf::framework_conf::Prebuilt;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::state;

/// The availability of a build.
#[derive(Clone, Debug)]
pub enum Availability {
    /// The local cache has it.
    Cached,
    /// A registry has it.
    Offered(Box<Offer>),
    /// Neither has it.
    Missing,
    /// It is not meant for this kernel, or waits for something, for this reason.
    NotNow(String),
}

/// The result of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// Fetched from here: `REGISTRY/REPOSITORY@DIGEST`.
    From(String),
    /// The local cache had it already.
    Cached,
    /// It is not meant for this kernel, or waits for something, for this reason.
    NotNow(String),
}

/// Looks for a build in the registries, and before that in the local cache if there is one.
///
/// # Errors
/// Its configuration or its source is not usable; an interrupt.
pub fn look_up(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    cache: Option<&Cache>,
) -> Result<Availability> {
    let (loaded, _) = match build::configuration(system, sink, build, &system.layout.conf(&build.package)) {
        Err(Error::Build(BuildError::Excluded { reason, .. })) => return Ok(Availability::NotNow(reason)),
        configuration => configuration?,
    };
    let missing = build::missing_dependencies(&system.layout, build, &loaded);
    if !missing.is_empty() {
        let reason = format!("needs {}, which is not installed for this kernel yet", missing.join(", "));
        return Ok(Availability::NotNow(reason));
    }
    let source = system.layout.source_link(&build.package);
    let preview = preview::preview(system, sink, build, &loaded, &source)?;
    if cache.is_none() {
        return look_up_published(system, sink, build, preview.lines);
    }
    let fleet = fleet::to_take_from(system, sink, &build.kernel);
    let signed = fleet.map(|fleet| fleet.lines(&preview.lines));
    for lines in signed.into_iter().chain([preview.lines]) {
        match look_up_one(system, sink, &Wanted { build, lines }, cache)? {
            Availability::Missing => {}
            found => return Ok(found),
        }
    }
    Ok(Availability::Missing)
}

/// Returns whether the registry has everything that a builder publishes for a build: with a fleet key, also
/// the modules that it signs.
fn look_up_published(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    lines: Vec<String>,
) -> Result<Availability> {
    let signed = fleet::lines_to_publish(system, sink, &build.kernel, &lines)?;
    if let Some(lines) = signed {
        if let Availability::Missing = look_up_one(system, sink, &Wanted { build, lines }, None)? {
            return Ok(Availability::Missing);
        }
    }
    look_up_one(system, sink, &Wanted { build, lines }, None)
}

fn look_up_one(
    system: &System,
    sink: &dyn Sink,
    wanted: &Wanted<'_>,
    cache: Option<&Cache>,
) -> Result<Availability> {
    if let Some(cache) = cache {
        let stored = || pull::find_stored(&system.settings, cache, wanted);
        let fingerprint = dkms_bundle::record::fingerprint(&wanted.lines);
        if cache.find(&fingerprint).ok().flatten().or_else(stored).is_some() {
            return Ok(Availability::Cached);
        }
    }
    let offer = pull::find(system, sink, wanted)?;
    Ok(offer.map_or(Availability::Missing, |offer| Availability::Offered(Box::new(offer))))
}

/// Returns the source of the modules of a build, for a plan; `None` if it would be compiled, or if the source
/// is unknown because the package is not registered yet.
///
/// # Errors
/// An interrupt.
pub fn foresee(system: &System, sink: &dyn Sink, build: &Build) -> Result<Option<String>> {
    let cache = Cache::of(system);
    match look_up(system, sink, build, cache.as_ref()) {
        Ok(Availability::Cached) => Ok(Some("from the cache".into())),
        Ok(Availability::Offered(offer)) => Ok(Some(format!("from {}", offer.reference()))),
        Ok(Availability::Missing) if mode(&system.settings) == Prebuilt::Only => {
            Ok(Some("no registry has it, and prebuilt=only".into()))
        }
        Err(Error::Interrupted(signal)) => Err(Error::Interrupted(signal)),
        Ok(Availability::Missing | Availability::NotNow(_)) | Err(_) => Ok(None),
    }
}

/// Fetches builds into the local cache. `None`: no registry has it.
///
/// # Errors
/// The cache is switched off or cannot be written; as [`look_up`].
pub fn pull(system: &System, sink: &dyn Sink, build: &Build) -> Result<Option<Pulled>> {
    let cache = Cache::of(system).ok_or(RegistryError::NoCache)?;
    match look_up(system, sink, build, Some(&cache))? {
        Availability::Cached => Ok(Some(Pulled::Cached)),
        Availability::NotNow(reason) => Ok(Some(Pulled::NotNow(reason))),
        Availability::Missing => Ok(None),
        Availability::Offered(offer) => fetch_into(system, sink, &cache, build, *offer),
    }
}

fn fetch_into(
    system: &System,
    sink: &dyn Sink,
    cache: &Cache,
    build: &Build,
    offer: Offer,
) -> Result<Option<Pulled>> {
    let Some(Fetched { dir, offer }) = pull::fetch(system, sink, build, offer)? else { return Ok(None) };
    let stored = cache.store_from(dir.path(), &offer.record);
    stored.map_err(RegistryError::NotStored)?;
    Ok(Some(Pulled::From(offer.reference())))
}

/// The newest version of every package with `AUTOINSTALL=yes`, for a kernel.
///
/// # Errors
/// A configuration is not usable.
pub fn wanted(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Vec<Build>> {
    let packages = order::newest(&state::all_packages(&system.layout));
    let mut builds = Vec::new();
    for package in packages {
        if load::load(system, sink, &package, kernel)?.strict()?.conf.autoinstall {
            builds.push(Build::new(&package, kernel));
        }
    }
    Ok(builds)
}
