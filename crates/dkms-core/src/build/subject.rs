//! The package and the kernel of a build, for steps that can also run without a build.

use super::target::Target;
use crate::conf::load::Loaded;
use crate::event::Sink;
use crate::system::System;
use dkms_tree::ids::Build;

/// A build that is planned, previewed or running.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub system: &'a System,
    pub sink: &'a dyn Sink,
    pub target: &'a Target,
    pub build: &'a Build,
    pub loaded: &'a Loaded,
    /// Whether digests that take long to compute may be stored in the dkms tree.
    pub store_digests: bool,
}
