//! Packages from the user's own spec file, as in dkms 2.6.1: `M-dkms-mkrpm.spec` in the source tree, or
//! `template-dkms-mkrpm.spec` in `/etc/dkms`.

use super::build::{Make, Rpmbuild};
use super::{names, spec};
use crate::error::Result;
use crate::event::Sink;
use crate::pack::{Inside, Request};
use crate::system::System;
use dkms_sys::fs;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The spec file to use, if there is one: the module's takes precedence over the machine's.
pub(super) fn find(layout: &Layout, request: &Request<'_>) -> Option<PathBuf> {
    let shipped =
        layout.source_link(request.package).join(format!("{}-dkms-mkrpm.spec", request.package.name));
    [shipped, layout.config_dir.join("template-dkms-mkrpm.spec")].into_iter().find(|p| p.exists())
}

/// Runs rpmbuild on the spec file. As in 2.6.1, it gets the macros `module_name`, `version`,
/// `kernel_versions` (releases, separated by blanks) and `mktarball_line` (the options of a mktarball for
/// these kernels, or `none`), and the program that provides the aliases. It also gets the path of the tree
/// (`_dkmsdir`), and `source_only` and `binaries_only` if requested. The sources include the source tree
/// (`M-V/`) and `common.postinst`.
///
/// # Errors
/// rpmbuild fails or creates no package; a file cannot be copied.
pub(super) fn build(
    system: &System,
    sink: &dyn Sink,
    request: &Request<'_>,
    template: &Path,
    mut rpmbuild: Rpmbuild,
) -> Result<(Vec<PathBuf>, Rpmbuild)> {
    let (m, v) = (&request.package.name, &request.package.version);
    let text = fs::read_bounded(template, fs::Limit::CONFIG)?;
    let file = rpmbuild.path().join("SPECS").join("dkms_mkrpm.spec");
    fs::write_atomic(&file, &text, 0o644)?;
    if request.with_source() {
        let source = fs::canonicalize(system.layout.source_link(request.package))?;
        sink.warn_left_out(&fs::copy_tree(source, rpmbuild.source(format!("{m}-{v}")))?);
    }
    let postinst = Path::new("/usr/lib/dkms/common.postinst");
    if postinst.is_file() {
        fs::copy_file(postinst, rpmbuild.source("common.postinst"))?;
    }
    let kernels = request.binaries();
    let mut releases: Vec<&str> = kernels.iter().map(|k| k.release.as_str()).collect();
    if releases.is_empty() {
        releases.push(&system.host.release);
    }
    let inside = Inside::read(&system.layout, request.package, kernels)?;
    let provides = provides(&rpmbuild, &spec::modaliases(&inside, &names::version(v)?))?;
    for (name, value) in [
        ("version", v.as_str()),
        ("module_name", m.as_str()),
        ("kernel_versions", releases.join(" ").as_str()),
        ("mktarball_line", mktarball_line(&system.layout, request).as_str()),
        ("_dkmsdir", system.layout.dkms_tree.to_string_lossy().as_ref()),
        ("__find_provides", provides.to_string_lossy().as_ref()),
    ] {
        rpmbuild.define(name, &names::plain(value));
    }
    rpmbuild.define("_use_internal_dependency_generator", "0");
    for (name, given) in
        [("source_only", !request.with_binaries()), ("binaries_only", !request.with_source())]
    {
        if given {
            rpmbuild.define(name, "1");
        }
    }
    Ok((rpmbuild.run(system, sink, &file, Make::Binary, None)?, rpmbuild))
}

/// The arguments that a template appends to `dkms mktarball -m M -v V`.
fn mktarball_line(layout: &Layout, request: &Request<'_>) -> String {
    let kernels = request.binaries();
    if kernels.is_empty() {
        return "none".into();
    }
    let mut line = String::new();
    for kernel in kernels {
        line.push_str(&format!("-k {} -a {} ", kernel.release, kernel.arch));
    }
    let usual = Layout::default();
    if layout.dkms_tree != usual.dkms_tree {
        line.push_str(&format!("--dkmstree {} ", layout.dkms_tree.display()));
    }
    line + "--binaries-only"
}

/// A program that always prints the aliases, regardless of the files in its input. Through it rpm adds the
/// aliases to a package whose spec file does not mention them.
fn provides(rpmbuild: &Rpmbuild, lines: &[String]) -> Result<PathBuf> {
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
