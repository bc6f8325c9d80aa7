//! The facts about the tree and the kernels that planning needs.

use super::order::{Candidate, Order};
use super::steps::Outlook;
use crate::error::Error;
use crate::event::LastBuild;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::state::BuildState;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The facts that are known before a plan is executed.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The builds in the request, and those that depend on them.
    pub builds: BTreeMap<Build, BuildFacts>,
    /// The kernels of these builds.
    pub kernels: BTreeMap<Kernel, KernelFacts>,
    /// Packages that are not removed from the tree, because they are built for other kernels.
    pub kept: BTreeSet<PackageId>,
}

/// The facts about a package version and a kernel.
#[derive(Clone, Debug)]
pub struct BuildFacts {
    /// Whether it is built or installed.
    pub state: BuildState,
    /// Whether the link of the installed version points to it, even if its modules are missing.
    pub is_active: bool,
    /// Whether there are built files, even if they are incomplete.
    pub has_files: bool,
    /// Whether its package version is registered.
    pub is_added: bool,
    /// BUILD_DEPENDS.
    pub depends: Vec<String>,
    /// Its dependencies that are not installed.
    pub missing: Vec<String>,
    /// The versions of the packages that it was built against, by name (BUILD_DEPENDS_REBUILD).
    pub built_against: BTreeMap<String, String>,
    /// CACHE=no: it is always compiled.
    pub no_cache: bool,
    /// The reason why it cannot be built, other than missing dependencies: BUILD_EXCLUSIVE, an invalid
    /// configuration, or missing headers.
    pub obstacle: Option<Arc<Error>>,
    /// The last build of its package.
    pub last: Option<LastBuild>,
    /// The estimated work of building it, in seconds.
    pub weight: f64,
    /// The expected outcome of installing the present build.
    pub outlook: Outlook,
    /// The module files that installing it would change.
    pub installs: Vec<PathBuf>,
    /// The module files that uninstalling it would change, or the reason why it cannot be uninstalled.
    pub uninstalls: Result<Vec<PathBuf>, Arc<Error>>,
}

impl Default for BuildFacts {
    fn default() -> Self {
        Self {
            state: BuildState::NotBuilt,
            is_active: false,
            has_files: false,
            is_added: true,
            depends: Vec::new(),
            missing: Vec::new(),
            built_against: BTreeMap::new(),
            no_cache: false,
            obstacle: None,
            last: None,
            weight: 0.0,
            outlook: Outlook::Changes,
            installs: Vec::new(),
            uninstalls: Ok(Vec::new()),
        }
    }
}

/// The facts about a kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelFacts {
    /// `/lib/modules/K`.
    pub directory: PathBuf,
    /// Whether the directory exists.
    pub exists: bool,
    /// Whether depmod is run when its modules change.
    pub runs_depmod: bool,
    /// `post_transaction` of framework.conf.
    pub post_transaction: Option<String>,
    /// The key and the certificate that its first build creates, because they do not exist.
    pub missing_key: Option<(String, PathBuf)>,
    /// The installed version of each package, by name.
    pub installed: BTreeMap<String, String>,
    /// For an autoinstall: the newest version of every package.
    pub candidates: Vec<Candidate>,
    /// For an autoinstall with `fallback=yes`: the older versions of each package, newest first.
    pub older: BTreeMap<String, Vec<PackageId>>,
    /// For an autoinstall: the names of all packages in the tree.
    pub known: Vec<String>,
    /// Package versions whose configuration cannot be read. It is unknown whether to install or remove them.
    pub unclear: Vec<(PackageId, Arc<Error>)>,
}

impl KernelFacts {
    /// Determines the order of an autoinstall.
    #[must_use]
    pub fn order(&self) -> Order {
        super::order::autoinstall(&self.candidates, &self.known)
    }
}
