//! `mkdsc`: a Debian source package (dsc(5), format 3.0 (native)). dpkg-buildpackage builds the package of
//! `mkdeb` from it; this needs only dpkg-dev.

use super::names::DebNames;
use super::{contents, template, text};
use crate::error::Result;
use crate::event::Sink;
use crate::pack::Request;
use crate::pack::output::{directory, require_writable};
use crate::pack::packer::Packer;
use crate::pack::tarball::archive_error;
use crate::system::System;
use crate::{add, digest};
use dkms_archive::{self, Deb, Member};
use dkms_sys::fs;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The version of Debian policy that the source package follows.
const POLICY: &str = "4.6.2";

impl Request<'_> {
    fn dsc_names(&self) -> Result<DebNames> {
        let names = self.deb_names()?;
        // A native package has no revision, and a hyphen in the version would start one.
        Ok(DebNames { version: names.version.replace('-', "+"), ..names })
    }
}

/// Returns the path of the `.dsc` that [`mkdsc`] writes.
///
/// # Errors
/// The name or architecture has no Debian form.
pub fn mkdsc_place(layout: &Layout, request: &Request<'_>) -> Result<PathBuf> {
    let names = request.dsc_names()?;
    Ok(request.output(layout, "dsc", format!("{}_{}.dsc", names.package, names.version)))
}

/// Writes `M-dkms_V.dsc` and, next to it, the `M-dkms_V.tar.xz` that it names.
///
/// # Errors
/// As for [`super::mkdeb`].
pub fn mkdsc(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<PathBuf> {
    add::require_added(&system.layout, request.package)?;
    let names = request.dsc_names()?;
    let packer = Packer { system, sink, epoch: request.time(&system.layout)? };
    let path = mkdsc_place(&system.layout, request)?;
    if let Some(template) = template::find(&system.layout, request, "mkdsc") {
        return template.build(&packer, &names, &path);
    }
    let scratch = packer.scratch("dkms-mkdsc")?;
    let deb = contents(&packer, request, &names, "mkdsc", scratch.path())?;
    require_writable(directory(&path))?;
    let (source, version, architecture) = (&names.package, &names.version, names.architecture);
    let archive = format!("{source}_{version}.tar.xz");
    let archive_path = directory(&path).join(&archive);
    let members = source_tree(request, &names, deb);
    dkms_archive::write_tar_xz(&archive_path, &members, packer.epoch)
        .map_err(|e| archive_error(&archive_path, e))?;
    let bytes = fs::read_bounded(&archive_path, fs::Limit::CONFIG)?;
    let file = |sum: &str| format!(" {sum} {} {archive}\n", bytes.len());
    let text = format!(
        "Format: 3.0 (native)\nSource: {source}\nBinary: {source}\nArchitecture: {architecture}\n\
         Version: {version}\nMaintainer: {}\nStandards-Version: {POLICY}\n\
         Package-List:\n {source} deb kernel optional arch={architecture}\n\
         Checksums-Sha1:\n{}Checksums-Sha256:\n{}Files:\n{}",
        request.maker(),
        file(&digest::sha1(&bytes)),
        file(&digest::bytes(&bytes)),
        file(&digest::md5(&bytes)),
    );
    fs::write_atomic(&path, text.as_bytes(), 0o644)?;
    Ok(packer.report_written(path))
}

/// Returns the files of the source package: `root/` has the files that the package installs, `debian/` the
/// packaging.
fn source_tree(request: &Request<'_>, names: &DebNames, deb: Deb) -> Vec<Member> {
    let (name, maintainer) = (&names.package, request.maker());
    let top = format!("{name}-{}", names.version);
    let mut members = Vec::new();
    let mut debian = |file: &str, text: String, mode| {
        let member = Member::bytes(format!("{top}/debian/{file}"), text, deb.mtime);
        members.push(Member { mode: Some(mode), ..member });
    };
    debian("changelog", text::changelog(names, "mkdsc", maintainer, deb.mtime), 0o644);
    debian("control", control(name, maintainer, &deb.control), 0o644);
    debian("rules", rules(name, if names.architecture == "all" { "indep" } else { "arch" }), 0o755);
    debian("source/format", "3.0 (native)\n".into(), 0o644);
    for (file, text) in deb.scripts {
        debian(file, text, 0o755);
    }
    for member in deb.members {
        if Path::new(&member.name).ends_with("copyright") {
            members.push(Member { name: format!("{top}/debian/copyright"), ..member.clone() });
        }
        members.push(Member { name: format!("{top}/root/{}", member.name), ..member });
    }
    members
}

/// Returns the control file of the source package, derived from that of the binary package.
fn control(name: &str, maintainer: &str, binary: &str) -> String {
    let mut text = format!(
        "Source: {name}\nSection: kernel\nPriority: optional\nMaintainer: {maintainer}\n\
         Standards-Version: {POLICY}\nRules-Requires-Root: no\n\n"
    );
    for line in binary.lines() {
        let is_source_field =
            ["Version:", "Maintainer:", "Section:", "Priority:"].iter().any(|field| line.starts_with(field));
        if !is_source_field {
            // dpkg-gencontrol copies a field that it does not know only if its name begins with XB-.
            text.push_str(if line.starts_with("Modaliases:") { "XB-" } else { "" });
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Returns `debian/rules`. `kind` is `arch` or `indep`.
fn rules(name: &str, kind: &str) -> String {
    format!(
        "#!/usr/bin/make -f
# The files are in root/ as they will be installed.
root = debian/{name}

build build-arch build-indep binary-arch binary-indep:

clean:
\trm -rf $(root) debian/files

binary: binary-{kind}
binary-{kind}: assemble

assemble:
\trm -rf $(root)
\tmkdir -p $(root)/DEBIAN
\tcp -a root/. $(root)/
\tinstall -m 755 debian/postinst debian/prerm $(root)/DEBIAN/
\tcd $(root) && find * -path DEBIAN -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums
\tdpkg-gencontrol -p{name} -P$(root)
\tdpkg-deb --root-owner-group --build $(root) ..

.PHONY: build build-arch build-indep clean binary binary-arch binary-indep assemble
"
    )
}
