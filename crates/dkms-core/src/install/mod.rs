//! Installs built modules into `/lib/modules/K`, and uninstalls them.

pub(crate) mod built;
pub mod change;
pub mod clean;
pub mod depmod;
pub(crate) mod error;
pub(crate) mod index;
pub(crate) mod judge;
pub mod plan;
pub mod recover;
pub mod resign;
pub mod settle;
pub mod uninstall;
pub mod weak;

pub use change::{Change, Outcome};
pub use error::InstallError;
pub use settle::{Ending, Finished};
