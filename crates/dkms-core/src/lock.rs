//! The locks of `dkms_tree::lock`, for a session.

use crate::error::Result;
use crate::event::Event;
use crate::session::Session;
use dkms_sys::lock::Lock;
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::lock::{HELD, Locks};
use std::time::Duration;

pub use dkms_tree::lock::Held;
pub(crate) use dkms_tree::lock::{build_name, install_name};

fn locks<'a>(s: &'a Session<'_>) -> Locks<'a> {
    let inherited = s.host.environment.iter().find(|(name, _)| name == HELD);
    Locks {
        layout: s.layout,
        inherited: inherited.map_or_else(String::new, |(_, value)| value.to_string_lossy().into_owned()),
        command: &s.host.command,
        timeout: s.options.framework.lock_timeout.map(Duration::from_secs),
        on_wait: Box::new(|what, holder| {
            s.report(Event::Waiting { what: what.to_owned(), holder: holder.to_owned() });
        }),
    }
}

/// [`Locks::variable`]
pub fn variable<'a>(s: &Session<'_>, held: impl IntoIterator<Item = &'a Held>) -> (String, String) {
    locks(s).variable(held)
}

/// [`Locks::build`]
///
/// # Errors
/// As [`Locks::build`].
pub fn build(s: &Session<'_>, package: &PackageId) -> Result<Held> {
    Ok(locks(s).build(package)?)
}

/// [`Locks::install`]
///
/// # Errors
/// As [`Locks::install`].
pub fn install(s: &Session<'_>, kernels: &[Kernel]) -> Result<Vec<Held>> {
    Ok(locks(s).install(kernels)?)
}

/// [`Locks::named`]
pub(crate) fn named(s: &Session<'_>, name: &str, what: &str) -> Result<Held> {
    Ok(locks(s).named(name, what)?)
}

/// [`Locks::try_install`]
///
/// # Errors
/// As [`Locks::try_install`].
pub fn try_install(s: &Session<'_>, kernels: &[Kernel]) -> Result<Option<Vec<Lock>>> {
    Ok(locks(s).try_install(kernels)?)
}

/// [`Locks::try_build`]
///
/// # Errors
/// As [`Locks::try_build`].
pub fn try_build(s: &Session<'_>, package: &PackageId) -> Result<Option<Lock>> {
    Ok(locks(s).try_build(package)?)
}

/// [`Locks::signing_key`]
///
/// # Errors
/// As [`Locks::signing_key`].
pub fn signing_key(s: &Session<'_>) -> Result<Held> {
    Ok(locks(s).signing_key()?)
}
