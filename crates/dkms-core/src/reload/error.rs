//! The reasons why modules cannot be reloaded.

use crate::cause::Cause;
use kmodule::ModuleName;

/// The reason why a module cannot be unloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Modules of other packages use its symbols.
    Modules(Vec<ModuleName>),
    /// Processes, mounts or other parts of the kernel use it. Contains the number of references, and
    /// descriptions of the users that are known.
    Users(u64, Vec<String>),
    /// It has no exit function, or the kernel cannot unload modules.
    Permanent,
    /// It is being loaded or unloaded.
    NotLive,
}

/// A module that cannot be unloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The module.
    pub module: ModuleName,
    /// The reason.
    pub obstacle: Obstacle,
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let module = self.module.as_str();
        match &self.obstacle {
            Obstacle::Modules(users) => {
                let users: Vec<&str> = users.iter().map(ModuleName::as_str).collect();
                write!(f, "{module} is used by the modules {}", users.join(", "))
            }
            Obstacle::Users(_, known) if !known.is_empty() => {
                write!(f, "{module} is in use: {}", known.join(", "))
            }
            Obstacle::Users(count, _) => {
                write!(f, "{module} is in use ({count} references by unknown users)")
            }
            Obstacle::Permanent => write!(f, "{module} cannot be unloaded from this kernel"),
            Obstacle::NotLive => write!(f, "{module} is being loaded or unloaded"),
        }
    }
}

/// The reason why modules were not reloaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant describes it")]
pub enum ReloadError {
    #[error("nothing was unloaded, because {}", list(.0))]
    InUse(Vec<Kept>),
    #[error(
        "nothing was unloaded, because this kernel no longer loads modules (kernel.modules_disabled is 1)"
    )]
    Disabled,
    #[error("nothing was unloaded, because the kernel would not load the installed {module}: {reason}")]
    WouldNotLoad { module: String, reason: String },
    #[error("{module} cannot be unloaded: {cause}; {aftermath}")]
    Unload {
        module: String,
        #[source]
        cause: Cause,
        aftermath: String,
    },
    #[error("{module} cannot be loaded: {cause}; {aftermath}")]
    Load {
        module: String,
        #[source]
        cause: Cause,
        aftermath: String,
    },
}

fn list(kept: &[Kept]) -> String {
    kept.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ReloadError {
    /// Returns hints; empty if the message already contains them.
    pub fn help(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::InUse(kept) => {
                let obstacles = || kept.iter().map(|kept| &kept.obstacle);
                let mut help = Vec::new();
                if obstacles().any(|obstacle| matches!(obstacle, Obstacle::Modules(_))) {
                    help.push(
                        "if those modules belong to other dkms packages, add these packages to the command"
                            .to_owned(),
                    );
                }
                if obstacles().any(|obstacle| matches!(obstacle, Obstacle::Users(..) | Obstacle::NotLive)) {
                    help.push("stop its users, and try again".to_owned());
                }
                help.push("or reboot".to_owned());
                help
            }
            Self::Disabled => hint("reboot to load the installed modules"),
            Self::WouldNotLoad { .. } => hint("dkms verify shows the details"),
            Self::Unload { .. } => hint("stop its users and try again, or reboot"),
            Self::Load { .. } => hint("the kernel's log (dmesg) shows the reason"),
        }
    }
}
