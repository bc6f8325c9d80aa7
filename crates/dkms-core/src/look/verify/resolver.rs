//! Decides which module provides a symbol, in which order modules are loaded, and whether each one is loaded
//! or refused. No other code decides this.
//!
//! modprobe and the kernel work like this:
//!
//! - depmod chooses one file for each name and one module for each symbol, and records both ([`Index`]).
//!   Modules that are about to be installed, or were installed since depmod last ran, will be in the next
//!   index, so they take precedence.
//! - modprobe loads a module's dependencies first, the deepest first, and the soft dependencies around each
//!   of them. If a dependency is refused, modprobe gives up; if a soft dependency is refused, it continues.
//! - The kernel resolves symbols from the loaded modules. It refuses a module that exports an already
//!   exported symbol. The taint of a proprietary module propagates to all modules that use its symbols.
//!
//! The kernel's own modules are not read, because `Module.symvers` lists their exports. They are only checked
//! if modprobe loads a module from elsewhere for them.

use super::index::SoftDeps;
use super::kernel::Facts;
use super::unit::{Unit, own_softdeps};
use crate::kernel::installed::MODULE_LIMIT;
use kmodule::ModuleName;
use kmodule::symvers::{Entry, Symvers};
use kmodule::verdict::{ExportedSymbol, File, KERNEL, Reason, Symbols, Verdict};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The result of loading a module with its dependencies.
#[derive(Debug, Clone, Default)]
struct Fate {
    /// The module that is refused (the module itself or a dependency), and the reason.
    refused: Option<(ModuleName, Reason)>,
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
    /// A module from elsewhere.
    Module(Arc<Unit>),
}

/// A kernel and the modules that are to be installed together, with all results so far.
#[derive(Debug)]
pub struct Resolver<'f> {
    facts: &'f Facts,
    /// Modules that depmod will index when it next runs, by name; the next field has their exports.
    coming: HashMap<ModuleName, Arc<Unit>>,
    coming_exports: HashMap<String, Arc<Unit>>,
    /// The exports of the modules that dkms installed, by symbol. Used for kernels without an index.
    installed_exports: OnceLock<HashMap<String, Arc<Unit>>>,
    units: Mutex<HashMap<PathBuf, Option<Arc<Unit>>>>,
    fates: Mutex<HashMap<ModuleName, Fate>>,
}

impl<'f> Resolver<'f> {
    /// Creates a resolver for a kernel. `together` are files that will be installed together.
    pub fn new<'p>(facts: &'f Facts, together: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut resolver = Self {
            facts,
            coming: HashMap::new(),
            coming_exports: HashMap::new(),
            installed_exports: OnceLock::new(),
            units: Mutex::default(),
            fates: Mutex::default(),
        };
        let is_indexed = |(name, path): &(&ModuleName, &Path)| {
            facts.index().file(name) == Some(*path) || !facts.index().is_older_than(path)
        };
        let unindexed = facts.dkms().filter(|module| !is_indexed(module)).map(|(_, path)| path.to_owned());
        let mut names = Vec::new();
        let unindexed: Vec<PathBuf> = unindexed.collect();
        let together = together.into_iter().map(Path::to_owned);
        for path in unindexed.into_iter().chain(together) {
            if let Some(unit) = Unit::read(&path).map(Arc::new) {
                names.push(unit.name.clone());
                resolver.coming.insert(unit.name.clone(), unit);
            }
        }
        for unit in names.iter().filter_map(|name| resolver.coming.get(name)) {
            for entry in unit.exports.iter() {
                resolver.coming_exports.insert(entry.symbol.to_owned(), unit.clone());
            }
        }
        resolver
    }

    /// Returns whether a module of this name is installed or will be installed.
    #[must_use]
    pub fn is_there(&self, name: &ModuleName) -> bool {
        self.coming.contains_key(name) || self.facts.installed(name).is_some()
    }

    /// Judges a module, and the modules that are loaded before it.
    pub fn judge(&self, file: &File<'_>, name: &ModuleName) -> Verdict {
        let mut before = Before::default();
        let Some(module) = file.module() else { return self.judge_with(file, &before, false) };
        let needs = self.needs(module.undefined.iter().map(|needed| needed.name.as_str()), name);
        let cyclic = self.settle(name, &needs);
        let order = self.order(name, &needs, own_softdeps(module).pre);
        let refused = self.load(&order, &mut before);
        let mut verdict = self.judge_with(file, &before, false);
        if let Some(other) = cyclic {
            verdict.refusals.insert(0, Reason::DependencyCycle { name: other.to_string() });
        } else if let Some((name, reason)) = refused {
            verdict
                .refusals
                .insert(0, Reason::DependencyRefused { name: name.to_string(), reason: Box::new(reason) });
        }
        verdict
    }

    fn judge_with(&self, file: &File<'_>, before: &Before, own: bool) -> Verdict {
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
            ForModule { resolver: self, kernel, providers, before }
        });
        self.facts.judge_file(file, symbols.as_ref().map(|symbols| symbols as &dyn Symbols), own)
    }

    /// The provider of a symbol if modprobe loads the module that needs it.
    fn provider(&self, symbol: &str) -> Option<Provider<'_>> {
        if let Some(unit) = self.coming_exports.get(symbol) {
            return Some(Provider::Module(unit.clone()));
        }
        let listed = self.facts.symvers().and_then(|symvers| symvers.lookup(symbol));
        if let Some(name) = self.facts.index().exporter(symbol) {
            if let Some(entry) = listed.filter(|entry| base(entry.module) == *name && self.is_own(name)) {
                return Some(Provider::Own(name.to_owned(), entry));
            }
            if let Some(unit) = self.unit(name).filter(|unit| unit.exports.lookup(symbol).is_some()) {
                return Some(Provider::Module(unit));
            }
        }
        match listed {
            Some(entry) if entry.module == "vmlinux" => return Some(Provider::Kernel(entry)),
            Some(entry) if self.is_own(&base(entry.module)) && self.facts.has_module(entry.module) => {
                return Some(Provider::Own(base(entry.module), entry));
            }
            _ => {}
        }
        let by_dkms = self.installed_exports().get(symbol).cloned();
        by_dkms.map(Provider::Module).or_else(|| listed.map(Provider::Missing))
    }

    fn installed_exports(&self) -> &HashMap<String, Arc<Unit>> {
        self.installed_exports.get_or_init(|| {
            let mut found = HashMap::new();
            for unit in self.facts.dkms().filter_map(|(name, _)| self.unit(name)) {
                for entry in unit.exports.iter() {
                    found.insert(entry.symbol.to_owned(), unit.clone());
                }
            }
            found
        })
    }

    /// Returns whether the file that is loaded for a name belongs to the kernel.
    fn is_own(&self, name: &ModuleName) -> bool {
        !self.coming.contains_key(name)
            && self.facts.installed(name).is_none_or(|path| self.facts.is_own(name, path))
    }

    /// Reads the file that is loaded for a name.
    fn unit(&self, name: &ModuleName) -> Option<Arc<Unit>> {
        if let Some(unit) = self.coming.get(name) {
            return Some(unit.clone());
        }
        let path = self.facts.installed(name)?;
        if let Some(known) = locked(&self.units).get(path) {
            return known.clone();
        }
        let read = Unit::read(path).map(Arc::new);
        locked(&self.units).insert(path.to_owned(), read.clone());
        read
    }

    /// The modules that provide the symbols a module needs, each once.
    fn needs<'s>(&self, undefined: impl Iterator<Item = &'s str>, own_name: &ModuleName) -> Vec<ModuleName> {
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        for symbol in undefined {
            let bare = || symbol.strip_prefix('.').and_then(|bare| self.provider(bare));
            let name = match self.provider(symbol).or_else(bare) {
                Some(Provider::Module(unit)) => unit.name.clone(),
                Some(Provider::Own(name, _)) => name,
                _ => continue,
            };
            if name != *own_name && seen.insert(name.clone()) {
                names.push(name);
            }
        }
        names
    }

    /// The direct dependencies of the module of this name.
    fn needs_of(&self, name: &ModuleName) -> Vec<ModuleName> {
        if self.is_own(name) {
            return self.facts.index().depends(name).collect();
        }
        let undefined = |unit: &Arc<Unit>| self.needs(unit.undefined.iter().map(String::as_str), name);
        self.unit(name).as_ref().map(undefined).unwrap_or_default()
    }

    /// Determines the fate of the dependencies of `name`, the deepest first. If they depend on `name` in
    /// turn, returns the dependency that closes the cycle.
    fn settle(&self, name: &ModuleName, needs: &[ModuleName]) -> Option<ModuleName> {
        let mut path = vec![Frame::new(name.to_owned(), needs.to_vec(), 0)];
        let mut on_path = HashMap::from([(name.to_owned(), 0)]);
        while let Some(frame) = path.last_mut() {
            if let Some(next) = frame.needs.get(frame.next) {
                frame.next += 1;
                if let Some(position) = on_path.get(next) {
                    frame.close(*position, next.clone());
                } else if !locked(&self.fates).contains_key(next) {
                    let (next, position) = (next.clone(), path.len());
                    on_path.insert(next.clone(), position);
                    let below = self.needs_of(&next);
                    path.push(Frame::new(next, below, position));
                }
                continue;
            }
            let Some(done) = path.pop() else { break };
            on_path.remove(&done.name);
            let Some(above) = path.last_mut() else { return done.cycle };
            if done.lowest < done.position {
                above.close(done.lowest, done.name.clone());
            }
            let fate = self.fate(&done);
            locked(&self.fates).insert(done.name, fate);
        }
        None
    }

    /// The fate of a module whose dependencies are settled.
    fn fate(&self, done: &Frame) -> Fate {
        if let Some(other) = &done.cycle {
            let reason = Reason::DependencyCycle { name: other.to_string() };
            return Fate { refused: Some((done.name.clone(), reason)), proprietary: false };
        }
        let own = self.is_own(&done.name);
        if own && done.needs.iter().all(|name| self.is_own(name)) {
            return Fate::default();
        }
        let refused = done.needs.iter().find_map(|name| self.fate_of(name).refused);
        let Some(unit) = self.unit(&done.name) else { return Fate { refused, proprietary: false } };
        let Ok(bytes) = dkms_sys::fs::read(&unit.path) else { return Fate { refused, proprietary: false } };
        let file = File::read(&bytes, MODULE_LIMIT);
        let verdict = self.judge_with(&file, &Before::default(), own);
        let alone = || Some((done.name.clone(), verdict.refusals.into_iter().next()?));
        Fate { refused: refused.or_else(alone), proprietary: verdict.proprietary }
    }

    fn fate_of(&self, name: &ModuleName) -> Fate {
        locked(&self.fates).get(name).cloned().unwrap_or_default()
    }

    /// The modules that modprobe loads before the module of this name, in load order, and whether it requires
    /// each one.
    fn order(
        &self,
        name: &ModuleName,
        needs: &[ModuleName],
        pre: Vec<ModuleName>,
    ) -> Vec<(ModuleName, bool)> {
        let mut listed = HashSet::from([name.to_owned()]);
        let insists = self.below(needs, name);
        let mut order = Vec::new();
        // A stack: the last element is handled next.
        let mut waiting: Vec<ModuleName> = needs.iter().cloned().chain(pre).rev().collect();
        let mut opened = HashSet::new();
        while let Some(next) = waiting.pop() {
            if listed.contains(&next) {
                continue;
            }
            if !opened.insert(next.clone()) {
                listed.insert(next.clone());
                let insists = insists.contains(&next);
                order.push((next, insists));
                continue;
            }
            if !insists.contains(&next) {
                if !self.is_there(&next) {
                    continue;
                }
                // No module has the empty name, so none of these can depend on it.
                self.settle(&ModuleName::new(""), std::slice::from_ref(&next));
            }
            let soft = self.softdeps_of(&next);
            waiting.extend(soft.post.into_iter().rev());
            waiting.push(next.clone());
            waiting.extend(soft.pre.into_iter().rev());
            waiting.extend(self.needs_of(&next).into_iter().rev());
        }
        order
    }

    /// These modules and all their dependencies.
    fn below(&self, needs: &[ModuleName], name: &ModuleName) -> HashSet<ModuleName> {
        let mut found = HashSet::new();
        let mut waiting = needs.to_vec();
        while let Some(next) = waiting.pop() {
            if next != *name && !found.contains(&next) {
                waiting.extend(self.needs_of(&next));
                found.insert(next);
            }
        }
        found
    }

    fn softdeps_of(&self, name: &ModuleName) -> SoftDeps {
        match self.coming.get(name) {
            Some(unit) => unit.softdeps.clone(),
            None => self.facts.index().softdeps(name).cloned().unwrap_or_default(),
        }
    }

    /// Loads modules one after the other. Returns the first module that modprobe requires and the kernel
    /// rejects. Its exports are still treated as loaded, so that the module that needs it is checked only for
    /// its own errors.
    fn load(&self, order: &[(ModuleName, bool)], before: &mut Before) -> Option<(ModuleName, Reason)> {
        let mut first = None;
        for (name, insists) in order {
            let refused = self.fate_of(name).refused.or_else(|| self.export(name, before));
            if refused.is_some() && *insists && first.is_none() {
                first = refused;
            }
        }
        first
    }

    /// Adds a module's exports to the loaded exports, unless it exports an already exported symbol.
    fn export(&self, name: &ModuleName, before: &mut Before) -> Option<(ModuleName, Reason)> {
        let refused = |symbol: &str, owner: &str| {
            let reason = Reason::DuplicateExport { symbol: symbol.to_owned(), owner: owner.to_owned() };
            Some((name.to_owned(), reason))
        };
        if self.is_own(name) && self.facts.lists_modules() {
            if let Some((symbol, owner)) = before.taken_from.get(name) {
                return refused(symbol, owner.as_str());
            }
            before.own.insert(name.to_owned());
            return None;
        }
        let unit = self.unit(name)?;
        for entry in unit.exports.iter() {
            if let Some(owner) = before.exporter(self.facts.symvers(), entry.symbol) {
                return refused(entry.symbol, owner);
            }
        }
        for entry in unit.exports.iter() {
            before.exports.insert(entry.symbol.to_owned(), name.to_owned());
            let listed = self.facts.symvers().and_then(|symvers| symvers.lookup(entry.symbol));
            if let Some(listed) = listed {
                let pair = (entry.symbol.to_owned(), name.to_owned());
                before.taken_from.entry(base(listed.module)).or_insert(pair);
            }
        }
        None
    }
}

/// A module on the current path of the depth-first search that settles fates.
struct Frame {
    name: ModuleName,
    needs: Vec<ModuleName>,
    next: usize,
    position: usize,
    /// The topmost position on the path that can be reached from here.
    lowest: usize,
    /// The dependency through which the module depends on itself.
    cycle: Option<ModuleName>,
}

impl Frame {
    fn new(name: ModuleName, needs: Vec<ModuleName>, position: usize) -> Self {
        Self { name, needs, next: 0, position, lowest: position, cycle: None }
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
struct Before {
    /// Symbols of modules from elsewhere, and the modules that export them.
    exports: HashMap<String, ModuleName>,
    /// Modules of the kernel.
    own: HashSet<ModuleName>,
    /// Modules of the kernel that can no longer be loaded: one of their symbols, and the module that exports
    /// it.
    taken_from: HashMap<ModuleName, (String, ModuleName)>,
}

impl Before {
    fn exporter<'a>(&'a self, symvers: Option<&'a Symvers>, symbol: &str) -> Option<&'a str> {
        if let Some(owner) = self.exports.get(symbol) {
            return Some(owner.as_str());
        }
        let entry = symvers?.lookup(symbol)?;
        if entry.module == "vmlinux" {
            return Some(KERNEL);
        }
        self.own.get(&base(entry.module)).map(ModuleName::as_str)
    }
}

/// The name of the module with this path in Module.symvers.
fn base(owner: &str) -> ModuleName {
    ModuleName::new(owner.rsplit('/').next().unwrap_or_default())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The symbols that one module can use.
struct ForModule<'a> {
    resolver: &'a Resolver<'a>,
    kernel: &'a Symvers,
    providers: HashMap<String, Provider<'a>>,
    before: &'a Before,
}

impl Symbols for ForModule<'_> {
    fn find(&self, symbol: &str) -> Option<ExportedSymbol<'_>> {
        match self.providers.get(symbol) {
            Some(Provider::Kernel(entry)) => Some(ExportedSymbol::from_kernel(*entry)),
            Some(Provider::Missing(entry)) => {
                Some(ExportedSymbol { missing: true, ..ExportedSymbol::from_kernel(*entry) })
            }
            Some(Provider::Own(name, entry)) => {
                let proprietary = self.resolver.fate_of(name).proprietary;
                Some(ExportedSymbol { proprietary, ..ExportedSymbol::from_kernel(*entry) })
            }
            Some(Provider::Module(unit)) => Some(ExportedSymbol {
                entry: unit.exports.lookup(symbol)?,
                missing: false,
                proprietary: self.resolver.fate_of(&unit.name).proprietary,
                without_crc: unit.without_crc,
            }),
            // The symbol is not one of the module's undefined symbols. It is the kernel's module_layout.
            None => self
                .kernel
                .lookup(symbol)
                .filter(|entry| entry.module == "vmlinux")
                .map(ExportedSymbol::from_kernel),
        }
    }

    fn exported_before(&self, symbol: &str) -> Option<&str> {
        self.before.exporter(Some(self.kernel), symbol)
    }
}
