"""Secure Boot from end to end, inside the private root of secure-boot.sh: a Debian whose firmware trusts the vendors only.

First start: packages bring modules; dkms makes a key, builds, signs and installs, and says that the kernel will refuse
them. It does. The key's enrolment is asked for, and confirmed in MokManager over the serial line.
Second start: all that was no is yes. An older kernel is made ready step by step, and a second key asked for.
Third start, of that older kernel: it loads what was said to be ready; the second key takes over.

What dkms says and what the kernel does both come from the guest. The archive of what dkms installs is the standard input.
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

import firmware
import machine

WORK = "/tmp/secure-boot"
# From the layer vm-debian: the disk, and the kernel and the initramfs that start it (see fetch.sh).
DEBIAN = "/srv/debian"
FIXTURES = f"{machine.HERE}/../fixtures"
PACKAGES = ("single", "depa", "depb")
PASSWORD, SECOND_PASSWORD = "one-time-1", "one-time-2"
BOOT, BUILD = 180, 300


@dataclass(frozen=True)
class Image:
    """What shim_disk starts."""

    image: str


@dataclass(frozen=True)
class Said:
    """What a command printed, and its code."""

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
        """As far as qemu goes: it ends, and the next machine has the same disk and variables."""
        self.send("sync; echo b >/proc/sysrq-trigger\n")
        self.ended(60)


def indent(text):
    return "\n".join(f"    {line}" for line in text.splitlines()[-40:])


def plain(text):
    """Without what moves a terminal's cursor and draws its boxes."""
    return re.sub(r"\x1b\[[=\d;]*[A-Za-z]|\ufffd| {9,}", "", text)


def claim(what, holds, saw):
    """Say that it holds, or fail with what was seen."""
    if not holds:
        raise machine.Failure(f"not so: {what}\n{indent(saw if isinstance(saw, str) else json.dumps(saw, indent=2))}")
    print(f"  {what}", flush=True)


# The parts ------------------------------------------------------------------------------------------------------------


class Parts:
    """The disks and the firmware's variables, which all starts have in common."""

    def __init__(self):
        os.makedirs(WORK)
        self.variables, self.root, self.extra = f"{WORK}/variables", f"{WORK}/root.qcow2", f"{WORK}/extra.ext4"
        firmware.variables(firmware.MS_VARIABLES, self.variables)
        machine.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", f"{DEBIAN}/root.ext4", "-F", "raw", self.root)
        self.esp = machine.shim_disk(
            f"{WORK}/esp", Image(f"{DEBIAN}/vmlinuz"), f"{DEBIAN}/initrd.img", "quiet loglevel=1 root=/dev/vdb rw init=/bin/sh"
        )
        # What is new on the disk: dkms as its package would install it (an archive on standard input), and the packages' sources.
        root = f"{WORK}/extra/root"
        os.makedirs(f"{root}/usr/src")
        subprocess.run(["tar", "-x", "-C", root], check=True)
        for name in PACKAGES:
            machine.run("cp", "-r", f"{FIXTURES}/{name}-1.0", f"{root}/usr/src/")
        machine.run("cp", f"{machine.HERE}/session", f"{WORK}/extra/")
        machine.run("mke2fs", "-q", "-t", "ext4", "-d", f"{WORK}/extra", self.extra, "64M")

    def start(self):
        drives = [f"if=virtio,format=qcow2,cache=unsafe,file={self.root}", f"if=virtio,format=raw,file={self.extra}"]
        more = ["-smp", "2", *(word for drive in drives for word in ("-drive", drive))]
        return Guest(variables=self.variables, disk=self.esp, memory=1024, more=more)


# What MokManager shows as chosen: white on black, in a box, and the box's next character may be any byte of its own.
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


# What is claimed -------------------------------------------------------------------------------------------------------


def verdicts(guest, code):
    """dkms verify, one text for each module that is refused; the code must be this one."""
    return {
        (module["kernel"], module["module"]): [reason["code"] for reason in module["reasons"]]
        for module in guest.json("dkms verify", code)["modules"]
    }


def load(guest, name):
    """modprobe: what it said, and the new lines of the kernel's log."""
    guest.run("dmesg -c >/dev/null")
    said = guest.run(f"modprobe {name}", None)
    return said, guest.run("dmesg").text


def signer(guest, name, kernel):
    """The serial number in a module's signature, as kmod reads it."""
    return guest.run(f"modinfo -k {kernel} -F sig_key {name}").text.lower()


def loads(guest, kernel, names=PACKAGES):
    """The kernel loads them, and knows who signed: without an E for "unsigned" among its taints."""
    for name in names:
        said, log = load(guest, name)
        claim(f"{kernel} loads {name}", said.code == 0, f"{said.text}\n{log}")
    flags = dict(re.findall(r"(?m)^(\S+) .* \((\w+)\)$", guest.run("cat /proc/modules").text))
    claim("they taint it as modules from outside, not as unsigned ones", all(flags[name] == "O" for name in names), str(flags))
    guest.run(f"rmmod {' '.join(reversed(names))}")


def first_start(guest, kernel, older):
    said = guest.run("mokutil --sb-state; cat /sys/kernel/security/lockdown; uname -r").text
    claim(f"{kernel} runs, Secure Boot is on, the kernel is locked down", said.split() == f"SecureBoot enabled none [integrity] confidentiality {kernel}".split(), said)
    said = guest.json("dkms mok")
    claim("dkms mok: no key yet", said["certificate"] is None and said["next"]["step"] == "make-key", said)

    # As the package of a module does it, and then as a kernel's does.
    said = guest.run("/usr/lib/dkms/common.postinst single 1.0 /usr/share/single ''", seconds=BUILD).text
    claim("a package's postinst makes a key, builds, signs and installs", "Made a signing key" in said and "signed by" in said, said)
    claim("and warns that the kernel will refuse", "would not load" in said, said)
    guest.run("dkms add depa/1.0; dkms add depb/1.0")
    guest.run(f"/etc/kernel/header_postinst.d/dkms {kernel}", seconds=BUILD)
    said = guest.run("dkms status").text
    claim("the hook of the kernel's headers does the others", said.count("installed") == len(PACKAGES), said)

    mok = guest.json("dkms mok")
    claim("dkms mok: Secure Boot on, modules refused, key not enrolled, next step: enroll",
          (mok["secure_boot"]["state"], mok["enforcement"]["state"], mok["certificate"]["trusted"], mok["next"]["step"])
          == ("on", "sig-enforce", False, "enroll"), mok)
    said = guest.run("stat -c '%a %U' /var/lib/dkms/mok.key").text
    claim("the key is root's alone", said == "600 root", said)
    said = verdicts(guest, 1)
    claim("dkms verify: none would load (1), by a key that is not trusted",
          set(said) == {(kernel, name) for name in PACKAGES} and all("key-not-trusted" in codes for codes in said.values()), str(said))
    said = guest.json("dkms ready", 1)
    claim("dkms ready: no (1)", said["ready"] == "no" and said["kernel"] == kernel, said)
    said = guest.run("/usr/lib/dkms/ready_warn").text
    claim("the warning for package managers says so", said.startswith("Do not reboot yet"), said)
    said = guest.json("dkms pending")["pending"]
    claim("dkms pending: all wait for the enrolment, and for the older kernel to be built",
          {(one["kernel"], one["package"], one["waits_for"]) for one in said}
          == {(k, name, why) for k, why in ((kernel, "enrolment"), (older, "autoinstall")) for name in PACKAGES}, said)
    for name in PACKAGES:
        said, log = load(guest, name)
        claim(f"the kernel refuses {name}, with the words that dkms gave",
              said.code == 1 and "Key was rejected by service" in said.text and "Loading of module with unavailable key is rejected" in log,
              f"{said.text}\n{log}")

    said = guest.run("dkms mok enroll", None)
    claim("dkms mok enroll without a terminal asks for nothing and fails", said.code != 0 and "password" in said.text, said.text)
    ask(guest, PASSWORD, mok["certificate"])
    said = guest.json("dkms mok enroll")
    claim("asked again, it waits already", said["done"] == "already-waits", said)
    guest.run("dkms verify", 1)
    guest.run("dkms ready", 1)
    claim("until then dkms verify and dkms ready stay at no (1)", True, "")
    return mok["certificate"]


def ask(guest, password, certificate):
    """dkms mok enroll, and what it and mokutil say afterwards."""
    said = guest.enroll(password)
    claim("dkms mok enroll asks for a one-time password, twice", said.code == 0, said.text)
    said = guest.json("dkms mok")
    one = said["new_certificate"] or said["certificate"]
    claim("dkms mok: it waits, next step: restart",
          (one["mok_new"], one["sha256"], said["next"]["step"]) == (True, certificate["sha256"], "restart"), said)
    said = guest.run("mokutil --list-new").text
    claim("mokutil sees it too", certificate["sha1"] in said, said)


def second_start(guest, kernel, older, certificate):
    said = guest.json("dkms mok")
    one = said["certificate"]
    claim("dkms mok: enrolled, in shim's list and the kernel's keyring, nothing to do",
          (one["sha256"], one["trusted"], one["mok_list"], one["keyrings"], said["next"]["step"])
          == (certificate["sha256"], True, True, [".machine"], "nothing"), said)
    said = guest.run("mokutil --list-enrolled").text
    claim("mokutil sees it too", certificate["sha1"] in said, said)
    said = verdicts(guest, 0)
    claim("dkms verify: all would load (0)", said == {(kernel, name): [] for name in PACKAGES}, str(said))
    said = guest.json("dkms ready")
    claim("dkms ready: yes (0)", said["ready"] == "yes", said)
    said = guest.run("/usr/lib/dkms/ready_warn").text
    claim("the warning for package managers is silent", said == "", said)
    said = guest.json("dkms pending")["pending"]
    claim("dkms pending: nothing waits for an enrolment", all(one["waits_for"] != "enrolment" for one in said), said)
    loads(guest, kernel)

    older_kernel(guest, kernel, older)

    # A file that was changed: its signature no longer fits.
    file = f"/lib/modules/{kernel}/updates/dkms/single.ko"
    guest.run(f"cp -p {file} /root/; printf changed | dd of={file} bs=1 seek=700 conv=notrunc status=none")
    said = verdicts(guest, 1)
    claim("a byte of a module changes: dkms verify says so (1)", [pair for pair in said if said[pair]] == [(kernel, "single")], str(said))
    said = guest.json("dkms ready", 1)
    claim("dkms ready: no (1)", any("single" in one["about"] for one in said["checks"]), said)
    said, _ = load(guest, "single")
    claim("the kernel refuses it", said.code == 1 and "Key was rejected by service" in said.text, said.text)
    guest.run(f"cp -p /root/single.ko {file}")
    guest.run("dkms verify")
    guest.run("dkms ready")

    # A second key is made, and waits.
    said = guest.json("dkms mok rotate")
    second = said["new_certificate"]
    claim("dkms mok rotate makes a second key and signs nothing with it yet",
          said["done"] == "waits" and second["sha256"] != certificate["sha256"] and said["certificate"]["sha256"] == certificate["sha256"], said)
    said = verdicts(guest, 0)
    claim("dkms verify: all would load, as before (0)", len(said) == 6 and not any(said.values()), str(said))
    ask(guest, SECOND_PASSWORD, second)
    # As a boot loader's package would.
    guest.run(f"modprobe -a vfat nls_ascii; mkdir -p /boot/efi && mount -t vfat /dev/vda /boot/efi && cp /boot/vmlinuz-{older} /boot/efi/vmlinuz && cp /boot/initrd.img-{older} /boot/efi/initrd && umount /boot/efi")
    return second


def older_kernel(guest, kernel, older):
    """From nothing to ready, and each step of it."""
    ready = f"dkms ready -k {older}"

    def missing(code):
        """What speaks against it."""
        return {one["about"]: one["what"] for one in guest.json(ready, code)["checks"] if one["answer"] == "no"}

    said = missing(1)
    claim(f"dkms ready -k {older}: no (1), nothing is installed there", set(said) == set(PACKAGES), str(said))
    settings = "/etc/dkms/framework.conf.d/required.conf"
    guest.run(f"echo 'required_modules=\"single\"' >{settings}")
    said = missing(1)
    claim("with required_modules only that one is missing (1)", set(said) == {"single"}, str(said))
    guest.run(f"dkms install single/1.0 -k {older}", seconds=BUILD)
    said = missing(0)
    claim("and when it is installed: yes (0)", not said, str(said))
    guest.run(f"rm {settings}")
    said = missing(1)
    claim("without the setting: no (1), the others are missing", set(said) == {"depa", "depb"}, str(said))
    guest.run(f"/etc/kernel/postinst.d/dkms {older}", seconds=BUILD)
    said = missing(0)
    claim("after the kernel's hook: yes (0)", not said, str(said))
    add = "cd /usr && echo lib/modules/{0}/updates/dkms/single.ko | cpio -o -H newc --quiet | gzip >>/boot/initrd.img-{0}"
    guest.run(add.format(kernel))
    said = missing(1)
    claim("a module in the running kernel's initramfs and not in the other's: no (1)",
          set(said) == {"single"} and f"initrd.img-{older}" in said["single"], str(said))
    guest.run(add.format(older))
    said = missing(0)
    claim("in both: yes (0)", not said, str(said))


def third_start(guest, kernel, older, first, second):
    said = guest.run("uname -r").text
    claim(f"{older} runs", said == older, said)
    loads(guest, older)
    said = signer(guest, "single", older)
    claim("they are signed with the first key", said == first["serial"], said)
    said = guest.json("dkms mok")
    claim("dkms mok: the second key is trusted, next step: rotate", said["new_certificate"]["trusted"] and said["next"]["step"] == "rotate", said)
    said = guest.json("dkms mok rotate")
    claim("dkms mok rotate takes it",
          said["done"] == "taken" and said["certificate"]["sha256"] == second["sha256"] and said["new_certificate"] is None, said)
    claim("and keeps the certificate before it", said["old_certificate"]["sha256"] == first["sha256"], said)
    for k in (kernel, older):
        said = [signer(guest, name, k) for name in PACKAGES]
        claim(f"the modules of {k} are signed with the second key, by kmod's reading", said == [second["serial"]] * len(PACKAGES), str(said))
    said = verdicts(guest, 0)
    claim("dkms verify: all would load (0)", len(said) == 6 and not any(said.values()), str(said))
    for k in (kernel, older):
        said = guest.json(f"dkms ready -k {k}")
        claim(f"dkms ready -k {k}: yes (0)", said["ready"] == "yes", said)
    loads(guest, older)


def main():
    with open(f"{DEBIAN}/kernels", encoding="utf-8") as f:
        kernel, older = f.read().split()
    parts = Parts()

    def start(title, act):
        """One machine from on to off; what act returns."""
        begun = time.monotonic()
        print(f"\n== {title}", flush=True)
        with parts.start() as guest:
            try:
                done = act(guest)
            except machine.Failure as failure:
                raise machine.Failure(f"{title}: {failure}\nthe serial line's last lines:\n{indent(plain(guest.text))}") from None
        print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
        return done

    def system(act, *known, first=False):
        """A start that goes as far as the system."""

        def whole(guest):
            guest.log_in(first)
            done = act(guest, kernel, older, *known)
            guest.restart()
            return done

        return whole

    first = start("the first start: nobody knows our key", system(first_start, first=True))
    start("MokManager", lambda guest: confirm_enrolment(guest, PASSWORD))
    second = start("the second start: the key is enrolled", system(second_start, first))
    start("MokManager, the second key", lambda guest: confirm_enrolment(guest, SECOND_PASSWORD))
    start("the third start: the older kernel", system(third_start, first, second))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except machine.Failure as failure:
        sys.exit(f"secure_boot: {failure}")
