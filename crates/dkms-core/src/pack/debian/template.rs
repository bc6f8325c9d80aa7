//! Packages from the user's own template, built with dpkg-buildpackage, as in dkms 2.6.1: `M-dkms-mkdeb` in
//! the source tree or `template-dkms-mkdeb` in `/etc/dkms`, a directory with a Makefile and `debian/`.

use super::planned::Planned;
use crate::error::Result;
use crate::event::Sink;
use crate::pack::{self, Request, tarball};
use crate::program::ProgramError;
use crate::system::System;
use crate::time;
use dkms_sys::fs::{self, TempDir};
use dkms_sys::process::{self, Command};
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// A template and the package to build from it.
pub(super) struct Template<'a> {
    path: PathBuf,
    /// `mkdeb`, `mkdsc` or `mkbmdeb`.
    action: &'a str,
    request: &'a Request<'a>,
}

/// The template for an action, if there is one: the module's template takes precedence over the machine's.
pub(super) fn find<'a>(layout: &Layout, request: &'a Request<'a>, action: &'a str) -> Option<Template<'a>> {
    let own = layout.source_link(request.package).join(format!("{}-dkms-{action}", request.package.name));
    let places = [own, layout.config_dir.join(format!("template-dkms-{action}"))];
    let path = places.into_iter().find(|p| p.join("debian/rules").is_file())?;
    Some(Template { path, action, request })
}

impl Template<'_> {
    /// Builds a package from a template in a temporary directory, and moves it to its place: the directory and
    /// the name of the file.
    ///
    /// # Errors
    /// dpkg-buildpackage is missing, fails, or produces no package; a file cannot be copied.
    pub(super) fn build(
        &self,
        system: &System,
        sink: &dyn Sink,
        planned: &Planned,
        kernels: &[Kernel],
        (directory, name): (PathBuf, PathBuf),
        epoch: u64,
    ) -> Result<PathBuf> {
        let Some(program) = process::which("dpkg-buildpackage", &system.host.path) else {
            return Err(ProgramError::Missing {
                program: "dpkg-buildpackage".into(),
                purpose: format!("follow the template {}", self.path.display()),
                package: "dpkg-dev, with debhelper and fakeroot".into(),
            }
            .into());
        };
        tarball::require_writable(&directory)?;
        let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-deb")?;
        let top = scratch.path().join(format!("{}-dkms-{}", planned.base, planned.version));
        self.prepare(system, sink, planned, kernels, &top, epoch)?;
        let what = if self.action == "mkdsc" { "-S" } else { "-b" };
        let mut command = Command::new(program).args(["-d", what, "-us", "-uc"]);
        if process::which("fakeroot", &system.host.path).is_some() {
            command = command.arg("-rfakeroot");
        }
        let shown = command.display();
        pack::tool(system, sink, command.cwd(&top), &shown, epoch, pack::last_line)?;
        let named = self.request.named.map(|_| name);
        take(scratch.path(), &directory, self.action, named).transpose().unwrap_or_else(|| {
            let template = self.path.display();
            let reason = format!("it ended well and made no package; see the template {template}");
            Err(ProgramError::Failed { command: shown, cause: reason.into() }.into())
        })
    }

    /// Copies the template to `top`, and replaces the placeholders DEBIAN_PACKAGE, MODULE_NAME, MODULE_VERSION,
    /// KERNEL_VERSION, DEBIAN_BUILD_ARCH and DATE_STAMP in its files of `debian/`. Next to `debian/` it puts, as
    /// the template's Makefile expects, the source (`M-V/`, not for `mkbmdeb`), the built modules
    /// (`M-V.dkms.tar.gz`) and `common.postinst`.
    fn prepare(
        &self,
        system: &System,
        sink: &dyn Sink,
        planned: &Planned,
        kernels: &[Kernel],
        top: &Path,
        epoch: u64,
    ) -> Result<()> {
        let package = self.request.package;
        sink.warn_left_out(&fs::copy_tree(fs::canonicalize(&self.path)?, top)?);
        let words = [
            ("DEBIAN_PACKAGE", planned.base.as_str()),
            ("MODULE_NAME", &package.name),
            ("MODULE_VERSION", &package.version),
            ("KERNEL_VERSION", kernels.first().map_or("", |kernel| kernel.release.as_str())),
            ("DEBIAN_BUILD_ARCH", planned.architecture),
            ("DATE_STAMP", &time::rfc2822(epoch)),
        ];
        fill_in(&top.join("debian"), &words)?;
        let name = format!("{}-{}", package.name, package.version);
        if self.request.with_source() && self.action != "mkbmdeb" {
            let source = fs::canonicalize(system.layout.source_link(package))?;
            sink.warn_left_out(&fs::copy_tree(source, top.join(&name))?);
        }
        if !kernels.is_empty() {
            let archive = top.join(format!("{name}.dkms.tar.gz"));
            tarball::write_modules(system, package, kernels, &archive, epoch)?;
        }
        let postinst = Path::new("/usr/lib/dkms/common.postinst");
        if postinst.is_file() {
            fs::copy_file(postinst, top.join("common.postinst"))?;
        }
        Ok(())
    }
}

/// Replaces the placeholders in the files of a template, and makes `rules` and scripts executable.
fn fill_in(debian: &Path, words: &[(&str, &str)]) -> Result<()> {
    for name in fs::list_dir(debian)? {
        let path = debian.join(&name);
        if !fs::is_real_file(&path) {
            continue;
        }
        let Ok(mut text) = String::from_utf8(fs::read_bounded(&path, fs::Limit::CONFIG)?) else { continue };
        for (word, value) in words {
            text = text.replace(word, value);
        }
        let mode = if name == "rules" || text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::write_atomic(&path, text.as_bytes(), mode)?;
    }
    Ok(())
}

/// Copies the packages in `from` to their directory: the first one as `name`, if given. The source archives
/// that a `.dsc` names are copied along with it.
fn take(from: &Path, directory: &Path, action: &str, name: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let mut taken = None;
    let wanted = if action == "mkdsc" { "dsc" } else { "deb" };
    for file in fs::list_dir(from)? {
        let package = Path::new(&file).extension().is_some_and(|e| e == wanted);
        let sources = action == "mkdsc" && file.to_string_lossy().contains(".tar.");
        if !package && !sources {
            continue;
        }
        let to = match &name {
            Some(name) if package && taken.is_none() => directory.join(name),
            _ => directory.join(&file),
        };
        let bytes = fs::read_bounded(from.join(&file), fs::Limit::CONFIG)?;
        fs::write_atomic(&to, &bytes, 0o644)?;
        if package {
            taken.get_or_insert(to);
        }
    }
    Ok(taken)
}
