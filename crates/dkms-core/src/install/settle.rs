//! The end of a [`Change`]: depmod and then the commit, or a rollback.

use super::change::Change;
use super::{clean, depmod, weak};
use crate::error::{Error, Result};
use crate::event::{Event, Sink};
use crate::install::InstallError;
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::ids::Kernel;

/// How a change ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// If depmod fails, everything is rolled back, for all kernels.
    Whole,
    /// If depmod fails, its kernel is rolled back. An interrupt before the end rolls everything back.
    EachKernel,
    /// Like [`Ending::EachKernel`], but interrupts are ignored.
    Uninterrupted,
    /// Modules are removed even if depmod fails, because the kernel itself is about to be removed.
    Regardless,
}

/// The result of a change.
#[derive(Debug, Default)]
pub struct Finished {
    /// Kernels whose modules changed.
    pub changed: Vec<Kernel>,
    /// Kernels that were rolled back, and why.
    pub failed: Vec<(Kernel, Error)>,
}

impl Change {
    /// Runs depmod for each kernel that needs it, then commits.
    ///
    /// # Errors
    /// An interrupt; depmod failed ([`Ending::Whole`]); the commit cannot be recorded. Everything is rolled
    /// back then.
    pub fn finish(mut self, system: &System, sink: &dyn Sink, ending: Ending) -> Result<Finished> {
        let interrupted = || match ending {
            Ending::Uninterrupted => None,
            _ => dkms_sys::signal::interrupted().map(Error::Interrupted),
        };
        if let Some(e) = interrupted() {
            return self.give_up(system, sink, &[], e);
        }
        // This comes before depmod, so that a kernel's directory that is empty now is recognised as empty.
        self.remove_empty(&system.host, &system.layout);
        let mut finished = Finished::default();
        let dirty: Vec<Kernel> = self.kernels.iter().filter(|k| k.dirty).map(|k| k.kernel.clone()).collect();
        if let Err(e) = dirty.iter().try_for_each(|k| self.transaction.depmod_begins(k)) {
            return self.give_up(system, sink, &[], e.into());
        }
        for (kernel, result) in index_all(system, sink, &dirty) {
            match result {
                Ok(()) => finished.changed.push(kernel),
                Err(e) if ending == Ending::Regardless => {
                    sink.warn(format!("{e}; the modules are removed anyway"));
                    finished.changed.push(kernel);
                }
                Err(e) if ending == Ending::Whole => return self.give_up(system, sink, &dirty, e),
                Err(e) => {
                    self.roll_back_kernel(system, sink, &kernel)?;
                    finished.failed.push((kernel, e));
                }
            }
        }
        if let Some(e) = interrupted() {
            // The interrupt came while depmod ran, which is not interrupted.
            return self.give_up(system, sink, &dirty, e);
        }
        self.commit(system, sink, false)?;
        for (_, path) in &self.pending_depmod {
            fs::remove_file(path)?;
        }
        for of in &self.kernels {
            weak::run(system, sink, &of.kernel, weak::Change::Add, &of.weak);
        }
        Ok(finished)
    }

    /// Rolls everything back, and runs depmod again for the kernels for which it ran.
    fn give_up(self, system: &System, sink: &dyn Sink, indexed: &[Kernel], e: Error) -> Result<Finished> {
        let e = self.abandon_because(system, sink, e);
        for kernel in indexed {
            if let Err(again) = depmod::run(system, sink, kernel) {
                sink.event(Event::Detail { text: format!("after the rollback: {again}") });
            }
        }
        Err(e)
    }

    /// Restores one kernel to its state before the command.
    fn roll_back_kernel(&mut self, system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<()> {
        let of = self.of(kernel)?;
        of.weak.clear();
        let installed_before = std::mem::take(&mut of.installed_before);
        self.transaction.rollback_kernel(kernel)?;
        self.results.retain(|(of, _)| of != kernel);
        for b in installed_before.iter().rev() {
            self.uninstall(system, sink, b)?;
        }
        self.remove_empty(&system.host, &system.layout);
        Ok(())
    }

    /// Commits, and leaves depmod to a later change of the same kernels by this command.
    ///
    /// # Errors
    /// The commit cannot be recorded. Everything is rolled back then.
    pub fn finish_without_depmod(mut self, system: &System, sink: &dyn Sink) -> Result<()> {
        let dirty = self.kernels.iter().any(|k| k.dirty);
        self.commit(system, sink, dirty)?;
        for of in &self.kernels {
            weak::run(system, sink, &of.kernel, weak::Change::Add, &of.weak);
        }
        Ok(())
    }

    /// Makes [`Change::finish`] run depmod for a kernel, even if none of its modules change.
    ///
    /// # Errors
    /// The kernel is not part of this change.
    pub(crate) fn require_depmod(&mut self, kernel: &Kernel) -> Result<()> {
        self.of(kernel)?.dirty = true;
        Ok(())
    }

    /// Reports an event when the change commits, because it may be rolled back before.
    pub(crate) fn report_later(&mut self, kernel: &Kernel, event: Event) {
        self.results.push((kernel.clone(), event));
    }

    fn commit(&mut self, system: &System, sink: &dyn Sink, depmod_pending: bool) -> Result<()> {
        let kernels = &self.kernels;
        let clean_up = || {
            kernels
                .iter()
                .for_each(|k| clean::remove_empty(&system.host, &system.layout, &k.kernel, &k.emptied))
        };
        let done = self.transaction.commit(depmod_pending, clean_up);
        if done.is_err() {
            for kernel in self.kernels.iter().map(|k| k.kernel.clone()).collect::<Vec<_>>() {
                if let Err(further) = self.transaction.rollback_kernel(&kernel) {
                    sink.warn(format!("not everything could be rolled back: {further}"));
                }
            }
            self.remove_empty(&system.host, &system.layout);
            self.results.clear();
        }
        for (_, event) in self.results.drain(..) {
            sink.event(event);
        }
        Ok(done?)
    }

    /// Rolls everything back because of an error, and returns that error. If the rollback fails too, that is
    /// only a warning, because the error that stopped the command is more important.
    pub fn abandon_because(self, system: &System, sink: &dyn Sink, e: Error) -> Error {
        if let Err(further) = self.abandon(system, sink) {
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
    pub fn abandon(self, system: &System, sink: &dyn Sink) -> Result<()> {
        self.transaction.rollback()?;
        for of in &self.kernels {
            clean::remove_empty(&system.host, &system.layout, &of.kernel, &of.emptied);
            weak::run(system, sink, &of.kernel, weak::Change::Add, &of.weak_gone);
        }
        Ok(())
    }
}

/// Runs depmod for several kernels at the same time.
fn index_all(system: &System, sink: &dyn Sink, kernels: &[Kernel]) -> Vec<(Kernel, Result<()>)> {
    if let [kernel] = kernels {
        return vec![(kernel.clone(), depmod::run(system, sink, kernel))];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> =
            kernels.iter().map(|k| (k.clone(), scope.spawn(move || depmod::run(system, sink, k)))).collect();
        let died = |k: &Kernel| {
            Error::Install(InstallError::DepmodFailed { kernel: k.clone(), cause: "its thread ended".into() })
        };
        running.into_iter().map(|(k, t)| (k.clone(), t.join().unwrap_or_else(|_| Err(died(&k))))).collect()
    })
}
