"""A Debian in a machine with Secure Boot: its disks and variables (Parts), its serial line (Guest), and MokManager's screens.

    parts = Parts()                          dkms, as installed, is in /run/in
    with parts.start() as guest:
        guest.log_in(first=True)
        guest.run("dkms status").text        a code other than 0 is a Failure, unless it is the one asked for
        guest.restart()
    with parts.start() as guest:
        confirm_enrolment(guest, PASSWORD)   if that start finds a key that waits
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass

import firmware
import machine

WORK = "/tmp/secure-boot"
# From the layer vm-debian: the disk, and the kernel and the initramfs that start it (see fetch.sh).
DEBIAN = "/srv/debian"
FIXTURES = f"{machine.HERE}/../fixtures"
PACKAGES = ("single", "depa", "depb")
BOOT = 180


@dataclass(frozen=True)
class Image:
    """What shim_disk starts."""

    image: str


@dataclass(frozen=True)
class Said:
    """The output of a command, and its exit code."""

    code: int
    text: str


class Guest(machine.Machine):
    """The Debian: one command after another over its serial line (see the file session)."""

    def log_in(self, first):
        self.expect(r"# $", BOOT)
        copy = "cp -a /mnt/root/. / && " if first else ""
        self.send(f"mount /dev/vdc /mnt && {copy}exec /mnt/session\n")
        self.expect("(?m)^@@ ready\n", 60)

    def run(self, command, code=0, seconds=60):
        """A command that must end with this code."""
        start = self.seen
        self.send(f"{command}\n")
        said = self.said(start, seconds)
        if code is not None and said.code != code:
            raise machine.Failure(f"{command}: code {said.code}, not {code}\n{indent(said.text)}")
        return said

    def said(self, start, seconds):
        found = self.expect(r"(?m)^@@ (\d+)\n", seconds)
        return Said(int(found[1]), self.text[start : found.start()].strip("\n"))

    def json(self, command, code=0):
        """A command's JSON document."""
        said = self.run(f"{command} --json 2>/tmp/said; code=$?; sed 's/^/ said: /' /tmp/said; exit $code", code)
        try:
            return json.loads("\n".join(line for line in said.text.splitlines() if not line.startswith(" said: ")))
        except ValueError as error:
            raise machine.Failure(f"{command} --json: {error}\n{indent(said.text)}") from error

    def enroll(self, password):
        """dkms mok enroll, as on a terminal."""
        start = self.seen
        self.send("tty dkms mok enroll\n")
        for prompt in ("input password: ", "input password again: "):
            self.expect(prompt, 60)
            self.send(f"{password}\n")
        return self.said(start, 60)

    def restart(self):
        """Ends qemu as a restart would; the next machine has the same disk and variables."""
        self.send("sync; echo b >/proc/sysrq-trigger\n")
        self.ended(60)


def indent(text):
    return "\n".join(f"    {line}" for line in text.splitlines()[-40:])


def plain(text):
    """The text without control sequences of terminals and characters of boxes."""
    return re.sub(r"\x1b\[[=\d;]*[A-Za-z]|\ufffd| {9,}", "", text)


# The parts --------------------------------------------------------------------------------------------------


class Parts:
    """The disks and the firmware's variables, which all starts have in common."""

    def __init__(self):
        os.makedirs(WORK)
        self.variables, self.root, self.extra = f"{WORK}/variables", f"{WORK}/root.qcow2", f"{WORK}/extra.ext4"
        firmware.variables(firmware.MS_VARIABLES, self.variables)
        machine.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", f"{DEBIAN}/root.ext4", "-F", "raw", self.root)
        append = "quiet loglevel=1 root=/dev/vdb rw init=/bin/sh"
        self.esp = machine.shim_disk(f"{WORK}/esp", Image(f"{DEBIAN}/vmlinuz"), f"{DEBIAN}/initrd.img", append)
        # New files on the disk: dkms as its package would install it, and the packages' sources.
        root = f"{WORK}/extra/root"
        os.makedirs(f"{WORK}/extra")
        machine.run("cp", "-a", "/run/in", root)
        os.makedirs(f"{root}/usr/src", exist_ok=True)
        for name in PACKAGES:
            machine.run("cp", "-r", f"{FIXTURES}/{name}-1.0", f"{root}/usr/src/")
        machine.run("cp", f"{machine.HERE}/session", f"{WORK}/extra/")
        machine.run("mke2fs", "-q", "-t", "ext4", "-d", f"{WORK}/extra", self.extra, "64M")

    def start(self):
        drives = [f"if=virtio,format=qcow2,cache=unsafe,file={self.root}", f"if=virtio,format=raw,file={self.extra}"]
        more = ["-smp", "2", *(word for drive in drives for word in ("-drive", drive))]
        return Guest(variables=self.variables, disk=self.esp, memory=1024, more=more)


# What MokManager shows as chosen: white on black, in a box, and the box's next character may be any byte of
# its own.
CHOSEN = re.compile(r"\x1b\[40m\x1b\[\d+;\d+H[^\w\x1b]*(\w[^\x1b\ufffd]*?) *[\ufffd\x1b]")
DOWN = "\x1b[B"


def choose(guest, title, item):
    """On the screen with this title, go down in the menu until this is chosen, and take it."""
    guest.expect(re.escape(title), 60)
    for _ in range(8):
        if guest.expect(CHOSEN, 60)[1] == item:
            guest.send("\r")
            return
        guest.send(DOWN)
    raise machine.Failure(f"MokManager has no {item!r}; the last lines:\n{guest.tail()}")


def confirm_enrolment(guest, password):
    """Shim starts MokManager before the system when an enrolment waits; it restarts the machine at the end."""
    guest.expect("Press any key to perform MOK management", BOOT)
    guest.send(" ")
    choose(guest, "Perform MOK management", "Enroll MOK")
    choose(guest, "[Enroll MOK]", "Continue")
    choose(guest, "Enroll the key(s)?", "Yes")
    guest.expect("Password:", 60)
    guest.send(f"{password}\r")
    choose(guest, "Perform MOK management", "Reboot")
    guest.ended(60)
