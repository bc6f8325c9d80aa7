//! What dkms does. A request becomes a plan, the plan is carried out as one transaction, events tell what happened.
//!
//! This crate never prints, never reads the command line and never exits: it is told where the trees are
//! ([`tree::layout::Layout`]), what machine this is and what was asked for ([`session::Session`]), and it tells what it does
//! through [`event::Sink`].
#![forbid(unsafe_code)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod actions;
pub mod add;
pub mod build;
mod cause;
pub mod conf;
pub mod confine;
pub mod debian;
pub mod describe;
pub mod digest;
pub mod distro;
pub mod error;
pub mod event;
pub mod finally;
pub mod fsck;
pub mod glob;
pub mod hooks;
pub mod install;
mod installed;
pub mod kernel;
pub mod lint;
pub mod lock;
pub mod look;
pub mod machine;
pub mod mok;
pub mod origin;
mod owner;
pub mod package;
pub mod packaging;
pub mod plan;
pub mod program;
pub mod ready;
pub mod remove;
pub mod request;
pub mod rpm;
pub mod rpm_upgrade;
pub mod schedule;
pub mod secret;
pub mod session;
pub mod signing;
pub mod status;
pub mod tarball;
pub mod time;
pub mod verify;

pub use dkms_archive as archive;
pub(crate) use dkms_tree::layers;
pub use dkms_tree::{ids, journal, names_as_json};
pub use error::{Error, Result};

/// What is in the tree.
pub mod tree {
    pub use dkms_tree::{beneath, entry, layout, manifest, originals, state};
}
