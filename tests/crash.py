"""Inside the private root of crash::NAME: `crash.py NAME`.

Two modules for two kernels, with the kernels' own modules in the way. The command is killed at every system call that changes
something (of all threads of dkms, not of depmod: see syscall-at.c), and the next command recovers. Every time the state must be
that before or that after: files, archive, links, manifests, modules.dep and `dkms status` alike, without leftovers. `status`
between the crash and the recovery must show one of the two as well. Then the same with the recovery killed too, and with a disk
that is full or fails from the n-th call on: the command reports it, and does not panic.

Many calls do the same to another file: ten files of the index are saved, written and renamed alike. So a run takes a sample:
every call on the journal, the first and the last call of each kind (system call and kind of path), and one in SHARE of the
others, which CRASH_SEED chooses (printed; each run chooses another one). Of the failing calls it takes the first of each
kind: all of them with a full disk, half of them with one that fails. DKMS_TEST_LONG=1 takes every call.
"""

import errno
import os
import random
import re
import subprocess
import sys
import time

from state import KERNELS, LIB, complain, difference, dkms, each, must, panicked, prepare, restore, save, state, status, sum_up, settled

K1 = KERNELS[0]
ALL = os.environ.get("DKMS_TEST_LONG", "") not in ("", "0")
SEED = os.environ.get("CRASH_SEED") or str(int(time.time()))
CHOICE = random.Random(SEED)
# One of so many calls that are like others.
SHARE = 20
RECOVER = ["generate_mok"]  # changes nothing by itself, the key is there
AT, LOG = "/run/syscall-at", "/run/syscalls"
# Any of the commands changes more than this.
FEWEST = 20


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def compile_tracer():
    made = subprocess.run(["gcc", "-O1", "-o", AT, "/e2e/syscall-at.c"], capture_output=True, text=True)
    if made.returncode:
        skip((made.stderr.splitlines() or ["gcc failed"])[0])
    if subprocess.run([AT, LOG, "kill", "0", "true"], capture_output=True).returncode:
        skip("ptrace is not allowed here")


def interfered(how, n, words):
    return subprocess.run([AT, LOG, how, str(n), "dkms", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def calls():
    with open(LOG, errors="replace") as f:
        return f.read().splitlines()


def recovered(what, before, after):
    """Recover, and return which of the two states it is."""
    settled()
    done = dkms(*RECOVER)
    if done.returncode:
        complain("the recovering command failed", f"{what}, then code {done.returncode}", *done.stderr.splitlines()[:5])
    now = state()
    if now == before:
        return "before"
    if now == after:
        return "after"
    more = any(set(now) > set(other) and all("/." in l for l in set(now) - set(other)) for other in (before, after))
    complain("a file is left over" if more else "neither before nor after", what, *difference(now, before, after))
    return None


def only_status(lines):
    return [l for l in lines if l.startswith("status: ")]


# Names made from a process, a time or random digits; the ten files of an index; modules of the fixtures.
SAME = [
    (re.compile("|".join(map(re.escape, KERNELS))), "K"),
    (re.compile(r"^/usr/lib/"), "/lib/"),
    (re.compile(r"modules\.[a-z]+(\.[a-z]+)*"), "modules.X"),
    (re.compile(r"alpha|beta_renamed|single|multi"), "M"),
    (re.compile(r"\b[0-9a-f]{8,}\b|\d+"), "N"),
]


def kind(call):
    """The system call and the kind of path of a line of the log."""
    call = call.split(" ", 1)[1]
    for pattern, word in SAME:
        call = pattern.sub(word, call)
    return call


def sample(made, how):
    """The numbers, from 1, of the calls that the test interferes with."""
    every = range(1, len(made) + 1)
    if ALL:
        return list(every)
    kinds = [kind(call) for call in made]
    first = {kinds.index(what) + 1 for what in kinds}
    if how == "EIO":
        return sorted(CHOICE.sample(sorted(first), len(first) // 2))
    if how == "ENOSPC":
        return sorted(first)
    last = {len(made) - kinds[::-1].index(what) for what in kinds}
    chosen = first | last | {n for n in every if "/.journal" in kinds[n - 1]}
    others = [n for n in every if n not in chosen]
    return sorted(chosen | set(CHOICE.sample(others, len(others) // SHARE)))


def traced(name, how, words):
    """The calls of a command that is not interfered with."""
    restore(name)
    interfered(how, 0, words)
    return calls()


def kills(words, name, before, after, points):
    """Kill at these calls, run status, recover, compare."""
    seen = {"before": 0, "after": 0, None: 0}
    for n in points:
        restore(name)
        interfered("kill", n, words)
        at = (calls() or ["nothing"])[-1].split(" ", 1)[-1]
        looks = status()
        if looks not in (only_status(before), only_status(after)):
            complain("status shows neither before nor after", f"killed at {n} ({at})", *difference(looks, only_status(before), only_status(after)))
        seen[recovered(f"killed at {n} ({at})", before, after)] += 1
    return seen


def double_kills(words, name, before, after, points):
    """Kill the command, then kill the recovery at some of its calls, and recover after that."""
    done = 0
    for n in range(1, points + 1) if ALL else sorted(CHOICE.sample(range(1, points + 1), 5)):
        restore(name)
        interfered("kill", n, words)
        settled()
        save("crashed")
        interfered("kill", 0, RECOVER)
        total = len(calls())
        for k in range(1, total + 1) if ALL else sorted(CHOICE.sample(range(1, total + 1), min(5, total))):
            restore("crashed")
            interfered("kill", k, RECOVER)
            recovered(f"killed at {n}, recovery killed at {k}", before, after)
            done += 1
    return done


def errors(how, words, name, before, after):
    """Every call from the n-th on fails. A command that reports success must have worked."""
    points = sample(traced(name, how, words), how)
    for n in points:
        restore(name)
        ended = interfered(how, n, words)
        at = next(iter(calls()[n - 1 : n]), "nothing").split(" ", 1)[-1]
        what = f"{how} from {n} ({at}), code {ended.returncode}"
        if panicked(ended):
            complain("panic", what, *ended.stderr.splitlines()[:5])
        text = os.strerror(getattr(errno, how))
        if ended.returncode and text not in ended.stderr:
            complain("the message does not contain the cause", what, *ended.stderr.splitlines()[:5])
        found = recovered(what, before, after)
        if ended.returncode == 0 and found == "before" and before != after:
            complain("it reported success, but everything is as before", what)
    return len(points)


def scenario(name, *words):
    """From the state saved under NAME."""
    started = time.monotonic()
    restore(name)
    before = state()
    made = traced(name, "kill", words)
    after = state()
    points = sample(made, "kill")
    seen = kills(words, name, before, after, points)
    double = double_kills(words, name, before, after, len(made))
    room = errors("ENOSPC", words, name, before, after)
    disk = errors("EIO", words, name, before, after)
    print(
        f"dkms {' '.join(words)}: {len(points)} of {len(made)} crash points in {len({c.split()[0] for c in made})} thread(s) "
        f"({seen['before']} before, {seen['after']} after), {double} double crashes, {room} ENOSPC, {disk} EIO, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )
    if len(made) < FEWEST:
        complain("too few system calls were seen", f"{len(made)}")


def with_odd_name():
    """The kernel's own module is in a directory whose name is not UTF-8."""
    odd = os.path.join(os.fsencode(f"{LIB}/{K1}/extra"), b"b\xff")
    os.makedirs(odd)
    os.rename(os.fsencode(f"{LIB}/{K1}/kernel/drivers/misc/alpha.ko"), os.path.join(odd, b"alpha.ko"))
    subprocess.run(["depmod", K1], check=True)
    return odd


def with_odd_name_installed():
    odd = with_odd_name()
    must("install", "multi/1.0", "-k", K1)
    if os.path.exists(odd):
        sys.exit("the module in the odd directory was not moved away")


def installed():
    must("install", "multi/1.0", *each("-k"))


def two():
    installed()
    must("install", "single/1.0", *each("-k"))


# The packages, the number of kernels, the preparation, and the command.
ONE, ALSO_2, ALSO_SINGLE = ["multi/1.0"], ["multi/1.0", "multi/2.0"], ["multi/1.0", "single/1.0"]
CASES = {
    "install": (ONE, 1, None, ["install", "multi/1.0", "-k", K1]),
    "install_for_two_kernels": (ONE, 2, None, ["install", "multi/1.0", *each("-k")]),
    "uninstall": (ONE, 2, installed, ["uninstall", "multi/1.0", *each("-k")]),
    "upgrade": (ALSO_2, 2, installed, ["install", "multi/2.0", *each("-k")]),
    "remove": (ONE, 2, installed, ["remove", "multi/1.0", "--all"]),
    "kernel_prerm": (ALSO_SINGLE, 2, two, ["kernel_prerm", "-k", K1]),
    "install_with_odd_file_name": (ONE, 1, with_odd_name, ["install", "multi/1.0", "-k", K1]),
    "uninstall_with_odd_file_name": (ONE, 1, with_odd_name_installed, ["uninstall", "multi/1.0", "-k", K1]),
}

started = time.monotonic()
versions, kernels, before, words = CASES[sys.argv[1]]
del KERNELS[kernels:]
compile_tracer()
prepare(versions)
if before:
    before()
save("start")
print(f"CRASH_SEED={SEED}; prepared in {time.monotonic() - started:.0f} s", flush=True)
scenario("start", *words)
wrong = sum_up()
print(f"{wrong} wrong, {time.monotonic() - started:.0f} s in all")
sys.exit(1 if wrong else 0)
