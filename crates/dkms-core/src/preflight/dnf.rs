//! Fedora, RHEL and their derivatives: dnf 4 and 5, with a separate cache. rpm checks the signatures.
//!
//! The packages of kernels and headers have different names (kernel-core, kernel-rt-core, kernel-64k-core).
//! But all packages of kernels provide `kernel-uname-r = K`, and all packages of headers
//! `kernel-devel-uname-r = K`.

use super::manager::{self, Manager, failed, is_release};
use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_sys::fs::Limit;
use std::path::{Path, PathBuf};

/// The names that kernels and their headers provide. Those of Oracle's kernel differ.
const PROVIDED: [(&str, &str); 2] =
    [("kernel-uname-r", "kernel-devel-uname-r"), ("kernel-uek-uname-r", "kernel-uek-devel-uname-r")];

/// The directories of repository configurations; a later file overrides an earlier file.
const REPOSITORIES: [&str; 4] =
    ["/usr/share/dnf5/repos.d", "/etc/yum/repos.d", "/etc/distro.repos.d", "/etc/yum.repos.d"];

/// The directory that overrides all of them: `dnf config-manager setopt` of dnf 5.
const OVERRIDES: &str = "/etc/dnf/repos.override.d";

pub(super) struct Dnf<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    dir: PathBuf,
}

/// A package in a repository.
struct Package {
    name: String,
    repository: String,
}

impl<'a> Dnf<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, dir: &Path) -> Result<Self> {
        let dir = dir.join("dnf");
        dkms_sys::fs::create_dir_all(dir.join("rpms"))?;
        Ok(Self { system, sink, dir })
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let cache = format!("--setopt=cachedir={}", self.dir.join("cache").display());
        let logs = format!("--setopt=logdir={}", self.dir.join("log").display());
        let words = ["-q", "-y", &cache, &logs].into_iter().chain(args.iter().copied());
        Ok(manager::run(&self.system.host, "dnf", words, &self.dir)?.stdout_text())
    }

    /// Returns the names of the installed packages of kernels.
    fn kernels(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (kernel, _) in PROVIDED {
            let words = ["repoquery", "--installed", "--queryformat=%{name}\n", "--whatprovides", kernel];
            names.extend(lines(&self.run(&words)?));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Finds the package with the headers of a kernel.
    fn find_headers(&self, release: &str) -> Result<Package> {
        for (_, headers) in PROVIDED {
            let provided = format!("{headers} = {release}");
            let format = "--queryformat=%{name}-%{evr}.%{arch} %{repoid}\n";
            let words = ["repoquery", "--latest-limit=1", format, "--whatprovides", &provided];
            let text = self.run(&words)?;
            if let Some((name, repository)) = text.lines().find_map(|line| line.trim().split_once(' ')) {
                return Ok(Package { name: name.to_owned(), repository: repository.to_owned() });
            }
        }
        Err(failed("dnf repoquery", format!("no package provides kernel-devel-uname-r = {release}")))
    }

    fn download(&self, package: &Package) -> Result<Vec<PathBuf>> {
        let rpms = self.dir.join("rpms");
        manager::remove_files(&rpms, ".rpm")?;
        let to = format!("--destdir={}", rpms.display());
        self.run(&["download", &to, &package.name]).map_err(|e| {
            // In dnf 4, this command is part of a plugin.
            if self.run(&["download", "--help"]).is_ok() {
                return e;
            }
            let reason = "this dnf has no command \"download\"; install dnf-plugins-core";
            failed("dnf download", reason.to_owned())
        })?;
        Ok(manager::files(&rpms, ".rpm"))
    }

    /// Checks the signature of a package with the keys that this system trusts. As for `dnf install`,
    /// packages of a repository with `gpgcheck=0` do not need a signature.
    fn check_signature(&self, file: &Path, package: &Package) -> Result<()> {
        let check = |level: &str| {
            let words = ["--checksig".as_ref(), level.as_ref(), file.as_os_str()];
            manager::run(&self.system.host, "rpmkeys", words, &self.dir)
        };
        let Err(e) = check("--define=_pkgverify_level all") else { return Ok(()) };
        if !may_be_unsigned(&package.repository) {
            return Err(e);
        }
        check("--define=_pkgverify_level digest")?;
        let Package { name, repository } = package;
        self.sink.warn(format!(
            "no trusted signature on {name}; the configuration of the repository {repository} does not \
             require one (gpgcheck=0)"
        ));
        Ok(())
    }
}

impl Manager for Dnf<'_> {
    fn name(&self) -> &'static str {
        "dnf"
    }

    fn refresh(&self) -> Result<()> {
        self.run(&["makecache"]).map(|_| ())
    }

    fn offered(&self) -> Result<Vec<String>> {
        let kernels = self.kernels()?;
        if kernels.is_empty() {
            return Ok(kernels);
        }
        let mut words = vec!["repoquery", "--upgrades", "--latest-limit=1", "--provides"];
        words.extend(kernels.iter().map(String::as_str));
        let text = self.run(&words)?;
        let mut releases: Vec<String> =
            text.lines().filter_map(provided_release).map(str::to_owned).collect();
        releases.sort();
        releases.dedup();
        Ok(releases)
    }

    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>> {
        manager::require_release("dnf download", release)?;
        let package = self.find_headers(release)?;
        let files = self.download(&package)?;
        if files.is_empty() {
            return Err(failed("dnf download", format!("did not download {}", package.name)));
        }
        for file in &files {
            self.check_signature(file, &package)?;
            manager::unpack_rpm(&self.system.host, file, root)?;
        }
        Ok(vec![package.name])
    }
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned)
}

/// Returns the kernel in a line `kernel-uname-r = K` of the names that a package provides.
fn provided_release(line: &str) -> Option<&str> {
    let (name, release) = line.trim().split_once(" = ")?;
    PROVIDED.iter().any(|(kernel, _)| *kernel == name).then_some(release).filter(|r| is_release(r))
}

/// Returns whether the configuration of a repository, or else that of dnf, disables the signature check.
fn may_be_unsigned(repository: &str) -> bool {
    let dirs = REPOSITORIES.iter().chain([&OVERRIDES]);
    let repositories = dirs.flat_map(|dir| manager::files(Path::new(dir), ".repo"));
    let value = |file: PathBuf, section: &str| {
        let text = dkms_sys::fs::read_text(file, Limit::CONFIG).ok()?;
        gpgcheck(&text, section)
    };
    let own_value = repositories.rev().find_map(|file| value(file, repository));
    own_value.or_else(|| value("/etc/dnf/dnf.conf".into(), "main")) == Some(false)
}

/// Returns the setting `gpgcheck` in a section of a configuration file of dnf.
fn gpgcheck(text: &str, section: &str) -> Option<bool> {
    let mut current = "";
    let mut setting = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| current == section) {
            if matches!(key.trim(), "gpgcheck" | "pkg_gpgcheck") {
                setting = Some(!matches!(&*value.trim().to_lowercase(), "0" | "false" | "no" | "off"));
            }
        }
    }
    setting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_that_packages_provide() {
        assert_eq!(provided_release("kernel-uname-r = 6.1.2-3.fc42.x86_64"), Some("6.1.2-3.fc42.x86_64"));
        assert_eq!(
            provided_release("kernel-uname-r = 5.14.0-9.el9.x86_64+rt"),
            Some("5.14.0-9.el9.x86_64+rt")
        );
        assert_eq!(provided_release("kernel-core = 6.1.2-3.fc42"), None);
        assert_eq!(provided_release("kernel-uname-r = ../x"), None);
        assert_eq!(provided_release("installonlypkg(kernel)"), None);
    }

    #[test]
    fn settings_of_repositories() {
        let text = "[main]\ngpgcheck=1\n[local]\nname=x\n gpgcheck = False\n[other]\n#gpgcheck=0\n";
        assert_eq!(gpgcheck(text, "main"), Some(true));
        assert_eq!(gpgcheck(text, "local"), Some(false));
        assert_eq!(gpgcheck(text, "other"), None);
        assert_eq!(gpgcheck(text, "absent"), None);
    }
}
