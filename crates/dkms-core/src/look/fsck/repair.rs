//! Safe repairs. dkms takes the locks of a finding and checks its spot again, because another command may
//! have changed it meanwhile. It only repairs findings that still exist.

use super::finding::{Finding, Guard, Remedy, Report};
use super::look::look;
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
use std::path::Path;

/// One repair may reveal another, such as originals behind a dangling link. This is the maximum number of
/// rounds.
const ROUNDS: usize = 4;

/// The result of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// The findings that were repaired.
    pub repaired: Vec<Finding>,
    /// The remaining findings, and the paths that could not be checked.
    pub left: Report,
    /// Repairs that failed: the path, and why.
    pub failed: Vec<(Finding, String)>,
    /// Kernels whose modules may have changed.
    pub changed: Vec<Kernel>,
}

impl Repaired {
    /// Returns the reason why the repair of a remaining finding failed.
    pub fn failure(&self, f: &Finding) -> Option<&str> {
        self.failed.iter().find(|(other, _)| other.is(f)).map(|(_, why)| why.as_str())
    }
}

/// Repairs the safe findings in a report of [`look`] with the same filters, until only unsafe findings and
/// failed repairs are left. The options must not contain --force: a repair never replaces files that are
/// newer or unknown.
///
/// # Errors
/// As for [`look`]; [`Error::Interrupted`]. A failed repair does not stop the others: it is in
/// [`Repaired::failed`].
pub fn repair(system: &System, sink: &dyn Sink, filters: &[Filter], first: Report) -> Result<Repaired> {
    let mut done = Repaired { left: first, ..Repaired::default() };
    for _ in 0..ROUNDS {
        let tried: Vec<Finding> = done.left.findings.iter().filter(|f| f.safe()).cloned().collect();
        let tried: Vec<Finding> = tried.into_iter().filter(|f| done.failure(f).is_none()).collect();
        if tried.is_empty() {
            break;
        }
        Round {
            l: Inspection::new(system, sink, filters),
            failed: &mut done.failed,
            changed: &mut done.changed,
        }
        .run(&tried)?;
        done.left = look(system, sink, filters)?;
        for finding in tried {
            let still = done.left.findings.iter().any(|other| other.is(&finding));
            match (done.failure(&finding).is_some(), still) {
                (false, false) => done.repaired.push(finding),
                (false, true) => done.failed.push((finding, "it is still so after the repair".into())),
                // Another command holds its lock.
                (true, false) => done.left.findings.push(finding),
                (true, true) => {}
            }
        }
    }
    done.changed.sort();
    done.changed.dedup();
    Ok(done)
}

struct Round<'a> {
    l: Inspection<'a>,
    failed: &'a mut Vec<(Finding, String)>,
    changed: &'a mut Vec<Kernel>,
}

/// The group of a repair: changes of one kernel share a lock, a journal and a depmod.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Under {
    Kernel(Kernel),
    Build(String),
    Nothing,
}

fn under(finding: &Finding) -> Under {
    let kernel = finding.guards.iter().find_map(|g| match g {
        Guard::Install(k) => Some(Under::Kernel(k.clone())),
        Guard::Build(_) => None,
    });
    let build = || finding.guards.first().map(|g| Under::Build(g.name()));
    kernel.or_else(build).unwrap_or(Under::Nothing)
}

/// A change, and the kernel of its findings.
type On<'a, 'c> = Option<(&'a mut Change<'c>, &'a Kernel)>;

impl Round<'_> {
    fn run(mut self, tried: &[Finding]) -> Result<()> {
        // Recovering a journal may also repair other findings, so it runs first.
        let (journals, others): (Vec<&Finding>, Vec<&Finding>) =
            tried.iter().partition(|f| matches!(f.remedy, Some(Remedy::Recover)));
        if !journals.is_empty() {
            let done = recover::recover_interrupted(self.l.system, self.l.sink);
            self.settle(&journals, done)?;
        }
        let mut groups: BTreeMap<Under, Vec<&Finding>> = BTreeMap::new();
        for finding in others {
            groups.entry(under(finding)).or_default().push(finding);
        }
        for (place, group) in groups {
            let done = self.locked(&place, &group);
            self.settle(&group, done)?;
        }
        Ok(())
    }

    /// Takes the locks of all findings of a group, in lock order, and repairs the group.
    fn locked(&mut self, place: &Under, group: &[&Finding]) -> Result<()> {
        let guards: BTreeSet<&Guard> = group.iter().flat_map(|f| &f.guards).collect();
        let (mut held, mut kernels) = (Vec::new(), Vec::new());
        for guard in guards {
            match guard {
                Guard::Build(name) => held.push(lock::named(
                    self.l.system,
                    self.l.sink,
                    name,
                    "repairing what an interrupted command left",
                )?),
                Guard::Install(kernel) => kernels.push(kernel.clone()),
            }
        }
        let Under::Kernel(kernel) = place else { return self.each(group, None) };
        let mut change = Change::begin(self.l.system, self.l.sink, &kernels, Overrides::default())?;
        let done = self.each(group, Some((&mut change, kernel)));
        let finished = change.finish(Ending::EachKernel)?;
        done.and_then(|()| finished.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e)))
    }

    /// An error that stops a whole group is reported for each finding in it.
    fn settle(&mut self, group: &[&Finding], done: Result<()>) -> Result<()> {
        match done {
            Err(Error::Interrupted(signal)) => Err(Error::Interrupted(signal)),
            Err(e) => {
                let why = e.to_string();
                self.failed.extend(group.iter().map(|f| ((*f).clone(), why.clone())));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Repairs the findings that still exist, spot by spot.
    fn each(&mut self, group: &[&Finding], mut on: On<'_, '_>) -> Result<()> {
        let mut spots: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
        for finding in group {
            spots.entry(&finding.spot).or_default().push(finding);
        }
        for (spot, findings) in spots {
            let mut installed = false;
            let now = self.l.at(spot);
            for finding in findings {
                let again = matches!(finding.remedy, Some(Remedy::Reinstall(_)));
                // One installation restores all files of a build.
                if !now.iter().any(|n| n.is(finding) && n.safe()) || (again && installed) {
                    continue;
                }
                installed |= again;
                match self.repair_one(finding, on.as_mut().map(|(change, kernel)| (&mut **change, *kernel))) {
                    Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
                    Err(e) => self.failed.push((finding.clone(), e.to_string())),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    fn repair_one(&mut self, finding: &Finding, on: On<'_, '_>) -> Result<()> {
        let system = self.l.system;
        let path = finding.path.as_path();
        let package = finding.about.package.as_deref();
        match (&finding.remedy, on) {
            (Some(Remedy::Delete), _) => {
                fs::remove_tree(path)?;
                if let Some(parent) = path.parent() {
                    remove_empty(&system.layout, parent);
                }
            }
            (Some(Remedy::RemoveEmpty), _) => {
                fs::remove_dir(path)?;
                if let Some(parent) = path.parent() {
                    remove_empty(&system.layout, parent);
                }
            }
            (Some(Remedy::Relink(target)), _) => fs::symlink_replace(target, path)?,
            (Some(Remedy::DropFromCache(path)), _) => {
                crate::cache::Cache::to_inspect(system).remove_problem(path)?
            }
            (Some(Remedy::ClearRecord(b)), _) => clear_record(&system.layout, b)?,
            (Some(Remedy::Reinstall(b)), Some((change, _))) => {
                change.install(b)?;
                self.changed.push(b.kernel.clone());
            }
            (Some(Remedy::Unbuild(b)), Some((change, _))) => {
                uninstall_and_unbuild(system, b, change)?;
                self.changed.push(b.kernel.clone());
            }
            (Some(Remedy::RestoreOriginal(o, to)), Some((change, kernel))) => {
                change.perform(kernel, package, restore_original(o, to))?;
                self.changed.push(kernel.clone());
            }
            (Some(Remedy::DropOriginal(o)), Some((change, kernel))) => {
                change.perform(kernel, package, drop_original(o))?;
            }
            (Some(Remedy::Reindex), Some((change, kernel))) => change.require_depmod(kernel)?,
            _ => {}
        }
        Ok(())
    }
}

/// Removes directories of a package that have become empty.
fn remove_empty(layout: &Layout, dir: &Path) {
    let first = dir.strip_prefix(&layout.dkms_tree).ok().and_then(|inside| inside.iter().next());
    if first.is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
        let _ = fs::remove_empty_dirs(dir, &layout.dkms_tree);
    }
}

fn clear_record(layout: &Layout, build: &Build) -> Result<()> {
    if let Some(mut m) = Manifest::read(layout, build)? {
        m.installed = None;
        m.store(&layout.manifest(build))?;
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
fn restore_original(original: &Original, to: &Path) -> Vec<Op> {
    let back = Op::Move { from: original.archived.clone(), to: to.to_owned() };
    std::iter::once(back).chain(forget_origin(original)).collect()
}

fn drop_original(original: &Original) -> Vec<Op> {
    let gone = Op::Remove { path: original.archived.clone(), saved: aside(&original.archived, "old") };
    std::iter::once(gone).chain(forget_origin(original)).collect()
}

fn forget_origin(original: &Original) -> Option<Op> {
    let path = original.origin_file.clone()?;
    let saved = aside(&path, "old");
    Some(Op::Remove { path, saved })
}
