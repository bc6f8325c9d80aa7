//! Finds what needs attention on a machine: combines the answers of all queries, so that each problem is
//! listed once, with the commands that fix it.

use super::data::{BuildState, KernelState, Machine, Problem, Severity};
use dkms_core::distro::Family;
use dkms_core::look::ready::{Check, Item, Wait};
use dkms_core::look::verify::Outcome;
use dkms_sys::process::quote;

/// Certificates that expire within this time, in seconds, are reported.
const SOON: i64 = 30 * 86_400;

/// Returns all problems, the most important first. `family` is that of the distribution.
pub(super) fn find(machine: &Machine, family: Option<Family>) -> Vec<Problem> {
    let mut problems = Problems { machine, family, all: Vec::new() };
    for kernel in &machine.kernels {
        problems.add_failed_checks(kernel);
    }
    machine.pending.iter().for_each(|item| problems.add_pending(item));
    machine.builds.iter().for_each(|build| problems.add_build(build));
    problems.add_inconsistencies();
    problems.add_key(machine.generated);
    problems.all.sort_by_key(|problem| problem.severity);
    problems.all
}

struct Problems<'a> {
    machine: &'a Machine,
    family: Option<Family>,
    /// The problems found so far.
    all: Vec<Problem>,
}

impl Problems<'_> {
    /// Adds the checks of `dkms ready` that a kernel does not pass.
    fn add_failed_checks(&mut self, kernel: &KernelState) {
        // Any other kernel is booted only if the user selects it.
        let severity = if kernel.running || kernel.newest { Severity::Error } else { Severity::Warning };
        for check in kernel.checks.iter().filter(|check| check.answer != Outcome::Loads) {
            let severity = if check.answer == Outcome::Refused { severity } else { Severity::Warning };
            let problem = match check.help.as_deref().filter(|help| help.starts_with("depmod ")) {
                Some(command) => index_problem(kernel, check, command),
                None => self.check_problem(kernel, check),
            };
            self.add(Problem { severity, ..problem });
        }
    }

    /// A failed check as a problem, with what `dkms pending` reports about the package.
    fn check_problem(&self, kernel: &KernelState, check: &Check) -> Problem {
        let (package, version, _) = subject(check);
        let name = package.as_deref();
        let pending = self.machine.pending.iter().find(|item| {
            item.kernel.release == *kernel.kernel && name.is_some() && package_name(item) == name
        });
        let mut builds = self.machine.builds.iter().filter(|build| Some(&*build.package) == name);
        let broken = builds.clone().find(|build| build.state == "broken");
        let build =
            builds.find(|build| build.kernel.as_ref() == Some(&kernel.kernel) && build.state != "failed");
        let cause = match (pending, self.refusal_code(&kernel.kernel, name)) {
            _ if broken.is_some() => "broken".to_owned(),
            _ if build.is_some_and(|build| build.built_missing) => "missing".to_owned(),
            (_, Some(code)) => code,
            (Some(pending), None) => pending.wait.word().to_owned(),
            _ if build.is_some_and(|build| build.differs) => "differs".to_owned(),
            (None, None) => "not-ready".to_owned(),
        };
        let mut problem = Problem {
            cause,
            version: version
                .or_else(|| broken.map(|build| build.version.clone()))
                .or_else(|| Some(pending?.package.as_ref()?.version.clone())),
            kernel: Some(kernel.kernel.clone()),
            what: sentence(check),
            help: pending.map_or_else(|| check.help.clone().into_iter().collect(), |item| item.help.clone()),
            package,
            ..Problem::default()
        };
        if let Some(item) = pending.filter(|item| !matches!(item.wait, Wait::Autoinstall | Wait::Build)) {
            if !problem.what.contains(&item.what) {
                problem.what = format!("{}: {}", problem.what, item.what);
            }
        }
        problem
    }

    /// The code of the first reason why the kernel would refuse a module of the package.
    fn refusal_code(&self, kernel: &str, package: Option<&str>) -> Option<String> {
        let is_for_kernel =
            |build: &&BuildState| build.kernel.as_deref() == Some(kernel) && Some(&*build.package) == package;
        let modules = self.machine.builds.iter().filter(is_for_kernel).flat_map(|build| &build.modules);
        let mut refused = modules.filter(|module| module.verdict != "loads");
        Some(refused.find_map(|module| module.reasons.first())?.code.clone())
    }

    fn add_pending(&mut self, item: &Item) {
        if self.is_known(package_name(item), &item.kernel.release) {
            return;
        }
        let severity = if item.wait == Wait::Autoinstall { Severity::Note } else { Severity::Warning };
        self.add(Problem {
            severity,
            cause: item.wait.word().to_owned(),
            package: item.package.as_ref().map(|id| id.name.clone()),
            version: item.package.as_ref().map(|id| id.version.clone()),
            kernel: Some(item.kernel.release.to_string()),
            what: item.what.clone(),
            help: item.help.clone(),
            ..Problem::default()
        });
    }

    /// Adds what is wrong with one package for one kernel, according to `dkms status` and `dkms verify`.
    fn add_build(&mut self, build: &BuildState) {
        let problem = |severity, cause: &str, what: String| Problem {
            severity,
            cause: cause.to_owned(),
            package: Some(build.package.clone()),
            version: Some(build.version.clone()),
            kernel: build.kernel.clone(),
            what,
            ..Problem::default()
        };
        let is_same =
            |known: &Problem| known.cause == "broken" && known.package.as_ref() == Some(&build.package);
        if build.state == "broken" && !self.all.iter().any(is_same) {
            let what = "its source, or the link to it, is missing";
            self.add(problem(Severity::Error, "broken", what.to_owned()));
        }
        let kernel = build.kernel.clone().unwrap_or_default();
        if !self.is_known(Some(&build.package), &kernel) {
            if build.built_missing {
                let what = "module files that were built or installed are missing";
                self.add(problem(Severity::Error, "missing", what.to_owned()));
            } else if build.differs {
                let what = "installed module files differ from what was built";
                self.add(problem(Severity::Warning, "differs", what.to_owned()));
            } else if build.failed_log.is_some() {
                self.add(problem(Severity::Warning, "build", "its last build failed".to_owned()));
            }
            for module in build.modules.iter().filter(|module| module.verdict != "loads") {
                let Some(reason) = module.reasons.first() else { continue };
                let refused = module.verdict == "refused";
                let word = if refused { "would not load" } else { "may not load" };
                let severity = if refused { Severity::Error } else { Severity::Warning };
                let mut new =
                    problem(severity, &reason.code, format!("{} {word}: {}", module.module, reason.text));
                new.help.push(reason.help.clone());
                self.add(new);
            }
        }
        for module in build.modules.iter().filter(|module| module.loaded.as_deref() == Some("other")) {
            let what = format!("the loaded {} is not the installed one", module.module);
            let mut new = problem(Severity::Note, "loaded-other", what);
            let name = quote(module.module.replace('-', "_"));
            new.fix = vec![format!("modprobe -r {name}"), format!("modprobe {name}")];
            new.help.push("or restart the machine".to_owned());
            self.all.push(new);
        }
    }

    /// Adds the findings of `dkms fsck` that the status does not report as well.
    fn add_inconsistencies(&mut self) {
        for finding in &self.machine.fsck.findings {
            let is_same = |known: &Problem| {
                let is_same_package = known.package == finding.package;
                match known.cause.as_str() {
                    "differs" | "missing" => {
                        is_same_package
                            && known.kernel == finding.kernel
                            && finding.kind.starts_with("installed-")
                    }
                    "broken" => is_same_package && finding.kind == "source-missing",
                    _ => false,
                }
            };
            if self.all.iter().any(is_same) {
                continue;
            }
            let fix = if finding.safe { vec!["dkms fsck --repair".to_owned()] } else { Vec::new() };
            self.all.push(Problem {
                severity: Severity::Warning,
                cause: finding.kind.clone(),
                package: finding.package.clone(),
                version: finding.version.clone(),
                kernel: finding.kernel.clone(),
                what: format!("{} {}", finding.path, finding.what),
                help: vec![finding.repair.clone()],
                fix,
            });
        }
    }

    /// Adds what is wrong with the signing key. `now` is in seconds since 1970.
    fn add_key(&mut self, now: u64) {
        let Some(key) = &self.machine.key else { return };
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let new = |severity, cause: &str, what: String, fix: &[String]| Problem {
            severity,
            cause: cause.to_owned(),
            what,
            fix: fix.to_vec(),
            ..Problem::default()
        };
        if key.exposed {
            let what = format!("users other than root can read the signing key {}", key.path);
            self.all.push(new(
                Severity::Error,
                "key-exposed",
                what,
                &[format!("chmod 600 {}", quote(&key.path))],
            ));
        }
        let is_required = matches!(self.machine.secure_boot.enforcement.as_str(), "sig-enforce" | "lockdown");
        if is_required && (key.trusted == Some(false) || key.state == "missing") {
            let what = format!("the kernel requires signatures, and: {}", key.next);
            let fix = match key.step.as_str() {
                "make-key" => vec!["dkms generate_mok".to_owned(), "dkms mok enroll".to_owned()],
                "enroll" => vec!["dkms mok enroll".to_owned()],
                "restart" => vec!["reboot".to_owned()],
                _ => vec!["dkms mok".to_owned()],
            };
            self.all.push(new(Severity::Error, "key-not-enrolled", what, &fix));
        }
        if key.not_after.is_some_and(|end| end < now.saturating_add(SOON)) {
            let word =
                if key.not_after.is_some_and(|end| end < now) { "has expired" } else { "expires soon" };
            let what = format!("the certificate {} {word}; kernels do not check that", key.certificate);
            self.all.push(new(Severity::Note, "key-expires", what, &["dkms mok rotate".to_owned()]));
        }
    }

    /// Whether a problem of this package for this kernel is in the list.
    fn is_known(&self, package: Option<&str>, kernel: &str) -> bool {
        self.all
            .iter()
            .any(|known| known.package.as_deref() == package && known.kernel.as_deref() == Some(kernel))
    }

    /// Adds a problem with the commands for its cause. Problems that the same commands fix are merged.
    fn add(&mut self, mut problem: Problem) {
        if problem.cause == "build" {
            problem.help.retain(|help| !help.starts_with("see ") && !help.starts_with("then: "));
            problem.help.extend(self.failed_build(&problem).and_then(|build| build.first_error.clone()));
        }
        if matches!(problem.cause.as_str(), "missing" | "differs" | "unreadable") {
            problem.help.retain(|help| !help.starts_with("dkms install --force"));
        }
        if problem.cause == "broken" {
            problem.help = vec!["if its sources are gone, restore them first".to_owned()];
        }
        if problem.fix.is_empty() {
            problem.fix = self.commands(&problem);
        }
        // Do not repeat a command as help.
        let fix = &problem.fix;
        problem.help.retain(|text| !fix.iter().any(|command| text == command));
        let is_same = |known: &&mut Problem| {
            known.package == problem.package
                && known.version == problem.version
                && known.kernel == problem.kernel
                && known.cause == problem.cause
                && known.fix == problem.fix
        };
        match self.all.iter_mut().find(is_same) {
            Some(known) => {
                let more = std::iter::once(problem.what).chain(problem.help);
                let new: Vec<String> =
                    more.filter(|text| known.what != *text && !known.help.contains(text)).collect();
                known.help.extend(new);
            }
            None => self.all.push(problem),
        }
    }

    /// The commands that fix a problem of this cause.
    fn commands(&self, problem: &Problem) -> Vec<String> {
        let package = match (&problem.package, &problem.version) {
            (Some(package), Some(version)) => quote(format!("{package}/{version}")),
            (Some(package), None) => quote(package),
            (None, _) => String::new(),
        };
        let kernel =
            problem.kernel.as_ref().map_or_else(String::new, |release| format!(" -k {}", quote(release)));
        match problem.cause.as_str() {
            "headers" => self.header_commands(problem),
            "autoinstall" | "recovery" | "dependency" => vec![format!("dkms autoinstall{kernel}")],
            "build" => {
                let log = self.failed_build(problem).and_then(|build| build.failed_log.as_ref());
                let log = log.map(|log| format!("less {}", quote(log)));
                log.into_iter().chain([format!("dkms install {package}{kernel}")]).collect()
            }
            "configuration" => vec![format!("dkms lint {package}{kernel}")],
            "enrolment" | "key-not-trusted" => vec!["dkms mok enroll".to_owned()],
            "broken" => vec![format!("dkms add {package}")],
            "unsigned" | "missing" | "differs" | "unreadable" | "damaged" | "vermagic" | "other-release"
            | "symbol-version" | "unknown-symbol" => vec![format!("dkms install --force {package}{kernel}")],
            "not-ready" if package.is_empty() => vec![format!("dkms ready{kernel}")],
            "not-ready" => vec![format!("dkms install {package}{kernel}")],
            _ => vec![format!("dkms verify {package}{kernel}")],
        }
    }

    /// The failed build that a problem is about.
    fn failed_build(&self, problem: &Problem) -> Option<&BuildState> {
        self.machine.builds.iter().find(|build| {
            Some(&build.package) == problem.package.as_ref()
                && build.kernel == problem.kernel
                && problem.version.as_ref().is_none_or(|version| *version == build.version)
                && build.failed_log.is_some()
        })
    }

    /// The commands that install the headers, which starts the build on most distributions, and then build.
    fn header_commands(&self, problem: &Problem) -> Vec<String> {
        let Some(release) = &problem.kernel else { return Vec::new() };
        let package = match self.family {
            Some(Family::Debian | Family::Ubuntu) => {
                format!("apt install {}", quote(format!("linux-headers-{release}")))
            }
            Some(Family::Fedora | Family::Rhel) => {
                format!("dnf install {}", quote(format!("kernel-devel-{release}")))
            }
            // The name of the package depends on the kernel's flavour. The help names it.
            _ => return vec![format!("dkms autoinstall -k {}", quote(release))],
        };
        vec![package, format!("dkms autoinstall -k {}", quote(release))]
    }
}

/// The name of the package of a pending item.
fn package_name(item: &Item) -> Option<&str> {
    item.package.as_ref().map(|id| &*id.name)
}

/// The problem that depmod's index does not match the installed modules, which `command` fixes.
fn index_problem(kernel: &KernelState, check: &Check, command: &str) -> Problem {
    Problem {
        cause: "index".to_owned(),
        kernel: Some(kernel.kernel.clone()),
        what: "its modules.dep does not list the modules of dkms as they are installed".to_owned(),
        help: vec![sentence(check)],
        fix: vec![command.to_owned()],
        ..Problem::default()
    }
}

/// Package, version and module that a check is about: `M`, `M/V` or `M/V: NAME`.
fn subject(check: &Check) -> (Option<String>, Option<String>, Option<String>) {
    let Some(text) = &check.about else { return (None, None, None) };
    let (id, module) =
        text.split_once(": ").map_or((text.as_str(), None), |(id, m)| (id, Some(m.to_owned())));
    let (name, version) = id.split_once('/').map_or((id, None), |(n, v)| (n, Some(v.to_owned())));
    (Some(name.to_owned()), version, module)
}

/// The text of a check, with the module but without the package, which the problem names.
fn sentence(check: &Check) -> String {
    match subject(check) {
        (_, _, Some(module)) => format!("{module}: {}", check.what),
        _ => check.what.clone(),
    }
}

#[cfg(test)]
mod tests;
