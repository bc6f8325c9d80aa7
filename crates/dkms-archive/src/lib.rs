//! Reads and writes the archives of dkms trees (`mktarball`, `ldtarball`) and Debian packages.
//!
//! [`write()`] is reproducible: the same files produce the same bytes. [`unpack`] treats its input as
//! hostile: `names::Tree`, which does no I/O, checks every entry before anything is created. A single bad
//! entry rejects the whole archive, and no file of it is left behind.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod compression;
mod deb;
mod entries;
mod error;
mod list;
mod names;
mod package;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use deb::{Deb, gzip, write_deb, write_tar_xz};
pub use error::{ArchiveError, Damage};
pub use list::{ListedKind, list};
pub use names::{EntryKind, Refusal};
pub use package::is_tarball;
pub use read::{Entry, Format, Limits, Unpacked, fuzz_unpack, unpack, unpack_payload};
pub use write::{Member, Source, Written, write};
