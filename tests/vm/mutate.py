"""Damaged copies of modules: mutate(data, random) returns one, and a description of the damage.

The same seed gives the same copies. What is changed: the ELF header, section headers, symbols, relocations, .modinfo, string
tables, CRCs, struct module, tables that the kernel walks, the signature, and the end of the file. Machine code and data are
not: it cannot be known what they do. The same holds where a change makes them do something else (another function is
called, a value is not filled in): such a mutation is `like_code`.
"""

import struct
from dataclasses import dataclass

from variants import HEADER, MAGIC, SECTION, put

SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")
SYMTAB, RELA, NOBITS, ALLOC = 2, 4, 8, 2
HEADER_FIELDS = [(0, 4), (4, 1), (5, 1), (6, 1), (7, 1), (16, 2), (18, 2), (20, 4), (24, 8), (32, 8), (40, 8), (48, 4), (52, 2), (54, 2), (56, 2), (58, 2), (60, 2), (62, 2)]
SECTION_FIELDS = [("name", 0, 4), ("type", 4, 4), ("flags", 8, 8), ("addr", 16, 8), ("offset", 24, 8), ("size", 32, 8), ("link", 40, 4), ("info", 44, 4), ("align", 48, 8), ("entsize", 56, 8)]
SYMBOL_FIELDS = [("name", 0, 4), ("info", 4, 1), ("other", 5, 1), ("shndx", 6, 2), ("value", 8, 8), ("size", 16, 8)]
# Filled by relocations or read as they are.
TABLES = ("__ksymtab", "__kcrctab", "__ksymtab_strings", "__param", ".orc_unwind_ip", "__mcount_loc", ".return_sites", ".smp_locks")


@dataclass
class Mutation:
    """A damaged module."""

    data: bytes
    what: str
    like_code: bool = False


class Part:
    """A section header of a module."""

    def __init__(self, data, number):
        at, names = HEADER.unpack_from(data)[11], HEADER.unpack_from(data)[18]
        self.at, self.number = at + 64 * number, number
        fields = SECTION.unpack_from(data, self.at)
        self.kind, self.flags, _, self.offset, self.size, self.link, self.info = fields[1:8]
        start = SECTION.unpack_from(data, at + 64 * names)[4] + fields[0]
        self.name = data[start : data.index(b"\0", start)].decode()


def parts(data):
    return [Part(data, number) for number in range(HEADER.unpack_from(data)[17])]


def number(data, at, width):
    return int.from_bytes(data[at : at + width], "little")


def other(random, old, width):
    """Another value for a field: a neighbour, an extreme, a flipped bit, anything."""
    most = (1 << 8 * width) - 1
    while True:
        new = random.choice(
            [0, 1, 2, 3, 8, most, most // 2, old + 1, old - 1, old + 8, old * 2, old // 2, old ^ (1 << random.randrange(8 * width)), old ^ (1 << random.randrange(8)), random.randrange(64), random.getrandbits(8 * width)]
        )
        if new & most != old:
            return new & most


def changed(data, random, at, width, what, like_code=False):
    old = number(data, at, width)
    new = other(random, old, width)
    return Mutation(put(data, at, new.to_bytes(width, "little")), f"{what}: {old:#x} to {new:#x}", like_code)


def header(data, random):
    at, width = random.choice(HEADER_FIELDS)
    return changed(data, random, at, width, f"header field at {at}")


def section(data, random):
    part = random.choice(parts(data))
    name, at, width = random.choice(SECTION_FIELDS)
    mutation = changed(data, random, part.at + at, width, f"sh_{name} of {part.name or part.number}")
    # Relocations that are no longer applied; and a section that lost its name, with what the name made the
    # kernel do.
    mutation.like_code = name == "name"
    return mutation


def symbol(data, random):
    table = next(part for part in parts(data) if part.kind == SYMTAB)
    index = random.randrange(table.size // SYMBOL.size)
    name, at, width = random.choice(SYMBOL_FIELDS)
    return changed(data, random, table.offset + SYMBOL.size * index + at, width, f"st_{name} of symbol {index}", name in ("value", "shndx"))


def relocation(data, random):
    everything = parts(data)
    tables = [part for part in everything if part.kind == RELA and everything[part.info].flags & ALLOC and part.size]
    table = random.choice(tables)
    index = random.randrange(table.size // RELOCATION.size)
    name, at, width = random.choice([("offset", 0, 8), ("type", 8, 4), ("symbol", 12, 4), ("addend", 16, 8)])
    return changed(data, random, table.offset + RELOCATION.size * index + at, width, f"{name} of relocation {index} in {table.name}", True)


def within(name, random, data, like_code=False):
    """Some byte of a section."""
    found = [part for part in parts(data) if part.name == name and part.size and part.kind != NOBITS]
    if not found:
        return header(data, random)
    at = found[0].offset + random.randrange(found[0].size)
    return changed(data, random, at, 1, f"byte {at - found[0].offset} of {name}", like_code)


def modinfo(data, random):
    part = next(part for part in parts(data) if part.name == ".modinfo")
    text = data[part.offset : part.offset + part.size]
    way = random.randrange(4)
    if way == 0:
        return within(".modinfo", random, data)
    strings = [string for string in text.split(b"\0") if string]
    chosen = random.choice(strings)
    at = part.offset + text.index(chosen)
    if way == 1:
        return Mutation(put(data, at, bytes(len(chosen))), f"without {chosen!r}")
    if way == 2:
        return Mutation(put(data, at + len(chosen), b"x"), f"no NUL after {chosen!r}")
    return Mutation(put(data, at, b"x"), f"another key instead of {chosen!r}")


def strings(data, random):
    name = random.choice([".strtab", ".shstrtab"])
    part = next(part for part in parts(data) if part.name == name)
    at = random.choice([part.offset, part.offset + part.size - 1, part.offset + random.randrange(part.size)])
    return changed(data, random, at, 1, f"byte {at - part.offset} of {name}", name == ".shstrtab")


def bytes_of_headers(data, random):
    table, count = HEADER.unpack_from(data)[11], HEADER.unpack_from(data)[17]
    for _ in range(random.randrange(1, 4)):
        at = random.choice([random.randrange(64), table + random.randrange(64 * count)])
        data = put(data, at, bytes([random.randrange(256)]))
    return Mutation(data, "random bytes in headers", True)


def versions(data, random):
    return within("__versions", random, data)


def this_module(data, random):
    return within(".gnu.linkonce.this_module", random, data)


def table(data, random):
    return within(random.choice(TABLES), random, data, True)


def end(data, random):
    way = random.randrange(4)
    if way == 0:
        return Mutation(data[: random.randrange(len(data))], "cut short")
    if way == 1:
        return Mutation(data + random.randbytes(random.randrange(1, 200)), "bytes after the end")
    if data.endswith(MAGIC):
        at = len(data) - len(MAGIC) - random.randrange(1, 60)
        return changed(data, random, at, 1, "a byte of the signature")
    return Mutation(data + bytes(12) + MAGIC, "an empty signature")


def twice(data, random):
    """One section gets the name or type of another."""
    one, two = random.sample([part for part in parts(data) if part.number], 2)
    field, width = random.choice([(0, 4), (4, 4), (8, 8)])
    return Mutation(put(data, one.at + field, data[two.at + field : two.at + field + width]), f"{one.name} has the field at {field} of {two.name}", True)


WAYS = [header] * 2 + [section] * 5 + [symbol] * 3 + [relocation] * 4 + [modinfo] * 2 + [strings] * 2 + [versions, this_module, table, end, twice, bytes_of_headers]


def mutate(data, random):
    """One damaged copy."""
    while True:
        mutation = random.choice(WAYS)(data, random)
        if mutation.data != data:
            return mutation
