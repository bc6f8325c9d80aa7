//! End-to-end tests of dkms: the harness.
//!
//! Every test runs in a *private root* ([`root::Root`]): the machine's own files seen read-only through an
//! overlay, kernel headers and a dkms laid over them, and everything a test writes kept in memory. In there
//! `/usr/src`, `/var/lib/dkms`, `/lib/modules` and `/etc` are the real paths, and nothing outside changes.
//!
//! The same [`scenario::Scenario`] runs with Debian's dkms and with ours. After each step the harness
//! records what an administrator could see (exit code, `dkms status`, the tree, the installed modules) and
//! [`differences`] holds every deviation against the list in `differences.toml`: one that is not listed
//! fails, and so does a listed one that no longer occurs.
//!
//! Tests that are programs of their own are listed in `checks.toml` ([`check`]). All run under [`runner`],
//! which gives each a name and a reason when it is skipped.
//!
//! `fetch.sh` fills `build/` with what is needed; without it, or without root, tests say why they are
//! skipped.

pub mod baseline;
pub mod check;
#[cfg(test)]
mod cycles;
pub mod differences;
pub mod driver;
pub mod layers;
pub mod module;
pub mod recorded;
pub mod root;
pub mod runner;
pub mod scenario;
pub mod start;
pub mod tree;
