//! The trust state of this machine: Secure Boot and its variables, the running kernel's keyrings, and whether
//! that kernel requires signatures.
//!
//! All files are read below a given root, which is `/` except in tests. If a file cannot be read, the value
//! is unknown, with the reason, and never treated as absent. This module changes nothing.

pub mod efi;
mod fact;
pub mod keyrings;
mod lockdown;
pub mod policy;

pub use efi::{SecureBoot, Variable};
pub use fact::Fact;
pub use keyrings::TrustedKeys;
pub use lockdown::Lockdown;
pub use policy::{Enforce, Policy, policy};

use crate::host::Host;
use kmodule::efi_siglist::SignatureLists;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The facts about this machine that decide which modules it trusts.
#[derive(Debug)]
pub struct Machine {
    root: Fact<PathBuf>,
    /// Whether the firmware, and shim after it, check the programs that they start.
    pub secure_boot: SecureBoot,
    /// `module.sig_enforce` of the running kernel; `None` if that kernel does not support module signatures.
    pub sig_enforce: Fact<Option<bool>>,
    /// The running kernel's lockdown.
    pub lockdown: Fact<Lockdown>,
    /// The running kernel's command line.
    pub cmdline: Fact<String>,
    variables: [OnceLock<Fact<SignatureLists>>; Variable::ALL.len()],
    keyrings: OnceLock<TrustedKeys>,
}

impl Machine {
    /// Reads the few small files that are always needed. Lists of certificates and keyrings are read on first
    /// use.
    pub fn inspect(root: &Path) -> Self {
        Self {
            root: Ok(root.to_owned()),
            secure_boot: efi::secure_boot(root),
            sig_enforce: lockdown::sig_enforce(root),
            lockdown: lockdown::lockdown(root),
            cmdline: fact::read_text(&root.join("proc/cmdline")),
            variables: Default::default(),
            keyrings: OnceLock::new(),
        }
    }

    /// The machine of the system that the command works on. Nothing is known about the machine that will
    /// start another root.
    pub fn of(host: &Host) -> Self {
        match &host.other_root {
            None => Self::inspect(Path::new("/")),
            Some(root) => Self::unknown(&format!(
                "the machine that will start the system in {} is not known",
                root.display()
            )),
        }
    }

    fn unknown(why: &str) -> Self {
        Self {
            root: Err(why.to_owned()),
            secure_boot: SecureBoot::Unknown(why.to_owned()),
            sig_enforce: Err(why.to_owned()),
            lockdown: Err(why.to_owned()),
            cmdline: Err(why.to_owned()),
            variables: Default::default(),
            keyrings: OnceLock::new(),
        }
    }

    /// The contents of a list of certificates. A list that the firmware or shim does not have is empty.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn list(&self, variable: Variable) -> Fact<&SignatureLists> {
        let Some(list) = self.variables.get(variable as usize) else { return Err(String::new()) };
        let read = || efi::list(self.root.as_ref().map_err(Clone::clone)?, variable);
        list.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// Certificates that the firmware trusts.
    ///
    /// # Errors
    /// The reason why they cannot be read.
    pub fn db(&self) -> Fact<&SignatureLists> {
        self.list(Variable::Db)
    }

    /// Machine owner keys that are enrolled.
    ///
    /// # Errors
    /// The reason why they cannot be read.
    pub fn mok(&self) -> Fact<&SignatureLists> {
        self.list(Variable::MokListRt)
    }

    /// The running kernel's keyrings.
    pub fn keyrings(&self) -> &TrustedKeys {
        self.keyrings.get_or_init(|| match &self.root {
            Ok(root) => TrustedKeys::read(root),
            Err(why) => TrustedKeys::from_text(Err(why.clone()), |_| Err(why.clone())),
        })
    }

    /// Returns whether shim requests that the kernel trust enrolled keys as machine owner keys
    /// (`MokListTrustedRT`).
    ///
    /// # Errors
    /// The reason why that cannot be determined.
    pub fn mok_list_trusted(&self) -> Fact<bool> {
        efi::mok_list_trusted(self.root.as_ref().map_err(Clone::clone)?)
    }
}

#[cfg(test)]
mod tests;
