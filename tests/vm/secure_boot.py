"""Inside the private root of secure_boot::enroll_and_rotate: a Debian whose firmware trusts the vendors only.

First start: packages bring modules; dkms makes a key, builds, signs and installs, and reports that the kernel will refuse
them. It does. The enrolment of the key is requested, and confirmed in MokManager over the serial line.
Second start: everything that was refused is accepted. An older kernel is made ready step by step, and a second key is requested.
Third start, of that older kernel: it loads what was reported to be ready; the second key takes over.

What dkms says and what the kernel does both come from the guest.
"""

import json
import re
import sys
import time

import machine
from debian import DEBIAN, PACKAGES, Parts, confirm_enrolment, indent, plain

PASSWORD, SECOND_PASSWORD = "one-time-1", "one-time-2"
BUILD = 300


def claim(what, holds, saw):
    """Prints a claim if it holds; otherwise fails and shows the observed value."""
    if not holds:
        raise machine.Failure(f"not so: {what}\n{indent(saw if isinstance(saw, str) else json.dumps(saw, indent=2))}")
    print(f"  {what}", flush=True)


def verdicts(guest, code):
    """dkms verify, which must end with this code: the codes of the reasons against each module."""
    return {
        (module["kernel"], module["module"]): [reason["code"] for reason in module["reasons"]]
        for module in guest.json("dkms verify", code)["modules"]
    }


def load(guest, name):
    """Runs modprobe; returns its output, and the new lines of the kernel's log."""
    guest.run("dmesg -c >/dev/null")
    said = guest.run(f"modprobe {name}", None)
    return said, guest.run("dmesg").text


def signer(guest, name, kernel):
    """The serial number in a module's signature, as kmod reads it."""
    return guest.run(f"modinfo -k {kernel} -F sig_key {name}").text.lower()


def loads(guest, kernel, names=PACKAGES):
    """The kernel loads them, and knows the signer: no E for "unsigned" among its taints."""
    for name in names:
        said, log = load(guest, name)
        claim(f"{kernel} loads {name}", said.code == 0, f"{said.text}\n{log}")
    flags = dict(re.findall(r"(?m)^(\S+) .* \((\w+)\)$", guest.run("cat /proc/modules").text))
    claim("they taint it as modules from outside, not as unsigned ones", all(flags[name] == "O" for name in names), str(flags))
    guest.run(f"rmmod {' '.join(reversed(names))}")


def first_start(guest, kernel, older):
    said = guest.run("mokutil --sb-state; cat /sys/kernel/security/lockdown; uname -r").text
    claim(
        f"{kernel} runs, Secure Boot is on, the kernel is locked down",
        said.split() == ["SecureBoot", "enabled", "none", "[integrity]", "confidentiality", kernel],
        said,
    )
    said = guest.json("dkms mok")
    claim("dkms mok: no key yet", said["certificate"] is None and said["next"]["step"] == "make-key", said)

    # As the package of a module does it, and then as a kernel's does.
    said = guest.run("/usr/lib/dkms/common.postinst single 1.0 /usr/share/single ''", seconds=BUILD).text
    made = guest.run("ls /var/lib/dkms").text.split()
    claim("a package's postinst makes a key, builds, signs and installs", {"mok.key", "mok.pub"} <= set(made), said)
    claim("and warns that the kernel will refuse", "warning" in said and "unavailable key" in said, said)
    guest.run("dkms add depa/1.0; dkms add depb/1.0")
    guest.run(f"/etc/kernel/header_postinst.d/dkms {kernel}", seconds=BUILD)
    said = guest.run("dkms status").text
    claim("the hook of the kernel's headers does the others", said.count("installed") == len(PACKAGES), said)

    mok = guest.json("dkms mok")
    states = (mok["secure_boot"]["state"], mok["enforcement"]["state"], mok["certificate"]["trusted"], mok["next"]["step"])
    claim(
        "dkms mok: Secure Boot on, modules refused, key not enrolled, next step: enroll",
        states == ("on", "sig-enforce", False, "enroll"),
        mok,
    )
    said = guest.run("stat -c '%a %U' /var/lib/dkms/mok.key").text
    claim("the key is root's alone", said == "600 root", said)
    said = verdicts(guest, 1)
    claim(
        "dkms verify: none would load (1), by a key that is not trusted",
        set(said) == {(kernel, name) for name in PACKAGES} and all("key-not-trusted" in codes for codes in said.values()),
        str(said),
    )
    said = guest.json("dkms ready", 1)
    claim("dkms ready: no (1)", said["ready"] == "no" and said["kernel"] == kernel, said)
    said = guest.run("/usr/lib/dkms/ready_warn").text
    claim("the warning for package managers says so", said.startswith("Do not reboot yet"), said)
    said = guest.json("dkms pending")["pending"]
    waits = {(kernel, "enrolment"), (older, "autoinstall")}
    claim(
        "dkms pending: all wait for the enrolment, and to be built for the older kernel",
        {(one["kernel"], one["waits_for"], one["package"]) for one in said}
        == {(*wait, name) for wait in waits for name in PACKAGES},
        said,
    )
    (words,) = {reason["log"] for one in guest.json("dkms verify", 1)["modules"] for reason in one["reasons"]}
    for name in PACKAGES:
        said, log = load(guest, name)
        claim(
            f"the kernel refuses {name}, with the words that dkms gave",
            said.code == 1 and "Key was rejected by service" in said.text and words in log.splitlines()[-1],
            f"dkms: {words}\n{said.text}\n{log}",
        )

    said = guest.run("dkms mok enroll", None)
    claim("dkms mok enroll without a terminal fails", said.code != 0 and "password" in said.text, said.text)
    ask(guest, PASSWORD, mok["certificate"])
    said = guest.json("dkms mok enroll")
    claim("asked again, it waits already", said["done"] == "already-waits", said)
    said = verdicts(guest, 1)
    claim("dkms verify: none would load, before it is enrolled (1)", len(said) == 3 and all(said.values()), str(said))
    said = guest.json("dkms ready", 1)
    claim("dkms ready: no (1)", said["ready"] == "no", said)
    return mok["certificate"]


def ask(guest, password, certificate):
    """Runs dkms mok enroll, and checks its output and that of mokutil afterwards."""
    said = guest.enroll(password)
    claim("dkms mok enroll asks for a one-time password, twice", said.code == 0, said.text)
    said = guest.json("dkms mok")
    one = said["new_certificate"] or said["certificate"]
    states = (one["mok_new"], one["sha256"], said["next"]["step"])
    claim("dkms mok: it waits, next step: restart", states == (True, certificate["sha256"], "restart"), said)
    said = guest.run("mokutil --list-new").text
    claim("mokutil sees it too", certificate["sha1"] in said, said)


def second_start(guest, kernel, older, certificate):
    said = guest.json("dkms mok")
    one = said["certificate"]
    claim(
        "dkms mok: enrolled, in shim's list and the kernel's keyring, nothing to do",
        (one["sha256"], one["trusted"], one["mok_list"], one["keyrings"], said["next"]["step"])
        == (certificate["sha256"], True, True, [".machine"], "nothing"),
        said,
    )
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
    refused = [pair for pair in said if said[pair]]
    claim("a module's bytes are changed: dkms verify says so (1)", refused == [(kernel, "single")], str(said))
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
    claim(
        "dkms mok rotate makes a second key and keeps the first in use",
        said["done"] == "waits" and second["sha256"] != certificate["sha256"] == said["certificate"]["sha256"],
        said,
    )
    said = [signer(guest, name, kernel) for name in PACKAGES]
    claim("nothing is signed with it yet", said == [certificate["serial"]] * len(PACKAGES), str(said))
    said = verdicts(guest, 0)
    claim("dkms verify: all would load, as before (0)", len(said) == 6 and not any(said.values()), str(said))
    ask(guest, SECOND_PASSWORD, second)
    # As a boot loader's package would.
    guest.run("mkdir /boot/efi && mount -t vfat /dev/vda /boot/efi")
    guest.run(f"cp /boot/vmlinuz-{older} /boot/efi/vmlinuz && cp /boot/initrd.img-{older} /boot/efi/initrd && umount /boot/efi")
    return second


def older_kernel(guest, kernel, older):
    """Makes an older kernel ready, step by step."""
    ready = f"dkms ready -k {older}"

    def missing(code):
        """The failed checks: {subject: problem}."""
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
    claim(
        "a module in the running kernel's initramfs and not in the other's: no (1)",
        set(said) == {"single"} and f"initrd.img-{older}" in said["single"],
        str(said),
    )
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
    trusted = said["new_certificate"]["trusted"]
    claim("dkms mok: the second key is trusted, next step: rotate", trusted and said["next"]["step"] == "rotate", said)
    said = guest.json("dkms mok rotate")
    claim(
        "dkms mok rotate takes it",
        said["done"] == "taken" and said["certificate"]["sha256"] == second["sha256"] and said["new_certificate"] is None,
        said,
    )
    claim("and keeps the certificate before it", said["old_certificate"]["sha256"] == first["sha256"], said)
    for k in (kernel, older):
        said = [signer(guest, name, k) for name in PACKAGES]
        claim(f"the modules of {k} are signed with the second key", said == [second["serial"]] * len(PACKAGES), str(said))
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
        """Starts a machine, runs act, and stops it; returns the result of act."""
        begun = time.monotonic()
        print(f"\n== {title}", flush=True)
        with parts.start() as guest:
            try:
                done = act(guest)
            except machine.Failure as failure:
                log = indent(plain(guest.text))
                raise machine.Failure(f"{title}: {failure}\nthe serial line's last lines:\n{log}") from None
        print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
        return done

    def system(act, *known, first=False):
        """A start that goes as far as the system."""

        def boot(guest):
            guest.log_in(first)
            done = act(guest, kernel, older, *known)
            guest.restart()
            return done

        return boot

    first = start("the first start: our key is not known", system(first_start, first=True))
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
