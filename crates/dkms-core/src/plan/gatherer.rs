//! Gathers the facts about builds and kernels that planning needs.

use super::order::{self, Candidate};
use super::recorded::built_against;
use super::state::{BuildFacts, KernelFacts, State};
use super::steps::Outlook;
use super::{estimate, fallback};
use crate::conf::{framework, load};
use crate::error::{Error, Result};
use crate::event::{LastBuild, Sink};
use crate::install::{built, uninstall};
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

/// `post_transaction` of framework.conf, as evaluated for a kernel.
pub(crate) fn post_transaction(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Option<String> {
    let command = framework::load(system, sink, Some(&kernel.release)).ok()?.post_transaction?;
    (!command.trim().is_empty()).then_some(command)
}

/// The module files among those that operations change.
fn module_files(ops: &[Op]) -> Vec<PathBuf> {
    let is_module =
        |p: &&Path| p.file_name().and_then(|f| f.to_str()).is_some_and(|f| state::module_stem(f).is_some());
    let mut files: Vec<PathBuf> =
        ops.iter().flat_map(Op::places).flatten().filter(is_module).map(Path::to_owned).collect();
    files.dedup();
    files
}

/// The purpose of the request: builds only, or installs too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Builds only.
    Build,
    /// Builds and installs.
    Install,
}

/// A state under construction.
pub(super) struct Gatherer<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    overrides: Overrides,
    pub(super) state: State,
    /// A package that the plan adds first: its dkms.conf is read from its present path.
    pub(super) added_first: Option<(&'a PackageId, &'a Path)>,
    headers: BTreeMap<Kernel, std::result::Result<Headers, Arc<Error>>>,
    /// The module files of kernels, and the facts by which modules are judged.
    modules: BTreeMap<Kernel, (ModuleIndex, Facts)>,
    /// The duration of the last build of each package version, and its estimated work.
    durations: HashMap<PackageId, (Option<LastBuild>, f64)>,
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, overrides: Overrides) -> Self {
        Self {
            system,
            sink,
            overrides,
            state: State::default(),
            added_first: None,
            headers: BTreeMap::new(),
            modules: BTreeMap::new(),
            durations: HashMap::new(),
        }
    }

    fn kernel(&mut self, kernel: &Kernel) -> &mut KernelFacts {
        self.state.kernels.entry(kernel.clone()).or_default()
    }

    /// Gathers the facts about a kernel whose modules may change.
    pub(super) fn changing(&mut self, kernel: &Kernel) {
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

    pub(super) fn unclear(&mut self, kernel: &Kernel, package: PackageId, error: Error) {
        self.kernel(kernel).unclear.push((package, Arc::new(error)));
    }

    /// For an autoinstall: gathers the newest version of every package, and the facts about those to be
    /// installed.
    pub(super) fn candidates(&mut self, kernel: &Kernel) {
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
                Err(e) => self.unclear(kernel, package, e),
            }
        }
        let facts = self.kernel(kernel);
        (facts.candidates, facts.known) = (candidates, known);
        let order = facts.order();
        let wanted: Vec<Build> = order.wanted.iter().map(|w| Build::new(&w.package, kernel)).collect();
        self.wanted(&wanted, Purpose::Install);
        if system.settings.framework.fallback == Some(true) {
            self.older_versions(&wanted, &sound);
        }
    }

    /// Gathers the versions that may be installed instead of the newest versions.
    fn older_versions(&mut self, wanted: &[Build], sound: &[PackageId]) {
        for newest in wanted {
            let name = &newest.package.name;
            let mut older: Vec<PackageId> =
                sound.iter().filter(|p| p.name == *name && **p != newest.package).cloned().collect();
            older.sort_by(|a, b| compare_versions(&b.version, &a.version));
            older.truncate(fallback::VERSIONS);
            for package in &older {
                let build = Build::new(package, &newest.kernel);
                let facts = self.facts(&build, Purpose::Install, true);
                self.state.builds.insert(build, facts);
            }
            self.kernel(&newest.kernel).older.insert(name.clone(), older);
        }
    }

    /// Gathers the requested builds, and those that may have to be rebuilt because of them.
    pub(super) fn wanted(&mut self, wanted: &[Build], purpose: Purpose) {
        // A single package does not depend on any other package here.
        let several = wanted.iter().zip(wanted.iter().skip(1)).any(|(a, b)| a.package != b.package);
        for build in wanted {
            self.changing(&build.kernel);
            let facts = self.facts(build, purpose, several);
            self.state.builds.insert(build.clone(), facts);
            if purpose == Purpose::Install {
                self.installed(build);
            }
        }
        if purpose == Purpose::Build || wanted.is_empty() {
            return;
        }
        let mut kernels: Vec<&Kernel> = wanted.iter().map(|build| &build.kernel).collect();
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
                let facts = self.facts(&build, purpose, false);
                self.state.builds.insert(build, facts);
            }
        }
    }

    fn installed(&mut self, build: &Build) {
        let name = &build.package.name;
        if let Some(version) = state::active_version(&self.system.layout, name, &build.kernel) {
            self.kernel(&build.kernel).installed.insert(name.clone(), version);
        }
    }

    /// Returns whether a build exists, and the changes of uninstalling it.
    pub(super) fn presence(&self, build: &Build) -> BuildFacts {
        let system = self.system;
        // A link may point to a directory whose modules were deleted by hand.
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

    fn facts(&mut self, build: &Build, purpose: Purpose, with_depends: bool) -> BuildFacts {
        let system = self.system;
        // A package that this command adds first has no registered dkms.conf yet.
        let added = self.added_first.filter(|(package, _)| **package == build.package);
        let conf = match (&system.settings.conf_file, added) {
            (None, Some((_, path))) => path.to_owned(),
            _ => load::conf_file(&system.layout, &system.settings, &build.package),
        };
        let mut facts = self.presence(build);
        facts.built_against = built_against(&system.layout, build);
        // A build that is installed already needs no further facts, unless it may have to be rebuilt.
        if facts.state == BuildState::NotBuilt || self.overrides.force || !facts.built_against.is_empty() {
            self.assess_build(build, &conf, &mut facts);
        } else if with_depends && facts.state == BuildState::Built {
            // Errors in a dkms.conf are reported when it is used.
            facts.depends = load::load_file(system, self.sink, &conf, Some(&build.package), &build.kernel)
                .map(|loaded| loaded.conf.build_depends)
                .unwrap_or_default();
        }
        if purpose == Purpose::Install && facts.state == BuildState::Built {
            self.assess_install(system, self.sink, build, &mut facts);
        }
        facts
    }

    /// Gathers how installing a completed build would end, and which files it would change.
    fn assess_install(&mut self, system: &System, sink: &dyn Sink, build: &Build, facts: &mut BuildFacts) {
        let (index, about_kernel) = self.modules.entry(build.kernel.clone()).or_insert_with(|| {
            let index = ModuleIndex::scan(&system.layout.kernel_modules(&build.kernel.release));
            (index, Facts::gather(system, sink, &build.kernel))
        });
        match built::preview(system, sink, build, index, about_kernel, self.overrides) {
            Ok(planned) if planned.ops.is_empty() => {
                let kept = planned.kept.iter().map(|(path, why)| format!("{}: {why}", path.display()));
                facts.outlook = Outlook::Same(kept.collect::<Vec<_>>().join("; "));
            }
            Ok(planned) => facts.installs = module_files(&planned.ops),
            Err(e) => facts.outlook = Outlook::Refused(Arc::new(e)),
        }
    }

    /// Gathers whether it can be built, and how long that takes.
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
            self.missing_key(&build.kernel);
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
        let found = self
            .headers
            .entry(kernel.clone())
            .or_insert_with(|| headers::find(system, kernel).map_err(Arc::new));
        found.as_ref().map_err(Arc::clone)
    }

    /// Finds out whether the first build of a kernel creates a key.
    fn missing_key(&mut self, kernel: &Kernel) {
        let (system, sink) = (self.system, self.sink);
        let Ok(headers) = self.headers(kernel) else { return };
        let Ok(framework) = framework::load(system, sink, Some(&kernel.release)) else { return };
        let missing = signing::missing_pair(system, headers, &framework);
        self.kernel(kernel).missing_key = missing.map(|pair| (pair.key, pair.certificate));
    }
}

/// Gathers the facts about a package that an autoinstall needs.
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
