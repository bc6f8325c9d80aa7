"""Inside the private root of crash::NAME: `crash.py NAME`.

Two modules for two kernels, with the kernels' own modules in the way. The command is killed at every system call that changes
something (of all threads of dkms, not of depmod: see syscall-at.c), and the next command recovers. Every time the state must be
that before or that after: files, archive, links, manifests, modules.dep and `dkms status` alike, without leftovers. `status`
between the crash and the recovery must show one of the two as well. Then the same with the recovery killed too, and with a disk
that is full or fails from the n-th call on: the command reports it, and does not panic.

CRASH_ALL=1 takes every point of the second half, not a sample.
"""

import errno
import os
import subprocess
import sys
import time

from state import KERNELS, LIB, complain, difference, dkms, each, must, panicked, prepare, restore, save, state, status, sum_up, settled

K1, K2 = KERNELS
ALL = os.environ.get("CRASH_ALL", "") not in ("", "0")
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


def kills(words, name, before, after, points):
    """Kill at every call, run status, recover, compare."""
    seen = {"before": 0, "after": 0, None: 0}
    for n in range(1, points + 1):
        restore(name)
        interfered("kill", n, words)
        at = (calls() or ["nothing"])[-1].split(" ", 1)[-1]
        looks = status()
        if looks not in (only_status(before), only_status(after)):
            complain("status shows neither before nor after", f"killed at {n} ({at})", *difference(looks, only_status(before), only_status(after)))
        seen[recovered(f"killed at {n} ({at})", before, after)] += 1
    return seen


def double_kills(words, name, before, after, points):
    """Kill the command, then kill the recovery at each of its calls, and recover after that."""
    done = 0
    step = 1 if ALL else max(1, points // 8)
    for n in range(1 if ALL else step // 2 + 1, points + 1, step):
        restore(name)
        interfered("kill", n, words)
        settled()
        save("crashed")
        interfered("kill", 0, RECOVER)
        total = len(calls())
        for k in range(1 if ALL else n % 3 + 1, total + 1, 1 if ALL else max(2, total // 8)):
            restore("crashed")
            interfered("kill", k, RECOVER)
            recovered(f"killed at {n}, recovery killed at {k}", before, after)
            done += 1
    return done


def errors(how, words, name, before, after, step):
    """Every call from the n-th on fails. A command that reports success must have worked."""
    restore(name)
    interfered(how, 0, words)
    points = len(calls())
    done = 0
    for n in range(1, points + 1, step):
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
        done += 1
    return done


def scenario(name, *words):
    """From the state saved under NAME."""
    started = time.monotonic()
    restore(name)
    before = state()
    interfered("kill", 0, words)
    points, threads = len(calls()), len({c.split()[0] for c in calls()})
    after = state()
    seen = kills(words, name, before, after, points)
    double = double_kills(words, name, before, after, points)
    room = errors("ENOSPC", words, name, before, after, 1)
    disk = errors("EIO", words, name, before, after, 1 if ALL else 3)
    print(
        f"dkms {' '.join(words)}: {points} crash points in {threads} thread(s) ({seen['before']} before, {seen['after']} after), "
        f"{double} double crashes, {room} ENOSPC, {disk} EIO, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    if points < FEWEST:
        complain("too few system calls were seen", f"{points}")


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


# What is done before, and the command.
CASES = {
    "install": (None, ["install", "multi/1.0", "-k", K1]),
    "install_for_two_kernels": (None, ["install", "multi/1.0", *each("-k")]),
    "uninstall": (installed, ["uninstall", "multi/1.0", *each("-k")]),
    "upgrade": (installed, ["install", "multi/2.0", *each("-k")]),
    "remove": (installed, ["remove", "multi/1.0", "--all"]),
    "kernel_prerm": (two, ["kernel_prerm", "-k", K1]),
    "install_with_odd_file_name": (with_odd_name, ["install", "multi/1.0", "-k", K1]),
    "uninstall_with_odd_file_name": (with_odd_name_installed, ["uninstall", "multi/1.0", "-k", K1]),
}

started = time.monotonic()
before, words = CASES[sys.argv[1]]
compile_tracer()
prepare()
if before:
    before()
save("start")
print(f"prepared in {time.monotonic() - started:.0f} s", flush=True)
scenario("start", *words)
wrong = sum_up()
print(f"{wrong} wrong, {time.monotonic() - started:.0f} s in all")
sys.exit(1 if wrong else 0)
