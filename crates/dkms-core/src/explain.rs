//! `--dry-run`: a plan as steps, each with its reason. Nothing is changed, and no script of a package runs; a dkms.conf
//! that needs bash is evaluated as ever, by an unprivileged user who can write nothing.

use crate::add;
use crate::build::BuildError;
use crate::conf::framework;
use crate::error::{Error, Result};
use crate::gather::{self, Gathered};
use crate::ids::{Build, Kernel, PackageId};
use crate::install::{change, uninstall};
use crate::kernel::headers;
use crate::origin::OriginError;
use crate::plan::{Step, Task, What};
use crate::remove::Parts;
use crate::session::Session;
use crate::signing;
use crate::tree::state::{self, Registration};
use std::path::{Path, PathBuf};

/// Steps in the making.
pub struct Explained<'a> {
    s: &'a Session<'a>,
    steps: Vec<Step>,
    /// Kernels whose modules change.
    changed: Vec<Kernel>,
    key: bool,
}

impl<'a> Explained<'a> {
    /// No steps yet.
    pub fn new(s: &'a Session<'a>) -> Self {
        Self { s, steps: Vec::new(), changed: Vec::new(), key: false }
    }

    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// A step that is told as it is.
    pub fn step(&mut self, what: What, reason: impl Into<String>) {
        self.push(Step::new(what, reason));
    }

    /// A source tree that is copied to `/usr/src`, unless it lies there.
    ///
    /// # Errors
    /// No or an invalid dkms.conf; the package is in the tree already.
    pub fn directory(&mut self, directory: &Path, kernel: &Kernel) -> Result<PackageId> {
        let from = directory
            .canonicalize()
            .map_err(|_| Error::Origin(OriginError::DirectoryWithoutConf(directory.to_owned())))?;
        let package = add::identify(self.s, &from, kernel)?;
        add::refuse_unless_addable(self.s, &package)?;
        let to = self.s.layout.source_dir(&package);
        if !to.canonicalize().is_ok_and(|p| p == from) {
            let reason = if to.exists() { "replaces what is there" } else { "that is where sources are" };
            self.step(What::CopySource { package: package.clone(), from, to }, reason);
        }
        self.step(What::Add(package.clone()), "it is not in the tree");
        Ok(package)
    }

    /// A package version that is registered where it is not.
    ///
    /// # Errors
    /// Broken, or there is no source.
    pub fn added(&mut self, package: &PackageId) -> Result<()> {
        add::refuse_broken(self.s, package)?;
        if state::registration(self.s.layout, package) == Registration::Added {
            return Ok(());
        }
        let source = self.s.layout.source_dir(package);
        if !source.is_dir() {
            return Err(OriginError::SourceMissing(source).into());
        }
        self.step(What::Add(package.clone()), "it is not in the tree");
        Ok(())
    }

    /// Builds and installs.
    pub fn work(&mut self, g: &Gathered) {
        for (about, reason) in &g.nothing {
            self.step(What::Nothing(about.clone()), reason);
        }
        for (b, e) in &g.wrong {
            self.step(What::Fail(b.clone()), e.to_string());
        }
        // Which step, if any, makes each task complete.
        let mut ends: Vec<Option<usize>> = Vec::new();
        for (n, task) in g.work.tasks.iter().enumerate() {
            let lost = task.after.iter().find(|a| ends.get(**a).copied().flatten().is_none());
            let after: Vec<usize> =
                task.after.iter().filter_map(|a| ends.get(*a).copied().flatten()).collect();
            let end = match lost.and_then(|a| g.work.tasks.get(*a)) {
                Some(needed) => {
                    self.step(What::Fail(task.build.clone()), format!("it needs {}", needed.build.package));
                    None
                }
                None => self.task(g, n, task, after),
            };
            ends.push(end);
        }
        for (b, missing) in &g.deferred {
            let reason = format!("waits for {}, which dkms does not know yet", missing.join(", "));
            self.step(What::Defer(b.clone()), reason);
        }
    }

    fn task(&mut self, g: &Gathered, n: usize, task: &Task, mut after: Vec<usize>) -> Option<usize> {
        let b = &task.build;
        let mut last = None;
        if let Some(why) = &task.make {
            match gather::foresee(self.s, &g.work, n) {
                Ok(()) => {}
                Err(Error::Build(BuildError::Excluded { reason, .. })) => {
                    self.step(What::Skip(b.clone()), reason);
                    return None;
                }
                Err(e) => {
                    self.step(What::Fail(b.clone()), e.to_string());
                    return None;
                }
            }
            self.key(&b.kernel);
            let step = Step::new(What::Build(b.clone()), why);
            last = Some(self.push(Step { after, expected: task.expected, ..step }));
            after = last.into_iter().collect();
        }
        let Some(why) = &task.install else { return last };
        if task.reinstall {
            after = vec![self.uninstall(b, "to be installed anew", after)?];
        }
        let mut step = Step { after, ..Step::new(What::Install(b.clone()), why) };
        if task.make.is_none() && !task.reinstall {
            match change::foresee(self.s, b) {
                Ok(planned) if planned.ops.is_empty() => {
                    let kept = planned.kept.iter().map(|(p, why)| format!("{}: {why}", p.display()));
                    self.step(What::Nothing(b.to_string()), kept.collect::<Vec<_>>().join("; "));
                    return last;
                }
                Ok(planned) => step.files = self.modules(planned.ops.iter().flat_map(|op| op.places())),
                Err(e) => {
                    self.step(What::Fail(b.clone()), e.to_string());
                    return None;
                }
            }
        }
        self.changed.push(b.kernel.clone());
        Some(self.push(step))
    }

    /// The module files among those that change.
    fn modules<'p>(&self, places: impl IntoIterator<Item = Option<&'p Path>>) -> Vec<PathBuf> {
        let is_module = |p: &&Path| {
            p.file_name().and_then(|f| f.to_str()).is_some_and(|f| state::module_stem(f).is_some())
        };
        let mut files: Vec<PathBuf> =
            places.into_iter().flatten().filter(is_module).map(Path::to_owned).collect();
        files.dedup();
        files
    }

    fn uninstall(&mut self, b: &Build, why: &str, after: Vec<usize>) -> Option<usize> {
        let planned = match uninstall::plan(self.s, b) {
            Ok(planned) => planned,
            Err(e) => {
                self.step(What::Fail(b.clone()), e.to_string());
                return None;
            }
        };
        let files = self.modules(planned.ops.iter().flat_map(|op| op.places()));
        self.changed.push(b.kernel.clone());
        Some(self.push(Step { after, files, ..Step::new(What::Uninstall(b.clone()), why) }))
    }

    /// The signing key, before the first build that needs it.
    fn key(&mut self, kernel: &Kernel) {
        if self.key {
            return;
        }
        let found = headers::find(self.s, kernel).and_then(|h| {
            let framework = framework::load(self.s, Some(&kernel.release))?;
            Ok(signing::key_to_create(self.s, &h, &framework))
        });
        if let Ok(Some(pair)) = found {
            self.key = true;
            let what = What::MakeKey { key: pair.key, certificate: pair.certificate };
            self.step(what, "modules of this kernel are signed, and there is no key");
        }
    }

    /// What is taken back.
    pub fn parts(&mut self, all: &Parts, why: &str) {
        for part in &all.parts {
            if let Some(reason) = part.nothing {
                self.step(What::Nothing(part.build.to_string()), reason);
            }
            if part.uninstall {
                self.uninstall(&part.build, why, Vec::new());
            }
            if part.unbuild {
                self.step(What::Unbuild(part.build.clone()), why);
            }
        }
        for package in &all.forget {
            self.step(What::Remove(package.clone()), "it is built for no kernel then");
        }
        for package in &all.stay {
            self.step(What::Nothing(package.to_string()), "stays in the tree: it is built for other kernels");
        }
    }

    /// All steps, with what comes at the end of a command: depmod for each kernel, and post_transaction.
    pub fn end(mut self) -> Vec<Step> {
        let mut kernels = std::mem::take(&mut self.changed);
        kernels.sort();
        kernels.dedup();
        let about = |step: &Step, kernel: &Kernel| match &step.what {
            What::Install(b) | What::Uninstall(b) => b.kernel == *kernel,
            _ => false,
        };
        for kernel in &kernels {
            let index = self.s.layout.kernel_modules(&kernel.release).join("modules.dep");
            if self.s.options.no_depmod || !index.is_file() {
                continue;
            }
            let steps = self.steps.iter().enumerate();
            let after = steps.filter(|(_, step)| about(step, kernel)).map(|(n, _)| n).collect();
            let step = Step::new(What::Depmod(kernel.clone()), "its modules change");
            self.push(Step { after, ..step });
        }
        if let Some(first) = kernels.first() {
            let command = framework::load(self.s, Some(&first.release)).ok().and_then(|f| f.post_transaction);
            if let Some(command) = command.filter(|c| !c.trim().is_empty()) {
                self.step(What::PostTransaction(command), "framework.conf wants it after every change");
            }
        }
        self.steps
    }
}
