//! dkms-registry: transports builds of kernel modules between dkms and OCI registries.
//!
//! This is the only program of dkms that uses the network. It reads requests from its standard input and
//! writes replies to its standard output ([`dkms_bundle::protocol`]). It trusts neither dkms nor the
//! registries, and dkms does not trust it: dkms verifies everything that it delivers. Before it handles the
//! first request, it gives up access to everything except the network and its spool directory.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod address;
mod certificates;
mod challenge;
mod client;
mod command_line;
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

use std::process::ExitCode;

fn main() -> ExitCode {
    dkms_sys::signal::restore_child_signal();
    match command_line::parse(std::env::args_os().skip(1)) {
        command_line::Action::Print(text) => command_line::print(&text),
        command_line::Action::Refuse(message) => command_line::complain(&message, 2),
        command_line::Action::Serve(spool) => match serve::run(&spool) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => command_line::complain(&error.to_string(), 1),
        },
    }
}
