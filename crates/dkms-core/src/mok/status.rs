//! Looking.

use super::certificate::{Certified, digest_module};
use super::next::{self, Next};
use crate::conf::framework;
use crate::error::Result;
use crate::ids::Kernel;
use crate::kernel::headers;
use crate::machine::{Enforce, Lockdown, Machine, Policy, SecureBoot, Seen, policy};
use crate::session::Session;
use crate::signing::{self, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What can be seen of the private key. It is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// A file, and the mode it has.
    There(u32),
    /// In a token.
    Token,
    /// Nothing.
    Missing,
    /// It cannot be looked at.
    Unknown(String),
}

impl KeyFile {
    fn look(pair: &KeyPair) -> Self {
        if pair.is_token() {
            return Self::Token;
        }
        match std::fs::metadata(&pair.key) {
            Ok(meta) => Self::There(meta.permissions().mode() & 0o7777),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Self::Missing,
            Err(e) => Self::Unknown(dkms_sys::IoError::new("look at", &pair.key, e).to_string()),
        }
    }

    /// Others than its owner can read it.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Self::There(mode) if mode & 0o077 != 0)
    }
}

/// Everything about the key and this machine's trust in it.
#[derive(Debug)]
pub struct Status {
    /// The kernel that is looked at.
    pub kernel: Kernel,
    /// It is the one that runs.
    pub running: bool,
    /// Somebody looked who may read everything.
    pub root: bool,
    /// Where key and certificate are.
    pub pair: KeyPair,
    /// The key.
    pub key: KeyFile,
    /// The certificate; `None`: there is none; or why it cannot be used.
    pub certificate: Seen<Option<Certified>>,
    /// The certificate of a new pair that waits to be taken.
    pub staged: Option<Certified>,
    /// The certificate of the pair before this one.
    pub previous: Option<Certified>,
    /// Secure Boot.
    pub secure_boot: SecureBoot,
    /// The running kernel's lockdown.
    pub lockdown: Seen<Lockdown>,
    /// The running kernel's `module.sig_enforce`; `None`: it has no such thing.
    pub sig_enforce: Seen<Option<bool>>,
    /// Whether the kernel insists on signatures.
    pub policy: Policy,
    /// Kernels here that insist on signatures, or may do so, as far as that matters for a new pair that waits.
    pub demanding: Vec<Kernel>,
    /// The digest modules are signed with, when its code is a module of that kernel.
    pub digest_module: Option<String>,
    /// What could not be read, and why.
    pub unreadable: Vec<String>,
    /// What to do.
    pub next: Next,
}

/// Looks at the key pair that signs for a kernel, and at this machine.
///
/// # Errors
/// A framework.conf that cannot be used. Everything else that cannot be read is part of the answer.
pub fn status(s: &Session<'_>, kernel: &Kernel) -> Result<Status> {
    let machine = Machine::of(s.host);
    of_machine(s, kernel, &machine)
}

/// The pair that signs for a kernel.
pub(super) fn pair_for(s: &Session<'_>, kernel: &Kernel) -> Result<KeyPair> {
    let framework = framework::load(s, Some(&kernel.release))?;
    signing::key_pair(s, &framework, headers::find(s, kernel).ok().as_ref())
}

pub(super) fn of_machine(s: &Session<'_>, kernel: &Kernel, machine: &Machine) -> Result<Status> {
    let pair = pair_for(s, kernel)?;
    let config = super::config_of(s, &kernel.release);
    let running = s.runs(&kernel.release);
    let look = |path: &Path| Certified::look(machine, path, config.as_ref());
    let certificate = match pair.certificate.try_exists() {
        Ok(false) => Ok(None),
        _ => look(&pair.certificate).map(Some),
    };
    let staged = pair.staged();
    let mut status = Status {
        kernel: kernel.clone(),
        running,
        root: s.host.root,
        key: KeyFile::look(&pair),
        staged: staged.certificate.is_file().then(|| look(&staged.certificate).ok()).flatten(),
        previous: Some(pair.previous()).filter(|p| p.is_file()).and_then(|p| look(&p).ok()),
        secure_boot: machine.secure_boot.clone(),
        lockdown: machine.lockdown.clone(),
        sig_enforce: machine.sig_enforce.clone(),
        policy: policy(machine, config.as_ref().map(|c| c.text()), running),
        demanding: Vec::new(),
        digest_module: config.as_ref().and_then(digest_module),
        unreadable: Vec::new(),
        next: Next { step: next::Step::Nothing, text: String::new() },
        certificate,
        pair,
    };
    if status.staged.is_some() {
        status.demanding = super::rotate::demanding(s, machine);
    }
    status.unreadable = unreadable(&status, machine);
    status.next = next::of(&status);
    Ok(status)
}

/// Deletes the certificate of the pair before this one when this one is trusted and that one is not any more.
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
