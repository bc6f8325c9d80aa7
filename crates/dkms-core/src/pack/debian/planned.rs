//! The names of a package to be written.

/// A package to be written.
pub(super) struct Planned {
    /// The module's name in Debian's form.
    pub(super) base: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: &'static str,
}

impl Planned {
    pub(super) fn file(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version, self.architecture)
    }
}
