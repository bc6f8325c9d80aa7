//! `build`, `install`, `match` and `autoinstall`: gather, carry out, and say how it ended.

use crate::add;
use crate::conf::load;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::gather::{self, Gathered};
use crate::ids::{Build, Kernel, PackageId};
use crate::schedule::{Done, Telling, run};
use crate::session::Session;
use crate::tree::state::{self, BuildState, Registration};
use kmodule::ModuleName;

/// Registers what is not registered yet; its dkms.conf is checked for the first kernel.
fn ensure_added(s: &Session<'_>, package: &PackageId, kernels: &[Kernel]) -> Result<()> {
    let Some(kernel) = kernels.first() else { return Ok(()) };
    add::refuse_broken(s, package)?;
    match state::registration(s.layout, package) {
        Registration::Added => Ok(()),
        _ => {
            s.require_writable_tree()?;
            match add::add(s, package, kernel) {
                // Another dkms was faster.
                Err(Error::AlreadyAdded(_)) => Ok(()),
                other => other,
            }
        }
    }
}

/// Carries out what was gathered and gives the command's end: of one task its own, of several the first failure's code.
fn conclude(s: &Session<'_>, g: Gathered, code: &dyn Fn(&Error) -> u8) -> Result<()> {
    g.tell_nothing(s);
    let of = g.work.tasks.iter().filter(|t| !t.optional).count() + g.wrong.len();
    let mut failures: Vec<Error> = Vec::new();
    for (build, e) in g.wrong {
        if of > 1 {
            s.tell(Event::Failed { build, code: code(&e), error: e.to_string() });
        }
        failures.push(e);
    }
    let telling = if of == 1 { Telling::Nothing } else { Telling::Each };
    let results = run(s, &g.work, code, telling);
    crate::finally::once_per_command(s, &results.changed, true);
    if let Some(e) = results.stopped {
        return Err(e);
    }
    for (done, task) in results.done.into_iter().zip(g.work.tasks) {
        match done {
            Some(Done::Failed(e)) if !task.optional => failures.push(e),
            Some(Done::Skipped(reason)) => failures.push(Error::Excluded { build: task.build, reason }),
            _ => {}
        }
    }
    // That something is not for a kernel is a failure only where it is all there is to say.
    let failed = failures.len();
    let at = failures.iter().position(|e| !matches!(e, Error::Excluded { .. })).unwrap_or(0);
    if failures.get(at).is_none() {
        return Ok(());
    }
    let first = failures.swap_remove(at);
    if of == 1 { Err(first) } else { Err(Error::SeveralFailed { first: Box::new(first), failed, of }) }
}

/// `dkms build` for several kernels: on with the others after a failure.
///
/// # Errors
/// The first failure.
pub fn build_all(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    code: &dyn Fn(&Error) -> u8,
) -> Result<()> {
    ensure_added(s, package, kernels)?;
    conclude(s, gather::builds(s, package, kernels), code)
}

/// `dkms install` for several kernels, as one transaction: on with the others after a failure.
///
/// # Errors
/// The first failure.
pub fn install_all(
    s: &Session<'_>,
    package: &PackageId,
    kernels: &[Kernel],
    code: &dyn Fn(&Error) -> u8,
) -> Result<()> {
    ensure_added(s, package, kernels)?;
    let wanted: Vec<Build> = kernels.iter().map(|k| Build::new(package, k)).collect();
    conclude(s, gather::installs(s, &wanted), code)
}

/// Whether `/etc/dkms/no-autoinstall` is there; if so it is said.
pub fn is_switched_off(s: &Session<'_>) -> bool {
    let file = s.layout.config_dir.join("no-autoinstall");
    let off = file.exists();
    if off {
        s.tell(Event::Nothing {
            about: "autoinstall".into(),
            reason: format!("is switched off by {}", file.display()),
        });
    }
    off
}

/// `dkms autoinstall`: the newest version of every package with AUTOINSTALL, for some kernels.
/// `code` gives the exit code of a failure, for the summary.
///
/// # Errors
/// [`Error::HeadersMissing`] when something has to be built and the headers are not there;
/// [`Error::AutoinstallFailed`] after everything that could be installed is installed.
pub fn autoinstall(s: &Session<'_>, kernels: &[Kernel], code: &dyn Fn(&Error) -> u8) -> Result<()> {
    if is_switched_off(s) {
        return Ok(());
    }
    let g = gather::autoinstall(s, kernels);
    g.tell_nothing(s);
    for (build, e) in &g.wrong {
        s.tell(Event::Failed { build: build.clone(), code: code(e), error: e.to_string() });
    }
    let results = run(s, &g.work, code, Telling::AllButHeaders);
    for (build, missing) in &g.deferred {
        let reason = format!("waits for {}, which dkms does not know yet", missing.join(", "));
        s.tell(Event::Deferred { build: build.clone(), reason });
    }
    crate::finally::once_per_command(s, &results.changed, true);
    let mut first = results.stopped;
    for kernel in kernels {
        let of = g.work.tasks.iter().filter(|t| t.build.kernel == *kernel).count()
            + g.wrong.iter().filter(|(b, _)| b.kernel == *kernel).count();
        if of == 0 && !g.deferred.iter().any(|(b, _)| b.kernel == *kernel) {
            continue;
        }
        let summary = Summary::of(kernel, &g, &results.done, code);
        let headers = summary.headers_missing(&g, &results.done);
        let failed = summary.failed_packages.clone();
        if headers.is_none() || summary.says_something() {
            s.tell(summary.event());
        }
        match headers {
            Some(e) => {
                first.get_or_insert(e);
            }
            None if failed.is_empty() => {}
            None => {
                first.get_or_insert(Error::AutoinstallFailed { kernel: kernel.clone(), failed, of });
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// `dkms kernel_postinst`: autoinstall, for the hook of a package manager. A module that fails is told, and a failure of the
/// hook only where the administrator wants that: `hook_failure=fail`, or it is one of `required_modules`. Whether a package
/// manager goes on with a kernel whose Wi-Fi module does not build yet is not for that module to decide.
///
/// # Errors
/// As [`autoinstall`].
pub fn kernel_postinst(s: &Session<'_>, kernels: &[Kernel], code: &dyn Fn(&Error) -> u8) -> Result<()> {
    let e = match autoinstall(s, kernels, code) {
        Err(e @ Error::AutoinstallFailed { .. }) => e,
        other => return other,
    };
    let Error::AutoinstallFailed { kernel, failed, .. } = &e else { return Err(e) };
    let framework = &s.options.framework;
    let required = framework.required_modules.as_deref().unwrap_or_default();
    let required: Vec<&str> = required.split_whitespace().collect();
    if framework.hook_failure == Some(true) || failed.iter().any(|p| is_one_of(s, p, kernel, &required)) {
        return Err(e);
    }
    let names: Vec<String> = failed.iter().map(ToString::to_string).collect();
    s.warn(format!(
        "kernel {release} will start without {names}, unless that is fixed; its installation goes on\n\
         'dkms pending -k {release}' says what is missing; hook_failure=fail in framework.conf stops here instead",
        release = kernel.release,
        names = names.join(", "),
    ));
    Ok(())
}

/// Whether a package or one of its modules has one of these names.
fn is_one_of(s: &Session<'_>, package: &PackageId, kernel: &Kernel, names: &[&str]) -> bool {
    if names.is_empty() || names.contains(&package.name.as_str()) {
        return !names.is_empty();
    }
    let conf = load::load(s, package, kernel).and_then(load::Loaded::lenient);
    // One that cannot be read may have any.
    conf.map_or(true, |loaded| {
        let wanted: Vec<ModuleName> = names.iter().map(|name| ModuleName::new(name)).collect();
        loaded.conf.modules.iter().any(|m| wanted.contains(&ModuleName::new(&m.dest_name)))
    })
}

/// The end of an autoinstall for one kernel.
struct Summary {
    kernel: Kernel,
    installed: Vec<String>,
    skipped: Vec<String>,
    /// With their exit codes.
    failed: Vec<String>,
    failed_packages: Vec<PackageId>,
    deferred: Vec<String>,
}

impl Summary {
    fn of(kernel: &Kernel, g: &Gathered, done: &[Option<Done>], code: &dyn Fn(&Error) -> u8) -> Self {
        let here = |b: &Build| b.kernel == *kernel;
        let with_code = |b: &Build, e: &Error| format!("{} ({})", b.package, code(e));
        let mut sum = Self {
            kernel: kernel.clone(),
            installed: Vec::new(),
            skipped: Vec::new(),
            failed: g.wrong.iter().filter(|(b, _)| here(b)).map(|(b, e)| with_code(b, e)).collect(),
            failed_packages: g
                .wrong
                .iter()
                .filter(|(b, _)| here(b))
                .map(|(b, _)| b.package.clone())
                .collect(),
            deferred: g
                .deferred
                .iter()
                .filter(|(b, _)| here(b))
                .map(|(b, _)| b.package.to_string())
                .collect(),
        };
        for (task, done) in g.work.tasks.iter().zip(done).filter(|(t, _)| here(&t.build)) {
            let name = task.build.package.to_string();
            match done {
                Some(Done::Installed) => sum.installed.push(name),
                Some(Done::Skipped(_)) => sum.skipped.push(name),
                Some(Done::Failed(Error::HeadersMissing { .. })) => {}
                Some(Done::Failed(e)) if !task.optional => {
                    sum.failed.push(with_code(&task.build, e));
                    sum.failed_packages.push(task.build.package.clone());
                }
                _ => {}
            }
        }
        sum
    }

    fn says_something(&self) -> bool {
        [&self.installed, &self.skipped, &self.failed].iter().any(|list| !list.is_empty())
    }

    fn headers_missing(&self, g: &Gathered, done: &[Option<Done>]) -> Option<Error> {
        let of_kernel = g.work.tasks.iter().zip(done).filter(|(t, _)| t.build.kernel == self.kernel);
        of_kernel.into_iter().find_map(|(_, d)| match d {
            Some(Done::Failed(Error::HeadersMissing { release, path, package })) => {
                Some(Error::HeadersMissing {
                    release: release.clone(),
                    path: path.clone(),
                    package: package.clone(),
                })
            }
            _ => None,
        })
    }

    fn event(self) -> Event {
        Event::Summary {
            kernel: self.kernel,
            installed: self.installed,
            skipped: self.skipped,
            failed: self.failed,
            deferred: self.deferred,
        }
    }
}

/// What `dkms match` has to install for a kernel: what is installed for the template.
///
/// # Errors
/// Template and kernel are the same; a named package is not in the tree.
pub fn matching(
    s: &Session<'_>,
    template: &Kernel,
    kernel: &Kernel,
    name: Option<&str>,
) -> Result<Vec<Build>> {
    if template.release == kernel.release {
        return Err(Error::SameKernel(kernel.release.clone()));
    }
    if let Some(name) = name {
        if !s.layout.package_dir(name).is_dir() {
            return Err(Error::PackageUnknown(name.to_owned()));
        }
    }
    let mut wanted = Vec::new();
    for package in state::all_packages(s.layout).into_iter().filter(|p| name.is_none_or(|n| n == p.name)) {
        if state::build_state(s.layout, &Build::new(&package, template)) != BuildState::Installed {
            continue;
        }
        match add::refuse_broken(s, &package) {
            Ok(()) => wanted.push(Build::new(&package, kernel)),
            Err(e) => s.warn(e.to_string()),
        }
    }
    if wanted.is_empty() {
        s.tell(Event::Nothing {
            about: format!("kernel {}", kernel.release),
            reason: format!("has nothing to match: nothing is installed for {}", template.release),
        });
    }
    Ok(wanted)
}

/// `dkms match`: installs for `kernel` what is installed for `template`.
///
/// # Errors
/// As [`matching`]; the first failure.
pub fn match_kernel(
    s: &Session<'_>,
    template: &Kernel,
    kernel: &Kernel,
    name: Option<&str>,
    code: &dyn Fn(&Error) -> u8,
) -> Result<()> {
    let wanted = matching(s, template, kernel, name)?;
    conclude(s, gather::installs(s, &wanted), code)
}
