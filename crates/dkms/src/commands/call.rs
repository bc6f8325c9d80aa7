//! The arguments of an action's function, and the checks that several actions share.

use crate::actions::Opt;
use crate::cli::Arguments;
use crate::render;
use crate::request::{KernelWords, Subject};
use crate::ui::Ui;
use dkms_conf::framework_conf::Prebuilt;
use dkms_core::cache::Cache;
use dkms_core::error::Result;
use dkms_core::event::Sink;
use dkms_core::plan::Plan;
use dkms_core::registry;
use dkms_core::request::{Overrides, RequestError};
use dkms_core::system::System;

/// The arguments of an action's function.
pub(crate) struct Call<'a> {
    /// The command line.
    pub(super) arguments: &'a Arguments,
    /// What the operands refer to.
    pub(super) subject: &'a Subject,
    /// The kernels.
    pub(super) words: &'a KernelWords,
    /// Paths, machine, options and the event sink.
    pub(super) system: &'a System,
    pub(super) sink: &'a dyn Sink,
    /// Prints data.
    pub(super) ui: &'a Ui,
}

impl Call<'_> {
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
        let text = if self.arguments.json { render::json::plan(&plan) } else { render::plain::plan(&plan) };
        self.ui.data(&text);
        Ok(())
    }

    /// Adds to each build of a plan where its modules come from, or where they are looked for.
    fn annotate(&self, plan: &mut Plan) -> Result<()> {
        let mode = registry::mode(&self.system.settings);
        let has_cache = Cache::of(self.system).is_some_and(|cache| cache.distrust().is_none());
        let asked = match (has_cache, mode) {
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
            let known = if mode == Prebuilt::Off {
                Ok(None)
            } else {
                registry::predict_origin(self.system, self.sink, build)
            };
            match known {
                Ok(from) => from.or_else(|| Some(asked.to_owned())),
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

    /// Refuses users other than root. Printing a plan needs no privileges.
    pub(super) fn require_root(&self) -> Result<()> {
        // In another root, its owner has all rights.
        if self.system.host.root || self.system.host.other_root.is_some() || self.arguments.dry_run {
            Ok(())
        } else {
            Err(RequestError::NotRoot.into())
        }
    }

    /// Refuses a tree that cannot be written, unless the plan is only printed.
    pub(super) fn require_writable_tree(&self) -> Result<()> {
        if self.arguments.dry_run { Ok(()) } else { self.system.require_writable_tree() }
    }
}
