//! Publishes builds.

use super::connection::{Connection, Publication, Pushed};
use super::error::{CacheFault, Failure, RegistryError};
use super::fleet::{self, SignedBuild};
use super::keys::{self, PushKey};
use super::{portable, program, repository};
use crate::cache::{Cache, Entry};
use crate::cause::Cause;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::system::System;
use crate::trust::signing;
use dkms_bundle::digest::digest;
use dkms_bundle::layer;
use dkms_bundle::manifest::{self, Manifest};
use dkms_bundle::record::Record;
use dkms_tree::ids::Build;
use std::io;

/// The result of publishing a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The build.
    pub build: Build,
    /// Its name in the registry: `REGISTRY/REPOSITORY:TAG`.
    pub reference: String,
    /// Whether the registry received the build or already had it.
    pub result: Pushed,
    /// The signer of its modules; `None` if they are not signed.
    pub signer: Option<String>,
}

/// Publishes builds in a registry. Everything is checked before anything is sent.
///
/// # Errors
/// Each variant of [`RegistryError`] about pushing; an interrupt.
pub fn push(system: &System, sink: &dyn Sink, builds: &[Build], registry: &str) -> Result<Vec<Published>> {
    signing::ask::ask_before_publishing(system, sink, builds.iter().map(|build| &build.kernel));
    let keys = keys::push_keys(system)?;
    let mut packages = Vec::new();
    for build in builds {
        let entry = entry(system, build)?;
        let signed = fleet::sign(system, sink, build, &entry)?;
        packages.push((build, None, Package::new(build, entry, &keys)?));
        if let Some(SignedBuild { entry, signer, .. }) = &signed {
            packages.push((build, Some(signer.clone()), Package::new(build, entry.clone(), &keys)?));
        }
    }
    let failed = |failure| match failure {
        Failure::Interrupted(signal) => Error::Interrupted(signal),
        failure => RegistryError::Failed { registry: registry.to_owned(), failure }.into(),
    };
    let connection = program::connect(system).map_err(failed)?;
    let mut published = Vec::new();
    for (build, signer, package) in packages {
        let result = package.send(connection, registry);
        let warnings = connection.take_warnings();
        let result = result.map_err(|failure| failed(explain(failure, &warnings, registry)))?;
        for warning in warnings {
            super::warn(system, sink, warning);
        }
        let reference = format!("{registry}/{}:{}", repository(&build.package.name), package.tag);
        published.push(Published { build: build.clone(), reference, result, signer });
    }
    Ok(published)
}

/// Replaces the failure of a request by the warning of an earlier lookup, which contains the original reason.
fn explain(failure: Failure, warnings: &[String], registry: &str) -> Failure {
    let reason = warnings.iter().find_map(|warning| warning.strip_prefix(registry)?.strip_prefix(": "));
    match (failure, reason) {
        (Failure::Reported(_), Some(reason)) => Failure::Reported(reason.to_owned()),
        (failure, _) => failure,
    }
}

/// Finds the cache entry of a build in the tree.
fn entry(system: &System, build: &Build) -> Result<Entry> {
    if !system.layout.module_dir(build).is_dir() {
        return Err(RegistryError::NotBuilt(build.clone()).into());
    }
    let missing = |fault: CacheFault| Error::from(RegistryError::NotInCache { build: build.clone(), fault });
    let manifest = dkms_tree::manifest::Manifest::load(&system.layout, build);
    let manifest = manifest.ok_or_else(|| missing(CacheFault::OlderDkms))?;
    let unconfined = |parts: &[String]| {
        let (build, what) = (build.clone(), parts.join("; "));
        Error::from(RegistryError::Unconfined { build, what })
    };
    if !manifest.unconfined.is_empty() {
        return Err(unconfined(&manifest.unconfined));
    }
    let entry = Cache::to_inspect(system).lookup(&manifest.fingerprint);
    let entry = entry.map_err(|damaged| missing(damaged.into()))?;
    let entry = entry.ok_or_else(|| missing(CacheFault::NoEntry(manifest.fingerprint)))?;
    if entry.record.unconfined.is_empty() { Ok(entry) } else { Err(unconfined(&entry.record.unconfined)) }
}

/// The data that are sent for one build.
struct Package {
    repository: String,
    tag: String,
    /// The second tag, for machines without a compiler or headers.
    portable: String,
    record: Vec<u8>,
    fingerprint: String,
    layer: (String, Vec<u8>),
    manifest: String,
}

impl Package {
    fn new(build: &Build, entry: Entry, keys: &[PushKey]) -> Result<Self> {
        let unusable = |cause: Cause| Error::from(RegistryError::BadRecord { build: build.clone(), cause });
        let mut archive = Vec::new();
        let open = |file: &dkms_bundle::record::File| {
            entry.read(file).map(io::Cursor::new).map_err(|damaged| io::Error::other(damaged.to_string()))
        };
        let layer = layer::write(&entry.record.files, open, &mut archive).map_err(|e| unusable(e.into()))?;
        let record = Record { layer: Some(layer.clone()), ..entry.record };
        let json = record.to_json().map_err(|e| unusable(e.into()))?;
        let sign = |key: &PushKey| key.sign(&json).map_err(|e| unusable(e.into()));
        let annotations = keys.iter().map(sign).collect::<Result<_>>()?;
        let manifest = Manifest::new(json.clone(), annotations).and_then(|manifest| manifest.to_json());
        let manifest = manifest.map_err(|e| unusable(e.into()))?;
        Ok(Self {
            repository: repository(&record.package),
            tag: manifest::tag(&record.fingerprint),
            portable: portable::tag(&record.package, &record.version, &record.lines),
            fingerprint: record.fingerprint,
            record: json,
            layer: (layer.digest, archive),
            manifest: String::from_utf8(manifest).map_err(|e| unusable(e.into()))?,
        })
    }

    /// Sends the build. If the registry already has a build with this fingerprint, that one stays. The second
    /// tag always refers to the newest build.
    fn send(&self, connection: &Connection, registry: &str) -> std::result::Result<Pushed, Failure> {
        let config = digest(&self.record);
        let blobs: [(&str, &[u8]); 2] = [(&self.layer.0, &self.layer.1), (&config, &self.record)];
        let push = |tag: &str, replace| {
            let (repository, manifest) = (&self.repository, &self.manifest);
            connection.push(&Publication {
                source: registry,
                repository,
                tag,
                manifest,
                blobs: &blobs,
                replace,
            })
        };
        let lookup = |tag: &str| connection.lookup(&[registry.to_owned()], &self.repository, tag);
        let pushed = if lookup(&self.tag)?.is_some() { Pushed::Exists } else { push(&self.tag, false)? };
        let existing = lookup(&self.portable)?;
        let existing = existing.and_then(|found| Manifest::parse(found.manifest.as_bytes()).ok());
        let existing = existing.and_then(|manifest| Record::parse(&manifest.record).ok());
        if existing.is_none_or(|record| record.fingerprint != self.fingerprint) {
            push(&self.portable, true)?;
        }
        Ok(pushed)
    }
}
