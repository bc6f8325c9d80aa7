//! What is known about the key and this machine's trust in it.

use super::certificate::Certified;
use super::step::Next;
use crate::trust::machine::{Lockdown, Policy, SecureBoot, Seen};
use crate::trust::signing::KeyPair;
use dkms_tree::ids::Kernel;
use std::os::unix::fs::PermissionsExt;

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
    pub(super) fn look(pair: &KeyPair) -> Self {
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
