"""Inside the private root of mutations::NAME: damaged modules before dkms and before a real kernel.

    mutations.py COUNT [--seed N] [--doubtful N] [KERNEL...]

dkms gives its verdict on COUNT damaged copies of real modules (see mutate.py), then a kernel tries to load each, many in a boot
and in a new one after each that crashes it. "Loads" is right if the module is loaded and taken out again without an oops;
"refused" if it is not loaded, and the log has the words of the first reason. "Unknown" for damage that no kernel checks is
right in any case; of those, --doubtful many are tried, to report their results.
"""

import argparse
import json
import lzma
import os
import random
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import machine
import variants
from judge import DKMS, ERRNO, HEADER_FILES
from mutate import mutate

WORK = "/tmp/mutations"
# Small modules of the kernel that need no hardware and no other module, as far as a kernel has them.
OWN = ("dummy", "crc7", "ifb", "xor", "brd", "crc-itu-t", "michael_mic", "libcrc32c")
SILENCE = 60
# How many of the modules with different results are retried.
ALONE = 20
CRASH = re.compile(r"\b(Oops|BUG:|general protection fault|Kernel panic|unable to handle)")
# Messages of the kernel's loader about a module that it refuses; it logs nothing about the init function.
LOADER = re.compile(r"Unknown symbol|[Rr]elocation|invalid|Invalid|duplicate|disagrees|no symbol|should be|allocate")


@dataclass
class Seen:
    """The result of loading a module in a kernel."""

    code: int = None
    said: str = ""
    log: list = field(default_factory=list)
    # It is unloaded.
    out: bool = False

    @property
    def crashed(self):
        return self.code is None or (self.code == 0 and not self.out) or any(CRASH.search(line) for line in self.log)

    @property
    def error(self):
        words = self.said.rpartition(": ")[2]
        return ERRNO.get(words, f"? ({words})")

    def __str__(self):
        what = "crashed" if self.crashed else "loaded" if self.code == 0 else self.said
        return f"{what}{''.join(f'{chr(10)}        log: {line}' for line in self.log[:12])}"


def originals(court, name, kernel):
    """{name: bytes} of undamaged modules."""
    found = {}
    for kind in ("template_plain", "template_namespace", "exporter", "proprietary"):
        data = court.source(name, kind)
        found[kind] = data
        found[f"{kind} signed"] = court.sign(name, data)
    for module in OWN:
        for path in Path(f"{kernel.modules}/kernel").rglob(f"{module}.ko*"):
            data = path.read_bytes()
            data = lzma.decompress(data) if path.suffix == ".xz" else data
            end = data.endswith(variants.MAGIC)
            plain = variants.signature_parts(data)[0] if end else data
            if b"\0depends=\0" in plain and len(plain) < 100_000:
                found[module] = plain
    return found


class Run:
    """The damaged modules of one kernel."""

    def __init__(self, name, kernel, court, count, seed):
        self.name, self.kernel = name, kernel
        chance = random.Random(f"{seed} {name}")
        bases = originals(court, name, kernel)
        self.cases = {}
        for index in range(count):
            base = chance.choice(list(bases))
            mutation = mutate(bases[base], chance)
            mutation.what = f"{base}: {mutation.what}"
            self.cases[f"m{index:05}"] = mutation
        self.folder = f"{WORK}/{name}"
        tree = machine.Tree(f"{self.folder}/tree", kernel)
        tree.kernel_modules("efivarfs")
        tree.depmod()
        for file in HEADER_FILES:
            if os.path.exists(f"{kernel.headers}/{file}"):
                tree.copy(f"{kernel.headers}/{file}")
        os.symlink(kernel.headers, f"{tree.top}{kernel.modules}/build")
        tree.write("guest", open(f"{machine.HERE}/mutation-guest").read(), 0o755)
        tree.program(DKMS)
        self.base = f"{self.folder}/base.img"
        tree.pack(self.base)

    def boot(self, cases, verify=False):
        """One boot: the text between the guest's start and its end, or as far as it came."""
        folder = Path(f"{self.folder}/boot-{cases[0] if cases else 'verify'}")
        (folder / "m").mkdir(parents=True)
        (folder / "list").write_text("".join(f"{case}\n" for case in ([] if verify else cases)))
        for case in cases:
            (folder / "m" / f"{case}.ko").write_bytes(self.cases[case].data)
        if verify:
            (folder / "verify").write_text("")
        machine.pack(folder, f"{folder}.more")
        with open(f"{folder}.initrd", "wb") as out:
            for part in (self.base, f"{folder}.more"):
                out.write(Path(part).read_bytes())
        append = "quiet loglevel=2 oops=panic softlockup_panic=1 panic=-1"
        with machine.Machine(kernel=self.kernel, initrd=f"{folder}.initrd", append=append, memory=768) as guest:
            # A kernel that hangs repeats its messages: only the next module is progress.
            before, until = None, time.monotonic() + 900
            while guest.open and time.monotonic() < until and (verify or guest.text.rfind("CASE ") != before):
                before = guest.text.rfind("CASE ")
                with guest.changed:
                    guest.changed.wait_for(lambda: not guest.open, SILENCE)
            text = guest.text
        machine.run("rm", "-r", folder, f"{folder}.more", f"{folder}.initrd")
        start = text.find("GUEST-START\n")
        return text[start + 12 :] if start >= 0 else ""

    def verdicts(self):
        """dkms's verdicts of all, in one process."""
        text = self.boot(list(self.cases), verify=True)
        printed = text.partition("VERIFY-START\n")[2].partition("\nVERIFY-END")[0]
        try:
            return {os.path.basename(v["path"])[:-3]: v for v in json.loads(printed)["modules"]}
        except (ValueError, KeyError) as error:
            raise machine.Failure(f"dkms verify did not print the JSON we know: {error}\n{text[-3000:]}") from error

    def load(self, cases):
        """{case: Seen}, in as many boots as crashes want."""
        found, rest, boots = {}, list(cases), 0
        while rest:
            boots += 1
            seen, now, more = {}, None, ""
            for line in self.boot(rest).split("\n"):
                if line.startswith("CASE "):
                    now = seen[line[5:]] = Seen()
                elif now and line.startswith("log: "):
                    now.log.append(line[5:])
                elif now and line.startswith("code: "):
                    now.code = int(line[6:])
                elif now and line == "OUT":
                    now.out = True
                elif now and line.startswith("insmod: "):
                    now.said = line
                elif now and line.startswith("GUEST-END"):
                    break
                elif now:
                    now.log.append(line)
                else:
                    more += line
            if not seen:
                raise machine.Failure(f"the guest tried no module: {more[-2000:]}")
            found |= seen
            rest = [case for case in rest if case not in found]
        return found, boots


def unchecked(verdict):
    return verdict["verdict"] == "unknown" and all(r["code"] == "unchecked-damage" for r in verdict["reasons"])


def wrong(verdict, seen, mutation):
    """Why they do not agree, or None; and a word for the statistics."""
    became = "crashed" if seen.crashed else "loaded" if seen.code == 0 else "refused"
    if unchecked(verdict):
        return None, f"unknown, {became}"
    if verdict["verdict"] == "loads":
        if became == "refused" and mutation.like_code and not any(LOADER.search(line) for line in seen.log):
            return None, "loads, and its own functions fail by what is like code"
        if became == "crashed" and mutation.like_code:
            return None, "loads, crashed by what is like code"
        return (None if became == "loaded" else f"said to load, and {became}"), f"loads, {became}"
    if verdict["verdict"] != "refused":
        return "no verdict", "no verdict"
    if became != "refused":
        return f"said to be refused, and {became}", f"refused, {became}"
    words = verdict["reasons"][0].get("log")
    # The log's bytes come through a serial line; non-ASCII bytes of a damaged name differ.
    words = words and re.split(r"[^ -~]", words)[0]
    if words and not any(words in line for line in seen.log):
        return "not in the kernel's words", "refused, in other words"
    if seen.error not in [reason.get("errno") for reason in verdict["reasons"]]:
        return f"the error is {seen.error}", "refused, another error"
    return None, "refused"


def halves(work, items):
    """The work on two halves at once."""
    items = list(items)
    cut = len(items) // 2
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(work, [part for part in (items[:cut], items[cut:]) if part]))
    return {key: value for found, _ in both for key, value in found.items()}, sum(boots for _, boots in both)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--doubtful", type=int, default=0)
    parser.add_argument("kernels", nargs="*")
    options = parser.parse_intermixed_args()
    os.makedirs(WORK)
    kernels = dict(word.split("=") for word in os.environ["VM_KERNELS"].split())
    kernels = {name: machine.Kernel(release) for name, release in kernels.items()}
    variants.make_keys(f"{WORK}/keys")
    court = variants.Variants(WORK, kernels, f"{WORK}/keys")
    bad = 0
    for name in options.kernels or ["6.1"]:
        start = time.monotonic()
        run = Run(name, kernels[name], court, options.count, options.seed)
        verdicts = run.verdicts()
        judged = time.monotonic() - start
        print(f"{name}: verdicts on {len(verdicts)} modules after {judged:.0f} s", flush=True)
        doubtful = [case for case in run.cases if unchecked(verdicts[case])]
        certain = [case for case in run.cases if case not in set(doubtful)]
        seen, boots = halves(run.load, [*certain, *doubtful[: options.doubtful]])
        # A module that could not undo its changes can disturb the next one, so those get a separate machine.
        for case in [case for case in seen if wrong(verdicts[case], seen[case], run.cases[case])[0]][:ALONE]:
            seen |= run.load([case])[0]
            boots += 1
        count = Counter()
        for case, what in seen.items():
            why, word = wrong(verdicts[case], what, run.cases[case])
            count[word] += 1
            if why:
                bad += 1
                print(f"  {case} {run.cases[case].what}\n      DISAGREE: {why}\n      the kernel: {what}\n      dkms: {json.dumps(verdicts[case])}")
            elif word.endswith("crashed by what is like code"):
                print(f"  {case} {run.cases[case].what}: {word}")
        count["unknown, not tried"] = len(run.cases) - len(seen)
        print(f"{name}: {kernels[name].release}, {len(run.cases)} damaged modules, seed {options.seed}, {boots} boots, verdicts {judged:.0f} s, in all {time.monotonic() - start:.0f} s")
        for word, times in sorted(count.items()):
            print(f"    {times:5} {word}")
    print(f"mutations: {bad} disagreements")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except machine.Failure as failure:
        sys.exit(f"mutations: {failure}")
