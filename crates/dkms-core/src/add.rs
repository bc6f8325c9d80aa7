//! Registers package versions in the tree.

use crate::conf::load;
use crate::error::Result;
use crate::event::{Event, Sink};
use crate::hooks::{self, Script};
use crate::origin::error::OriginError;
use crate::package::PackageError;
use crate::program::ProgramError;
use crate::request::Overrides;
use crate::system::System;
use dkms_conf::Severity;
use dkms_sys::fs;
use dkms_tree::ids::{Kernel, PackageId};
use dkms_tree::layout::Layout;
use dkms_tree::state::{self, Breakage, Registration};
use std::path::Path;

/// Registers a package version whose source is in `/usr/src/M-V`. Its dkms.conf is checked for `kernel`.
///
/// # Errors
/// It is registered already; it has no source; its dkms.conf is invalid; POST_ADD failed.
pub fn add(
    system: &System,
    sink: &dyn Sink,
    package: &PackageId,
    kernel: &Kernel,
    overrides: Overrides,
) -> Result<()> {
    if overrides.rpm_safe_upgrade {
        // This comes first: in an upgrade to another release of the same version, that version is registered
        // already.
        crate::rpm_upgrade::remember(&system.settings, sink, package)?;
    }
    refuse_unless_addable(&system.layout, package)?;
    let source = system.layout.source_dir(package);
    if !source.is_dir() {
        return Err(OriginError::SourceMissing(source).into());
    }
    let conf = system.settings.conf_file.clone().unwrap_or_else(|| source.join("dkms.conf"));
    let loaded = load::load_file(system, sink, &conf, Some(package), kernel)?.strict()?;
    for warning in loaded.of(Severity::Warning) {
        let line = warning.at.as_ref().map_or_else(String::new, |at| format!(":{}", at.line));
        let help = if warning.help.is_empty() { String::new() } else { format!(" ({})", warning.help) };
        sink.warn(format!("{}{line}: {}{help}", warning.path.display(), warning.message));
    }
    if let Some(named) = named_by_conf(package, &loaded.conf.package_name, &loaded.conf.package_version) {
        sink.warn(format!(
            "{} is the dkms.conf of {named}, and is registered as {package}\n\
             unless that is intended: dkms remove {package} --all; dkms add {named}",
            conf.display()
        ));
    }
    register(system, sink, package, &source)?;
    sink.event(Event::Added { package: package.clone(), source: source.clone() });
    post_add(system, sink, package, loaded.conf.post_add.as_deref())
}

fn post_add(system: &System, sink: &dyn Sink, package: &PackageId, line: Option<&str>) -> Result<()> {
    let Some(line) = line.filter(|l| !l.is_empty()) else { return Ok(()) };
    let source = system.layout.source_link(package);
    let environment = hooks::variables(package, None);
    let script = Script { directive: "POST_ADD", line, directory: &source, environment: &environment };
    match hooks::run(system, sink, package, &script)? {
        Some(status) if !status.success() => Err(ProgramError::ScriptFailed {
            package: package.clone(),
            directive: "POST_ADD",
            command: line.to_owned(),
            status: status.to_string(),
            code: status.code_for_shell(),
            log: None,
        }
        .into()),
        _ => Ok(()),
    }
}

/// Returns the package that dkms.conf names, if the command line splits the same NAME-VERSION at another
/// hyphen.
fn named_by_conf(package: &PackageId, name: &str, version: &str) -> Option<PackageId> {
    let named = PackageId::new(name, version).ok()?;
    has_same_source_name(package, &named).then_some(named)
}

/// Returns whether the sources of two packages have the same name NAME-VERSION.
fn has_same_source_name(first: &PackageId, second: &PackageId) -> bool {
    let name = |package: &PackageId| format!("{}-{}", package.name, package.version);
    first != second && name(first) == name(second)
}

/// Creates `M/V` with `build/` and `source`, with a single rename.
fn register(system: &System, sink: &dyn Sink, package: &PackageId, source: &Path) -> Result<()> {
    let _held = crate::lock::build(system, sink, package)?;
    let version = system.layout.version_dir(package);
    fs::create_dir_all(system.layout.package_dir(&package.name))?;
    if version.is_dir() {
        // The package is broken: only its link is replaced, and its builds are kept.
        fs::create_dir_all(version.join("build"))?;
        fs::symlink_replace(source, system.layout.source_link(package))?;
    } else {
        let staged = system.layout.package_dir(&package.name).join(format!(".{}.adding", package.version));
        fs::remove_tree(&staged)?;
        fs::create_dir_all(staged.join("build"))?;
        fs::symlink(source, staged.join("source"))?;
        fs::rename(&staged, &version)?;
    }
    fs::sync_dir(system.layout.package_dir(&package.name))?;
    Ok(())
}

/// Returns the package that the dkms.conf in a directory names.
///
/// # Errors
/// [`OriginError::DirectoryWithoutConf`], or an invalid dkms.conf.
pub fn identify(system: &System, sink: &dyn Sink, directory: &Path, kernel: &Kernel) -> Result<PackageId> {
    let conf = directory.join("dkms.conf");
    if !conf.exists() {
        return Err(OriginError::DirectoryWithoutConf(directory.to_owned()).into());
    }
    let loaded = load::load_file(system, sink, &conf, None, kernel)?.strict()?;
    Ok(PackageId::new(&loaded.conf.package_name, &loaded.conf.package_version)?)
}

/// Fails if a package is broken: only `add` may change it.
///
/// # Errors
/// [`PackageError::Broken`].
pub fn refuse_broken(layout: &Layout, package: &PackageId) -> Result<()> {
    if !layout.version_dir(package).is_dir() {
        return Ok(());
    }
    let what = match state::breakage(layout, package) {
        None => return Ok(()),
        Some(Breakage::LinkMissing) => {
            format!("the link {} is missing", layout.source_link(package).display())
        }
        Some(Breakage::TargetMissing) => {
            let link = layout.source_link(package);
            match fs::read_link(&link) {
                Ok(target) => format!("its source {} is gone", target.display()),
                Err(_) => format!("{} is neither a directory nor a link to one", link.display()),
            }
        }
    };
    Err(PackageError::Broken { package: package.clone(), what }.into())
}

/// Fails if a package is not registered.
///
/// # Errors
/// [`PackageError::Broken`], [`PackageError::NotAdded`], [`PackageError::OtherSplit`].
pub fn require_added(layout: &Layout, package: &PackageId) -> Result<()> {
    refuse_broken(layout, package)?;
    match state::registration(layout, package) {
        Registration::Added => Ok(()),
        _ => Err(not_added(layout, package).into()),
    }
}

/// Returns the error for a package that is not registered. It names the registered package with another split
/// of the same NAME-VERSION, if there is one.
fn not_added(layout: &Layout, package: &PackageId) -> PackageError {
    let package = package.clone();
    match state::all_packages(layout).into_iter().find(|other| has_same_source_name(&package, other)) {
        Some(added) => PackageError::OtherSplit { package, added },
        None => PackageError::NotAdded(package),
    }
}

/// Fails if a package is registered, because it cannot be added again.
///
/// # Errors
/// [`PackageError::AlreadyAdded`].
pub fn refuse_unless_addable(layout: &Layout, package: &PackageId) -> Result<()> {
    match state::registration(layout, package) {
        Registration::Added => Err(PackageError::AlreadyAdded(package.clone()).into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_place_of_the_source_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { dkms_tree: dir.path().to_owned(), ..Layout::default() };
        let foo = PackageId::new("foo", "1.0").unwrap();
        fs::create_dir_all(layout.version_dir(&foo)).unwrap();
        std::fs::write(layout.source_link(&foo), "").unwrap();
        let error = refuse_broken(&layout, &foo).unwrap_err().to_string();
        assert!(error.contains("source is neither a directory nor a link to one"), "{error}");
    }

    #[test]
    fn a_wrong_split_of_name_and_version() {
        let package = |text: &str| {
            let (name, version) = text.split_once('/').unwrap();
            PackageId::new(name, version).unwrap()
        };
        // The command line, dkms.conf, and whether a warning is reported.
        for (requested, conf, is_reported) in [
            ("foo-bar/1.0", "foo/bar-1.0", true),
            ("foo/bar-1.0", "foo-bar/1.0", true),
            ("a/b-c-1", "a-b-c/1", true),
            ("foo-bar/1.0", "foo-bar/1.0", false),
            // If the names differ in more than the split, there is no warning, as in dkms 3.x.
            ("foo-bar/1.0", "foo/1.0", false),
            ("foo/1.0", "Foo/1.0", false),
            ("foo/1.0", "foo/2.0", false),
        ] {
            let (name, version) = conf.split_once('/').unwrap();
            let named = named_by_conf(&package(requested), name, version);
            assert_eq!(named, is_reported.then(|| package(conf)), "{requested} {conf}");
        }
        assert_eq!(named_by_conf(&package("foo/1.0"), "", "foo-1.0"), None);
    }
}
