"""Variants with a damaged structure, one for each reason why a kernel refuses it (see docs/verify.md)."""

import struct

from variants import HEADER, header_field, put, sections, without_section


def section_field(name, at, layout, value):
    """A field of a section's header is another."""
    return lambda data: header_field(data, sections(data)[name][0] + at, layout, value)


def first(name, at, layout, value):
    """A field of a section's first entry is another; of a symbol table, of the second: the first is empty."""
    skip = 24 if name == ".symtab" else 0
    return lambda data: header_field(data, sections(data)[name][1] + skip + at, layout, value)


def last_byte(name):
    def change(data):
        _, at, size = sections(data)[name]
        return put(data, at + size - 1, b"x")

    return change


def same_name(name, other):
    def change(data):
        found = sections(data)
        return put(data, found[name][0], data[found[other][0] : found[other][0] + 4])

    return change


def first_section(data):
    return header_field(data, HEADER.unpack_from(data)[11] + 32, "<Q", 1)


def occupied(data):
    """The place of the first relocation is not empty."""
    found = sections(data)
    (offset,) = struct.unpack_from("<Q", data, found[".rela.init.text"][1])
    return put(data, found[".init.text"][1] + offset, b"x")


def nameless(data):
    return put(data, sections(data)[".gnu.linkonce.this_module"][1] + 24, bytes(56))


VARIANTS = {
    "st_section_0": first_section,
    "st_names_end": last_byte(".shstrtab"),
    "st_link": section_field(".symtab", 40, "<I", 999),
    "st_two_modinfo": same_name(".comment", ".modinfo"),
    "st_mod_flags": section_field(".gnu.linkonce.this_module", 8, "<Q", 1),
    "st_write_exec": section_field(".init.text", 8, "<Q", 7),
    "st_common": first(".symtab", 6, "<H", 0xFFF2),
    "st_shndx": first(".symtab", 6, "<H", 0xFE00),
    "st_rel": section_field(".rela.init.text", 4, "<I", 9),
    "st_occupied": occupied,
    "st_nameless": nameless,
}


# In other places, relocations replace the bytes: the module runs with the damage.
X86_ONLY = {"st_occupied"}

ARM64 = {
    "st_no_plt": lambda data: without_section(data, ".plt"),
    "st_no_init_plt": lambda data: without_section(data, ".init.plt"),
    # R_AARCH64_TLSLE_ADD_TPREL_HI12, R_AARCH64_ABS16, R_AARCH64_ABS32: the kernel does not know the first
    # one, and no address fits into the others.
    "st_thread": first(".rela.gnu.linkonce.this_module", 8, "<I", 549),
    "st_short": first(".rela.gnu.linkonce.this_module", 8, "<I", 259),
    "st_word": first(".rela.gnu.linkonce.this_module", 8, "<I", 258),
    "st_move": first(".rela.gnu.linkonce.this_module", 8, "<I", 263),
    # R_AARCH64_NONE: the module has no function to start with.
    "st_nothing": first(".rela.gnu.linkonce.this_module", 8, "<I", 256),
}


# Other relocations in place of R_RISCV_64.
RISCV = {
    "st_nothing": first(".rela.gnu.linkonce.this_module", 8, "<I", 0),
    "st_unknown": first(".rela.gnu.linkonce.this_module", 8, "<I", 200),
    "st_reserved": first(".rela.gnu.linkonce.this_module", 8, "<I", 49),
    "st_thread": first(".rela.gnu.linkonce.this_module", 8, "<I", 22),
    "st_dynamic": first(".rela.gnu.linkonce.this_module", 8, "<I", 3),
    "st_align": first(".rela.gnu.linkonce.this_module", 8, "<I", 43),
    "st_word": first(".rela.gnu.linkonce.this_module", 8, "<I", 1),
    # Debian's kernel has no tables for distant symbols.
    "st_got": first(".rela.gnu.linkonce.this_module", 8, "<I", 20),
    "st_low": first(".rela.gnu.linkonce.this_module", 8, "<I", 24),
}


def add(signed, foreign):
    variants = {name: change for name, change in VARIANTS.items() if not (foreign and name in X86_ONLY)}
    more = {"arm64": ARM64, "riscv64": RISCV}[foreign.name] if foreign else {}
    for name, change in (variants | more).items():
        signed(name, change)
