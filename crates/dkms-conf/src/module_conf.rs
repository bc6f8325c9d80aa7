//! A package's directives with types, and their problems.
//!
//! The rules are those of dkms 3.4 (`read_conf`, `read_conf_strict`). A value that it refuses is a
//! `Severity::Error`, with `strict_only` if only add, build and install refuse it.

mod check;
mod read;
mod select;

pub use read::MAX_MODULES;
pub use select::{BadRegex, KernelFacts};

use std::collections::BTreeMap;

/// The values of an array directive by index; empty ones are left out.
pub type Entries = BTreeMap<usize, String>;

/// A package's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleConf {
    /// PACKAGE_NAME; empty if missing (which is a problem).
    pub package_name: String,
    /// PACKAGE_VERSION; empty if missing (which is a problem).
    pub package_version: String,
    /// One entry per module, from index 0 to the highest index of the four name and location arrays.
    pub modules: Vec<ModuleEntry>,
    /// The packages of BUILD_DEPENDS, in order.
    pub build_depends: Vec<String>,
    /// BUILD_DEPENDS_REBUILD.
    pub build_depends_rebuild: bool,
    /// AUTOINSTALL.
    pub autoinstall: bool,
    /// NO_WEAK_MODULES.
    pub no_weak_modules: bool,
    /// POST_ADD, if not empty.
    pub post_add: Option<String>,
    /// PRE_BUILD, if not empty.
    pub pre_build: Option<String>,
    /// POST_BUILD, if not empty.
    pub post_build: Option<String>,
    /// PRE_INSTALL, if not empty.
    pub pre_install: Option<String>,
    /// POST_INSTALL, if not empty.
    pub post_install: Option<String>,
    /// POST_REMOVE, if not empty.
    pub post_remove: Option<String>,
    /// OBSOLETE_BY, if not empty.
    pub obsolete_by: Option<String>,
    /// MAKE.
    pub make: Entries,
    /// MAKE_MATCH.
    pub make_match: Entries,
    /// PATCH, file names in `patches/`.
    pub patch: Entries,
    /// PATCH_MATCH.
    pub patch_match: Entries,
    /// BUILD_EXCLUSIVE_*.
    pub exclusive: Exclusive,
    /// CONFINE*.
    pub confine: Confine,
    /// CACHE=no: builds do not come from the cache of builds and are not stored in it.
    pub no_cache: bool,
}

/// The permissions that the administrator gives to the builds of a package. Only the files in `/etc/dkms` are
/// used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confine {
    /// CONFINE=off: the builds are not confined.
    pub off: bool,
    /// CONFINE_NETWORK=yes: the builds may use the network.
    pub network: bool,
    /// CONFINE_WRITE: absolute paths that the builds may write to, besides their build directory.
    pub write: Vec<String>,
}

/// The five tables of BUILD_EXCLUSIVE. Index 0 applies to the whole package and to module 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusive {
    /// BUILD_EXCLUSIVE_KERNEL: regular expressions.
    pub kernel: Entries,
    /// BUILD_EXCLUSIVE_KERNEL_MIN: versions.
    pub kernel_min: Entries,
    /// BUILD_EXCLUSIVE_KERNEL_MAX: versions. OBSOLETE_BY is the value at 0 if it is not set otherwise.
    pub kernel_max: Entries,
    /// BUILD_EXCLUSIVE_ARCH: regular expressions.
    pub arch: Entries,
    /// BUILD_EXCLUSIVE_CONFIG: options separated by blanks; `!` before an option means "must not be set".
    pub config: Entries,
}

/// One module of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleEntry {
    /// Its index in the arrays.
    pub index: usize,
    /// BUILT_MODULE_NAME, without `.ko`.
    pub built_name: String,
    /// BUILT_MODULE_LOCATION: "" or with a trailing '/'.
    pub built_location: String,
    /// DEST_MODULE_NAME, without `.ko`.
    pub dest_name: String,
    /// DEST_MODULE_LOCATION as written; distributions override it.
    pub dest_location: String,
    /// Whether to strip debugging symbols.
    pub strip: bool,
}

#[cfg(test)]
mod tests;
