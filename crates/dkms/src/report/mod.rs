//! `dkms report`: what is known about a machine as one document, which becomes a page, JSON, or metrics; and
//! one page about the documents of many machines.

mod data;
mod disk;
pub(crate) mod fleet;
mod gather;
mod metrics;
mod page;
mod problem;
mod problems;
mod words;

use self::data::Machine;
use dkms_core::error::Result;
use dkms_core::event::Sink;
use dkms_core::system::System;

/// A report on a machine.
pub(crate) struct Report(Machine);

impl Report {
    /// Gathers it, for all kernels or for those with these releases.
    ///
    /// # Errors
    /// framework.conf is invalid.
    pub(crate) fn gather(system: &System, sink: &dyn Sink, releases: &[String], arch: &str) -> Result<Self> {
        gather::machine(system, sink, releases, arch).map(Self)
    }

    /// The HTML page.
    pub(crate) fn page(&self) -> String {
        page::render(&self.0)
    }

    /// The JSON document.
    pub(crate) fn json(&self) -> String {
        format!("{}\n", serde_json::to_string_pretty(&self.0).unwrap_or_default())
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> String {
        metrics::text(&self.0)
    }
}
