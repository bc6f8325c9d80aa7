//! The facts about a kernel that are needed to judge modules: its configuration, its symbols, one of its own
//! modules for comparison, and the keys it trusts.

use super::index::Index;
use super::sources::{Sample, installed_by_dkms, is_image, kmod, sample, symbols};
use super::trust::Trust;
use crate::distro::Family;
use crate::event::Sink;
use crate::kernel::headers::{self, KernelConfig};
use crate::system::System;
use dkms_tree::ids::Kernel;
use kmodule::symvers::Symvers;
use kmodule::verdict::{File, KernelView, Loader, Symbols, Verdict};
use kmodule::{Compression, ModuleName};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The facts about a kernel. Those that only few modules need are read on first use.
#[derive(Debug)]
pub struct Facts {
    /// The kernel.
    pub kernel: Kernel,
    /// The file from which its list of symbols was read.
    pub symbols_from: Option<PathBuf>,
    modules: PathBuf,
    config: Option<KernelConfig>,
    symvers: Option<Symvers>,
    sample: Option<Sample>,
    /// Whether the kernel's own modules are installed. In a build chroot they are not, and then they are not
    /// reported as missing.
    has_own_modules: bool,
    /// Names and files of the modules that dkms installed.
    dkms: BTreeMap<ModuleName, PathBuf>,
    /// Whether this is a Debian kernel, which requires the CRC of every symbol.
    is_debian: bool,
    trust: Trust,
    /// `$PATH`, to find kmod.
    path: std::ffi::OsString,
    loader: OnceLock<Loader>,
    index: OnceLock<Index>,
    /// Whether modules of the kernel are installed, by their paths in Module.symvers.
    has_modules: Mutex<HashMap<String, bool>>,
}

impl Facts {
    /// Gathers the facts about a kernel.
    #[must_use]
    pub fn gather(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Self {
        let modules = system.layout.kernel_modules(&kernel.release);
        let config = headers::configuration(&system.layout, &system.settings, &kernel.release);
        let own_modules = modules.join("kernel");
        let sample = sample(&own_modules);
        // An image contains only its own symbols. The symbols of its modules come from depmod's index.
        let is_usable = |path: &Path| !is_image(path) || modules.join("modules.symbols").exists();
        let symbols = symbols(&system.layout, &system.settings, kernel).filter(|(_, path)| is_usable(path));
        let (symvers, symbols_from) = symbols.unzip();
        let signer = sample.as_ref().map(|sample| sample.signer.clone()).filter(|signer| !signer.is_empty());
        Self {
            kernel: kernel.clone(),
            symbols_from,
            sample,
            has_own_modules: own_modules.is_dir(),
            dkms: installed_by_dkms(system, sink, kernel),
            is_debian: system.host.distribution.as_ref().is_some_and(|d| d.family() == Family::Debian),
            trust: Trust::gather(system, kernel, config.as_ref(), signer),
            path: system.host.path.clone(),
            modules,
            config,
            symvers,
            loader: OnceLock::new(),
            index: OnceLock::new(),
            has_modules: Mutex::default(),
        }
    }

    /// Returns whether an option of the kernel is set; `false` if its configuration is unknown.
    fn enabled(&self, name: &str) -> bool {
        self.config.as_ref().is_some_and(|config| config.enabled(name))
    }

    /// Judges a module file with these symbols. The signatures of the kernel's own modules (`own`) are not
    /// checked.
    pub(super) fn judge_file(&self, file: &File<'_>, symbols: Option<&dyn Symbols>, own: bool) -> Verdict {
        let sample = self.sample.as_ref();
        let mut view = KernelView::new(&self.kernel.release, &self.kernel.arch);
        view.symbols = symbols;
        view.modversions = self.enabled("CONFIG_MODVERSIONS");
        view.vermagic = sample.map(|sample| sample.vermagic.as_str());
        view.struct_module = sample.and_then(|sample| sample.struct_module);
        view.entry_places = sample.and_then(|sample| sample.entry_places);
        view.force_load = self.config.is_none() || self.enabled("CONFIG_MODULE_FORCE_LOAD");
        view.missing_crcs &= !self.is_debian;
        view.allow_missing_namespaces = self.enabled("CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS");
        view.module_plts |= self.enabled("CONFIG_ARM64_MODULE_PLTS");
        view.module_sections = self.config.as_ref().map(|config| config.enabled("CONFIG_MODULE_SECTIONS"));
        view.blacklist = self.trust.blacklist();
        view.signatures = self.trust.signatures().filter(|_| !own);
        if file.is_compressed() {
            view.loader = self.loader();
        }
        file.judge(&view)
    }

    /// Refreshes the list of modules that dkms installed for the kernel.
    pub fn refresh(&mut self, system: &System, sink: &dyn Sink) {
        self.dkms = installed_by_dkms(system, sink, &self.kernel);
        self.index = OnceLock::new();
        self.has_modules = Mutex::default();
    }

    /// Returns the modules that dkms installed for the kernel: names and files.
    pub(super) fn dkms(&self) -> impl Iterator<Item = (&ModuleName, &Path)> {
        self.dkms.iter().map(|(name, path)| (name, path.as_path()))
    }

    /// Returns the symbols of the kernel, and of its modules if the list contains them.
    pub(super) fn symvers(&self) -> Option<&Symvers> {
        self.symvers.as_ref()
    }

    /// Returns whether the list of symbols includes the symbols of the kernel's modules, not only those of
    /// its image.
    pub(super) fn lists_modules(&self) -> bool {
        self.symbols_from.as_deref().is_some_and(|path| !is_image(path))
    }

    /// Returns depmod's index.
    pub(super) fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::read(&self.modules))
    }

    /// Returns the file that modprobe uses for a name: the file that depmod chose, unless dkms has installed
    /// another file since depmod ran.
    pub(super) fn installed(&self, name: &ModuleName) -> Option<&Path> {
        let indexed = self.index().file(name);
        let Some(by_dkms) = self.dkms.get(name) else { return indexed };
        match indexed {
            Some(file) if file != by_dkms && !self.index().is_older_than(by_dkms) => Some(file),
            _ => Some(by_dkms),
        }
    }

    /// Returns whether the file is the kernel's own module of this name.
    pub(super) fn is_own(&self, name: &ModuleName, path: &Path) -> bool {
        path.starts_with(self.modules.join("kernel"))
            && self.dkms.get(name).is_none_or(|by_dkms| by_dkms != path)
    }

    /// Returns the keys that this kernel trusts, and its policy for modules that it does not trust.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Returns the kernel's configuration, if it exists.
    #[must_use]
    pub fn config(&self) -> Option<&KernelConfig> {
        self.config.as_ref()
    }

    /// Returns whether a module of the kernel, given by its path in Module.symvers (without suffix), is
    /// installed.
    pub(super) fn has_module(&self, owner: &str) -> bool {
        if !self.has_own_modules {
            return true;
        }
        let mut known = self.has_modules.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(owner.to_owned()).or_insert_with(|| {
            let kernel = self.modules.join("kernel");
            let exists_with = |suffix: &str| kernel.join(format!("{owner}{suffix}")).exists();
            let name = ModuleName::new(owner.rsplit('/').next().unwrap_or_default());
            [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].into_iter().any(exists_with)
                || self.index().file(&name).is_some()
        })
    }

    /// Returns the formats of compressed modules that kmod and the kernel can decompress.
    fn loader(&self) -> Loader {
        *self.loader.get_or_init(|| {
            let (version, mut loader) = kmod(&self.path).unwrap_or_default();
            if version >= 31 && self.enabled("CONFIG_MODULE_DECOMPRESS") {
                let formats =
                    [("GZIP", Compression::Gzip), ("XZ", Compression::Xz), ("ZSTD", Compression::Zstd)];
                let is_enabled =
                    |(name, _): &(&str, _)| self.enabled(&format!("CONFIG_MODULE_COMPRESS_{name}"));
                loader.kernel = formats.into_iter().find(is_enabled).map(|(_, format)| format);
            }
            loader
        })
    }
}
