//! The text files of a package: control file, maintainer scripts, changelog, copyright.

use super::names::DebNames;
use crate::pack::metadata::Metadata;
use crate::time;
use dkms_sys::fs;
use dkms_tree::ids::{Kernel, PackageId};
use std::path::Path;

/// The fields of a control file that differ between packages.
pub(super) struct Control<'a> {
    /// `Package`, `Version` and `Architecture`
    pub names: &'a DebNames,
    /// `Maintainer`
    pub maintainer: &'a str,
    /// `Depends`
    pub depends: &'a str,
    /// `Conflicts`; may be empty.
    pub conflicts: &'a str,
    /// `Provides`; may be empty.
    pub provides: &'a str,
    /// `Modaliases`; may be empty.
    pub modaliases: &'a str,
    /// The first line of the description.
    pub synopsis: &'a str,
    /// The other lines of the description.
    pub description: &'a [String],
}

impl Control<'_> {
    /// Returns the control file, with the fields in the order of dpkg-gencontrol.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut field = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{name}: {value}\n"));
            }
        };
        field("Package", &self.names.package);
        field("Version", &self.names.version);
        field("Architecture", self.names.architecture);
        field("Maintainer", self.maintainer);
        field("Depends", self.depends);
        field("Conflicts", self.conflicts);
        field("Provides", self.provides);
        field("Section", "kernel");
        field("Priority", "optional");
        field("Modaliases", self.modaliases);
        field("Description", self.synopsis);
        for line in self.description {
            text.push_str(&format!(" {line}\n"));
        }
        text
    }
}

/// Returns the `postinst` of a package that dkms builds. It does the same as the script that dh_dkms
/// generates.
pub(super) fn dkms_postinst(name: &str, package: &PackageId) -> String {
    format!(
        r#"#!/bin/sh
set -e
case $1 in
configure)
    if [ ! -x /usr/lib/dkms/common.postinst ]; then
        echo "{name}: the package dkms is not complete: /usr/lib/dkms/common.postinst is missing" >&2
        exit 1
    fi
    /usr/lib/dkms/common.postinst {} {} /usr/share/{name} "" "$2"
    ;;
esac
"#,
        package.name, package.version
    )
}

/// Returns the `prerm` of a package that dkms builds.
pub(super) fn dkms_prerm(package: &PackageId) -> String {
    let (name, version) = (&package.name, &package.version);
    format!(
        r#"#!/bin/sh
set -e
case $1 in
remove | upgrade | deconfigure)
    if command -v dkms >/dev/null 2>&1 && [ -n "$(dkms status -m {name} -v {version})" ]; then
        dkms remove -m {name} -v {version} --all
    fi
    ;;
esac
"#
    )
}

/// Returns the `postinst` (for the argument `configure`) or `postrm` (for `remove`) of a package of modules
/// for one kernel. The script runs depmod if that kernel is installed, then updates the kernel's initramfs if
/// there is one. It uses dpkg's trigger `update-initramfs` only on systems without initramfs-tools: with
/// initramfs-tools, the trigger would update only the newest kernel.
pub(super) fn kernel_script(argument: &str, kernel: &Kernel) -> String {
    let release = &kernel.release;
    format!(
        r#"#!/bin/sh
set -e
case $1 in
{argument})
    if [ -e /lib/modules/{release}/modules.dep ] || [ -e /lib/modules/{release}/modules.order ]; then
        if [ -e /boot/System.map-{release} ]; then
            depmod -F /boot/System.map-{release} {release}
        else
            depmod {release}
        fi
        if [ -e /boot/initrd.img-{release} ]; then
            if command -v update-initramfs >/dev/null 2>&1; then
                update-initramfs -u -k {release}
            else
                dpkg-trigger --no-await update-initramfs
            fi
        fi
    fi
    ;;
esac
"#
    )
}

/// Returns a Debian changelog with one entry.
pub(super) fn changelog(names: &DebNames, action: &str, maintainer: &str, epoch: u64) -> String {
    let (name, version, date) = (&names.package, &names.version, time::rfc2822(epoch));
    format!(
        "{name} ({version}) unstable; urgency=medium\n\n  * Made by dkms {action}.\n\n -- {maintainer}  {date}\n"
    )
}

/// Name prefixes of licence files at the top of a source tree.
const LICENCES: [&str; 4] = ["copying", "licence", "license", "copyright"];

/// Returns the copyright file: the licences of the modules, and the licence files of the source. Instead of
/// the text of the GPL, it names the file that every Debian system has.
pub(super) fn copyright(package: &PackageId, source: &Path, metadata: &Metadata) -> Vec<u8> {
    let mut text = format!(
        "This package was made by dkms from {} {}.\nCopyright: its authors, as the sources name them.\n",
        package.name, package.version
    );
    if !metadata.licences.is_empty() {
        let all: Vec<&str> = metadata.licences.iter().map(String::as_str).collect();
        text.push_str(&format!("\nLicence, as the modules say: {}\n", all.join(", ")));
        // MODULE_LICENSE does not distinguish "version 2 only" from "or later".
        if metadata.licences.iter().any(|l| l.contains("GPL")) {
            text.push_str("The GNU General Public License, version 2: /usr/share/common-licenses/GPL-2\n");
        }
    }
    let mut text = text.into_bytes();
    for file in fs::list_dir_optional(source).unwrap_or_default() {
        let Some(name) = file.to_str() else { continue };
        if !LICENCES.iter().any(|licence| name.to_ascii_lowercase().starts_with(licence)) {
            continue;
        }
        let Ok(terms) = fs::read_bounded(source.join(name), fs::Limit::CONFIG) else { continue };
        text.extend_from_slice(format!("\n--- {name}\n").as_bytes());
        match common_licence(&String::from_utf8_lossy(&terms)) {
            Some(file) => text.extend_from_slice(
                format!("The text is in /usr/share/common-licenses/{file} on Debian systems.\n").as_bytes(),
            ),
            None => text.extend_from_slice(&terms),
        }
    }
    text
}

/// Returns the file in `/usr/share/common-licenses` that has the same text, if it is a version of the GPL.
fn common_licence(text: &str) -> Option<&'static str> {
    let start: String = text.chars().take(400).collect();
    if !start.contains("GNU GENERAL PUBLIC LICENSE") {
        return None;
    }
    [("Version 2", "GPL-2"), ("Version 3", "GPL-3")].iter().find(|(v, _)| start.contains(v)).map(|(_, n)| *n)
}
