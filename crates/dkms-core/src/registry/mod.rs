//! Builds that other machines made, from a registry.
//!
//! 1. A build whose fingerprint is not in the local cache is looked up under the tag `f1-<fingerprint>`
//!    (`pull`). A machine without compiler or headers (`prebuilt=only`) cannot compute that fingerprint. It
//!    looks up the tag `k1-<digest>` of the inputs that it can determine (`portable`, decision 24).
//! 2. dkms checks that a trusted key has signed the manifest (`keys`), and that its record describes the
//!    requested build. Only then it fetches the archive, whose size is in the record, and compares it with
//!    the record.
//! 3. A machine without a signing key may belong to a fleet whose builder has signed the modules (`fleet`).
//! 4. The fetched build is stored in the local cache, and is signed, checked and installed like any other.
//!
//! Only the program `dkms-registry` uses the network (`program`). It is started when a build is missing for
//! the first time, and it is not trusted (`connection`). Every failure is treated as if no registry had the
//! build: dkms prints one warning per command and continues.

pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod fleet;
pub mod keys;
mod portable;
mod program;
mod pull;
mod push;
pub(crate) mod shared;
mod survey;
#[cfg(test)]
mod tests;
mod token;

pub use connection::Pushed;
pub use error::{CacheFault, Failure, KeyFault, RegistryError, TokenError};
pub use program::PROGRAM;
pub(crate) use pull::{Fetched, fetch, find_stored};
pub use pull::{Offer, Query, find};
pub use push::{Published, push};
pub use survey::{Availability, Pulled, autoinstall_builds, look_up, predict_origin, pull};

use crate::event::Sink;
use crate::system::{Settings, System};
use dkms_conf::framework_conf::Prebuilt;

/// Returns the configured registries, in the order in which they are searched.
pub fn sources(settings: &Settings) -> &[String] {
    settings.framework.registry.as_deref().unwrap_or_default()
}

/// Returns how builds of registries are used.
pub fn mode(settings: &Settings) -> Prebuilt {
    let configured = settings.framework.prebuilt;
    configured.unwrap_or(if sources(settings).is_empty() { Prebuilt::Off } else { Prebuilt::Prefer })
}

/// The name of the repository with a package's builds, below the prefix of a registry.
fn repository(package: &str) -> String {
    dkms_conf::registry::repository(package, |name| dkms_bundle::digest::sha256_hex(name.as_bytes()))
}

/// Reports a failure, but only the first one of a command. Afterwards the build is compiled, or fails because
/// it cannot be compiled.
pub(crate) fn warn(system: &System, sink: &dyn Sink, text: String) {
    if system.registry().is_first_warning() {
        sink.warn(text);
    }
}

/// The warning about a failure of the program.
fn describe(failure: &Failure) -> String {
    match failure {
        Failure::NotInstalled => format!(
            "registry= is set in framework.conf, but the program {PROGRAM} is not installed: install the package {PROGRAM}"
        ),
        other => format!("the registry is not used: {other}"),
    }
}
