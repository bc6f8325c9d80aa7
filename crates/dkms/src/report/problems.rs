//! What there is to be done on a machine: the answers of all queries, each problem once, with the commands
//! that fix it.

use super::data::{BuildState, Check, KernelState, Machine, Pending, Problem, Severity};
use dkms_core::distro::Family;
use dkms_sys::process::quote;

/// Certificates that end within this time are mentioned.
const SOON: i64 = 30 * 86_400;

/// All problems, the most important first.
pub(super) fn of(machine: &Machine, family: Option<Family>) -> Vec<Problem> {
    let mut found = Found { machine, family, all: Vec::new() };
    for kernel in &machine.kernels {
        found.not_ready(kernel);
    }
    machine.pending.iter().for_each(|item| found.pending(item));
    machine.builds.iter().for_each(|build| found.build(build));
    found.fsck();
    found.key(machine.generated);
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
            let severity = if check.answer == "no" { severity } else { Severity::Warning };
            let problem = match check.help.as_deref().filter(|help| help.starts_with("depmod ")) {
                Some(command) => index(kernel, check, command),
                None => self.of_check(kernel, check),
            };
            self.add(Problem { severity, ..problem });
        }
    }

    fn of_check(&self, kernel: &KernelState, check: &Check) -> Problem {
        let (package, version, _) = about(check);
        let is_it = |p: &&Pending| p.kernel == kernel.kernel && package.is_some() && p.package == package;
        let pending = self.machine.pending.iter().find(is_it);
        let build = self.machine.builds.iter().find(|b| {
            b.kernel.as_ref() == Some(&kernel.kernel)
                && Some(&b.package) == package.as_ref()
                && b.state != "failed"
        });
        let broken =
            self.machine.builds.iter().find(|b| Some(&b.package) == package.as_ref() && b.state == "broken");
        let cause = match (pending, self.refusal(&kernel.kernel, package.as_deref())) {
            _ if broken.is_some() => "broken".to_owned(),
            _ if build.is_some_and(|b| b.built_missing) => "missing".to_owned(),
            (_, Some(code)) => code,
            (Some(pending), None) => pending.waits_for.clone(),
            _ if build.is_some_and(|b| b.differs) => "differs".to_owned(),
            (None, None) => "not-ready".to_owned(),
        };
        let mut problem = Problem {
            cause,
            version: version
                .or_else(|| broken.map(|b| b.version.clone()))
                .or_else(|| pending.and_then(|p| p.version.clone())),
            kernel: Some(kernel.kernel.clone()),
            what: sentence(check),
            help: pending.map_or_else(|| check.help.clone().into_iter().collect(), |p| p.help.clone()),
            package,
            ..Problem::default()
        };
        if let Some(pending) = pending.filter(|p| !matches!(p.waits_for.as_str(), "autoinstall" | "build")) {
            if !problem.what.contains(&pending.what) {
                problem.what = format!("{}: {}", problem.what, pending.what);
            }
        }
        problem
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
        let is_known = |p: &Problem| p.cause == "broken" && p.package.as_ref() == Some(&build.package);
        if build.state == "broken" && !self.all.iter().any(is_known) {
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
            // The status says so, too.
            let is_known = |p: &Problem| {
                let same = p.package == finding.package;
                match p.cause.as_str() {
                    "differs" | "missing" => {
                        same && p.kernel == finding.kernel && finding.kind.starts_with("installed-")
                    }
                    "broken" => same && finding.kind == "source-missing",
                    _ => false,
                }
            };
            if self.all.iter().any(is_known) {
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

    /// Adds a problem with the commands for its cause. What is fixed in the same way is one problem.
    fn add(&mut self, mut problem: Problem) {
        if problem.cause == "build" {
            problem.help.retain(|help| !help.starts_with("see ") && !help.starts_with("then: "));
            problem.help.extend(self.failed(&problem).and_then(|b| b.first_error.clone()));
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
        // The commands say it already.
        let fix = &problem.fix;
        problem.help.retain(|text| !fix.iter().any(|command| text == command));
        let is_same = |p: &&mut Problem| {
            let about =
                p.package == problem.package && p.version == problem.version && p.kernel == problem.kernel;
            about && p.cause == problem.cause && p.fix == problem.fix
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
        let kernel = problem.kernel.as_ref().map_or_else(String::new, |k| format!(" -k {}", quote(k)));
        match problem.cause.as_str() {
            "headers" => self.headers(problem),
            "autoinstall" | "recovery" | "dependency" => vec![format!("dkms autoinstall{kernel}")],
            "build" => {
                let log = self.failed(problem).and_then(|b| b.failed_log.as_ref());
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
    fn failed(&self, problem: &Problem) -> Option<&BuildState> {
        let is_it = |b: &&BuildState| {
            Some(&b.package) == problem.package.as_ref()
                && b.kernel == problem.kernel
                && problem.version.as_ref().is_none_or(|version| *version == b.version)
        };
        self.machine.builds.iter().filter(is_it).find(|b| b.failed_log.is_some())
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

/// The index of a kernel's modules is not that of the modules that are there.
fn index(kernel: &KernelState, check: &Check, command: &str) -> Problem {
    Problem {
        cause: "index".to_owned(),
        kernel: Some(kernel.kernel.clone()),
        what: "its modules.dep does not list modules of dkms as they are installed".to_owned(),
        help: vec![sentence(check)],
        fix: vec![command.to_owned()],
        ..Problem::default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::{Finding, Fsck, Key, Module, Reason, SecureBoot};

    fn check(about: &str, what: &str, help: &str) -> Check {
        let help = Some(help.to_owned()).filter(|h| !h.is_empty());
        Check { about: Some(about.into()), answer: "no".into(), what: what.into(), help }
    }

    fn build(package: &str, state: &str) -> BuildState {
        BuildState {
            package: package.into(),
            version: "1".into(),
            kernel: Some("6.1".into()),
            state: state.into(),
            ..BuildState::default()
        }
    }

    /// Severity, cause, package, and commands of each problem.
    fn summary(machine: &Machine) -> Vec<(&'static str, String, String, String)> {
        let all = of(machine, Some(Family::Debian));
        let one = |p: Problem| (p.severity.word(), p.cause, p.package.unwrap_or_default(), p.fix.join("; "));
        all.into_iter().map(one).collect()
    }

    fn row(
        severity: &'static str,
        cause: &str,
        package: &str,
        fix: &str,
    ) -> (&'static str, String, String, String) {
        (severity, cause.into(), package.into(), fix.into())
    }

    #[test]
    fn each_problem_once_with_its_commands() {
        let mut failed = build("a", "failed");
        failed.failed_log = Some("/var/lib/dkms/a/1/.log/x y".into());
        failed.first_error = Some("a.c:1: error: x".into());
        let mut changed = build("b", "installed");
        changed.differs = true;
        let mut refused = build("c", "installed");
        let reason = Reason { code: "unsigned".into(), ..Reason::default() };
        let module = Module {
            module: "c-1".into(),
            verdict: "refused".into(),
            reasons: vec![reason],
            ..Module::default()
        };
        refused.modules = vec![Module { loaded: Some("other".into()), ..module }];
        let pending = |package: &str, word: &str| Pending {
            package: Some(package.into()),
            version: Some("1".into()),
            kernel: "6.1".into(),
            waits_for: word.into(),
            what: "x".into(),
            ..Pending::default()
        };
        let finding = |kind: &str, package: &str| Finding {
            kind: kind.into(),
            package: Some(package.into()),
            kernel: Some("6.1".into()),
            safe: kind == "leftover",
            ..Finding::default()
        };
        let machine = Machine {
            kernels: vec![KernelState {
                kernel: "6.1".into(),
                newest: true,
                checks: vec![
                    check("a", "did not build for 6.1", "see /var/lib/dkms/a/1/.log/x y"),
                    check("b/1", "installed module files differ", "dkms install --force puts them back"),
                    check("b/1: b", "modules.dep does not list it", "depmod 6.1"),
                    check("d", "is not installed for 6.1, whose headers are missing", ""),
                ],
                ..KernelState::default()
            }],
            builds: vec![failed, changed, refused],
            pending: vec![pending("a", "build"), pending("d", "headers"), pending("e", "autoinstall")],
            fsck: Fsck {
                findings: vec![finding("installed-differs", "b"), finding("leftover", "b")],
                ..Fsck::default()
            },
            ..Machine::default()
        };
        let expected = [
            row("error", "build", "a", "less '/var/lib/dkms/a/1/.log/x y'; dkms install a/1 -k 6.1"),
            row("error", "differs", "b", "dkms install --force b/1 -k 6.1"),
            row("error", "index", "", "depmod 6.1"),
            row("error", "headers", "d", "apt install linux-headers-6.1; dkms autoinstall -k 6.1"),
            row("error", "unsigned", "c", "dkms install --force c/1 -k 6.1"),
            row("warning", "leftover", "b", "dkms fsck --repair"),
            row("note", "autoinstall", "e", "dkms autoinstall -k 6.1"),
            row("note", "loaded-other", "c", "modprobe -r c_1; modprobe c_1"),
        ];
        assert_eq!(summary(&machine), expected);
        let first = of(&machine, None).into_iter().next().unwrap();
        assert_eq!(first.help, ["a.c:1: error: x"]);
    }

    #[test]
    fn keys() {
        let key = Key {
            path: "/k".into(),
            state: "there".into(),
            exposed: true,
            not_after: Some(86_400),
            trusted: Some(false),
            step: "enroll".into(),
            ..Key::default()
        };
        let secure_boot = SecureBoot { enforcement: "lockdown".into(), ..SecureBoot::default() };
        let machine = Machine { key: Some(key), secure_boot, ..Machine::default() };
        let expected = [
            row("error", "key-exposed", "", "chmod 600 /k"),
            row("error", "key-not-enrolled", "", "dkms mok enroll"),
            row("note", "key-expires", "", "dkms mok rotate"),
        ];
        assert_eq!(summary(&machine), expected);
        assert_eq!(summary(&Machine::default()), []);
    }
}
