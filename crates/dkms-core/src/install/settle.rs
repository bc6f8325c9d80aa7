//! The end of a [`Change`]: depmod and then the commit, or a rollback.

use super::change::Change;
use super::recover::PendingDepmod;
use super::{clean, depmod, weak};
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::install::InstallError;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::ids::Kernel;
use std::path::Path;
use std::thread::ScopedJoinHandle;

/// How a change ends if something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// If depmod fails, everything is rolled back, for all kernels.
    Whole,
    /// If depmod fails for a kernel, only that kernel is rolled back. An interrupt rolls everything back.
    EachKernel,
    /// Like [`Ending::EachKernel`], but interrupts are ignored.
    Uninterrupted,
    /// Modules are removed even if depmod fails, because the kernel itself is about to be removed.
    Regardless,
}

/// The result of a change.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Kernels whose modules changed.
    pub changed: Vec<Kernel>,
    /// Kernels that were rolled back, and why.
    pub failed: Vec<(Kernel, Error)>,
}

impl Change<'_> {
    /// Runs depmod for each kernel that needs it, then commits.
    ///
    /// # Errors
    /// An interrupt; depmod failed ([`Ending::Whole`]); the commit cannot be recorded. Everything is rolled
    /// back then.
    pub(crate) fn finish(mut self, ending: Ending) -> Result<Finished> {
        let (system, sink) = (self.system, self.sink);
        let interrupted = || match ending {
            Ending::Uninterrupted => None,
            _ => dkms_sys::signal::interrupted().map(Error::Interrupted),
        };
        if let Some(e) = interrupted() {
            return self.give_up(&[], e);
        }
        // This comes before depmod, which must find a kernel's directory empty if nothing is left in it.
        self.remove_empty();
        let mut finished = Finished::default();
        let needs_depmod = self.kernels.iter().filter(|state| state.needs_depmod);
        let kernels: Vec<Kernel> = needs_depmod.map(|state| state.kernel.clone()).collect();
        if let Err(e) = kernels.iter().try_for_each(|kernel| self.transaction.depmod_begins(kernel)) {
            return self.give_up(&[], e.into());
        }
        for (kernel, result) in index_all(system, sink, &kernels) {
            match result {
                Ok(()) => finished.changed.push(kernel),
                Err(e) if ending == Ending::Regardless => {
                    sink.warn(format!("{e}; the modules are removed anyway"));
                    finished.changed.push(kernel);
                }
                Err(e) if ending == Ending::Whole => return self.give_up(&kernels, e),
                Err(e) => {
                    self.roll_back_kernel(&kernel)?;
                    finished.failed.push((kernel, e));
                }
            }
        }
        if let Some(e) = interrupted() {
            // The interrupt came while depmod ran, which is not interrupted.
            return self.give_up(&kernels, e);
        }
        self.commit(false)?;
        for path in completed_journals(&self.pending_depmod, &finished.failed) {
            fs::remove_file(path)?;
        }
        self.add_weak_links();
        Ok(finished)
    }

    fn add_weak_links(&self) {
        let (system, sink) = (self.system, self.sink);
        for state in &self.kernels {
            weak::run(system, sink, &state.kernel, weak::Action::Add, &state.weak);
        }
    }

    /// Rolls everything back, and runs depmod again for the kernels for which it ran.
    fn give_up(self, indexed: &[Kernel], e: Error) -> Result<Finished> {
        let (system, sink) = (self.system, self.sink);
        let error = self.abandon_because(e);
        for kernel in indexed {
            if let Err(again) = depmod::run(system, sink, kernel) {
                sink.event(Event::Detail { text: format!("after the rollback: {again}") });
            }
        }
        Err(error)
    }

    /// Restores one kernel to its state before the command.
    fn roll_back_kernel(&mut self, kernel: &Kernel) -> Result<()> {
        let state = self.state_of(kernel)?;
        state.weak.clear();
        let installed_before = std::mem::take(&mut state.installed_before);
        self.transaction.rollback_kernel(kernel)?;
        self.results.retain(|(changed, _)| changed != kernel);
        for build in installed_before.iter().rev() {
            self.uninstall(build)?;
        }
        self.remove_empty();
        Ok(())
    }

    /// Commits, and leaves depmod to a later change of the same kernels by this command.
    ///
    /// # Errors
    /// The commit cannot be recorded. Everything is rolled back then.
    pub(crate) fn finish_without_depmod(mut self) -> Result<()> {
        let needs_depmod = self.kernels.iter().any(|state| state.needs_depmod);
        self.commit(needs_depmod)?;
        self.add_weak_links();
        Ok(())
    }

    /// Makes [`Change::finish`] run depmod for a kernel, even if none of its modules change.
    ///
    /// # Errors
    /// The kernel is not part of this change.
    pub(crate) fn require_depmod(&mut self, kernel: &Kernel) -> Result<()> {
        self.state_of(kernel)?.needs_depmod = true;
        Ok(())
    }

    /// Reports an event when the change commits, because it may be rolled back before.
    pub(crate) fn report_later(&mut self, kernel: &Kernel, event: Event) {
        self.results.push((kernel.clone(), event));
    }

    fn commit(&mut self, depmod_pending: bool) -> Result<()> {
        let (system, sink) = (self.system, self.sink);
        let (kernels, layout) = (&self.kernels, &system.layout);
        let clean_up = || {
            for state in kernels {
                clean::remove_empty(&system.host, layout, &state.kernel, &state.emptied);
            }
        };
        let done = self.transaction.commit(depmod_pending, clean_up);
        if done.is_err() {
            for state in &self.kernels {
                if let Err(further) = self.transaction.rollback_kernel(&state.kernel) {
                    sink.warn(format!("not everything could be rolled back: {further}"));
                }
            }
            self.remove_empty();
            self.results.clear();
        }
        for (_, event) in self.results.drain(..) {
            sink.event(event);
        }
        Ok(done?)
    }

    /// Rolls everything back because of an error, and returns that error. If the rollback fails too, that is
    /// only a warning, because the error that stopped the command is more important.
    pub(crate) fn abandon_because(self, e: Error) -> Error {
        let sink = self.sink;
        if let Err(further) = self.abandon() {
            sink.warn(format!(
                "not everything could be rolled back, the next dkms command tries again: {further}"
            ));
        }
        e
    }

    /// Rolls everything back.
    ///
    /// # Errors
    /// Something cannot be restored.
    fn abandon(self) -> Result<()> {
        let (system, sink) = (self.system, self.sink);
        self.transaction.rollback()?;
        for state in &self.kernels {
            clean::remove_empty(&system.host, &system.layout, &state.kernel, &state.emptied);
            weak::run(system, sink, &state.kernel, weak::Action::Add, &state.weak_removed);
        }
        Ok(())
    }
}

/// Returns the journals for which depmod has run for all their kernels. The others stay, so that the next
/// command runs depmod again.
fn completed_journals<'a>(
    pending: &'a [PendingDepmod],
    failed: &[(Kernel, Error)],
) -> impl Iterator<Item = &'a Path> {
    let has_failed = |kernel: &Kernel| failed.iter().any(|(other, _)| other == kernel);
    let failed: Vec<&Path> =
        pending.iter().filter(|(kernel, _)| has_failed(kernel)).map(|(_, path)| path.as_path()).collect();
    pending.iter().map(|(_, path)| path.as_path()).filter(move |path| !failed.contains(path))
}

/// Runs depmod for several kernels at the same time.
fn index_all(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Vec<(Kernel, Result<()>)> {
    if let [kernel] = kernels {
        return vec![(kernel.clone(), depmod::run(system, sink, kernel))];
    }
    std::thread::scope(|scope| {
        let start = |kernel| (kernel, scope.spawn(move || depmod::run(system, sink, kernel)));
        let threads: Vec<_> = kernels.iter().map(start).collect();
        let result = |(kernel, thread): (&Kernel, ScopedJoinHandle<'_, Result<()>>)| {
            let panicked = |_| {
                let cause = "its thread ended".into();
                Err(InstallError::DepmodFailed { kernel: kernel.clone(), cause }.into())
            };
            (kernel.clone(), thread.join().unwrap_or_else(panicked))
        };
        threads.into_iter().map(result).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_journal_stays_while_depmod_fails_for_one_of_its_kernels() {
        let kernel = |release: &str| Kernel::new(release, "x86_64").unwrap();
        let pending: Vec<PendingDepmod> =
            [("6.1", "both"), ("6.2", "both"), ("6.1", "first"), ("6.2", "second")]
                .map(|(release, journal)| (kernel(release), PathBuf::from(journal)))
                .into();
        let completed = |failed: &[(Kernel, Error)]| -> Vec<PathBuf> {
            completed_journals(&pending, failed).map(Path::to_owned).collect()
        };
        assert_eq!(completed(&[]).len(), 4);
        let failed = (kernel("6.2"), Error::NoOsRelease("/".into()));
        assert_eq!(completed(&[failed]), [PathBuf::from("first")]);
    }
}
