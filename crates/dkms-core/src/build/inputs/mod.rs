//! The inputs of a build: its source, the kernel's headers, and the programs that compile modules. Each input
//! is described by a short value, which is the same on all machines that have the same packages.

mod contents;
mod dpkg;
pub(super) mod headers;
mod headers_cache;
mod package;
mod parallel;
mod rpm;
pub(super) mod source;
mod sums;
pub(super) mod tools;
pub(super) mod tree;
