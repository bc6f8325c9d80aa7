//! Gathers what is known about this machine. Every fact comes from the query that also has an action of its
//! own, and modules are read and judged once.

use super::data::{
    BuildState, Check, Finding, Fsck, KernelState, Key, MACHINE, Machine, Module, Pending, Reason, SecureBoot,
};
use super::{disk, problems};
use crate::render::{json::SCHEMA, mok as words, verdicts};
use dkms_core::build::diagnose::diagnose;
use dkms_core::error::Result;
use dkms_core::event::Sink;
use dkms_core::host::Host;
use dkms_core::ids::{Build, Kernel, PackageId};
use dkms_core::kernel::headers;
use dkms_core::kernel::running::Running;
use dkms_core::look::loaded::{self, InMemory};
use dkms_core::look::ready::{self, Item};
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

/// Everything about the machine, or about the kernels with these releases. `arch` is the architecture of its
/// kernels. Changes nothing and takes no lock.
///
/// # Errors
/// framework.conf is invalid. What cannot be read otherwise is unknown in the result.
pub(super) fn machine(system: &System, sink: &dyn Sink, releases: &[String], arch: &str) -> Result<Machine> {
    let selected = |release: &str| releases.is_empty() || releases.iter().any(|r| r == release);
    let entries = status::status(system, sink, &Filter::default());
    let installed = ready::kernels(&system.layout).into_iter().filter(|r| selected(r));
    let known: Vec<Kernel> = installed.filter_map(|r| Kernel::from_release(r, arch).ok()).collect();
    let filters: Vec<Filter> = match releases {
        [] => vec![Filter::default()],
        some => some.iter().map(|r| Filter::of_kernel(r)).collect(),
    };
    let verdicts = verify::verify(system, sink, &filters);
    let newest = ready::newest_kernel(&system.layout);
    let mut kernels = Vec::new();
    for kernel in all_kernels(&known, &entries, &selected) {
        let is_newest = newest.as_ref() == Some(&kernel.release);
        kernels.push(kernel_state(system, sink, &kernel, known.contains(&kernel), is_newest, &verdicts)?);
    }
    let builds = builds(&system.host, &system.layout, &entries, &kernels, &verdicts.modules);
    let key = key(system, sink, newest.as_deref(), arch)?;
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
        pending: ready::pending_with_verdicts(system, sink, &known, &verdicts).iter().map(pending).collect(),
        fsck: fsck_of(system, sink, releases),
        disk: disk::usage(system, &builds),
        key: key.0,
        secure_boot: key.1,
        kernels,
        builds,
        problems: Vec::new(),
    };
    machine.problems = problems::of(&machine, system.host.distribution.as_ref().map(|d| d.family()));
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

/// The kernels that are there, and those that something is built for, oldest first.
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
    let check = |c: &ready::Check| Check {
        about: c.about.clone(),
        answer: verdicts::answer(c.answer).to_owned(),
        what: c.what.clone(),
        help: c.help.clone(),
    };
    let policy = verdicts.kernels.iter().find(|k| k.kernel == *kernel).map(|k| k.policy.clone());
    Ok(KernelState {
        kernel: kernel.release.to_string(),
        arch: kernel.arch.clone(),
        running: system.host.runs(&kernel.release),
        newest,
        present,
        headers: headers::present(&system.layout, &system.settings, &kernel.release),
        ready: report.as_ref().map(|r| verdicts::answer(r.answer()).to_owned()),
        checks: report.iter().flat_map(|r| r.checks.iter().map(check)).collect(),
        policy,
    })
}

/// The entries of the status for these kernels, and the failed builds.
fn builds(
    host: &Host,
    layout: &Layout,
    entries: &[Entry],
    kernels: &[KernelState],
    judged: &[Judged],
) -> Vec<BuildState> {
    // Nothing is known about the machine that will start another root.
    let running = host.other_root.is_none().then(Running::read);
    let is_there = |k: &Kernel| kernels.iter().any(|o| o.kernel == k.release && o.arch == k.arch);
    let mut all: Vec<BuildState> = Vec::new();
    for entry in entries.iter().filter(|e| e.kernel().is_none_or(is_there)) {
        let mut state = build_state(layout, entry);
        if let Some(kernel) = entry.kernel() {
            let of =
                judged.iter().filter(|j| j.package.as_ref() == Some(&entry.package) && j.kernel == *kernel);
            let of: Vec<&Judged> = of.collect();
            if matches!(entry.kind, State::Installed(_) | State::InstalledWeak { .. }) {
                state.verdict = verdict(&of);
                let running = running.as_ref().filter(|_| host.runs(&kernel.release));
                state.modules = of.iter().map(|j| module(j, running)).collect();
            }
        }
        all.push(state);
    }
    for package in state::all_packages(layout) {
        for kernel in kernels {
            let Ok(kernel) = Kernel::new(&kernel.kernel, &kernel.arch) else { continue };
            note_failure(host, layout, &package, &kernel, &mut all);
        }
    }
    all
}

/// Notes that the last build failed, if it did.
fn note_failure(
    host: &Host,
    layout: &Layout,
    package: &PackageId,
    kernel: &Kernel,
    all: &mut Vec<BuildState>,
) {
    let log = layout.failed_log(&Build::new(package, kernel));
    if !dkms_sys::fs::is_real_file(&log) {
        return;
    }
    let first_error = first_error(host, &log);
    let log = Some(log.display().to_string());
    let is_it = |b: &&mut BuildState| {
        b.package == package.name
            && b.version == package.version
            && b.kernel.as_deref() == Some(&*kernel.release)
            && b.arch.as_ref() == Some(&kernel.arch)
    };
    if let Some(build) = all.iter_mut().find(is_it) {
        build.failed_log = log;
        build.first_error = first_error;
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

/// The first error in the log of a build.
fn first_error(host: &Host, log: &Path) -> Option<String> {
    let text = dkms_sys::fs::read_text(log, Limit::LOG).ok()?;
    diagnose(host, &text).errors.into_iter().next().map(|line| line.trim().to_owned())
}

fn build_state(layout: &Layout, entry: &Entry) -> BuildState {
    let word = crate::render::json::state_word(&entry.kind);
    let built_for = match &entry.kind {
        // A weak module belongs to the build for the other kernel.
        State::InstalledWeak { kernel, from } => Kernel::new(from, &kernel.arch).ok(),
        _ => entry.kernel().cloned(),
    };
    let manifest = built_for.and_then(|k| Manifest::load(layout, &Build::new(&entry.package, &k)));
    BuildState {
        package: entry.package.name.clone(),
        version: entry.package.version.clone(),
        kernel: entry.kernel().map(|k| k.release.to_string()),
        arch: entry.kernel().map(|k| k.arch.clone()),
        state: word.to_owned(),
        from_kernel: match &entry.kind {
            State::InstalledWeak { from, .. } => Some(from.to_string()),
            _ => None,
        },
        original_modules: entry.originals,
        built_missing: entry.built_missing,
        differs: entry.differs,
        origin: manifest.as_ref().filter(|m| !m.origin.is_unknown()).map(|m| m.origin.to_string()),
        built_at: manifest.as_ref().map(|m| m.built_at).filter(|at| *at > 0),
        build_seconds: manifest.as_ref().map(|m| m.build_seconds).filter(|t| *t > 0.0),
        ..BuildState::default()
    }
}

/// The worst verdict of the modules of a build; none without modules.
fn verdict(modules: &[&Judged]) -> Option<String> {
    use verify::Outcome::{Loads, Refused, Unknown};
    let worst = [Refused, Unknown, Loads].into_iter().find(|o| modules.iter().any(|m| m.outcome() == *o))?;
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

/// The reasons against a module. One for another kernel can lack hundreds of symbols: a few are enough here.
fn reasons(judged: &Judged) -> Vec<Reason> {
    const SHOWN: usize = 8;
    if let Some(why) = &judged.unreadable {
        let help = verdicts::UNREADABLE.into();
        return vec![Reason { code: "unreadable".into(), text: why.clone(), help }];
    }
    let reason =
        |r: &verify::Reason| Reason { code: r.code().into(), text: r.to_string(), help: r.help().into() };
    verdicts::refusals_or_doubts(judged).iter().take(SHOWN).map(reason).collect()
}

fn pending(item: &Item) -> Pending {
    Pending {
        package: item.package.as_ref().map(|p| p.name.clone()),
        version: item.package.as_ref().map(|p| p.version.clone()),
        kernel: item.kernel.release.to_string(),
        arch: item.kernel.arch.clone(),
        waits_for: item.wait.word().to_owned(),
        what: item.what.clone(),
        help: item.help.clone(),
    }
}

/// What `fsck` finds, about these kernels or about everything. A tree that cannot be listed is one finding
/// that could not be made.
fn fsck_of(system: &System, sink: &dyn Sink, releases: &[String]) -> Fsck {
    let filters: Vec<Filter> = releases.iter().map(|r| Filter::of_kernel(r)).collect();
    let report = match fsck::check(system, sink, &filters) {
        Ok(report) => report,
        // Without a tree, there is nothing to check.
        Err(_) if !dkms_sys::fs::exists(&system.layout.dkms_tree) => fsck::Report::default(),
        Err(e) => fsck::Report { unreadable: vec![e.to_string()], ..fsck::Report::default() },
    };
    let finding = |f: &fsck::Finding| Finding {
        kind: f.kind.word().to_owned(),
        package: f.about.package.clone(),
        version: f.about.version.clone(),
        kernel: f.about.release.clone(),
        path: f.path.display().to_string(),
        what: f.what.clone(),
        repair: f.repair.clone(),
        safe: f.safe(),
    };
    Fsck {
        packages: report.packages,
        builds: report.builds,
        findings: report.findings.iter().map(finding).collect(),
        unreadable: report.unreadable,
    }
}

/// The signing key of the newest kernel, and what the machine insists on.
fn key(
    system: &System,
    sink: &dyn Sink,
    newest: Option<&str>,
    arch: &str,
) -> Result<(Option<Key>, SecureBoot)> {
    let release = newest.unwrap_or(&system.host.release);
    let Ok(kernel) = Kernel::new(release, arch) else {
        let unknown = || "unknown".to_owned();
        return Ok((None, SecureBoot { state: unknown(), enforcement: unknown(), why: String::new() }));
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
            key.trusted = words::trusted(found);
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
