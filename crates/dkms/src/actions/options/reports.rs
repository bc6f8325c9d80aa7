//! Options for reports.

use crate::actions::option::{Group, Misplaced, Opt, OptionRow, Value, valued};

/// Their rows, in the order of [`Opt`].
pub(super) const REPORTS: &[OptionRow] = &[
    valued(
        Opt::Fleet,
        "fleet",
        (Value::Directory, "DIRECTORY"),
        Group::Reports,
        "Report on the machines whose JSON files are in this directory",
    )
    .misplaced(Misplaced::Refuse)
    .details(
        "Every file in it is that of one machine: the output of `dkms report --json`, `dkms status --json` or \
         `dkms ready --json`. A file that cannot be used is listed with the reason.",
    ),
    valued(
        Opt::Metrics,
        "metrics",
        (Value::File, "FILE"),
        Group::Reports,
        "Write metrics for Prometheus, in the format of text files for node_exporter",
    )
    .misplaced(Misplaced::Refuse)
    .details("With - it is standard output. The page is only written if a FILE for it is given, too."),
];
