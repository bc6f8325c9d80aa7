//! Computes every path that dkms touches (on-disk contract: docs/on-disk-layout.md).

use crate::error::{Error, Result};
use crate::ids::{Build, Kernel, PackageId};
use std::path::{Path, PathBuf};

/// The roots of all other paths. The root and the three trees are arguments, never globals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `/var/lib/dkms`
    pub dkms_tree: PathBuf,
    /// `/usr/src`
    pub source_tree: PathBuf,
    /// `/lib/modules`
    pub install_tree: PathBuf,
    /// `/etc/dkms`
    pub config_dir: PathBuf,
    /// `/boot`
    pub boot_dir: PathBuf,
    /// `/usr/share/dkms/modules_to_force_install`
    pub force_dir: PathBuf,
    /// `/var/cache/dkms`: the cache of builds. With `--root`, it is that of this machine.
    pub cache_dir: PathBuf,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            dkms_tree: "/var/lib/dkms".into(),
            source_tree: "/usr/src".into(),
            install_tree: "/lib/modules".into(),
            config_dir: "/etc/dkms".into(),
            boot_dir: "/boot".into(),
            force_dir: "/usr/share/dkms/modules_to_force_install".into(),
            cache_dir: "/var/cache/dkms".into(),
        }
    }
}

impl Layout {
    /// Refuses a tree that cannot be written, and creates one that does not exist.
    ///
    /// # Errors
    /// [`Error::NotWritable`].
    pub fn require_writable(&self) -> Result<()> {
        let tree = &self.dkms_tree;
        if !tree.exists() {
            dkms_sys::fs::create_dir_all(tree).map_err(Error::NotWritable)?;
        }
        dkms_sys::fs::require_writable(tree).map_err(Error::NotWritable)
    }
    /// `M`: contains all versions of one package
    pub fn package_dir(&self, name: &str) -> PathBuf {
        self.dkms_tree.join(name)
    }
    /// `M/V`
    pub fn version_dir(&self, package: &PackageId) -> PathBuf {
        self.dkms_tree.join(&package.name).join(&package.version)
    }
    /// `M/V/source`: the link to the source tree
    pub fn source_link(&self, package: &PackageId) -> PathBuf {
        self.version_dir(package).join("source")
    }
    /// `/usr/src/M-V`
    pub fn source_dir(&self, package: &PackageId) -> PathBuf {
        self.source_tree.join(format!("{}-{}", package.name, package.version))
    }
    /// The `dkms.conf` of a registered package.
    pub fn conf(&self, package: &PackageId) -> PathBuf {
        self.source_link(package).join("dkms.conf")
    }
    /// `M/V/build`: the path used by MAKE lines
    pub fn build_dir(&self, package: &PackageId) -> PathBuf {
        self.version_dir(package).join("build")
    }
    /// `M/V/.log/make-K-A.log`: the log of a failed build, kept until the next build for that kernel.
    pub fn failed_log(&self, build: &Build) -> PathBuf {
        self.version_dir(&build.package)
            .join(".log")
            .join(format!("make-{}-{}.log", build.kernel.release, build.kernel.arch))
    }
    /// `M/V/.log/failed-K-A.inputs`: the inputs of the failed build, and the run of a package manager in
    /// which it failed.
    pub fn failed_inputs(&self, build: &Build) -> PathBuf {
        let name = format!("failed-{}-{}.inputs", build.kernel.release, build.kernel.arch);
        self.version_dir(&build.package).join(".log").join(name)
    }
    /// `M/V/.log/.running-K-A.log`: the log of a running build, in a place where the build itself cannot
    /// write.
    pub fn running_log(&self, build: &Build) -> PathBuf {
        self.version_dir(&build.package)
            .join(".log")
            .join(format!(".running-{}-{}.log", build.kernel.release, build.kernel.arch))
    }
    /// `M/V/K`
    pub fn kernel_dir(&self, build: &Build) -> PathBuf {
        self.version_dir(&build.package).join(&build.kernel.release)
    }
    /// `M/V/K/A`: exists when built
    pub fn built_dir(&self, build: &Build) -> PathBuf {
        self.kernel_dir(build).join(&build.kernel.arch)
    }
    /// `M/V/K/A/module`
    pub fn module_dir(&self, build: &Build) -> PathBuf {
        self.built_dir(build).join("module")
    }
    /// `M/V/K/A/log/make.log`
    pub fn make_log(&self, build: &Build) -> PathBuf {
        self.built_dir(build).join("log").join("make.log")
    }
    /// `M/V/K/A/.manifest.json`
    pub fn manifest(&self, build: &Build) -> PathBuf {
        self.built_dir(build).join(".manifest.json")
    }
    /// `M/V/tarball`
    pub fn tarball_dir(&self, package: &PackageId) -> PathBuf {
        self.version_dir(package).join("tarball")
    }
    /// `M/kernel-K-A`: the link to the installed version
    pub fn active_link(&self, name: &str, kernel: &Kernel) -> PathBuf {
        self.package_dir(name).join(format!("kernel-{}-{}", kernel.release, kernel.arch))
    }
    /// The target of [`Layout::active_link`]: `V/K/A`
    pub fn active_target(&self, build: &Build) -> PathBuf {
        Path::new(&build.package.version).join(&build.kernel.release).join(&build.kernel.arch)
    }
    /// `M/original_module`
    pub fn originals_root(&self, name: &str) -> PathBuf {
        self.package_dir(name).join("original_module")
    }
    /// `M/original_module/K/A`
    pub fn originals_dir(&self, name: &str, kernel: &Kernel) -> PathBuf {
        self.originals_root(name).join(&kernel.release).join(&kernel.arch)
    }
    /// `/lib/modules/K`
    pub fn kernel_modules(&self, release: &str) -> PathBuf {
        self.install_tree.join(release)
    }
    /// `/lib/modules/K/build`
    pub fn kernel_headers(&self, release: &str) -> PathBuf {
        self.kernel_modules(release).join("build")
    }
    /// `/lib/modules/K` + a location such as `/updates/dkms`
    pub fn destination(&self, release: &str, location: &str) -> PathBuf {
        self.kernel_modules(release).join(location.trim_start_matches('/'))
    }
    /// The directory of locks.
    pub fn lock_dir(&self) -> PathBuf {
        self.dkms_tree.join(".lock")
    }
    /// The directory of journals of unfinished changes.
    pub fn journal_dir(&self) -> PathBuf {
        self.dkms_tree.join(".journal")
    }
    /// `.index/K-A`: a cache of data from a kernel's modules, for its index.
    pub fn index_cache(&self, kernel: &Kernel) -> PathBuf {
        self.dkms_tree.join(".index").join(format!("{}-{}", kernel.release, kernel.arch))
    }
    /// `/var/cache/dkms/v1`: the builds for this machine itself.
    pub fn cache(&self) -> PathBuf {
        self.cache_dir.join("v1")
    }
    /// `/var/cache/dkms/roots/v1`: the builds with `--root`.
    pub fn cache_of_roots(&self) -> PathBuf {
        self.cache_dir.join("roots").join("v1")
    }

    /// `.headers/K-A`: the lines about a kernel's headers in fingerprints, and the stamps of the header
    /// files.
    pub fn headers_cache(&self, kernel: &Kernel) -> PathBuf {
        self.dkms_tree.join(".headers").join(format!("{}-{}", kernel.release, kernel.arch))
    }
    /// The directory that records which builds are running.
    pub fn building_dir(&self) -> PathBuf {
        self.dkms_tree.join(".building")
    }
    /// The directory of the pages of `--timings`.
    pub fn timings_dir(&self) -> PathBuf {
        self.dkms_tree.join(".timings")
    }
    /// The file that records which interrupted changes were rolled back or completed.
    pub fn recovery_log(&self) -> PathBuf {
        self.dkms_tree.join(".recovery.log")
    }
    /// `M/V/.build-K-A`: the real directory of a build, if a package is built for several kernels at once.
    /// Each build sees its own directory as `build`.
    pub fn private_build_dir(&self, build: &Build) -> PathBuf {
        self.version_dir(&build.package)
            .join(format!(".build-{}-{}", build.kernel.release, build.kernel.arch))
    }
    /// `post_transaction.log`
    pub fn post_transaction_log(&self) -> PathBuf {
        self.dkms_tree.join("post_transaction.log")
    }
}
