//! The table of directives, and the values that files set.

use std::collections::BTreeMap;

/// The kind of file. Each kind has its own directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// A package's `dkms.conf` and the administrator's overrides.
    Module,
    /// `/etc/dkms/framework.conf` and `framework.conf.d/*.conf`.
    Framework,
}

/// The type of a directive's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A text.
    Scalar,
    /// Texts by index; a value without an index has index 0.
    Array,
    /// `yes` or `no` in any case; empty means no.
    YesNo,
    /// On if it is not empty.
    Switch,
    /// A whole number.
    Number,
}

/// The directives that decide how builds are confined.
pub const CONFINE: [&str; 3] = ["CONFINE", "CONFINE_NETWORK", "CONFINE_WRITE"];

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectiveInfo {
    /// The name as it is written in the file.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Accepted, but without effect.
    pub deprecated: bool,
    /// A description of one line.
    pub help: &'static str,
}

const fn row(name: &'static str, kind: Kind, help: &'static str) -> DirectiveInfo {
    DirectiveInfo { name, kind, deprecated: false, help }
}

const fn old(name: &'static str, kind: Kind, help: &'static str) -> DirectiveInfo {
    DirectiveInfo { name, kind, deprecated: true, help }
}

/// The directives of dkms.conf, in the order in which dkms 3 writes the values between its two passes. The
/// order matters, because a value may refer to a directive that an earlier line has set.
static MODULE: &[DirectiveInfo] = &[
    row("PACKAGE_NAME", Kind::Scalar, "name of the package (required)"),
    row("PACKAGE_VERSION", Kind::Scalar, "version of the package (required)"),
    row("POST_ADD", Kind::Scalar, "script to run after the package is added"),
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
    row("MAKE_MATCH", Kind::Array, "regular expression of the kernels for MAKE with the same index"),
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
    row("NO_WEAK_MODULES", Kind::YesNo, "whether to prevent links to the modules in other kernels"),
    row("BUILD_DEPENDS_REBUILD", Kind::YesNo, "whether to rebuild when a package of BUILD_DEPENDS changes"),
    old("CLEAN", Kind::Scalar, "command that cleaned the build tree; builds start from a fresh copy now"),
    old(
        "REMAKE_INITRD",
        Kind::Scalar,
        "whether to regenerate the initrd; the distribution's hooks do this now",
    ),
    old("MODULES_CONF", Kind::Array, "lines for modules.conf, of kernels before 2.6"),
    old("MODULES_CONF_OBSOLETES", Kind::Array, "modules.conf, of kernels before 2.6"),
    old("MODULES_CONF_ALIAS_TYPE", Kind::Array, "modules.conf, of kernels before 2.6"),
    old("MODULES_CONF_OBSOLETE_ONLY", Kind::Array, "modules.conf, of kernels before 2.6"),
    row("CACHE", Kind::YesNo, "whether builds may come from the cache of builds and are stored in it (yes)"),
    row("CONFINE", Kind::Scalar, "whether builds are confined: on or off (only in /etc/dkms)"),
    row("CONFINE_NETWORK", Kind::YesNo, "whether builds may use the network (only in /etc/dkms)"),
    row("CONFINE_WRITE", Kind::Array, "directories that builds may also write to (only in /etc/dkms)"),
];

/// The settings of framework.conf, in the order of dkms 3.
static FRAMEWORK: &[DirectiveInfo] = &[
    row("source_tree", Kind::Scalar, "directory of the sources (/usr/src)"),
    row("dkms_tree", Kind::Scalar, "directory of packages and builds (/var/lib/dkms)"),
    row("install_tree", Kind::Scalar, "directory of installed modules (/lib/modules)"),
    row("tmp_location", Kind::Scalar, "directory for temporary files (/tmp)"),
    row("verbose", Kind::Switch, "whether to print more"),
    row("symlink_modules", Kind::Switch, "whether to install links instead of copies"),
    row("autoinstall_all_kernels", Kind::Switch, "whether package upgrades build for every installed kernel"),
    row("modprobe_on_install", Kind::Switch, "whether to load modules after installation"),
    row("parallel_jobs", Kind::Number, "number of parallel jobs; 0 means no limit"),
    row("compress_gzip_opts", Kind::Scalar, "options for gzip"),
    row("compress_xz_opts", Kind::Scalar, "options for xz"),
    row("compress_zstd_opts", Kind::Scalar, "options for zstd"),
    row("build_environment", Kind::Scalar, "file with variables for make's environment"),
    row(
        "build_variables",
        Kind::Scalar,
        "names of the caller's variables that builds get, such as MY_FLAG or MY_*",
    ),
    row("post_transaction", Kind::Scalar, "command to run once after modules have changed"),
    row("sign_file", Kind::Scalar, "the kernel's sign-file program"),
    row("mok_signing_key", Kind::Scalar, "private key that signs modules"),
    row("mok_certificate", Kind::Scalar, "certificate of that key"),
    row("mok_signing_key_2", Kind::Scalar, "private key of a second signer"),
    row("mok_certificate_2", Kind::Scalar, "certificate of the second key"),
    row("try_sign_modules", Kind::Scalar, "whether to sign: true, false or not_in_chroot"),
    row("lock_timeout", Kind::Number, "seconds to wait for another dkms; 0: do not wait"),
    row("min_free_memory", Kind::Number, "available MiB of memory to start another build in parallel (512)"),
    row("required_modules", Kind::Scalar, "packages or modules that a kernel needs to be ready"),
    row(
        "hook_failure",
        Kind::Scalar,
        "whether a failing module fails the kernel's installation: warn or fail",
    ),
    row(
        "fallback",
        Kind::Scalar,
        "whether an older version is installed where the newest does not build: yes or no",
    ),
    row(
        "hold_kernel",
        Kind::Scalar,
        "whether kernels without required modules are not started by default: yes or no",
    ),
    row(
        "depmod",
        Kind::Scalar,
        "how the index of modules is written: auto (by dkms where it can), or program",
    ),
    row(
        "continue_on_error",
        Kind::Scalar,
        "whether common.postinst, which reads this itself, continues after a failure (true)",
    ),
    row("btf", Kind::Scalar, "whether dkms adds BTF to modules if kbuild cannot: auto or off"),
    row("cache_size", Kind::Scalar, "limit of the cache of builds, such as 500M or 2G; 0: no cache (1G)"),
    row("build_confinement", Kind::Scalar, "whether builds are confined: require, auto or off"),
    row("build_users", Kind::Scalar, "user IDs reserved for builds: FIRST-LAST (64200-64455)"),
    row("registry", Kind::Scalar, "registries of finished builds, in order: HOST[:PORT]/PREFIX ..."),
    row("prebuilt", Kind::Scalar, "whether builds of a registry are used: prefer, only or off"),
    row("registry_key", Kind::Scalar, "the private keys that sign what is pushed: FILE or pkcs11: ..."),
    row(
        "registry_signer",
        Kind::Scalar,
        "certificate of the key that signs modules for machines without one",
    ),
];

impl Dialect {
    /// All directives of this kind of file, in the order of the second pass.
    pub fn table(self) -> &'static [DirectiveInfo] {
        match self {
            Dialect::Module => MODULE,
            Dialect::Framework => FRAMEWORK,
        }
    }

    /// The row of a name.
    pub fn find(self, name: &str) -> Option<&'static DirectiveInfo> {
        self.table().iter().find(|d| d.name == name)
    }
}

/// Directives with sparse arrays: name, then index, then value. A scalar has index 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    values: BTreeMap<String, BTreeMap<usize, String>>,
}

impl Directives {
    /// No directive is set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of `name[index]`, if it is set.
    pub fn get(&self, name: &str, index: usize) -> Option<&str> {
        self.values.get(name)?.get(&index).map(String::as_str)
    }

    /// The value at index 0, or "" if it is not set.
    pub fn scalar(&self, name: &str) -> &str {
        self.get(name, 0).unwrap_or_default()
    }

    /// The indices that are set, in ascending order.
    pub fn indices(&self, name: &str) -> impl Iterator<Item = usize> {
        self.entries(name).map(|(index, _)| index)
    }

    /// The indices that are set and their values, in ascending order of the index.
    pub fn entries(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        self.values.get(name).into_iter().flatten().map(|(index, value)| (*index, value.as_str()))
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

    /// All values: name, index, value; sorted by name, then index.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.values.iter().flat_map(|(n, v)| v.iter().map(move |(i, s)| (n.as_str(), *i, s.as_str())))
    }
}

/// The values that are known before a file is read.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Predefined variables (`kernelver`, `arch`, …). They are visible in both passes, and a file cannot
    /// change them permanently. A variable with the name of a directive of the dialect sets that directive.
    pub variables: BTreeMap<String, String>,
    /// The values that the earlier files of the override chain set.
    pub directives: Directives,
}
