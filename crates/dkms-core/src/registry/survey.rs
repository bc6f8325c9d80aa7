//! Determines which builds of this machine's packages the registries have. Builds nothing.

use super::error::RegistryError;
use super::pull::{self, Fetched, Offer, Query};
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

/// Where a build is available.
#[derive(Clone, Debug)]
pub enum Availability {
    /// The local cache has it.
    Cached,
    /// A registry has it.
    Offered(Box<Offer>),
    /// Neither has it.
    Missing,
    /// It cannot be built for this kernel now, or published, for this reason.
    NotNow(String),
}

/// The result of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// It was fetched from this reference: `REGISTRY/REPOSITORY@DIGEST`.
    From(String),
    /// The local cache had it already.
    Cached,
    /// It cannot be built for this kernel now, for this reason.
    NotNow(String),
}

/// Looks for a build in the registries. With a cache, it is searched first.
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
        if let Some(reason) = preview.not_stored {
            return Ok(Availability::NotNow(format!("it is never stored in a registry: {reason}")));
        }
        return look_up_published(system, sink, build, preview.lines);
    }
    let fleet = fleet::membership(system, sink, &build.kernel);
    let signed = fleet.map(|fleet| fleet.lines(&preview.lines));
    for lines in signed.into_iter().chain([preview.lines]) {
        match look_up_one(system, sink, &Query { build, lines }, cache)? {
            Availability::Missing => {}
            found => return Ok(found),
        }
    }
    Ok(Availability::Missing)
}

/// Looks for everything that this machine would publish for a build. With the key of a fleet, this includes
/// the build with signed modules.
fn look_up_published(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    lines: Vec<String>,
) -> Result<Availability> {
    let signed = fleet::lines_to_publish(system, sink, &build.kernel, &lines)?;
    if let Some(lines) = signed {
        if let Availability::Missing = look_up_one(system, sink, &Query { build, lines }, None)? {
            return Ok(Availability::Missing);
        }
    }
    look_up_one(system, sink, &Query { build, lines }, None)
}

fn look_up_one(
    system: &System,
    sink: &dyn Sink,
    query: &Query<'_>,
    cache: Option<&Cache>,
) -> Result<Availability> {
    if let Some(cache) = cache {
        let stored = || pull::find_stored(&system.settings, cache, query);
        let fingerprint = dkms_bundle::record::fingerprint(&query.lines);
        if cache.find(&fingerprint).ok().flatten().or_else(stored).is_some() {
            return Ok(Availability::Cached);
        }
    }
    let offer = pull::find(system, sink, query)?;
    Ok(offer.map_or(Availability::Missing, |offer| Availability::Offered(Box::new(offer))))
}

/// Describes where the modules of a build will come from, for a plan. `None` if the build will be compiled,
/// or if the origin is unknown because the package is not registered yet.
///
/// # Errors
/// An interrupt.
pub fn predict_origin(system: &System, sink: &dyn Sink, build: &Build) -> Result<Option<String>> {
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

/// Fetches a build into the local cache. `None` if no registry has it.
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

/// The builds of the newest version of every package with `AUTOINSTALL=yes`, for a kernel.
///
/// # Errors
/// A configuration is not usable.
pub fn autoinstall_builds(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Vec<Build>> {
    let packages = order::newest(&state::all_packages(&system.layout));
    let mut builds = Vec::new();
    for package in packages {
        if load::load(system, sink, &package, kernel)?.strict()?.conf.autoinstall {
            builds.push(Build::new(&package, kernel));
        }
    }
    Ok(builds)
}
