//! Fedora, RHEL and their relatives: dnf 4 and 5, with a cache of its own. rpm checks the signatures.

use super::manager::{self, Manager, failed, is_release};
use crate::error::Result;
use crate::session::Session;
use std::path::{Path, PathBuf};

/// The packages that have a kernel's headers, by the package that has the kernel.
const KERNELS: [(&str, &str); 3] = [
    ("kernel-core", "kernel-devel"),
    ("kernel-uek-core", "kernel-uek-devel"),
    ("kernel-rt-core", "kernel-rt-devel"),
];

pub(super) struct Dnf<'a> {
    s: &'a Session<'a>,
    dir: PathBuf,
}

impl<'a> Dnf<'a> {
    pub(super) fn new(s: &'a Session<'a>, dir: &Path) -> Result<Self> {
        let dir = dir.join("dnf");
        dkms_sys::fs::create_dir_all(dir.join("rpms"))?;
        Ok(Self { s, dir })
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let cache = format!("--setopt=cachedir={}", self.dir.join("cache").display());
        let logs = format!("--setopt=logdir={}", self.dir.join("log").display());
        let mut words = vec!["-q".to_owned(), "-y".to_owned(), cache, logs];
        words.extend(args.iter().map(|&word| word.to_owned()));
        Ok(manager::run(self.s, "dnf", words, &self.dir)?.stdout_text())
    }

    /// Fails unless rpm, with the keys that this system trusts, accepts the signature of a package.
    fn check_signature(&self, package: &Path) -> Result<()> {
        let level = "--define=_pkgverify_level all".to_owned();
        let words = vec!["--checksig".to_owned(), level, package.display().to_string()];
        let said = manager::run(self.s, "rpmkeys", words, &self.dir)?.stdout_text();
        if said.contains("signatures OK") {
            return Ok(());
        }
        Err(failed("rpmkeys --checksig", format!("the package is not signed: {}", said.trim())))
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
        let mut releases = Vec::new();
        for (kernel, _) in KERNELS {
            let format = "--queryformat=%{version}-%{release}.%{arch}\n";
            let text = self.run(&["repoquery", "--upgrades", "--latest-limit=1", format, kernel])?;
            releases.extend(text.lines().map(str::trim).filter(|line| is_release(line)).map(str::to_owned));
        }
        releases.dedup();
        Ok(releases)
    }

    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>> {
        if !is_release(release) {
            return Err(failed("dnf download", format!("'{release}' is not the release of a kernel")));
        }
        let rpms = self.dir.join("rpms");
        for old in manager::files(&rpms, &[".rpm"]) {
            dkms_sys::fs::remove_tree(old)?;
        }
        let to = format!("--destdir={}", rpms.display());
        let mut last = None;
        for (_, headers) in KERNELS {
            match self.run(&["download", &to, &format!("{headers}-{release}")]) {
                Ok(_) if !manager::files(&rpms, &[".rpm"]).is_empty() => break,
                Ok(_) => {}
                Err(e) => last = last.or(Some(e)),
            }
        }
        let packages = manager::files(&rpms, &[".rpm"]);
        if packages.is_empty() {
            return Err(
                last.unwrap_or_else(|| failed("dnf download", format!("no headers of kernel {release}")))
            );
        }
        dkms_sys::fs::create_dir_all(root)?;
        let mut names = Vec::new();
        for package in packages {
            self.check_signature(&package)?;
            let script =
                "rpm2cpio \"$1\" | cpio --extract --make-directories --no-absolute-filenames --quiet";
            let words = ["-c", script, "sh"].map(str::to_owned).into_iter();
            let words = words.chain([package.display().to_string()]).collect();
            manager::run(self.s, "sh", words, root)?;
            names.push(
                package.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            );
        }
        Ok(names)
    }
}
