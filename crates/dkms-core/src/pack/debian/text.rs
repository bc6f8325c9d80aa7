//! The texts of a package: control file, maintainer scripts, changelog, copyright.

use crate::pack::Inside;
use crate::time;
use dkms_tree::ids::{Kernel, PackageId};
use std::path::Path;

/// What a control file says, in the fields that differ.
pub struct Control<'a> {
    /// `Package`
    pub name: &'a str,
    /// `Version`
    pub version: &'a str,
    /// `Architecture`
    pub architecture: &'a str,
    /// `Maintainer`
    pub maintainer: &'a str,
    /// `Depends`
    pub depends: &'a str,
    /// `Conflicts`; empty: none.
    pub conflicts: &'a str,
    /// `Provides`; empty: none.
    pub provides: &'a str,
    /// `Modaliases`; empty: none.
    pub modaliases: &'a str,
    /// First line of the description.
    pub synopsis: &'a str,
    /// Lines of the description.
    pub description: &'a [String],
}

impl Control<'_> {
    /// The control file, in the order in which dpkg-gencontrol has the fields.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut field = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{name}: {value}\n"));
            }
        };
        field("Package", self.name);
        field("Version", self.version);
        field("Architecture", self.architecture);
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

/// `postinst` of a package that dkms builds: what dh_dkms makes do, too.
pub fn dkms_postinst(name: &str, package: &PackageId) -> String {
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

/// `prerm` of a package that dkms builds.
pub fn dkms_prerm(package: &PackageId) -> String {
    let (m, v) = (&package.name, &package.version);
    format!(
        r#"#!/bin/sh
set -e
case $1 in
remove | upgrade | deconfigure)
    if command -v dkms >/dev/null 2>&1 && [ -n "$(dkms status -m {m} -v {v})" ]; then
        dkms remove -m {m} -v {v} --all
    fi
    ;;
esac
"#
    )
}

/// `postinst` (at `configure`) or `postrm` (at `remove`) of a package of modules for one kernel: depmod, where that
/// kernel is, then that kernel's initramfs, where there is one. dpkg's trigger `update-initramfs` is for whoever makes
/// it otherwise than initramfs-tools, which would renew that of the newest kernel alone.
pub fn kernel_script(at: &str, kernel: &Kernel) -> String {
    let k = &kernel.release;
    format!(
        r#"#!/bin/sh
set -e
case $1 in
{at})
    if [ -e /lib/modules/{k}/modules.dep ] || [ -e /lib/modules/{k}/modules.order ]; then
        if [ -e /boot/System.map-{k} ]; then
            depmod -F /boot/System.map-{k} {k}
        else
            depmod {k}
        fi
        if [ -e /boot/initrd.img-{k} ]; then
            if command -v update-initramfs >/dev/null 2>&1; then
                update-initramfs -u -k {k}
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

/// Debian's changelog, with one entry.
pub fn changelog(name: &str, version: &str, action: &str, maintainer: &str, epoch: u64) -> String {
    let date = time::rfc2822(epoch);
    format!(
        "{name} ({version}) unstable; urgency=medium\n\n  * Made by dkms {action}.\n\n -- {maintainer}  {date}\n"
    )
}

/// Files at the top of a source tree that say under which terms it may be used, by the beginning of their names.
const LICENCES: [&str; 4] = ["copying", "licence", "license", "copyright"];

/// The copyright file: what the sources say, and what the modules say. The GPL itself is on every Debian system.
pub fn copyright(package: &PackageId, source: &Path, inside: &Inside) -> Vec<u8> {
    let mut text = format!(
        "This package was made by dkms from {} {}.\nCopyright: its authors, as the sources name them.\n",
        package.name, package.version
    );
    if !inside.licences.is_empty() {
        let all: Vec<&str> = inside.licences.iter().map(String::as_str).collect();
        text.push_str(&format!("\nLicence, as the modules say: {}\n", all.join(", ")));
        // MODULE_LICENSE does not tell "version 2 only" from "or later".
        if inside.licences.iter().any(|l| l.contains("GPL")) {
            text.push_str("The GNU General Public License, version 2: /usr/share/common-licenses/GPL-2\n");
        }
    }
    let mut text = text.into_bytes();
    for file in dkms_sys::fs::list_dir_optional(source).unwrap_or_default() {
        let Some(name) = file.to_str() else { continue };
        if !LICENCES.iter().any(|l| name.to_ascii_lowercase().starts_with(l)) {
            continue;
        }
        let Ok(terms) = dkms_sys::fs::read_bounded(source.join(name), dkms_sys::fs::Limit::CONFIG) else {
            continue;
        };
        text.extend_from_slice(format!("\n--- {name}\n").as_bytes());
        match common_licence(&String::from_utf8_lossy(&terms)) {
            Some(there) => text.extend_from_slice(
                format!("The text is in /usr/share/common-licenses/{there} on Debian systems.\n").as_bytes(),
            ),
            None => text.extend_from_slice(&terms),
        }
    }
    text
}

fn common_licence(text: &str) -> Option<&'static str> {
    let start: String = text.chars().take(400).collect();
    if !start.contains("GNU GENERAL PUBLIC LICENSE") {
        return None;
    }
    [("Version 2", "GPL-2"), ("Version 3", "GPL-3")].iter().find(|(v, _)| start.contains(v)).map(|(_, n)| *n)
}
