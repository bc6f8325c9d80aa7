//! A build that can be kept in a cache and sent through a registry.
//!
//! - [`record`]: what a build was made from and which files it produced.
//! - [`protocol`]: what `dkms` and the program `dkms-registry` say to each other.
//!
//! Bytes in, bytes out: nothing here opens a file or a connection. `dkms` verifies signatures and records
//! itself; `dkms-registry` only transports them.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

pub mod protocol;
pub mod record;
