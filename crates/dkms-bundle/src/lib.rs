//! A build that can be kept in a cache and sent through a registry.
//!
//! - [`record`]: the inputs of a build, and its files.
//! - [`signature`]: keys, and signatures of records.
//! - [`layer`]: the archive of the files that a record lists.
//! - [`manifest`]: record, signatures and archive as an OCI manifest. [`manifest::accept`] does all checks.
//! - [`oci`]: the JSON documents of OCI images, which `dkms mkimage` writes too.
//! - [`protocol`]: the protocol between `dkms` and the program `dkms-registry`.
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
