//! The facts about the key and this machine's trust in it.

use super::certificate::Certified;
use super::step::Next;
use crate::trust::machine::{Fact, Lockdown, Policy, SecureBoot};
use crate::trust::signing::KeyPair;
use dkms_tree::ids::Kernel;
use std::os::unix::fs::PermissionsExt;

/// The facts about the private key that can be determined without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// A file with this mode.
    There(u32),
    /// In a token.
    Token,
    /// It does not exist.
    Missing,
    /// It cannot be examined.
    Unknown(String),
}

impl KeyFile {
    pub(super) fn inspect(pair: &KeyPair) -> Self {
        if pair.is_token() {
            return Self::Token;
        }
        match dkms_sys::fs::metadata(&pair.key) {
            Ok(meta) => Self::There(meta.permissions().mode() & 0o7777),
            Err(e) if e.is_not_found() => Self::Missing,
            Err(e) => Self::Unknown(e.to_string()),
        }
    }

    /// Returns whether users other than its owner can read it.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Self::There(mode) if mode & 0o077 != 0)
    }
}

/// Everything about the key and this machine's trust in it.
#[derive(Debug)]
pub struct Status {
    /// The kernel in question.
    pub kernel: Kernel,
    /// Whether it is the running kernel.
    pub running: bool,
    /// Whether the facts were read with root's privileges.
    pub root: bool,
    /// The paths of the key and the certificate.
    pub pair: KeyPair,
    /// The key.
    pub key: KeyFile,
    /// The certificate; `None` if it does not exist; or the reason why it cannot be used.
    pub certificate: Fact<Option<Certified>>,
    /// The certificate of a new pair that is not in use yet.
    pub staged: Option<Certified>,
    /// The certificate of the previous pair.
    pub previous: Option<Certified>,
    /// Secure Boot.
    pub secure_boot: SecureBoot,
    /// The running kernel's lockdown.
    pub lockdown: Fact<Lockdown>,
    /// The running kernel's `module.sig_enforce`; `None` if it has no such parameter.
    pub sig_enforce: Fact<Option<bool>>,
    /// Whether the kernel requires signatures.
    pub policy: Policy,
    /// Kernels here that require signatures or may require them. Only filled if a new pair waits.
    pub demanding: Vec<Kernel>,
    /// The digest that modules are signed with, if that kernel has it as a module.
    pub digest_module: Option<String>,
    /// Paths that could not be read, and the reasons.
    pub unreadable: Vec<String>,
    /// The next step.
    pub next: Next,
}
