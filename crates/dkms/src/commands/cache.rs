//! `cache`: shows or clears the cache of builds, or explains why a build is not in it.

use super::call::Call;
use crate::render::cache as render;
use crate::request;
use dkms_core::build::{local_entry, preview};
use dkms_core::cache::{Cache, Filter};
use dkms_core::conf::load;
use dkms_core::error::Result;
use dkms_core::ids::Build;
use dkms_core::request::UsageError;

/// `dkms cache [show | size | clear | why] [M[/V]] [-k K]`; without a word, `show`.
pub(super) fn cache(call: &Call<'_>) -> Result<()> {
    match call.arguments.words.first().map(String::as_str) {
        Some("why") => why(call),
        Some("clear") => clear(call),
        Some("size") => size(call),
        _ => show(call),
    }
}

fn filter(call: &Call<'_>) -> Filter {
    let subject = call.subject;
    Filter {
        package: subject.name.clone(),
        version: subject.version.clone(),
        kernels: call.words.releases.clone(),
    }
}

fn show(call: &Call<'_>) -> Result<()> {
    let cache = Cache::to_inspect(call.system);
    let contents = cache.contents(&filter(call))?;
    call.print(|| render::show_json(&cache, &contents), || render::show(&cache, &contents));
    Ok(())
}

fn size(call: &Call<'_>) -> Result<()> {
    let cache = Cache::to_inspect(call.system);
    let contents = cache.contents(&filter(call))?;
    call.print(|| render::size_json(&cache, &contents), || render::size(&cache, &contents));
    Ok(())
}

fn clear(call: &Call<'_>) -> Result<()> {
    let cache = Cache::to_inspect(call.system);
    let filter = filter(call);
    let contents = if call.arguments.dry_run {
        cache.contents(&filter)?
    } else {
        call.require_root()?;
        cache.clear(&filter)?
    };
    let done = !call.arguments.dry_run;
    call.print(|| render::cleared_json(&contents), || render::cleared(&contents, done));
    Ok(())
}

fn why(call: &Call<'_>) -> Result<()> {
    let package = call.subject.package("cache why")?;
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    let layout = &call.system.layout;
    if !layout.conf(&package).exists() {
        return Err(UsageError::NotAdded(package).into());
    }
    let conf = call.arguments.conf.clone().unwrap_or_else(|| layout.conf(&package));
    let loaded = load::load_file(call.system, call.sink, &conf, Some(&package), &kernel)?.strict()?;
    let build = Build::new(&package, &kernel);
    let preview = preview::preview(call.system, call.sink, &build, &loaded, &layout.source_link(&package))?;
    let cache = Cache::to_inspect(call.system);
    let (name, lines) = local_entry(call.system, &preview.lines);
    let entry = cache.lookup(&name);
    let nearest = cache.nearest(&package.name, &lines)?;
    let off = if cache.limit() == 0 {
        Some("cache_size is 0 in framework.conf")
    } else if loaded.conf.no_cache {
        Some("CACHE is set to no for this package")
    } else {
        None
    };
    let answer = render::Why { build: &build, fingerprint: &preview.fingerprint, off, entry, nearest };
    call.print(|| answer.json(), || answer.text());
    Ok(())
}
