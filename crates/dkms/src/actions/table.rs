//! The table of actions.
//!
//! To add an action, add its row here, its function in `commands/`, and its arm in `commands/mod.rs`.
//! CONTRIBUTING.md has the steps.

use super::kinds::{Effect, Kernels, Operand, Root};
use super::options::Opt;
use super::row::{ActionRow, BASE, BUILD, CHANGE, CONF, HEADERS, INSTALL, KERNELS, PACKAGE, SIGN};

const REMOVAL: &[Opt] = &[Opt::All, Opt::Force, Opt::NoDepmod];
const ONLY: &[Opt] = &[Opt::BinariesOnly, Opt::SourceOnly];
const IMAGE: &[Opt] = &[Opt::Output, Opt::Image, Opt::Base, Opt::Prefix, Opt::Kmm];
const SYSEXT: &[Opt] = &[Opt::Output, Opt::Format, Opt::Os, Opt::SysextLevel, Opt::Load];
/// Options of mkdriverdisk in dkms 3. The actions that make RPM packages explain what replaces them.
const DISK: &[Opt] = &[Opt::Distro, Opt::Media, Opt::Release];

/// Each row names the variant of [`Action`], its word on the command line, its purpose, and the fields of
/// [`ActionRow`] that differ from [`BASE`].
macro_rules! actions {
    ($($action:ident = $word:literal, $purpose:literal { $($field:ident: $value:expr),* $(,)? })*) => {
        /// The actions, in the order in which help lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Action { $($action),* }

        /// Every action, in the order of [`Action`].
        const ALL: &[Action] = &[$(Action::$action),*];

        /// The row of every action, in the order of [`Action`].
        pub(crate) static ACTIONS: &[ActionRow] =
            &[$(ActionRow { word: $word, purpose: $purpose, $($field: $value,)* ..BASE }),*];
    };
}

impl Action {
    /// The action with this word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        ALL.iter().zip(ACTIONS).find_map(|(action, row)| (row.word == word).then_some(*action))
    }

    /// Its row in the table.
    pub(crate) fn row(self) -> &'static ActionRow {
        &ACTIONS[self as usize]
    }

    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        self.row().word
    }
}

actions! {
    Add = "add", "register a module" {
        about: "Registers the sources in /usr/src/MODULE-VERSION. The sources of a directory that has a dkms.conf are \
                copied there first, and an archive is loaded as by `ldtarball`.",
        operand: Operand::Source,
        examples: &["dkms add hello/1.0", "dkms add ./hello"],
        writable_tree: true,
        runs_programs: true,
        options: &[PACKAGE, CONF, &[Opt::Archive, Opt::Force, Opt::RpmSafeUpgrade], CHANGE],
        accepts: &[KERNELS, HEADERS, SIGN, INSTALL, &[Opt::Jobs, Opt::Timings]],
    }
    Build = "build", "build a module for kernels" {
        about: "Builds the module for the kernels that are given, and adds it first if it is not registered yet. What is \
                built already is skipped, unless `--force` is given.",
        operand: Operand::Source,
        examples: &["dkms build hello/1.0", "dkms build hello/1.0 -k 6.1.0-9-amd64 -k 6.1.0-10-amd64"],
        runs_programs: true,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, BUILD, SIGN, CHANGE],
        accepts: &[&[Opt::Archive]],
    }
    Install = "install", "install a module for kernels; adds and builds it first" {
        about: "Installs the module for the kernels that are given, after adding and building it where needed. A module \
                of the same name that the kernel has already is kept aside until `uninstall`.",
        operand: Operand::Source,
        examples: &["dkms install ./hello", "dkms install hello/1.0 -k 6.1.0-9-amd64"],
        root: Root::Always,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, BUILD, SIGN, INSTALL, &[Opt::RpmSafeUpgrade], CHANGE],
        accepts: &[&[Opt::Archive]],
    }
    Uninstall = "uninstall", "remove a module from kernels; it stays built" {
        about: "Removes the installed files and restores the modules that the kernel had before. What is built stays, so \
                that `install` can bring it back.",
        examples: &["dkms uninstall hello/1.0", "dkms uninstall hello/1.0 --all"],
        root: Root::Always,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, REMOVAL, CHANGE],
        accepts: &[CONF, HEADERS],
    }
    Unbuild = "unbuild", "uninstall a module and delete what was built" {
        about: "Uninstalls the module and deletes what was built for the kernels that are given. It stays registered.",
        examples: &["dkms unbuild hello/1.0", "dkms unbuild hello/1.0 --all"],
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, REMOVAL, CHANGE],
        accepts: &[CONF, HEADERS],
    }
    Remove = "remove", "unbuild a module; the last kernel unregisters it" {
        about: "Uninstalls and unbuilds the module. When no kernel is left, dkms forgets it. The sources in /usr/src stay.",
        examples: &["dkms remove hello/1.0 --all", "dkms remove hello/1.0 -k 6.1.0-9-amd64"],
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, REMOVAL, &[Opt::RpmSafeUpgrade], CHANGE],
        accepts: &[CONF, HEADERS],
    }
    Status = "status", "show the state of each module" {
        about: "Prints a line for each module and each kernel that it is built for: added, built, installed or broken. \
                Module, version, kernel and architecture may be patterns.",
        examples: &["dkms status", "dkms status 'zfs*' -k 6.1.0-9-amd64"],
        effect: Effect::Queries,
        options: &[PACKAGE, KERNELS, &[Opt::Loaded, Opt::Table]],
        accepts: &[&[Opt::All, Opt::DryRun]],
    }
    Reload = "reload", "replace loaded modules by the installed ones" {
        about: "Unloads the loaded modules of a package from the running kernel, those that use others first, and loads \
                what is installed. If something else uses one, nothing is unloaded, and dkms prints what that is.",
        operand: Operand::Packages,
        examples: &["dkms reload hello", "dkms reload spl zfs"],
        root: Root::Always,
        kernels: Kernels::None,
        runs_programs: true,
        options: &[CHANGE],
        accepts: &[PACKAGE],
    }
    Autoinstall = "autoinstall", "install every module with AUTOINSTALL=yes" {
        about: "Installs the newest version of every module with `AUTOINSTALL=yes` for a kernel, dependencies first. A \
                module that fails does not stop the others.",
        operand: Operand::None,
        examples: &["dkms autoinstall", "dkms autoinstall --all-kernels"],
        root: Root::Always,
        kernels: Kernels::One,
        runs_programs: true,
        options: &[KERNELS, &[Opt::AllKernels], BUILD, SIGN, INSTALL, CHANGE],
        accepts: &[CONF, HEADERS],
    }
    Match = "match", "install for a kernel what another kernel has" {
        about: "Installs, for the kernel given with `-k`, the modules and versions that are installed for the kernel given \
                with `--templatekernel`.",
        examples: &["dkms match --templatekernel 6.1.0-9-amd64 -k 6.1.0-10-amd64"],
        root: Root::Always,
        kernels: Kernels::One,
        runs_programs: true,
        options: &[&[Opt::Module, Opt::TemplateKernel], KERNELS, BUILD, SIGN, INSTALL, CHANGE],
        accepts: &[CONF, HEADERS],
    }
    Config = "config", "show how dkms understands a dkms.conf, as JSON" {
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
    }
    Lint = "lint", "check a dkms.conf for mistakes" {
        about: "For authors of drivers: prints what could be better in a dkms.conf and the files beside it, with line, \
                reason and replacement. The default is the current directory.",
        operand: Operand::Source,
        examples: &["dkms lint ./hello", "dkms lint ./hello --fix"],
        effect: Effect::QueriesUnless(Opt::Fix),
        kernels: Kernels::One,
        options: &[PACKAGE, KERNELS, &[Opt::Conf, Opt::Fix, Opt::DryRun]],
        accepts: &[HEADERS, &[Opt::Directive]],
    }
    Verify = "verify", "check whether a kernel would load modules" {
        about: "Checks, for every installed module or for the files given, whether the kernel would load it, and prints \
                the reason if not: version magic, symbols, compression, licence, signature.",
        operand: Operand::PackageOrFiles,
        examples: &["dkms verify", "dkms verify hello.ko -k 6.1.0-9-amd64"],
        effect: Effect::Queries,
        options: &[PACKAGE, KERNELS],
        accepts: &[HEADERS, &[Opt::DryRun]],
    }
    Ready = "ready", "check whether a kernel is safe to boot next" {
        about: "Checks whether a kernel, by default the newest, has every required module, so that it can be booted. The \
                exit status is 0 for yes, 1 for no, and 2 if that is unknown.",
        operand: Operand::None,
        examples: &["dkms ready", "dkms ready -k 6.1.0-10-amd64"],
        effect: Effect::Queries,
        kernels: Kernels::One,
        options: &[KERNELS, &[Opt::Loaded]],
        accepts: &[PACKAGE, HEADERS, &[Opt::DryRun]],
    }
    Pending = "pending", "list modules that are not installed yet, and why" {
        about: "Lists, for every kernel or those given, the modules that are not installed yet and what they wait for: \
                headers, a dependency, a fix, or the enrolment of a key.",
        operand: Operand::None,
        examples: &["dkms pending"],
        effect: Effect::Queries,
        options: &[KERNELS],
        accepts: &[PACKAGE, HEADERS, &[Opt::DryRun]],
    }
    Preflight = "preflight", "check whether modules build for the next kernels" {
        about: "Before an upgrade: builds the modules for the kernels that the package manager offers next, or those given, \
                in a temporary directory. The package manager fetches and checks their headers; nothing is installed. The \
                exit status is 0 for yes, 1 for no, and 2 if that is unknown.",
        operand: Operand::Kernels,
        examples: &["dkms preflight", "dkms preflight 6.1.0-10-amd64"],
        effect: Effect::Evaluates,
        options: &[&[Opt::Kernel]],
        accepts: &[&[Opt::DryRun]],
    }
    Fsck = "fsck", "check the tree and the kernels' modules, and repair" {
        about: "Checks the tree and the kernels' modules for inconsistencies, such as missing or changed files and \
                interrupted changes, and prints how each is repaired.",
        examples: &["dkms fsck", "dkms fsck --repair"],
        effect: Effect::QueriesUnless(Opt::Repair),
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, &[Opt::Repair], CHANGE],
    }
    Report = "report", "write a page about this machine, or about many" {
        about: "Writes one HTML page with the state of every package for every kernel, what is not in order, and the \
                commands that fix it. Without FILE, it goes to standard output, or on a terminal to `dkms-report.html`.",
        operand: Operand::Output,
        examples: &[
            "dkms report",
            "dkms report --json /var/lib/fleet/this-machine.json",
            "dkms report --fleet /var/lib/fleet fleet.html",
            "dkms report --metrics /var/lib/prometheus/node-exporter/dkms.prom",
        ],
        effect: Effect::Queries,
        options: &[&[Opt::Fleet, Opt::Metrics], KERNELS],
        accepts: &[&[Opt::DryRun]],
    }
    Mktarball = "mktarball", "write an archive of a module" {
        about: "Writes an archive with the sources and with what is built for the kernels given. `ldtarball` loads it on \
                another machine.",
        examples: &["dkms mktarball hello/1.0 --all", "dkms mktarball hello/1.0 --source-only"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF, &[Opt::Force]],
    }
    Ldtarball = "ldtarball", "load a module from an archive or package" {
        about: "Loads an archive of `mktarball`, any source archive that has a dkms.conf, or the module in a Debian or RPM \
                package. Modules in it are built afterwards. What is there already is kept, unless `--force` is given.",
        operand: Operand::Archive,
        examples: &["dkms ldtarball hello-1.0.dkms.tar.gz"],
        root: Root::Sometimes,
        runs_programs: true,
        options: &[KERNELS, &[Opt::Archive, Opt::Force], CHANGE],
        accepts: &[PACKAGE, CONF, HEADERS, SIGN, INSTALL, &[Opt::All, Opt::Jobs, Opt::Timings]],
    }
    Mkdeb = "mkdeb", "write a Debian package of a module" {
        about: "Writes a Debian package with the sources, which dkms builds on the target, and with what is built for the \
                kernels given.",
        examples: &["dkms mkdeb hello/1.0", "dkms mkdeb hello/1.0 --all --binaries-only"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF],
    }
    Mkdsc = "mkdsc", "write a Debian source package of a module" {
        about: "Writes a Debian source package from which dpkg-buildpackage(1) makes the package of `mkdeb`.",
        examples: &["dkms mkdsc hello/1.0"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF],
    }
    Mkbmdeb = "mkbmdeb", "write Debian packages of built modules" {
        about: "Writes a Debian package of the built modules for each kernel given. It needs neither dkms nor a compiler \
                on the target.",
        examples: &["dkms mkbmdeb hello/1.0 --all"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], CHANGE],
        accepts: &[CONF, ONLY],
    }
    Mkrpm = "mkrpm", "write an RPM package of a module" {
        about: "Writes an RPM package, by rpmbuild(8), with the sources, which dkms builds on the target, and with what is \
                built for the kernels given, by default all of them.",
        examples: &["dkms mkrpm hello/1.0", "dkms mkrpm hello/1.0 --source-only"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive], ONLY, CHANGE],
        accepts: &[CONF, DISK],
    }
    Mkkmp = "mkkmp", "write a source package of a SUSE kernel module package" {
        about: "Writes the source package of a SUSE kernel module package (KMP), from the module's own spec file.",
        examples: &["dkms mkkmp hello/1.0 --spec hello-kmp.spec"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive, Opt::Spec], CHANGE],
        accepts: &[CONF, ONLY, DISK],
    }
    Mkdriverdisk = "mkdriverdisk", "write a driver disk for the installers of Fedora and RHEL" {
        about: "Writes an ISO image of the built modules, by default of every kernel, for the installers of Fedora, RHEL \
                and related systems.",
        examples: &["dkms mkdriverdisk hello/1.0 -k 6.1.0-9-amd64"],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Archive, Opt::Spec], CHANGE],
        accepts: &[CONF, ONLY, DISK],
    }
    Mkimage = "mkimage", "write container images of built modules, as KMM loads them" {
        about: "Writes a container image of the built modules for each kernel, which is an OCI layout and a docker archive \
                in one file. Kernel Module Management (KMM) loads the modules from it on the nodes of a cluster.",
        operand: Operand::Packages,
        examples: &[
            "dkms mkimage hello/1.0 -k 6.1.0-9-amd64 -o hello.tar",
            "dkms mkimage hello/1.0 --all --image quay.io/me/hello --kmm",
        ],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Force], IMAGE, CHANGE],
        accepts: &[CONF],
    }
    Mksysext = "mksysext", "write a system extension of built modules" {
        about: "Writes an extension for systemd-sysext(8) with the built modules for the kernels given, for systems whose \
                /usr is read-only. It contains the service that makes modprobe(8) find them.",
        operand: Operand::Packages,
        examples: &[
            "dkms mksysext hello/1.0 -k 6.1.0-9-amd64",
            "dkms mksysext hello/1.0 --all --format squashfs -o hello.raw --load",
        ],
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Force], SYSEXT, CHANGE],
        accepts: &[CONF],
    }
    GenerateMok = "generate_mok", "create the signing key if there is none" {
        about: "Creates the key and certificate that modules are signed with, if there are none.",
        operand: Operand::None,
        examples: &["dkms generate_mok"],
        kernels: Kernels::None,
        options: &[CHANGE],
        accepts: &[KERNELS, SIGN, &[Opt::All, Opt::Force]],
    }
    Mok = "mok", "show, enroll or rotate the signing key" {
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
    }
    Push = "push", "publish builds in a registry" {
        about: "Signs the builds of a module for the kernels that are given, and publishes them in the registry that is \
                named, or in the first of framework.conf. What is there already stays. Modules are published unsigned, \
                because each machine signs them itself; with `registry_signer`, also signed for machines without a key.",
        operand: Operand::PackageAndRegistry,
        examples: &["dkms push hello/1.0", "dkms push hello/1.0 registry.example.org/dkms -k 6.1.0-9-amd64"],
        effect: Effect::Evaluates,
        options: &[PACKAGE, KERNELS, &[Opt::All, Opt::Registry]],
    }
    Pull = "pull", "fetch builds from a registry into the cache" {
        about: "Fetches and verifies what the registries have of a module, or of every module with `AUTOINSTALL=yes`, for \
                the kernels that are given. `install` then takes it from the cache.",
        examples: &["dkms pull", "dkms pull hello/1.0 -k 6.1.0-9-amd64"],
        root: Root::Always,
        effect: Effect::Evaluates,
        options: &[PACKAGE, KERNELS, &[Opt::AllKernels, Opt::Registry]],
    }
    Matrix = "matrix", "list the builds that the registry lacks" {
        about: "Lists the builds of every module with `AUTOINSTALL=yes`, for every kernel with headers or those given, that \
                the registries do not have. With `--json`, in the form of a matrix of jobs for build services.",
        operand: Operand::None,
        examples: &["dkms matrix", "dkms matrix --json -k 6.1.0-9-amd64"],
        effect: Effect::Evaluates,
        options: &[KERNELS, &[Opt::Registry]],
    }
    RegistryKey = "registry-key", "create the key that signs published builds" {
        about: "`generate` creates the key pair with which this machine signs what it publishes, and prints where the \
                public key belongs. It never overwrites a key.",
        operand: Operand::Words(&["generate"]),
        effect: Effect::Evaluates,
        examples: &["dkms registry-key generate"],
        root: Root::Always,
        kernels: Kernels::None,
    }
    Cache = "cache", "show or clear the cache of builds" {
        about: "`show`, the default, lists the builds in `/var/cache/dkms`, the most recently used first, and `size` their \
                size. `clear` removes them, or those of a module or a kernel. `why` prints which inputs of a build differ \
                from the nearest one there.",
        operand: Operand::WordAndPackage(&["show", "size", "clear", "why"]),
        examples: &["dkms cache", "dkms cache clear hello", "dkms cache why hello/1.0 -k 6.1.0-9-amd64"],
        effect: Effect::QueriesExceptFor(&["clear", "why"]),
        root: Root::Sometimes,
        runs_programs: true,
        options: &[PACKAGE, KERNELS, CONF, HEADERS, &[Opt::DryRun]],
    }
    KernelPreinst = "kernel_preinst", "for package scripts: before a kernel is unpacked" {
        about: "For the scripts of kernel packages: unbuilds the modules with `AUTOINSTALL=yes` for a kernel that is about \
                to be replaced; `kernel_postinst` builds them again.",
        operand: Operand::None,
        examples: &["dkms kernel_preinst -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        runs_programs: true,
        options: &[KERNELS, &[Opt::NoDepmod], CHANGE],
        accepts: &[CONF, HEADERS, &[Opt::Jobs, Opt::Timings, Opt::Force]],
    }
    KernelPostinst = "kernel_postinst", "for package scripts: after a kernel is installed" {
        about: "For the scripts of kernel packages: `autoinstall` for a new kernel. A module that fails only makes it fail \
                if `hook_failure` or `required_modules` in dkms-framework.conf(5) say so.",
        operand: Operand::None,
        examples: &["dkms kernel_postinst -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        runs_programs: true,
        options: &[KERNELS, &[Opt::AllKernels], BUILD, SIGN, INSTALL, CHANGE],
        accepts: &[CONF, HEADERS],
    }
    KernelPrerm = "kernel_prerm", "for package scripts: before a kernel is removed" {
        about: "For the scripts of kernel packages: unbuilds every module for a kernel that is about to be removed.",
        operand: Operand::None,
        examples: &["dkms kernel_prerm -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        runs_programs: true,
        options: &[KERNELS, &[Opt::NoDepmod], CHANGE],
        accepts: &[CONF, HEADERS, &[Opt::Jobs, Opt::Timings, Opt::Force]],
    }
    KernelHold = "kernel_hold", "for package scripts: whether a kernel is held back" {
        about: "For the scripts of kernel packages: with `hold_kernel=yes` in dkms-framework.conf(5), exits with 77 if the \
                kernel lacks required modules, and updates what grub and apt hold.",
        operand: Operand::None,
        examples: &["dkms kernel_hold -k 6.1.0-9-amd64"],
        root: Root::Always,
        kernels: Kernels::Named,
        options: &[KERNELS],
    }
}
