//! Builds that other machines made, from a registry.
//!
//! 1. A build whose fingerprint is not in the local cache is looked up under the tag `f1-<fingerprint>`
//!    (`pull`). A machine without compiler or headers (`prebuilt=only`) cannot compute that fingerprint. It
//!    looks up the tag `k1-<digest>` of the inputs that it knows (`portable`, decision 24).
//! 2. The manifest has a signature of a trusted key (`keys`), and its record describes the build that is
//!    wanted. Only then the archive is fetched, of the size that the record states, and compared with it.
//! 3. A machine without a key for modules may belong to a fleet whose key has signed them (`fleet`).
//! 4. The result is a build like one of the local cache: it is stored there, signed, checked and installed
//!    like any other.
//!
//! The network is used by the program `dkms-registry` only (`program`), which is started when something is
//! missing for the first time, and which is not trusted (`connection`). Whatever fails here is a miss: one
//! warning per command, and dkms continues as without a registry.

pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod fleet;
pub mod keys;
mod portable;
mod program;
mod pull;
mod push;
mod shared;
mod survey;
#[cfg(test)]
mod tests;
mod token;

pub use connection::Pushed;
pub use error::{CacheFault, Failure, KeyFault, RegistryError, TokenError};
pub use program::PROGRAM;
pub(crate) use pull::{Fetched, fetch, find_stored};
pub use pull::{Offer, Wanted, find};
pub use push::{Published, push};
pub(crate) use shared::SharedConnection;
pub use survey::{Availability, Pulled, foresee, look_up, pull, wanted};

use crate::event::Sink;
use crate::system::{Settings, System};
use dkms_conf::framework_conf::Prebuilt;

/// Returns the registries, in the order of the requests.
pub fn sources(settings: &Settings) -> &[String] {
    settings.framework.registry.as_deref().unwrap_or_default()
}

/// Returns whether builds of registries are used.
pub fn mode(settings: &Settings) -> Prebuilt {
    let named = settings.framework.prebuilt;
    named.unwrap_or(if sources(settings).is_empty() { Prebuilt::Off } else { Prebuilt::Prefer })
}

/// The name of a package's builds below the prefix of a registry.
fn repository(package: &str) -> String {
    dkms_conf::registry::repository(package, |name| dkms_bundle::digest::sha256_hex(name.as_bytes()))
}

/// Reports a failure, once per command. The missing build is compiled, or its build reports that it is
/// missing.
pub(crate) fn warn(system: &System, sink: &dyn Sink, text: String) {
    if system.registry().is_first_warning() {
        sink.warn(text);
    }
}

/// Returns the message about a failure of the program.
fn describe(failure: &Failure) -> String {
    match failure {
        Failure::NotInstalled => format!(
            "registry= is set in framework.conf, but the program {PROGRAM} is not installed: install the package {PROGRAM}"
        ),
        other => format!("the registry is not used: {other}"),
    }
}
