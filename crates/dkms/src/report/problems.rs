//! What there is to be done on a machine: the answers of all queries, each problem once, with the commands
//! that fix it.

use super::data::{BuildState, Check, KernelState, Machine, Pending, Problem, Severity};
use dkms_core::distro::Family;
use dkms_core::session::Session;
use dkms_sys::process::quote;

/// Certificates that end within this time are mentioned.
const SOON: i64 = 30 * 86_400;

/// All problems, the most important first.
pub(super) fn of(s: &Session<'_>, machine: &Machine) -> Vec<Problem> {
    let mut found =
        Found { machine, family: s.host.distribution.as_ref().map(|d| d.family()), all: Vec::new() };
    for kernel in &machine.kernels {
        found.not_ready(kernel);
    }
    machine.pending.iter().for_each(|item| found.pending(item));
    machine.builds.iter().for_each(|build| found.build(build));
    found.fsck();
    found.key(s.host.recorded_time());
    found.all.sort_by_key(|problem| problem.severity);
    found.all
}

struct Found<'a> {
    machine: &'a Machine,
    family: Option<Family>,
    all: Vec<Problem>,
}

impl Found<'_> {
    /// The checks of `ready` that a kernel does not pass, each with what `pending` knows about the package.
    fn not_ready(&mut self, kernel: &KernelState) {
        // Other kernels are only started on purpose.
        let severity = if kernel.running || kernel.newest { Severity::Error } else { Severity::Warning };
        for check in kernel.checks.iter().filter(|c| c.answer != "yes") {
            let (package, version, _) = about(check);
            let pending = self
                .machine
                .pending
                .iter()
                .find(|p| p.kernel == kernel.kernel && package.is_some() && p.package == package);
            let refused = self.refusal(&kernel.kernel, package.as_deref());
            let cause = match (pending, refused) {
                (_, Some(code)) => code,
                (Some(pending), None) => pending.waits_for.clone(),
                (None, None) => "not-ready".to_owned(),
            };
            let mut problem = Problem {
                severity: if check.answer == "no" { severity } else { Severity::Warning },
                cause,
                version: version.or_else(|| pending.and_then(|p| p.version.clone())),
                kernel: Some(kernel.kernel.clone()),
                what: sentence(check),
                help: check.help.clone().into_iter().collect(),
                fix: check.help.clone().into_iter().filter(|help| help.starts_with("depmod ")).collect(),
                package,
            };
            if let Some(pending) = pending {
                problem.help.clone_from(&pending.help);
                if !problem.what.contains(&pending.what) && pending.waits_for != "autoinstall" {
                    problem.what = format!("{}: {}", problem.what, pending.what);
                }
            }
            self.add(problem);
        }
    }

    /// The reason why a module of a package would be refused by a kernel.
    fn refusal(&self, kernel: &str, package: Option<&str>) -> Option<String> {
        let of = |b: &&BuildState| b.kernel.as_deref() == Some(kernel) && Some(b.package.as_str()) == package;
        let modules = self.machine.builds.iter().filter(of).flat_map(|b| &b.modules);
        let reason = modules.filter(|m| m.verdict != "loads").find_map(|m| m.reasons.first())?;
        Some(reason.code.clone())
    }

    fn pending(&mut self, item: &Pending) {
        if self.has(item.package.as_deref(), &item.kernel) {
            return;
        }
        let severity = match item.waits_for.as_str() {
            "autoinstall" => Severity::Note,
            _ => Severity::Warning,
        };
        self.add(Problem {
            severity,
            cause: item.waits_for.clone(),
            package: item.package.clone(),
            version: item.version.clone(),
            kernel: Some(item.kernel.clone()),
            what: item.what.clone(),
            help: item.help.clone(),
            ..Problem::default()
        });
    }

    /// What the status and the verdict say about one package and kernel.
    fn build(&mut self, build: &BuildState) {
        let problem = |severity, cause: &str, what: String| Problem {
            severity,
            cause: cause.to_owned(),
            package: Some(build.package.clone()),
            version: Some(build.version.clone()),
            kernel: build.kernel.clone(),
            what,
            ..Problem::default()
        };
        if build.state == "broken" {
            let what = "its source, or the link to it, is missing";
            self.add(problem(Severity::Error, "broken", what.to_owned()));
        }
        let kernel = build.kernel.clone().unwrap_or_default();
        if !self.has(Some(&build.package), &kernel) {
            if build.built_missing {
                let what = "module files that were built or installed are missing";
                self.add(problem(Severity::Error, "missing", what.to_owned()));
            } else if build.differs {
                let what = "installed module files differ from what was built";
                self.add(problem(Severity::Warning, "differs", what.to_owned()));
            } else if build.failed_log.is_some() {
                self.add(problem(Severity::Warning, "build", "its last build failed".to_owned()));
            }
            for module in build.modules.iter().filter(|m| m.verdict != "loads") {
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
        for module in build.modules.iter().filter(|m| m.loaded.as_deref() == Some("other")) {
            let what = format!("another build of {} is loaded than the one that is installed", module.module);
            let mut new = problem(Severity::Note, "loaded-other", what);
            let name = quote(module.module.replace('-', "_"));
            new.fix = vec![format!("modprobe -r {name}"), format!("modprobe {name}")];
            new.help.push("or restart the machine".to_owned());
            self.all.push(new);
        }
    }

    fn fsck(&mut self) {
        for finding in &self.machine.fsck.findings {
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

    fn key(&mut self, now: u64) {
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
            let what = format!("others than root can read the signing key {}", key.path);
            self.all.push(new(
                Severity::Error,
                "key-exposed",
                what,
                &[format!("chmod 600 {}", quote(&key.path))],
            ));
        }
        let insists = matches!(self.machine.secure_boot.enforcement.as_str(), "sig-enforce" | "lockdown");
        let untrusted = key.trusted == Some(false);
        if insists && (untrusted || key.state == "missing") {
            let what = format!("the kernel insists on signatures, and: {}", key.next);
            let fix = match key.step.as_str() {
                "make-key" => vec!["dkms generate_mok".to_owned(), "dkms mok enroll".to_owned()],
                "enroll" => vec!["dkms mok enroll".to_owned()],
                "restart" => vec!["reboot".to_owned()],
                _ => vec!["dkms mok".to_owned()],
            };
            self.all.push(new(Severity::Error, "key-not-enrolled", what, &fix));
        }
        if key.not_after.is_some_and(|end| end < now.saturating_add(SOON)) {
            let word = if key.not_after.is_some_and(|end| end < now) { "has ended" } else { "ends soon" };
            let what = format!(
                "the validity of the certificate {} {word}; kernels do not check that",
                key.certificate
            );
            self.all.push(new(Severity::Note, "key-expires", what, &["dkms mok rotate".to_owned()]));
        }
    }

    /// Whether something is known about a package and a kernel already.
    fn has(&self, package: Option<&str>, kernel: &str) -> bool {
        self.all.iter().any(|p| p.package.as_deref() == package && p.kernel.as_deref() == Some(kernel))
    }

    /// Adds a problem with the commands for its cause, unless it is there.
    fn add(&mut self, mut problem: Problem) {
        if problem.fix.is_empty() {
            problem.fix = self.commands(&problem);
        }
        // The commands say it already.
        let fix = &problem.fix;
        problem.help.retain(|text| !fix.iter().any(|command| text.ends_with(command.as_str())));
        if !self.all.contains(&problem) {
            self.all.push(problem);
        }
    }

    /// The commands that fix a problem of this cause.
    fn commands(&self, problem: &Problem) -> Vec<String> {
        let package = match (&problem.package, &problem.version) {
            (Some(package), Some(version)) => quote(format!("{package}/{version}")),
            (Some(package), None) => quote(package),
            (None, _) => String::new(),
        };
        let kernel = problem.kernel.as_ref().map_or_else(String::new, |k| format!(" -k {}", quote(k)));
        match problem.cause.as_str() {
            "headers" => self.headers(problem),
            "autoinstall" | "recovery" => vec![format!("dkms autoinstall{kernel}")],
            "build" => {
                let log = self.log(problem).map(|log| format!("less {}", quote(log)));
                log.into_iter().chain([format!("dkms install {package}{kernel}")]).collect()
            }
            "dependency" => vec![format!("dkms pending{kernel}")],
            "configuration" => vec![format!("dkms lint {package}{kernel}")],
            "enrolment" | "key-not-trusted" => vec!["dkms mok enroll".to_owned()],
            "broken" => vec![format!("dkms add {package}")],
            "unsigned" | "missing" | "unreadable" | "damaged" | "vermagic" | "other-release"
            | "symbol-version" | "unknown-symbol" => vec![format!("dkms install --force {package}{kernel}")],
            "differs" => vec![format!("dkms fsck {package}{kernel}")],
            "not-ready" if package.is_empty() => vec![format!("dkms ready{kernel}")],
            "not-ready" => vec![format!("dkms install {package}{kernel}")],
            _ => vec![format!("dkms verify {package}{kernel}")],
        }
    }

    /// The log of the failed build.
    fn log(&self, problem: &Problem) -> Option<String> {
        let is_it = |b: &&BuildState| {
            Some(&b.package) == problem.package.as_ref()
                && b.kernel == problem.kernel
                && problem.version.as_ref().is_none_or(|version| *version == b.version)
        };
        self.machine.builds.iter().filter(is_it).find_map(|b| b.failed_log.clone())
    }

    /// Installing the headers, which starts the build on most distributions.
    fn headers(&self, problem: &Problem) -> Vec<String> {
        let Some(release) = &problem.kernel else { return Vec::new() };
        let package = match self.family {
            Some(Family::Debian | Family::Ubuntu) => {
                format!("apt install {}", quote(format!("linux-headers-{release}")))
            }
            Some(Family::Fedora | Family::Rhel) => {
                format!("dnf install {}", quote(format!("kernel-devel-{release}")))
            }
            // The names of these depend on the kernel's flavour; the text has them.
            _ => return vec![format!("dkms autoinstall -k {}", quote(release))],
        };
        vec![package, format!("dkms autoinstall -k {}", quote(release))]
    }
}

/// Package, version and module of a check: `M`, `M/V` or `M/V: NAME`.
fn about(check: &Check) -> (Option<String>, Option<String>, Option<String>) {
    let Some(text) = &check.about else { return (None, None, None) };
    let (id, module) =
        text.split_once(": ").map_or((text.as_str(), None), |(id, m)| (id, Some(m.to_owned())));
    let (name, version) = id.split_once('/').map_or((id, None), |(n, v)| (n, Some(v.to_owned())));
    (Some(name.to_owned()), version, module)
}

/// A check as a sentence that need not name the package again.
fn sentence(check: &Check) -> String {
    match about(check) {
        (_, _, Some(module)) => format!("{module}: {}", check.what),
        _ => check.what.clone(),
    }
}
