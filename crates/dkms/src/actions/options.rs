//! The table of options: the command line is read by it, and help, completions and the option lists of
//! dkms(8) are generated from it.
//!
//! To add an option: a variant of [`Opt`], its row in [`OPTIONS`], the actions that it applies to in
//! `table.rs`, and a field of [`crate::cli::Arguments`] that receives its value.

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    Module,
    ModuleVersion,
    Kernel,
    Arch,
    AllKernels,
    All,
    TemplateKernel,
    Conf,
    Directive,
    Fingerprint,
    KernelSourceDir,
    KernelConfig,
    Jobs,
    Force,
    NoCache,
    Registry,
    Prebuilt,
    LockTimeout,
    MokSigningKey,
    MokCertificate,
    ForceVersionOverride,
    NoDepmod,
    ModprobeOnInstall,
    SymlinkModules,
    RpmSafeUpgrade,
    Repair,
    Fix,
    DryRun,
    Archive,
    BinariesOnly,
    SourceOnly,
    Spec,
    Output,
    Image,
    Base,
    Prefix,
    Kmm,
    Format,
    Os,
    SysextLevel,
    Load,
    DkmsTree,
    SourceTree,
    InstallTree,
    Root,
    Loaded,
    Json,
    Quiet,
    Verbose,
    Debug,
    Version,
    Help,
    Distro,
    Media,
    Release,
    LegacyPostinst,
    NoInitrd,
    NoCleanKernel,
    NoPrepareKernel,
}

/// What an option takes, which is also what shells complete after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing: the option is a flag.
    Flag,
    Module,
    Version,
    Kernel,
    Arch,
    File,
    Directory,
    Directive,
    Jobs,
    Seconds,
    Text,
}

/// The headings of dkms(8), in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Selection,
    Building,
    Signing,
    Installing,
    Repairing,
    Planning,
    Archives,
    Places,
    Output,
    /// Options of former versions, which are accepted but not listed.
    Former,
}

/// What happens when an option is given to an action that it does not apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// It has no effect and one warning says so.
    Warn,
    /// It is an error: ignoring it would do something else than what was asked for.
    Refuse,
    /// It has no effect, and scripts of dkms 3.x may pass it.
    Ignore,
}

/// Everything about an option.
#[derive(Debug)]
pub(crate) struct OptionRow {
    pub opt: Opt,
    pub short: Option<char>,
    /// Without the dashes; empty if there is only a short name.
    pub long: &'static str,
    pub value: Value,
    /// The value's name in help, such as `FILE`.
    pub value_name: &'static str,
    /// Several values can be given; otherwise the last one counts.
    pub repeatable: bool,
    pub group: Group,
    pub misplaced: Misplaced,
    /// One sentence without its full stop.
    pub about: &'static str,
    /// More sentences for dkms(8) and the help of an action; words in backticks are literal.
    pub details: &'static str,
}

impl OptionRow {
    /// How messages name it: the long name if there is one.
    pub(crate) fn name(&self) -> String {
        match self.short {
            Some(short) if self.long.is_empty() => format!("-{short}"),
            _ => format!("--{}", self.long),
        }
    }

    /// How clap names it.
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

impl Opt {
    /// Its row in the table.
    pub(crate) fn row(self) -> &'static OptionRow {
        // A test checks that each option has a row.
        OPTIONS.iter().find(|row| row.opt == self).unwrap_or(&OPTIONS[0])
    }
}

impl Group {
    /// All with a heading, in the order of dkms(8).
    pub(crate) const ALL: [Self; 9] = [
        Self::Selection,
        Self::Building,
        Self::Signing,
        Self::Installing,
        Self::Repairing,
        Self::Planning,
        Self::Archives,
        Self::Places,
        Self::Output,
    ];

    /// Its heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Selection => "Selection options",
            Self::Building => "Build options",
            Self::Signing => "Signing options",
            Self::Installing => "Installation options",
            Self::Repairing => "Repair options",
            Self::Planning => "Planning options",
            Self::Archives => "Archive options",
            Self::Places => "Location options",
            Self::Output => "Output options",
            Self::Former => "Former options",
        }
    }
}

/// A flag that only has a long name.
const fn flag(opt: Opt, long: &'static str, group: Group, about: &'static str) -> OptionRow {
    OptionRow {
        opt,
        short: None,
        long,
        value: Value::Flag,
        value_name: "",
        repeatable: false,
        group,
        misplaced: Misplaced::Warn,
        about,
        details: "",
    }
}

/// An option with a value that only has a long name.
const fn valued(
    opt: Opt,
    long: &'static str,
    (value, value_name): (Value, &'static str),
    group: Group,
    about: &'static str,
) -> OptionRow {
    OptionRow { value, value_name, ..flag(opt, long, group, about) }
}

/// An option of former versions, without a description.
const fn former(opt: Opt, short: Option<char>, long: &'static str, value: Value) -> OptionRow {
    let row = flag(opt, long, Group::Former, "");
    OptionRow { short, value, value_name: if matches!(value, Value::Flag) { "" } else { "WORD" }, ..row }
}

impl OptionRow {
    const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    const fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    const fn misplaced(self, misplaced: Misplaced) -> Self {
        Self { misplaced, ..self }
    }

    const fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }
}

/// Every option, in the order of dkms(8).
pub(crate) static OPTIONS: &[OptionRow] = &[
    valued(
        Opt::Module,
        "module",
        (Value::Module, "MODULE[/VERSION]"),
        Group::Selection,
        "The module, or module and version",
    )
    .short('m')
    .details("The same as the operand."),
    valued(Opt::ModuleVersion, "", (Value::Version, "VERSION"), Group::Selection, "The version of the module")
        .short('v'),
    valued(
        Opt::Kernel,
        "kernelver",
        (Value::Kernel, "KERNEL[/ARCH]"),
        Group::Selection,
        "The kernel [default: the running one]",
    )
    .short('k')
    .repeatable()
    .details("May be repeated where an action takes several kernels."),
    valued(
        Opt::Arch,
        "arch",
        (Value::Arch, "ARCH"),
        Group::Selection,
        "The architecture [default: this machine's]",
    )
    .short('a')
    .repeatable()
    .details("One serves all kernels; several are paired with `-k` in order, and there must be as many."),
    flag(Opt::AllKernels, "all-kernels", Group::Selection, "Every kernel that has headers")
        .misplaced(Misplaced::Refuse),
    flag(Opt::All, "all", Group::Selection, "Every kernel that the module is built for")
        .misplaced(Misplaced::Refuse),
    valued(
        Opt::TemplateKernel,
        "templatekernel",
        (Value::Kernel, "KERNEL"),
        Group::Selection,
        "The kernel whose installed modules are matched",
    ),
    valued(Opt::Conf, "", (Value::File, "FILE"), Group::Building, "Use this dkms.conf instead of the module's")
        .short('c'),
    valued(
        Opt::Directive,
        "directive",
        (Value::Directive, "NAME=VALUE"),
        Group::Building,
        "Override a directive of dkms.conf",
    )
    .repeatable()
    .details("May be repeated. The directives are described in dkms.conf(5)."),
    flag(
        Opt::Fingerprint,
        "fingerprint",
        Group::Building,
        "Print the inputs of a build, one a line, and their digest",
    )
    .details(
        "Two builds with the same fingerprint have the same inputs. Machines can be compared with diff(1). Patches are \
         applied to a temporary copy of the source; nothing is compiled, and the tree is not changed.",
    )
    .misplaced(Misplaced::Refuse),
    valued(
        Opt::KernelSourceDir,
        "kernelsourcedir",
        (Value::Directory, "DIRECTORY"),
        Group::Building,
        "The kernel's headers [default: /lib/modules/KERNEL/build]",
    ),
    valued(
        Opt::KernelConfig,
        "config",
        (Value::File, "FILE"),
        Group::Building,
        "The kernel's configuration [default: that of its headers]",
    ),
    valued(
        Opt::Jobs,
        "",
        (Value::Jobs, "NUMBER"),
        Group::Building,
        "How many jobs may run at once; 0 means no limit [default: one per processor]",
    )
    .short('j')
    .details(
        "All builds of a command share them: that many builds run in parallel, and together they never run more \
         compilers than that.",
    ),
    flag(Opt::Force, "force", Group::Building, "Override safety checks").details(
        "Rebuilds and reinstalls what is there already, installs over a newer module, builds without what \
         `BUILD_DEPENDS` names, overwrites when loading an archive, and removes installed files that were changed. \
         With `mok rotate`, uses the new key although it is not trusted yet.",
    ),
    flag(Opt::NoCache, "no-cache", Group::Building, "Neither use nor fill the cache of builds").details(
        "Everything is compiled. Without it, a build whose inputs are those of an earlier one is taken from \
         `/var/cache/dkms`; `--force` compiles an existing build again and replaces it there. \
         It is not used either if `SOURCE_DATE_EPOCH` is set.",
    ),
    valued(
        Opt::Registry,
        "registry",
        (Value::Text, "REGISTRY"),
        Group::Building,
        "Use this registry of builds instead of those of framework.conf",
    )
    .repeatable()
    .misplaced(Misplaced::Refuse)
    .details("Written as `HOST[:PORT]/PREFIX`. Several are asked in the order given."),
    valued(
        Opt::Prebuilt,
        "prebuilt",
        (Value::Text, "prefer|only|off"),
        Group::Building,
        "Whether builds of a registry are used",
    )
    .misplaced(Misplaced::Refuse)
    .details(
        "`prefer` takes what a registry has and compiles the rest, `only` compiles nothing, and `off` asks no \
         registry.",
    ),
    valued(
        Opt::LockTimeout,
        "lock-timeout",
        (Value::Seconds, "SECONDS"),
        Group::Building,
        "How long to wait for another dkms [default: as long as it takes]",
    )
    .misplaced(Misplaced::Ignore)
    .details(
        "This applies while another dkms builds the same module or changes the same kernel; 0 means not at all. \
         When the time is over, the exit status is 75.",
    ),
    valued(
        Opt::MokSigningKey,
        "mok-signing-key",
        (Value::File, "FILE"),
        Group::Signing,
        "Sign with this private key",
    )
    .details(
        "A file or a name such as `pkcs11:object=dkms`. It is used whatever `try_sign_modules` and \
         `mok_signing_key` are set to.",
    ),
    valued(
        Opt::MokCertificate,
        "mok-certificate",
        (Value::File, "FILE"),
        Group::Signing,
        "The certificate that belongs to --mok-signing-key",
    ),
    flag(
        Opt::ForceVersionOverride,
        "force-version-override",
        Group::Installing,
        "Do not compare versions with those of modules that the kernel already has",
    ),
    flag(Opt::NoDepmod, "no-depmod", Group::Installing, "Do not run depmod(8)"),
    flag(
        Opt::ModprobeOnInstall,
        "modprobe-on-install",
        Group::Installing,
        "Load newly installed modules that this machine's hardware needs",
    )
    .details("This happens only for the running kernel."),
    flag(
        Opt::SymlinkModules,
        "symlink-modules",
        Group::Installing,
        "Install symbolic links instead of copies",
    ),
    flag(Opt::RpmSafeUpgrade, "rpm_safe_upgrade", Group::Installing, "For the scriptlets of RPM packages")
        .misplaced(Misplaced::Ignore)
        .details("An `add` cancels the `remove` of the same version that follows in the same RPM transaction."),
    flag(Opt::Repair, "repair", Group::Repairing, "Repair what is safe to repair")
        .misplaced(Misplaced::Refuse)
        .details(
            "Files that were changed by hand, and builds that could not be built again, are left as they are.",
        ),
    flag(Opt::Fix, "fix", Group::Repairing, "Fix in the file what is safe to fix")
        .misplaced(Misplaced::Refuse)
        .details(
            "Prints what was changed and what remains to be done by hand. The file is replaced in one step, and \
             everything else in it stays byte for byte; if another directive would change as well, nothing is \
             written. With `--dry-run`, nothing is changed.",
        ),
    flag(
        Opt::DryRun,
        "dry-run",
        Group::Planning,
        "Print step by step what would be done, and do not change anything",
    )
    .details(
        "Prints, with the reason for each step, what would be added, built, installed, skipped or deferred, in \
         which order, and which files would be created and removed, as far as this is known in advance. No lock is \
         taken, and no script of a module runs.",
    ),
    valued(
        Opt::Archive,
        "archive",
        (Value::File, "FILE"),
        Group::Archives,
        "The archive or package to write or to load",
    )
    .details(
        "`mktarball` compresses as the suffix says: gz, xz, zst, bz2 or not at all. It creates a name without a \
         directory in /var/lib/dkms/MODULE/VERSION/tarball. `mkbmdeb` takes this option with one kernel only.",
    ),
    flag(Opt::BinariesOnly, "binaries-only", Group::Archives, "Leave out the sources"),
    flag(Opt::SourceOnly, "source-only", Group::Archives, "Leave out the built modules"),
    valued(Opt::Spec, "spec", (Value::File, "FILE"), Group::Archives, "The spec file to use")
        .details("It is looked for in the sources first."),
    valued(
        Opt::Output,
        "output",
        (Value::File, "PATH"),
        Group::Archives,
        "The image or system extension to write",
    )
    .short('o')
    .misplaced(Misplaced::Refuse)
    .details("Without it, the result is in /var/lib/dkms/MODULE/VERSION. `mkimage` takes it with one kernel only."),
    valued(Opt::Image, "image", (Value::Text, "NAME[:TAG]"), Group::Archives, "The name of the image [default: that of the module]")
        .misplaced(Misplaced::Refuse)
        .details("`${KERNEL_FULL_VERSION}` in it stands for the kernel, and is the tag if there is none."),
    valued(
        Opt::Base,
        "base",
        (Value::File, "LAYOUT"),
        Group::Archives,
        "The OCI layout whose image is the base [default: a static busybox of this machine]",
    )
    .misplaced(Misplaced::Refuse)
    .details("It is a directory or an archive. Its image must have /bin/sh, mkdir and cp, which KMM runs."),
    valued(
        Opt::Prefix,
        "prefix",
        (Value::Directory, "DIRECTORY"),
        Group::Archives,
        "The directory above lib/modules in the image [default: /opt]",
    )
    .misplaced(Misplaced::Refuse),
    flag(Opt::Kmm, "kmm", Group::Archives, "Print the resource Module for KMM, too")
        .misplaced(Misplaced::Refuse)
        .details("It is YAML, or JSON with `--json`, and the only thing on standard output. It needs `--image`."),
    valued(
        Opt::Format,
        "format",
        (Value::Text, "FORMAT"),
        Group::Archives,
        "The form: directory, squashfs or erofs [default: directory]",
    )
    .misplaced(Misplaced::Refuse)
    .details("The last two need mksquashfs(1) or mkfs.erofs(1)."),
    valued(
        Opt::Os,
        "os",
        (Value::Text, "ID[:VERSION_ID]"),
        Group::Archives,
        "The systems that may merge the extension [default: this one]",
    )
    .misplaced(Misplaced::Refuse)
    .details("`_any` means every distribution."),
    valued(
        Opt::SysextLevel,
        "sysext-level",
        (Value::Text, "LEVEL"),
        Group::Archives,
        "The SYSEXT_LEVEL of these systems, instead of a version",
    )
    .misplaced(Misplaced::Refuse),
    flag(Opt::Load, "load", Group::Archives, "Load the modules of the extension at boot")
        .misplaced(Misplaced::Refuse),
    valued(
        Opt::DkmsTree,
        "dkmstree",
        (Value::Directory, "DIRECTORY"),
        Group::Places,
        "Where dkms keeps its tree [default: /var/lib/dkms]",
    )
    .details("Its cache of builds is then `.cache` in this directory."),
    valued(
        Opt::SourceTree,
        "sourcetree",
        (Value::Directory, "DIRECTORY"),
        Group::Places,
        "Where sources are [default: /usr/src]",
    ),
    valued(
        Opt::InstallTree,
        "installtree",
        (Value::Directory, "DIRECTORY"),
        Group::Places,
        "Where kernels have their modules [default: /lib/modules]",
    ),
    valued(
        Opt::Root,
        "root",
        (Value::Directory, "DIRECTORY"),
        Group::Places,
        "Work on the system in this directory, such as an image or a chroot",
    )
    .details("Its newest kernel takes the place of the running one. See `OTHER SYSTEMS`."),
    flag(Opt::Loaded, "loaded", Group::Output, "Show what the running kernel has loaded of each module")
        .details("Compares the source checksums, or else the build IDs, of the loaded and the installed modules. `ready` \
         requires that what `required_modules` names is loaded.")
        .misplaced(Misplaced::Refuse),
    flag(Opt::Json, "json", Group::Output, "Print JSON instead of text").details("See `JSON`."),
    flag(Opt::Quiet, "quiet", Group::Output, "Print nothing, not even errors")
        .short('q')
        .details("The lines of `status` are not printed either; only the exit status tells the result."),
    flag(Opt::Verbose, "verbose", Group::Output, "Print more").details(
        "This includes the stages of a build and where its log is, the signing key, and the output of depmod(8). \
         The output of a build is in its log.",
    ),
    flag(Opt::Debug, "debug", Group::Output, "Print every event, on standard error"),
    flag(Opt::Version, "version", Group::Output, "Print the version").short('V'),
    flag(Opt::Help, "help", Group::Output, "Print help, for one action if one is given").short('h'),
    former(Opt::Distro, Some('d'), "distro", Value::Text),
    former(Opt::Media, None, "media", Value::Text),
    former(Opt::Release, Some('r'), "release", Value::Text),
    former(Opt::LegacyPostinst, None, "legacy-postinst", Value::Text).misplaced(Misplaced::Ignore),
    former(Opt::NoInitrd, None, "no-initrd", Value::Flag).misplaced(Misplaced::Ignore),
    former(Opt::NoCleanKernel, None, "no-clean-kernel", Value::Flag).misplaced(Misplaced::Ignore),
    former(Opt::NoPrepareKernel, None, "no-prepare-kernel", Value::Flag).misplaced(Misplaced::Ignore),
];

/// Options without any effect, each of which is reported as deprecated when it is given.
pub(crate) const DEPRECATED: [Opt; 4] =
    [Opt::LegacyPostinst, Opt::NoInitrd, Opt::NoCleanKernel, Opt::NoPrepareKernel];
