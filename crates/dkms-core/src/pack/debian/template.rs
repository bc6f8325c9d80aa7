//! Packages from the user's own template, built with dpkg-buildpackage, as in dkms 2.6.1: `M-dkms-mkdeb` in
//! the source tree or `template-dkms-mkdeb` in `/etc/dkms`, a directory with a Makefile and `debian/`.

use super::names::DebNames;
use crate::error::Result;
use crate::pack::output::{directory, require_writable};
use crate::pack::packer::{Packer, last_line};
use crate::pack::{Request, tarball};
use crate::program::ProgramError;
use crate::time;
use dkms_sys::fs;
use dkms_sys::process::{self, Command};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// A template and the package to build from it.
pub(super) struct Template<'a> {
    path: PathBuf,
    /// `mkdeb`, `mkdsc` or `mkbmdeb`.
    action: &'a str,
    request: &'a Request<'a>,
}

/// Finds the template for an action: the package's own takes precedence over the administrator's.
pub(super) fn find<'a>(layout: &Layout, request: &'a Request<'a>, action: &'a str) -> Option<Template<'a>> {
    let shipped = layout.source_link(request.package).join(format!("{}-dkms-{action}", request.package.name));
    let places = [shipped, layout.config_dir.join(format!("template-dkms-{action}"))];
    let path = places.into_iter().find(|p| p.join("debian/rules").is_file())?;
    Some(Template { path, action, request })
}

impl Template<'_> {
    /// Builds a package from a template in a temporary directory, and copies it to the directory of `path`;
    /// to `path` itself if `--archive` is given.
    ///
    /// # Errors
    /// dpkg-buildpackage is missing, fails, or produces no package; a file cannot be copied.
    pub(super) fn build(&self, packer: &Packer<'_>, names: &DebNames, path: &Path) -> Result<PathBuf> {
        let purpose = format!("follow the template {}", self.path.display());
        let package = "dpkg-dev, with debhelper and fakeroot";
        let program = packer.find_program("dpkg-buildpackage", &purpose, package)?;
        require_writable(directory(path))?;
        let scratch = packer.scratch("dkms-deb")?;
        let top = scratch.path().join(format!("{}-dkms-{}", names.module, names.version));
        self.prepare(packer, names, &top)?;
        let kind = if self.action == "mkdsc" { "-S" } else { "-b" };
        let mut command = Command::new(program).args(["-d", kind, "-us", "-uc"]);
        if process::which("fakeroot", &packer.system.host.path).is_some() {
            command = command.arg("-rfakeroot");
        }
        let shown = command.display();
        packer.run(command.cwd(&top), &shown, last_line)?;
        match self.copy_packages(scratch.path(), path)? {
            Some(package) => Ok(packer.report_written(package)),
            None => {
                let template = self.path.display();
                let reason = format!("it succeeded but produced no package; see the template {template}");
                Err(ProgramError::Failed { command: shown, cause: reason.into() }.into())
            }
        }
    }

    /// Copies the template to `top`, and replaces the placeholders DEBIAN_PACKAGE, MODULE_NAME,
    /// MODULE_VERSION, KERNEL_VERSION, DEBIAN_BUILD_ARCH and DATE_STAMP in the files of its `debian/`. The
    /// template's Makefile expects these files next to `debian/`: the source (`M-V/`, not for `mkbmdeb`), the
    /// built modules (`M-V.dkms.tar.gz`) and `common.postinst`.
    fn prepare(&self, packer: &Packer<'_>, names: &DebNames, top: &Path) -> Result<()> {
        let (package, kernels) = (self.request.package, self.request.binaries());
        let copy_tree = |from: PathBuf, to: PathBuf| -> Result<()> {
            packer.sink.warn_left_out(&fs::copy_tree(from, to)?);
            Ok(())
        };
        copy_tree(fs::canonicalize(&self.path)?, top.to_owned())?;
        let values = [
            ("DEBIAN_PACKAGE", names.module.as_str()),
            ("MODULE_NAME", &package.name),
            ("MODULE_VERSION", &package.version),
            ("KERNEL_VERSION", kernels.first().map_or("", |kernel| kernel.release.as_str())),
            ("DEBIAN_BUILD_ARCH", names.architecture),
            ("DATE_STAMP", &time::rfc2822(packer.epoch)),
        ];
        replace_placeholders(&top.join("debian"), &values)?;
        let name = format!("{}-{}", package.name, package.version);
        if self.request.with_source() && self.action != "mkbmdeb" {
            copy_tree(self.request.source_dir(&packer.system.layout)?, top.join(&name))?;
        }
        if !kernels.is_empty() {
            let archive = top.join(format!("{name}.dkms.tar.gz"));
            tarball::write_modules(packer, self.request, &archive)?;
        }
        let postinst = Path::new("/usr/lib/dkms/common.postinst");
        if postinst.is_file() {
            fs::copy_file(postinst, top.join("common.postinst"))?;
        }
        Ok(())
    }

    /// Copies the packages in `from` to the directory of `path`: the first one to `path` itself if
    /// `--archive` is given. Copies the source archives that a `.dsc` names, too. Returns the path of the
    /// first package.
    fn copy_packages(&self, from: &Path, path: &Path) -> Result<Option<PathBuf>> {
        let suffix = if self.action == "mkdsc" { "dsc" } else { "deb" };
        let mut first = None;
        for file in fs::list_dir(from)? {
            let is_package = Path::new(&file).extension().is_some_and(|end| end == suffix);
            let is_source = self.action == "mkdsc" && file.to_string_lossy().contains(".tar.");
            if !is_package && !is_source {
                continue;
            }
            let is_named = self.request.archive.is_some() && is_package && first.is_none();
            let to = if is_named { path.to_owned() } else { directory(path).join(&file) };
            let bytes = fs::read_bounded(from.join(&file), fs::Limit::CONFIG)?;
            fs::write_atomic(&to, &bytes, 0o644)?;
            if is_package {
                first.get_or_insert(to);
            }
        }
        Ok(first)
    }
}

/// Replaces the placeholders in the files of a template, and makes `rules` and scripts executable.
fn replace_placeholders(debian: &Path, values: &[(&str, &str)]) -> Result<()> {
    for name in fs::list_dir(debian)? {
        let path = debian.join(&name);
        if !fs::is_real_file(&path) {
            continue;
        }
        let Ok(mut text) = String::from_utf8(fs::read_bounded(&path, fs::Limit::CONFIG)?) else { continue };
        for (placeholder, value) in values {
            text = text.replace(placeholder, value);
        }
        let mode = if name == "rules" || text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::write_atomic(&path, text.as_bytes(), mode)?;
    }
    Ok(())
}
