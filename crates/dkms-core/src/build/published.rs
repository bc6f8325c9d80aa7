//! Takes builds of other machines from a registry.

use super::cached::{self, Obtained};
use super::context::Context;
use crate::build::BuildError;
use crate::cache::{Cache, Entry};
use crate::error::Result;
use crate::registry::fleet::Fleet;
use crate::registry::{self, Fetched, Query};
use dkms_conf::framework_conf::Prebuilt;
use dkms_tree::manifest::BuildOrigin;

/// Searches the registries for the build with these lines. With `fleet`, only a build whose modules this
/// fleet has signed is used.
///
/// # Errors
/// An interrupt; the tree cannot be written; [`BuildError::NotPublished`] with `prebuilt=only` and without
/// `fleet`.
pub(crate) fn find(
    context: &Context<'_>,
    lines: &[String],
    fleet: Option<&Fleet>,
) -> Result<Option<Obtained>> {
    let only = registry::mode(&context.system.settings) == Prebuilt::Only;
    // `--force` requests a new compilation of a build that already exists.
    let may_use = !context.loaded.conf.no_cache && (only || !context.rebuild);
    let obtained = if may_use { take(context, lines, fleet)? } else { None };
    if obtained.is_none() && only && fleet.is_none() {
        let (build, fingerprint) = (context.build.clone(), dkms_bundle::record::fingerprint(lines));
        return Err(BuildError::NotPublished { build, fingerprint }.into());
    }
    Ok(obtained)
}

fn take(context: &Context<'_>, lines: &[String], fleet: Option<&Fleet>) -> Result<Option<Obtained>> {
    let system = context.system;
    let request = Query { build: context.build, lines: lines.to_vec() };
    let take_entry = |entry: &Entry, origin| take_entry(context, entry, origin, fleet);
    let cache = Cache::of(system).filter(|cache| cache.distrust().is_none());
    if let Some(entry) =
        cache.as_ref().and_then(|cache| registry::find_stored(&system.settings, cache, &request))
    {
        return take_entry(&entry, BuildOrigin::Cache);
    }
    let Some(offer) = registry::find(system, context.sink, &request)? else { return Ok(None) };
    // The offered build may be in the local cache, although it was not found there without its fingerprint.
    let cached = cache.as_ref().and_then(|cache| cache.find(&offer.record.fingerprint).ok().flatten());
    if let Some(entry) = cached {
        return take_entry(&entry, BuildOrigin::Registry(offer.reference()));
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
    take_entry(&Entry { record: offer.record, dir: dir.path().to_owned() }, origin)
}

/// Takes the modules from an entry. If the entry cannot be used, prints a warning and returns `None`.
fn take_entry(
    context: &Context<'_>,
    entry: &Entry,
    origin: BuildOrigin,
    fleet: Option<&Fleet>,
) -> Result<Option<Obtained>> {
    let warn = |damaged| {
        registry::warn(context.system, context.sink, format!("{}: {damaged}", context.build));
    };
    Ok(cached::take(context, entry, origin, fleet)?.map_err(warn).ok())
}
