//! The table of actions.
//!
//! To add an action: a variant of [`Action`], its row in [`ACTIONS`], its file in `commands/`, and its arm in
//! `commands/mod.rs`. CONTRIBUTING.md has the steps.

use super::kinds::{Effect, Kernels, Operand, Root};
use super::options::Opt;

/// The actions, in the order in which help lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Add,
    Build,
    Install,
    Uninstall,
    Unbuild,
    Remove,
    Status,
    Reload,
    Autoinstall,
    Match,
    Config,
    Lint,
    Verify,
    Ready,
    Pending,
    Preflight,
    Fsck,
    Mktarball,
    Ldtarball,
    Mkdeb,
    Mkdsc,
    Mkbmdeb,
    Mkrpm,
    Mkkmp,
    Mkdriverdisk,
    Mkimage,
    Mksysext,
    GenerateMok,
    Mok,
    Push,
    Pull,
    Matrix,
    RegistryKey,
    Cache,
    KernelPreinst,
    KernelPostinst,
    KernelPrerm,
    KernelHold,
}

/// Everything about an action.
#[derive(Debug)]
pub(crate) struct ActionRow {
    pub action: Action,
    /// The word that it is called by.
    pub word: &'static str,
    /// One phrase: what it is for.
    pub purpose: &'static str,
    /// A few sentences more.
    pub about: &'static str,
    /// What its operands can be.
    pub operand: Operand,
    /// Command lines that work as they stand.
    pub examples: &'static [&'static str],
    pub effect: Effect,
    pub root: Root,
    /// Whether the tree must be writable from the start. Other actions need that only if there is something
    /// to change.
    pub writable_tree: bool,
    pub kernels: Kernels,
    /// Whether it may run programs of the system: compilers, depmod, scripts of modules.
    pub runs_programs: bool,
    /// The options of this action, which help and completions list besides [`super::COMMON`].
    pub options: &'static [&'static [Opt]],
    /// Options that are accepted without a warning, but not listed: they have a minor effect, scripts pass
    /// them, or the action itself explains why they are wrong.
    pub accepts: &'static [&'static [Opt]],
}

impl Action {
    /// The action that a word names.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        ACTIONS.iter().find(|row| row.word == word).map(|row| row.action)
    }

    /// Its row in the table.
    pub(crate) fn row(self) -> &'static ActionRow {
        // A test checks that each action has a row.
        ACTIONS.iter().find(|row| row.action == self).unwrap_or(&ACTIONS[0])
    }

    /// The word it is called by.
    pub(crate) fn word(self) -> &'static str {
        self.row().word
    }
}

const PACKAGE: &[Opt] = &[Opt::Module, Opt::ModuleVersion];
const KERNELS: &[Opt] = &[Opt::Kernel, Opt::Arch];
/// Which dkms.conf counts, and how it is evaluated for a kernel.
const CONF: &[Opt] = &[Opt::Conf, Opt::Directive];
const HEADERS: &[Opt] = &[Opt::KernelSourceDir, Opt::KernelConfig];
const BUILD: &[Opt] = &[Opt::Jobs, Opt::Force, Opt::NoCache, Opt::Registry, Opt::Prebuilt];
const INSTALL: &[Opt] =
    &[Opt::ForceVersionOverride, Opt::NoDepmod, Opt::ModprobeOnInstall, Opt::SymlinkModules];
const SIGN: &[Opt] = &[Opt::MokSigningKey, Opt::MokCertificate];
const CHANGE: &[Opt] = &[Opt::DryRun, Opt::LockTimeout];
const REMOVAL: &[Opt] = &[Opt::All, Opt::Force, Opt::NoDepmod];
const ONLY: &[Opt] = &[Opt::BinariesOnly, Opt::SourceOnly];
const IMAGE: &[Opt] = &[Opt::Output, Opt::Image, Opt::Base, Opt::Prefix, Opt::Kmm];
const SYSEXT: &[Opt] = &[Opt::Output, Opt::Format, Opt::Os, Opt::SysextLevel, Opt::Load];
/// What mkdriverdisk took formerly; the actions that make rpm packages explain what replaced it.
const DISK: &[Opt] = &[Opt::Distro, Opt::Media, Opt::Release];

/// What most actions have in common.
const BASE: ActionRow = ActionRow {
    action: Action::Add,
    word: "",
    purpose: "",
    about: "",
    operand: Operand::Package,
    examples: &[],
    effect: Effect::Changes,
    root: Root::No,
    writable_tree: false,
    kernels: Kernels::Many,
    runs_programs: false,
    options: &[],
    accepts: &[],
};

/// Every action.
pub(crate) static ACTIONS: &[ActionRow] = &[
    ActionRow {
        action: Action::Add,
        word: "add",
        purpose: "register a module",
        about: "Registers the sources in /usr/src/MODULE-VERSION. The sources of a directory that has a dkms.conf are \
                copied there first, and an archive is loaded as by `ldtarball`.",
        operand: Operand::Source,
        examples: &["dkms add hello/1.0", "dkms add ./hello"],
        writable_tree: true,
        runs_programs: true,
        options: &[PACKAGE, CONF, &[Opt::Archive, Opt::Force, Opt::RpmSafeUpgrade], CHANGE],
        accepts: &[KERNELS, HEADERS, SIGN, INSTALL, &[Opt::Jobs]],
        ..BASE
    },
    ActionRow {
        action: Action::Build,
        word: "build",
        purpose: "build a module for kernels",
        about: "Builds the module for the kernels that are given, and adds it first if it is not registered yet. What is \
                built already is skipped, unless `--force` is given.",
        operand: Operand::Source,
        examples: &["dkms build hello/1.0", "dkms build hello/1.0 -k 6.1.0-9-amd64 -k 6.1.0-10-amd64"],
        runs_programs: true,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, BUILD, SIGN, CHANGE],
        accepts: &[&[Opt::Archive]],
        ..BASE
    },
    ActionRow {
        action: Action::Install,
        word: "install",
        purpose: "install a module for kernels; adds and builds it first",
        about: "Installs the module for the kernels that are given, after adding and building it where needed. A module \
                of the same name that the kernel has already is kept aside until `uninstall`.",
        operand: Operand::Source,
        examples: &["dkms install ./hello", "dkms install hello/1.0 -k 6.1.0-9-amd64"],
        root: Root::Always,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, BUILD, SIGN, INSTALL, &[Opt::RpmSafeUpgrade], CHANGE],
        accepts: &[&[Opt::Archive]],
        ..BASE
    },
    ActionRow {
        action: Action::Uninstall,
        word: "uninstall",
        purpose: "remove a module from kernels; it stays built",
        about: "Removes the installed files and restores the modules that the kernel had before. What is built stays, so \
                that `install` can bring it back.",
        examples: &["dkms uninstall hello/1.0", "dkms uninstall hello/1.0 --all"],
        root: Root::Always,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, REMOVAL, CHANGE],
        accepts: &[CONF, HEADERS],
        ..BASE
    },
    ActionRow {
        action: Action::Unbuild,
        word: "unbuild",
        purpose: "uninstall a module and delete what was built",
        about: "Uninstalls the module and deletes what was built for the kernels that are given. It stays registered.",
        examples: &["dkms unbuild hello/1.0", "dkms unbuild hello/1.0 --all"],
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, REMOVAL, CHANGE],
        accepts: &[CONF, HEADERS],
        ..BASE
    },
    ActionRow {
        action: Action::Remove,
        word: "remove",
        purpose: "unbuild a module; the last kernel unregisters it",
        about: "Uninstalls and unbuilds the module. When no kernel is left, dkms forgets it. The sources in /usr/src stay.",
        examples: &["dkms remove hello/1.0 --all", "dkms remove hello/1.0 -k 6.1.0-9-amd64"],
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, REMOVAL, &[Opt::RpmSafeUpgrade], CHANGE],
        accepts: &[CONF, HEADERS],
        ..BASE
    },
    ActionRow {
        action: Action::Status,
        word: "status",
        purpose: "show the state of each module",
        about: "Prints a line for each module and each kernel that it is built for: added, built, installed or broken. \
                Module, version, kernel and architecture may be patterns.",
        examples: &["dkms status", "dkms status 'zfs*' -k 6.1.0-9-amd64"],
        effect: Effect::Queries,
        options: &[PACKAGE, KERNELS, &[Opt::Loaded]],
        accepts: &[&[Opt::All, Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::Reload,
        word: "reload",
        purpose: "replace loaded modules by the installed ones",
        about: "Unloads the loaded modules of a package from the running kernel, those that use others first, and loads \
                what is installed. If something else uses one, nothing is unloaded, and dkms prints what that is.",
        operand: Operand::Packages,
        examples: &["dkms reload hello", "dkms reload spl zfs"],
        root: Root::Always,
        kernels: Kernels::None,
        runs_programs: true,
        options: &[CHANGE],
        accepts: &[PACKAGE],
        ..BASE
    },
    ActionRow {
        action: Action::Autoinstall,
        word: "autoinstall",
        purpose: "install every module with AUTOINSTALL=yes",
        about: "Installs the newest version of every module with `AUTOINSTALL=yes` for a kernel, dependencies first. A \
                module that fails does not stop the others.",
        operand: Operand::None,
        examples: &["dkms autoinstall", "dkms autoinstall --all-kernels"],
        root: Root::Always,
        kernels: Kernels::One,
        runs_programs: true,
        options: &[KERNELS, &[Opt::AllKernels], BUILD, SIGN, INSTALL, CHANGE],
        accepts: &[CONF, HEADERS],
        ..BASE
    },
    ActionRow {
        action: Action::Match,
        word: "match",
        purpose: "install for a kernel what another kernel has",
        about: "Installs, for the kernel given with `-k`, the modules and versions that are installed for the kernel given \
                with `--templatekernel`.",
        examples: &["dkms match --templatekernel 6.1.0-9-amd64 -k 6.1.0-10-amd64"],
        root: Root::Always,
        kernels: Kernels::One,
        runs_programs: true,
        options: &[&[Opt::Module, Opt::TemplateKernel], KERNELS, BUILD, SIGN, INSTALL, CHANGE],
        accepts: &[CONF, HEADERS],
        ..BASE
    },
    ActionRow {
        action: Action::Config,
        word: "config",
        purpose: "show how dkms understands a dkms.conf, as JSON",
        about: "Prints the directives of a dkms.conf for a kernel after all overrides, the modules and their destinations, \
                the command that would build them, and what is wrong. The default is the current directory.",
        operand: Operand::Source,
        examples: &[
            "dkms config hello/1.0",
            "dkms config ./hello -k 6.1.0-9-amd64",
            "dkms config hello/1.0 --fingerprint",
        ],
        effect: Effect::Evaluates,
        kernels: Kernels::One,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, &[Opt::Fingerprint]],
        accepts: &[&[Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::Lint,
        word: "lint",
        purpose: "check a dkms.conf for mistakes",
        about: "For authors of drivers: prints what could be better in a dkms.conf and the files beside it, with line, \
                reason and replacement. The default is the current directory.",
        operand: Operand::Source,
        examples: &["dkms lint ./hello", "dkms lint ./hello --fix"],
        effect: Effect::QueriesUnless(Opt::Fix),
        kernels: Kernels::One,
        options: &[PACKAGE, KERNELS, &[Opt::Conf, Opt::Fix, Opt::DryRun]],
        accepts: &[HEADERS, &[Opt::Directive]],
        ..BASE
    },
    ActionRow {
        action: Action::Verify,
        word: "verify",
        purpose: "check whether a kernel would load modules",
        about: "Checks, for every installed module or for the files given, whether the kernel would load it, and prints \
                the reason if not: version magic, symbols, compression, licence, signature.",
        operand: Operand::PackageOrFiles,
        examples: &["dkms verify", "dkms verify hello.ko -k 6.1.0-9-amd64"],
        effect: Effect::Queries,
        options: &[PACKAGE, KERNELS],
        accepts: &[HEADERS, &[Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::Ready,
        word: "ready",
        purpose: "check whether a kernel is safe to boot next",
        about: "Checks whether a kernel, by default the newest, has every required module, so that it can be booted. The \
                exit status is 0 for yes, 1 for no, and 2 if that is unknown.",
        operand: Operand::None,
        examples: &["dkms ready", "dkms ready -k 6.1.0-10-amd64"],
        effect: Effect::Queries,
        kernels: Kernels::One,
        options: &[KERNELS, &[Opt::Loaded]],
        accepts: &[PACKAGE, HEADERS, &[Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::Pending,
        word: "pending",
        purpose: "list modules that are not installed yet, and why",
        about: "Lists, for every kernel or those given, the modules that are not installed yet and what they wait for: \
                headers, a dependency, a fix, or the enrolment of a key.",
        operand: Operand::None,
        examples: &["dkms pending"],
        effect: Effect::Queries,
        options: &[KERNELS],
        accepts: &[PACKAGE, HEADERS, &[Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::Preflight,
        word: "preflight",
        purpose: "check whether modules build for the next kernels",
        about: "Before an upgrade: builds the modules for the kernels that the package manager offers next, or those given, \
                in a temporary directory. The package manager fetches and checks their headers; nothing is installed. The \
                exit status is 0 for yes, 1 for no, and 2 if that is unknown.",
        operand: Operand::Kernels,
        examples: &["dkms preflight", "dkms preflight 6.1.0-10-amd64"],
        effect: Effect::Evaluates,
        options: &[&[Opt::Kernel]],
        accepts: &[&[Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::Fsck,
        word: "fsck",
        purpose: "check the tree and the kernels' modules, and repair",
        about: "Checks the tree and the kernels' modules for inconsistencies, such as missing or changed files and \
                interrupted changes, and prints how each is repaired.",
        examples: &["dkms fsck", "dkms fsck --repair"],
        effect: Effect::QueriesUnless(Opt::Repair),
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, &[Opt::Repair], CHANGE],
        ..BASE
    },
    ActionRow {
        action: Action::Mktarball,
        word: "mktarball",
        purpose: "write an archive of a module",
        about: "Writes an archive with the sources and with what is built for the kernels given. `ldtarball` loads it on \
                another machine.",
        examples: &["dkms mktarball hello/1.0 --all", "dkms mktarball hello/1.0 --source-only"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF, &[Opt::Force]],
        ..BASE
    },
    ActionRow {
        action: Action::Ldtarball,
        word: "ldtarball",
        purpose: "load a module from an archive or package",
        about: "Loads an archive of `mktarball`, any source archive that has a dkms.conf, or the module in a Debian or RPM \
                package. Modules in it are built afterwards. What is there already is kept, unless `--force` is given.",
        operand: Operand::Archive,
        examples: &["dkms ldtarball hello-1.0.dkms.tar.gz"],
        root: Root::Sometimes,
        runs_programs: true,
        options: &[KERNELS, &[Opt::Archive, Opt::Force], CHANGE],
        accepts: &[PACKAGE, CONF, HEADERS, SIGN, INSTALL, &[Opt::All, Opt::Jobs]],
        ..BASE
    },
    ActionRow {
        action: Action::Mkdeb,
        word: "mkdeb",
        purpose: "write a Debian package of a module",
        about: "Writes a Debian package with the sources, which dkms builds on the target, and with what is built for the \
                kernels given.",
        examples: &["dkms mkdeb hello/1.0", "dkms mkdeb hello/1.0 --all --binaries-only"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF],
        ..BASE
    },
    ActionRow {
        action: Action::Mkdsc,
        word: "mkdsc",
        purpose: "write a Debian source package of a module",
        about: "Writes a Debian source package from which dpkg-buildpackage(1) makes the package of `mkdeb`.",
        examples: &["dkms mkdsc hello/1.0"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF],
        ..BASE
    },
    ActionRow {
        action: Action::Mkbmdeb,
        word: "mkbmdeb",
        purpose: "write Debian packages of built modules",
        about: "Writes a Debian package of the built modules for each kernel given. It needs neither dkms nor a compiler \
                on the target.",
        examples: &["dkms mkbmdeb hello/1.0 --all"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], CHANGE],
        accepts: &[CONF, ONLY],
        ..BASE
    },
    ActionRow {
        action: Action::Mkrpm,
        word: "mkrpm",
        purpose: "write an RPM package of a module",
        about: "Writes an RPM package, by rpmbuild(8), with the sources, which dkms builds on the target, and with what is \
                built for the kernels given, by default all of them.",
        examples: &["dkms mkrpm hello/1.0", "dkms mkrpm hello/1.0 --source-only"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF, DISK],
        ..BASE
    },
    ActionRow {
        action: Action::Mkkmp,
        word: "mkkmp",
        purpose: "write a source package of a SUSE kernel module package",
        about: "Writes the source package of a SUSE kernel module package (KMP), from the module's own spec file.",
        examples: &["dkms mkkmp hello/1.0 --spec hello-kmp.spec"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive, Opt::Spec], CHANGE],
        accepts: &[CONF, ONLY, DISK],
        ..BASE
    },
    ActionRow {
        action: Action::Mkdriverdisk,
        word: "mkdriverdisk",
        purpose: "write a driver disk for the installers of Fedora and RHEL",
        about: "Writes an ISO image of the built modules, by default of every kernel, for the installers of Fedora, RHEL \
                and related systems.",
        examples: &["dkms mkdriverdisk hello/1.0 -k 6.1.0-9-amd64"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive, Opt::Spec], CHANGE],
        accepts: &[CONF, ONLY, DISK],
        ..BASE
    },
    ActionRow {
        action: Action::Mkimage,
        word: "mkimage",
        purpose: "write container images of built modules, as KMM loads them",
        about: "Writes a container image of the built modules for each kernel, which is an OCI layout and a docker archive \
                in one file. Kernel Module Management (KMM) loads the modules from it on the nodes of a cluster.",
        operand: Operand::Packages,
        examples: &[
            "dkms mkimage hello/1.0 -k 6.1.0-9-amd64 -o hello.tar",
            "dkms mkimage hello/1.0 --all --image quay.io/me/hello --kmm",
        ],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Force], IMAGE, CHANGE],
        accepts: &[CONF],
        ..BASE
    },
    ActionRow {
        action: Action::Mksysext,
        word: "mksysext",
        purpose: "write a system extension of built modules",
        about: "Writes an extension for systemd-sysext(8) with the built modules for the kernels given, for systems whose \
                /usr is read-only. It contains the service that makes modprobe(8) find them.",
        operand: Operand::Packages,
        examples: &[
            "dkms mksysext hello/1.0 -k 6.1.0-9-amd64",
            "dkms mksysext hello/1.0 --all --format squashfs -o hello.raw --load",
        ],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Force], SYSEXT, CHANGE],
        accepts: &[CONF],
        ..BASE
    },
    ActionRow {
        action: Action::GenerateMok,
        word: "generate_mok",
        purpose: "create the signing key if there is none",
        about: "Creates the key and certificate that modules are signed with, if there are none.",
        operand: Operand::None,
        examples: &["dkms generate_mok"],
        kernels: Kernels::None,
        options: &[CHANGE],
        accepts: &[KERNELS, SIGN, &[Opt::All, Opt::Force]],
        ..BASE
    },
    ActionRow {
        action: Action::Mok,
        word: "mok",
        purpose: "show, enroll or rotate the signing key",
        about: "`status`, the default, shows the signing key, whether this machine trusts it, and what to do next. \
                `enroll` requests its enrolment, and `rotate` replaces it and re-signs the modules.",
        operand: Operand::Words(&["status", "enroll", "rotate"]),
        examples: &["dkms mok", "dkms mok enroll", "dkms mok rotate --dry-run"],
        effect: Effect::QueriesFor("status"),
        root: Root::Sometimes,
        kernels: Kernels::One,
        runs_programs: true,
        options: &[&[Opt::Kernel, Opt::Force], SIGN, CHANGE],
        accepts: &[PACKAGE, &[Opt::Arch]],
        ..BASE
    },
    ActionRow {
        action: Action::Push,
        word: "push",
        purpose: "publish builds in a registry",
        about: "Signs the builds of a module for the kernels that are given, and publishes them in the first registry. \
                What is there already stays. Modules are published unsigned; each machine signs them itself.",
        examples: &["dkms push hello/1.0", "dkms push hello/1.0 --registry registry.example.org/dkms"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Registry]],
        ..BASE
    },
    ActionRow {
        action: Action::Pull,
        word: "pull",
        purpose: "fetch builds from a registry into the cache",
        about: "Fetches and verifies what the registries have of a module, or of every module with `AUTOINSTALL=yes`, for \
                the kernels that are given. `install` then takes it from the cache.",
        examples: &["dkms pull", "dkms pull hello/1.0 -k 6.1.0-9-amd64"],
        root: Root::Always,
        options: &[PACKAGE, KERNELS, &[Opt::AllKernels, Opt::Registry]],
        ..BASE
    },
    ActionRow {
        action: Action::Matrix,
        word: "matrix",
        purpose: "list the builds that the registry lacks",
        about: "Lists the builds of every module with `AUTOINSTALL=yes`, for every kernel with headers or those given, that \
                the registries do not have. With `--json`, in the form of a matrix of jobs for build services.",
        operand: Operand::None,
        examples: &["dkms matrix", "dkms matrix --json -k 6.1.0-9-amd64"],
        effect: Effect::Evaluates,
        options: &[KERNELS, &[Opt::Registry]],
        ..BASE
    },
    ActionRow {
        action: Action::RegistryKey,
        word: "registry-key",
        purpose: "create the key that signs published builds",
        about: "`generate` creates the key pair with which this machine signs what it publishes, and prints where the \
                public key belongs. It never overwrites a key.",
        operand: Operand::Words(&["generate"]),
        examples: &["dkms registry-key generate"],
        root: Root::Always,
        kernels: Kernels::None,
        ..BASE
    },
    ActionRow {
        action: Action::Cache,
        word: "cache",
        purpose: "show or clear the cache of builds",
        about: "`show`, the default, lists the builds in `/var/cache/dkms`, the most recently used first, and `size` their \
                size. `clear` removes them, or those of a module or a kernel. `why` prints which inputs of a build differ \
                from the nearest one there.",
        operand: Operand::WordAndPackage(&["show", "size", "clear", "why"]),
        examples: &["dkms cache", "dkms cache clear hello", "dkms cache why hello/1.0 -k 6.1.0-9-amd64"],
        effect: Effect::QueriesExceptFor(&["clear", "why"]),
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, &[Opt::DryRun]],
        ..BASE
    },
    ActionRow {
        action: Action::KernelPreinst,
        word: "kernel_preinst",
        purpose: "for package scripts: before a kernel is unpacked",
        about: "For the scripts of kernel packages: unbuilds the modules with `AUTOINSTALL=yes` for a kernel that is about \
                to be replaced; `kernel_postinst` builds them again.",
        operand: Operand::None,
        examples: &["dkms kernel_preinst -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        runs_programs: true,
        options: &[KERNELS, &[Opt::NoDepmod], CHANGE],
        accepts: &[CONF, HEADERS, &[Opt::Jobs, Opt::Force]],
        ..BASE
    },
    ActionRow {
        action: Action::KernelPostinst,
        word: "kernel_postinst",
        purpose: "for package scripts: after a kernel is installed",
        about: "For the scripts of kernel packages: `autoinstall` for a new kernel. A module that fails only makes it fail \
                if `hook_failure` or `required_modules` in dkms-framework.conf(5) say so.",
        operand: Operand::None,
        examples: &["dkms kernel_postinst -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        runs_programs: true,
        options: &[KERNELS, &[Opt::AllKernels], BUILD, SIGN, INSTALL, CHANGE],
        accepts: &[CONF, HEADERS],
        ..BASE
    },
    ActionRow {
        action: Action::KernelPrerm,
        word: "kernel_prerm",
        purpose: "for package scripts: before a kernel is removed",
        about: "For the scripts of kernel packages: unbuilds every module for a kernel that is about to be removed.",
        operand: Operand::None,
        examples: &["dkms kernel_prerm -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        runs_programs: true,
        options: &[KERNELS, &[Opt::NoDepmod], CHANGE],
        accepts: &[CONF, HEADERS, &[Opt::Jobs, Opt::Force]],
        ..BASE
    },
    ActionRow {
        action: Action::KernelHold,
        word: "kernel_hold",
        purpose: "for package scripts: whether a kernel is held back",
        about: "For the scripts of kernel packages: with `hold_kernel=yes` in dkms-framework.conf(5), exits with 77 if the \
                kernel lacks required modules, and updates what grub and apt hold.",
        operand: Operand::None,
        examples: &["dkms kernel_hold -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        options: &[KERNELS],
        ..BASE
    },
];
