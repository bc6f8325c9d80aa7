//! Carrying out what was planned: builds, installs, one depmod per kernel, on with the others after a failure.

use crate::add;
use crate::build::{self, Target};
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ids::{Build, Kernel, PackageId};
use crate::install::{KernelChange, Outcome};
use crate::plan::{self, AutoinstallPlan, Candidate};
use crate::remove::keep_first;
use crate::session::Session;
use crate::status;
use crate::tree::state::{self, BuildState, Registration};
use dkms_sys::process::{Command, Stdin, Stream};
use std::collections::HashMap;

/// One command's work on one kernel after another: prepared kernels, and what is to be done once at the end.
pub struct Work<'a> {
    s: &'a Session<'a>,
    targets: HashMap<Kernel, Target>,
    changes: Vec<KernelChange>,
    changed: Vec<Kernel>,
}

impl<'a> Work<'a> {
    /// Nothing done yet.
    pub fn new(s: &'a Session<'a>) -> Self {
        Self { s, targets: HashMap::new(), changes: Vec::new(), changed: Vec::new() }
    }

    /// Builds one, unless it is built; with `--force` anew.
    ///
    /// # Errors
    /// Every way a build can fail.
    pub fn build(&mut self, b: &Build) -> Result<()> {
        let replace = match state::build_state(self.s.layout, b) {
            BuildState::NotBuilt => false,
            _ if self.s.options.force => true,
            _ => {
                self.s.tell(Event::Nothing { about: b.to_string(), reason: "is already built".into() });
                return Ok(());
            }
        };
        self.build_now(b, replace)
    }

    fn build_now(&mut self, b: &Build, replace: bool) -> Result<()> {
        // BUILD_EXCLUSIVE and a wrong dkms.conf are said before missing headers are.
        build::configuration(self.s, b)?;
        if !self.targets.contains_key(&b.kernel) {
            let target = Target::prepare(self.s, &b.kernel)?;
            self.targets.insert(b.kernel.clone(), target);
        }
        match self.targets.get(&b.kernel) {
            Some(target) => {
                build::build(self.s, target, b, replace).map(|_| ()).inspect_err(|e| report(self.s, b, e))
            }
            None => Ok(()),
        }
    }

    /// Installs one, building it first when it is not built. Already installed: nothing, or anew with `--force`.
    ///
    /// # Errors
    /// Nothing of it is installed then.
    pub fn install(&mut self, b: &Build) -> Result<Outcome> {
        let at = state::build_state(self.s.layout, b);
        if at == BuildState::Installed && !self.s.options.force {
            self.s.tell(Event::Nothing { about: b.to_string(), reason: "is already installed".into() });
            return Ok(Outcome::Nothing);
        }
        let directory = self.s.layout.kernel_modules(&b.kernel.release);
        if !directory.exists() && at != BuildState::NotBuilt {
            return Err(Error::KernelDirMissing(directory));
        }
        if at == BuildState::NotBuilt {
            self.build_now(b, false)?;
        }
        let s = self.s;
        let change = self.change(&b.kernel)?;
        if at == BuildState::Installed {
            change.uninstall(s, b)?;
        }
        let outcome = change.install(s, b)?;
        if outcome == Outcome::Installed {
            self.rebuild_dependents(b)?;
        }
        Ok(outcome)
    }

    fn change(&mut self, kernel: &Kernel) -> Result<&mut KernelChange> {
        let at = match self.changes.iter().position(|c| c.kernel() == kernel) {
            Some(at) => at,
            None => {
                self.changes.push(KernelChange::begin(self.s, kernel)?);
                self.changes.len() - 1
            }
        };
        self.changes
            .get_mut(at)
            .ok_or_else(|| Error::KernelDirMissing(self.s.layout.kernel_modules(&kernel.release)))
    }

    /// BUILD_DEPENDS_REBUILD: what was built against another version of `b`'s package is built and installed anew.
    fn rebuild_dependents(&mut self, b: &Build) -> Result<()> {
        for package in state::all_packages(self.s.layout) {
            let dependent = Build::new(&package, &b.kernel);
            let noted = self.s.layout.built_dir(&dependent).join(format!(".dep_{}", b.package.name));
            let Ok(version) = std::fs::read_to_string(&noted) else { continue };
            if version.trim() == b.package.version
                || state::registration(self.s.layout, &package) != Registration::Added
            {
                continue;
            }
            self.s.tell(Event::Detail {
                text: format!(
                    "{dependent} was built against {} {}, it is built anew",
                    b.package.name,
                    version.trim()
                ),
            });
            let was_installed = state::is_active(self.s.layout, &dependent);
            let again = self.build_now(&dependent, true).and_then(|()| {
                if !was_installed {
                    return Ok(());
                }
                let s = self.s;
                let change = self.change(&dependent.kernel)?;
                change.uninstall(s, &dependent)?;
                change.install(s, &dependent)?;
                self.rebuild_dependents(&dependent)
            });
            if let Err(e) = again {
                self.s.warn(format!("{dependent} could not be built anew: {e}"));
            }
        }
        Ok(())
    }

    /// One depmod per kernel, then what comes once per command: modprobe_on_install and post_transaction.
    ///
    /// # Errors
    /// [`Error::DepmodFailed`]: the installs of that kernel were taken back.
    pub fn finish(mut self) -> Result<()> {
        let mut first = None;
        for change in std::mem::take(&mut self.changes) {
            let kernel = change.kernel().clone();
            match change.finish(self.s) {
                Ok(installed) if installed.is_empty() => {}
                Ok(_) => self.changed.push(kernel),
                Err(e) => {
                    let anywhere =
                        Build::new(&PackageId { name: "modules".into(), version: String::new() }, &kernel);
                    keep_first(self.s, &mut first, e, &anywhere);
                }
            }
        }
        once_per_command(self.s, &self.changed, true);
        first.map_or(Ok(()), Err)
    }

    /// [`Work::finish`], with or without a failure before it.
    ///
    /// # Errors
    /// That failure, else what finishing fails with.
    pub fn conclude(self, failure: Option<Error>) -> Result<()> {
        match failure {
            Some(e) => self.finish_after(e),
            None => self.finish(),
        }
    }

    /// After a failure: what is complete stays and gets its depmod; the failure is what counts.
    ///
    /// # Errors
    /// Always: `e`.
    pub fn finish_after(self, e: Error) -> Result<()> {
        let s = self.s;
        if let Err(second) = self.finish() {
            s.warn(second.to_string());
        }
        Err(e)
    }
}

/// Ubuntu's crash reporter is told of builds that failed.
fn report(s: &Session<'_>, b: &Build, e: &Error) {
    if matches!(
        e,
        Error::MakeFailed { .. }
            | Error::PatchFailed { .. }
            | Error::PatchName(_)
            | Error::ModuleFileMissing(_)
    ) {
        crate::hooks::apport(s, b);
    }
}

/// modprobe_on_install for the running kernel, and post_transaction, once.
pub fn once_per_command(s: &Session<'_>, changed: &[Kernel], installed: bool) {
    let Some(first) = changed.first() else { return };
    if installed && s.options.modprobe_on_install && changed.iter().any(|k| k.release == s.host.release) {
        load_modules(s);
    }
    // Its $kernelver is the first kernel that changed.
    match crate::conf::framework::load(s, Some(&first.release)) {
        Ok(f) => {
            if let Some(command) = f.post_transaction.as_deref().filter(|c| !c.trim().is_empty()) {
                crate::hooks::post_transaction(s, command);
            }
        }
        Err(e) => s.warn(format!("post_transaction was not run: {e}")),
    }
}

/// Loads the modules that the hardware of this machine asks for.
fn load_modules(s: &Session<'_>) {
    let mut aliases: Vec<String> = Vec::new();
    let mut pending = vec![std::path::PathBuf::from("/sys/devices")];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for e in entries.flatten() {
            match e.file_type() {
                Ok(t) if t.is_dir() => pending.push(e.path()),
                Ok(t) if t.is_file() && e.file_name() == "modalias" => {
                    aliases.extend(std::fs::read_to_string(e.path()).ok().map(|t| t.trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    aliases.retain(|a| !a.is_empty());
    aliases.sort_unstable();
    aliases.dedup();
    let Some(modprobe) = dkms_sys::process::which("modprobe", &s.host.path) else {
        return s.warn("--modprobe-on-install: modprobe is not installed");
    };
    for some in aliases.chunks(500) {
        let command = Command::new(&modprobe).args(["-a", "-b", "-q"]).args(some).stdin(Stdin::Null);
        // modprobe fails when any alias has no module, which is the usual case.
        let _ = command.stdout(Stream::Null).stderr(Stream::Null).run();
    }
    let service = "systemd-modules-load.service";
    let units = ["/lib/systemd/system", "/usr/lib/systemd/system"];
    if units.iter().any(|d| std::path::Path::new(d).join(service).is_file()) {
        if let Some(systemctl) = dkms_sys::process::which("systemctl", &s.host.path) {
            let _ = Command::new(systemctl)
                .args(["restart", service])
                .stdout(Stream::Null)
                .stderr(Stream::Null)
                .run();
        }
    }
}

/// Registers what is not registered yet.
///
/// # Errors
/// Broken, no source, an invalid dkms.conf.
pub fn ensure_added(s: &Session<'_>, package: &PackageId, kernel: &Kernel) -> Result<()> {
    add::refuse_broken(s, package)?;
    match state::registration(s.layout, package) {
        Registration::Added => Ok(()),
        _ => add::add(s, package, kernel),
    }
}

/// `dkms build` for several kernels: on with the next after a failure; the first failure is the result.
///
/// # Errors
/// The first.
pub fn build_all(s: &Session<'_>, package: &PackageId, kernels: &[Kernel]) -> Result<()> {
    let mut work = Work::new(s);
    let mut first = None;
    for kernel in kernels {
        let b = Build::new(package, kernel);
        if let Err(e) = ensure_added(s, package, kernel).and_then(|()| work.build(&b)) {
            if let Error::Interrupted(_) = e {
                return Err(e);
            }
            keep_first(s, &mut first, e, &b);
        }
    }
    first.map_or(Ok(()), Err)
}

/// `dkms install` for several kernels: on with the next after a failure; the first failure is the result.
///
/// # Errors
/// The first.
pub fn install_all(s: &Session<'_>, package: &PackageId, kernels: &[Kernel]) -> Result<()> {
    let mut work = Work::new(s);
    let mut first = None;
    for kernel in kernels {
        let b = Build::new(package, kernel);
        if let Err(e) = ensure_added(s, package, kernel).and_then(|()| work.install(&b).map(|_| ())) {
            let stop = matches!(e, Error::Interrupted(_));
            keep_first(s, &mut first, e, &b);
            if stop {
                break;
            }
        }
    }
    work.conclude(first)
}

/// What an autoinstall for a kernel would do.
///
/// # Errors
/// None of its own: a package whose dkms.conf is wrong is in the second part, with the reason.
pub fn plan_autoinstall(s: &Session<'_>, kernel: &Kernel) -> (AutoinstallPlan, Vec<(PackageId, Error)>) {
    let mut sound = Vec::new();
    let mut failed = Vec::new();
    let mut known = Vec::new();
    for p in state::all_packages(s.layout) {
        known.push(p.name.clone());
        match add::refuse_broken(s, &p) {
            Ok(()) => sound.push(p),
            Err(e) => s.warn(e.to_string()),
        }
    }
    known.dedup();
    let mut candidates = Vec::new();
    for package in plan::newest(&sound) {
        let active = state::installed_version(s.layout, &package.name, kernel);
        let installed = active.as_ref() == Some(&package) || status::is_weak(s, &package, kernel);
        let (mut autoinstall, mut depends) = (false, Vec::new());
        if !installed {
            match load::load(s, &package, kernel).and_then(load::Loaded::lenient) {
                Ok(loaded) => (autoinstall, depends) = (loaded.conf.autoinstall, loaded.conf.build_depends),
                Err(e) => {
                    failed.push((package, e));
                    continue;
                }
            }
        }
        candidates.push(Candidate {
            package,
            installed,
            some_version_installed: active.is_some(),
            autoinstall,
            depends,
        });
    }
    (plan::autoinstall(&candidates, &known), failed)
}

/// `dkms autoinstall` and `kernel_postinst`: the newest version of every package with AUTOINSTALL, for one kernel.
/// `code` gives the exit code of a failure, for the summary.
///
/// # Errors
/// [`Error::HeadersMissing`] when something has to be built and the headers are not there;
/// [`Error::AutoinstallFailed`] after everything that could be installed is installed.
pub fn autoinstall(s: &Session<'_>, kernel: &Kernel, code: &dyn Fn(&Error) -> u8) -> Result<()> {
    if s.layout.config_dir.join("no-autoinstall").exists() {
        s.tell(Event::Nothing {
            about: "autoinstall".into(),
            reason: format!("is switched off by {}", s.layout.config_dir.join("no-autoinstall").display()),
        });
        return Ok(());
    }
    let (plan, wrong) = plan_autoinstall(s, kernel);
    let (mut installed, mut skipped, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let of = plan.tasks.len() + plan.blocked.len() + wrong.len();
    for (package, e) in wrong {
        failed.push(format!("{package} ({})", code(&e)));
        s.tell(Event::Failed { build: Build::new(&package, kernel), code: code(&e), error: e.to_string() });
    }
    if plan.tasks.is_empty() && plan.blocked.is_empty() && plan.deferred.is_empty() && failed.is_empty() {
        s.tell(Event::Nothing {
            about: format!("kernel {}", kernel.release),
            reason: match plan.present.len() {
                0 => "needs nothing: there is no package with AUTOINSTALL=yes".into(),
                n => format!("has all it needs: {n} installed"),
            },
        });
        return Ok(());
    }
    let mut work = Work::new(s);
    // Positions whose task did not end well; 77 counts as well.
    let mut unmet: Vec<usize> = Vec::new();
    for (n, task) in plan.tasks.iter().enumerate() {
        let b = Build::new(&task.package, kernel);
        if let Some(first) = task.after.iter().find(|a| unmet.contains(a)) {
            let needed = plan.tasks.get(*first).map_or_else(String::new, |t| t.package.to_string());
            unmet.push(n);
            failed.push(format!("{} (13)", task.package));
            s.tell(Event::Failed { build: b, code: 13, error: format!("it needs {needed}, which failed") });
            continue;
        }
        match work.install(&b) {
            Ok(Outcome::Installed) => installed.push(task.package.to_string()),
            // The kernel has the same modules already, or another dkms was faster; it was said.
            Ok(Outcome::Nothing) => {}
            Err(Error::Excluded { reason, .. }) => {
                skipped.push(task.package.to_string());
                s.tell(Event::Skipped { build: b, reason });
            }
            Err(e @ (Error::HeadersMissing { .. } | Error::Interrupted(_))) => return work.finish_after(e),
            Err(e) => {
                unmet.push(n);
                failed.push(format!("{} ({})", task.package, code(&e)));
                let help = e.help();
                let error = std::iter::once(e.to_string()).chain(help).collect::<Vec<_>>().join("\n");
                s.tell(Event::Failed { build: b, code: code(&e), error });
            }
        }
    }
    for (package, missing) in &plan.blocked {
        failed.push(format!("{package} (13)"));
        let error = format!("it needs {}, which will not be installed", missing.join(", "));
        s.tell(Event::Failed { build: Build::new(package, kernel), code: 13, error });
    }
    let mut deferred = Vec::new();
    for (package, missing) in &plan.deferred {
        deferred.push(package.to_string());
        let reason = format!("waits for {}, which dkms does not know yet", missing.join(", "));
        s.tell(Event::Deferred { build: Build::new(package, kernel), reason });
    }
    let finished = work.finish();
    s.tell(Event::Summary { kernel: kernel.clone(), installed, skipped, failed: failed.clone(), deferred });
    finished?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::AutoinstallFailed { kernel: kernel.clone(), failed, of })
    }
}

/// `dkms match`: installs for `kernel` what is installed for `template`.
///
/// # Errors
/// Template and kernel are the same; a named package is not in the tree; the first failure.
pub fn match_kernel(s: &Session<'_>, template: &Kernel, kernel: &Kernel, name: Option<&str>) -> Result<()> {
    if template.release == kernel.release {
        return Err(Error::SameKernel(kernel.release.clone()));
    }
    if let Some(name) = name {
        if !s.layout.package_dir(name).is_dir() {
            return Err(Error::PackageUnknown(name.to_owned()));
        }
    }
    let wanted: Vec<PackageId> = state::all_packages(s.layout)
        .into_iter()
        .filter(|p| name.is_none_or(|n| n == p.name))
        .filter(|p| state::build_state(s.layout, &Build::new(p, template)) == BuildState::Installed)
        .collect();
    if wanted.is_empty() {
        s.tell(Event::Nothing {
            about: format!("kernel {}", kernel.release),
            reason: format!("has nothing to match: nothing is installed for {}", template.release),
        });
        return Ok(());
    }
    let mut work = Work::new(s);
    let mut first = None;
    for package in wanted {
        let b = Build::new(&package, kernel);
        if let Err(e) = add::refuse_broken(s, &package) {
            s.warn(e.to_string());
            continue;
        }
        if let Err(e) = work.install(&b) {
            let stop = matches!(e, Error::HeadersMissing { .. } | Error::Interrupted(_));
            keep_first(s, &mut first, e, &b);
            if stop {
                break;
            }
        }
    }
    work.conclude(first)
}
