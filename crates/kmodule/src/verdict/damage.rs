//! Signs of damage in parts that the kernel does not check. It may load a module with such damage, refuse it
//! because of a consequence of the damage, or crash. So the result is a doubt: neither that the kernel
//! refuses the module, nor that it loads it.
//!
//! The files that compilers, linkers and modpost produce always pass these checks. docs/verify.md describes
//! the limits.

use super::doubts::Doubts;
use super::format::{Image, text};
use super::kernel::KernelView;
use super::machine::X86_64;
use super::reason::Reason;
use super::relocate::{Place, Places};
use crate::elf::Module;
use crate::elf::reader::{SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_NULL, SHT_RELA, Section, string_at};

pub(super) fn check(
    image: &Image<'_>,
    module: &Module,
    places: &Places,
    kernel: &KernelView<'_>,
) -> Vec<Reason> {
    let mut doubts = Doubts::default();
    if module.symbols_cut {
        doubts.add(|| "the names of its symbols overlap".to_owned());
    }
    if image.has_endless_name() {
        doubts.add(|| "the name in its struct module is not terminated".to_owned());
    }
    coverage(image, &mut doubts);
    for (index, section) in image.sections.iter().enumerate() {
        memory(index, section, &mut doubts);
        relocation_table(image, section, &mut doubts);
    }
    symbols(image, &mut doubts);
    this_module(image, places, kernel, &mut doubts);
    if image.reader.machine == X86_64 {
        tables(image, places, &mut doubts);
    }
    [image.doubts.clone(), doubts.into_reasons()].concat()
}

/// Checks that each byte of the file, except padding, belongs to exactly one section.
fn coverage(image: &Image<'_>, doubts: &mut Doubts) {
    let table = u64::from(image.reader.section_size) * u64::from(image.reader.section_count);
    let header = if image.reader.class == crate::elf::Class::Elf64 { 64 } else { 52 };
    let mut parts = vec![(0, header, "ELF header".to_owned())];
    parts.push((image.reader.section_table, table, "section headers".to_owned()));
    for section in image.sections.iter().skip(1).filter(|section| section.size > 0) {
        match section.kind {
            SHT_NOBITS => continue,
            SHT_NULL if !section.is_allocated() => continue,
            _ => parts.push((section.offset, section.size, text(section.name))),
        }
    }
    parts.sort();
    let (mut end, mut last) = (0_u64, String::new());
    for (start, size, name) in parts {
        if start < end {
            doubts.add(|| format!("{last} and {name} overlap in the file"));
        } else if image.reader.bytes_at(end, start - end).is_none_or(|gap| gap.iter().any(|byte| *byte != 0))
        {
            doubts.add(|| format!("bytes {end} to {start} of the file belong to no section"));
        }
        if start.saturating_add(size) >= end {
            (end, last) = (start.saturating_add(size), name);
        }
    }
}

/// Whether a section with this name is writable, and whether it is executable. This is the same in all
/// modules; `None` for other names.
fn expected(name: &[u8]) -> Option<(bool, bool)> {
    const WRITABLE: [&[u8]; 6] =
        [b".data", b".bss", b".gnu.linkonce.this_module", b"__jump_table", b"__bug_table", b"_ftrace_events"];
    const CODE: [&[u8]; 6] =
        [b".text", b".init.text", b".exit.text", b".noinstr.text", b".static_call.text", b".ref.text"];
    if CODE.iter().any(|start| name.starts_with(start)) {
        return Some((false, true));
    }
    (WRITABLE.iter().any(|start| name.starts_with(start)) && name != b".data.rel.ro").then_some((true, false))
}

/// Checks size, alignment and flags of a section in memory.
fn memory(index: usize, section: &Section<'_>, doubts: &mut Doubts) {
    const SHF_RO_AFTER_INIT: u64 = 0x0020_0000;
    const LARGE: u64 = 64 << 20;
    if !section.is_allocated() || index == 0 {
        return;
    }
    let name = || text(section.name);
    if section.align > 1 && !section.align.is_power_of_two() {
        doubts.add(|| format!("the alignment of {} is {}", name(), section.align));
    }
    if section.size > LARGE || section.align > LARGE {
        doubts.add(|| {
            format!("{} needs {} bytes of memory, aligned to {}", name(), section.size, section.align)
        });
    }
    if section.flags & SHF_RO_AFTER_INIT != 0 {
        doubts.add(|| format!("{} has a flag that only the kernel may set", name()));
    }
    let executable = section.flags & SHF_EXECINSTR != 0;
    if section.size > 0 && executable && section.kind == SHT_NOBITS {
        doubts.add(|| format!("{} is code without contents", name()));
    }
    if let Some((write, execute)) = expected(section.name).filter(|_| section.size > 0) {
        if (write && section.flags & SHF_WRITE == 0) || execute != executable {
            doubts.add(|| format!("{} has flags {:#x}", name(), section.flags));
        }
    }
}

/// Checks that a section named like the relocations of another section is a table of relocations for it.
fn relocation_table(image: &Image<'_>, section: &Section<'_>, doubts: &mut Doubts) {
    let rela =
        section.name.strip_prefix(b".rela").filter(|name| name.starts_with(b".") || name.starts_with(b"_"));
    if section.kind != SHT_RELA {
        if let Some(target) = rela.filter(|_| image.reader.machine == X86_64 && section.size > 0) {
            doubts.add(|| format!("the relocations of {} have section type {}", text(target), section.kind));
        }
        return;
    }
    let target = usize::try_from(section.info).ok().and_then(|index| image.sections.get(index));
    let named = rela.unwrap_or_default();
    match target {
        // Debug information is not loaded, and its relocations are not applied.
        Some(target) if target.name == named => {
            let debug = [".debug", ".stab", ".comment", ".note", ".gnu.debug", ".discard"];
            let debug = debug.iter().any(|start| named.starts_with(start.as_bytes()));
            if !target.is_allocated() && !debug && expected(named).is_some() {
                doubts.add(|| format!("{} is not loaded", text(named)));
            }
        }
        _ => doubts.add(|| format!("{} is not named after the section that it changes", text(section.name))),
    }
    if section.size % 24 != 0 && image.reader.machine == X86_64 {
        doubts.add(|| format!("{} ends in the middle of an entry", text(section.name)));
    }
}

/// Checks that symbols are within their section, and functions in code.
fn symbols(image: &Image<'_>, doubts: &mut Doubts) {
    const FUNCTION: u8 = 2;
    let names = image.names_to_end();
    for symbol in image.reader.symbols_in(image.bytes(image.symbols)).skip(1) {
        let index = usize::from(symbol.section);
        let Some(section) = image.sections.get(index).filter(|_| index != 0) else { continue };
        let name = string_at(names, symbol.name);
        let function = symbol.kind == FUNCTION || ENTRIES.contains(&name);
        let end = symbol.value.checked_add(symbol.size);
        let fits = end.is_some_and(|end| end <= section.size);
        let code = !function || section.flags & SHF_EXECINSTR != 0;
        if section.is_allocated() && !(fits && code) {
            doubts.add(|| format!("symbol {} is not within {}", text(name), text(section.name)));
        }
    }
}

/// Checks that `struct module` is empty except for its name and two addresses that relocations write.
fn this_module(image: &Image<'_>, places: &Places, kernel: &KernelView<'_>, doubts: &mut Doubts) {
    let bytes = image.bytes(image.this_module);
    let section = image.sections.get(image.this_module);
    if section.is_some_and(|section| section.kind == SHT_NOBITS) {
        doubts.add(|| "its struct module has no contents".to_owned());
    }
    if let Some(size) = kernel.struct_module.filter(|size| *size != bytes.len() as u64) {
        doubts.add(|| format!("its struct module has {} bytes, the kernel's {size}", bytes.len()));
    }
    if image.reader.machine != X86_64 {
        return;
    }
    if image.has_more_than_a_name() {
        doubts.add(|| "its struct module contains more than a name".to_owned());
    }
    let starts = places.get(&image.this_module).map_or(&[][..], Vec::as_slice);
    let names = image.names_to_end();
    let symbols = image.reader.symbols_in(image.bytes(image.symbols));
    let entries =
        symbols.filter(|symbol| symbol.section != 0 && ENTRIES.contains(&string_at(names, symbol.name)));
    let entries: Vec<(usize, u64)> =
        entries.take(ENTRIES.len() + 1).map(|symbol| (usize::from(symbol.section), symbol.value)).collect();
    let known =
        |place: &Place| kernel.entry_places.is_none_or(|(init, exit)| [init, exit].contains(&place.offset));
    let entry = |place: &Place| {
        known(place)
            && place.offset % 8 == 0
            && place.offset >= 80
            && place.is_address
            && entries.iter().any(|(section, value)| Some(*section) == place.leads_to && *value == place.goal)
    };
    if starts.len() != entries.len() || !starts.iter().all(entry) {
        doubts.add(|| "its struct module does not point to init_module and cleanup_module".to_owned());
    }
}

/// The first and the last function of a module.
const ENTRIES: [&[u8]; 2] = [b"init_module", b"cleanup_module"];

/// Tables that the kernel reads immediately: the size of an entry, and whether its first field points to
/// code.
const TABLES: [(&str, u64, bool); 19] = [
    ("__param", 40, false),
    ("__ksymtab", 12, false),
    ("__ksymtab_gpl", 12, false),
    ("__jump_table", 16, true),
    ("__bug_table", 12, true),
    ("__ex_table", 12, true),
    (".smp_locks", 4, true),
    (".orc_unwind_ip", 4, true),
    (".return_sites", 4, true),
    (".retpoline_sites", 4, true),
    (".ibt_endbr_seal", 4, true),
    (".call_sites", 4, true),
    ("__mcount_loc", 8, true),
    (".static_call_sites", 8, true),
    ("__tracepoints_ptrs", 4, false),
    ("__bpf_raw_tp_map", 32, false),
    ("_ftrace_events", 8, false),
    ("___srcu_struct_ptrs", 8, false),
    ("__dyndbg", 56, false),
];

/// Checks that each entry of a table begins with a field that a relocation fills.
fn tables(image: &Image<'_>, places: &Places, doubts: &mut Doubts) {
    for (name, entry, code) in TABLES {
        let Some(index) = image.allocated(name) else { continue };
        let Some(section) = image.sections.get(index) else { continue };
        if section.size % entry != 0 {
            doubts.add(|| format!("{name} ends in the middle of an entry"));
        }
        let mut starts: Vec<u64> = Vec::new();
        for place in places.get(&index).map_or(&[][..], Vec::as_slice) {
            if place.offset % entry != 0 {
                continue;
            }
            starts.push(place.offset);
            let leads_to = place.leads_to.and_then(|index| image.sections.get(index));
            if code && leads_to.is_none_or(|section| section.flags & SHF_EXECINSTR == 0) {
                doubts.add(|| format!("entry {} of {name} does not point to code", place.offset / entry));
            }
        }
        starts.sort_unstable();
        starts.dedup();
        if starts.len() as u64 != section.size / entry {
            doubts.add(|| {
                format!("{name} has {} entries, {} of them with a target", section.size / entry, starts.len())
            });
        }
    }
    let size = |name: &str| image.sections.get(image.allocated(name)?).map(|section| section.size);
    if let (Some(places), Some(entries)) = (size(".orc_unwind_ip"), size(".orc_unwind")) {
        if entries % 6 != 0 || places / 4 != entries / 6 {
            doubts.add(|| "the tables for unwinding the stack do not match".to_owned());
        }
    }
}
