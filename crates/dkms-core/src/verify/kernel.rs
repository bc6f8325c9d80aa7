//! What a kernel is known by when modules are judged: its configuration, its symbols, a module of its own to compare
//! with, and whom it trusts.

use super::sources::{self, Sample, configuration, installed_by_dkms, is_image, kmod, sample, symbols};
use super::trust::Trust;
use crate::ids::Kernel;
use crate::kernel::distro::Family;
use crate::kernel::headers::KernelConfig;
use crate::kernel::installed::MODULE_LIMIT;
use crate::session::Session;
use crate::tree::state::module_stem;
use kmodule::compress::Format;
use kmodule::elf::Module;
use kmodule::symvers::Symvers;
use kmodule::verdict::{
    File, Found, KernelView, Loader, Reason, Symbols, Verdict, is_gpl_compatible, made_by_loader,
};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// One kernel, looked at once; what only few modules ask for is looked up when one does.
#[derive(Debug)]
pub struct Facts {
    /// Which.
    pub kernel: Kernel,
    /// Where its list of symbols was read.
    pub symbols_from: Option<PathBuf>,
    modules: PathBuf,
    config: Option<KernelConfig>,
    symvers: Option<Symvers>,
    sample: Option<Sample>,
    /// The kernel's own modules are there at all; where they are not (a build chroot), nobody can miss one.
    has_own_modules: bool,
    /// Names and files of the modules that dkms installed.
    dkms: Vec<(String, PathBuf)>,
    /// Its kernels insist on every CRC.
    debian: bool,
    trust: Trust,
    path: std::ffi::OsString,
    loader: OnceLock<Loader>,
    /// depmod's index: who exports a symbol, and where a module's file is.
    exporters: OnceLock<HashMap<String, String>>,
    files: OnceLock<HashMap<String, PathBuf>>,
    offers: Mutex<HashMap<PathBuf, Option<Arc<Offer>>>>,
    owners: Mutex<HashMap<String, bool>>,
}

/// What one module exports.
#[derive(Debug)]
struct Offer {
    name: String,
    symbols: Symvers,
    proprietary: bool,
}

/// The name a module has in the kernel: `-` and `_` are the same there.
pub(crate) fn folded(name: &str) -> String {
    name.replace('-', "_")
}

impl Facts {
    /// Looks at a kernel.
    #[must_use]
    pub fn gather(s: &Session<'_>, kernel: &Kernel) -> Self {
        let modules = s.layout.kernel_modules(&kernel.release);
        let config = configuration(s, kernel);
        let (symvers, symbols_from) = symbols(s, kernel).map_or((None, None), |(a, b)| (Some(a), Some(b)));
        let own = modules.join("kernel");
        let sample = sample(&own);
        // An image lists its own symbols only; those of its modules are found by depmod's index.
        let (symvers, symbols_from) = match symbols_from {
            Some(path) if is_image(&path) && !modules.join("modules.symbols").exists() => (None, None),
            _ => (symvers, symbols_from),
        };
        let signer = sample.as_ref().map(|s| s.signer.clone()).filter(|s| !s.is_empty());
        Self {
            kernel: kernel.clone(),
            symbols_from,
            sample,
            has_own_modules: own.is_dir(),
            dkms: installed_by_dkms(s, kernel),
            debian: s.host.distribution.as_ref().is_some_and(|d| d.family() == Family::Debian),
            trust: Trust::gather(s, kernel, config.as_ref(), signer),
            path: s.host.path.clone(),
            modules,
            config,
            symvers,
            loader: OnceLock::new(),
            exporters: OnceLock::new(),
            files: OnceLock::new(),
            offers: Mutex::default(),
            owners: Mutex::default(),
        }
    }

    /// Judges a module file, and what is loaded before it. `siblings` are modules that will be installed together with it:
    /// they count before what is installed now.
    #[must_use]
    pub fn judge(&self, file: &File<'_>, siblings: &Siblings) -> Verdict {
        let mut verdict = self.judge_alone(file, siblings);
        let mut seen = HashSet::new();
        for name in file.module().map_or_else(Vec::new, |m| m.modinfo.depends().collect()) {
            if siblings.names.contains(&name) {
                continue;
            }
            if let Some(reason) = self.refused_before(&name, &mut seen) {
                let reason = Box::new(reason);
                verdict.refusals.insert(0, Reason::DependencyRefused { name, reason });
            }
        }
        verdict
    }

    /// Why a module that another one needs would be refused. The kernel's own are not doubted.
    fn refused_before(&self, name: &str, seen: &mut HashSet<String>) -> Option<Reason> {
        if !seen.insert(name.to_owned()) {
            return None;
        }
        let by_dkms = self.dkms.iter().find(|(n, _)| n == name).map(|(_, path)| path);
        let path = by_dkms.or_else(|| self.files().get(name))?;
        if path.starts_with(self.modules.join("kernel")) {
            return None;
        }
        let bytes = std::fs::read(path).ok()?;
        let file = File::read(&bytes, MODULE_LIMIT);
        for before in file.module().map_or_else(Vec::new, |m| m.modinfo.depends().collect()) {
            if let Some(reason) = self.refused_before(&before, seen) {
                return Some(reason);
            }
        }
        self.judge_alone(&file, &Siblings::default()).refusals.into_iter().next()
    }

    fn judge_alone(&self, file: &File<'_>, siblings: &Siblings) -> Verdict {
        let symbols = self.symvers.as_ref().map(|kernel| ForModule {
            facts: self,
            kernel,
            others: file.module().map_or_else(Vec::new, |m| self.others(m, kernel, siblings)),
            replaced: &siblings.names,
        });
        let enabled = |name: &str| self.config.as_ref().is_some_and(|c| c.enabled(name));
        let mut view = KernelView::new(&self.kernel.release, &self.kernel.arch);
        view.symbols = symbols.as_ref().map(|s| s as &dyn Symbols);
        view.modversions = enabled("CONFIG_MODVERSIONS");
        view.vermagic = self.sample.as_ref().map(|s| s.vermagic.as_str());
        view.struct_module = self.sample.as_ref().map(|s| s.struct_module);
        view.entry_places = self.sample.as_ref().and_then(|s| s.entry_places);
        view.force_load = self.config.is_none() || enabled("CONFIG_MODULE_FORCE_LOAD");
        view.missing_crcs &= !self.debian;
        view.allow_missing_namespaces = enabled("CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS");
        view.blacklist = self.trust.blacklist();
        view.signatures = self.trust.signatures();
        if file.is_compressed() {
            view.loader = self.loader();
        }
        file.judge(&view)
    }

    /// Finds anew what dkms has installed for the kernel.
    pub fn look_again(&mut self, s: &Session<'_>) {
        self.dkms = installed_by_dkms(s, &self.kernel);
        self.offers = Mutex::default();
        self.owners = Mutex::default();
    }

    /// A module of this name, with `_` for `-`, is installed for the kernel, or comes with these.
    #[must_use]
    pub fn has_named(&self, name: &str, siblings: &Siblings) -> bool {
        siblings.names.iter().any(|n| n == name)
            || self.dkms.iter().any(|(n, _)| n == name)
            || self.files().contains_key(name)
    }

    /// Whom this kernel trusts, and what it does about it.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Its configuration, when there is one.
    #[must_use]
    pub fn config(&self) -> Option<&KernelConfig> {
        self.config.as_ref()
    }

    /// What modules outside the kernel's own list offer of what this one needs.
    fn others(&self, module: &Module, kernel: &Symvers, siblings: &Siblings) -> Vec<Arc<Offer>> {
        let mut found: Vec<Arc<Offer>> = Vec::new();
        let mut add = |offer: Option<Arc<Offer>>| {
            if let Some(offer) = offer {
                if !found.iter().any(|o| o.name == offer.name) {
                    found.push(offer);
                }
            }
        };
        for needed in &module.undefined {
            let listed = kernel.lookup(&needed.name);
            let made = || made_by_loader(module.machine, &needed.name);
            if listed.is_some_and(|e| e.module == "vmlinux") || listed.is_none() && made() {
                continue;
            }
            if let Some(offer) = siblings.offers.iter().find(|o| o.symbols.lookup(&needed.name).is_some()) {
                add(Some(offer.clone()));
                continue;
            }
            if let Some(entry) = listed {
                // One of dkms's takes the place of a module of the kernel.
                let name = folded(entry.module.rsplit('/').next().unwrap_or_default());
                add(self.dkms.iter().find(|(n, _)| *n == name).and_then(|(_, path)| self.offer(path)));
                continue;
            }
            let installed = self.dkms.iter().filter_map(|(_, path)| self.offer(path));
            let by_dkms = installed.filter(|o| o.symbols.lookup(&needed.name).is_some()).last();
            if by_dkms.is_some() {
                add(by_dkms);
                continue;
            }
            let owner = self.exporters().get(&needed.name).and_then(|name| self.files().get(name));
            add(owner.and_then(|path| self.offer(path)));
        }
        found
    }

    fn offer(&self, path: &Path) -> Option<Arc<Offer>> {
        if let Some(known) = self.offers.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return known.clone();
        }
        let read = Offer::read(path).map(Arc::new);
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), read.clone());
        read
    }

    fn exporters(&self) -> &HashMap<String, String> {
        self.exporters.get_or_init(|| sources::exporters(&self.modules))
    }

    fn files(&self) -> &HashMap<String, PathBuf> {
        self.files.get_or_init(|| sources::indexed_files(&self.modules))
    }

    /// A module of the kernel, by its path in Module.symvers (without suffix), is installed.
    fn has_module(&self, owner: &str) -> bool {
        if !self.has_own_modules {
            return true;
        }
        let mut known = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(owner.to_owned()).or_insert_with(|| {
            let base = self.modules.join("kernel").join(owner);
            let there = |suffix: &str| {
                let mut name = base.clone().into_os_string();
                name.push(suffix);
                Path::new(&name).exists()
            };
            let name = folded(owner.rsplit('/').next().unwrap_or_default());
            [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].into_iter().any(there) || self.files().contains_key(&name)
        })
    }

    /// Who unpacks compressed modules: kmod says what it was built with.
    fn loader(&self) -> Loader {
        *self.loader.get_or_init(|| {
            let (version, mut loader) = kmod(&self.path).unwrap_or_default();
            let enabled = |name: &str| self.config.as_ref().is_some_and(|c| c.enabled(name));
            if version >= 31 && enabled("CONFIG_MODULE_DECOMPRESS") {
                let formats = [("GZIP", Format::Gzip), ("XZ", Format::Xz), ("ZSTD", Format::Zstd)];
                loader.kernel = formats
                    .into_iter()
                    .find(|(n, _)| enabled(&format!("CONFIG_MODULE_COMPRESS_{n}")))
                    .map(|f| f.1);
            }
            loader
        })
    }
}

/// Modules that come together with the one that is judged.
#[derive(Debug, Default)]
pub struct Siblings {
    offers: Vec<Arc<Offer>>,
    names: Vec<String>,
}

impl Siblings {
    /// Reads what these module files export.
    #[must_use]
    pub fn read<'p>(files: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut siblings = Self::default();
        for path in files {
            if let Some(offer) = Offer::read(path) {
                siblings.names.push(offer.name.clone());
                siblings.offers.push(Arc::new(offer));
            }
        }
        siblings
    }
}

impl Offer {
    fn read(path: &Path) -> Option<Self> {
        let stem = module_stem(path.file_name()?.to_str()?)?;
        let bytes = std::fs::read(path).ok()?;
        let file = File::read(&bytes, MODULE_LIMIT);
        let module = file.module()?;
        let symbols = if module.exports.is_empty() {
            Symvers::default()
        } else {
            kmodule::exports::of_module(file.plain(), stem).ok()?
        };
        let proprietary = !is_gpl_compatible(module.modinfo.license().unwrap_or_default());
        Some(Self { name: folded(stem), symbols, proprietary })
    }
}

/// Symbols as one module will find them.
struct ForModule<'a> {
    facts: &'a Facts,
    kernel: &'a Symvers,
    others: Vec<Arc<Offer>>,
    replaced: &'a [String],
}

impl Symbols for ForModule<'_> {
    fn find(&self, symbol: &str) -> Option<Found<'_>> {
        let listed = self.kernel.lookup(symbol);
        if let Some(entry) = listed.filter(|e| e.module == "vmlinux") {
            return Some(Found { entry, missing: false, proprietary: false });
        }
        let offered = self.others.iter().find_map(|o| Some((o.symbols.lookup(symbol)?, o.proprietary)));
        if let Some((entry, proprietary)) = offered {
            return Some(Found { entry, missing: false, proprietary });
        }
        let entry = listed?;
        let name = folded(entry.module.rsplit('/').next().unwrap_or_default());
        // Its place is taken by one that does not offer this.
        let replaced = self.replaced.contains(&name) || self.facts.dkms.iter().any(|(n, _)| *n == name);
        Some(Found { entry, missing: replaced || !self.facts.has_module(entry.module), proprietary: false })
    }

    fn in_kernel(&self, symbol: &str) -> bool {
        self.kernel.lookup(symbol).is_some_and(|e| e.module == "vmlinux")
    }
}
