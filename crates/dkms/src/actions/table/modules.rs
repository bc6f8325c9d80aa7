//! The actions that change or show modules, kernel by kernel.

use crate::actions::action::{
    Action, ActionRow, BASE, BUILD, CHANGE, CONF, HEADERS, INSTALL, KERNELS, PACKAGE, SIGN,
};
use crate::actions::kinds::{Effect, Kernels, Operand, Root};
use crate::actions::option::Opt;

const REMOVAL: &[Opt] = &[Opt::All, Opt::Force, Opt::NoDepmod];

/// Their rows, in the order of [`Action`].
pub(super) const MODULES: &[ActionRow] = &[
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
        accepts: &[KERNELS, HEADERS, SIGN, INSTALL, &[Opt::Jobs, Opt::Timings]],
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
        options: &[PACKAGE, KERNELS, &[Opt::Loaded, Opt::Table]],
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
];
