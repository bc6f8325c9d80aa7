//! Gathers the facts about builds and kernels that planning needs.

use super::order::{self, Candidate};
use super::recorded::built_against;
use super::state::{BuildFacts, KernelFacts, State};
use super::steps::Outlook;
use super::{estimate, fallback};
use crate::conf::{framework, load};
use crate::error::{Error, Result};
use crate::event::{LastBuild, Sink};
use crate::install::{plan::preview, uninstall};
use crate::kernel::headers::{self, Headers};
use crate::kernel::installed::ModuleIndex;
use crate::look::status;
use crate::look::verify::Facts;
use crate::request::Overrides;
use crate::system::System;
use crate::trust::signing;
use crate::{add, build};
use dkms_conf::kernel_match::compare_versions;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::journal::op::Op;
use dkms_tree::state::{self, BuildState, Registration};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Returns `post_transaction` of framework.conf, evaluated for a kernel; `None` if it is empty.
pub(crate) fn post_transaction(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Option<String> {
    let command = framework::load(system, sink, Some(&kernel.release)).ok()?.post_transaction?;
    (!command.trim().is_empty()).then_some(command)
}

/// Returns the module files that these operations change.
fn module_files(ops: &[Op]) -> Vec<PathBuf> {
    let is_module =
        |p: &&Path| p.file_name().and_then(|f| f.to_str()).is_some_and(|f| state::module_stem(f).is_some());
    let mut files: Vec<PathBuf> =
        ops.iter().flat_map(Op::places).flatten().filter(is_module).map(Path::to_owned).collect();
    files.dedup();
    files
}

/// What is done with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is built.
    Build,
    /// It is built and installed.
    Install,
}

/// Gathers a [`State`].
pub(super) struct Gatherer<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    overrides: Overrides,
    pub(super) state: State,
    /// A package that the plan registers first, and its dkms.conf.
    pub(super) new_package: Option<(&'a PackageId, &'a Path)>,
    headers: BTreeMap<Kernel, std::result::Result<Headers, Arc<Error>>>,
    /// The module files of kernels, and the facts that determine whether a kernel would load a module.
    modules: BTreeMap<Kernel, (ModuleIndex, Facts)>,
    /// The last build of each package version, and its estimated work in seconds.
    durations: HashMap<PackageId, (Option<LastBuild>, f64)>,
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, overrides: Overrides) -> Self {
        Self {
            system,
            sink,
            overrides,
            state: State::default(),
            new_package: None,
            headers: BTreeMap::new(),
            modules: BTreeMap::new(),
            durations: HashMap::new(),
        }
    }

    fn kernel(&mut self, kernel: &Kernel) -> &mut KernelFacts {
        self.state.kernels.entry(kernel.clone()).or_default()
    }

    /// Gathers the facts about a kernel whose modules may change.
    pub(super) fn gather_kernel(&mut self, kernel: &Kernel) {
        let system = self.system;
        let directory = system.layout.kernel_modules(&kernel.release);
        let facts = self.state.kernels.entry(kernel.clone()).or_default();
        if facts.directory == directory {
            return;
        }
        facts.exists = directory.exists();
        facts.runs_depmod = !system.settings.no_depmod && directory.join("modules.dep").is_file();
        facts.post_transaction = post_transaction(system, self.sink, kernel);
        facts.directory = directory;
    }

    /// Records that the configuration of a package cannot be read.
    pub(super) fn add_unclear(&mut self, kernel: &Kernel, package: PackageId, error: Error) {
        self.kernel(kernel).unclear.push((package, Arc::new(error)));
    }

    /// For an autoinstall: gathers the newest version of every package, and the facts about the builds that
    /// will be installed.
    pub(super) fn gather_candidates(&mut self, kernel: &Kernel) {
        let system = self.system;
        let (mut sound, mut known) = (Vec::new(), Vec::new());
        for package in state::all_packages(&system.layout) {
            known.push(package.name.clone());
            match add::refuse_broken(&system.layout, &package) {
                Ok(()) => sound.push(package),
                Err(e) => self.sink.warn(e.to_string()),
            }
        }
        known.dedup();
        let mut candidates = Vec::new();
        let config = headers::KernelConfig::read(&headers::config_path(
            &system.layout,
            &system.settings,
            &kernel.release,
        ));
        for package in order::newest(&sound) {
            match candidate(system, self.sink, package.clone(), kernel, config.as_ref()) {
                Ok(candidate) => candidates.push(candidate),
                Err(e) => self.add_unclear(kernel, package, e),
            }
        }
        let facts = self.kernel(kernel);
        (facts.candidates, facts.known) = (candidates, known);
        let order = facts.order();
        let requested: Vec<Build> =
            order.installs.iter().map(|install| Build::new(&install.package, kernel)).collect();
        self.gather_requested(&requested, Purpose::Install);
        if system.settings.framework.fallback == Some(true) {
            self.gather_older_versions(&requested, &sound);
        }
    }

    /// Gathers the versions that may be installed instead of the newest versions.
    fn gather_older_versions(&mut self, requested: &[Build], sound: &[PackageId]) {
        for newest in requested {
            let name = &newest.package.name;
            let mut older: Vec<PackageId> =
                sound.iter().filter(|p| p.name == *name && **p != newest.package).cloned().collect();
            older.sort_by(|a, b| compare_versions(&b.version, &a.version));
            older.truncate(fallback::MAX_VERSIONS);
            for package in &older {
                let build = Build::new(package, &newest.kernel);
                let facts = self.build_facts(&build, Purpose::Install, true);
                self.state.builds.insert(build, facts);
            }
            self.kernel(&newest.kernel).older.insert(name.clone(), older);
        }
    }

    /// Gathers the facts about the requested builds, and about builds that may have to be rebuilt because of
    /// them.
    pub(super) fn gather_requested(&mut self, requested: &[Build], purpose: Purpose) {
        // Dependencies are only needed to order several packages.
        let several = requested.windows(2).any(|pair| matches!(pair, [a, b] if a.package != b.package));
        for build in requested {
            self.gather_kernel(&build.kernel);
            let facts = self.build_facts(build, purpose, several);
            self.state.builds.insert(build.clone(), facts);
            if purpose == Purpose::Install {
                self.gather_active_version(build);
            }
        }
        if purpose == Purpose::Build || requested.is_empty() {
            return;
        }
        let mut kernels: Vec<&Kernel> = requested.iter().map(|build| &build.kernel).collect();
        kernels.sort();
        kernels.dedup();
        for package in state::all_packages(&self.system.layout) {
            for kernel in &kernels {
                let build = Build::new(&package, kernel);
                if self.state.builds.contains_key(&build)
                    || built_against(&self.system.layout, &build).is_empty()
                {
                    continue;
                }
                let facts = self.build_facts(&build, purpose, false);
                self.state.builds.insert(build, facts);
            }
        }
    }

    fn gather_active_version(&mut self, build: &Build) {
        let name = &build.package.name;
        if let Some(version) = state::active_version(&self.system.layout, name, &build.kernel) {
            self.kernel(&build.kernel).installed.insert(name.clone(), version);
        }
    }

    /// Returns the facts about the existing files of a build, and about uninstalling it.
    pub(super) fn presence(&self, build: &Build) -> BuildFacts {
        let system = self.system;
        // The link can point to a directory whose modules were deleted by hand.
        let is_active = state::is_active(&system.layout, build);
        let uninstalls = if is_active {
            uninstall::plan(system, self.sink, build, self.overrides.force)
                .map(|planned| module_files(&planned.ops))
                .map_err(Arc::new)
        } else {
            Ok(Vec::new())
        };
        BuildFacts {
            state: state::build_state(&system.layout, build),
            is_active,
            has_files: system.layout.built_dir(build).is_dir(),
            is_added: state::registration(&system.layout, &build.package) == Registration::Added,
            uninstalls,
            ..BuildFacts::default()
        }
    }

    /// Returns all facts about a build. `with_depends` also reads the dependencies of a completed build.
    fn build_facts(&mut self, build: &Build, purpose: Purpose, with_depends: bool) -> BuildFacts {
        let system = self.system;
        let new = self.new_package.filter(|(package, _)| **package == build.package);
        let conf = match (&system.settings.conf_file, new) {
            (None, Some((_, path))) => path.to_owned(),
            _ => load::conf_file(&system.layout, &system.settings, &build.package),
        };
        let mut facts = self.presence(build);
        facts.built_against = built_against(&system.layout, build);
        // An existing build needs these facts only if it may have to be rebuilt.
        if facts.state == BuildState::NotBuilt || self.overrides.force || !facts.built_against.is_empty() {
            self.assess_build(build, &conf, &mut facts);
        } else if with_depends && facts.state == BuildState::Built {
            // Errors in dkms.conf are reported when the package is installed.
            facts.depends = load::load_file(system, self.sink, &conf, Some(&build.package), &build.kernel)
                .map(|loaded| loaded.conf.build_depends)
                .unwrap_or_default();
        }
        if purpose == Purpose::Install && facts.state == BuildState::Built {
            self.assess_install(system, self.sink, build, &mut facts);
        }
        facts
    }

    /// Determines the result of installing a completed build, and the files that this would change.
    fn assess_install(&mut self, system: &System, sink: &dyn Sink, build: &Build, facts: &mut BuildFacts) {
        let (index, kernel_facts) = self.modules.entry(build.kernel.clone()).or_insert_with(|| {
            let index = ModuleIndex::scan(&system.layout.kernel_modules(&build.kernel.release));
            (index, Facts::gather(system, sink, &build.kernel))
        });
        match preview(system, sink, build, index, kernel_facts, self.overrides) {
            Ok(planned) if planned.ops.is_empty() => {
                let kept = planned.kept.iter().map(|(path, why)| format!("{}: {why}", path.display()));
                facts.outlook = Outlook::Same(kept.collect::<Vec<_>>().join("; "));
            }
            Ok(planned) => facts.installs = module_files(&planned.ops),
            Err(e) => facts.outlook = Outlook::Refused(Arc::new(e)),
        }
    }

    /// Determines whether a package can be built, and how long that takes.
    fn assess_build(&mut self, build: &Build, conf: &Path, facts: &mut BuildFacts) {
        let system = self.system;
        match build::configuration(system, self.sink, build, conf) {
            Ok((loaded, _)) => {
                facts.missing = build::missing_dependencies(&system.layout, build, &loaded);
                facts.no_cache = loaded.conf.no_cache;
                facts.depends = loaded.conf.build_depends;
                facts.obstacle = self.headers(&build.kernel).err();
            }
            Err(e) => facts.obstacle = Some(Arc::new(e)),
        }
        if facts.obstacle.is_none() {
            self.gather_missing_key(&build.kernel);
        }
        let (last, weight) = self.durations.entry(build.package.clone()).or_insert_with(|| {
            let last = estimate::last_build(&system.layout, &build.package);
            let from_source = || estimate::source_weight(&system.layout, &build.package);
            (last, last.map_or_else(from_source, |last| last.duration.as_secs_f64()))
        });
        (facts.last, facts.weight) = (*last, *weight);
    }

    fn headers(&mut self, kernel: &Kernel) -> std::result::Result<&Headers, Arc<Error>> {
        let system = self.system;
        let find = || headers::find(system, kernel).map_err(Arc::new);
        self.headers.entry(kernel.clone()).or_insert_with(find).as_ref().map_err(Arc::clone)
    }

    /// Determines whether the first build for a kernel creates a key.
    fn gather_missing_key(&mut self, kernel: &Kernel) {
        let (system, sink) = (self.system, self.sink);
        let Ok(headers) = self.headers(kernel) else { return };
        let Ok(framework) = framework::load(system, sink, Some(&kernel.release)) else { return };
        let missing = signing::missing_pair(system, headers, &framework);
        self.kernel(kernel).missing_key = missing.map(|pair| (pair.key, pair.certificate));
    }
}

/// Returns the facts about a package that an autoinstall needs.
fn candidate(
    system: &System,
    sink: &dyn Sink,
    package: PackageId,
    kernel: &Kernel,
    config: Option<&headers::KernelConfig>,
) -> Result<Candidate> {
    let active = state::installed_version(&system.layout, &package.name, kernel);
    let installed =
        active.as_ref() == Some(&package) || status::is_weakly_linked(&system.layout, &package, kernel);
    let (mut autoinstall, mut depends, mut excluded) = (false, Vec::new(), false);
    if !installed {
        let loaded = load::load(system, sink, &package, kernel).and_then(load::Loaded::lenient)?;
        let built = system.layout.built_dir(&Build::new(&package, kernel)).is_dir();
        excluded = loaded.conf.autoinstall
            && !built
            && load::exclusion(&loaded, kernel, config).is_ok_and(|e| e.whole.is_some());
        (autoinstall, depends) = (loaded.conf.autoinstall, loaded.conf.build_depends);
    }
    let some_version_installed = active.is_some();
    Ok(Candidate { package, installed, some_version_installed, autoinstall, depends, excluded })
}
