//! Building one package version for one kernel, from the source to `M/V/K/A`, all or nothing.

pub(crate) mod denied;
pub mod diagnose;
mod error;
pub mod finish;
pub mod jobs;
pub mod log;
pub mod make;
pub(crate) mod mark;
pub(crate) mod owner;
pub mod prepare;
pub(crate) mod sandbox;

use crate::conf::load::{self, Exclusion, Loaded};
use crate::error::{Error, Result};
use crate::event::{BuiltModule, Event};
use crate::hooks::{self, Script};
use crate::ids::{Build, Kernel};
use crate::kernel::headers::{self, Headers};
use crate::kernel::installed::ModuleIndex;
use crate::kernel::toolchain::{self, Toolchain};
use crate::lock::Held;
use crate::program::ProgramError;
use crate::session::Session;
use crate::signing::{self, Signing};
use crate::tree::manifest::{Excluded, Inputs, Manifest, ModuleRecord, SCHEMA};
use crate::tree::state;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_sys::fs::TempDir;
use dkms_sys::jobserver::{Jobserver, Slots};
use dkms_sys::sandbox::{Access, Part, Place};
pub use error::{BuildError, Diagnosis};
use log::MakeLog;
use mark::Mark;
use sandbox::BuildSandbox;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// One kernel, made ready once per command for all packages that are built for it.
#[derive(Debug)]
pub struct Target {
    /// Which.
    pub kernel: Kernel,
    /// Its headers.
    pub headers: Headers,
    /// Its tools.
    pub toolchain: Toolchain,
    /// framework.conf as it reads for this kernel.
    pub framework: FrameworkConf,
    /// The module files it has.
    pub index: ModuleIndex,
    signing: OnceLock<Signing>,
    deciding: Mutex<()>,
}

/// How a build is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// An earlier build gives way to the new one when that is complete, and stays when it fails.
    pub replace: bool,
    /// In a directory of its own that only its own processes see as `M/V/build`: other kernels' builds of the package
    /// go on at the same time.
    pub private: bool,
    /// The job slots it shares with other builds; `None`: there is no limit.
    pub pool: Option<&'a Jobserver>,
    /// The lock of the package version, which the caller took.
    pub held: &'a Held,
}

impl Target {
    /// Finds out everything about a kernel that builds need.
    ///
    /// # Errors
    /// [`BuildError::HeadersMissing`], a bad framework.conf.
    pub fn prepare(s: &Session<'_>, kernel: &Kernel) -> Result<Self> {
        let headers = headers::find(s, kernel)?;
        Ok(Self {
            kernel: kernel.clone(),
            toolchain: toolchain::detect(s, &headers)?,
            framework: crate::conf::framework::load(s, Some(&kernel.release))?,
            index: ModuleIndex::scan(&s.layout.kernel_modules(&kernel.release)),
            headers,
            signing: OnceLock::new(),
            deciding: Mutex::new(()),
        })
    }

    /// How modules for it are signed; decided, and the key read, at the first module.
    ///
    /// # Errors
    /// As [`signing::prepare`].
    pub fn signing(&self, s: &Session<'_>) -> Result<&Signing> {
        // One thread decides, and makes the key; the others wait for it.
        let _one = self.deciding.lock();
        if let Some(decided) = self.signing.get() {
            return Ok(decided);
        }
        let decided = signing::prepare(s, &self.headers, &self.kernel.release, &self.framework)?;
        Ok(self.signing.get_or_init(|| decided))
    }

    /// What a build has no business to read: the private key.
    pub(crate) fn hidden(&self, s: &Session<'_>) -> Vec<PathBuf> {
        signing::private_files(s, &self.headers, &self.framework)
    }
}

/// Loads and judges a package's configuration before anything is touched.
///
/// # Errors
/// [`ConfError::Invalid`], [`BuildError::Excluded`] when BUILD_EXCLUSIVE leaves nothing.
pub fn configuration(s: &Session<'_>, b: &Build) -> Result<(Loaded, Exclusion)> {
    let loaded = load::load(s, &b.package, &b.kernel)?.strict()?;
    let config = headers::KernelConfig::read(&headers::config_path(s, &b.kernel.release));
    let exclusion = load::exclusion(&loaded, &b.kernel, config.as_ref())?;
    if let Some(reason) = &exclusion.whole {
        return Err(BuildError::Excluded { build: b.clone(), reason: reason.clone() }.into());
    }
    Ok((loaded, exclusion))
}

/// Builds. The package is registered, and `configuration` is what [`configuration`] says of it: both are the caller's to
/// see to.
///
/// A failure leaves the build directory with its make.log, and a copy of the log in `M/V/.log/`; nothing else.
///
/// # Errors
/// Every way a build can fail.
pub fn build(
    s: &Session<'_>,
    target: &Target,
    b: &Build,
    configuration: &(Loaded, Exclusion),
    how: &Manner<'_>,
) -> Result<()> {
    let (loaded, exclusion) = configuration;
    depends(s, b, loaded)?;
    // While we waited for the lock somebody else may have built it, or taken the package away.
    crate::add::require_added(s, &b.package)?;
    if !how.replace && s.layout.module_dir(b).is_dir() {
        s.tell(Event::Nothing { about: b.to_string(), reason: "was built by another dkms meanwhile".into() });
        return Ok(());
    }
    let slot = how.pool.map(Jobserver::acquire).transpose().map_err(|e| Error::Interrupted(e.0))?;
    let started = Instant::now();
    let real = s.layout.build_dir(&b.package);
    let dir = if how.private { s.layout.private_build_dir(b) } else { real.clone() };
    let mark = Mark::new(s, b, &dir)?;
    prepare::fresh_copy(s, b, &dir)?;
    if how.private {
        // What is mounted needs a place.
        dkms_sys::fs::create_dir_all(&real)?;
    }
    let shown = dir.join("make.log");
    let kept = if how.private { s.layout.failed_log(b) } else { shown.clone() };
    let sandbox = sandbox(s, target, b, loaded, &dir)?;
    sandbox.hand_over()?;
    let log = MakeLog::create(s, &s.layout.running_log(b), &kept, b)?;
    log.show_at(&shown);
    s.tell(Event::BuildStarted { build: b.clone(), log: shown.clone() });
    let mut environment = hooks::variables(&b.package, Some(&b.kernel));
    environment.extend(target.toolchain.environment.iter().cloned());
    environment.push(crate::lock::variable(s, [how.held]));
    let job = Job {
        s,
        target,
        b,
        loaded,
        exclusion,
        dir: &dir,
        sandbox: &sandbox,
        pool: how.pool,
        held: how.held,
        log: &log,
        environment: &environment,
        mark: Mutex::new(mark),
    };
    let result = job.run(started, slot);
    match &result {
        Ok(manifest) => {
            dkms_sys::fs::remove_tree(&dir)?;
            dkms_sys::fs::remove_file(s.layout.failed_log(b))?;
            remove_log(&log)?;
            let modules = manifest
                .modules
                .iter()
                .map(|m| BuiltModule { file: m.file.clone(), size: m.size, signature: m.signature.clone() })
                .collect();
            s.tell(Event::Built { build: b.clone(), modules, elapsed: started.elapsed() });
        }
        // Nobody wants to read the log of a build that they have interrupted themselves.
        Err(Error::Interrupted(_)) => {
            let _ = dkms_sys::fs::remove_tree(&dir);
            let _ = remove_log(&log);
        }
        Err(_) => {
            owner::take_back(&dir);
            keep_log(s, b, &log, &shown);
        }
    }
    result.map(|_| ())
}

/// BUILD_DEPENDS are installed for the same kernel.
fn depends(s: &Session<'_>, b: &Build, loaded: &Loaded) -> Result<()> {
    let missing = missing_dependencies(s, b, loaded);
    if missing.is_empty() {
        return Ok(());
    }
    if !s.options.force {
        return Err(BuildError::DependsMissing { build: b.clone(), missing }.into());
    }
    s.warn(format!(
        "{} is built although {} is not installed for this kernel (--force)",
        b.package,
        missing.join(", ")
    ));
    Ok(())
}

/// The BUILD_DEPENDS that are not installed for a kernel.
pub fn missing_dependencies(s: &Session<'_>, b: &Build, loaded: &Loaded) -> Vec<String> {
    let missing = |d: &&String| state::installed_version(s.layout, d, &b.kernel).is_none();
    loaded.conf.build_depends.iter().filter(missing).cloned().collect()
}

/// The confinement of a build: what it sees, what it may write, as which user it runs.
fn sandbox(s: &Session<'_>, target: &Target, b: &Build, loaded: &Loaded, dir: &Path) -> Result<BuildSandbox> {
    let seen = s.layout.build_dir(&b.package);
    let headers = &target.headers.dir;
    let mut visible = vec![
        s.layout.dkms_tree.clone(),
        s.layout.source_tree.clone(),
        s.layout.config_dir.clone(),
        s.layout.kernel_modules(&b.kernel.release),
        headers.clone(),
    ];
    // Headers may be links, and name a second directory in a third.
    visible.extend(headers.canonicalize());
    visible.extend(s.layout.kernel_modules(&b.kernel.release).join("source").canonicalize());
    visible.extend(s.options.kernel_config.clone());
    sandbox::BuildSandbox::new(
        s,
        sandbox::Wanted { dir, seen: &seen, hidden: target.hidden(s), visible, policy: &loaded.conf.confine },
    )
}

/// Removes the log of a build that is over, and its directory unless other builds have theirs in it.
fn remove_log(log: &MakeLog) -> Result<()> {
    dkms_sys::fs::remove_file(&log.path)?;
    let _ = log.path.parent().map(std::fs::remove_dir);
    Ok(())
}

fn keep_log(s: &Session<'_>, b: &Build, log: &MakeLog, shown: &Path) {
    let kept = s.layout.failed_log(b);
    // Best effort: the reason of the failure may be a full disk.
    let _ = dkms_sys::fs::remove_tree(&kept);
    if dkms_sys::fs::rename(&log.path, &kept).is_ok() {
        let _ = dkms_sys::fs::remove_tree(shown);
        let _ = dkms_sys::fs::copy_file(&kept, shown);
    }
}

/// One build under way: everything its stages need.
pub(crate) struct Job<'a> {
    pub s: &'a Session<'a>,
    pub target: &'a Target,
    pub b: &'a Build,
    pub loaded: &'a Loaded,
    pub exclusion: &'a Exclusion,
    /// The build directory.
    pub dir: &'a Path,
    /// Everything of the package runs in it.
    pub sandbox: &'a BuildSandbox,
    pub pool: Option<&'a Jobserver>,
    pub held: &'a Held,
    pub log: &'a MakeLog,
    /// What scripts see besides the inherited variables.
    pub environment: &'a [(String, String)],
    pub mark: Mutex<Mark>,
}

impl<'a> Job<'a> {
    fn run(&self, started: Instant, slot: Option<Slots<'a>>) -> Result<Manifest> {
        let (s, b, conf) = (self.s, self.b, &self.loaded.conf);
        let names = conf
            .patches_for(&b.kernel.release, &dkms_sys::regex::matches)
            .map_err(|e| load::bad_regex(self.loaded, &e.to_string()))?;
        let patches = prepare::patch(s, b, self.sandbox, self.dir, &names, self.log)?;
        self.script("PRE_BUILD", conf.pre_build.as_deref(), self.environment, &[])?;
        let line = make::command_line(s, b, self.loaded, self.target.toolchain.llvm)?;
        s.tell(Event::Detail { text: line.clone() });
        s.tell(Event::BuildStage { build: b.clone(), stage: "make".into() });
        let fitted = match self.pool {
            Some(_) => jobs::fit(&line),
            None => jobs::Line { text: line.clone(), share: jobs::Share::One },
        };
        let _slots = self.slots(&fitted, slot)?;
        make::run(self, &fitted)?;

        let kernel_dir = s.layout.kernel_dir(b);
        dkms_sys::fs::create_dir_all(&kernel_dir)?;
        let done = self
            .stage(&kernel_dir, patches, line)
            .and_then(|(staging, manifest)| self.put_in_place(staging, manifest, started));
        if done.is_err() {
            let _ = std::fs::remove_dir(&kernel_dir);
        }
        done
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slots for the make: all of them when it runs as many jobs as it likes.
    fn slots(&self, line: &jobs::Line, slot: Option<Slots<'a>>) -> Result<Option<Slots<'a>>> {
        match self.pool {
            Some(pool) if line.share == jobs::Share::All => {
                drop(slot);
                pool.acquire_all().map(Some).map_err(|e| Error::Interrupted(e.0))
            }
            _ => Ok(slot),
        }
    }

    /// `K/A`, complete, under a temporary name beside its place.
    fn stage(
        &self,
        kernel_dir: &Path,
        patches: Vec<(String, String)>,
        line: String,
    ) -> Result<(TempDir, Manifest)> {
        mark::remove_staging(kernel_dir, self.b)?;
        let staging = TempDir::new_in(kernel_dir, &format!(".tmp_{}_", self.b.kernel.arch))?;
        dkms_sys::fs::create_dir_all(staging.path().join("log"))?;
        dkms_sys::fs::copy_file(&self.log.path, staging.path().join("log/make.log"))?;
        let modules = finish::collect(self, staging.path())?;
        let manifest = self.describe(modules, patches, line);
        manifest.store(&staging.path().join(".manifest.json"))?;
        dkms_sys::fs::set_mode(staging.path(), 0o755)?;
        Ok((staging, manifest))
    }

    fn describe(&self, modules: Vec<ModuleRecord>, patches: Vec<(String, String)>, line: String) -> Manifest {
        let (target, conf) = (self.target, &self.loaded.conf);
        let config = target.headers.config.as_ref();
        let excluded = conf.modules.iter().zip(&self.exclusion.modules);
        Manifest {
            schema: SCHEMA,
            package: self.b.package.name.clone(),
            version: self.b.package.version.clone(),
            kernel: self.b.kernel.release.clone(),
            arch: self.b.kernel.arch.clone(),
            inputs: Inputs {
                source: crate::digest::tree(&self.s.layout.source_link(&self.b.package)),
                directives: directives_digest(self.loaded),
                patches,
                headers: target.headers.dir.clone(),
                kernel_config: config.map_or_else(String::new, |c| crate::digest::bytes(c.text().as_bytes())),
                compiler: target.toolchain.compiler.clone(),
                make: line,
                evaluated: self.loaded.evaluation(),
            },
            built_at: self.s.recorded_time(),
            build_seconds: 0.0,
            modules,
            excluded: excluded
                .filter_map(|(e, why)| Some(Excluded { name: e.dest_name.clone(), reason: why.clone()? }))
                .collect(),
            build_depends: conf.build_depends.clone(),
            no_weak_modules: conf.no_weak_modules,
            unconfined: match self.sandbox.is_on() {
                true => self.sandbox.missing(),
                false => vec!["the confinement is switched off".into()],
            },
            post_remove: conf.post_remove.clone(),
            installed: None,
        }
    }

    /// Renames to `K/A`, over an earlier build if there is one; a failure from here on takes it back.
    fn put_in_place(&self, staging: TempDir, manifest: Manifest, started: Instant) -> Result<Manifest> {
        let built = self.s.layout.built_dir(self.b);
        // Nobody installs from it while it changes.
        let replaced = dkms_sys::fs::exists(&built);
        let kernel = std::slice::from_ref(&self.b.kernel);
        let locks = if replaced { crate::lock::install(self.s, kernel)? } else { Vec::new() };
        // What is installed is still the earlier build; its record leads to its files.
        let earlier = Manifest::read(self.s.layout, self.b).unwrap_or_else(|e| {
            self.s.warn(format!(
                "{e}; what it said of installed files is lost, and they are looked for instead"
            ));
            None
        });
        let earlier = earlier.and_then(|m| m.installed);
        let swapped = replaced && dkms_sys::fs::exists(&built);
        if self.loaded.conf.post_build.as_deref().is_some_and(|l| !l.is_empty()) {
            self.mark().unfinished(staging.path())?;
        }
        if swapped {
            crate::layers::exchange(staging.path(), &built)?;
        } else {
            dkms_sys::fs::rename_noreplace(staging.path(), &built)?;
        }
        let finished = self.after(Manifest { installed: earlier, ..manifest }, started, &locks);
        if finished.is_ok() && self.mark().is_unfinished() {
            self.mark().finished()?;
        }
        if finished.is_err() {
            let cleaned = if swapped {
                crate::layers::exchange(staging.path(), &built)
            } else {
                dkms_sys::fs::remove_tree(&built).map(drop)
            };
            if let Err(further) = cleaned {
                self.s.warn(format!("{}: {further}", self.b));
            }
        }
        finished
    }

    /// POST_BUILD may look into K/A/module, so it comes after the rename.
    fn after(&self, mut manifest: Manifest, started: Instant, locks: &[Held]) -> Result<Manifest> {
        let (s, b, conf) = (self.s, self.b, &self.loaded.conf);
        dkms_sys::fs::sync_dir(s.layout.kernel_dir(b))?;
        let held = std::iter::once(self.held).chain(locks);
        let mut environment: Vec<(String, String)> = self.environment.to_vec();
        let (name, value) = crate::lock::variable(s, held);
        environment.retain(|(other, _)| *other != name);
        environment.push((name, value));
        self.post_build(conf.post_build.as_deref(), &environment)?;
        dkms_sys::fs::copy_file(&self.log.path, s.layout.make_log(b))?;
        if conf.build_depends_rebuild {
            remember_dependencies(s, b, &conf.build_depends)?;
        }
        manifest.build_seconds =
            if s.source_date_epoch().is_some() { 0.0 } else { started.elapsed().as_secs_f64() };
        manifest.store(&s.layout.manifest(b))?;
        Ok(manifest)
    }

    /// POST_BUILD sees `K/A` as a copy that it may write: ZFS puts headers for other packages there. What is new in it
    /// joins `K/A`; what was there stays as it was checked and signed.
    fn post_build(&self, line: Option<&str>, environment: &[(String, String)]) -> Result<()> {
        let s = self.s;
        if line.is_none_or(str::is_empty) || !self.sandbox.is_on() {
            return self.script("POST_BUILD", line, environment, &[]);
        }
        let built = s.layout.built_dir(self.b);
        let copy = TempDir::new_in(&s.options.tmp_location, "dkms-built")?;
        let dir = copy.path().join("built");
        dkms_sys::fs::copy_tree(&built, &dir)?;
        self.sandbox.give(&dir)?;
        if dkms_sys::sandbox::lacks(Part::Mounts) {
            // It cannot be shown the copy; what it writes there is refused.
            return self.script("POST_BUILD", line, environment, &[]);
        }
        let place = Place { source: dir.clone(), target: built.clone(), access: Access::Write };
        self.script("POST_BUILD", line, environment, &[place])?;
        self.take_new(&dir, Path::new(""), &built)
    }

    /// Brings the files of `dir` that `built` does not have to it. `below` is where in both.
    fn take_new(&self, dir: &Path, below: &Path, built: &Path) -> Result<()> {
        for name in dkms_sys::fs::list_dir(dir.join(below))? {
            let name = below.join(name);
            let (from, to) = (dir.join(&name), built.join(&name));
            if dkms_sys::fs::is_real_dir(&from) {
                if !dkms_sys::fs::exists(&to) {
                    dkms_sys::fs::create_dir_all(&to)?;
                }
                if dkms_sys::fs::is_real_dir(&to) {
                    self.take_new(dir, &name, built)?;
                }
            } else if !dkms_sys::fs::exists(&to) {
                let bytes = dkms_sys::fs::read_untrusted(dir, &name, self.sandbox.owner())?;
                dkms_sys::fs::create_new(&to, &bytes, 0o644)?;
            }
        }
        Ok(())
    }

    fn script(
        &self,
        directive: &'static str,
        line: Option<&str>,
        environment: &[(String, String)],
        places: &[Place],
    ) -> Result<()> {
        let Some(line) = line.filter(|l| !l.is_empty()) else { return Ok(()) };
        self.log.begin(&format!("Running {directive}"), line)?;
        let started = Instant::now();
        let directory = self.s.layout.build_dir(&self.b.package);
        let script = Script { directive, line, directory: &directory, environment };
        let package = &self.b.package;
        let done = hooks::run_build_script(
            self.s,
            package,
            &script,
            self.sandbox,
            places,
            self.dir,
            self.log.file(),
        )?;
        let Some(status) = done else { return Ok(()) };
        self.log.end(status.code_for_shell(), started.elapsed())?;
        if status.success() {
            return Ok(());
        }
        if self.sandbox.is_on() {
            let text = dkms_sys::fs::read_text(&self.log.path, dkms_sys::fs::Limit::LOG).unwrap_or_default();
            if let Some(denied) = denied::find(&text, &directory) {
                self.s.warn(denied.explain(&self.s.layout.config_dir, &package.name));
            }
        }
        Err(ProgramError::ScriptFailed {
            package: self.b.package.clone(),
            directive,
            command: line.to_owned(),
            status: status.to_string(),
            code: status.code_for_shell(),
            log: Some(self.s.layout.failed_log(self.b)),
        }
        .into())
    }
}

fn directives_digest(loaded: &Loaded) -> String {
    let text: String = loaded.directives.iter().map(|(n, i, v)| format!("{n}[{i}]={v}\n")).collect();
    crate::digest::bytes(text.as_bytes())
}

/// `.dep_NAME` files: which version of each dependency this was built against.
fn remember_dependencies(s: &Session<'_>, b: &Build, depends: &[String]) -> Result<()> {
    for name in depends {
        if let Some(id) = state::installed_version(s.layout, name, &b.kernel) {
            let file = s.layout.built_dir(b).join(format!(".dep_{name}"));
            dkms_sys::fs::write_atomic(&file, format!("{}\n", id.version).as_bytes(), 0o644)?;
        }
    }
    Ok(())
}
