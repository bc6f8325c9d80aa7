//! Limits the paths that a change may touch: the dkms tree, the directory of the kernel that an operation
//! changes, and the signing key, which may be elsewhere. No journal, record or link in a tree can lead to
//! other paths.

use super::op::{Op, aside};
use crate::beneath::{self, Trees};
use crate::error::{Error, Outside, Result};
use crate::ids::Kernel;
use dkms_sys::fs::{Last, find_escape};
use std::path::{Path, PathBuf};

/// The words that are used with [`aside`].
const WORDS: [&str; 5] = ["link", "moving", "new", "old", "text"];

/// Finds the files of the signing key for a kernel.
type FindKeys<'a> = Box<dyn Fn(&Kernel) -> Vec<PathBuf> + 'a>;

/// Decides which paths operations may touch.
pub struct Reach<'a> {
    trees: Trees<'a>,
    find_keys: FindKeys<'a>,
}

impl<'a> Reach<'a> {
    /// Allows paths in these trees. `find_keys` is called for a path that is in neither of them. It returns
    /// the files that contain the signing key or will contain it.
    pub fn new(trees: Trees<'a>, find_keys: impl Fn(&Kernel) -> Vec<PathBuf> + 'a) -> Self {
        Self { trees, find_keys: Box::new(find_keys) }
    }

    /// Returns the first path of an operation that is not allowed, with the reason; `None` if all are
    /// allowed.
    ///
    /// # Errors
    /// A directory or link on the path cannot be examined.
    pub fn stray(&self, kernel: &Kernel, op: &Op) -> Result<Option<(PathBuf, Outside)>> {
        for path in op.touched() {
            if let Some(why) = self.leaves(kernel, path)? {
                return Ok(Some((path.to_owned(), why)));
            }
        }
        Ok(None)
    }

    /// Refuses a batch that would change a path that is not allowed.
    ///
    /// # Errors
    /// [`Error::LeavesTree`], with the first such path.
    pub fn refuse_strays(&self, kernel: &Kernel, ops: &[Op]) -> Result<()> {
        ops.iter().try_for_each(|op| match self.stray(kernel, op)? {
            Some((path, outside)) => Err(Error::LeavesTree { path, outside }),
            None => Ok(()),
        })
    }

    fn leaves(&self, kernel: &Kernel, path: &Path) -> Result<Option<Outside>> {
        let layout = self.trees.layout;
        let Some(in_kernel) = beneath::kernel_escape(self.trees, &kernel.release, path, Last::Name)? else {
            return Ok(None);
        };
        let Some(in_tree) = find_escape(&layout.dkms_tree, path, Last::Name)? else { return Ok(None) };
        // Report a link that points out of a tree, because that is the more precise reason.
        if let Some(link) = [in_kernel, in_tree].into_iter().find(|escape| escape.target.is_some()) {
            return Ok(Some(link.into()));
        }
        if self.is_signing_key(kernel, path) {
            return Ok(None);
        }
        let (tree, modules) = (layout.dkms_tree.clone(), layout.kernel_modules(&kernel.release));
        Ok(Some(Outside::Neither { tree, modules }))
    }

    /// `dkms mok rotate` replaces the key at the path in framework.conf. The framework.conf of another root
    /// is not trusted for this.
    fn is_signing_key(&self, kernel: &Kernel, path: &Path) -> bool {
        if self.trees.other_root {
            return false;
        }
        let files = (self.find_keys)(kernel);
        files.iter().any(|file| file == path || WORDS.iter().any(|word| aside(file, word) == path))
    }
}
