//! The locks of `dkms_tree::lock`, with the settings of the system. Waits are reported to the sink.

use crate::error::Result;
use crate::event::{Event, Silent, Sink};
use crate::system::System;
use dkms_sys::lock::Lock;
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::lock::{HELD, Locks};
use std::time::Duration;

pub use dkms_tree::lock::Held;
pub(crate) use dkms_tree::lock::{build_name, install_name};

fn locks<'a>(system: &'a System, sink: &'a dyn Sink) -> Locks<'a> {
    let inherited = system.host.environment.iter().find(|(name, _)| name == HELD);
    Locks {
        layout: &system.layout,
        inherited: inherited.map_or_else(String::new, |(_, value)| value.to_string_lossy().into_owned()),
        command: &system.host.command,
        timeout: system.settings.framework.lock_timeout.map(Duration::from_secs),
        on_wait: Box::new(|what, holder| {
            sink.event(Event::Waiting { what: what.to_owned(), holder: holder.to_owned() });
        }),
    }
}

/// [`Locks::variable`]
pub fn variable<'a>(system: &System, held: impl IntoIterator<Item = &'a Held>) -> (String, String) {
    locks(system, &Silent).variable(held)
}

/// [`Locks::build`]
///
/// # Errors
/// As [`Locks::build`].
pub fn build(system: &System, sink: &dyn Sink, package: &PackageId) -> Result<Held> {
    Ok(locks(system, sink).build(package)?)
}

/// [`Locks::install`]
///
/// # Errors
/// As [`Locks::install`].
pub fn install(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Result<Vec<Held>> {
    Ok(locks(system, sink).install(kernels)?)
}

/// [`Locks::named`]
pub(crate) fn named(system: &System, sink: &dyn Sink, name: &str, what: &str) -> Result<Held> {
    Ok(locks(system, sink).acquire(name, what)?)
}

/// [`Locks::try_install`]
///
/// # Errors
/// As [`Locks::try_install`].
pub fn try_install(system: &System, kernels: &[Kernel]) -> Result<Option<Vec<Lock>>> {
    Ok(locks(system, &Silent).try_install(kernels)?)
}

/// [`Locks::try_build`]
///
/// # Errors
/// As [`Locks::try_build`].
pub fn try_build(system: &System, package: &PackageId) -> Result<Option<Lock>> {
    Ok(locks(system, &Silent).try_build(package)?)
}

/// [`Locks::signing_key`]
///
/// # Errors
/// As [`Locks::signing_key`].
pub fn signing_key(system: &System, sink: &dyn Sink) -> Result<Held> {
    Ok(locks(system, sink).signing_key()?)
}
