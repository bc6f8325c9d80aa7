//! The package, kernel and target of a build, for steps that need no running build.

use super::target::Target;
use crate::conf::load::Loaded;
use crate::event::Sink;
use crate::system::System;
use dkms_tree::ids::Build;

/// The build whose inputs are described.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub system: &'a System,
    pub sink: &'a dyn Sink,
    pub target: &'a Target,
    pub build: &'a Build,
    pub loaded: &'a Loaded,
    /// Whether expensive digests may be cached in the dkms tree.
    pub keep: bool,
}
