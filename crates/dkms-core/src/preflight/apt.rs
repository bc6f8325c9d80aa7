//! Debian and its derivatives: apt, with a separate configuration and separate lists of packages.

use super::manager::{self, Manager, is_release};
use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_sys::fs::Limit;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The maximum number of packages that contain the headers of a kernel.
const MAX_PACKAGES: usize = 20;

pub(super) struct Apt<'a> {
    system: &'a System,
    sink: &'a dyn Sink,
    dir: PathBuf,
}

impl<'a> Apt<'a> {
    pub(super) fn new(system: &'a System, sink: &'a dyn Sink, dir: &Path) -> Result<Self> {
        let dir = dir.join("apt");
        for name in ["lists/partial", "cache/archives/partial", "debs"] {
            dkms_sys::fs::create_dir_all(dir.join(name))?;
        }
        if let Some((uid, gid)) = download_user().filter(|_| dkms_sys::sys::effective_uid() == 0) {
            for name in ["lists/partial", "cache/archives/partial", "debs"] {
                dkms_sys::fs::set_owner(dir.join(name), uid, gid)?;
            }
        }
        dkms_sys::fs::write_atomic(dir.join("apt.conf"), configuration(&dir).as_bytes(), 0o644)?;
        Ok(Self { system, sink, dir })
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let command = manager::command(&self.system.host, program, &self.dir.join("debs"));
        let done =
            manager::finish(command.arg("-c").arg(self.dir.join("apt.conf")).args(args.iter().copied()))?;
        for line in
            done.stderr_text().lines().filter(|line| line.starts_with("W: ") || line.starts_with("E: "))
        {
            self.sink.warn(format!("{program}: {line}"));
        }
        Ok(done.stdout_text())
    }

    /// Returns a package of headers, and the parts of the headers that it depends on. Compilers are not
    /// included, because those of this machine are used.
    fn with_dependencies(&self, package: &str) -> Result<Vec<String>> {
        let mut packages = BTreeSet::from([package.to_owned()]);
        let mut open = vec![package.to_owned()];
        while let Some(next) = open.pop() {
            let text = self.run("apt-cache", &["depends", "--important", &next])?;
            for name in text.lines().filter_map(dependency) {
                if packages.len() < MAX_PACKAGES && packages.insert(name.to_owned()) {
                    open.push(name.to_owned());
                }
            }
        }
        Ok(packages.into_iter().collect())
    }
}

impl Manager for Apt<'_> {
    fn name(&self) -> &'static str {
        "apt"
    }

    fn refresh(&self) -> Result<()> {
        self.run("apt-get", &["-q", "update"]).map(|_| ())
    }

    fn offered(&self) -> Result<Vec<String>> {
        let text = self.run("apt-get", &["-q", "--simulate", "full-upgrade"])?;
        let mut releases: Vec<String> =
            text.lines().filter_map(installed_kernel).map(str::to_owned).collect();
        releases.dedup();
        Ok(releases)
    }

    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>> {
        manager::require_release("apt-get download", release)?;
        let debs = self.dir.join("debs");
        manager::remove_files(&debs, ".deb")?;
        let packages = self.with_dependencies(&format!("linux-headers-{release}"))?;
        let mut words = vec!["-q", "download"];
        words.extend(packages.iter().map(String::as_str));
        self.run("apt-get", &words)?;
        dkms_sys::fs::create_dir_all(root)?;
        let mut names = Vec::new();
        for deb in manager::files(&debs, ".deb") {
            let args = ["-x".as_ref(), deb.as_os_str(), root.as_os_str()];
            manager::run(&self.system.host, "dpkg-deb", args, &debs)?;
            let name = deb.file_stem().unwrap_or_default().to_string_lossy();
            names.push(name.split('_').take(2).collect::<Vec<_>>().join("="));
        }
        Ok(names)
    }
}

/// Returns the settings that differ from apt's own configuration: apt uses our directories, takes no lock of
/// the system, and runs no hooks.
fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    let hooks = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"];
    let cleared: String = hooks.iter().map(|hook| format!("#clear {hook};\n")).collect();
    format!(
        "{cleared}Dir::State::Lists \"{dir}/lists/\";\nDir::Cache \"{dir}/cache/\";\n\
         Dir::Cache::archives \"archives/\";\nDebug::NoLocking \"true\";\n"
    )
}

/// Returns the user and the group that apt uses for downloads.
fn download_user() -> Option<(u32, u32)> {
    let text = dkms_sys::fs::read_text("/etc/passwd", Limit::CONFIG).ok()?;
    let line = text.lines().find(|line| line.starts_with("_apt:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Returns the kernel in a line `Inst linux-image-6.1.0-57-amd64 [...] (...)` of a simulation.
fn installed_kernel(line: &str) -> Option<&str> {
    let package = line.strip_prefix("Inst ")?.split(' ').next()?.split(':').next()?;
    let release = package.strip_prefix("linux-image-")?;
    let release = release.strip_prefix("unsigned-").unwrap_or(release);
    let release = release.strip_suffix("-unsigned").unwrap_or(release);
    (is_release(release) && release.contains('.') && !release.ends_with("-dbg")).then_some(release)
}

/// Returns the package in a line `  Depends: linux-kbuild-6.1` of apt-cache, if it is a part of the headers.
fn dependency(line: &str) -> Option<&str> {
    let name = line.trim_start().trim_start_matches('|').strip_prefix("Depends: ")?;
    let is_part =
        name.starts_with("linux-") && !name.starts_with("linux-image-") && !name.starts_with("linux-libc");
    is_part.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_apt() {
        assert_eq!(
            installed_kernel("Inst linux-image-6.1.0-57-amd64 (6.1.1-1 Debian:12 [amd64])"),
            Some("6.1.0-57-amd64")
        );
        assert_eq!(
            installed_kernel("Inst linux-image-6.8.0-45-generic [1] (2 Ubuntu)"),
            Some("6.8.0-45-generic")
        );
        assert_eq!(installed_kernel("Inst linux-image-6.1.0-57-amd64-unsigned (x)"), Some("6.1.0-57-amd64"));
        assert_eq!(installed_kernel("Inst linux-image-amd64 [6.1] (6.2)"), None);
        assert_eq!(installed_kernel("Inst linux-image-6.1.0-57-amd64-dbg (x)"), None);
        assert_eq!(installed_kernel("Conf linux-image-6.1.0-57-amd64 (x)"), None);
        assert_eq!(dependency("  Depends: linux-kbuild-6.1"), Some("linux-kbuild-6.1"));
        assert_eq!(dependency(" |Depends: linux-image-6.1.0-57-amd64"), None);
        assert_eq!(dependency("  Depends: gcc-12"), None);
        assert_eq!(dependency("linux-headers-6.1.0-57-amd64"), None);
    }
}
