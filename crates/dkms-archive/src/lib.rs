//! Archives of dkms trees: what `mktarball` writes and `ldtarball` reads; Debian packages, both ways.
//!
//! [`write()`] makes the same bytes from the same files. [`unpack`] trusts nothing: every entry is judged by
//! `names::Tree`, which knows no disk, before anything is made of it; one bad entry refuses the whole archive, and
//! nothing of it stays.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod compression;
mod deb;
mod entries;
mod error;
mod names;
mod package;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use compression::Compression;
pub use deb::{Deb, gzip, write_deb, write_tar_xz};
pub use error::ArchiveError;
pub use names::Refusal;
pub use package::is_tarball;
pub use read::{Entry, EntryKind, Format, Limits, Unpacked, fuzz_unpack, unpack, unpack_payload};
pub use write::{Member, Source, Written, write};
