//! Metadata of the built modules of a package.

use super::modules;
use crate::error::Result;
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::layout::Layout;
use kmodule::ModuleName;
use std::collections::{BTreeMap, BTreeSet};

/// The metadata of the modules of one or more builds.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// The aliases by which hardware requests the modules, keyed by the kernel's name for each module.
    pub aliases: BTreeMap<String, BTreeSet<String>>,
    /// MODULE_VERSION, if set, with the same keys.
    pub versions: BTreeMap<String, String>,
    /// The values of MODULE_LICENSE.
    pub licences: BTreeSet<String>,
}

impl Metadata {
    /// Reads the modules built for these kernels.
    ///
    /// # Errors
    /// A kernel has no build, or a file is not a module.
    pub(crate) fn read(layout: &Layout, package: &PackageId, kernels: &[Kernel]) -> Result<Self> {
        let mut metadata = Self::default();
        for kernel in kernels {
            for (file, module) in modules::read_build(layout, &Build::new(package, kernel))? {
                let name = String::from(ModuleName::new(&file.name));
                let aliases = module.modinfo.aliases().map(str::to_owned);
                metadata.aliases.entry(name.clone()).or_default().extend(aliases);
                metadata.versions.extend(module.modinfo.version().map(|version| (name, version.to_owned())));
                metadata.licences.extend(module.modinfo.license().map(str::to_owned));
            }
        }
        Ok(metadata)
    }

    /// Returns the value of the field `Modaliases` of Ubuntu's driver packages, which ubuntu-drivers reads:
    /// `NAME(ALIAS, ALIAS), NAME(ALIAS)`. An alias that contains a comma or a bracket cannot be written in
    /// this form and is left out.
    pub(crate) fn modaliases(&self) -> String {
        let writable = |alias: &&String| {
            !alias.is_empty()
                && !alias.contains(|c: char| ",()".contains(c) || c.is_whitespace() || c.is_control())
        };
        let alias_list = |(name, aliases): (&String, &BTreeSet<String>)| {
            let list: Vec<&str> = aliases.iter().filter(writable).map(String::as_str).collect();
            (!list.is_empty()).then(|| format!("{name}({})", list.join(", ")))
        };
        self.aliases.iter().filter_map(alias_list).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modaliases_have_the_form_that_ubuntu_drivers_reads() {
        let mut metadata = Metadata::default();
        let set = |all: &[&str]| all.iter().map(|a| (*a).to_owned()).collect();
        metadata.aliases.insert("a".into(), set(&["pci:v1d*", "usb:v2*", "of:N*T*Cx,y", ""]));
        metadata.aliases.insert("b".into(), set(&["acpi*:X:*"]));
        metadata.aliases.insert("c".into(), set(&[]));
        assert_eq!(metadata.modaliases(), "a(pci:v1d*, usb:v2*), b(acpi*:X:*)");
    }
}
