//! Packages from the user's own spec file, as in dkms 2.6.1: `M-dkms-mkrpm.spec` in the source tree, or
//! `template-dkms-mkrpm.spec` in `/etc/dkms`.

use super::build::{Kind, Rpmbuild};
use super::{names, spec};
use crate::error::Result;
use crate::pack::metadata::Metadata;
use crate::pack::{Content, Request};
use dkms_sys::fs;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// Finds the spec file to use: the package's own takes precedence over the administrator's.
pub(super) fn find(layout: &Layout, request: &Request<'_>) -> Option<PathBuf> {
    let shipped =
        layout.source_link(request.package).join(format!("{}-dkms-mkrpm.spec", request.package.name));
    [shipped, layout.config_dir.join("template-dkms-mkrpm.spec")].into_iter().find(|p| p.exists())
}

/// Runs rpmbuild on the spec file. As in 2.6.1, it gets the macros `module_name`, `version`,
/// `kernel_versions` (releases, separated by blanks) and `mktarball_line` (the options of mktarball for these
/// kernels, or `none`), and a program that prints the aliases. It also gets the path of the tree
/// (`_dkmsdir`), and `source_only` and `binaries_only` if requested. The sources include the source tree
/// (`M-V/`) and `common.postinst`.
///
/// # Errors
/// rpmbuild fails or creates no package; a file cannot be copied.
pub(super) fn build(
    rpmbuild: &mut Rpmbuild<'_>,
    request: &Request<'_>,
    metadata: &Metadata,
    template: &Path,
) -> Result<Vec<PathBuf>> {
    let system = rpmbuild.packer.system;
    let (module, version) = (&request.package.name, &request.package.version);
    if request.with_source() {
        let source = request.source_dir(&system.layout)?;
        let left_out = fs::copy_tree(source, rpmbuild.source(format!("{module}-{version}")))?;
        rpmbuild.packer.sink.warn_left_out(&left_out);
    }
    let postinst = Path::new("/usr/lib/dkms/common.postinst");
    if postinst.is_file() {
        fs::copy_file(postinst, rpmbuild.source("common.postinst"))?;
    }
    let mut releases: Vec<&str> = request.binaries().iter().map(|k| k.release.as_str()).collect();
    if releases.is_empty() {
        releases.push(&system.host.release);
    }
    let aliases = spec::modaliases(metadata, &names::version(version)?);
    let provides = write_provides_program(rpmbuild, &aliases)?;
    for (name, value) in [
        ("version", version.as_str()),
        ("module_name", module.as_str()),
        ("kernel_versions", releases.join(" ").as_str()),
        ("mktarball_line", mktarball_line(&system.layout, request).as_str()),
        ("_dkmsdir", system.layout.dkms_tree.to_string_lossy().as_ref()),
        ("__find_provides", provides.to_string_lossy().as_ref()),
    ] {
        rpmbuild.define(name, &names::plain(value));
    }
    rpmbuild.define("_use_internal_dependency_generator", "0");
    match request.content {
        Content::SourceOnly => rpmbuild.define("source_only", "1"),
        Content::BinariesOnly => rpmbuild.define("binaries_only", "1"),
        Content::Both => {}
    }
    let spec = fs::read_bounded(template, fs::Limit::CONFIG)?;
    rpmbuild.run("dkms_mkrpm.spec", &spec, Kind::Binary, None)
}

/// Returns the arguments that a template appends to `dkms mktarball -m M -v V`.
fn mktarball_line(layout: &Layout, request: &Request<'_>) -> String {
    let kernels = request.binaries();
    if kernels.is_empty() {
        return "none".into();
    }
    let mut line = String::new();
    for kernel in kernels {
        line.push_str(&format!("-k {} -a {} ", kernel.release, kernel.arch));
    }
    if layout.dkms_tree != Layout::default().dkms_tree {
        line.push_str(&format!("--dkmstree {} ", layout.dkms_tree.display()));
    }
    line + "--binaries-only"
}

/// Writes a program that always prints the aliases, regardless of the files in its input. rpm runs it to find
/// out what a package provides, so the aliases are added even if the spec file does not mention them.
fn write_provides_program(rpmbuild: &Rpmbuild<'_>, lines: &[String]) -> Result<PathBuf> {
    let program = rpmbuild.path().join("find-provides");
    let mut text = String::from("#!/bin/sh\ncat >/dev/null\ncat <<'EOF'\n");
    for line in lines {
        text.push_str(line.trim_start_matches("Provides: "));
        text.push('\n');
    }
    text.push_str("EOF\n");
    fs::write_atomic(&program, text.as_bytes(), 0o755)?;
    Ok(program)
}
