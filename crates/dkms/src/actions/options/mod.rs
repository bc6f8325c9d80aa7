//! The table of options: the command line is read by it, and help, completions and the option lists of
//! dkms(8) are generated from it.

mod archives;
mod changes;
mod general;
mod reports;

use super::join::{join, total};
use super::option::{Group, Opt, OptionRow, flag};

impl Opt {
    /// Its row in the table.
    pub(crate) fn row(self) -> &'static OptionRow {
        // A test checks that each option has a row.
        OPTIONS.iter().find(|row| row.opt == self).unwrap_or(&OPTIONS[0])
    }
}

/// The rows, file by file.
const FILES: &[&[OptionRow]] = &[changes::CHANGES, archives::ARCHIVES, reports::REPORTS, general::GENERAL];

/// Every option, in the order of [`Opt`] and of dkms(8).
pub(crate) static OPTIONS: &[OptionRow] =
    &join::<_, { total(FILES) }>(flag(Opt::Module, "", Group::Former, ""), FILES);

/// Options without any effect, each of which is reported as deprecated when it is given.
pub(crate) const DEPRECATED: [Opt; 4] =
    [Opt::LegacyPostinst, Opt::NoInitrd, Opt::NoCleanKernel, Opt::NoPrepareKernel];
