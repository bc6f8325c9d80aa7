//! `dkms report`: one document with everything that is known about a machine, as a page, JSON or metrics; and
//! one page that summarises the documents of many machines.

mod bounded;
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
    /// Gathers the report, for all kernels or for those with these releases.
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
    ///
    /// # Errors
    /// A value cannot be written as JSON.
    pub(crate) fn json(&self) -> Result<String> {
        crate::render::json::pretty(&self.0)
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> String {
        metrics::text(&self.0)
    }
}
