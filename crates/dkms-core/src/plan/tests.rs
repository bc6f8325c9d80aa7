//! Tests plans from states, without a tree or a kernel.

use super::order::Candidate;
use super::removal::{self, Depth, Removal};
use super::state::{BuildFacts, State};
use super::{Operation, Outlook, Plan, Step, StepId, Transactions, changes, keys};
use crate::build::{BuildError, HeadersMissing};
use crate::error::Error;
use crate::install::InstallError;
use dkms_tree::ids::{Build, Kernel, PackageId, Release};
use dkms_tree::state::BuildState;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// `NAME/1` or `NAME/VERSION`.
fn package(text: &str) -> PackageId {
    let (name, version) = text.split_once('/').unwrap_or((text, "1"));
    PackageId { name: name.into(), version: version.into() }
}

fn kernel(release: &str) -> Kernel {
    Kernel::new(release, "x86_64").unwrap()
}

/// `PACKAGE@KERNEL`; without a kernel, for `k`.
fn build(text: &str) -> Build {
    let (name, release) = text.split_once('@').unwrap_or((text, "k"));
    Build::new(&package(name), &kernel(release))
}

fn builds(text: &str) -> Vec<Build> {
    text.split_whitespace().map(build).collect()
}

/// A state: kernels that exist and run depmod, and these builds.
fn state(facts: &[(&str, BuildFacts)]) -> State {
    let mut state = State::default();
    for (name, facts) in facts {
        let build = build(name);
        let of_kernel = state.kernels.entry(build.kernel.clone()).or_default();
        (of_kernel.exists, of_kernel.runs_depmod) = (true, true);
        if facts.state == BuildState::Installed {
            of_kernel.installed.insert(build.package.name.clone(), build.package.version.clone());
        }
        state.builds.insert(build, facts.clone());
    }
    state
}

fn new() -> BuildFacts {
    BuildFacts::default()
}

fn built() -> BuildFacts {
    BuildFacts { state: BuildState::Built, has_files: true, ..new() }
}

fn installed() -> BuildFacts {
    let files = vec![PathBuf::from("/m.ko")];
    BuildFacts { state: BuildState::Installed, is_active: true, uninstalls: Ok(files), ..built() }
}

fn needing(names: &str) -> BuildFacts {
    let depends: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    BuildFacts { missing: depends.clone(), depends, ..new() }
}

fn built_against(name: &str, version: &str, facts: BuildFacts) -> BuildFacts {
    BuildFacts { built_against: BTreeMap::from([(name.to_owned(), version.to_owned())]), ..facts }
}

fn failing(error: Error) -> BuildFacts {
    BuildFacts { obstacle: Some(Arc::new(error)), ..new() }
}

fn without_headers() -> BuildFacts {
    let (release, path, package) = (Release::new("k").unwrap(), "/h".into(), "headers".into());
    failing(BuildError::from(HeadersMissing { release, path, package, others: Vec::new() }).into())
}

fn excluded(name: &str) -> BuildFacts {
    failing(Error::Build(BuildError::Excluded { build: build(name), reason: "not for it".into() }))
}

/// A plan as one line: each step with its number, and the numbers of the steps that it follows.
fn shown(plan: &Plan) -> String {
    let step = |(id, step): (StepId, &Step)| {
        let what = match &step.operation {
            Operation::Build { build, replace: true, .. } => format!("rebuild {build}"),
            Operation::Build { build, .. } => format!("build {build}"),
            Operation::Install { build, outlook: Outlook::Changes } => format!("install {build}"),
            Operation::Install { build, outlook: Outlook::Same(_) } => format!("same {build}"),
            Operation::Install { build, outlook: Outlook::Refused(_) } => format!("refused {build}"),
            Operation::Uninstall(build) => format!("uninstall {build}"),
            Operation::Unbuild(build) => format!("unbuild {build}"),
            Operation::Remove(package) => format!("remove {package}"),
            Operation::Resign(build) => format!("resign {build}"),
            Operation::KeepKey(kernel) => format!("keep key for {}", kernel.release),
            Operation::Depmod(kernel) => format!("depmod {}", kernel.release),
            Operation::PostTransaction(command) => format!("run {command}"),
            Operation::MakeKey { key, .. } => format!("make {key}"),
            Operation::Skip(build) => format!("skip {build}"),
            Operation::Defer { build, missing } => format!("defer {build} for {}", missing.join(" ")),
            Operation::Fail { error, .. } => format!("fail: {error}"),
            Operation::Nothing(about) => format!("nothing about {about}"),
            other => format!("{other:?}"),
        };
        let what = what.replace(", kernel k (x86_64)", "").replace(" for kernel k (x86_64)", "");
        let optional = if step.optional { "?" } else { "" };
        let after: Vec<String> = plan.before(id).map(|id| id.position().to_string()).collect();
        let after = if after.is_empty() { String::new() } else { format!(" <{}>", after.join(" ")) };
        format!("{}{optional} {what}{after}", id.position())
    };
    plan.steps().map(step).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check(name: &str, plan: &Plan, expected: &str) {
    assert_eq!(shown(plan), expected, "{name}");
}

#[test]
fn plans_of_build() {
    let cases: &[(&str, BuildFacts, bool, &str)] = &[
        ("new", new(), false, "0 build a/1"),
        ("built", built(), false, "0 nothing about a/1"),
        ("installed", installed(), false, "0 nothing about a/1"),
        ("forced", built(), true, "0 rebuild a/1"),
        ("excluded", excluded("a"), false, "0 skip a/1"),
        ("no headers", without_headers(), false, "0 fail: the headers of kernel k are not at /h"),
        ("lacks b", needing("b"), false, "0 fail: a/1 needs b installed for the same kernel first"),
        ("lacks b, forced", needing("b"), true, "0 build a/1"),
    ];
    for (name, facts, force, expected) in cases {
        let state = state(&[("a", facts.clone())]);
        check(name, &changes::builds(&state, &package("a"), &[kernel("k"), kernel("k")], *force), expected);
    }
}

#[test]
fn plans_of_install() {
    let refused = Outlook::Refused(Arc::new(Error::from(InstallError::TargetIsDirectory("/x".into()))));
    type Case = (&'static str, &'static str, Vec<(&'static str, BuildFacts)>, bool, &'static str);
    let cases: Vec<Case> = vec![
        ("new", "a", vec![("a", new())], false, "0 build a/1; 1 install a/1 <0>; 2 depmod k <1>"),
        ("built", "a", vec![("a", built())], false, "0 install a/1; 1 depmod k <0>"),
        ("installed", "a", vec![("a", installed())], false, "0 nothing about a/1"),
        (
            "forced",
            "a",
            vec![("a", installed())],
            true,
            "0 uninstall a/1; 1 install a/1 <0>; 2 depmod k <0 1>",
        ),
        (
            "the kernel has the same",
            "a",
            vec![("a", BuildFacts { outlook: Outlook::Same("same".into()), ..built() })],
            false,
            "0 same a/1",
        ),
        ("refused", "a", vec![("a", BuildFacts { outlook: refused, ..built() })], false, "0 refused a/1"),
        (
            "dependencies come first, whatever the order of the request",
            "b a",
            vec![("a", new()), ("b", needing("a"))],
            false,
            "0 build a/1; 1 install a/1 <0>; 2 build b/1 <1>; 3 install b/1 <2>; 4 depmod k <1 3>",
        ),
        (
            "what depends on a failure fails",
            "a b",
            vec![("a", excluded("a")), ("b", needing("a"))],
            false,
            "0 skip a/1; 1 fail: b/1 depends on a/1, which is not meant for this kernel",
        ),
        (
            "what was built against another version is rebuilt",
            "a/2",
            vec![
                ("a/2", new()),
                ("b", built_against("a", "1", installed())),
                ("c", built_against("a", "1", built())),
                ("d", built_against("a", "2", installed())),
                ("e", built_against("b", "0", installed())),
            ],
            false,
            "0 build a/2; 1 install a/2 <0>; 2? rebuild b/1 <1>; 3? uninstall b/1 <2>; 4? install b/1 <3>; \
             5? rebuild e/1 <4>; 6? uninstall e/1 <5>; 7? install e/1 <6>; 8? rebuild c/1 <1>; \
             9 depmod k <1 3 4 6 7>",
        ),
        (
            "a failed rebuild leaves the old build",
            "a/2",
            vec![("a/2", excluded("a/2")), ("b", built_against("a", "1", installed()))],
            false,
            "0 skip a/2",
        ),
    ];
    for (name, wanted, facts, force, expected) in cases {
        check(name, &changes::installs(&state(&facts), &builds(wanted), force), expected);
    }
}

#[test]
fn kernels_without_modules_and_without_keys() {
    let mut without_directory = state(&[("a", built())]);
    for facts in without_directory.kernels.values_mut() {
        (facts.exists, facts.directory) = (false, "/lib/modules/k".into());
    }
    let plan = changes::installs(&without_directory, &builds("a"), false);
    let error = Error::from(InstallError::KernelDirMissing("/lib/modules/k".into()));
    check("no directory", &plan, &format!("0 fail: {error}"));

    let mut without_key = state(&[("a", new()), ("b", new())]);
    for facts in without_key.kernels.values_mut() {
        facts.missing_key = Some(("mok.key".into(), "mok.pub".into()));
        facts.post_transaction = Some("sync".into());
        facts.runs_depmod = false;
    }
    let plan = changes::installs(&without_key, &builds("a b"), false);
    let expected =
        "0 make mok.key; 1 build a/1; 2 install a/1 <1>; 3 build b/1; 4 install b/1 <3>; 5 run sync";
    check("one key", &plan, expected);
}

#[test]
fn plans_of_autoinstall() {
    let candidate = |name: &str, depends: &str, installed: bool| Candidate {
        package: package(name),
        installed,
        some_version_installed: installed,
        autoinstall: true,
        depends: depends.split_whitespace().map(str::to_owned).collect(),
        excluded: false,
    };
    let known = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let mut state = state(&[("a@k", new()), ("b@k", needing("a")), ("a@l", installed())]);
    if let Some(k) = state.kernels.get_mut(&kernel("k")) {
        k.candidates = vec![
            candidate("b", "a", false),
            candidate("a", "", false),
            candidate("c", "ghost", false),
            candidate("d", "d", false),
        ];
        k.known = known.clone();
    }
    if let Some(l) = state.kernels.get_mut(&kernel("l")) {
        (l.candidates, l.known) = (vec![candidate("a", "", true)], known);
    }
    let plan = changes::autoinstall(&state, &[kernel("k"), kernel("l")], false);
    let expected = "0 fail: d/1 needs d, which will not be installed; 1 build a/1; 2 install a/1 <1>; \
                    3 build b/1 <2>; 4 install b/1 <3>; 5 defer c/1 for ghost; 6 nothing about kernel l; \
                    7 depmod k <2 4>";
    check("two kernels", &plan, expected);
    assert_eq!(plan.transactions, Transactions::PerKernel);
}

/// The removal of `a/1` for the kernel `k`.
fn remove(state: &State, depth: Depth) -> Plan {
    let (package, kernels) = (&package("a"), &[kernel("k")]);
    removal::plan(state, &Removal { package, kernels, depth, reason: "" })
}

#[test]
fn plans_of_removals() {
    let cases: &[(&str, BuildFacts, Depth, &str)] = &[
        ("uninstall", installed(), Depth::Uninstall, "0 uninstall a/1; 1 depmod k <0>"),
        ("not installed", built(), Depth::Uninstall, "0 nothing about a/1"),
        ("unbuild", installed(), Depth::Unbuild, "0 uninstall a/1; 1 unbuild a/1 <0>; 2 depmod k <0>"),
        ("unbuild what is only built", built(), Depth::Unbuild, "0 unbuild a/1"),
        ("neither", new(), Depth::Unbuild, "0 nothing about a/1"),
        ("remove", built(), Depth::Remove, "0 unbuild a/1; 1 remove a/1"),
    ];
    for (name, facts, depth, expected) in cases {
        let state = state(&[("a", facts.clone())]);
        check(name, &remove(&state, *depth), expected);
    }
    let mut state = state(&[("a", built()), ("b", installed())]);
    state.kept.insert(package("a"));
    let plan = remove(&state, Depth::Remove);
    check("built for others", &plan, "0 unbuild a/1; 1 nothing about a/1");
    let plan = removal::clear_kernel(&state, &kernel("k"), "");
    check("a kernel", &plan, "0 unbuild a/1; 1 uninstall b/1; 2 unbuild b/1 <1>; 3 depmod k <1>");
}

#[test]
fn plans_of_key_rotations() {
    let pair = || Some(("new.key".to_owned(), PathBuf::from("new.pub")));
    let sync = || Some("sync".to_owned());
    let cases = [
        ("taken", pair(), "", "a b", None, "0 make new.key; 1 resign a/1 <0>; 2 resign b/1 <0>"),
        ("waits", pair(), "k", "a", sync(), "0 make new.key; 1 keep key for k"),
        ("made before", None, "", "a", sync(), "0 resign a/1; 1 run sync"),
    ];
    for (name, pair, waits, resigned, post_transaction, expected) in cases {
        let waits: Vec<Kernel> = waits.split_whitespace().map(kernel).collect();
        check(name, &keys::rotation(pair, &waits, &builds(resigned), post_transaction), expected);
    }
}
