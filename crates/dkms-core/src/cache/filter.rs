//! Selects entries of the cache.

use dkms_bundle::record::Record;

/// Selects entries; a field that is `None` does not restrict the selection.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// PACKAGE_NAME
    pub package: Option<String>,
    /// PACKAGE_VERSION
    pub version: Option<String>,
    /// Kernel releases. An empty list selects all kernels.
    pub kernels: Vec<String>,
}

impl Filter {
    /// Returns whether the filter selects all entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.package.is_none() && self.version.is_none() && self.kernels.is_empty()
    }

    /// Returns whether the filter selects this build.
    #[must_use]
    pub fn selects(&self, record: &Record) -> bool {
        let fits =
            |field: &Option<String>, value: &str| field.as_deref().is_none_or(|expected| expected == value);
        fits(&self.package, &record.package)
            && fits(&self.version, &record.version)
            && (self.kernels.is_empty() || self.kernels.contains(&record.kernel))
    }
}
