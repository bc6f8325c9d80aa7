//! Determines which module provides a symbol, in which order modules are loaded, and whether each one is
//! loaded or refused. Only this file does so.
//!
//! modprobe and the kernel work like this:
//!
//! - depmod chooses one file for each name and one module for each symbol, and records both in its index.
//!   Modules that are about to be installed, or were installed since depmod last ran, will be in the next
//!   index, so they take precedence.
//! - modprobe loads a module's dependencies first, the deepest first, and the soft dependencies around each
//!   of them. If a dependency is refused, modprobe stops; if a soft dependency is refused, it continues.
//! - The kernel resolves symbols from the loaded modules. It refuses a module that exports an already
//!   exported symbol. The taint of a proprietary module propagates to all modules that use its symbols.
//!
//! The kernel's own modules are not read, because `Module.symvers` lists their exports. They are only checked
//! if they depend on an external module. An external module is one that is not part of the kernel.

use super::external::{ExternalModule, own_softdeps};
use super::index::SoftDeps;
use super::kernel::Facts;
use crate::kernel::installed::MODULE_LIMIT;
use kmodule::ModuleName;
use kmodule::symvers::{Entry, Symvers};
use kmodule::verdict::{ExportedSymbol, File, KERNEL, Reason, Symbols, Verdict};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The result of loading a module with its dependencies.
#[derive(Debug, Clone, Default)]
struct LoadResult {
    /// The module that is refused (the module itself or a dependency), and the reason.
    refused: Option<(ModuleName, Reason)>,
    /// Whether the module has the taint of a proprietary module.
    proprietary: bool,
}

/// The provider of a symbol.
enum Provider<'a> {
    /// The kernel image.
    Kernel(Entry<'a>),
    /// A module of the kernel.
    Own(ModuleName, Entry<'a>),
    /// A module of the kernel that is not installed, or was replaced by a module without the symbol.
    Missing(Entry<'a>),
    /// An external module.
    Module(Arc<ExternalModule>),
}

/// A kernel and the modules that are to be installed together, with all results so far.
#[derive(Debug)]
pub struct Resolver<'f> {
    facts: &'f Facts,
    /// External modules that are not in the index yet, by name.
    pending: HashMap<ModuleName, Arc<ExternalModule>>,
    /// The exports of the pending modules, by symbol.
    pending_exports: HashMap<String, Arc<ExternalModule>>,
    /// The exports of the modules that dkms installed, by symbol. Used for kernels without an index.
    installed_exports: OnceLock<HashMap<String, Arc<ExternalModule>>>,
    modules: Mutex<HashMap<PathBuf, Option<Arc<ExternalModule>>>>,
    results: Mutex<HashMap<ModuleName, LoadResult>>,
}

impl<'f> Resolver<'f> {
    /// Creates a resolver for a kernel. `together` are files that will be installed together.
    pub fn new<'p>(facts: &'f Facts, together: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut resolver = Self {
            facts,
            pending: HashMap::new(),
            pending_exports: HashMap::new(),
            installed_exports: OnceLock::new(),
            modules: Mutex::default(),
            results: Mutex::default(),
        };
        let is_indexed = |(name, path): &(&ModuleName, &Path)| {
            facts.index().file(name) == Some(*path) || !facts.index().is_older_than(path)
        };
        let unindexed = facts.dkms().filter(|module| !is_indexed(module)).map(|(_, path)| path);
        let mut names = Vec::new();
        let mut add = |path: &Path| {
            if let Some(module) = ExternalModule::read(path).map(Arc::new) {
                names.push(module.name.clone());
                resolver.pending.insert(module.name.clone(), module);
            }
        };
        unindexed.for_each(&mut add);
        together.into_iter().for_each(&mut add);
        for module in names.iter().filter_map(|name| resolver.pending.get(name)) {
            for entry in module.exports.iter() {
                resolver.pending_exports.insert(entry.symbol.to_owned(), module.clone());
            }
        }
        resolver
    }

    /// Returns whether a module of this name is installed or will be installed.
    #[must_use]
    pub fn will_exist(&self, name: &ModuleName) -> bool {
        self.pending.contains_key(name) || self.facts.installed(name).is_some()
    }

    /// Judges a module, and the modules that modprobe loads before it.
    pub fn judge(&self, file: &File<'_>, name: &ModuleName) -> Verdict {
        let mut loaded = Loaded::default();
        let Some(module) = file.module() else { return self.judge_after(file, &loaded, false) };
        let dependencies =
            self.dependencies(module.undefined.iter().map(|needed| needed.name.as_str()), name);
        let cycle = self.resolve_dependencies(name, &dependencies);
        let order = self.order(name, &dependencies, own_softdeps(module).pre);
        let refused = self.load(&order, &mut loaded);
        let mut verdict = self.judge_after(file, &loaded, false);
        if let Some(other) = cycle {
            verdict.refusals.insert(0, Reason::DependencyCycle { name: other.to_string() });
        } else if let Some((name, reason)) = refused {
            let reason = Reason::DependencyRefused { name: name.to_string(), reason: Box::new(reason) };
            verdict.refusals.insert(0, reason);
        }
        verdict
    }

    /// Judges a module file after these modules were loaded. `own`: whether it is a module of the kernel.
    fn judge_after(&self, file: &File<'_>, loaded: &Loaded, own: bool) -> Verdict {
        let symbols = self.facts.symvers().map(|kernel| {
            let mut providers = HashMap::new();
            for needed in file.module().map_or(&[][..], |module| &module.undefined) {
                // The kernel looks up `.symbol` under both names.
                for symbol in
                    [Some(needed.name.as_str()), needed.name.strip_prefix('.')].into_iter().flatten()
                {
                    if let Some(provider) = self.provider(symbol) {
                        providers.insert(symbol.to_owned(), provider);
                    }
                }
            }
            ModuleSymbols { resolver: self, kernel, providers, loaded }
        });
        self.facts.judge_file(file, symbols.as_ref().map(|symbols| symbols as &dyn Symbols), own)
    }

    /// Returns the provider of a symbol when modprobe loads a module that needs it.
    fn provider(&self, symbol: &str) -> Option<Provider<'_>> {
        if let Some(module) = self.pending_exports.get(symbol) {
            return Some(Provider::Module(module.clone()));
        }
        let listed = self.facts.symvers().and_then(|symvers| symvers.lookup(symbol));
        if let Some(name) = self.facts.index().exporter(symbol) {
            if let Some(entry) =
                listed.filter(|entry| module_name(entry.module) == *name && self.is_own(name))
            {
                return Some(Provider::Own(name.to_owned(), entry));
            }
            if let Some(module) =
                self.read_module(name).filter(|module| module.exports.lookup(symbol).is_some())
            {
                return Some(Provider::Module(module));
            }
        }
        match listed {
            Some(entry) if entry.module == "vmlinux" => return Some(Provider::Kernel(entry)),
            Some(entry) if self.is_own(&module_name(entry.module)) && self.facts.has_module(entry.module) => {
                return Some(Provider::Own(module_name(entry.module), entry));
            }
            _ => {}
        }
        let by_dkms = self.installed_exports().get(symbol).cloned();
        by_dkms.map(Provider::Module).or_else(|| listed.map(Provider::Missing))
    }

    fn installed_exports(&self) -> &HashMap<String, Arc<ExternalModule>> {
        self.installed_exports.get_or_init(|| {
            let mut exports = HashMap::new();
            for module in self.facts.dkms().filter_map(|(name, _)| self.read_module(name)) {
                for entry in module.exports.iter() {
                    exports.insert(entry.symbol.to_owned(), module.clone());
                }
            }
            exports
        })
    }

    /// Returns whether the file that is loaded for a name belongs to the kernel.
    fn is_own(&self, name: &ModuleName) -> bool {
        !self.pending.contains_key(name)
            && self.facts.installed(name).is_none_or(|path| self.facts.is_own(name, path))
    }

    /// Reads the file that is loaded for a name.
    fn read_module(&self, name: &ModuleName) -> Option<Arc<ExternalModule>> {
        if let Some(module) = self.pending.get(name) {
            return Some(module.clone());
        }
        let path = self.facts.installed(name)?;
        if let Some(known) = locked(&self.modules).get(path) {
            return known.clone();
        }
        let read = ExternalModule::read(path).map(Arc::new);
        locked(&self.modules).insert(path.to_owned(), read.clone());
        read
    }

    /// Returns the modules that provide the undefined symbols of a module, each once.
    fn dependencies<'s>(
        &self,
        undefined: impl Iterator<Item = &'s str>,
        own_name: &ModuleName,
    ) -> Vec<ModuleName> {
        let mut names = Vec::new();
        for symbol in undefined {
            let without_dot = || symbol.strip_prefix('.').and_then(|symbol| self.provider(symbol));
            let name = match self.provider(symbol).or_else(without_dot) {
                Some(Provider::Module(module)) => module.name.clone(),
                Some(Provider::Own(name, _)) => name,
                _ => continue,
            };
            if name != *own_name && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the direct dependencies of the module of this name.
    fn dependencies_of(&self, name: &ModuleName) -> Vec<ModuleName> {
        if self.is_own(name) {
            return self.facts.index().depends(name).collect();
        }
        let undefined = |module: &Arc<ExternalModule>| {
            self.dependencies(module.undefined.iter().map(String::as_str), name)
        };
        self.read_module(name).as_ref().map(undefined).unwrap_or_default()
    }

    /// Determines the results of loading the dependencies of `name`, the deepest first. If they depend on
    /// `name` in turn, returns the dependency that closes the cycle.
    fn resolve_dependencies(&self, name: &ModuleName, dependencies: &[ModuleName]) -> Option<ModuleName> {
        let mut path = vec![Frame::new(name.to_owned(), dependencies.to_vec(), 0)];
        let mut on_path = HashMap::from([(name.to_owned(), 0)]);
        while let Some(frame) = path.last_mut() {
            if let Some(next) = frame.dependencies.get(frame.next) {
                frame.next += 1;
                if let Some(position) = on_path.get(next) {
                    frame.close(*position, next.clone());
                } else if !locked(&self.results).contains_key(next) {
                    let (next, position) = (next.clone(), path.len());
                    on_path.insert(next.clone(), position);
                    let dependencies = self.dependencies_of(&next);
                    path.push(Frame::new(next, dependencies, position));
                }
                continue;
            }
            let Some(done) = path.pop() else { break };
            on_path.remove(&done.name);
            let Some(above) = path.last_mut() else { return done.cycle };
            if done.lowest < done.position {
                above.close(done.lowest, done.name.clone());
            }
            let load_result = self.load_result(&done);
            locked(&self.results).insert(done.name, load_result);
        }
        None
    }

    /// Determines the result of loading a module, if those of its dependencies are known.
    fn load_result(&self, done: &Frame) -> LoadResult {
        if let Some(other) = &done.cycle {
            let reason = Reason::DependencyCycle { name: other.to_string() };
            return LoadResult { refused: Some((done.name.clone(), reason)), proprietary: false };
        }
        let own = self.is_own(&done.name);
        if own && done.dependencies.iter().all(|name| self.is_own(name)) {
            return LoadResult::default();
        }
        let refused = done.dependencies.iter().find_map(|name| self.result_of(name).refused);
        let Some(module) = self.read_module(&done.name) else {
            return LoadResult { refused, proprietary: false };
        };
        let Ok(bytes) = dkms_sys::fs::read(&module.path) else {
            return LoadResult { refused, proprietary: false };
        };
        let file = File::read(&bytes, MODULE_LIMIT);
        let verdict = self.judge_after(&file, &Loaded::default(), own);
        let alone = || Some((done.name.clone(), verdict.refusals.into_iter().next()?));
        LoadResult { refused: refused.or_else(alone), proprietary: verdict.proprietary }
    }

    fn result_of(&self, name: &ModuleName) -> LoadResult {
        locked(&self.results).get(name).cloned().unwrap_or_default()
    }

    /// Returns the modules that modprobe loads before the module of this name, in load order, and whether
    /// each one is required.
    fn order(
        &self,
        name: &ModuleName,
        dependencies: &[ModuleName],
        pre: Vec<ModuleName>,
    ) -> Vec<(ModuleName, bool)> {
        let mut listed = HashSet::from([name.to_owned()]);
        let required = self.all_dependencies(dependencies, name);
        let mut order = Vec::new();
        // A stack: the last element is handled next.
        let mut waiting: Vec<ModuleName> = dependencies.iter().cloned().chain(pre).rev().collect();
        let mut opened = HashSet::new();
        while let Some(next) = waiting.pop() {
            if listed.contains(&next) {
                continue;
            }
            if !opened.insert(next.clone()) {
                listed.insert(next.clone());
                let is_required = required.contains(&next);
                order.push((next, is_required));
                continue;
            }
            if !required.contains(&next) {
                if !self.will_exist(&next) {
                    continue;
                }
                // No module has the empty name, so none of these can depend on it.
                self.resolve_dependencies(&ModuleName::new(""), std::slice::from_ref(&next));
            }
            let soft = self.softdeps_of(&next);
            waiting.extend(soft.post.into_iter().rev());
            waiting.push(next.clone());
            waiting.extend(soft.pre.into_iter().rev());
            waiting.extend(self.dependencies_of(&next).into_iter().rev());
        }
        order
    }

    /// Returns these modules and all their dependencies, except the module `name`.
    fn all_dependencies(&self, dependencies: &[ModuleName], name: &ModuleName) -> HashSet<ModuleName> {
        let mut all = HashSet::new();
        let mut waiting = dependencies.to_vec();
        while let Some(next) = waiting.pop() {
            if next != *name && !all.contains(&next) {
                waiting.extend(self.dependencies_of(&next));
                all.insert(next);
            }
        }
        all
    }

    fn softdeps_of(&self, name: &ModuleName) -> SoftDeps {
        match self.pending.get(name) {
            Some(module) => module.softdeps.clone(),
            None => self.facts.index().softdeps(name).cloned().unwrap_or_default(),
        }
    }

    /// Loads modules one after the other. Returns the first required module that the kernel refuses. Its
    /// exports are still treated as loaded, so that modules that need it are only checked for their own
    /// errors.
    fn load(&self, order: &[(ModuleName, bool)], loaded: &mut Loaded) -> Option<(ModuleName, Reason)> {
        let mut first = None;
        for (name, is_required) in order {
            let refused = self.result_of(name).refused.or_else(|| self.export(name, loaded));
            if refused.is_some() && *is_required && first.is_none() {
                first = refused;
            }
        }
        first
    }

    /// Adds a module's exports to the loaded exports. Returns a refusal if it exports an already exported
    /// symbol.
    fn export(&self, name: &ModuleName, loaded: &mut Loaded) -> Option<(ModuleName, Reason)> {
        let refused = |symbol: &str, owner: &str| {
            let reason = Reason::DuplicateExport { symbol: symbol.to_owned(), owner: owner.to_owned() };
            Some((name.to_owned(), reason))
        };
        if self.is_own(name) && self.facts.lists_modules() {
            if let Some((symbol, owner)) = loaded.taken_from.get(name) {
                return refused(symbol, owner.as_str());
            }
            loaded.own.insert(name.to_owned());
            return None;
        }
        let module = self.read_module(name)?;
        for entry in module.exports.iter() {
            if let Some(owner) = loaded.exporter(self.facts.symvers(), entry.symbol) {
                return refused(entry.symbol, owner);
            }
        }
        for entry in module.exports.iter() {
            loaded.exports.insert(entry.symbol.to_owned(), name.to_owned());
            let listed = self.facts.symvers().and_then(|symvers| symvers.lookup(entry.symbol));
            if let Some(listed) = listed {
                let pair = (entry.symbol.to_owned(), name.to_owned());
                loaded.taken_from.entry(module_name(listed.module)).or_insert(pair);
            }
        }
        None
    }
}

/// A module on the current path of the depth-first search through the dependencies.
struct Frame {
    name: ModuleName,
    dependencies: Vec<ModuleName>,
    /// The index of the next dependency to visit.
    next: usize,
    /// The position of this module on the path.
    position: usize,
    /// The topmost position on the path that can be reached from here.
    lowest: usize,
    /// The dependency through which the module depends on itself.
    cycle: Option<ModuleName>,
}

impl Frame {
    fn new(name: ModuleName, dependencies: Vec<ModuleName>, position: usize) -> Self {
        Self { name, dependencies, next: 0, position, lowest: position, cycle: None }
    }

    /// Records that the position is reached again through the dependency `through`.
    fn close(&mut self, position: usize, through: ModuleName) {
        if position <= self.position {
            self.lowest = self.lowest.min(position);
            self.cycle.get_or_insert(through);
        }
    }
}

/// The modules and symbols that are already loaded.
#[derive(Debug, Default)]
struct Loaded {
    /// The symbols of external modules, and the modules that export them.
    exports: HashMap<String, ModuleName>,
    /// The modules of the kernel.
    own: HashSet<ModuleName>,
    /// The modules of the kernel that can no longer be loaded: one of their symbols, and the external module
    /// that exports it.
    taken_from: HashMap<ModuleName, (String, ModuleName)>,
}

impl Loaded {
    /// Returns the loaded module that exports a symbol, or [`KERNEL`].
    fn exporter<'a>(&'a self, symvers: Option<&'a Symvers>, symbol: &str) -> Option<&'a str> {
        if let Some(owner) = self.exports.get(symbol) {
            return Some(owner.as_str());
        }
        let entry = symvers?.lookup(symbol)?;
        if entry.module == "vmlinux" {
            return Some(KERNEL);
        }
        self.own.get(&module_name(entry.module)).map(ModuleName::as_str)
    }
}

/// Returns the name of the module with this path in Module.symvers.
fn module_name(owner: &str) -> ModuleName {
    ModuleName::new(owner.rsplit('/').next().unwrap_or_default())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The symbols that one module can use.
struct ModuleSymbols<'a> {
    resolver: &'a Resolver<'a>,
    kernel: &'a Symvers,
    providers: HashMap<String, Provider<'a>>,
    loaded: &'a Loaded,
}

impl Symbols for ModuleSymbols<'_> {
    fn find(&self, symbol: &str) -> Option<ExportedSymbol<'_>> {
        match self.providers.get(symbol) {
            Some(Provider::Kernel(entry)) => Some(ExportedSymbol::from_kernel(*entry)),
            Some(Provider::Missing(entry)) => {
                Some(ExportedSymbol { missing: true, ..ExportedSymbol::from_kernel(*entry) })
            }
            Some(Provider::Own(name, entry)) => {
                let proprietary = self.resolver.result_of(name).proprietary;
                Some(ExportedSymbol { proprietary, ..ExportedSymbol::from_kernel(*entry) })
            }
            Some(Provider::Module(module)) => Some(ExportedSymbol {
                entry: module.exports.lookup(symbol)?,
                missing: false,
                proprietary: self.resolver.result_of(&module.name).proprietary,
                without_crc: module.without_crc,
            }),
            // `module_layout` is not one of the module's undefined symbols, but the kernel checks its CRC.
            None => self
                .kernel
                .lookup(symbol)
                .filter(|entry| entry.module == "vmlinux")
                .map(ExportedSymbol::from_kernel),
        }
    }

    fn exported_before(&self, symbol: &str) -> Option<&str> {
        self.loaded.exporter(Some(self.kernel), symbol)
    }
}
