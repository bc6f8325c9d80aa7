//! The actions that check and explain.

use crate::actions::action::{Action, ActionRow, BASE, CHANGE, CONF, HEADERS, KERNELS, PACKAGE};
use crate::actions::kinds::{Effect, Kernels, Operand, Root};
use crate::actions::option::Opt;

/// Their rows, in the order of [`Action`].
pub(super) const QUERIES: &[ActionRow] = &[
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
        action: Action::Report,
        word: "report",
        purpose: "write a page about this machine, or about many",
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
        ..BASE
    },
];
