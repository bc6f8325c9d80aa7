//! `mkdsc`: a Debian source package (dsc(5), format 3.0 (native)). dpkg-buildpackage builds the package of
//! `mkdeb` from it; this needs only dpkg-dev.

use super::planned::Planned;
use super::{payload, report_written};
use crate::error::Result;
use crate::event::Sink;
use crate::pack::Request;
use crate::pack::tarball::{self, archive_error};
use crate::system::System;
use crate::{add, digest};
use dkms_archive::{self, Deb, Member};
use dkms_sys::fs::{self, TempDir};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The version of Debian policy that the source package follows.
const POLICY: &str = "4.6.2";

impl Request<'_> {
    fn dsc(&self) -> Result<Planned> {
        let planned = self.deb()?;
        // A native package has no revision, so the version must not look as if it had one.
        Ok(Planned { version: planned.version.replace('-', "+"), ..planned })
    }
}

fn place(layout: &Layout, request: &Request<'_>, planned: &Planned) -> (PathBuf, PathBuf) {
    request.place(layout, "dsc", format!("{}_{}.dsc", planned.name, planned.version))
}

/// The path of the `.dsc` that [`mkdsc`] writes.
///
/// # Errors
/// The name or architecture has no Debian form.
pub fn mkdsc_place(layout: &Layout, request: &Request<'_>) -> Result<PathBuf> {
    let (directory, name) = place(layout, request, &request.dsc()?);
    Ok(directory.join(name))
}

/// Writes `M-dkms_V.dsc` and, next to it, the `M-dkms_V.tar.xz` that it names.
///
/// # Errors
/// As for [`super::mkdeb`].
pub fn mkdsc(system: &System, sink: &dyn Sink, request: &Request<'_>) -> Result<PathBuf> {
    add::require_added(&system.layout, request.package)?;
    let planned = request.dsc()?;
    let epoch = request.time(&system.layout)?;
    let (directory, name) = place(&system.layout, request, &planned);
    if let Some(template) = super::template::find(&system.layout, request, "mkdsc") {
        let (place, kernels) = ((directory, name), request.binaries());
        return report_written(sink, template.build(system, sink, &planned, kernels, place, epoch)?);
    }
    let scratch = TempDir::new_in(&system.settings.tmp_location, "dkms-mkdsc")?;
    let deb = payload(system, request, &planned, "mkdsc", scratch.path(), epoch)?;
    tarball::require_writable(&directory)?;
    let members = tree(request, &planned, &format!("{}-{}", planned.name, planned.version), deb);
    let sources = format!("{}_{}.tar.xz", planned.name, planned.version);
    let beside = directory.join(&sources);
    dkms_archive::write_tar_xz(&beside, &members, epoch).map_err(|e| archive_error(&beside, e))?;
    let bytes = fs::read_bounded(&beside, fs::Limit::CONFIG)?;
    let file = |sum: &str| format!(" {sum} {} {sources}\n", bytes.len());
    let (source, version, architecture) = (&planned.name, &planned.version, planned.architecture);
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
    let path = directory.join(name);
    fs::write_atomic(&path, text.as_bytes(), 0o644)?;
    report_written(sink, path)
}

/// The source tree: `root/` has the files that the package installs, `debian/` the packaging.
fn tree(request: &Request<'_>, planned: &Planned, top: &str, deb: Deb) -> Vec<Member> {
    let name = &planned.name;
    let mut members = Vec::new();
    let mut debian = |file: &str, text: String, mode| {
        let member = Member::bytes(format!("{top}/debian/{file}"), text, deb.mtime);
        members.push(Member { mode: Some(mode), ..member });
    };
    let (version, maintainer) = (&planned.version, request.maker());
    debian("changelog", super::text::changelog(name, version, "mkdsc", maintainer, deb.mtime), 0o644);
    debian("control", control(name, maintainer, &deb.control), 0o644);
    debian("rules", rules(name, if planned.architecture == "all" { "indep" } else { "arch" }), 0o755);
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

/// The control file of the source package, derived from that of the binary package.
fn control(name: &str, maintainer: &str, binary: &str) -> String {
    let mut text = format!(
        "Source: {name}\nSection: kernel\nPriority: optional\nMaintainer: {maintainer}\n\
         Standards-Version: {POLICY}\nRules-Requires-Root: no\n\n"
    );
    for line in binary.lines() {
        let of_the_source =
            ["Version:", "Maintainer:", "Section:", "Priority:"].iter().any(|f| line.starts_with(f));
        if !of_the_source {
            // dpkg-gencontrol copies an unknown field only on request.
            text.push_str(if line.starts_with("Modaliases:") { "XB-" } else { "" });
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

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
