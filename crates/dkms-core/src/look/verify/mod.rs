//! `dkms verify`: would the kernel load the installed modules? [`kmodule::verdict`] implements the kernel's
//! rules; this module provides the facts they are applied to: the kernels of this machine, their modules and
//! their keys.

mod external;
mod index;
mod kernel;
mod resolver;
mod sources;
mod trust;

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
use std::collections::HashMap;
use std::path::PathBuf;
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
    /// A module that is not judged yet.
    fn new(package: Option<&PackageId>, kernel: &Kernel, name: String, path: PathBuf) -> Self {
        let (package, kernel) = (package.cloned(), kernel.clone());
        Self { package, kernel, name, path, verdict: Verdict::default(), unreadable: None }
    }

    /// Returns the outcome. A file that cannot be read cannot be loaded either.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.unreadable.is_some() { Outcome::Refused } else { self.verdict.outcome() }
    }
}

/// The facts about a kernel that were used to judge its modules.
#[derive(Clone, Debug)]
pub struct KernelFacts {
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
    pub kernels: Vec<KernelFacts>,
}

impl Report {
    /// Returns the worst outcome of all modules, in the order refused, unknown, loads.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        worst(self.modules.iter().map(Judged::outcome))
    }
}

/// Returns the worst of several outcomes, in the order refused, unknown, loads.
pub(crate) fn worst(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    outcomes.fold(Outcome::Loads, |worst, outcome| match (worst, outcome) {
        (Outcome::Refused, _) | (_, Outcome::Loads) => worst,
        _ => outcome,
    })
}

/// Judges every installed module that the filters select. Changes nothing and takes no lock.
#[must_use]
pub fn verify(system: &System, sink: &dyn Sink, filters: &[Filter]) -> Report {
    let entries = filters.iter().flat_map(|filter| status::status(system, sink, filter));
    let modules = entries.flat_map(|entry| installed(system, sink, &entry.package, &entry.kind)).collect();
    judge(system, sink, modules)
}

/// Judges module files for a kernel. They may be in any directory.
#[must_use]
pub fn verify_files(system: &System, sink: &dyn Sink, kernel: &Kernel, files: &[PathBuf]) -> Report {
    let module = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name = module_stem(&name).unwrap_or(&name).to_owned();
        Judged::new(None, kernel, name, path.clone())
    };
    judge(system, sink, files.iter().map(module).collect())
}

/// Returns the installed files of one status entry, not judged yet.
fn installed(system: &System, sink: &dyn Sink, package: &PackageId, state: &State) -> Vec<Judged> {
    match state {
        State::Installed(kernel) => installed_files(system, sink, &Build::new(package, kernel))
            .into_iter()
            .map(|file| Judged::new(Some(package), kernel, file.name, file.path))
            .collect(),
        State::InstalledWeak { kernel, from } => {
            let built = Build::new(package, &Kernel { release: from.clone(), arch: kernel.arch.clone() });
            let links =
                status::weak_links(&system.layout.kernel_modules(&kernel.release).join("weak-updates"));
            let module = |file: state::ModuleFile| {
                let link = links.iter().find(|link| link.name == file.file)?;
                Some(Judged::new(Some(package), kernel, file.name, link.path.clone()))
            };
            state::module_files(&system.layout, &built).into_iter().filter_map(module).collect()
        }
        State::Added | State::Broken | State::Built(_) => Vec::new(),
    }
}

/// Gathers the facts about each kernel once, then judges the modules in parallel.
fn judge(system: &System, sink: &dyn Sink, mut modules: Vec<Judged>) -> Report {
    let mut kernels: Vec<&Kernel> = Vec::new();
    for module in &modules {
        if !kernels.contains(&&module.kernel) {
            kernels.push(&module.kernel);
        }
    }
    let facts: Vec<Facts> = kernels.into_iter().map(|kernel| Facts::gather(system, sink, kernel)).collect();
    let resolvers: HashMap<&Kernel, Resolver<'_>> =
        facts.iter().map(|facts| (&facts.kernel, Resolver::new(facts, []))).collect();
    in_parallel(system.host.cpus, &mut modules, |module| match dkms_sys::fs::read(&module.path) {
        Ok(bytes) => {
            if let Some(resolver) = resolvers.get(&module.kernel) {
                let file = File::read(&bytes, MODULE_LIMIT);
                module.verdict = resolver.judge(&file, &ModuleName::new(&module.name));
            }
        }
        Err(e) => module.unreadable = Some(e.to_string()),
    });
    let used = |facts: &Facts| KernelFacts {
        kernel: facts.kernel.clone(),
        symbols_from: facts.symbols_from.clone(),
        policy: facts.trust().policy().to_owned(),
    };
    Report { modules, kernels: facts.iter().map(used).collect() }
}

/// Calls `work` for every item, on as many threads as are useful.
fn in_parallel<T: Send>(cpus: usize, items: &mut [T], work: impl Fn(&mut T) + Sync) {
    /// With fewer items, threads cost more time than they save.
    const FEW: usize = 4;
    if items.len() < FEW || cpus < 2 {
        return items.iter_mut().for_each(work);
    }
    let threads = cpus.min(items.len());
    let items = Mutex::new(items.iter_mut());
    let run_worker = || {
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(item) = next() {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run_worker);
        }
        run_worker();
    });
}
