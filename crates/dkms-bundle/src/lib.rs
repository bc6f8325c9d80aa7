//! A build that can be kept in a cache and sent through a registry.
//!
//! - [`record`]: what a build was made from and which files it produced.
//! - [`signature`]: keys, and which of them signed a record.
//! - [`layer`]: the archive of the files that a record lists.
//! - [`manifest`]: record, signatures and archive as an OCI manifest. [`manifest::accept`] makes all checks.
//! - [`oci`]: the documents of OCI images, also those that `dkms mkimage` writes.
//! - [`protocol`]: what `dkms` and the program `dkms-registry` say to each other.
//!
//! Bytes in, bytes out: nothing here opens a file or a connection. `dkms` verifies signatures and records
//! itself; `dkms-registry` only transports them.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod digest;
pub mod layer;
pub mod manifest;
pub mod oci;
pub mod protocol;
pub mod record;
pub mod signature;
