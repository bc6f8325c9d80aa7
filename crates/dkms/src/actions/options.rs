//! The table of options. dkms reads the command line according to it, and help, completions and the option
//! lists of dkms(8) are generated from it.
//!
//! To add an option, add its row here, the actions that it applies to in `table.rs`, and its line in
//! [`crate::cli::Arguments`], which receives its value.

use super::option::{Group, Misplaced, Value};

/// Everything about an option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionRow {
    pub opt: Opt,
    pub short: Option<char>,
    /// Without the dashes; empty if there is only a short name.
    pub long: &'static str,
    pub value: Value,
    /// The value's name in help, such as `FILE`.
    pub value_name: &'static str,
    /// Whether it can be given several times. Otherwise, the last value counts.
    pub repeatable: bool,
    pub group: Group,
    pub misplaced: Misplaced,
    /// One sentence without its full stop.
    pub about: &'static str,
    /// More sentences for dkms(8) and the help of an action; words in backticks are literal.
    pub details: &'static str,
}

impl OptionRow {
    /// Its name in messages: the long name if there is one.
    pub(crate) fn name(&self) -> String {
        match self.short {
            Some(short) if self.long.is_empty() => format!("-{short}"),
            _ => format!("--{}", self.long),
        }
    }

    /// Its name in clap.
    pub(crate) fn id(&self) -> &'static str {
        if self.long.is_empty() { self.value_name } else { self.long }
    }

    pub(crate) fn takes_value(&self) -> bool {
        self.value != Value::Flag
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.group == Group::Former
    }
}

/// The values that most options have: a flag without a short name.
const BASE: OptionRow = OptionRow {
    opt: Opt::Help,
    short: None,
    long: "",
    value: Value::Flag,
    value_name: "",
    repeatable: false,
    group: Group::Output,
    misplaced: Misplaced::Warn,
    about: "",
    details: "",
};

/// Each row names the variant of [`Opt`], the long name without its dashes, the group, a sentence, and the
/// fields of [`OptionRow`] that differ from [`BASE`].
macro_rules! options {
    ($(
        $opt:ident = $long:literal, $group:ident, $about:literal { $($field:ident: $value:expr),* $(,)? }
    )*) => {
        /// An option.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Opt { $($opt),* }

        /// Every option, in the order of [`Opt`] and of dkms(8).
        pub(crate) static OPTIONS: &[OptionRow] = &[$(OptionRow {
            opt: Opt::$opt,
            long: $long,
            group: Group::$group,
            about: $about,
            $($field: $value,)*
            ..BASE
        }),*];
    };
}

impl Opt {
    /// Its row in the table.
    pub(crate) fn row(self) -> &'static OptionRow {
        &OPTIONS[self as usize]
    }
}

/// Options without any effect. dkms warns if one of them is given.
pub(crate) const DEPRECATED: [Opt; 4] =
    [Opt::LegacyPostinst, Opt::NoInitrd, Opt::NoCleanKernel, Opt::NoPrepareKernel];

options! {
    Module = "module", Selection, "The module, or module and version" {
        short: Some('m'), value: Value::Module, value_name: "MODULE[/VERSION]",
        details: "The same as the operand.",
    }
    ModuleVersion = "", Selection, "The version of the module" {
        short: Some('v'), value: Value::Version, value_name: "VERSION",
    }
    Kernel = "kernelver", Selection, "The kernel [default: the running one]" {
        short: Some('k'), value: Value::Kernel, value_name: "KERNEL[/ARCH]", repeatable: true,
        details: "May be repeated where an action takes several kernels.",
    }
    Arch = "arch", Selection, "The architecture [default: the kernel's]" {
        short: Some('a'), value: Value::Arch, value_name: "ARCH", repeatable: true,
        details: "One applies to all kernels. Several are paired with `-k` in order, so there must be as many.",
    }
    AllKernels = "all-kernels", Selection, "Every kernel that has headers" { misplaced: Misplaced::Refuse }
    All = "all", Selection, "Every kernel that the module is built for" { misplaced: Misplaced::Refuse }
    TemplateKernel = "templatekernel", Selection, "The kernel whose installed modules are matched" {
        value: Value::Kernel, value_name: "KERNEL",
    }
    Conf = "", Building, "Use this dkms.conf instead of the module's" {
        short: Some('c'), value: Value::File, value_name: "FILE",
    }
    Directive = "directive", Building, "Override a directive of dkms.conf" {
        value: Value::Directive, value_name: "NAME=VALUE", repeatable: true,
        details: "May be repeated. The directives are described in dkms.conf(5).",
    }
    Fingerprint = "fingerprint", Building, "Print the inputs of a build, one a line, and their digest" {
        misplaced: Misplaced::Refuse,
        details: "Two builds with the same fingerprint have the same inputs. Machines can be compared with \
                  diff(1). Patches are applied to a temporary copy of the source; nothing is compiled, and \
                  the tree is not changed.",
    }
    KernelSourceDir = "kernelsourcedir", Building,
        "The kernel's headers [default: /lib/modules/KERNEL/build]" {
        value: Value::Directory, value_name: "DIRECTORY",
    }
    KernelConfig = "config", Building, "The kernel's configuration [default: that of its headers]" {
        value: Value::File, value_name: "FILE",
    }
    Jobs = "", Building, "How many jobs may run at once; 0 means no limit [default: one per processor]" {
        short: Some('j'), value: Value::Jobs, value_name: "NUMBER",
        details: "All builds of a command share them: that many builds run in parallel, and together they \
                  never run more compilers than that.",
    }
    Timings = "timings", Building, "Write a page (HTML) that shows where the time went" {
        value: Value::OptionalFile, value_name: "FILE",
        details: "The page shows every build on a time axis, what it waited for, and what would make the \
                  command faster. Without FILE, the path of the page in `/var/lib/dkms/.timings` is printed: \
                  dkms keeps the pages of the last five commands that built something there.",
    }
    Force = "force", Building, "Override safety checks" {
        details: "Rebuilds and reinstalls what is there already, installs over a newer module, builds \
                  without what `BUILD_DEPENDS` names, overwrites when loading an archive, and removes \
                  installed files that were changed. With `mok rotate`, uses the new key although it is not \
                  trusted yet.",
    }
    NoCache = "no-cache", Building, "Neither use nor fill the cache of builds" {
        details: "Everything is compiled. Without it, a build whose inputs are those of an earlier one is \
                  taken from `/var/cache/dkms`; `--force` compiles an existing build again and replaces it \
                  there. With `SOURCE_DATE_EPOCH`, the cache is used only if it cannot become part of an image \
                  (`--root`, or a mounted directory).",
    }
    Registry = "registry", Building, "Use this registry of builds instead of those of framework.conf" {
        value: Value::Text, value_name: "REGISTRY", repeatable: true, misplaced: Misplaced::Refuse,
        details: "Written as `HOST[:PORT]/PREFIX`. Several registries are tried in the order given.",
    }
    Prebuilt = "prebuilt", Building, "Whether builds of a registry are used" {
        value: Value::Text, value_name: "prefer|only|off", misplaced: Misplaced::Refuse,
        details: "`prefer` uses the builds that a registry has and compiles the others, `only` compiles \
                  nothing, and `off` uses no registry.",
    }
    LockTimeout = "lock-timeout", Building,
        "How long to wait for another dkms [default: as long as it takes]" {
        value: Value::Seconds, value_name: "SECONDS", misplaced: Misplaced::Ignore,
        details: "This applies while another dkms builds the same module or changes the same kernel. With 0, \
                  dkms does not wait. After this time, the exit status is 75.",
    }
    MokSigningKey = "mok-signing-key", Signing, "Sign with this private key" {
        value: Value::File, value_name: "FILE",
        details: "A file or a name such as `pkcs11:object=dkms`. It takes precedence over `try_sign_modules` \
                  and `mok_signing_key`.",
    }
    MokCertificate = "mok-certificate", Signing, "The certificate that belongs to --mok-signing-key" {
        value: Value::File, value_name: "FILE",
    }
    ForceVersionOverride = "force-version-override", Installing,
        "Do not compare versions with those of modules that the kernel already has" {}
    NoDepmod = "no-depmod", Installing, "Do not run depmod(8)" {}
    ModprobeOnInstall = "modprobe-on-install", Installing,
        "Load newly installed modules that this machine's hardware needs" {
        details: "This happens only for the running kernel.",
    }
    SymlinkModules = "symlink-modules", Installing, "Install symbolic links instead of copies" {}
    RpmSafeUpgrade = "rpm_safe_upgrade", Installing, "For the scriptlets of RPM packages" {
        misplaced: Misplaced::Ignore,
        details: "An `add` cancels the `remove` of the same version that follows in the same RPM \
                  transaction.",
    }
    Repair = "repair", Repairing, "Repair what is safe to repair" {
        misplaced: Misplaced::Refuse,
        details: "Files that were changed by hand, and builds that could not be rebuilt, are not changed.",
    }
    Fix = "fix", Repairing, "Fix in the file what is safe to fix" {
        misplaced: Misplaced::Refuse,
        details: "Prints what was changed and what remains to be done by hand. The file is replaced in one \
                  step, and everything else in it stays byte for byte; if another directive would change as \
                  well, nothing is written. With `--dry-run`, nothing is changed.",
    }
    DryRun = "dry-run", Planning, "Print step by step what would be done, and do not change anything" {
        details: "Prints, with the reason for each step, what would be added, built, installed, skipped or \
                  deferred, in which order, and which files would be created and removed, as far as this is \
                  known in advance. No lock is taken, and no script of a module runs.",
    }
    Archive = "archive", Archives, "The archive or package to write or to load" {
        value: Value::File, value_name: "FILE",
        details: "`mktarball` compresses as the suffix says: gz, xz, zst, bz2 or not at all. It creates a \
                  name without a directory in /var/lib/dkms/MODULE/VERSION/tarball. `mkbmdeb` takes this \
                  option with one kernel only.",
    }
    BinariesOnly = "binaries-only", Archives, "Leave out the sources" {}
    SourceOnly = "source-only", Archives, "Leave out the built modules" {}
    Spec = "spec", Archives, "The spec file to use" {
        value: Value::File, value_name: "FILE",
        details: "dkms looks for it in the sources first.",
    }
    Output = "output", Archives, "The image or system extension to write" {
        short: Some('o'), value: Value::File, value_name: "PATH", misplaced: Misplaced::Refuse,
        details: "Without it, the result is in /var/lib/dkms/MODULE/VERSION. `mkimage` takes it with one \
                  kernel only.",
    }
    Image = "image", Archives, "The name of the image [default: that of the module]" {
        value: Value::Text, value_name: "NAME[:TAG]", misplaced: Misplaced::Refuse,
        details: "`${KERNEL_FULL_VERSION}` in it stands for the kernel, and is the tag if there is none.",
    }
    Base = "base", Archives,
        "The OCI layout whose image is the base [default: a static busybox of this machine]" {
        value: Value::File, value_name: "LAYOUT", misplaced: Misplaced::Refuse,
        details: "It is a directory or an archive. Its image must have /bin/sh, mkdir and cp, which KMM \
                  runs.",
    }
    Prefix = "prefix", Archives, "The directory above lib/modules in the image [default: /opt]" {
        value: Value::Directory, value_name: "DIRECTORY", misplaced: Misplaced::Refuse,
    }
    Kmm = "kmm", Archives, "Also print the resource Module for KMM" {
        misplaced: Misplaced::Refuse,
        details: "It is YAML, or JSON with `--json`, and the only thing on standard output. It needs \
                  `--image`.",
    }
    Format = "format", Archives, "The form: directory, squashfs or erofs [default: directory]" {
        value: Value::Text, value_name: "FORMAT", misplaced: Misplaced::Refuse,
        details: "The last two need mksquashfs(1) or mkfs.erofs(1).",
    }
    Os = "os", Archives, "The systems that may merge the extension [default: this one]" {
        value: Value::Text, value_name: "ID[:VERSION_ID]", misplaced: Misplaced::Refuse,
        details: "`_any` means every distribution.",
    }
    SysextLevel = "sysext-level", Archives, "The SYSEXT_LEVEL of these systems, instead of a version" {
        value: Value::Text, value_name: "LEVEL", misplaced: Misplaced::Refuse,
    }
    Load = "load", Archives, "Load the modules of the extension at boot" { misplaced: Misplaced::Refuse }
    Fleet = "fleet", Reports, "Report on the machines whose JSON files are in this directory" {
        value: Value::Directory, value_name: "DIRECTORY", misplaced: Misplaced::Refuse,
        details: "Each file is the output of `dkms report --json`, `dkms status --json` or `dkms ready --json` \
                  on one machine. A file that cannot be used is listed with the reason.",
    }
    Metrics = "metrics", Reports,
        "Write metrics for Prometheus, in the format of text files for node_exporter" {
        value: Value::File, value_name: "FILE", misplaced: Misplaced::Refuse,
        details: "With -, they go to standard output. The page is written only if a FILE is given for it.",
    }
    DkmsTree = "dkmstree", Places, "Where dkms keeps its tree [default: /var/lib/dkms]" {
        value: Value::Directory, value_name: "DIRECTORY",
        details: "Its cache of builds is then `.cache` in this directory.",
    }
    SourceTree = "sourcetree", Places, "Where sources are [default: /usr/src]" {
        value: Value::Directory, value_name: "DIRECTORY",
    }
    InstallTree = "installtree", Places, "Where kernels have their modules [default: /lib/modules]" {
        value: Value::Directory, value_name: "DIRECTORY",
    }
    Root = "root", Places, "Work on the system in this directory, such as an image or a chroot" {
        value: Value::Directory, value_name: "DIRECTORY",
        details: "Its newest kernel takes the place of the running one. See `OTHER SYSTEMS`.",
    }
    Loaded = "loaded", Output, "Show what the running kernel has loaded of each module" {
        misplaced: Misplaced::Refuse,
        details: "Compares the source checksums, or else the build IDs, of the loaded and the installed \
                  modules. `ready` requires that what `required_modules` names is loaded.",
    }
    Table = "table", Output, "Print a table of packages and kernels" { misplaced: Misplaced::Refuse }
    Json = "json", Output, "Print JSON instead of text" {
        details: "See `JSON`.",
    }
    Quiet = "quiet", Output, "Print nothing, not even errors" {
        short: Some('q'),
        details: "The lines of `status` are not printed either; only the exit status tells the result.",
    }
    Verbose = "verbose", Output, "Print more" {
        details: "This includes the stages of a build and where its log is, the signing key, and the output \
                  of depmod(8). The output of a build is in its log.",
    }
    Debug = "debug", Output, "Print every event, on standard error" {}
    Plain = "plain", Output, "Print lines without colours, never a live view" {
        details: "For screen readers, and for terminals on which the live view is a nuisance. A terminal of \
                  type `dumb` gets lines in any case.",
    }
    Version = "version", Output, "Print the version" { short: Some('V') }
    Help = "help", Output, "Print help, for one action if one is given" { short: Some('h') }
    Distro = "distro", Former, "" { short: Some('d'), value: Value::Text, value_name: "WORD" }
    Media = "media", Former, "" { value: Value::Text, value_name: "WORD" }
    Release = "release", Former, "" { short: Some('r'), value: Value::Text, value_name: "WORD" }
    LegacyPostinst = "legacy-postinst", Former, "" {
        value: Value::Text, value_name: "WORD", misplaced: Misplaced::Ignore,
    }
    NoInitrd = "no-initrd", Former, "" { misplaced: Misplaced::Ignore }
    NoCleanKernel = "no-clean-kernel", Former, "" { misplaced: Misplaced::Ignore }
    NoPrepareKernel = "no-prepare-kernel", Former, "" { misplaced: Misplaced::Ignore }
}
