//! The arguments of an action's function, and what several actions share: output, checks, default kernels.

use crate::actions::Opt;
use crate::cli::Arguments;
use crate::render;
use crate::request::{KernelWords, Subject};
use crate::ui::Ui;
use dkms_conf::framework_conf::Prebuilt;
use dkms_core::cache::Cache;
use dkms_core::error::Result;
use dkms_core::event::Sink;
use dkms_core::ids::Kernel;
use dkms_core::plan::{Plan, gather};
use dkms_core::registry;
use dkms_core::request::{Overrides, RequestError};
use dkms_core::system::System;

/// The arguments of an action's function.
pub(crate) struct Call<'a> {
    /// The command line.
    pub(super) arguments: &'a Arguments,
    /// The package, directory or archive that the operands name.
    pub(super) subject: &'a Subject,
    /// The kernels and architectures that the options name.
    pub(super) words: &'a KernelWords,
    /// Paths, machine and settings.
    pub(super) system: &'a System,
    /// Receives the events.
    pub(super) sink: &'a dyn Sink,
    /// Prints data.
    pub(super) ui: &'a Ui,
}

impl Call<'_> {
    /// Prints an answer: as JSON with `--json`, else as text.
    pub(super) fn print(&self, json: impl FnOnce() -> String, text: impl FnOnce() -> String) {
        self.ui.data(&if self.arguments.json { json() } else { text() });
    }

    /// The architecture of the kernels: the first one that is given, or that of the running kernel.
    pub(super) fn arch(&self) -> String {
        match self.words.arches.first() {
            Some(arch) => arch.clone(),
            None => crate::host::arch_of(self.system, &self.system.host.release),
        }
    }

    /// Every kernel that has headers.
    pub(super) fn kernels_with_headers(&self) -> Vec<Kernel> {
        gather::kernels_with_headers(&self.system.layout, &self.system.settings, &self.arch())
    }

    /// Prints a plan with `--dry-run`, else executes it.
    pub(super) fn print_or_execute(
        &self,
        mut plan: Plan,
        execute: impl FnOnce(Plan) -> Result<()>,
    ) -> Result<()> {
        if !self.arguments.dry_run {
            return execute(plan);
        }
        self.annotate(&mut plan)?;
        self.print(|| render::json::plan(&plan), || render::plain::plan(&plan));
        Ok(())
    }

    /// Adds to each build of a plan where its modules will come from, or where dkms looks for them first.
    fn annotate(&self, plan: &mut Plan) -> Result<()> {
        let mode = registry::mode(&self.system.settings);
        let has_cache = Cache::of(self.system).is_some_and(|cache| cache.distrust().is_none());
        let looked_up = match (has_cache, mode) {
            (false, Prebuilt::Off) => return Ok(()),
            (true, Prebuilt::Off) => "the cache is asked first",
            (false, _) => "the registry is asked first",
            (true, _) => "the cache and the registry are asked first",
        };
        let mut interrupted = Ok(());
        plan.annotate_builds(|build, reusable| {
            if interrupted.is_err() || !(reusable || mode == Prebuilt::Only) {
                return None;
            }
            let source = match mode {
                Prebuilt::Off => Ok(None),
                _ => registry::predict_origin(self.system, self.sink, build),
            };
            match source {
                Ok(source) => source.or_else(|| Some(looked_up.to_owned())),
                Err(e) => {
                    interrupted = Err(e);
                    None
                }
            }
        });
        interrupted
    }

    /// The safety checks that the command line overrides. An action without these options overrides none: a
    /// repair, for example, never replaces files that are newer or unknown.
    pub(super) fn overrides(&self) -> Overrides {
        let arguments = self.arguments;
        if !arguments.applies(Opt::Force) {
            return Overrides::default();
        }
        Overrides {
            force: arguments.force,
            version: arguments.force_version_override,
            rpm_safe_upgrade: arguments.rpm_safe_upgrade,
        }
    }

    /// Refuses users other than root. `--dry-run` needs no privileges.
    pub(super) fn require_root(&self) -> Result<()> {
        // With --root, a user can change the files that they own.
        if self.system.host.root || self.system.host.other_root.is_some() || self.arguments.dry_run {
            Ok(())
        } else {
            Err(RequestError::NotRoot.into())
        }
    }

    /// Refuses a tree that is not writable, except with `--dry-run`.
    pub(super) fn require_writable_tree(&self) -> Result<()> {
        if self.arguments.dry_run { Ok(()) } else { self.system.require_writable_tree() }
    }
}
