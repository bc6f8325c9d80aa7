//! Facts about the machine.

use crate::distro::{self, Distribution};
use crate::kernel::image::ImageKernels;
use crate::program::ProgramError;
use crate::secret::Secrets;
use dkms_tree::ids::{BadName, Kernel, Release};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Facts about the machine, which the program gathers once.
#[derive(Clone, Debug)]
pub struct Host {
    /// The release of the running kernel, or of the newest kernel of an image.
    pub release: Release,
    /// `uname -m`
    pub machine: String,
    /// From os-release; `None` if the file does not exist or cannot be used.
    pub distribution: Option<Distribution>,
    /// The environment for builds and scripts, without variables that would change a build by mistake, and
    /// without [`Host::secrets`].
    pub environment: Vec<(OsString, OsString)>,
    /// The search path for programs.
    pub path: OsString,
    /// The number of processors that this process may use.
    pub cpus: usize,
    /// Whether this is a chroot; `None` if /proc does not show it.
    pub chroot: Option<bool>,
    /// Whether this is a container, whose files may become an image.
    pub container: bool,
    /// The kernels of the system, if it is an image and none of them runs: it is in another root, or in a
    /// chroot or container. [`Host::release`] is then the newest of them, and nothing is known about the
    /// machine that will boot the image.
    pub image: Option<ImageKernels>,
    /// Whether the effective user is root.
    pub root: bool,
    /// `--root`: the directory of the system that dkms works on, if it is not the running system.
    pub other_root: Option<PathBuf>,
    /// The command line of this process. Other processes show it while they wait for this process.
    pub command: String,
    /// Secrets that builds and scripts do not inherit.
    pub secrets: Secrets,
    /// Identifies the run of the package manager whose kernel hook started this dkms, if this is known.
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
    /// The destination of modules below `/lib/modules/K`, if this machine overrides dkms.conf.
    pub fn fixed_destination(&self) -> Option<String> {
        match self.addon_modules_dir.as_deref().filter(|dir| !dir.is_empty()) {
            Some(dir) => Some(format!("/{}", dir.trim_matches('/'))),
            None => self.distribution.as_ref()?.destination().map(str::to_owned),
        }
    }

    /// `SOURCE_DATE_EPOCH` (<https://reproducible-builds.org/specs/source-date-epoch/>), in seconds since
    /// 1970. With it, records contain neither the current time nor durations.
    pub fn source_date_epoch(&self) -> Option<u64> {
        let (_, value) = self.environment.iter().find(|(name, _)| name == "SOURCE_DATE_EPOCH")?;
        value.to_str()?.parse().ok()
    }

    /// The time to record, in seconds since 1970: now, or [`Host::source_date_epoch`].
    pub fn recorded_time(&self) -> u64 {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.source_date_epoch().unwrap_or_else(now)
    }

    /// Returns whether records contain inodes and change times, so that dkms can skip the comparison of
    /// files. With `SOURCE_DATE_EPOCH` they do not, because these values differ between identical images.
    pub fn records_stamps(&self) -> bool {
        self.source_date_epoch().is_none()
    }

    /// Returns the error for an unknown distribution: os-release is missing or cannot be read.
    pub fn distribution_unknown(&self) -> crate::Error {
        let shown = self.other_root.clone().unwrap_or_else(|| "/".into());
        let cause = distro::unusable_os_release(Path::new("/"));
        cause.map_or(crate::Error::NoOsRelease(shown), crate::Error::OsReleaseUnusable)
    }

    /// Returns whether a kernel is the running kernel.
    pub fn runs(&self, release: &str) -> bool {
        self.image.is_none() && self.release == *release
    }

    /// The kernel with [`Host::release`].
    ///
    /// # Errors
    /// The name of the machine's architecture is not a valid directory name.
    pub fn kernel(&self) -> Result<Kernel, BadName> {
        Kernel::from_release(self.release.clone(), &self.machine)
    }

    /// Returns the name of the package that contains a program; the name of the program if the distribution
    /// is unknown.
    pub fn program_package(&self, program: &str) -> String {
        let known = self.distribution.as_ref();
        known.map_or_else(|| program.to_owned(), |distribution| distribution.program_package(program))
    }

    /// Returns the error for a program that is missing. `purpose` completes the sentence "dkms needs it to ...".
    pub(crate) fn missing_program(&self, program: &str, purpose: impl Into<String>) -> ProgramError {
        let package = self.program_package(program);
        ProgramError::Missing { program: program.to_owned(), purpose: purpose.into(), package }
    }

    /// Returns the distribution, for paths that depend on it.
    ///
    /// # Errors
    /// [`Host::distribution_unknown`].
    pub fn distribution(&self) -> crate::Result<&Distribution> {
        self.distribution.as_ref().ok_or_else(|| self.distribution_unknown())
    }
}
