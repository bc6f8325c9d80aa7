//! Builds that another machine made, from a registry.

use super::cached::{self, Taken};
use super::context::Context;
use crate::build::BuildError;
use crate::cache::{Cache, Entry};
use crate::error::Result;
use crate::registry::fleet::Fleet;
use crate::registry::{self, Fetched, Offer, Query};
use dkms_conf::framework_conf::Prebuilt;
use dkms_tree::manifest::BuildOrigin;

/// Searches the registries for the build with these lines. With `prebuilt=only`, a missing build is an error,
/// except for modules that a fleet has signed.
///
/// # Errors
/// An interrupt; the tree cannot be written; [`BuildError::NotPublished`].
pub(crate) fn find(context: &Context<'_>, lines: &[String], fleet: Option<&Fleet>) -> Result<Option<Taken>> {
    let only = registry::mode(&context.system.settings) == Prebuilt::Only;
    // `--force` requests a new compilation of a build that already exists.
    let wanted = !context.loaded.conf.no_cache && (only || !context.rebuild);
    let taken = if wanted { take(context, lines, fleet)? } else { None };
    if taken.is_none() && only && fleet.is_none() {
        let (build, fingerprint) = (context.build.clone(), dkms_bundle::record::fingerprint(lines));
        return Err(BuildError::NotPublished { build, fingerprint }.into());
    }
    Ok(taken)
}

fn take(context: &Context<'_>, lines: &[String], fleet: Option<&Fleet>) -> Result<Option<Taken>> {
    let system = context.system;
    let query = Query { build: context.build, lines: lines.to_vec() };
    let usable = |entry: &Entry, origin| usable(context, entry, origin, fleet);
    let cache = Cache::of(system).filter(|cache| cache.distrust().is_none());
    if let Some(entry) =
        cache.as_ref().and_then(|cache| registry::find_stored(&system.settings, cache, &query))
    {
        return usable(&entry, BuildOrigin::Cache);
    }
    let Some(offer) = registry::find(system, context.sink, &query)? else { return Ok(None) };
    if let Some(entry) = stored(cache.as_ref(), &offer) {
        return usable(&entry, BuildOrigin::Registry(offer.reference()));
    }
    let fetched = registry::fetch(system, context.sink, context.build, offer)?;
    let Some(Fetched { dir, offer }) = fetched else { return Ok(None) };
    let origin = BuildOrigin::Registry(offer.reference());
    if let Some(cache) = &cache {
        if let Err(e) = cache.store_from(dir.path(), &offer.record) {
            system.warn_about_cache(
                context.sink,
                format!("the build from the registry is not stored in the cache of builds: {e}"),
            );
        }
    }
    usable(&Entry { record: offer.record, dir: dir.path().to_owned() }, origin)
}

/// Returns the entry of the local cache for a build that a registry offers and that was found without the
/// complete fingerprint.
fn stored(cache: Option<&Cache>, offer: &Offer) -> Option<Entry> {
    cache?.find(&offer.record.fingerprint).ok().flatten()
}

fn usable(
    context: &Context<'_>,
    entry: &Entry,
    origin: BuildOrigin,
    fleet: Option<&Fleet>,
) -> Result<Option<Taken>> {
    let taken = cached::take(context, entry, origin, fleet)?;
    Ok(taken
        .map_err(|damaged| {
            registry::warn(context.system, context.sink, format!("{}: {damaged}", context.build))
        })
        .ok())
}
