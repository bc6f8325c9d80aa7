//! The context of every action: the trees, the machine, the options, and the receiver of events.

use crate::distro::{self, Distribution};
use crate::event::{Event, Sink};
use crate::kernel::image::ImageKernels;
use crate::registry::Slot;
use crate::secret::Secrets;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_tree::beneath::Trees;
use dkms_tree::ids::{BadName, Kernel, Release};
use dkms_tree::layout::Layout;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Facts about the machine, gathered once by the program.
#[derive(Clone, Debug)]
pub struct Host {
    /// `uname -r`, or the newest kernel of an image.
    pub release: Release,
    /// `uname -m`
    pub machine: String,
    /// From os-release; `None` if there is none.
    pub distribution: Option<Distribution>,
    /// The environment for builds and scripts, without the variables that would disturb a build, and without
    /// [`Host::secrets`].
    pub environment: Vec<(OsString, OsString)>,
    /// The search path for programs.
    pub path: OsString,
    /// The number of processors that this process may use.
    pub cpus: usize,
    /// Whether this is a chroot; `None` if /proc does not show it.
    pub chroot: Option<bool>,
    /// Whether this is a container, whose files may become an image.
    pub container: bool,
    /// The kernels of the system, if none of them runs: it is in another root, or another system prepares it
    /// in a chroot or container. [`Host::release`] is the newest of them, and nothing is known about the
    /// machine that will boot it.
    pub image: Option<ImageKernels>,
    /// Effective user is root.
    pub root: bool,
    /// `--root`: dkms works on the system in this directory instead of the machine's own, which is an image
    /// ([`Host::image`]).
    pub other_root: Option<PathBuf>,
    /// The command line, shown to processes that wait for this one.
    pub command: String,
    /// Secrets, which builds and scripts do not inherit.
    pub secrets: Secrets,
    /// The run of the package manager whose kernel hook started this dkms, if that is known.
    pub package_manager_run: Option<String>,
    /// `ADDON_MODULES_DIR`, which overrides the distribution's destination.
    pub addon_modules_dir: Option<String>,
}

#[cfg(test)]
impl Default for Host {
    fn default() -> Self {
        Self {
            release: Release::new("6.1.0-test").expect("a release"),
            machine: String::new(),
            distribution: None,
            environment: Vec::new(),
            path: OsString::new(),
            cpus: 0,
            chroot: None,
            container: false,
            image: None,
            root: false,
            other_root: None,
            command: String::new(),
            secrets: Secrets::default(),
            package_manager_run: None,
            addon_modules_dir: None,
        }
    }
}

impl Host {
    /// Where modules go below `/lib/modules/K`, if this machine decides that instead of dkms.conf.
    pub fn fixed_destination(&self) -> Option<String> {
        match self.addon_modules_dir.as_deref().filter(|dir| !dir.is_empty()) {
            Some(dir) => Some(format!("/{}", dir.trim_matches('/'))),
            None => self.distribution.as_ref()?.destination().map(str::to_owned),
        }
    }

    /// `SOURCE_DATE_EPOCH`: recorded times do not depend on when something is made, or how long it takes
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    pub fn source_date_epoch(&self) -> Option<u64> {
        let (_, value) = self.environment.iter().find(|(name, _)| name == "SOURCE_DATE_EPOCH")?;
        value.to_str()?.parse().ok()
    }

    /// The time to record, in seconds since 1970: now, or [`Host::source_date_epoch`].
    pub fn recorded_time(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.source_date_epoch().unwrap_or_else(now)
    }

    /// Whether records contain inodes and change times, which let dkms skip the comparison of files. They
    /// differ between two images that are made alike, and mean nothing in a copy of one.
    pub fn records_stamps(&self) -> bool {
        self.source_date_epoch().is_none()
    }

    /// Why the distribution is unknown: there is no os-release, or it cannot be read.
    pub fn distribution_unknown(&self) -> crate::Error {
        let shown = self.other_root.clone().unwrap_or_else(|| "/".into());
        let cause = distro::unusable_os_release(Path::new("/"));
        cause.map_or(crate::Error::NoOsRelease(shown), crate::Error::OsReleaseUnusable)
    }

    /// Whether a kernel is the one that runs on this system.
    pub fn runs(&self, release: &str) -> bool {
        self.image.is_none() && self.release == *release
    }

    /// The kernel with [`Host::release`].
    ///
    /// # Errors
    /// The name of the machine's architecture is not a valid directory name.
    pub fn kernel(&self) -> Result<Kernel, BadName> {
        Kernel::of(self.release.clone(), &self.machine)
    }

    /// The package with a program; the program itself if the distribution is unknown.
    pub fn program_package(&self, program: &str) -> String {
        let known = self.distribution.as_ref();
        known.map_or_else(|| program.to_owned(), |distribution| distribution.program_package(program))
    }

    /// The distribution; an error if paths depend on it and it is unknown.
    ///
    /// # Errors
    /// [`Host::distribution_unknown`].
    pub fn distribution(&self) -> crate::Result<&Distribution> {
        self.distribution.as_ref().ok_or_else(|| self.distribution_unknown())
    }
}

/// The options of the command line and of framework.conf.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--force`
    pub force: bool,
    /// `--force-version-override`
    pub force_version_override: bool,
    /// `--directive NAME=value`, in the order of the command line.
    pub directives: Vec<(String, String)>,
    /// `-c FILE`
    pub conf_file: Option<PathBuf>,
    /// `--config FILE`
    pub kernel_config: Option<PathBuf>,
    /// `--kernelsourcedir DIR`
    pub kernel_source_dir: Option<PathBuf>,
    /// `--no-depmod`
    pub no_depmod: bool,
    /// `--modprobe-on-install`
    pub modprobe_on_install: bool,
    /// `--symlink-modules`
    pub symlink_modules: bool,
    /// `-j N`; `Some(0)` means no limit, `None` means one per processor.
    pub jobs: Option<u32>,
    /// `--rpm_safe_upgrade`
    pub rpm_safe_upgrade: bool,
    /// `--mok-signing-key` and `--mok-certificate`: sign with these, also in a chroot.
    pub signing: Option<(String, PathBuf)>,
    /// The directory for temporary files.
    pub tmp_location: PathBuf,
    /// `--verbose`
    pub verbose: bool,
    /// `--no-cache`: the cache of builds is neither read nor written.
    pub no_cache: bool,
    /// Whether this command warned about the cache of builds already.
    pub cache_warned: Arc<AtomicBool>,
    /// framework.conf, evaluated without a kernel.
    pub framework: FrameworkConf,
    /// The command's conversation with `dkms-registry`, which begins when it is needed.
    pub registry: Arc<Slot>,
}

/// What one command works with.
pub struct Session<'a> {
    /// The paths.
    pub layout: &'a Layout,
    /// The machine.
    pub host: &'a Host,
    /// The options.
    pub options: &'a Options,
    /// Receives the events.
    pub sink: &'a dyn Sink,
}

impl Session<'_> {
    /// Reports an event.
    pub fn report(&self, event: Event) {
        self.sink.event(event);
    }

    /// Reports a warning, which does not stop the command.
    pub fn warn(&self, text: impl Into<String>) {
        self.sink.warn(text.into());
    }

    /// Warns about the cache of builds, at most once per command. It never fails a build.
    pub(crate) fn warn_about_cache(&self, text: impl Into<String>) {
        if !self.options.cache_warned.swap(true, Ordering::Relaxed) {
            self.warn(text);
        }
    }

    /// Warns about sockets, devices and named pipes that are not copied with a tree.
    pub(crate) fn note_left_out(&self, paths: &[std::path::PathBuf]) {
        for path in paths {
            self.warn(format!(
                "{} is not copied: only files, directories and links are (delete it if it is not needed)",
                path.display()
            ));
        }
    }

    /// Reports what was recovered after an interrupted command, and writes it to the tree's recovery log.
    pub fn report_recovery(&self, text: &str) {
        let log = dkms_sys::fs::open_append(self.layout.recovery_log());
        // A failure to write the log does not stop the command.
        let _ = log.map(|mut log| writeln!(log, "{} {text}", crate::time::utc_now()));
        self.warn(text);
    }

    /// Fails if the tree is not writable, before anything is changed. Called only if something is about to be
    /// changed, because a command that has nothing to do does not need a writable tree.
    ///
    /// # Errors
    /// [`crate::Error::TreeNotWritable`].
    pub fn require_writable_tree(&self) -> crate::Result<()> {
        Ok(self.layout.require_writable()?)
    }

    /// The trees of the system that this session works on.
    pub(crate) fn trees(&self) -> Trees<'_> {
        Trees { layout: self.layout, other_root: self.host.other_root.is_some() }
    }

    /// How `parallel_jobs` appears in dkms.conf and in the make line: empty for "no limit".
    pub fn jobs_word(&self) -> String {
        match self.options.jobs {
            Some(0) => String::new(),
            Some(n) => n.to_string(),
            None => self.host.cpus.max(1).to_string(),
        }
    }
}
