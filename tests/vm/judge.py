"""Inside the private root of vm::judge_*: compares the verdict of dkms on a module with a real kernel.

    judge.py [--observe] BOOT...

Every case of cases.toml is one module in one boot. In the guest dkms gives its verdicts first, then each module is loaded.
They agree if the verdict is "loads" and the module was loaded, or "refused" and it was not, with the error and the words in
the kernel's log that the first reason names. --observe asks the kernels only.
"""

import argparse
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import chains
import firmware
import machine
import variants

WORK = "/tmp/judge"
DKMS = "/usr/sbin/dkms"
# Files that the verdict may read besides the module and the kernel's own indexes.
HEADER_FILES = ("Module.symvers", ".config", "include/config/auto.conf", "Makefile")

# depmod 30 ends in an assertion over it and writes no index for any module, so it comes after depmod.
BROKEN = "elf_names"

# Messages of kmod that differ from strerror's.
KMOD_WORDS = {
    "Unknown symbol in module, or unknown parameter (see dmesg)": "ENOENT",
    "Unknown symbol in module": "ENOENT",
    "Invalid module format": "ENOEXEC",
    "Module has wrong symbol version": "ESRCH",
    "Invalid parameters": "EINVAL",
}
ERRNO = {os.strerror(number): name for number, name in errno.errorcode.items()} | KMOD_WORDS


@dataclass
class Seen:
    """The result of loading a module in a kernel."""

    code: int = -1
    said: list = field(default_factory=list)
    log: list = field(default_factory=list)

    @property
    def error(self):
        """The name of the error number, from the last program's message."""
        if self.code == 0:
            return None
        words = self.said[-1].rpartition(": ")[2] if self.said else ""
        return ERRNO.get(words, f"? ({words})")

    def __str__(self):
        said = "loaded" if self.code == 0 else " / ".join(self.said)
        return f"{said}{''.join(f'{chr(10)}        log: {line}' for line in self.log)}"


def read_guest(lines):
    """The guest's output: that of dkms (empty without dkms), its messages, and {name: Seen}."""
    printed, messages, seen, now, inside = [], [], {}, None, False
    for line in lines:
        if line in ("VERIFY-START", "VERIFY-END"):
            inside = line == "VERIFY-START"
        elif inside:
            printed.append(line)
        elif line.startswith("CASE "):
            now = seen[line[5:]] = Seen()
        elif now is None:
            messages.append(line)
        elif now and line.startswith("log: "):
            now.log.append(line[5:])
        elif now and line.startswith("code: "):
            now.code = int(line[6:])
        elif now and line == "again":
            now.said = []
        elif now and line not in ("modprobe: ", "insmod: "):
            now.said.append(line)
    return "\n".join(printed), "\n".join(messages), seen


def agree(verdict, seen):
    """The reason why they do not agree, or None."""
    if verdict is None:
        return "dkms says nothing about it"
    if verdict["verdict"] == "loads":
        return None if seen.code == 0 else "said to load, and refused"
    if verdict["verdict"] != "refused":
        return "no verdict"
    if seen.code == 0:
        return "said to be refused, and loaded"
    reason = (verdict["reasons"] or [{}])[0]
    if reason.get("errno") != seen.error:
        return f"the error is {seen.error}, not {reason.get('errno')}"
    words = reason.get("log")
    if words and not any(words in line for line in seen.log):
        return "not in the kernel's words"
    return None


class Court:
    """The boots of one run, with the trees and firmware they share."""

    def __init__(self, table, kernels, with_dkms):
        self.table, self.kernels, self.with_dkms = table, kernels, with_dkms
        self.enrolled = variants.make_keys(f"{WORK}/keys")
        self.variants = variants.Variants(WORK, kernels, f"{WORK}/keys")
        self.images, self.files = {}, {}
        # The output of dkms here about the modules of a kernel, if it does not run in the guest.
        self.printed = {}
        # Modules of a kernel that not every boot has: {path: bytes}.
        self.apart = {}

    def prepare(self, name):
        """The initramfs of a kernel, with all variants for it."""
        if name in self.images:
            return
        kernel = self.kernels[name]
        tree = machine.Tree(f"{WORK}/tree-{name}", kernel)
        sometimes = {module for plan in self.table["boot"].values() for module in plan.get("without", [])}
        tree.kernel_modules("efivarfs", *sometimes, *chains.OWN)
        files = self.variants.all(name)
        for file, data in files.items():
            if not file.startswith(BROKEN):
                tree.write(f"lib/modules/{kernel.release}/updates/dkms/{file}", data)
        tree.depmod()
        for file, data in files.items():
            if file.startswith(BROKEN):
                tree.write(f"lib/modules/{kernel.release}/updates/dkms/{file}", data)
        for file in HEADER_FILES:
            if os.path.exists(f"{kernel.headers}/{file}"):
                tree.copy(f"{kernel.headers}/{file}")
        os.symlink(kernel.headers, f"{tree.top}{kernel.modules}/build")
        tree.write("guest", open(f"{machine.HERE}/guest").read(), 0o755)
        if self.with_dkms and not kernel.foreign:
            tree.program(DKMS)
        if self.with_dkms and kernel.foreign:
            # Here, with the modules that the guest has. Neither machine enforces signatures.
            shutil.rmtree(kernel.modules)
            shutil.copytree(f"{tree.top}{kernel.modules}", kernel.modules, symlinks=True)
            paths = [f"{kernel.modules}/updates/dkms/{file}" for file in files]
            words = [DKMS, "verify", *paths, "-k", kernel.release, "--json"]
            self.printed[name] = subprocess.run(words, stdout=subprocess.PIPE, text=True).stdout
        self.apart[name] = {}
        for path in Path(f"{tree.top}{kernel.modules}/kernel").rglob("*.ko*"):
            if path.name.partition(".")[0] in sometimes:
                self.apart[name][path.relative_to(tree.top)] = path.read_bytes()
                path.unlink()
        self.images[name] = f"{WORK}/{name}.img"
        self.files[name] = {file.partition(".")[0]: file for file in files}
        tree.pack(self.images[name])
        shutil.rmtree(tree.top)

    def boot(self, name, cases):
        """One boot of the table with its variants: the result of read_guest, and the seconds it took."""
        start = time.monotonic()
        plan = self.table["boot"][name]
        kernel = self.kernels[plan["kernel"]]
        folder = Path(WORK, f"boot-{name}".replace(" ", "-"))
        more = folder / "more"
        more.mkdir(parents=True)
        (more / "cases").write_text("".join(f"{case} {self.files[plan['kernel']][case]}\n" for case in cases))
        for path, data in self.apart[plan["kernel"]].items():
            if path.name.partition(".")[0] not in plan.get("without", []):
                (more / path).parent.mkdir(parents=True, exist_ok=True)
                (more / path).write_bytes(data)
        # Files of this boot alone are in a second archive after the first.
        machine.pack(more, f"{folder}/more.img")
        with open(f"{folder}/initrd", "wb") as out:
            for part in (self.images[plan["kernel"]], f"{folder}/more.img"):
                out.write(Path(part).read_bytes())
        append, disk, values = plan.get("append", ""), None, None
        if plan["by"] != "bios":
            values = f"{folder}/variables"
            mok = self.enrolled if plan["by"] == "shim" else []
            db = [firmware.vendor_certificate(), *self.enrolled] if plan["by"] == "db" else []
            firmware.variables(firmware.MS_VARIABLES, values, db=db, mok=mok)
        if plan["by"].startswith("shim"):
            disk = machine.shim_disk(f"{folder}/disk", kernel, f"{folder}/initrd", f"quiet loglevel=1 {append}")
        done = machine.boot(kernel, f"{folder}/initrd", append, values, disk)
        shutil.rmtree(folder)
        printed, messages, seen = read_guest(done.lines)
        return self.printed.get(plan["kernel"], printed), messages, seen, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--observe", action="store_true", help="ask the kernels only")
    parser.add_argument("boots", nargs="+")
    options = parser.parse_args()
    with open(f"{machine.HERE}/cases.toml", "rb") as f:
        table = tomllib.load(f)
    kernels = {}
    for word in os.environ["VM_KERNELS"].split():
        name, _, release = word.partition("=")
        kernels[name] = machine.Kernel(release)

    boots = options.boots
    os.makedirs(WORK)
    court = Court(table, kernels, not options.observe)
    cases = {name: [] for name in boots}
    for name in boots:
        court.prepare(table["boot"][name]["kernel"])
    for case, where in table["case"].items():
        for name in boots:
            if table["boot"][name]["group"] in where.split() and case in court.files[table["boot"][name]["kernel"]]:
                cases[name].append(case)
    with ThreadPoolExecutor(min(2, os.cpu_count())) as pool:
        results = list(pool.map(lambda name: court.boot(name, cases[name]), boots))

    count = Counter()
    for name, result in zip(boots, results):
        report(court, name, cases[name], *result, options.observe, count)
    print(f"\n{sum(map(len, cases.values()))} cases in {len(boots)} boots" + ("" if options.observe else f", {count['disagree']} disagreements"))
    if not options.observe:
        print(f"agreed: {count['loaded']} loaded; {count['words']} refused with the kernel's words, {count['error']} with the error number only")
        print(f"        ({count['more']} of these last where the kernel wrote a line that we did not name)")
    return 1 if count["disagree"] else 0


def report(court, name, cases, printed, messages, seen, seconds, observe, count):
    """Prints the results of one boot, case by case, and counts them."""
    verdicts = {}
    print(f"\n== {name}: {court.kernels[court.table['boot'][name]['kernel']].release}, {len(cases)} modules, {seconds:.0f} s")
    if not observe:
        try:
            verdicts = {os.path.basename(v["path"]).partition(".")[0]: v for v in json.loads(printed)["modules"]}
        except (ValueError, KeyError, TypeError):
            print(f"  dkms verify did not print the JSON we know:\n{printed}\n{messages}")
    for case in cases:
        got = seen.get(case, Seen())
        if observe:
            print(f"  {case:<21}{got.error or 'loaded':<13}{got}")
            continue
        verdict = verdicts.get(case)
        why = agree(verdict, got)
        if why is None:
            words = (verdict["reasons"] or [{}])[0].get("log")
            count["loaded" if got.code == 0 else "words" if words else "error"] += 1
            count["more"] += bool(got.code and not words and got.log)
            print(f"  {case:<21}{got.error or 'loads':<13}{words or ''}".rstrip())
            continue
        count["disagree"] += 1
        print(f"  {case:<21}DISAGREE: {why}\n      the kernel: {got}\n      dkms: {json.dumps(verdict, indent=2)}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except machine.Failure as failure:
        sys.exit(f"judge: {failure}")
