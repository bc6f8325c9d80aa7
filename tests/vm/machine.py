"""Virtual machines that run Debian's kernels, under qemu's software emulation (never KVM: it hangs in many CI machines).

    tree = Tree(folder, kernel)              a guest's root file system: busybox, kmod, the kernel's indexes
    tree.program("/usr/sbin/dkms")           with its libraries
    tree.write("guest", "echo hello", 0o755) what /init runs (see the file init)
    tree.pack("out.img")
    result = boot(kernel, "out.img", append="module.sig_enforce=1")
    result.code, result.lines                what /guest returned and said

With Secure Boot: boot(..., variables=FILE) starts the kernel itself under a firmware with these variables (see
firmware.py), boot(..., variables=FILE, disk=IMAGE) whatever is on the disk: see shim_disk. A machine to talk with, as
MokManager wants it, is a Machine: expect() and send().
"""

import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass

import firmware

QEMU = "qemu-system-x86_64"
HERE = os.path.dirname(os.path.abspath(__file__))


class Failure(Exception):
    """The machine did not complete; the message contains the output of its serial line."""


@dataclass(frozen=True)
class Foreign:
    """Another architecture. /srv/NAME has a system for it, with the programs and libraries of guests."""

    name: str
    triple: str
    # kbuild's name for it.
    arch: str
    qemu: tuple
    emulator: str
    loader: str
    console: str

    @property
    def root(self):
        return f"/srv/{self.name}"

    @property
    def libraries(self):
        return f"usr/lib/{self.triple}"


FOREIGN = (
    # A processor without pointer authentication, whose emulation is slow.
    Foreign("arm64", "aarch64-linux-gnu", "arm64", ("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57"), "qemu-aarch64", "ld-linux-aarch64.so.1", "ttyAMA0"),
    Foreign("riscv64", "riscv64-linux-gnu", "riscv", ("qemu-system-riscv64", "-machine", "virt"), "qemu-riscv64", "ld-linux-riscv64-lp64d.so.1", "ttyS0"),
)


@dataclass(frozen=True)
class Kernel:
    """A kernel of the layers, with its headers."""

    release: str

    @property
    def foreign(self):
        """Its architecture, if it is another one than this machine's; or None."""
        return next((foreign for foreign in FOREIGN if self.release.endswith(foreign.name)), None)

    @property
    def make(self):
        """The arguments of make to build for it."""
        return (f"ARCH={self.foreign.arch}", f"CROSS_COMPILE={self.foreign.triple}-") if self.foreign else ()

    @property
    def strip(self):
        return f"{self.foreign.triple}-strip" if self.foreign else "strip"

    @property
    def image(self):
        """Some architectures do not compress it."""
        names = (f"/boot/{name}-{self.release}" for name in ("vmlinuz", "vmlinux"))
        return next(name for name in names if os.path.exists(name))

    @property
    def modules(self):
        return f"/usr/lib/modules/{self.release}"

    @property
    def headers(self):
        return f"/usr/src/linux-headers-{self.release}"


def run(*words, **options):
    """Runs a command that must succeed, and returns its output."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, words))}: code {done.returncode}\n{done.stdout.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def emulate_programs(kernel):
    """Scripts in place of the programs of a kernel's headers that are for its architecture: they run in the emulator."""
    for part in ("scripts", "tools"):
        for folder, _, names in os.walk(os.path.realpath(f"{kernel.headers}/{part}")):
            for path in (f"{folder}/{name}" for name in names if os.access(f"{folder}/{name}", os.X_OK)):
                with open(path, "rb") as f:
                    head = f.read(20)
                # Not for x86-64.
                if head[:4] == b"\x7fELF" and head[18] != 62:
                    os.rename(path, f"{path}.elf")
                    with open(path, "w") as f:
                        f.write(f'#!/bin/sh\nexec {kernel.foreign.emulator} -0 "$0" {path}.elf "$@"\n')
                    os.chmod(path, 0o755)


# The guest's files ------------------------------------------------------------------------------------------


class Tree:
    """A guest's root file system, in a folder."""

    def __init__(self, top, kernel):
        self.top, self.kernel = top, kernel
        for name in ("bin", "sbin", "lib", "lib64"):
            os.makedirs(f"{top}/usr/{name}")
            os.symlink(f"usr/{name}", f"{top}/{name}")
        for name in ("dev", "etc", "proc", "run", "sys", "tmp", "root", "var/lib"):
            os.makedirs(f"{top}/{name}")
        self.write("init", open(f"{HERE}/init").read(), 0o755)
        self.copy("/etc/os-release", "etc/os-release")
        self.program(shutil.which("kmod"), "usr/bin/kmod")
        for name in ("depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod"):
            os.symlink("../bin/kmod", f"{top}/usr/sbin/{name}")
        busybox = f"{kernel.foreign.root}/usr/bin/busybox" if kernel.foreign else shutil.which("busybox")
        self.copy(busybox, "usr/bin/busybox")
        for name in run(*([kernel.foreign.emulator] if kernel.foreign else []), busybox, "--list").split():
            if not any(os.path.lexists(f"{top}/usr/{place}/{name}") for place in ("bin", "sbin")):
                os.symlink("busybox", f"{top}/usr/bin/{name}")
        for name in os.listdir(kernel.modules):
            if name.startswith("modules."):
                self.copy(f"{kernel.modules}/{name}", f"lib/modules/{kernel.release}/{name}")

    def path(self, name):
        """Where a guest's file lies here; its folder is made."""
        path = os.path.join(self.top, name.lstrip("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def write(self, name, content, mode=0o644):
        data = content if isinstance(content, bytes) else content.encode()
        with open(self.path(name), "wb") as f:
            f.write(data)
        os.chmod(self.path(name), mode)

    def copy(self, source, name=None):
        shutil.copy(source, self.path(name or source))

    def program(self, source, name=None):
        """A program and the libraries it is linked with."""
        if self.kernel.foreign:
            self.foreign_program(self.kernel.foreign, os.path.basename(source))
            return
        self.copy(source, name)
        for library in re.findall(r"(/\S+) \(0x", run("ldd", source)):
            self.copy(library)

    def foreign_program(self, foreign, name):
        """A program of another architecture's system, and all of its libraries: ldd cannot say which it needs."""
        self.copy(f"{foreign.root}/usr/bin/{name}", f"usr/bin/{name}")
        libraries = f"{foreign.root}/{foreign.libraries}"
        for file in os.listdir(libraries):
            if re.fullmatch(r"(libc|libcrypto|liblzma|libz|libzstd)\.so\.[0-9]+", file):
                self.copy(f"{libraries}/{file}", f"{foreign.libraries}/{file}")
        self.copy(f"{libraries}/{foreign.loader}", f"usr/lib/{foreign.loader}")

    def kernel_modules(self, *names):
        """Some of the kernel's own modules and what they depend on. Those that are built in are left out."""
        for name in names:
            for line in run("modprobe", "-S", self.kernel.release, "--show-depends", name).splitlines():
                word, *rest = line.split()
                if word == "insmod":
                    self.copy(rest[0])

    def depmod(self):
        """Makes the indexes for the modules in the tree, and returns the output of depmod."""
        done = subprocess.run(["depmod", "-b", self.top, self.kernel.release], capture_output=True, text=True)
        return done.stderr

    def pack(self, out):
        pack(self.top, out)


def pack(folder, out):
    """A folder as an initramfs. The kernel unpacks several, one after another in one file, over each other."""
    run("bash", "-ec", 'set -o pipefail; find . | cpio -o -H newc --quiet | gzip -1 >"$0"', out, cwd=folder)


def shim_disk(out, kernel, initrd, append):
    """A disk that boots the kernel through shim and grub, as Debian starts under Secure Boot."""
    files = {
        "EFI/BOOT/BOOTX64.EFI": firmware.SHIM,
        "EFI/BOOT/grubx64.efi": firmware.GRUB,
        "EFI/BOOT/mmx64.efi": firmware.MOK_MANAGER,
        "vmlinuz": kernel.image,
        "initrd": initrd,
    }
    config = f"{out}.cfg"
    with open(config, "w") as f:
        f.write("serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\n")
        f.write(f"linux /vmlinuz console=ttyS0 panic=-1 {append}\ninitrd /initrd\nboot\n")
    files["EFI/debian/grub.cfg"] = config
    megabytes = sum(os.path.getsize(source) for source in files.values()) // 1_000_000 + 8
    if os.path.exists(out):
        os.unlink(out)
    run("mkfs.vfat", "-C", out, str(megabytes * 1024))
    run("mmd", "-i", out, "::EFI", "::EFI/BOOT", "::EFI/debian")
    for name, source in files.items():
        run("mcopy", "-i", out, source, f"::{name}")
    return out


# Running it -------------------------------------------------------------------------------------------------


class Machine:
    """A running machine. Its serial line is read all the time; leaving `with` ends it."""

    def __init__(self, *, kernel=None, initrd=None, append="", variables=None, disk=None, memory=512, more=()):
        foreign = kernel and kernel.foreign
        words = [*(foreign.qemu if foreign else (QEMU, "-cpu", "max")), "-accel", "tcg"]
        words += ["-m", str(memory), "-net", "none", "-no-reboot"]
        words += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
        if variables:
            words += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={firmware.CODE}"]
            words += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        if disk:
            words += ["-drive", f"if=virtio,format=raw,file={disk}"]
        if kernel:
            words += ["-kernel", kernel.image, "-initrd", initrd, "-append"]
            words += [f"console={foreign.console if foreign else 'ttyS0'} panic=-1 {append}"]
        self.text, self.seen, self.open = "", 0, True
        self.changed = threading.Condition()
        self.qemu = subprocess.Popen([*words, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.qemu.kill()
        self.qemu.wait()
        self.reader.join()

    def _read(self):
        while data := os.read(self.qemu.stdout.fileno(), 65536):
            with self.changed:
                self.text += data.decode(errors="replace").replace("\r", "")
                self.changed.notify_all()
        with self.changed:
            self.open = False
            self.changed.notify_all()

    def expect(self, pattern, seconds):
        """The first match after the last one; Failure if the time is up or the machine ended without it."""
        wanted, until = re.compile(pattern), time.monotonic() + seconds
        with self.changed:
            while True:
                found = wanted.search(self.text, self.seen)
                if found:
                    self.seen = found.end()
                    return found
                left = until - time.monotonic()
                if not self.open or left <= 0:
                    raise Failure(f"no {pattern!r} {'in time' if self.open else 'to the end'}; the last lines:\n{self.tail()}")
                self.changed.wait(left)

    def send(self, text):
        self.qemu.stdin.write(text.encode())
        self.qemu.stdin.flush()

    def ended(self, seconds):
        """Wait until the machine is off; all that was on its serial line."""
        until = time.monotonic() + seconds
        with self.changed:
            while self.open:
                left = until - time.monotonic()
                if left <= 0:
                    raise Failure(f"still on after {seconds} s; the last lines:\n{self.tail()}")
                self.changed.wait(left)
        return self.text

    def tail(self):
        return "\n".join("    " + line for line in self.text.splitlines()[-25:])


@dataclass
class Result:
    """The output of a guest between GUEST-START and GUEST-END."""

    code: int
    lines: list
    log: str


def boot(kernel, initrd, append="", variables=None, disk=None, memory=512, seconds=600):
    """Boot, let /guest run, power off. Failure on a panic or when it does not end in time.

    The kernel's messages stay off the serial line, which belongs to the guest; they are in its dmesg.
    """
    append = f"quiet loglevel=1 {append}"
    direct = {} if disk else {"kernel": kernel, "initrd": initrd, "append": append}
    with Machine(**direct, variables=variables, disk=disk, memory=memory) as machine:
        text = machine.ended(seconds)
        found = re.search(r"GUEST-START\n(.*)^GUEST-END (\d+)$", text, re.DOTALL | re.MULTILINE)
        if not found:
            raise Failure(f"the guest did not come to its end; the last lines:\n{machine.tail()}")
        return Result(int(found[2]), found[1].splitlines(), text)
