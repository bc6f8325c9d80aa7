"""The modules that the judge tries: built from modules/ with a kernel's headers, then changed byte by byte and signed.

`Variants(folder, kernels, keys).all(name of a kernel)` gives {file name: bytes}. What a variant is, is said beside it; in which
boots it is tried, in cases.toml.
"""

import gzip
import lzma
import os
import shutil
import struct
import subprocess

import chains
from machine import HERE, emulate_programs, run

HEADER = struct.Struct("<4sBBBBB7xHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
MAGIC = b"~Module signature appended~\n"
SIGNATURE_INFO = struct.Struct(">5B3xI")


# Keys -------------------------------------------------------------------------------------------------------

# Name, openssl's key and digest, and validity. All but the strangers' are trusted where there is Secure Boot.
KEYS = {
    "ours": (["rsa:2048"], "sha256", None),
    "stranger": (["rsa:2048"], "sha256", None),
    "stranger2": (["rsa:2048"], "sha256", None),
    "rsa4096": (["rsa:4096"], "sha256", None),
    "ec": (["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "sha256", None),
    "sha512": (["rsa:2048"], "sha512", None),
    "expired": (["rsa:2048"], "sha256", ("20200101000000Z", "20210101000000Z")),
    "future": (["rsa:2048"], "sha256", ("20900101000000Z", "20950101000000Z")),
}
# For `openssl ca`, the only way of every OpenSSL 3 to choose both dates.
CA = """[ca]
default_ca = x
[x]
database = index
new_certs_dir = .
rand_serial = yes
unique_subject = no
policy = any
x509_extensions = ext
[any]
commonName = supplied
[ext]
basicConstraints = critical,CA:FALSE
keyUsage = digitalSignature
subjectKeyIdentifier = hash
"""


def make_keys(folder):
    """KEYS, as folder/NAME.key (PEM) and folder/NAME.der; the certificates of those that get enrolled."""
    os.makedirs(folder)
    with open(f"{folder}/ca.cnf", "w") as f:
        f.write(CA)
    for name, (key, digest, dates) in KEYS.items():
        request = ["openssl", "req", "-nodes", "-newkey", *key, f"-{digest}", "-subj", f"/CN=Judge {name}", "-keyout", f"{name}.key"]
        dates = dates or ("20200101000000Z", "20950101000000Z")
        run(*request, "-out", f"{name}.csr", cwd=folder)
        open(f"{folder}/index", "w").close()
        words = ["openssl", "ca", "-batch", "-config", "ca.cnf", "-selfsign", "-notext", "-in", f"{name}.csr", "-keyfile", f"{name}.key"]
        run(*words, "-md", digest, "-startdate", dates[0], "-enddate", dates[1], "-out", f"{name}.pem", cwd=folder)
        run("openssl", "x509", "-in", f"{name}.pem", "-outform", "der", "-out", f"{name}.der", cwd=folder)
    enrolled = []
    for name in KEYS:
        if "stranger" not in name:
            with open(f"{folder}/{name}.der", "rb") as f:
                enrolled.append(f.read())
    return enrolled


# Bytes ------------------------------------------------------------------------------------------------------


def sections(data):
    """Each section's name with the offset of its header, and its offset and size in the file."""
    header = HEADER.unpack_from(data)
    at, size, count, names = header[11], *header[16:]
    strings = SECTION.unpack_from(data, at + size * names)[4]
    found = {}
    for number in range(count):
        fields = SECTION.unpack_from(data, at + size * number)
        start = strings + fields[0]
        found[data[start : data.index(b"\0", start)].decode()] = (at + size * number, fields[4], fields[5])
    return found


def put(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def replaced(data, section, old, new, count=1):
    """Replace bytes within a section; shorter ones are filled up with NULs."""
    _, at, size = sections(data)[section]
    part = data[at : at + size]
    if part.count(old) != count:
        raise ValueError(f"{section} has {old!r} {part.count(old)} times")
    return put(data, at, part.replace(old, new.ljust(len(old), b"\0")))


def renamed(data, old, new):
    """Another module name: in .modinfo and in struct module."""
    old, new = old.encode() + b"\0", new.encode() + b"\0"
    if len(new) > len(old):
        raise ValueError(f"{new!r} is longer than {old!r}")
    return replaced(replaced(data, ".modinfo", b"name=" + old, b"name=" + new), ".gnu.linkonce.this_module", old, new)


def version_entry(data, symbol):
    """Where the entry of a symbol is in __versions: 8 bytes of checksum, 56 of name."""
    _, at, size = sections(data)["__versions"]
    for entry in range(at, at + size, 64):
        if data[entry + 8 : entry + 64].rstrip(b"\0") == symbol.encode():
            return entry
    raise ValueError(f"no version of {symbol}")


def other_checksum(data, symbol):
    at = version_entry(data, symbol)
    return put(data, at, bytes([data[at] ^ 1]))


def without_version(data, symbol):
    """The entry's name is gone, so the symbol has none."""
    return put(data, version_entry(data, symbol) + 8, b"judge_nobody".ljust(56, b"\0"))


def without_section(data, name):
    """Gives the section a name that the kernel does not know."""
    _, at, size = sections(data)[".shstrtab"]
    old = name.encode() + b"\0"
    if old not in data[at : at + size]:
        raise ValueError(f"no section {name}")
    return put(data, at, data[at : at + size].replace(old, old[:-2] + b"x\0"))


def header_field(data, at, layout, value):
    return put(data, at, struct.pack(layout, value))


def signature_parts(data):
    """The module, its PKCS#7 message and the 12 bytes that describe it."""
    info = data[-len(MAGIC) - 12 : -len(MAGIC)]
    length = SIGNATURE_INFO.unpack(info)[5]
    end = len(data) - len(MAGIC) - 12
    return data[: end - length], data[end - length : end], info


# The variants -----------------------------------------------------------------------------------------------


class Variants:
    """kernels: {"6.1": Kernel, ...}; a kernel's modules are built when they are first wanted."""

    def __init__(self, folder, kernels, keys):
        self.folder, self.kernels, self.keys = folder, kernels, keys
        self.built = {}

    def source(self, kernel, name):
        """A module of modules/, built with that kernel's headers, without debug information."""
        folder = f"{self.folder}/built-{kernel}"
        if kernel not in self.built:
            shutil.copytree(f"{HERE}/modules", folder)
            if self.kernels[kernel].foreign:
                emulate_programs(self.kernels[kernel])
            self.make(kernel, folder)
            self.built[kernel] = True
        with open(f"{folder}/{name}.ko", "rb") as f:
            return f.read()

    def make(self, kernel, folder, *more):
        headers = f"{self.kernels[kernel].modules}/build"
        # Warnings only for the symbols that are missing on purpose.
        more = (*self.kernels[kernel].make, "KBUILD_MODPOST_WARN=1", *more)
        run("make", f"-j{os.cpu_count()}", "-C", headers, f"M={folder}", *more, "modules")
        modules = [f"{folder}/{file}" for file in os.listdir(folder) if file.endswith(".ko")]
        run(self.kernels[kernel].strip, "--strip-debug", *modules)

    def template(self, kernel, kind, name):
        return renamed(self.source(kernel, f"template_{kind}"), f"template_{kind}", name)

    def sign(self, kernel, data, key="ours", digest="sha256"):
        """With the kernel's own sign-file."""
        path = f"{self.folder}/to-sign"
        with open(path, "wb") as f:
            f.write(data)
        tool = f"{self.kernels[kernel].modules}/build/scripts/sign-file"
        run(tool, digest, f"{self.keys}/{key}.key", f"{self.keys}/{key}.der", path)
        with open(path, "rb") as f:
            return f.read()

    def cms(self, data, *options, key="ours"):
        """Signed by openssl, with features that sign-file does not have."""
        with open(f"{self.folder}/to-sign", "wb") as f:
            f.write(data)
        words = ["openssl", "cms", "-sign", "-binary", "-md", "sha256", "-outform", "der", "-in", "to-sign", "-out", "signature"]
        run(*words, "-signer", f"{self.keys}/{key}.pem", "-inkey", f"{self.keys}/{key}.key", *options, cwd=self.folder)
        with open(f"{self.folder}/signature", "rb") as f:
            return appended(data, f.read())

    def both(self, data, one, other):
        """Signed by two keys in one message."""
        second = ["-signer", f"{self.keys}/{other}.pem", "-inkey", f"{self.keys}/{other}.key"]
        return self.cms(data, "-noattr", "-nocerts", *second, key=one)

    def all(self, kernel):
        """Every variant for this kernel: {file name: bytes}."""
        files = {}

        def add(name, data, suffix=""):
            files[f"{name}.ko{suffix}"] = data

        def plain(name):
            return self.template(kernel, "plain", name)

        def signed(name, change=lambda data: data, kind="plain"):
            """A change that the signature covers."""
            add(name, self.sign(kernel, change(self.template(kernel, kind, name))))

        self.signatures(kernel, add, plain)
        self.elf(signed)
        import structure  # which imports from here

        structure.add(signed, self.kernels[kernel].foreign)
        self.versions(kernel, add, signed)
        self.symbols(kernel, add, signed)
        # Every machine resolves symbols in the same way, and these are many modules.
        if not self.kernels[kernel].foreign:
            self.chains(kernel, add)
        self.no_modules(kernel, add)
        # kmod answers this. The guest must have the same kmod as this machine, where dkms computes the
        # verdict.
        if not self.kernels[kernel].foreign or self.kernels[kernel].foreign.name == "arm64":
            self.compressed(kernel, add, plain)
        return files

    def signatures(self, kernel, add, plain):
        sign = self.sign
        add("good", sign(kernel, plain("good")))
        add("blacklisted", sign(kernel, plain("blacklisted")))
        add("unsigned", plain("unsigned"))
        for key in KEYS:
            if key not in ("ours", "stranger2"):
                add(f"key_{key}", sign(kernel, plain(f"key_{key}"), key))
        for digest in ("md5", "sha1", "sha224", "sha384", "sha512"):
            add(f"hash_{digest}", sign(kernel, plain(f"hash_{digest}"), digest=digest))
        if "6.12" in kernel:
            add("hash_sha3", sign(kernel, plain("hash_sha3"), digest="sha3-256"))
        add("sig_keyid", self.cms(plain("sig_keyid"), "-noattr", "-nocerts", "-keyid"))
        add("sig_certs", self.cms(plain("sig_certs"), "-noattr"))
        add("sig_attributes", self.cms(plain("sig_attributes"), "-nocerts", "-nosmimecap"))
        add("sig_content", self.cms(plain("sig_content"), "-noattr", "-nocerts", "-nodetach"))
        for name, one, other in (
            ("signers_one", "ours", "stranger"),
            ("signers_other", "stranger", "sha512"),
            ("signers_both", "ours", "rsa4096"),
            ("signers_none", "stranger", "stranger2"),
        ):
            add(name, self.both(plain(name), one, other))
        changed = self.both(plain("signers_broken"), "stranger", "ours")
        add("signers_broken", replaced(changed, ".modinfo", b"What the variants", b"What my variants "))
        # The last bytes of the message are the RSA value.
        module, message, info = signature_parts(sign(kernel, plain("sig_value")))
        add("sig_value", module + put(message, len(message) - 9, bytes([message[-9] ^ 1])) + info + MAGIC)
        module, message, info = signature_parts(sign(kernel, plain("sig_der")))
        add("sig_der", module + put(message, 0, b"\x31") + info + MAGIC)
        module, message, info = signature_parts(sign(kernel, plain("sig_length")))
        add("sig_length", module + message + put(info, 8, struct.pack(">I", 1 << 24)) + MAGIC)
        module, message, info = signature_parts(sign(kernel, plain("sig_type")))
        add("sig_type", module + message + put(info, 2, b"\1") + MAGIC)
        module, message, info = signature_parts(sign(kernel, plain("sig_params")))
        add("sig_params", module + message + put(info, 0, b"\1") + MAGIC)
        add("sig_trailing", sign(kernel, plain("sig_trailing")) + b"\n")
        add("sig_cut", sign(kernel, plain("sig_cut"))[:-1])
        add("sig_twice", sign(kernel, sign(kernel, plain("sig_twice"), "stranger")))
        add("sig_outer", sign(kernel, sign(kernel, plain("sig_outer")), "stranger"))
        data = sign(kernel, plain("sig_changed"))
        add("sig_changed", replaced(data, ".modinfo", b"What the variants", b"What my variants "))

    def elf(self, signed):
        signed("elf_magic", lambda data: b"\x7fELG" + data[4:])
        signed("elf_class", lambda data: header_field(data, 4, "B", 1))
        signed("elf_big_endian", lambda data: header_field(data, 5, "B", 2))
        signed("elf_type", lambda data: header_field(data, 16, "<H", 3))
        signed("elf_i386", lambda data: header_field(data, 18, "<H", 3))
        signed("elf_aarch64", lambda data: header_field(data, 18, "<H", 183))
        signed("elf_table", lambda data: header_field(data, 40, "<Q", len(data) + 4096))
        signed("elf_entry_size", lambda data: header_field(data, 58, "<H", 40))
        signed("elf_names", lambda data: header_field(data, 62, "<H", 0xFFF0))
        signed("elf_section", lambda data: header_field(data, sections(data)[".text"][0] + 24, "<Q", len(data) + 4096))
        signed("elf_truncated", lambda data: data[: len(data) // 2])
        signed("elf_relocation", bad_relocation)
        signed("elf_no_symbols", lambda data: header_field(data, sections(data)[".symtab"][0] + 4, "<I", 1))
        signed("elf_no_module", lambda data: without_section(data, ".gnu.linkonce.this_module"))
        signed("elf_no_modinfo", lambda data: without_section(data, ".modinfo"))

    def versions(self, kernel, add, signed):
        signed("crc_wrong", lambda data: other_checksum(data, "debugfs_create_dir"))
        signed("crc_layout", lambda data: other_checksum(data, "module_layout"))
        signed("crc_missing", lambda data: without_version(data, "debugfs_create_dir"))
        signed("crc_no_layout", lambda data: without_version(data, "module_layout"))
        signed("crc_none", lambda data: without_section(data, "__versions"))
        release = self.kernels[kernel].release.encode()
        other = b"9" + release[1:]
        signed("magic_flag", lambda data: replaced(data, ".modinfo", b" mod_unload ", b" mod_unloax "))
        signed("magic_release", lambda data: replaced(data, ".modinfo", b"vermagic=" + release, b"vermagic=" + other))
        signed("magic_crc_none", lambda data: without_section(replaced(data, ".modinfo", b"=" + release, b"=" + other), "__versions"))
        signed("magic_none", lambda data: replaced(data, ".modinfo", b"vermagic=", b"vermagik="))
        if self.kernels[kernel].foreign:
            add("for_amd64", kernel_module(self.kernels["6.1"], "dummy"))
        for built in self.kernels:
            if built != kernel and not self.kernels[kernel].foreign:
                name = f"for_{built}".replace(".", "_").replace("-", "_")
                add(name, self.sign(kernel, self.template(built, "plain", name)))

    def symbols(self, kernel, add, signed):
        for name in ("exporter", "user", "orphan", "user_unsigned", "exporter_proprietary", "user_proprietary", "proprietary"):
            add(name, self.sign(kernel, self.source(kernel, name)))
        add("exporter_unsigned", self.source(kernel, "exporter_unsigned"))
        add("user_crc", self.sign(kernel, other_checksum(self.source(kernel, "user_crc"), "judge_answer")))
        # A symbol that the kernel exports already.
        twice = replaced(self.source(kernel, "exporter_twice"), "__ksymtab_strings", b"judge_exported_twice", b"kthread_stop")
        add("exporter_twice", self.sign(kernel, twice))
        licence = b"license=GPL and additional rights"
        signed("gpl_only", lambda data: replaced(data, ".modinfo", licence, b"license=Proprietary"))
        signed("gpl_none", lambda data: replaced(data, ".modinfo", licence, b"licence=GPL"))
        signed("gpl_mit", lambda data: replaced(data, ".modinfo", licence, b"license=Dual MIT/GPL"))
        signed("namespace", kind="namespace")
        signed("namespace_not", lambda data: replaced(data, ".modinfo", b"import_ns=DMA_BUF", b"import_nx=DMA_BUF"), "namespace")
        signed("unexported", kind="unexported")
        signed("weak", kind="weak")
        # Debian's own module, signed by the key that is built into the kernel, and that of another kernel.
        add("dummy", kernel_module(self.kernels[kernel], "dummy"))

    def chains(self, kernel, add):
        """The variants of the table, with changes that no compiler makes."""
        changes = {
            "space_not": lambda data: replaced(data, ".modinfo", b"import_ns=JUDGE", b"import_nx=JUDGE"),
            "sum_wrong": lambda data: other_checksum(data, "j_sum_0"),
            "sum_wrong_unknown": lambda data: other_checksum(data, "j_sum_0"),
            "sum_unknown_wrong": lambda data: other_checksum(data, "j_sum_0"),
            "sum_without": lambda data: without_section(data, "__kcrctab"),
        }
        first, second = (f"{self.folder}/{package}-{kernel}" for package in ("first", "second"))
        for folder, modules, more in (first, chains.FIRST, ()), (second, chains.SECOND, (f"KBUILD_EXTRA_SYMBOLS={first}/Module.symvers",)):
            chains.write(folder, modules)
            self.make(kernel, folder, *more)
            for name in modules:
                with open(f"{folder}/{name}.ko", "rb") as f:
                    data = f.read()
                add(name, self.sign(kernel, changes.get(name, bytes)(data)))

    def compressed(self, kernel, add, plain):
        sign = self.sign
        add("pack_gz", gzip.compress(sign(kernel, plain("pack_gz"))), ".gz")
        add("pack_xz_crc32", lzma.compress(sign(kernel, plain("pack_xz_crc32")), check=lzma.CHECK_CRC32), ".xz")
        add("pack_xz_crc64", lzma.compress(sign(kernel, plain("pack_xz_crc64")), check=lzma.CHECK_CRC64), ".xz")
        add("pack_xz_sha", lzma.compress(sign(kernel, plain("pack_xz_sha")), check=lzma.CHECK_SHA256), ".xz")
        add("pack_zst", zstd(sign(kernel, plain("pack_zst"))), ".zst")
        add("pack_xz_cut", lzma.compress(sign(kernel, plain("pack_xz_cut")))[:-3000], ".xz")
        add("pack_zst_cut", zstd(sign(kernel, plain("pack_zst_cut")))[:-3000], ".zst")
        add("pack_not", sign(kernel, plain("pack_not")), ".xz")
        add("pack_hidden", lzma.compress(sign(kernel, plain("pack_hidden")), check=lzma.CHECK_CRC32))
        # The signature belongs inside.
        add("pack_signed", sign(kernel, lzma.compress(plain("pack_signed"), check=lzma.CHECK_CRC32)), ".xz")
        add("pack_unsigned", lzma.compress(plain("pack_unsigned"), check=lzma.CHECK_CRC32), ".xz")

    def no_modules(self, kernel, add):
        add("not_empty", b"")
        add("not_text", b"This is no module.\n")
        with open(f"{self.folder}/built-{kernel}/template_plain.o", "rb") as f:
            add("not_object", f.read())


def appended(data, message):
    return data + message + SIGNATURE_INFO.pack(0, 0, 2, 0, 0, len(message)) + MAGIC


def bad_relocation(data):
    """A relocation of a type that x86 does not have."""
    at = sections(data)[".rela.init.text"][1]
    return put(data, at + 8, struct.pack("<I", 200))


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def kernel_module(kernel, name):
    """A module of the kernel, unpacked."""
    path = run("modinfo", "-k", kernel.release, "-n", name).strip()
    if path.endswith(".xz"):
        with lzma.open(path) as f:
            return f.read()
    with open(path, "rb") as f:
        return f.read()
