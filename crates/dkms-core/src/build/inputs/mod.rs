//! The inputs of a build other than its source: the kernel's headers, and the programs that compile. Each is
//! described by a short value that is the same on all machines that have the same packages.

mod contents;
mod dpkg;
pub(super) mod headers;
mod memory;
mod package;
mod rpm;
pub(super) mod source;
mod sums;
pub(super) mod tools;
pub(super) mod tree;
