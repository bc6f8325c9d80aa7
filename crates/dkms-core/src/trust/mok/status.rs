//! Reads the status of the key pair and of this machine's trust in it.

use super::certificate::{Certified, digest_module};
use super::facts::{KeyFile, Status};
use super::kernels::demanding;
use super::next;
use super::step::{Next, Step};
use crate::conf::framework;
use crate::error::Result;
use crate::event::Sink;
use crate::kernel::headers;
use crate::system::System;
use crate::trust::machine::{Enforce, Machine, SecureBoot, policy};
use crate::trust::signing::{self, KeyPair};
use dkms_tree::ids::Kernel;
use std::path::Path;

/// Reads the status of the key pair that signs for a kernel, and of this machine.
///
/// # Errors
/// framework.conf is invalid. Everything else that cannot be read is part of the result.
pub fn status(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Status> {
    let machine = Machine::of(&system.host);
    of_machine(system, sink, kernel, &machine)
}

/// The pair that signs for a kernel.
pub(super) fn pair_for(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<KeyPair> {
    let framework = framework::load(system, sink, Some(&kernel.release))?;
    signing::key_pair(system, &framework, headers::find(system, kernel).ok().as_ref())
}

pub(super) fn of_machine(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    machine: &Machine,
) -> Result<Status> {
    let pair = pair_for(system, sink, kernel)?;
    let config = super::config_of(&system.layout, &system.settings, &kernel.release);
    let running = system.host.runs(&kernel.release);
    let certified = |path: &Path| Certified::inspect(machine, path, config.as_ref());
    let certificate = match pair.certificate.try_exists() {
        Ok(false) => Ok(None),
        _ => certified(&pair.certificate).map(Some),
    };
    let staged = pair.staged();
    let mut status = Status {
        kernel: kernel.clone(),
        running,
        root: system.host.root,
        key: KeyFile::inspect(&pair),
        staged: staged.certificate.is_file().then(|| certified(&staged.certificate).ok()).flatten(),
        previous: Some(pair.previous()).filter(|p| p.is_file()).and_then(|p| certified(&p).ok()),
        secure_boot: machine.secure_boot.clone(),
        lockdown: machine.lockdown.clone(),
        sig_enforce: machine.sig_enforce.clone(),
        policy: policy(machine, config.as_ref().map(|c| c.text()), running),
        demanding: Vec::new(),
        digest_module: config.as_ref().and_then(digest_module),
        unreadable: Vec::new(),
        next: Next { step: Step::Nothing, text: String::new() },
        certificate,
        pair,
    };
    if status.staged.is_some() {
        status.demanding = demanding(system, machine);
    }
    status.unreadable = unreadable(&status, machine);
    status.next = next::next_step(&status);
    Ok(status)
}

/// Deletes the certificate of the previous pair if the current pair is trusted and the previous one no longer
/// is.
///
/// # Errors
/// The file cannot be deleted.
pub(super) fn forget_previous(status: &mut Status) -> Result<()> {
    let Ok(Some(current)) = &status.certificate else { return Ok(()) };
    let Some(old) = &status.previous else { return Ok(()) };
    if current.enrolment.is_trusted() && old.enrolment.is_known_untrusted() {
        dkms_sys::fs::remove_file(&old.path)?;
        status.previous = None;
    }
    Ok(())
}

fn unreadable(status: &Status, machine: &Machine) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    if let SecureBoot::Unknown(why) = &status.secure_boot {
        all.push(why.clone());
    }
    if let Ok(Some(certified)) = &status.certificate {
        all.extend(certified.enrolment.unreadable().map(str::to_owned));
    }
    if status.policy.enforce == Enforce::Unknown {
        all.extend(status.sig_enforce.as_ref().err().cloned());
        all.extend(status.lockdown.as_ref().err().cloned());
    }
    all.extend(machine.keyrings().unreadable().map(str::to_owned));
    if let KeyFile::Unknown(why) = &status.key {
        all.push(why.clone());
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|why| seen.insert(why.clone()));
    all
}
