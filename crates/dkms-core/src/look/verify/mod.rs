//! `dkms verify`: would the kernel load the installed modules? [`kmodule::verdict`] implements the kernel's
//! rules; this module provides the facts they are applied to: the kernels of this machine, their modules and
//! their keys.

mod index;
mod kernel;
mod resolver;
mod sources;
mod trust;
mod unit;

pub(crate) use index::indexed_files;
pub use kernel::Facts;
pub use resolver::Resolver;
pub use trust::Trust;

use crate::event::Sink;
use crate::installed::installed_files;
use crate::kernel::installed::MODULE_LIMIT;
use crate::look::status::{self, Filter, State};
use crate::system::System;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state::{self, module_stem};
use kmodule::ModuleName;
use kmodule::verdict::File;
pub use kmodule::verdict::{Outcome, Reason, Verdict};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// One module file, judged for one kernel.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The package it belongs to; `None` for a file that was given by its path.
    pub package: Option<PackageId>,
    /// The kernel.
    pub kernel: Kernel,
    /// Module name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The verdict for this kernel.
    pub verdict: Verdict,
    /// The reason why the file cannot be read.
    pub unreadable: Option<String>,
}

impl Judged {
    /// The outcome. A file that does not exist cannot be loaded.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.unreadable.is_some() { Outcome::Refused } else { self.verdict.outcome() }
    }
}

/// A kernel that modules were judged for.
#[derive(Clone, Debug)]
pub struct Known {
    /// The kernel.
    pub kernel: Kernel,
    /// The file its symbols were read from; `None` if they were not checked.
    pub symbols_from: Option<PathBuf>,
    /// A description of its policy for modules that have no trusted signature.
    pub policy: String,
}

/// The verdicts of one command.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One verdict per module file, in the order of the status.
    pub modules: Vec<Judged>,
    /// The kernels they were judged for.
    pub kernels: Vec<Known>,
}

impl Report {
    /// The worst outcome of all modules, in the order refused, unknown, loads.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        worst(self.modules.iter().map(Judged::outcome))
    }
}

/// The worst of several outcomes, in the order refused, unknown, loads.
pub(crate) fn worst(mut outcomes: impl Iterator<Item = Outcome> + Clone) -> Outcome {
    if outcomes.clone().any(|outcome| outcome == Outcome::Refused) {
        Outcome::Refused
    } else if outcomes.any(|outcome| outcome == Outcome::Unknown) {
        Outcome::Unknown
    } else {
        Outcome::Loads
    }
}

/// A module file to judge.
#[derive(Clone, Debug)]
struct Candidate {
    package: Option<PackageId>,
    kernel: Kernel,
    name: String,
    path: PathBuf,
}

/// Judges every installed module that the filters select. Changes nothing and takes no lock.
#[must_use]
pub fn verify(system: &System, sink: &dyn Sink, filters: &[Filter]) -> Report {
    let mut candidates = Vec::new();
    for filter in filters {
        for entry in status::status(system, sink, filter) {
            candidates.extend(installed(system, sink, &entry.package, &entry.kind));
        }
    }
    judge(system, sink, &candidates)
}

/// Judges module files for a kernel. They may be in any directory.
#[must_use]
pub fn verify_files(system: &System, sink: &dyn Sink, kernel: &Kernel, files: &[PathBuf]) -> Report {
    let name = |path: &Path| path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let candidates: Vec<Candidate> = files
        .iter()
        .map(|path| Candidate {
            package: None,
            kernel: kernel.clone(),
            name: module_stem(&name(path)).map_or_else(|| name(path), str::to_owned),
            path: path.clone(),
        })
        .collect();
    judge(system, sink, &candidates)
}

/// The installed files of one status entry.
fn installed(system: &System, sink: &dyn Sink, package: &PackageId, state: &State) -> Vec<Candidate> {
    let candidate = |kernel: &Kernel, name: String, path| Candidate {
        package: Some(package.clone()),
        kernel: kernel.clone(),
        name,
        path,
    };
    match state {
        State::Installed(kernel) => installed_files(system, sink, &Build::new(package, kernel))
            .into_iter()
            .map(|f| candidate(kernel, f.name, f.path))
            .collect(),
        State::InstalledWeak { kernel, from } => {
            let built = Build::new(package, &Kernel { release: from.clone(), arch: kernel.arch.clone() });
            let links =
                status::weak_links(&system.layout.kernel_modules(&kernel.release).join("weak-updates"));
            let mut found = Vec::new();
            for file in state::module_files(&system.layout, &built) {
                let link = links.iter().find(|link| link.name == file.file);
                found.extend(link.map(|link| candidate(kernel, file.name, link.path.clone())));
            }
            found
        }
        State::Added | State::Broken | State::Built(_) => Vec::new(),
    }
}

/// Gathers the facts about each kernel once, then judges its modules in parallel.
fn judge(system: &System, sink: &dyn Sink, candidates: &[Candidate]) -> Report {
    let mut kernels: Vec<Kernel> = Vec::new();
    for candidate in candidates {
        if !kernels.contains(&candidate.kernel) {
            kernels.push(candidate.kernel.clone());
        }
    }
    let facts: Vec<Facts> = kernels.iter().map(|k| Facts::gather(system, sink, k)).collect();
    let resolvers: Vec<(&Kernel, Resolver<'_>)> =
        facts.iter().map(|facts| (&facts.kernel, Resolver::new(facts, []))).collect();
    let modules = side_by_side(system.host.cpus, candidates, |c| {
        let (_, resolver) = resolvers.iter().find(|(kernel, _)| **kernel == c.kernel)?;
        let (verdict, unreadable) = match dkms_sys::fs::read(&c.path) {
            Ok(bytes) => (resolver.judge(&File::read(&bytes, MODULE_LIMIT), &ModuleName::new(&c.name)), None),
            Err(e) => (Verdict::default(), Some(e.to_string())),
        };
        Some(Judged {
            package: c.package.clone(),
            kernel: c.kernel.clone(),
            name: c.name.clone(),
            path: c.path.clone(),
            verdict,
            unreadable,
        })
    });
    let known = |f: &Facts| Known {
        kernel: f.kernel.clone(),
        symbols_from: f.symbols_from.clone(),
        policy: f.trust().policy().to_owned(),
    };
    Report { modules: modules.into_iter().flatten().collect(), kernels: facts.iter().map(known).collect() }
}

/// Runs `work` for every item, on as many threads as are useful. Returns the results in the order of the
/// items.
fn side_by_side<T: Sync, R: Send>(cpus: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    /// With fewer items, threads cost more time than they save.
    const FEW: usize = 4;
    if items.len() < FEW || cpus < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let run_worker = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cpus.min(items.len()) {
            scope.spawn(run_worker);
        }
        run_worker();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}
