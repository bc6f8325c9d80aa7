//! Which entries are meant.

use dkms_bundle::record::Record;

/// Selects entries; what is `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// PACKAGE_NAME
    pub package: Option<String>,
    /// PACKAGE_VERSION
    pub version: Option<String>,
    /// Kernel releases; empty: all.
    pub kernels: Vec<String>,
}

impl Filter {
    /// Whether it restricts anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.package.is_none() && self.version.is_none() && self.kernels.is_empty()
    }

    /// Whether it selects this build.
    #[must_use]
    pub fn selects(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
        is(&self.package, &record.package)
            && is(&self.version, &record.version)
            && (self.kernels.is_empty() || self.kernels.contains(&record.kernel))
    }
}
