//! The actions that the scripts of kernel packages call.

use crate::actions::action::{Action, ActionRow, BASE, BUILD, CHANGE, CONF, HEADERS, INSTALL, KERNELS, SIGN};
use crate::actions::kinds::{Kernels, Operand, Root};
use crate::actions::option::Opt;

/// Their rows, in the order of [`Action`].
pub(super) const HOOKS: &[ActionRow] = &[
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
        accepts: &[CONF, HEADERS, &[Opt::Jobs, Opt::Timings, Opt::Force]],
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
        accepts: &[CONF, HEADERS, &[Opt::Jobs, Opt::Timings, Opt::Force]],
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
