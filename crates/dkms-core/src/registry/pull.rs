//! Finds a build in a registry, verifies it, and fetches it.

use super::connection::{Connection, Found};
use super::error::{Failure, FilesFault, OfferFault, Refused};
use super::{describe, keys, mode, portable, program, repository, sources, warn};
use crate::cache::{Cache, Entry, Filter};
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::system::{Settings, System};
use dkms_bundle::layer;
use dkms_bundle::manifest::{self, ManifestError};
use dkms_bundle::record::{File, Record};
use dkms_bundle::signature::PublicKey;
use dkms_conf::framework_conf::Prebuilt;
use dkms_sys::fs::{self, TempDir};
use dkms_tree::ids::Build;
use std::io::{self, Read};
use std::path::Path;

/// The maximum size of the files of a build in bytes.
const LARGEST_BUILD: u64 = 4 << 30;

/// A build to look for.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The build.
    pub build: &'a Build,
    /// The lines of its fingerprint, sorted.
    pub lines: Vec<String>,
}

/// A build that a registry has, verified except for its files.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The record of its files.
    pub record: Record,
    /// The registry that has it.
    pub registry: String,
    /// The digest of its manifest.
    pub digest: String,
    /// The id of the key that has signed it.
    pub key: String,
}

impl Offer {
    /// The reference of the build: `REGISTRY/REPOSITORY@DIGEST`.
    #[must_use]
    pub fn reference(&self) -> String {
        let repository = repository(&self.record.package);
        format!("{}/{repository}@{}", self.registry, self.digest)
    }
}

/// A build that was fetched and verified.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The directory with exactly the files in the record.
    pub dir: TempDir,
    /// The offer that was fetched.
    pub offer: Offer,
}

/// Looks for a build in the registries. `None` if no registry has it, or after a failure, which is reported.
///
/// # Errors
/// An interrupt.
pub fn find(system: &System, sink: &dyn Sink, query: &Query<'_>) -> Result<Option<Offer>> {
    find_in(system, sink, query, sources(&system.settings))
}

fn find_in(system: &System, sink: &dyn Sink, query: &Query<'_>, sources: &[String]) -> Result<Option<Offer>> {
    if mode(&system.settings) == Prebuilt::Off || sources.is_empty() {
        return Ok(None);
    }
    with_connection(system, sink, |connection| look_up(system, sink, connection, query, sources))
}

/// The registries after this one.
fn sources_after<'a>(sources: &'a [String], registry: &str) -> &'a [String] {
    let last = sources.iter().rposition(|source| source == registry);
    last.and_then(|last| sources.get(last + 1..)).unwrap_or_default()
}

/// Finds an entry of the local cache that was fetched from a registry earlier and that a machine without
/// tools may use.
pub(crate) fn find_stored(settings: &Settings, cache: &Cache, query: &Query<'_>) -> Option<Entry> {
    if mode(settings) != Prebuilt::Only {
        return None;
    }
    let package = &query.build.package;
    let filter = Filter {
        package: Some(package.name.clone()),
        version: Some(package.version.clone()),
        kernels: vec![query.build.kernel.release.to_string()],
    };
    let tag = portable::tag(&package.name, &package.version, &query.lines);
    let fits = |record: &Record| {
        portable::tag(&record.package, &record.version, &record.lines) == tag
            && portable::difference(&query.lines, &record.lines).is_none()
    };
    let entries = cache.entries(&filter).ok()?;
    let records = entries.into_iter().filter_map(|entry| entry.record.ok());
    records.filter(fits).find_map(|record| cache.find(&record.fingerprint).ok().flatten())
}

/// Fetches the build of an offer. If that fails, fetches the same build from the next registry that has it.
///
/// # Errors
/// An interrupt.
pub(crate) fn fetch(
    system: &System,
    sink: &dyn Sink,
    build: &Build,
    offer: Offer,
) -> Result<Option<Fetched>> {
    let mut offered = Some(offer);
    while let Some(offer) = offered {
        let fetched = with_connection(system, sink, |connection| {
            let dir = TempDir::new_in(&system.settings.tmp_location, "dkms-pulled")?;
            fetch_to(connection, &offer, dir.path())?;
            Ok(Some(dir))
        })?;
        if let Some(dir) = fetched {
            return Ok(Some(Fetched { dir, offer }));
        }
        let rest = sources_after(sources(&system.settings), &offer.registry);
        offered = find_in(system, sink, &Query { build, lines: offer.record.lines }, rest)?;
    }
    Ok(None)
}

/// Runs `run` with the connection to the program. A failure is reported and returned as `None`.
///
/// # Errors
/// An interrupt.
fn with_connection<T>(
    system: &System,
    sink: &dyn Sink,
    run: impl FnOnce(&Connection) -> std::result::Result<Option<T>, Failure>,
) -> Result<Option<T>> {
    let result = program::connect(system).and_then(|connection| {
        let result = run(connection);
        for warning in connection.take_warnings() {
            warn(system, sink, format!("the registry is not used: {warning}"));
        }
        result
    });
    match result {
        Err(Failure::Interrupted(signal)) => Err(Error::Interrupted(signal)),
        Err(failure) => {
            warn(system, sink, describe(&failure));
            Ok(None)
        }
        Ok(found) => Ok(found),
    }
}

fn look_up(
    system: &System,
    sink: &dyn Sink,
    connection: &Connection,
    query: &Query<'_>,
    sources: &[String],
) -> std::result::Result<Option<Offer>, Failure> {
    let package = &query.build.package;
    let repository = repository(&package.name);
    let fingerprint = dkms_bundle::record::fingerprint(&query.lines);
    let exact = manifest::tag(&fingerprint);
    let found = first_accepted(system, sink, connection, sources, (&repository, &exact), |found| {
        let accepted =
            manifest::accept(found.manifest.as_bytes(), &fingerprint, &keys::trusted_keys(system, sink));
        check_offer(sink, query.build, found, accepted, None)
    })?;
    if found.is_some() || mode(&system.settings) != Prebuilt::Only {
        return Ok(found);
    }
    let tag = portable::tag(&package.name, &package.version, &query.lines);
    first_accepted(system, sink, connection, sources, (&repository, &tag), |found| {
        let accepted = accept_portable(found.manifest.as_bytes(), &tag, &keys::trusted_keys(system, sink));
        check_offer(sink, query.build, found, accepted, Some(&query.lines))
    })
}

/// Returns the first build under a tag that `check` accepts. If it refuses the build of one registry, the
/// next registry is tried, because the first may be a mirror to which others can write.
fn first_accepted(
    system: &System,
    sink: &dyn Sink,
    connection: &Connection,
    mut sources: &[String],
    (repository, tag): (&str, &str),
    check: impl Fn(&Found) -> std::result::Result<Option<Offer>, Failure>,
) -> std::result::Result<Option<Offer>, Failure> {
    while let Some(found) = connection.lookup(sources, repository, tag)? {
        sources = sources_after(sources, &found.source);
        match check(&found) {
            Ok(Some(offer)) => return Ok(Some(offer)),
            Err(failure @ Failure::Refused(_)) if !sources.is_empty() => {
                warn(system, sink, describe(&failure));
            }
            Ok(None) if !sources.is_empty() => {}
            last => return last,
        }
    }
    Ok(None)
}

/// Like [`manifest::accept`], for the tag of the inputs that a machine without tools can determine.
fn accept_portable(
    json: &[u8],
    tag: &str,
    trusted: &[PublicKey],
) -> std::result::Result<(Record, dkms_bundle::signature::KeyId), ManifestError> {
    let (record, key) = manifest::accept_any(json, trusted)?;
    let found = portable::tag(&record.package, &record.version, &record.lines);
    if found == tag {
        return Ok((record, key));
    }
    Err(ManifestError::Fingerprint { found, wanted: tag.to_owned() })
}

type Accepted = std::result::Result<(Record, dkms_bundle::signature::KeyId), ManifestError>;

/// Checks that a manifest describes this build. `ours` are the lines of this machine, if they may differ from
/// those of the record: it returns `None` if the build is for other headers.
fn check_offer(
    sink: &dyn Sink,
    build: &Build,
    found: &Found,
    accepted: Accepted,
    ours: Option<&[String]>,
) -> std::result::Result<Option<Offer>, Failure> {
    let accepted = accepted.map_err(OfferFault::from);
    let checked = accepted.and_then(|accepted| mismatch(&accepted.0, build).map_or(Ok(accepted), Err));
    let (record, key) = checked.map_err(|cause| Refused::Offer {
        registry: found.source.clone(),
        build: build.clone(),
        cause,
    })?;
    if let Some(line) = ours.and_then(|ours| portable::difference(ours, &record.lines)) {
        // This is not an error of the registry: it has the build for another revision of this kernel.
        let text = format!("{build}: the build in {} is for other headers: here, {line}", found.source);
        sink.event(crate::event::Event::Detail { text });
        return Ok(None);
    }
    Ok(Some(Offer {
        record,
        registry: found.source.clone(),
        digest: found.digest.clone(),
        key: key.to_string(),
    }))
}

/// Returns the reason why a record does not describe this build; `None` if it does.
fn mismatch(record: &Record, build: &Build) -> Option<OfferFault> {
    let pairs = [
        ("package", &record.package, build.package.name.as_str()),
        ("version", &record.version, &build.package.version),
        ("kernel", &record.kernel, &build.kernel.release),
        ("architecture", &record.arch, &build.kernel.arch),
    ];
    let (what, found, _) = pairs.into_iter().find(|(_, found, wanted)| found != wanted)?;
    Some(OfferFault::OtherBuild { what, found: found.clone() })
}

/// Fetches the archive of an offer and unpacks it to `dir`.
fn fetch_to(connection: &Connection, offer: &Offer, dir: &Path) -> std::result::Result<(), Failure> {
    let record = &offer.record;
    let refused = |cause: FilesFault| {
        let (registry, package) = (offer.registry.clone(), record.package.clone());
        Failure::from(Refused::Files { registry, package, cause })
    };
    let layer = record.layer.as_ref().ok_or_else(|| refused(FilesFault::NoArchive))?;
    if layer.size > program::LARGEST || record.total_size() > LARGEST_BUILD {
        return Err(refused(FilesFault::TooLarge(record.total_size())));
    }
    let repository = repository(&record.package);
    let archive = connection.fetch(&offer.registry, &repository, &layer.digest, layer.size);
    let archive = archive.map_err(|failure| match failure {
        Failure::Reported(reason) => refused(FilesFault::Reported(reason)),
        failure => failure,
    })?;
    layer::unpack(record, archive, |file, contents| write_file(dir, file, contents))
        .map_err(|e| refused(e.into()))
}

/// Writes one file of a build below `dir`.
fn write_file(dir: &Path, file: &File, contents: &mut dyn Read) -> io::Result<()> {
    let path = dir.join(&file.path);
    let error = |e: dkms_sys::IoError| io::Error::other(e.to_string());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(error)?;
    }
    let mut out = fs::create_truncated(&path).map_err(error)?;
    io::copy(contents, &mut out)?;
    fs::set_mode(&path, if file.executable { 0o755 } else { 0o644 }).map_err(error)
}
