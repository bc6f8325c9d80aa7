//! Options that select modules and kernels, and those for building, signing, installing and repairing.

use crate::actions::option::{Group, Misplaced, Opt, OptionRow, Value, flag, valued};

/// Their rows, in the order of [`Opt`].
pub(super) const CHANGES: &[OptionRow] = &[
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
        "The architecture [default: the kernel's]",
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
    valued(
        Opt::Timings,
        "timings",
        (Value::OptionalFile, "FILE"),
        Group::Building,
        "Write a page (HTML) that shows where the time went",
    )
    .details(
        "The page shows every build on a time axis, what it waited for, and what would make the command faster. \
         Without FILE, the page that dkms keeps anyway is named: those of the last five commands that built \
         something are in `/var/lib/dkms/.timings`.",
    ),
    flag(Opt::Force, "force", Group::Building, "Override safety checks").details(
        "Rebuilds and reinstalls what is there already, installs over a newer module, builds without what \
         `BUILD_DEPENDS` names, overwrites when loading an archive, and removes installed files that were changed. \
         With `mok rotate`, uses the new key although it is not trusted yet.",
    ),
    flag(Opt::NoCache, "no-cache", Group::Building, "Neither use nor fill the cache of builds").details(
        "Everything is compiled. Without it, a build whose inputs are those of an earlier one is taken from \
         `/var/cache/dkms`; `--force` compiles an existing build again and replaces it there. \
         With `SOURCE_DATE_EPOCH`, it is only used if it cannot become part of an image (`--root`, or a mounted directory).",
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
];
