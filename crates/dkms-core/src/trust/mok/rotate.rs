//! Replaces the key: creates a new key, waits for its enrolment, switches to it, and re-signs all modules.
//!
//! The new pair waits next to the current one until every kernel here that requires signatures accepts it.
//! Then everything changes in one transaction: each module of each build, both the built and the installed
//! file, and last the pair itself. After a crash, either everything is old or everything is new.

use super::facts::Status;
use super::kernels::{builds, demanding};
use super::status;
use crate::build::BuildError;
use crate::conf::framework;
use crate::error::{Cause, Error, Result};
use crate::event::{Event, Sink};
use crate::install::resign::Resigner;
use crate::install::{Change, Ending};
use crate::kernel::installed::decompressed;
use crate::lock;
use crate::plan::{self, Operation, Plan};
use crate::request::Overrides;
use crate::system::System;
use crate::trust::machine::Machine;
use crate::trust::signing::{self, KeyPair, RotateFault, SignFault, SigningError, read_certificate};
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::manifest::Signature;
use dkms_tree::state;
use kmodule::Compression;
use kmodule::sign::{self, Certificate, Hash, Key};
use std::path::{Path, PathBuf};

/// The outcome of a rotation.
#[derive(Debug)]
pub enum Rotated {
    /// The new pair waits: these kernels require signatures, and this machine does not trust the new key yet.
    Waits(Vec<Kernel>),
    /// The new pair is in use, and these files were re-signed.
    Taken(Taken),
}

/// The modules that were re-signed.
#[derive(Debug, Default)]
pub struct Taken {
    /// The number of built or installed modules that have a new signature.
    pub files: usize,
    /// Files that were left unchanged, and why.
    pub left: Vec<(PathBuf, String)>,
    /// Kernels whose installed modules changed.
    pub changed: Vec<Kernel>,
}

/// Plans `dkms mok rotate`: creates a new pair if none is waiting, and switches to it if every kernel that
/// requires signatures accepts it, or in any case with `--force`.
///
/// # Errors
/// The pair cannot be replaced here, or the new pair is forbidden.
pub fn plan_rotation(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    overrides: Overrides,
) -> Result<Plan> {
    let machine = Machine::of(&system.host);
    let pair = status::pair_for(system, sink, kernel)?;
    require_replaceable(&pair)?;
    let staged = pair.staged();
    let is_created = Path::new(&staged.key).is_file() && staged.certificate.is_file();
    let now = status::of_machine(system, sink, kernel, &machine)?;
    refuse_forbidden(&now, &staged)?;
    let waits_for =
        if is_trusted(&now) || overrides.force { Vec::new() } else { demanding(system, &machine) };
    let builds = if waits_for.is_empty() { builds_with_pair(system, sink, &pair)? } else { Vec::new() };
    let new_pair = (!is_created).then_some((staged.key, staged.certificate));
    // post_transaction runs once, for the first kernel whose modules change.
    let installed = builds.iter().find(|build| state::is_active(&system.layout, build));
    let post_transaction = installed.and_then(|build| plan::post_transaction(system, sink, &build.kernel));
    Ok(plan::keys::rotation(new_pair, &waits_for, &builds, post_transaction).overriding(overrides))
}

/// Executes that plan.
///
/// # Errors
/// As [`plan_rotation`], or something could not be signed; then everything is rolled back.
pub fn rotate(system: &System, sink: &dyn Sink, kernel: &Kernel, plan: &Plan) -> Result<(Rotated, Status)> {
    let machine = Machine::of(&system.host);
    let pair = status::pair_for(system, sink, kernel)?;
    let staged = pair.staged();
    if plan.operations().any(|operation| matches!(operation, Operation::MakeKey { .. })) {
        signing::ensure_staged(system, sink, &pair)?;
    }
    let before = status::of_machine(system, sink, kernel, &machine)?;
    refuse_forbidden(&before, &staged)?;
    let waits_for: Vec<Kernel> = plan
        .operations()
        .filter_map(|operation| match operation {
            Operation::KeepKey(kernel) => Some(kernel.clone()),
            _ => None,
        })
        .collect();
    if !waits_for.is_empty() {
        return Ok((Rotated::Waits(waits_for), before));
    }
    if plan.overrides.force && !is_trusted(&before) && !demanding(system, &machine).is_empty() {
        sink.warn(
            "the new key is used although this machine does not trust it yet (--force): until it is enrolled, \
             kernels that require signatures load no module signed with it",
        );
    }
    let taken = switch_to(system, sink, kernel, &pair, &staged)?;
    let mut after = status::of_machine(system, sink, kernel, &machine)?;
    status::forget_previous(&mut after)?;
    Ok((Rotated::Taken(taken), after))
}

fn is_trusted(status: &Status) -> bool {
    status.staged.as_ref().is_some_and(|c| c.enrolment.is_trusted())
}

fn refuse_forbidden(status: &Status, staged: &KeyPair) -> Result<()> {
    match status.staged.as_ref().and_then(|c| c.enrolment.forbidden.clone().ok().flatten()) {
        Some(list) => Err(refuse(RotateFault::Forbidden { list, certificate: staged.certificate.clone() })),
        None => Ok(()),
    }
}

fn refuse(fault: RotateFault) -> Error {
    SigningError::KeyKept(fault).into()
}

fn require_replaceable(pair: &KeyPair) -> Result<()> {
    if pair.is_token() {
        return Err(refuse(RotateFault::Token(pair.key.clone())));
    }
    for path in [Path::new(&pair.key), &pair.certificate] {
        if !path.is_file() {
            return Err(refuse(RotateFault::Missing(path.to_owned())));
        }
    }
    read_certificate(&pair.certificate)?;
    Ok(())
}

/// The builds whose kernels use this pair. With `$kernelver` in the path, other kernels may use another one.
fn builds_with_pair(system: &System, sink: &dyn Sink, pair: &KeyPair) -> Result<Vec<Build>> {
    let mut found = Vec::new();
    for build in builds(&system.layout) {
        if status::pair_for(system, sink, &build.kernel)? == *pair {
            found.push(build);
        }
    }
    Ok(found)
}

/// Re-signs all modules and replaces the pair in one transaction.
fn switch_to(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    pair: &KeyPair,
    staged: &KeyPair,
) -> Result<Taken> {
    // Takes the build locks, so that nothing is built and signed with the old key meanwhile. Build locks are
    // taken first, then the key's lock, then the kernels' locks. Builds made since the plan was made are
    // re-signed as well.
    let packages = state::all_packages(&system.layout);
    let _building = packages.iter().map(|p| lock::build(system, sink, p)).collect::<Result<Vec<_>>>()?;
    let _key = lock::signing_key(system, sink)?;
    let resigner = Resign {
        system,
        sink,
        old: read_certificate(&pair.certificate)?,
        new: read_certificate(&staged.certificate)?,
        key: Key::parse(&fs::read_bounded(&staged.key, fs::Limit::CONFIG)?)
            .map_err(|cause| refuse(RotateFault::BadNewKey { path: staged.key.clone(), cause }))?,
    };
    if !resigner.new.matches(&resigner.key) {
        let (key, certificate) = (staged.key.clone(), staged.certificate.clone());
        return Err(refuse(RotateFault::NoPair { key, certificate }));
    }
    let builds = builds_with_pair(system, sink, pair)?;
    let mut kernels: Vec<Kernel> = builds.iter().map(|build| build.kernel.clone()).collect();
    // The transaction needs at least one kernel for the pair, even if nothing is built.
    kernels.push(kernel.clone());
    let mut change = Change::begin(system, sink, &kernels, Overrides::default())?;
    let mut taken = Taken::default();
    let mut all = || -> Result<()> {
        for build in &builds {
            if let Some(signal) = dkms_sys::signal::interrupted() {
                return Err(Error::Interrupted(signal));
            }
            let done = change.resign(build, &resigner)?;
            taken.files += done.files.len();
            taken.left.extend(done.skipped);
            if done.installed > 0 && !taken.changed.contains(&build.kernel) {
                taken.changed.push(build.kernel.clone());
            }
            if !done.files.is_empty() {
                change
                    .report_later(&build.kernel, Event::Resigned { build: build.clone(), files: done.files });
            }
        }
        change.replace(exchange(pair, staged, &resigner.old))
    };
    if let Err(e) = all() {
        return Err(change.abandon_because(e));
    }
    change.finish(Ending::Whole)?;
    Ok(taken)
}

/// Replaces the old pair by the new one and keeps the old certificate. Uses only renames, so that a rollback
/// loses nothing.
fn exchange(pair: &KeyPair, staged: &KeyPair, old: &Certificate) -> Vec<Op> {
    let (key, previous) = (PathBuf::from(&pair.key), pair.previous());
    let mut ops = Vec::new();
    if fs::exists(&previous) {
        ops.push(Op::Remove { saved: aside(&previous, "old"), path: previous.clone() });
    }
    if pair.is_one_file() {
        let text = String::from_utf8_lossy(&kmodule::mok::to_pem(old.der())).into_owned();
        ops.push(Op::Text { path: previous, text: text.into() });
    } else {
        ops.push(Op::Move { from: pair.certificate.clone(), to: previous });
        ops.push(Op::Move { from: staged.certificate.clone(), to: pair.certificate.clone() });
    }
    ops.push(Op::Remove { saved: aside(&key, "old"), path: key.clone() });
    ops.push(Op::Move { from: PathBuf::from(&staged.key), to: key });
    ops
}

/// Replaces signatures of the old key by those of the new one.
struct Resign<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    old: Certificate,
    new: Certificate,
    key: Key,
}

impl Resign<'_> {
    fn plain(file: &Path) -> Result<(Option<Compression>, Vec<u8>)> {
        let bytes = fs::read(file)?;
        let plain = decompressed(&bytes)
            .map_err(|e| BuildError::BadModule { path: file.to_owned(), cause: e.into() })?;
        Ok((Compression::detect_module(&bytes), plain))
    }
}

impl Resigner for Resign<'_> {
    fn reason_to_skip(&self, file: &Path) -> Result<Option<String>> {
        let (_, plain) = match Self::plain(file) {
            Err(Error::Build(BuildError::BadModule { cause, .. })) => return Ok(Some(cause.to_string())),
            other => other?,
        };
        Ok(match sign::verify(&plain, &self.old) {
            // If the signature algorithm of a key is not supported here, only the signer's name is compared.
            Ok(()) | Err(sign::VerifyError::UnsupportedKeyType) => None,
            Err(e) => Some(e.to_string()),
        })
    }

    fn sign(&self, build: &Build, file: &Path) -> Result<(Vec<u8>, Signature)> {
        let (format, plain) = Self::plain(file)?;
        let hash = sign::signature(&plain).and_then(|signature| signature.hash).unwrap_or(Hash::Sha256);
        let failed = |cause: Cause| SigningError::SignFailed {
            path: file.to_owned(),
            fault: SignFault::NotResigned(cause),
        };
        let framework = framework::load(self.system, self.sink, Some(&build.kernel.release))?;
        // A second signer stays a second signer.
        let second = signing::second_signer(&self.system.settings, &framework)?;
        let first = std::iter::once((&self.key, &self.new));
        let pairs: Vec<_> =
            first.chain(second.as_ref().map(|(key, certificate)| (key, certificate))).collect();
        let (signed, signers) = signing::sign_with(&plain, &pairs, hash).map_err(|e| failed(e.into()))?;
        let packed =
            crate::build::sign::compress(format, &framework, &signed).map_err(|e| failed(e.into()))?;
        Ok((packed, signers))
    }
}
