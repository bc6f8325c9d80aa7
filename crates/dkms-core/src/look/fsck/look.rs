//! Checks every spot, and drops findings that are in use.

use super::finding::{Finding, Report};
use super::spot::{Inspection, Spot};
use super::{build, kernel, originals, tree};
use crate::error::Result;
use crate::event::Sink;
use crate::look::LookError;
use crate::look::status::Filter;
use crate::system::System;
use std::collections::BTreeSet;

/// Checks everything that matches one of the filters; without filters, everything. If packages are given,
/// objects that belong to no package (journals, leftovers in `/lib/modules`) are skipped.
///
/// # Errors
/// [`LookError`] if the tree cannot be listed, or if nothing in it matches. [`Report::unreadable`] lists the
/// unreadable paths below it.
pub fn look(system: &System, sink: &dyn Sink, filters: &[Filter]) -> Result<Report> {
    dkms_sys::fs::list_dir(&system.layout.dkms_tree).map_err(LookError::TreeUnreadable)?;
    let inspection = Inspection::new(system, sink, filters);
    let spots = inspection.spots();
    if inspection.names_a_package() && !spots.iter().any(|spot| matches!(spot, Spot::Package(_))) {
        let names = filters.iter().filter_map(|f| f.name.clone()).collect();
        return Err(LookError::NoSuchPackage { tree: system.layout.dkms_tree.clone(), names }.into());
    }
    let mut report = Report::default();
    for spot in &spots {
        match spot {
            Spot::Version(_) => report.packages += 1,
            Spot::Build(b) => report.builds += usize::from(system.layout.module_dir(b).is_dir()),
            _ => {}
        }
        report.findings.extend(inspection.confirmed(spot));
    }
    report.unreadable = inspection.unreadable();
    Ok(report)
}

impl Inspection<'_> {
    /// The findings at a spot, whether or not it is in use.
    pub(super) fn at(&self, spot: &Spot) -> Vec<Finding> {
        let mut found = match spot {
            Spot::Tree => tree::root(self),
            Spot::Journals => kernel::journals(self),
            Spot::Sources => tree::sources(self),
            Spot::Cache => self.cache(),
            Spot::Package(name) => tree::package(self, name),
            Spot::Version(id) => tree::version(self, id),
            Spot::Build(b) => build::check(self, b),
            Spot::Link(name, k) => originals::link(self, name, k).into_iter().collect(),
            Spot::Originals(name, k) => originals::check(self, name, k),
            Spot::KernelDir(release) => kernel::directory(self, release),
        };
        found.retain(|f| self.wants(&f.about));
        for f in &mut found {
            f.spot = spot.clone();
        }
        found
    }

    /// The findings at a spot that are not in use.
    pub(super) fn confirmed(&self, spot: &Spot) -> Vec<Finding> {
        let mut suspects = self.at(spot);
        suspects.retain(|f| !f.in_use(&self.system.layout));
        if suspects.iter().any(|f| !f.guards.is_empty()) {
            let again = self.at(spot);
            suspects.retain(|f| again.iter().any(|a| a.is(f)));
        }
        suspects
    }

    pub(super) fn unreadable(&self) -> Vec<String> {
        let all: &BTreeSet<String> = &self.unreadable.borrow();
        all.iter().cloned().collect()
    }
}
