//! Checks every spot, and drops findings about files that another command is using.

use super::finding::{Finding, Report};
use super::spot::{Inspection, Spot};
use super::{build, kernel, originals, tree};
use crate::error::Result;
use crate::event::Sink;
use crate::look::LookError;
use crate::look::status::Filter;
use crate::system::System;

/// Checks everything that matches one of the filters; without filters, everything. If the filters select
/// packages, files that belong to no package (journals, leftovers in `/lib/modules`) are skipped.
///
/// # Errors
/// [`LookError`] if the tree cannot be listed, or if nothing in it matches. [`Report::unreadable`] lists the
/// unreadable paths below it.
pub fn check(system: &System, sink: &dyn Sink, filters: &[Filter]) -> Result<Report> {
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
            Spot::Build(build) => report.builds += usize::from(system.layout.module_dir(build).is_dir()),
            _ => {}
        }
        report.findings.extend(inspection.confirmed(spot));
    }
    report.unreadable = inspection.unreadable.into_inner().into_iter().collect();
    Ok(report)
}

impl Inspection<'_> {
    /// Returns the findings at a spot, including those that another command is using.
    pub(super) fn findings_at(&self, spot: &Spot) -> Vec<Finding> {
        let mut findings = match spot {
            Spot::Tree => tree::root(self),
            Spot::Journals => kernel::journals(self),
            Spot::Sources => tree::sources(self),
            Spot::Cache => self.cache(),
            Spot::Package(name) => tree::package(self, name),
            Spot::Version(id) => tree::version(self, id),
            Spot::Build(build) => build::check(self, build),
            Spot::Link(name, kernel) => originals::link(self, name, kernel).into_iter().collect(),
            Spot::Originals(name, kernel) => originals::check(self, name, kernel),
            Spot::KernelDir(release) => kernel::directory(self, release),
        };
        findings.retain(|finding| self.selects(&finding.about));
        for finding in &mut findings {
            finding.spot = spot.clone();
        }
        findings
    }

    /// Returns the findings at a spot, except those that another command is using.
    fn confirmed(&self, spot: &Spot) -> Vec<Finding> {
        let mut findings = self.findings_at(spot);
        findings.retain(|finding| !finding.in_use(&self.system.layout));
        if findings.iter().any(|finding| !finding.guards.is_empty()) {
            let second = self.findings_at(spot);
            findings.retain(|finding| second.iter().any(|other| other.is_same(finding)));
        }
        findings
    }
}
