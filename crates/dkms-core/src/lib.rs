//! The actions of dkms: a request becomes a plan, the plan is executed as one transaction, and events report
//! what happens.
//!
//! This crate never prints, never exits, and never reads its own arguments or environment. The paths
//! ([`tree::layout::Layout`]), the machine and the settings ([`system::System`]) are arguments, and it
//! reports to an [`event::Sink`].
#![forbid(unsafe_code)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![warn(unreachable_pub)]
pub mod actions;
pub mod add;
pub mod build;
pub mod cache;
mod cause;
pub mod conf;
pub mod confine;
pub mod digest;
pub mod distro;
pub mod error;
pub mod event;
pub mod finally;
pub mod hold;
pub mod hooks;
pub mod host;
pub mod install;
mod installed;
pub mod kernel;
pub mod lock;
pub mod look;
pub mod origin;
mod owner;
pub mod pack;
pub mod package;
pub mod plan;
pub mod preflight;
pub mod program;
pub mod registry;
pub mod reload;
pub mod remove;
pub mod request;
pub mod rpm_upgrade;
pub mod schedule;
pub mod secret;
pub mod system;
pub mod time;
pub mod trust;

/// The state on disk: names, paths, records.
pub use dkms_tree as tree;
pub use dkms_tree::ids;
pub use error::{Error, Result};
