//! openSUSE and SLES: zypper, with a separate cache. It checks the signatures itself.
//!
//! The release of a kernel consists of the version of its package, without the number of the rebuild, and the
//! flavor: the release of kernel-default 6.4.0-150600.21.1 is `6.4.0-150600.21-default`. The version does not
//! show which of its parts is the number of the rebuild, so the release is read from the headers.

use super::manager::{self, Manager, failed, is_release};
use crate::error::Result;
use crate::system::System;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The maximum number of packages that contain the headers of a kernel.
const MAX_PACKAGES: usize = 20;

pub(super) struct Zypper<'a> {
    system: &'a System,
    dir: PathBuf,
}

impl<'a> Zypper<'a> {
    pub(super) fn new(system: &'a System, dir: &Path) -> Result<Self> {
        let dir = dir.join("zypper");
        dkms_sys::fs::create_dir_all(dir.join("cache"))?;
        Ok(Self { system, dir })
    }

    /// Runs zypper without the locks and log files of the system.
    fn run(&self, args: &[&str]) -> Result<String> {
        let command = manager::command_of_root(&self.system.host, "zypper", &self.dir)
            .args(["--non-interactive", "--xmlout", "--cache-dir"])
            .arg(self.dir.join("cache"))
            .args(args.iter().copied())
            .env("ZYPP_LOCKFILE_ROOT", &self.dir)
            .env("ZYPP_LOGFILE", "/dev/null");
        Ok(manager::finish(command)?.stdout_text())
    }

    /// Returns the flavors of the installed kernels.
    fn flavors(&self) -> BTreeSet<String> {
        let names = dkms_sys::fs::list_dir_optional(&self.system.layout.install_tree).unwrap_or_default();
        names.iter().filter_map(|name| flavor(name.to_str()?)).map(str::to_owned).collect()
    }

    /// Downloads a package, and returns the file. `package` is `NAME=VERSION`.
    fn download(&self, package: &str) -> Result<PathBuf> {
        let text = self.run(&["--no-refresh", "download", package])?;
        let path = elements(&text, "localfile").find_map(|element| attribute(element, "path"));
        let file = path.map(PathBuf::from).filter(|file| dkms_sys::fs::is_file(file));
        file.ok_or_else(|| failed("zypper download", format!("did not download {package}")))
    }

    /// Queries a package file with `rpm -qp OPTION`.
    fn rpm_query(&self, option: &str, file: &Path) -> Result<String> {
        let words = ["-qp".as_ref(), "--nosignature".as_ref(), option.as_ref(), file.as_os_str()];
        Ok(manager::run(&self.system.host, "rpm", words, &self.dir)?.stdout_text())
    }

    /// Returns the release of the kernel whose headers a package contains.
    fn release_of(&self, file: &Path) -> Result<String> {
        let text = self.rpm_query("--list", file)?;
        let release = |line: &str| {
            let path = line.trim_start_matches("/usr").strip_prefix("/lib/modules/")?;
            path.split_once('/').map(|(release, _)| release.to_owned())
        };
        let found = text.lines().find_map(release).filter(|r| is_release(r));
        found.ok_or_else(|| failed("rpm -qp --list", format!("{} has no headers", file.display())))
    }

    /// Returns the versions of a package of headers that may contain the headers of a kernel, newest first.
    fn editions(&self, package: &str, release: &str) -> Result<Vec<String>> {
        let words = ["--no-refresh", "search", "-s", "-x", "--type", "package", package];
        let text = self.run(&words)?;
        let matching_package = |element: &str| {
            let edition = attribute(element, "edition")?;
            (attribute(element, "name")? == package && has_release(edition, release))
                .then(|| edition.to_owned())
        };
        Ok(elements(&text, "solvable").filter_map(matching_package).collect())
    }

    /// Returns a package of headers, and the parts of the headers that it depends on, each with its file.
    /// Compilers are not included, because those of this machine are used.
    fn with_dependencies(&self, package: &str, file: PathBuf) -> Result<Vec<(String, PathBuf)>> {
        let mut packages = vec![(package.to_owned(), file)];
        let mut next = 0;
        while let Some((_, file)) = packages.get(next) {
            let text = self.rpm_query("--requires", file)?;
            for part in text.lines().filter_map(part_of_headers) {
                if packages.len() < MAX_PACKAGES && !packages.iter().any(|(known, _)| *known == part) {
                    let file = self.download(&part)?;
                    packages.push((part, file));
                }
            }
            next += 1;
        }
        Ok(packages)
    }
}

impl Manager for Zypper<'_> {
    fn name(&self) -> &'static str {
        "zypper"
    }

    fn refresh(&self) -> Result<()> {
        self.run(&["refresh"]).map(|_| ())
    }

    fn offered(&self) -> Result<Vec<String>> {
        let flavors = self.flavors();
        let text = self.run(&["--no-refresh", "list-updates"])?;
        let mut releases = Vec::new();
        for element in elements(&text, "update") {
            let (Some(name), Some(edition)) = (attribute(element, "name"), attribute(element, "edition"))
            else {
                continue;
            };
            if name.strip_prefix("kernel-").is_some_and(|flavor| flavors.contains(flavor)) {
                let file = self.download(&format!("{name}-devel={edition}"))?;
                releases.push(self.release_of(&file)?);
            }
        }
        Ok(releases)
    }

    fn headers(&self, release: &str, root: &Path) -> Result<Vec<String>> {
        let Some(flavor) = flavor(release).filter(|_| is_release(release)) else {
            return Err(manager::not_a_release("zypper download", release));
        };
        let name = format!("kernel-{flavor}-devel");
        for edition in self.editions(&name, release)? {
            let package = format!("{name}={edition}");
            let file = self.download(&package)?;
            if self.release_of(&file)? != release {
                continue;
            }
            let packages = self.with_dependencies(&package, file)?;
            for (_, file) in &packages {
                manager::unpack_rpm(&self.system.host, file, root)?;
            }
            return Ok(packages.into_iter().map(|(package, _)| package).collect());
        }
        Err(failed("zypper search", format!("no package {name} has the headers of kernel {release}")))
    }
}

/// Returns the flavor in the release of a kernel: its last part.
fn flavor(release: &str) -> Option<&str> {
    release.rsplit_once('-').map(|(_, flavor)| flavor).filter(|flavor| !flavor.is_empty())
}

/// Returns whether a package with this version may contain a kernel.
fn has_release(edition: &str, release: &str) -> bool {
    let Some((version, _)) = release.rsplit_once('-') else { return false };
    edition.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns the package in a dependency such as `kernel-devel = 6.4.0-150600.21.1` in the format of zypper, if
/// it is a part of the headers.
fn part_of_headers(line: &str) -> Option<String> {
    let (name, edition) = line.trim().split_once(" = ")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._+~".contains(c);
    let is_part = name.starts_with("kernel-") && name.chars().all(legal) && edition.chars().all(legal);
    is_part.then(|| format!("{name}={edition}"))
}

/// Returns the tags with this name in the XML output of zypper.
fn elements<'t>(xml: &'t str, name: &'t str) -> impl Iterator<Item = &'t str> {
    xml.split('<').filter_map(move |tag| tag.strip_prefix(name)?.strip_prefix(' ')?.split('>').next())
}

/// Returns an attribute of a tag. Escaped characters are not supported, because the attributes that dkms
/// reads contain none.
fn attribute<'t>(element: &'t str, name: &str) -> Option<&'t str> {
    let rest = element.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix("=\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_of_zypper() {
        let xml = "<update-list>\n<update kind=\"package\" name=\"kernel-default\" edition=\"6.1-1\" \
                   arch=\"x86_64\" edition-old=\"6.0-1\"><summary>x</summary><source url=\"a\"/></update>";
        let updates: Vec<&str> = elements(xml, "update").collect();
        assert_eq!(updates.len(), 1);
        assert_eq!(attribute(updates[0], "name"), Some("kernel-default"));
        assert_eq!(attribute(updates[0], "edition"), Some("6.1-1"));
        assert_eq!(attribute(updates[0], "absent"), None);
    }

    #[test]
    fn versions_of_kernels() {
        assert!(has_release("6.4.0-150600.21.1", "6.4.0-150600.21-default"));
        assert!(has_release("6.4.0-150600.21", "6.4.0-150600.21-default"));
        assert!(!has_release("6.4.0-150600.211.1", "6.4.0-150600.21-default"));
        assert!(!has_release("6.4.0-1", "6"));
        assert_eq!(part_of_headers("kernel-devel = 6.4.0-1.1").as_deref(), Some("kernel-devel=6.4.0-1.1"));
        assert_eq!(part_of_headers("gcc = 12"), None);
        assert_eq!(part_of_headers("kernel-macros"), None);
    }
}
