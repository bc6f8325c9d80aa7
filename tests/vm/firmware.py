"""UEFI variables for a machine: which keys its firmware and its shim trust.

The variables file of OVMF is a firmware volume (UEFI PI 1.7 vol. 3, 2.2.3 "FvbHeader") that holds one store of
authenticated variables, each a header of 60 bytes, the name and the value, from a multiple of four. Erased flash is 0xff.
Lists of certificates: UEFI 2.10, 32.4.1 "Signature Database".
"""

import struct
import uuid

MS_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
SHIM = "/usr/lib/shim/shimx64.efi.signed"
MOK_MANAGER = "/usr/lib/shim/mmx64.efi.signed"
GRUB = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"

X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
IMAGE_SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
SHIM_LOCK = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23").bytes_le
OWNER = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le

HEADER = struct.Struct("<HBBIQ16sIII16s")
STARTS, ADDED = 0x55AA, 0x3F
# Attributes: non-volatile 1, boot services 2, run time 4, time-based authenticated write 0x20.
DB_ATTRIBUTES, MOK_ATTRIBUTES = 0x27, 0x03


def variables(path, out, db=(), mok=()):
    """Write a variables file: that of `path` (Microsoft's keys enrolled, Secure Boot on), with more certificates (DER).

    db: trusted by the firmware, and so by the kernel's .platform keyring. mok: enrolled in shim, as a user does with
    mokutil and MokManager; the kernel's .machine keyring.
    """
    with open(path, "rb") as f:
        volume = bytearray(f.read())
    store = struct.unpack_from("<H", volume, 48)[0]
    size = struct.unpack_from("<I", volume, store + 16)[0]
    first = store + 28
    found = {}
    at = first
    while struct.unpack_from("<H", volume, at)[0] == STARTS:
        _, state, _, attributes, count, time, index, name_size, data_size, vendor = HEADER.unpack_from(volume, at)
        name, data = at + HEADER.size, at + HEADER.size + name_size
        if state == ADDED:
            key = (vendor, bytes(volume[name:data]))
            found[key] = [attributes, count, time, index, bytes(volume[data : data + data_size])]
        at = (data + data_size + 3) & ~3
    for vendor, name, attributes, certificates in (
        (IMAGE_SECURITY, "db", DB_ATTRIBUTES, db),
        (SHIM_LOCK, "MokList", MOK_ATTRIBUTES, mok),
    ):
        if certificates:
            key = (vendor, name.encode("utf-16le") + b"\0\0")
            entry = found.setdefault(key, [attributes, 0, bytes(16), 0, b""])
            entry[4] += b"".join(signature_list(der) for der in certificates)
    packed = bytearray()
    for (vendor, name), (attributes, count, time, index, data) in found.items():
        packed += HEADER.pack(STARTS, ADDED, 0, attributes, count, time, index, len(name), len(data), vendor) + name + data
        packed += b"\xff" * (-(first + len(packed)) % 4)
    if first + len(packed) > store + size:
        raise ValueError("more certificates than the firmware has room for")
    volume[first : store + size] = packed.ljust(store + size - first, b"\xff")
    with open(out, "wb") as f:
        f.write(volume)


def signature_list(der):
    """One certificate as an EFI_SIGNATURE_LIST."""
    return X509 + struct.pack("<III", 16 + 12 + 16 + len(der), 0, 16 + len(der)) + OWNER + der


def vendor_certificate(shim=SHIM):
    """The certificate that shim brings, in DER: Debian's, which signed grub and the kernels."""
    with open(shim, "rb") as f:
        image = f.read()
    pe = struct.unpack_from("<I", image, 0x3C)[0]
    sections, symbols_at, symbols, optional = struct.unpack_from("<H4xIIH", image, pe + 6)
    names = symbols_at + 18 * symbols
    for number in range(sections):
        header = pe + 24 + optional + 40 * number
        name = image[header : header + 8].rstrip(b"\0")
        if name.startswith(b"/"):
            start = names + int(name[1:])
            name = image[start : image.index(b"\0", start)]
        if name == b".vendor_cert":
            start = struct.unpack_from("<I", image, header + 20)[0]
            length, _, offset = struct.unpack_from("<III", image, start)
            return image[start + offset : start + offset + length]
    raise ValueError(f"{shim}: no .vendor_cert")
