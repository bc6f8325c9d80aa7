//! Options that most actions have, and those of former versions.

use crate::actions::option::{Group, Misplaced, Opt, OptionRow, Value, flag, former, valued};

/// Their rows, in the order of [`Opt`].
pub(super) const GENERAL: &[OptionRow] = &[
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
        .details(
            "Compares the source checksums, or else the build IDs, of the loaded and the installed modules. `ready` \
             requires that what `required_modules` names is loaded.",
        )
        .misplaced(Misplaced::Refuse),
    flag(Opt::Table, "table", Group::Output, "Print a table of packages and kernels")
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
    flag(Opt::Plain, "plain", Group::Output, "Print lines without colours, never a live view").details(
        "For screen readers, and for terminals on which the live view is a nuisance. A terminal of type `dumb` gets \
         lines in any case.",
    ),
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
