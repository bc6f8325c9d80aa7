//! Reads the running kernel's signature enforcement and lockdown.

use super::fact::Fact;
use dkms_sys::fs::Limit;
use std::path::Path;

/// The kernel's lockdown level (security/lockdown/lockdown.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// No lockdown, or lockdown is not supported.
    None,
    /// User space, even root, cannot modify the kernel.
    Integrity,
    /// User space cannot read the kernel's secrets either.
    Confidentiality,
}

impl Lockdown {
    /// The kernel's word for the level.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Integrity, Self::Confidentiality].into_iter().find(|l| l.word() == word)
    }
}

/// Reads `module.sig_enforce`; `None` if the running kernel does not have this parameter.
pub(super) fn sig_enforce(root: &Path) -> Fact<Option<bool>> {
    let path = root.join("sys/module/module/parameters/sig_enforce");
    match dkms_sys::fs::read_text(&path, Limit::CONFIG) {
        Ok(text) => match text.trim() {
            "Y" => Ok(Some(true)),
            "N" => Ok(Some(false)),
            other => Err(format!("{} contains \"{other}\"", path.display())),
        },
        // A kernel without module support has no such directory either.
        Err(e) if e.is_not_found() && root.join("sys/module").is_dir() => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

/// Reads the lockdown level, which is in brackets: `none [integrity] confidentiality`.
pub(super) fn lockdown(root: &Path) -> Fact<Lockdown> {
    let security = root.join("sys/kernel/security");
    let path = security.join("lockdown");
    match dkms_sys::fs::read_text(&path, Limit::CONFIG) {
        Ok(text) => {
            let level = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            level
                .and_then(|(level, _)| Lockdown::from_word(level))
                .ok_or_else(|| format!("{} contains \"{}\"", path.display(), text.trim()))
        }
        // If securityfs is mounted, there is at least the list of security modules.
        Err(e) if e.is_not_found() && security.join("lsm").exists() => Ok(Lockdown::None),
        Err(e) if e.is_not_found() => Err(format!("securityfs is not mounted on {}", security.display())),
        Err(e) => Err(e.to_string()),
    }
}
