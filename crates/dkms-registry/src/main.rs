//! dkms-registry: transports builds of kernel modules between dkms and OCI registries.
//!
//! The only program of dkms that uses the network. It reads requests from its standard input and writes
//! replies to its standard output ([`dkms_bundle::protocol`]). It trusts neither side, and is not trusted:
//! dkms verifies what it brings. Before the first request it gives up everything but the network and its
//! spool directory.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod address;
mod certificates;
mod challenge;
mod client;
mod confine;
mod credentials;
mod deadline;
mod failure;
mod helpers;
mod proxy;
mod registry;
mod serve;
mod session;
mod sources;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    dkms_sys::signal::restore_child_signal();
    match words::read(std::env::args_os().skip(1)) {
        words::Wanted::Text(text) => words::print(&text),
        words::Wanted::Wrong(text) => words::complain(&text, 2),
        words::Wanted::Serve(spool) => match serve::run(&spool) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => words::complain(&error.to_string(), 1),
        },
    }
}
