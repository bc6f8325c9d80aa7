//! The actions for keys, registries and the cache of builds.

use crate::actions::action::{Action, ActionRow, BASE, CHANGE, CONF, HEADERS, KERNELS, PACKAGE, SIGN};
use crate::actions::kinds::{Effect, Kernels, Operand, Root};
use crate::actions::option::Opt;

/// Their rows, in the order of [`Action`].
pub(super) const KEYS: &[ActionRow] = &[
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
        about: "Signs the builds of a module for the kernels that are given, and publishes them in the registry that is \
                named, or in the first of framework.conf. What is there already stays. Modules are published unsigned, \
                because each machine signs them itself; with `registry_signer`, also signed for machines without a key.",
        operand: Operand::PackageAndRegistry,
        examples: &["dkms push hello/1.0", "dkms push hello/1.0 registry.example.org/dkms -k 6.1.0-9-amd64"],
        effect: Effect::Evaluates,
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
        effect: Effect::Evaluates,
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
        effect: Effect::Evaluates,
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
];
