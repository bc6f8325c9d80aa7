//! Options for archives, packages, images and system extensions.

use crate::actions::option::{Group, Misplaced, Opt, OptionRow, Value, flag, valued};

/// Their rows, in the order of [`Opt`].
pub(super) const ARCHIVES: &[OptionRow] = &[
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
];
