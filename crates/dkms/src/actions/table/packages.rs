//! The actions that write archives, packages and images, and the one that loads them.

use crate::actions::action::{
    Action, ActionRow, BASE, CHANGE, CONF, HEADERS, INSTALL, KERNELS, PACKAGE, SIGN,
};
use crate::actions::kinds::{Operand, Root};
use crate::actions::option::Opt;

const ONLY: &[Opt] = &[Opt::BinariesOnly, Opt::SourceOnly];
const IMAGE: &[Opt] = &[Opt::Output, Opt::Image, Opt::Base, Opt::Prefix, Opt::Kmm];
const SYSEXT: &[Opt] = &[Opt::Output, Opt::Format, Opt::Os, Opt::SysextLevel, Opt::Load];
/// What mkdriverdisk took formerly; the actions that make rpm packages explain what replaced it.
const DISK: &[Opt] = &[Opt::Distro, Opt::Media, Opt::Release];

/// Their rows, in the order of [`Action`].
pub(super) const PACKAGES: &[ActionRow] = &[
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
        accepts: &[PACKAGE, CONF, HEADERS, SIGN, INSTALL, &[Opt::All, Opt::Jobs, Opt::Timings]],
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
];
