//! What this machine says about whom it trusts: Secure Boot and its variables, the running kernel's keyrings, and
//! whether it insists on signatures.
//!
//! Everything is read below a given root, `/` outside tests. What cannot be read is unknown, with the reason, and never
//! taken for absent. Nothing here changes anything.

pub mod efi;
pub mod keyrings;
mod lockdown;
pub mod policy;
mod seen;

pub use efi::{SecureBoot, Variable};
pub use keyrings::TrustedKeys;
pub use lockdown::Lockdown;
pub use policy::{Enforce, Policy, policy};
pub use seen::Seen;

use crate::session::Host;
use kmodule::efi_siglist::SignatureLists;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The machine, as far as trust in modules is concerned.
#[derive(Debug)]
pub struct Machine {
    root: Seen<PathBuf>,
    /// Whether the firmware, or shim after it, checks what it starts.
    pub secure_boot: SecureBoot,
    /// `module.sig_enforce` of the running kernel; `None` when that kernel knows no module signatures.
    pub sig_enforce: Seen<Option<bool>>,
    /// The running kernel's lockdown.
    pub lockdown: Seen<Lockdown>,
    /// The running kernel's command line.
    pub cmdline: Seen<String>,
    variables: [OnceLock<Seen<SignatureLists>>; Variable::ALL.len()],
    keyrings: OnceLock<TrustedKeys>,
}

impl Machine {
    /// Looks at the few small files that are always wanted. Lists of certificates and keyrings are read when asked for.
    pub fn look(root: &Path) -> Self {
        Self {
            root: Ok(root.to_owned()),
            secure_boot: efi::secure_boot(root),
            sig_enforce: lockdown::sig_enforce(root),
            lockdown: lockdown::lockdown(root),
            cmdline: seen::text(&root.join("proc/cmdline")),
            variables: Default::default(),
            keyrings: OnceLock::new(),
        }
    }

    /// The machine that the command works on. Of a machine that will start another root, nothing is known.
    pub fn of(host: &Host) -> Self {
        match &host.other_root {
            None => Self::look(Path::new("/")),
            Some(root) => Self::unseen(&format!(
                "the machine that will start the system in {} is not known",
                root.display()
            )),
        }
    }

    fn unseen(why: &str) -> Self {
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

    /// Whether the machine was started by EFI firmware; `None` when that cannot be told.
    pub fn is_efi(&self) -> Option<bool> {
        match self.secure_boot {
            SecureBoot::NotEfi => Some(false),
            SecureBoot::Unknown(_) => efi::booted(self.root.as_ref().ok()?).ok(),
            _ => Some(true),
        }
    }

    /// What a list of certificates holds; one that the firmware or shim does not have is empty.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn list(&self, variable: Variable) -> Seen<&SignatureLists> {
        let slot = self.variables.get(variable as usize);
        let Some(slot) = slot else { return Err(String::new()) };
        slot.get_or_init(|| efi::list(self.root.as_ref().map_err(Clone::clone)?, variable))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Certificates that the firmware trusts.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn db(&self) -> Seen<&SignatureLists> {
        self.list(Variable::Db)
    }

    /// Machine owner keys that are enrolled.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn mok(&self) -> Seen<&SignatureLists> {
        self.list(Variable::MokListRt)
    }

    /// The running kernel's keyrings.
    pub fn keyrings(&self) -> &TrustedKeys {
        self.keyrings.get_or_init(|| match &self.root {
            Ok(root) => TrustedKeys::read(root),
            Err(why) => TrustedKeys::from_text(Err(why.clone()), |_| Err(why.clone())),
        })
    }

    /// Whether shim hands enrolled keys to the kernel as its machine's own (`MokListTrustedRT`).
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn mok_list_trusted(&self) -> Seen<bool> {
        efi::mok_list_trusted(self.root.as_ref().map_err(Clone::clone)?)
    }
}

#[cfg(test)]
mod tests;
