//! The data that dkms keeps on disk: paths ([`layout`]), the contents of the tree ([`state`]), records about
//! it ([`manifest`]), the modules of the kernel that were moved aside ([`originals`]), changes as
//! transactions ([`journal`]) and the locks between commands ([`lock`]).
//!
//! This crate knows nothing about actions: it does not evaluate dkms.conf, build or install. Every path in
//! the tree is computed in [`layout`], and [`beneath`] refuses a path from a record or a link that leaves the
//! tree it belongs to.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod aside;
pub mod beneath;
pub mod entry;
pub mod error;
pub mod ids;
pub mod journal;
pub mod layers;
pub mod layout;
pub mod lock;
pub mod manifest;
pub mod names_as_json;
pub mod originals;
pub mod state;

pub use error::{Error, JournalFault, Outside, RecordFault, Result};
