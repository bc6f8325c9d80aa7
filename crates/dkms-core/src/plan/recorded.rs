//! Reads the dependencies that a build has recorded.

use dkms_tree::ids::Build;
use dkms_tree::layout::Layout;
use std::collections::BTreeMap;

/// Returns the versions of the packages against which a package was built, by name. Builds record them for
/// BUILD_DEPENDS_REBUILD.
pub(super) fn built_against(layout: &Layout, build: &Build) -> BTreeMap<String, String> {
    let dir = layout.built_dir(build);
    let mut versions = BTreeMap::new();
    for file in dkms_sys::fs::list_dir_optional(&dir).unwrap_or_default() {
        let Some(name) = file.to_str().and_then(|file| file.strip_prefix(".dep_")) else { continue };
        if let Ok(version) = dkms_sys::fs::read_text(dir.join(&file), dkms_sys::fs::Limit::CONFIG) {
            versions.insert(name.to_owned(), version.trim().to_owned());
        }
    }
    versions
}
