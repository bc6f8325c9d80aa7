//! The table of directives, and the values that files gave them.

use std::collections::BTreeMap;

/// Which file is read: they know different directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// A package's `dkms.conf` and the administrator's files over it.
    Module,
    /// `/etc/dkms/framework.conf` and `framework.conf.d/*.conf`.
    Framework,
}

/// What kind of value a directive takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One text.
    Scalar,
    /// Texts by index; a value without an index is index 0.
    Array,
    /// `yes` or `no` in any case; empty is no.
    YesNo,
    /// On when it is anything but empty.
    Switch,
    /// A whole number.
    Number,
}

/// The directives that decide how builds are confined.
pub const CONFINE: [&str; 3] = ["CONFINE", "CONFINE_NETWORK", "CONFINE_WRITE"];

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectiveInfo {
    /// The name as it is written in the file.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Accepted, but it no longer does anything.
    pub deprecated: bool,
    /// One line about it.
    pub help: &'static str,
}

const fn row(name: &'static str, kind: Kind, help: &'static str) -> DirectiveInfo {
    DirectiveInfo { name, kind, deprecated: false, help }
}

const fn old(name: &'static str, kind: Kind, help: &'static str) -> DirectiveInfo {
    DirectiveInfo { name, kind, deprecated: true, help }
}

/// In the order in which dkms writes the values out between its two passes. The order matters: a value may refer to a
/// directive that an earlier line has set.
static MODULE: [DirectiveInfo; 36] = [
    row("PACKAGE_NAME", Kind::Scalar, "name of the package (required)"),
    row("PACKAGE_VERSION", Kind::Scalar, "version of the package (required)"),
    row("POST_ADD", Kind::Scalar, "script to run after the package was added"),
    row("POST_BUILD", Kind::Scalar, "script to run after a build"),
    row("POST_INSTALL", Kind::Scalar, "script to run after an installation"),
    row("POST_REMOVE", Kind::Scalar, "script to run after a removal"),
    row("PRE_BUILD", Kind::Scalar, "script to run before a build"),
    row("PRE_INSTALL", Kind::Scalar, "script to run before an installation; its failure stops it"),
    row("BUILD_DEPENDS", Kind::Array, "packages that must be installed first for the same kernel"),
    row("BUILD_EXCLUSIVE_ARCH", Kind::Array, "regular expression of the architectures to build for"),
    row("BUILD_EXCLUSIVE_CONFIG", Kind::Array, "kernel options that must be set, or with '!' must not be"),
    row("BUILD_EXCLUSIVE_KERNEL", Kind::Array, "regular expression of the kernels to build for"),
    row("BUILD_EXCLUSIVE_KERNEL_MIN", Kind::Array, "oldest kernel to build for"),
    row("BUILD_EXCLUSIVE_KERNEL_MAX", Kind::Array, "newest kernel to build for"),
    old("OBSOLETE_BY", Kind::Scalar, "kernel that contains the module; use BUILD_EXCLUSIVE_KERNEL_MAX"),
    row("MAKE", Kind::Array, "command that builds the modules"),
    row("MAKE_MATCH", Kind::Array, "regular expression of the kernels that MAKE with the same index is for"),
    row("PATCH", Kind::Array, "patch to apply, a file in patches/"),
    row(
        "PATCH_MATCH",
        Kind::Array,
        "regular expression of the kernels that PATCH with the same index is for",
    ),
    row("BUILT_MODULE_NAME", Kind::Array, "name of a built module, without .ko"),
    row("BUILT_MODULE_LOCATION", Kind::Array, "directory in the build tree where the built module is"),
    row("DEST_MODULE_NAME", Kind::Array, "name of the installed module, without .ko"),
    row("DEST_MODULE_LOCATION", Kind::Array, "where to install it: below /kernel, /updates or /extra"),
    row("STRIP", Kind::Array, "whether to remove debugging symbols from the module"),
    row("AUTOINSTALL", Kind::YesNo, "whether to build and install for every new kernel"),
    row("NO_WEAK_MODULES", Kind::YesNo, "whether to keep the modules from being linked into other kernels"),
    row("BUILD_DEPENDS_REBUILD", Kind::YesNo, "whether to rebuild when a package of BUILD_DEPENDS changes"),
    old("CLEAN", Kind::Scalar, "command that cleaned the build tree; builds start from a fresh copy now"),
    old("REMAKE_INITRD", Kind::Scalar, "whether to remake the initrd; the distribution's hooks do that now"),
    old("MODULES_CONF", Kind::Array, "lines for modules.conf, of kernels before 2.6"),
    old("MODULES_CONF_OBSOLETES", Kind::Array, "modules.conf, of kernels before 2.6"),
    old("MODULES_CONF_ALIAS_TYPE", Kind::Array, "modules.conf, of kernels before 2.6"),
    old("MODULES_CONF_OBSOLETE_ONLY", Kind::Array, "modules.conf, of kernels before 2.6"),
    row("CONFINE", Kind::Scalar, "whether builds are confined: on or off (only in /etc/dkms)"),
    row("CONFINE_NETWORK", Kind::YesNo, "whether builds may use the network (only in /etc/dkms)"),
    row("CONFINE_WRITE", Kind::Array, "directories that builds may also write (only in /etc/dkms)"),
];

/// As [`MODULE`]. What concerns signing is read last.
static FRAMEWORK: [DirectiveInfo; 25] = [
    row("source_tree", Kind::Scalar, "where the sources are (/usr/src)"),
    row("dkms_tree", Kind::Scalar, "where dkms keeps what it built (/var/lib/dkms)"),
    row("install_tree", Kind::Scalar, "where modules are installed (/lib/modules)"),
    row("tmp_location", Kind::Scalar, "where temporary files go (/tmp)"),
    row("verbose", Kind::Switch, "whether to say more"),
    row("symlink_modules", Kind::Switch, "whether to install links instead of copies"),
    row("autoinstall_all_kernels", Kind::Switch, "whether package upgrades build for every installed kernel"),
    row("modprobe_on_install", Kind::Switch, "whether to load modules after installation"),
    row("parallel_jobs", Kind::Number, "how many jobs make may run; 0 is no limit"),
    row("compress_gzip_opts", Kind::Scalar, "options for gzip"),
    row("compress_xz_opts", Kind::Scalar, "options for xz"),
    row("compress_zstd_opts", Kind::Scalar, "options for zstd"),
    row("build_environment", Kind::Scalar, "file with variables for make's environment"),
    row("post_transaction", Kind::Scalar, "command to run once after modules changed"),
    row("sign_file", Kind::Scalar, "the kernel's sign-file program"),
    row("mok_signing_key", Kind::Scalar, "private key that signs modules"),
    row("mok_certificate", Kind::Scalar, "certificate of that key"),
    row("try_sign_modules", Kind::Scalar, "whether to sign: true, false or not_in_chroot"),
    row("lock_timeout", Kind::Number, "seconds to wait for another dkms; 0 does not wait"),
    row("min_free_memory", Kind::Number, "MiB of free memory for a build beside others (512)"),
    row("required_modules", Kind::Scalar, "packages or modules without which no kernel is ready"),
    row(
        "hook_failure",
        Kind::Scalar,
        "whether a failed module fails the kernel's installation: warn or fail",
    ),
    row(
        "continue_on_error",
        Kind::Scalar,
        "whether common.postinst goes on with the next kernel after a failure (true); it reads this itself",
    ),
    row("build_confinement", Kind::Scalar, "whether builds are confined: require, auto or off"),
    row("build_users", Kind::Scalar, "user IDs that only builds use: FIRST-LAST (64200-64455)"),
];

impl Dialect {
    /// Every directive of this kind of file, in the order of the second pass.
    pub fn table(self) -> &'static [DirectiveInfo] {
        match self {
            Dialect::Module => &MODULE,
            Dialect::Framework => &FRAMEWORK,
        }
    }

    /// The table's line for a name.
    pub fn find(self, name: &str) -> Option<&'static DirectiveInfo> {
        self.table().iter().find(|d| d.name == name)
    }
}

/// Known directives with sparse arrays: name, then index, then value. A scalar is index 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    values: BTreeMap<String, BTreeMap<usize, String>>,
}

impl Directives {
    /// No directive set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `name[index]`, if set.
    pub fn get(&self, name: &str, index: usize) -> Option<&str> {
        self.values.get(name)?.get(&index).map(String::as_str)
    }

    /// The value at index 0, or "" when it is not set.
    pub fn scalar(&self, name: &str) -> &str {
        self.get(name, 0).unwrap_or_default()
    }

    /// The indices that are set, ascending.
    pub fn indices(&self, name: &str) -> impl Iterator<Item = usize> {
        self.values.get(name).into_iter().flat_map(|v| v.keys().copied())
    }

    /// The highest index that is set.
    pub fn max_index(&self, name: &str) -> Option<usize> {
        self.values.get(name)?.keys().next_back().copied()
    }

    /// Sets `name[index]`.
    pub fn set(&mut self, name: impl Into<String>, index: usize, value: impl Into<String>) {
        self.values.entry(name.into()).or_default().insert(index, value.into());
    }

    /// Unsets every index of `name`.
    pub fn clear(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Every value: name, index, value; by name, then index.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.values.iter().flat_map(|(n, v)| v.iter().map(move |(i, s)| (n.as_str(), *i, s.as_str())))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// What is known before a file is read.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Predefined variables (`kernelver`, `arch`, …). They are visible in both passes, and a file cannot change them
    /// for good. A variable that is itself a directive of the dialect counts as that directive.
    pub variables: BTreeMap<String, String>,
    /// What the earlier files of the override chain set.
    pub directives: Directives,
}
