//! Gathers everything that is known about this machine. Every fact comes from the query behind an action of
//! dkms (`status`, `ready`, ...), and each module is read and judged only once.

use super::data::{
    BuildState, Finding, Fsck, KernelState, Key, MACHINE, Machine, Module, Reason, SecureBoot,
};
use super::{disk, problems};
use crate::render::json::{SCHEMA, state_word};
use crate::render::{mok as words, verdicts};
use dkms_core::build::diagnose::diagnose;
use dkms_core::error::Result;
use dkms_core::event::Sink;
use dkms_core::host::Host;
use dkms_core::ids::{Build, Kernel};
use dkms_core::kernel::headers;
use dkms_core::kernel::running::Running;
use dkms_core::look::loaded::{self, InMemory};
use dkms_core::look::ready;
use dkms_core::look::status::{self, Entry, Filter, State};
use dkms_core::look::verify::{self, Judged};
use dkms_core::look::{fsck, modules};
use dkms_core::system::System;
use dkms_core::tree::manifest::Manifest;
use dkms_core::tree::state;
use dkms_core::trust::mok;
use dkms_sys::fs::Limit;
use dkms_tree::layout::Layout;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

/// Describes the machine with all its kernels, or only with the kernels of these releases. `arch` is the
/// architecture of the kernels. Changes nothing and takes no lock.
///
/// # Errors
/// framework.conf is invalid. Anything else that cannot be read is unknown in the result.
pub(super) fn machine(system: &System, sink: &dyn Sink, releases: &[String], arch: &str) -> Result<Machine> {
    let selected = |release: &str| releases.is_empty() || releases.iter().any(|other| other == release);
    let entries = status::status(system, sink, &Filter::default());
    let installed = ready::kernels(&system.layout).into_iter().filter(|release| selected(release));
    let known: Vec<Kernel> =
        installed.filter_map(|release| Kernel::from_release(release, arch).ok()).collect();
    let filters: Vec<Filter> = match releases {
        [] => vec![Filter::default()],
        some => some.iter().map(|release| Filter::of_kernel(release)).collect(),
    };
    let verdicts = verify::verify(system, sink, &filters);
    let newest = ready::newest_kernel(&system.layout);
    let mut kernels = Vec::new();
    for kernel in all_kernels(&known, &entries, &selected) {
        let is_newest = newest.as_ref() == Some(&kernel.release);
        kernels.push(kernel_state(system, sink, &kernel, known.contains(&kernel), is_newest, &verdicts)?);
    }
    let builds = builds(&system.host, &system.layout, &entries, &kernels, &verdicts.modules);
    let (key, secure_boot) = signing_key(system, sink, newest.as_deref(), arch)?;
    let mut machine = Machine {
        schema: SCHEMA,
        report: MACHINE.to_owned(),
        dkms: env!("CARGO_PKG_VERSION").to_owned(),
        generated: system.host.recorded_time(),
        as_root: system.host.root,
        host: host_name(&system.host),
        distribution: system.host.distribution.as_ref().map(|d| d.word().to_owned()),
        running: if system.host.other_root.is_none() && system.host.runs(&system.host.release) {
            system.host.release.to_string()
        } else {
            String::new()
        },
        arch: arch.to_owned(),
        pending: ready::pending_with_verdicts(system, sink, &known, &verdicts),
        fsck: check_consistency(system, sink, releases),
        disk: disk::usage(system, &builds),
        key,
        secure_boot,
        kernels,
        builds,
        problems: Vec::new(),
    };
    machine.problems = problems::find(&machine, system.host.distribution.as_ref().map(|d| d.family()));
    Ok(machine)
}

/// The name of the machine, or of the system in another root.
fn host_name(host: &Host) -> Option<String> {
    let name = match &host.other_root {
        // The file may be a link to one of this machine.
        Some(root) => {
            let mut name = Vec::new();
            let file = dkms_sys::fs::open_untrusted(root, "etc/hostname", None).ok()?;
            file.take(256).read_to_end(&mut name).ok()?;
            String::from_utf8_lossy(&name).into_owned()
        }
        None => dkms_sys::sys::hostname().to_string_lossy().into_owned(),
    };
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The kernels with modules, and those that the tree has builds for, oldest first.
fn all_kernels(known: &[Kernel], entries: &[Entry], selected: &dyn Fn(&str) -> bool) -> Vec<Kernel> {
    let gone: BTreeSet<&Kernel> = entries.iter().filter_map(Entry::kernel).collect();
    let gone = gone.into_iter().filter(|k| !known.contains(k) && selected(&k.release));
    let mut all: Vec<Kernel> = gone.chain(known).cloned().collect();
    let order = dkms_conf::kernel_match::compare_versions;
    all.sort_by(|a, b| order(&a.release, &b.release).then_with(|| a.cmp(b)));
    all
}

fn kernel_state(
    system: &System,
    sink: &dyn Sink,
    kernel: &Kernel,
    present: bool,
    newest: bool,
    verdicts: &verify::Report,
) -> Result<KernelState> {
    let report =
        if present { Some(ready::ready_with_verdicts(system, sink, kernel, verdicts)?) } else { None };
    let policy =
        verdicts.kernels.iter().find(|known| known.kernel == *kernel).map(|known| known.policy.clone());
    Ok(KernelState {
        kernel: kernel.release.to_string(),
        arch: kernel.arch.clone(),
        running: system.host.runs(&kernel.release),
        newest,
        present,
        headers: headers::present(&system.layout, &system.settings, &kernel.release),
        ready: report.as_ref().map(|report| ready::answer_word(report.answer()).to_owned()),
        checks: report.map_or_else(Vec::new, |report| report.checks),
        policy,
    })
}

/// The entries of `dkms status` for these kernels, and the builds that failed.
fn builds(
    host: &Host,
    layout: &Layout,
    entries: &[Entry],
    kernels: &[KernelState],
    judged: &[Judged],
) -> Vec<BuildState> {
    // It is unknown which machine will boot another root, and what it will have loaded.
    let running = host.other_root.is_none().then(Running::read);
    let is_listed = |kernel: &Kernel| {
        kernels.iter().any(|other| other.kernel == kernel.release && other.arch == kernel.arch)
    };
    let mut all: Vec<BuildState> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kernel().is_none_or(is_listed)) {
        let mut state = build_state(layout, entry);
        if let Some(kernel) = entry.kernel() {
            let is_in_build = |module: &&Judged| {
                module.package.as_ref() == Some(&entry.package) && module.kernel == *kernel
            };
            let modules: Vec<&Judged> = judged.iter().filter(is_in_build).collect();
            if matches!(entry.kind, State::Installed(_) | State::InstalledWeak { .. }) {
                state.verdict = worst_verdict(&modules);
                let running = running.as_ref().filter(|_| host.runs(&kernel.release));
                state.modules = modules.iter().map(|judged| module(judged, running)).collect();
            }
        }
        all.push(state);
    }
    for package in state::all_packages(layout) {
        for kernel in kernels {
            let Ok(kernel) = Kernel::new(&kernel.kernel, &kernel.arch) else { continue };
            add_failure(host, layout, &Build::new(&package, &kernel), &mut all);
        }
    }
    all
}

/// If the last build of a package for a kernel failed, adds that to its state, or adds a state.
fn add_failure(host: &Host, layout: &Layout, build: &Build, all: &mut Vec<BuildState>) {
    let Build { package, kernel } = build;
    let log = layout.failed_log(build);
    if !dkms_sys::fs::is_real_file(&log) {
        return;
    }
    let first_error = first_error(host, &log);
    let log = Some(log.display().to_string());
    let is_same = |state: &&mut BuildState| {
        state.package == package.name
            && state.version == package.version
            && state.kernel.as_deref() == Some(&*kernel.release)
            && state.arch.as_ref() == Some(&kernel.arch)
    };
    if let Some(state) = all.iter_mut().find(is_same) {
        state.failed_log = log;
        state.first_error = first_error;
        return;
    }
    all.push(BuildState {
        package: package.name.clone(),
        version: package.version.clone(),
        kernel: Some(kernel.release.to_string()),
        arch: Some(kernel.arch.clone()),
        state: "failed".to_owned(),
        failed_log: log,
        first_error,
        ..BuildState::default()
    });
}

/// The first error of the compiler in the log of a build.
fn first_error(host: &Host, log: &Path) -> Option<String> {
    let text = dkms_sys::fs::read_text(log, Limit::LOG).ok()?;
    diagnose(host, &text).errors.into_iter().next().map(|line| line.trim().to_owned())
}

fn build_state(layout: &Layout, entry: &Entry) -> BuildState {
    let built_for = match &entry.kind {
        // A weak module belongs to the build for the other kernel.
        State::InstalledWeak { kernel, from } => Kernel::new(from, &kernel.arch).ok(),
        _ => entry.kernel().cloned(),
    };
    let manifest = built_for.and_then(|kernel| Manifest::load(layout, &Build::new(&entry.package, &kernel)));
    BuildState {
        package: entry.package.name.clone(),
        version: entry.package.version.clone(),
        kernel: entry.kernel().map(|kernel| kernel.release.to_string()),
        arch: entry.kernel().map(|kernel| kernel.arch.clone()),
        state: state_word(&entry.kind).to_owned(),
        from_kernel: match &entry.kind {
            State::InstalledWeak { from, .. } => Some(from.to_string()),
            _ => None,
        },
        original_modules: entry.originals,
        built_missing: entry.built_missing,
        differs: entry.differs,
        origin: manifest
            .as_ref()
            .filter(|record| !record.origin.is_unknown())
            .map(|record| record.origin.to_string()),
        built_at: manifest.as_ref().map(|record| record.built_at).filter(|at| *at > 0),
        build_seconds: manifest.map(|record| record.build_seconds).filter(|seconds| *seconds > 0.0),
        ..BuildState::default()
    }
}

/// The worst verdict on the modules of a build; none without modules.
fn worst_verdict(modules: &[&Judged]) -> Option<String> {
    use verify::Outcome::{Loads, Refused, Unknown};
    let is_verdict = |outcome: &verify::Outcome| modules.iter().any(|module| module.outcome() == *outcome);
    let worst = [Refused, Unknown, Loads].into_iter().find(is_verdict)?;
    Some(verdicts::word(worst).to_owned())
}

fn module(judged: &Judged, running: Option<&Running>) -> Module {
    let facts = modules::Facts::read(&judged.path);
    let now = running.map(|running| loaded::compare_file(running, &judged.name, judged.path.clone()));
    let mut module = Module {
        module: judged.name.clone(),
        path: judged.path.display().to_string(),
        verdict: verdicts::word(judged.outcome()).to_owned(),
        reasons: reasons(judged),
        signer: facts.signer,
        version: facts.version,
        srcversion: facts.srcversion,
        ..Module::default()
    };
    if let Some(now) = now {
        module.loaded = match now.state {
            InMemory::Installed => Some("yes".to_owned()),
            InMemory::Other => Some("other".to_owned()),
            InMemory::No => Some("no".to_owned()),
            InMemory::Unknown => None,
        };
        module.loaded_version = running.and_then(|running| running.version(&now.name));
        module.loaded_srcversion = now.loaded.srcversion;
    }
    module
}

/// The first reasons against a module. A module for another kernel can lack hundreds of symbols.
fn reasons(judged: &Judged) -> Vec<Reason> {
    const SHOWN: usize = 8;
    if let Some(why) = &judged.unreadable {
        let help = verdicts::UNREADABLE.into();
        return vec![Reason { code: "unreadable".into(), text: why.clone(), help }];
    }
    let reason = |reason: &verify::Reason| Reason {
        code: reason.code().into(),
        text: reason.to_string(),
        help: reason.help().into(),
    };
    verdicts::refusals_or_doubts(judged).iter().take(SHOWN).map(reason).collect()
}

/// The result of `dkms fsck` for these kernels, or for everything. A tree that cannot be listed is a place
/// that could not be checked.
fn check_consistency(system: &System, sink: &dyn Sink, releases: &[String]) -> Fsck {
    let filters: Vec<Filter> = releases.iter().map(|release| Filter::of_kernel(release)).collect();
    let report = match fsck::check(system, sink, &filters) {
        Ok(report) => report,
        // Without a tree, there is nothing to check.
        Err(_) if !dkms_sys::fs::exists(&system.layout.dkms_tree) => fsck::Report::default(),
        Err(e) => fsck::Report { unreadable: vec![e.to_string()], ..fsck::Report::default() },
    };
    let finding = |finding: fsck::Finding| Finding {
        safe: finding.safe(),
        kind: finding.kind.word().to_owned(),
        package: finding.about.package,
        version: finding.about.version,
        kernel: finding.about.release,
        path: finding.path.display().to_string(),
        what: finding.what,
        repair: finding.repair,
    };
    Fsck {
        packages: report.packages,
        builds: report.builds,
        findings: report.findings.into_iter().map(finding).collect(),
        unreadable: report.unreadable,
    }
}

/// The signing key of the newest kernel; Secure Boot, and whether that kernel requires signatures.
fn signing_key(
    system: &System,
    sink: &dyn Sink,
    newest: Option<&str>,
    arch: &str,
) -> Result<(Option<Key>, SecureBoot)> {
    let release = newest.unwrap_or(&system.host.release);
    let Ok(kernel) = Kernel::new(release, arch) else {
        let (state, enforcement) = ("unknown".to_owned(), "unknown".to_owned());
        return Ok((None, SecureBoot { state, enforcement, why: String::new() }));
    };
    let status = mok::status(system, sink, &kernel)?;
    let mut key = Key {
        path: status.pair.key.clone(),
        state: words::key_word(&status.key).to_owned(),
        exposed: status.key.is_exposed(),
        certificate: status.pair.certificate.display().to_string(),
        step: status.next.step.word().to_owned(),
        next: status.next.text.clone(),
        ..Key::default()
    };
    match &status.certificate {
        Ok(Some(found)) => {
            let certificate = &found.certificate;
            key.subject = Some(certificate.subject().to_owned());
            key.key_type = Some(certificate.key_type().to_string());
            key.not_before = Some(certificate.not_before());
            key.not_after = Some(certificate.not_after());
            key.trusted = words::trusted(&found.enrolment);
        }
        Ok(None) => {}
        Err(why) => key.error = Some(why.clone()),
    }
    let secure_boot = SecureBoot {
        state: words::secure_boot_word(&status.secure_boot).to_owned(),
        enforcement: words::enforcement_word(status.policy.enforce).to_owned(),
        why: status.policy.why.clone(),
    };
    Ok((Some(key), secure_boot))
}
