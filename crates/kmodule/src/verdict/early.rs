//! The checks that the kernel makes before it lays out memory.

use super::kernel::KernelView;
use super::license::is_gpl_compatible;
use super::outcome::Verdict;
use super::reason::Reason;
use super::symbols;
use crate::elf::{self, Module};

pub(super) fn check(module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    if elf::machine_of_arch(kernel.arch).is_none() {
        verdict.doubts.push(Reason::UnknownArch { arch: kernel.arch.to_owned() });
    }
    if let Some(name) = module.modinfo.name().filter(|name| kernel.blacklist.iter().any(|word| word == name))
    {
        verdict.refusals.push(Reason::Blacklisted { name: name.to_owned() });
    }
    symbols::check_layout(module, kernel, verdict);
    vermagic(module, kernel, verdict);
    let license = module.modinfo.license().unwrap_or("");
    if !is_gpl_compatible(license) {
        verdict.notes.push(Reason::Taints { license: license.to_owned() });
    }
}

/// Compares the version magic. If the module has CRCs, the kernel compares these instead of the release
/// (same_magic in kernel/module/version.c).
fn vermagic(module: &Module, kernel: &KernelView<'_>, verdict: &mut Verdict) {
    let Some(magic) = module.modinfo.vermagic() else {
        let list = if kernel.force_load { &mut verdict.notes } else { &mut verdict.refusals };
        list.push(Reason::NoVermagic);
        return;
    };
    let by_crcs = kernel.modversions && module.has_versions;
    let flags = |magic: &str| magic.split_once(' ').map_or("", |(_, flags)| flags).to_owned();
    let release = module.modinfo.vermagic_release();
    let same_release = release == Some(kernel.release);
    let same = match kernel.vermagic {
        Some(expected) if by_crcs => flags(expected) == flags(magic),
        Some(expected) => expected == magic,
        None => by_crcs || same_release,
    };
    if !same {
        let kernel = kernel.vermagic.unwrap_or(kernel.release).to_owned();
        verdict.refusals.push(Reason::Vermagic { module: magic.to_owned(), kernel });
    } else if !same_release {
        verdict.notes.push(Reason::OtherRelease { module: release.unwrap_or("").to_owned() });
    }
}
