//! The text of our own spec files.

use super::names;
use crate::pack::metadata::Metadata;
use crate::time;
use dkms_sys::fs;
use dkms_tree::ids::{Kernel, PackageId};
use std::collections::BTreeSet;
use std::path::Path;

/// The suffix of every package's release. dkms 2.x used the same one, so our packages upgrade theirs.
pub(super) const RELEASE: &str = "1dkms";

/// The parts of a spec file that differ between packages. [`Spec::text`] escapes the texts. Names and
/// dependencies are already valid.
pub(super) struct Spec<'a> {
    /// `Name`
    pub name: &'a str,
    /// `Version`
    pub version: &'a str,
    /// `Summary`
    pub summary: &'a str,
    /// `License`
    pub license: &'a str,
    /// Whether the package is `noarch`.
    pub noarch: bool,
    /// The packager, `NAME <ADDRESS>`.
    pub packager: &'a str,
    /// Lines such as `Requires: dkms`.
    pub dependencies: &'a [String],
    /// Lines of the description.
    pub description: &'a [String],
    /// Scriptlets, keyed by their section, such as `post`.
    pub scriptlets: &'a [(&'static str, String)],
    /// Files, and directories with all their contents.
    pub files: &'a [String],
    /// The action that creates it.
    pub action: &'a str,
    /// The date of its changelog entry, in seconds since 1970.
    pub epoch: u64,
}

/// The archive in the sources that contains the files, with their installed paths.
pub(super) const ROOT: &str = "root.tar";

impl Spec<'_> {
    /// Returns the spec file.
    pub(super) fn text(&self) -> String {
        let plain = names::plain;
        let mut text = String::from(
            "# The files are packed unchanged: rpm neither strips nor compresses them, and finds no dependencies in them.\n\
             %global debug_package %{nil}\n%global __os_install_post %{nil}\n%global _build_id_links none\n\n",
        );
        let mut tag = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\n"));
        tag("Name", self.name);
        tag("Version", self.version);
        tag("Release", RELEASE);
        tag("Summary", &plain(self.summary));
        tag("License", &plain(self.license));
        tag("Group", "System/Kernel");
        tag("Packager", &plain(self.packager));
        if self.noarch {
            tag("BuildArch", "noarch");
        }
        tag("AutoReqProv", "no");
        for line in self.dependencies {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("\n%description\n");
        for line in self.description {
            text.push_str(&wrapped(&plain(line)));
        }
        text.push_str(&format!(
            "\n%prep\n\n%build\n\n%install\nmkdir -p \"%{{buildroot}}\"\n\
             tar -xf \"%{{_sourcedir}}/{ROOT}\" -C \"%{{buildroot}}\" --no-same-owner\n\
             chmod -R u+rwX,go+rX,go-w \"%{{buildroot}}\"\n"
        ));
        for (name, script) in self.scriptlets {
            text.push_str(&format!("\n%{name}\n{}", script.replace('%', "%%")));
        }
        text.push_str("\n%files\n%defattr(-,root,root,-)\n");
        for file in self.files {
            text.push_str(&format!("\"{file}\"\n"));
        }
        text.push_str(&format!(
            "\n%changelog\n* {} {} - {}-{RELEASE}\n- Made by dkms {}.\n",
            time::changelog_of_rpm(self.epoch),
            plain(self.packager),
            self.version,
            self.action
        ));
        text
    }
}

/// Wraps text at 76 columns where possible, because rpm prints a description unchanged.
fn wrapped(text: &str) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 {
            let fits = column + 1 + width <= 76;
            out.push(if fits { ' ' } else { '\n' });
            column = if fits { column + 1 } else { 0 };
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
    out
}

/// Returns the `%post` of a package that dkms builds. Depending on the version of rpm, the new package's
/// script runs before or after the old one's `%preun`. The marker that `--rpm_safe_upgrade` leaves makes the
/// result the same in both cases.
pub(super) fn dkms_post(package: &PackageId) -> String {
    let (name, version) = (&package.name, &package.version);
    format!(
        r#"if ! command -v dkms >/dev/null 2>&1; then
    echo "{name}: dkms is not installed, so the module is not built" >&2
    exit 1
fi
if [ ! -e /etc/dkms/no-autoinstall ]; then
    [ -z "$(dkms status -m {name} -v {version} 2>/dev/null)" ] || dkms remove -m {name} -v {version} --all
    dkms add -m {name} -v {version} --rpm_safe_upgrade || exit
fi
old=
if [ "${{1:-1}}" -gt 1 ]; then
    old=earlier
    # Replace the modules that the old package installed, even if they are newer.
    case $(dkms status -m {name}) in *": installed"*) export DKMS_RPM_SAFE_UPGRADE=1 ;; esac
fi
if [ -x /usr/lib/dkms/common.postinst ]; then
    exec /usr/lib/dkms/common.postinst {name} {version} /usr/share/{name} "" "$old"
fi
[ ! -e /etc/dkms/no-autoinstall ] || exit 0
if [ -f /usr/share/{name}/{name}-{version}.dkms.tar.gz ]; then
    dkms ldtarball --force --archive /usr/share/{name}/{name}-{version}.dkms.tar.gz || exit
fi
dkms install -m {name} -v {version} ${{DKMS_RPM_SAFE_UPGRADE:+--rpm_safe_upgrade}}
"#
    )
}

/// Returns the `%preun` of a package that dkms builds. A failure is reported but does not stop the removal.
pub(super) fn dkms_preun(package: &PackageId) -> String {
    let (name, version) = (&package.name, &package.version);
    format!(
        r#"if command -v dkms >/dev/null 2>&1 && [ -n "$(dkms status -m {name} -v {version} 2>/dev/null)" ]; then
    dkms remove -m {name} -v {version} --all --rpm_safe_upgrade || :
fi
exit 0
"#
    )
}

/// Returns the scriptlets of a package of modules for kernels. They run depmod if the kernels are installed,
/// and weak-modules if it exists (RHEL and SUSE), which links the modules into compatible kernels. On
/// removal, weak-modules needs the names of the modules after the files are deleted.
pub(super) fn kmod_scripts(
    name: &str,
    directories: &[String],
    kernels: &[Kernel],
) -> [(&'static str, String); 3] {
    let list = format!("/var/lib/rpm-state/kmod-{name}.list");
    let modules: Vec<String> = directories.iter().map(|dir| format!("{dir}/*.ko")).collect();
    let modules = modules.join(" ");
    let mut depmod = String::new();
    for kernel in kernels {
        let release = &kernel.release;
        depmod.push_str(&format!("[ ! -e /lib/modules/{release}/modules.dep ] || depmod {release} || :\n"));
    }
    let weak = "command -v weak-modules >/dev/null 2>&1";
    [
        (
            "post",
            format!(
                "{depmod}if {weak}; then\n    ls -d {modules} | weak-modules --add-modules || :\nfi\nexit 0\n"
            ),
        ),
        ("preun", format!("mkdir -p /var/lib/rpm-state\nls -d {modules} >{list} 2>/dev/null || :\nexit 0\n")),
        (
            "postun",
            format!(
                "{depmod}if [ -s {list} ] && {weak}; then\n    weak-modules --remove-modules <{list} || :\nfi\n\
                 rm -f {list}\nexit 0\n"
            ),
        ),
    ]
}

/// Returns lines of a spec file with the aliases by which hardware requests the modules. Their version is the
/// module's own, otherwise `version`, which is the package's.
pub(super) fn modaliases(metadata: &Metadata, version: &str) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for (module, aliases) in &metadata.aliases {
        let module_version = metadata.versions.get(module).and_then(|v| names::module_version(v));
        let version = module_version.as_deref().unwrap_or(version);
        let aliases = aliases.iter().filter(|alias| !alias.is_empty());
        lines.extend(aliases.map(|a| format!("Provides: modalias({}) = {version}", names::alias(a))));
    }
    lines.into_iter().collect()
}

/// The maximum number of files in a source tree that are searched for a licence.
const MAX_FILES: usize = 2000;
/// The maximum size of such a file, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// Returns the licence: the SPDX lines of the source files that have a MODULE_LICENSE, otherwise the value of
/// MODULE_LICENSE, otherwise the licences of the built modules.
pub(super) fn license(source: &Path, metadata: &Metadata) -> String {
    let (mut spdx, mut words) = (BTreeSet::new(), BTreeSet::new());
    let mut remaining = vec![source.to_path_buf()];
    let mut searched = 0;
    while let Some(path) = remaining.pop() {
        if fs::is_real_dir(&path) {
            remaining.extend(fs::list_dir_optional(&path).unwrap_or_default().iter().map(|n| path.join(n)));
            continue;
        }
        let small = path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_SIZE);
        if !small || path.extension().is_none_or(|e| e != "c") {
            continue;
        }
        searched += 1;
        if searched > MAX_FILES {
            break;
        }
        let Ok(bytes) = fs::read_bounded(&path, fs::Limit::CONFIG) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let Some(word) = between(&text, "MODULE_LICENSE(\"", "\"") else { continue };
        match between(&text, "SPDX-License-Identifier:", "\n") {
            Some(id) => spdx.insert(id.trim_end_matches("*/").trim().to_owned()),
            None => words.insert(word.to_owned()),
        };
    }
    if spdx.is_empty() {
        words.extend(metadata.licences.iter().cloned());
    }
    let all = if spdx.is_empty() { words } else { spdx };
    let needs_brackets =
        |l: &str| l.to_ascii_uppercase().contains(" OR ") && !l.starts_with('(') && all.len() > 1;
    let operand = |l: &String| if needs_brackets(l) { format!("({l})") } else { l.clone() };
    let text = all.iter().map(operand).collect::<Vec<_>>().join(" AND ");
    if text.trim().is_empty() { "Unknown".into() } else { text }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(word, _)| word.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_have_the_version_of_the_module_or_package() {
        let mut metadata = Metadata::default();
        let set = |all: &[&str]| all.iter().map(|a| (*a).to_owned()).collect();
        metadata.aliases.insert("a".into(), set(&["pci:v1d*", ""]));
        metadata.aliases.insert("b".into(), set(&["pci:v2d*"]));
        metadata.versions.insert("b".into(), "2.5 beta".into());
        let lines = ["Provides: modalias(pci:v1d*) = 1.0", "Provides: modalias(pci:v2d*) = 2.5_beta"];
        assert_eq!(modaliases(&metadata, "1.0"), lines);
    }

    #[test]
    fn descriptions_are_wrapped() {
        let long = "word ".repeat(40);
        assert!(wrapped(&long).lines().all(|line| line.len() <= 76));
        assert_eq!(wrapped(&long).split_whitespace().count(), 40);
        assert_eq!(wrapped("one line"), "one line\n");
    }
}
