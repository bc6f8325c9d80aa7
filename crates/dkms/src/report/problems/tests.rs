use super::*;
use crate::report::data::{Finding, Fsck, Key, Module, Reason, SecureBoot};
use dkms_core::ids::{Kernel, PackageId};

fn check(about: &str, what: &str, help: &str) -> Check {
    let help = Some(help.to_owned()).filter(|h| !h.is_empty());
    Check {
        about: Some(about.into()),
        answer: Outcome::Refused,
        what: what.into(),
        help,
        reasons: Vec::new(),
        remark: false,
    }
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

fn item((package, wait): (&str, Wait)) -> Item {
    Item {
        package: PackageId::new(package, "1").ok(),
        kernel: Kernel::new("6.1", "x86_64").unwrap(),
        wait,
        what: "x".into(),
        help: Vec::new(),
    }
}

/// Severity, cause, package, and commands of each problem.
fn summary(machine: &Machine) -> Vec<(&'static str, String, String, String)> {
    let row = |problem: Problem| {
        let package = problem.package.unwrap_or_default();
        (problem.severity.word(), problem.cause, package, problem.fix.join("; "))
    };
    find(machine, Some(Family::Debian)).into_iter().map(row).collect()
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
    let pending = [("a", Wait::Build), ("d", Wait::Headers), ("e", Wait::Autoinstall)].map(item);
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
        pending: pending.into(),
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
    let first = find(&machine, None).into_iter().next().unwrap();
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
