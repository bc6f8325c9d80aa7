//! Installs built modules into `/lib/modules/K`, and uninstalls them.

mod built;
mod change;
mod clean;
mod depmod;
pub(crate) mod error;
pub(crate) mod index;
mod judge;
pub(crate) mod plan;
pub mod recover;
pub(crate) mod resign;
mod settle;
pub(crate) mod uninstall;
mod weak;

pub(crate) use change::{Change, Outcome};
pub use error::InstallError;
pub(crate) use settle::Ending;
