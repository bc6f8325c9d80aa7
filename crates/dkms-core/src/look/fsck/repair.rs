//! Safe repairs. dkms takes the locks of a finding and checks its spot again, because another command may
//! have changed it in the meantime. It only repairs findings that still exist.

use super::check::check;
use super::finding::{Finding, Guard, Remedy, Report};
use super::spot::Inspection;
use crate::error::{Error, Result};
use crate::event::Sink;
use crate::install::{Change, Ending, recover};
use crate::lock;
use crate::look::status::Filter;
use crate::request::Overrides;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::ids::{Build, Kernel};
use dkms_tree::journal::op::{Op, aside};
use dkms_tree::layout::Layout;
use dkms_tree::manifest::Manifest;
use dkms_tree::originals::Original;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The maximum number of rounds. Another round is needed if a repair reveals another finding, such as
/// originals whose link was dangling.
const MAX_ROUNDS: usize = 4;

/// The result of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The findings that were repaired.
    pub repaired: Vec<Finding>,
    /// The remaining findings, and the paths that could not be checked.
    pub left: Report,
    /// The findings whose repair failed, and the reasons.
    pub failed: Vec<(Finding, String)>,
    /// Kernels whose modules may have changed.
    pub changed: Vec<Kernel>,
}

impl Repaired {
    /// Returns the reason why the repair of a remaining finding failed.
    pub fn failure(&self, finding: &Finding) -> Option<&str> {
        self.failed.iter().find(|(other, _)| other.is_same(finding)).map(|(_, why)| why.as_str())
    }
}

/// Repairs the safe findings in a report of [`check`] with the same filters, until only unsafe findings and
/// failed repairs are left. A repair overrides no safety checks: it never replaces files that are newer or
/// unknown.
///
/// # Errors
/// As for [`check`]; [`Error::Interrupted`]. A failed repair does not stop the others: it is in
/// [`Repaired::failed`].
pub fn repair(system: &System, sink: &dyn Sink, filters: &[Filter], first: Report) -> Result<Repaired> {
    let mut result = Repaired { left: first, ..Repaired::default() };
    for _ in 0..MAX_ROUNDS {
        let can_repair = |finding: &&Finding| finding.safe() && result.failure(finding).is_none();
        let findings: Vec<Finding> = result.left.findings.iter().filter(can_repair).cloned().collect();
        if findings.is_empty() {
            break;
        }
        Round {
            inspection: Inspection::new(system, sink, filters),
            failed: &mut result.failed,
            changed: &mut result.changed,
        }
        .run(&findings)?;
        result.left = check(system, sink, filters)?;
        for finding in findings {
            let still_exists = result.left.findings.iter().any(|other| other.is_same(&finding));
            match (result.failure(&finding).is_some(), still_exists) {
                (false, false) => result.repaired.push(finding),
                (false, true) => result.failed.push((finding, "it still exists after the repair".into())),
                // Another command holds its lock.
                (true, false) => result.left.findings.push(finding),
                (true, true) => {}
            }
        }
    }
    result.changed.sort();
    result.changed.dedup();
    Ok(result)
}

/// One attempt to repair all findings that were reported.
struct Round<'a> {
    inspection: Inspection<'a>,
    failed: &'a mut Vec<(Finding, String)>,
    changed: &'a mut Vec<Kernel>,
}

/// A group of findings that are repaired together: changes of one kernel share a lock, a journal and a depmod
/// run.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Kernel(Kernel),
    /// The name of a build lock.
    Build(String),
    Unlocked,
}

impl Group {
    fn of(finding: &Finding) -> Self {
        let kernel = finding.guards.iter().find_map(|guard| match guard {
            Guard::Install(kernel) => Some(Self::Kernel(kernel.clone())),
            Guard::Build(_) => None,
        });
        let build = || finding.guards.first().map(|guard| Self::Build(guard.name()));
        kernel.or_else(build).unwrap_or(Self::Unlocked)
    }
}

/// The transaction of a group, and the kernel of its findings.
type KernelChange<'c, 'a> = (&'c mut Change<'a>, &'c Kernel);

impl Round<'_> {
    fn run(mut self, findings: &[Finding]) -> Result<()> {
        // Recovering a journal may also repair other findings, so it runs first.
        let (journals, others): (Vec<&Finding>, Vec<&Finding>) =
            findings.iter().partition(|finding| matches!(finding.remedy, Some(Remedy::Recover)));
        if !journals.is_empty() {
            let result = recover::recover_interrupted(self.inspection.system, self.inspection.sink);
            self.record_failure(&journals, result)?;
        }
        let mut groups: BTreeMap<Group, Vec<&Finding>> = BTreeMap::new();
        for finding in others {
            groups.entry(Group::of(finding)).or_default().push(finding);
        }
        for (group, findings) in groups {
            let result = self.repair_group(&group, &findings);
            self.record_failure(&findings, result)?;
        }
        Ok(())
    }

    /// Takes the locks of all findings of a group, in lock order, and repairs the findings.
    fn repair_group(&mut self, group: &Group, findings: &[&Finding]) -> Result<()> {
        let (system, sink) = (self.inspection.system, self.inspection.sink);
        let guards: BTreeSet<&Guard> = findings.iter().flat_map(|finding| &finding.guards).collect();
        let (mut locks, mut kernels) = (Vec::new(), Vec::new());
        for guard in guards {
            match guard {
                Guard::Build(name) => {
                    locks.push(lock::named(
                        system,
                        sink,
                        name,
                        "repairing what an interrupted command left",
                    )?);
                }
                Guard::Install(kernel) => kernels.push(kernel.clone()),
            }
        }
        let Group::Kernel(kernel) = group else { return self.repair_each(findings, None) };
        let mut change = Change::begin(system, sink, &kernels, Overrides::default())?;
        let result = self.repair_each(findings, Some((&mut change, kernel)));
        let finished = change.finish(Ending::EachKernel)?;
        result.and_then(|()| finished.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e)))
    }

    /// Records an error that stopped a whole group for each finding in it.
    fn record_failure(&mut self, findings: &[&Finding], result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
            Err(e) => {
                let why = e.to_string();
                self.failed.extend(findings.iter().map(|finding| ((*finding).clone(), why.clone())));
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Repairs the findings that still exist, spot by spot.
    fn repair_each(&mut self, findings: &[&Finding], mut change: Option<KernelChange<'_, '_>>) -> Result<()> {
        let mut spots: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
        for finding in findings {
            spots.entry(&finding.spot).or_default().push(finding);
        }
        for (spot, findings) in spots {
            let mut reinstalled = false;
            let current = self.inspection.findings_at(spot);
            for finding in findings {
                let reinstalls = matches!(finding.remedy, Some(Remedy::Reinstall(_)));
                let still_exists = current.iter().any(|other| other.is_same(finding) && other.safe());
                // One installation restores all files of a build.
                if !still_exists || (reinstalls && reinstalled) {
                    continue;
                }
                reinstalled |= reinstalls;
                let change = change.as_mut().map(|(change, kernel)| (&mut **change, *kernel));
                let result = self.repair_finding(finding, change);
                self.record_failure(&[finding], result)?;
            }
        }
        Ok(())
    }

    fn repair_finding(&mut self, finding: &Finding, change: Option<KernelChange<'_, '_>>) -> Result<()> {
        let system = self.inspection.system;
        let path = finding.path.as_path();
        let package = finding.about.package.as_deref();
        match (&finding.remedy, change) {
            (Some(Remedy::Delete), _) => {
                fs::remove_tree(path)?;
                remove_empty_parents(&system.layout, path);
            }
            (Some(Remedy::RemoveEmpty), _) => {
                fs::remove_dir(path)?;
                remove_empty_parents(&system.layout, path);
            }
            (Some(Remedy::Relink(target)), _) => fs::symlink_replace(target, path)?,
            (Some(Remedy::DropFromCache(path)), _) => {
                crate::cache::Cache::to_inspect(system).remove_problem(path)?;
            }
            (Some(Remedy::ClearRecord(build)), _) => clear_record(&system.layout, build)?,
            (Some(Remedy::Reinstall(build)), Some((change, kernel))) => {
                change.install(build)?;
                self.changed.push(kernel.clone());
            }
            (Some(Remedy::Unbuild(build)), Some((change, kernel))) => {
                uninstall_and_unbuild(system, build, change)?;
                self.changed.push(kernel.clone());
            }
            (Some(Remedy::RestoreOriginal(original, target)), Some((change, kernel))) => {
                change.perform(kernel, package, restore_original(original, target))?;
                self.changed.push(kernel.clone());
            }
            (Some(Remedy::DropOriginal(original)), Some((change, kernel))) => {
                change.perform(kernel, package, drop_original(original))?;
            }
            (Some(Remedy::Reindex), Some((change, kernel))) => change.require_depmod(kernel)?,
            _ => {}
        }
        Ok(())
    }
}

/// Removes the parent directories of a path in a package that have become empty.
fn remove_empty_parents(layout: &Layout, path: &Path) {
    let Some(parent) = path.parent() else { return };
    let first = parent.strip_prefix(&layout.dkms_tree).ok().and_then(|inside| inside.iter().next());
    if first.is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
        let _ = fs::remove_empty_dirs(parent, &layout.dkms_tree);
    }
}

fn clear_record(layout: &Layout, build: &Build) -> Result<()> {
    if let Some(mut manifest) = Manifest::read(layout, build)? {
        manifest.installed = None;
        manifest.store(&layout.manifest(build))?;
    }
    Ok(())
}

fn uninstall_and_unbuild(system: &System, build: &Build, change: &mut Change<'_>) -> Result<()> {
    if dkms_tree::state::is_active(&system.layout, build) {
        change.uninstall(build)?;
    }
    change.unbuild(build)
}

/// Moves the original back, and removes the file that records its path.
fn restore_original(original: &Original, target: &Path) -> Vec<Op> {
    let restore = Op::Move { from: original.archived.clone(), to: target.to_owned() };
    std::iter::once(restore).chain(original.origin_file.clone().map(remove)).collect()
}

/// Removes the original and the file that records its path.
fn drop_original(original: &Original) -> Vec<Op> {
    let files = std::iter::once(original.archived.clone()).chain(original.origin_file.clone());
    files.map(remove).collect()
}

fn remove(path: PathBuf) -> Op {
    let saved = aside(&path, "old");
    Op::Remove { path, saved }
}
