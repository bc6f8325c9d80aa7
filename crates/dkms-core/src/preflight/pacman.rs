//! Arch and its derivatives: pacman, with a separate database. A kernel's release differs from the version of
//! its package, so it is read from the headers.

use super::manager::{self, Manager, failed};
use crate::error::Result;
use crate::system::System;
use dkms_sys::IoError;
use dkms_sys::fs::Limit;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) struct Pacman<'a> {
    system: &'a System,
    dir: PathBuf,
}

impl<'a> Pacman<'a> {
    pub(super) fn new(system: &'a System, dir: &Path) -> Result<Self> {
        let dir = dir.join("pacman");
        for name in ["db", "cache"] {
            dkms_sys::fs::create_dir_all(dir.join(name))?;
        }
        let local = dir.join("db/local");
        std::os::unix::fs::symlink("/var/lib/pacman/local", &local)
            .map_err(|e| IoError::new("create", &local, e))?;
        Ok(Self { system, dir })
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let command = manager::command_of_root(&self.system.host, "pacman", &self.dir)
            .arg("--dbpath")
            .arg(self.dir.join("db"))
            .arg("--cachedir")
            .arg(self.dir.join("cache"))
            .args(["--logfile", "/dev/null", "--noconfirm"])
            .args(args.iter().copied());
        Ok(manager::finish(command)?.stdout_text())
    }

    /// Returns the names of the packages of the installed kernels. They are in the kernels' directories.
    fn kernels(&self) -> Vec<String> {
        let tree = &self.system.layout.install_tree;
        let base_of_release = |release: &std::ffi::OsString| {
            let text = dkms_sys::fs::read_text(tree.join(release).join("pkgbase"), Limit::CONFIG).ok()?;
            let name = text.trim();
            let legal = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
            (!name.is_empty() && !name.starts_with('-') && name.chars().all(legal)).then(|| name.to_owned())
        };
        let releases = dkms_sys::fs::list_dir_optional(tree).unwrap_or_default();
        let packages: BTreeSet<String> = releases.iter().filter_map(base_of_release).collect();
        packages.into_iter().collect()
    }

    /// Downloads the headers of a kernel's package, and returns the file.
    fn download(&self, kernel: &str) -> Result<PathBuf> {
        let package = format!("{kernel}-headers");
        // -dd skips the dependencies, which are not needed because nothing is installed.
        let text = self.run(&["-Sddp", &package])?;
        self.run(&["-Sddw", &package])?;
        let name = text.lines().rev().find_map(|line| line.trim().rsplit('/').next().map(str::to_owned));
        let file = self.dir.join("cache").join(name.unwrap_or_default());
        if dkms_sys::fs::is_file(&file) {
            Ok(file)
        } else {
            Err(failed("pacman -Sw", format!("no {package}")))
        }
    }

    /// Returns the release of the kernel whose headers a package contains.
    fn release_of(&self, file: &Path) -> Result<String> {
        let words = ["-tf".as_ref(), file.as_os_str()];
        let text = manager::run(&self.system.host, "bsdtar", words, &self.dir)?.stdout_text();
        let release =
            |line: &str| line.strip_prefix("usr/lib/modules/")?.split_once('/').map(|(r, _)| r.to_owned());
        let found = text.lines().find_map(release).filter(|r| manager::is_release(r));
        found.ok_or_else(|| failed("bsdtar -t", format!("{} has no headers", file.display())))
    }
}

impl Manager for Pacman<'_> {
    fn name(&self) -> &'static str {
        "pacman"
    }

    fn refresh(&self) -> Result<()> {
        self.run(&["-Sy"]).map(|_| ())
    }

    fn offered(&self) -> Result<Vec<String>> {
        let installed = self.kernels();
        let text = self.run(&["-Sup", "--print-format", "%n"])?;
        let upgraded =
            text.lines().map(str::trim).filter(|name| installed.iter().any(|kernel| kernel == name));
        upgraded.map(|kernel| self.download(kernel).and_then(|file| self.release_of(&file))).collect()
    }

    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>> {
        for kernel in self.kernels() {
            let Ok(file) = self.download(&kernel) else { continue };
            if self.release_of(&file)? != release {
                continue;
            }
            dkms_sys::fs::create_dir_all(root)?;
            let words = ["-xf".as_ref(), file.as_os_str(), "-C".as_ref(), root.as_os_str()];
            manager::run(&self.system.host, "bsdtar", words, &self.dir)?;
            return Ok(vec![file.file_name().unwrap_or_default().to_string_lossy().into_owned()]);
        }
        Err(failed("pacman -Sw", format!("no package has the headers of kernel {release}")))
    }
}
