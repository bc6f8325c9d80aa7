"""Inside the private root of crash.sh: end commands at every system call, let the next command recover, and compare."""

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time

KERNELS = [os.environ["K"], os.environ["K612"]]
K1, K2 = KERNELS
LIB, TREE, SAVE = "/usr/lib/modules", "/var/lib/dkms", "/run/save"
ALL = os.environ.get("CRASH_ALL", "") not in ("", "0")
RECOVER = ["generate_mok"]  # changes nothing by itself, the key is there
AT, LOG = "/run/syscall-at", "/run/syscalls"


def dkms(*words):
    return subprocess.run(["dkms", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def must(*words):
    done = dkms(*words)
    if done.returncode:
        sys.exit(f"dkms {' '.join(words)}: code {done.returncode}\n{done.stdout}{done.stderr}")


# What is compared -----------------------------------------------------------------------------------------------------

VOLATILE = {"built_at", "build_seconds", "at", "stamp", "built"}


def steady(value):
    if isinstance(value, dict):
        return {k: steady(v) for k, v in value.items() if k not in VOLATILE}
    return [steady(v) for v in value] if isinstance(value, list) else value


def contents(path):
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith("/.manifest.json"):
        try:
            return json.dumps(steady(json.loads(data)), sort_keys=True)
        except ValueError:
            return "not JSON: " + repr(data[:80])
    if path.endswith("/modules.dep"):
        data = b"\n".join(sorted(data.split(b"\n")))
    elif "/modules." in path:
        return "an index"
    return hashlib.sha256(data).hexdigest()


def listing(top, skip=()):
    found = []
    pending = [top]
    while pending:
        directory = pending.pop()
        for entry in os.scandir(directory):
            if entry.path in skip:
                continue
            if entry.is_symlink():
                found.append(f"{entry.path} -> {os.readlink(entry.path)}")
            elif entry.is_dir():
                found.append(f"{entry.path}/")
                pending.append(entry.path)
            else:
                found.append(f"{entry.path} {entry.stat().st_mode & 0o777:o} {contents(entry.path)}")
    return sorted(found)


def status():
    done = dkms("status")
    return [f"status: {line}" for line in done.stdout.splitlines()] + ([f"status: code {done.returncode}: {done.stderr}"] if done.returncode else [])


def state():
    lines = []
    for kernel in KERNELS:
        lines += listing(f"{LIB}/{kernel}")
    lines += listing(TREE, skip=(f"{TREE}/.lock", f"{TREE}/.journal"))
    if os.path.isdir(f"{TREE}/.journal"):
        lines += listing(f"{TREE}/.journal")
    return lines + listing("/usr/src", skip=HEADERS) + status()


# Saving and putting back ------------------------------------------------------------------------------------------------


def copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def save(name):
    for kernel in KERNELS:
        copy(f"{LIB}/{kernel}", f"{SAVE}/{name}/{kernel}")
    copy(TREE, f"{SAVE}/{name}/tree")


def restore(name):
    for kernel in KERNELS:
        copy(f"{SAVE}/{name}/{kernel}", f"{LIB}/{kernel}")
    copy(f"{SAVE}/{name}/tree", TREE)


# One command ------------------------------------------------------------------------------------------------------------


def interfered(how, n, words):
    return subprocess.run([AT, LOG, how, str(n), "dkms", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def calls():
    with open(LOG, errors="replace") as f:
        return f.read().splitlines()


wrong = 0
kinds = {}


def complain(kind, where, *details):
    """The first two of a kind in full, the others as a number in the end."""
    global wrong
    wrong += 1
    kinds[kind] = kinds.get(kind, 0) + 1
    if kinds[kind] <= 2:
        print(f"  WRONG: {where}: {kind}")
        for line in details:
            print(f"    {line[:200]}")


def difference(now, before, after):
    """The shorter way from what may be to what is."""
    ways = []
    for name, other in (("before", before), ("after", after)):
        a, b = set(other), set(now)
        ways.append([f"compared with {name}:"] + [f"- {l}" for l in sorted(a - b)] + [f"+ {l}" for l in sorted(b - a)])
    return min(ways, key=len)[:14]


def panicked(done):
    return "panicked" in done.stderr or done.returncode in (101, 134, 139)


def recovered(what, before, after):
    """Recover and compare; which of the two it is."""
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
    """Kill at every one, look, recover, compare."""
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
    """Kill the command, then kill the recovery as well, at every call of it, and recover after that."""
    done = 0
    step = 1 if ALL else max(1, points // 8)
    for n in range(1 if ALL else step // 2 + 1, points + 1, step):
        restore(name)
        interfered("kill", n, words)
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
    """Every call from the n-th on fails. A command that says it worked must have."""
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
            complain("the message does not name the cause", what, *ended.stderr.splitlines()[:5])
        found = recovered(what, before, after)
        if ended.returncode == 0 and found == "before" and before != after:
            complain("it said it worked, but all is as before", what)
        done += 1
    return done


totals = {}


def scenario(name, *words):
    """From the state saved under NAME."""
    started = time.monotonic()
    restore(name)
    before = state()
    interfered("kill", 0, words)
    points, threads = len(calls()), len({c.split()[0] for c in calls()})
    after = state()
    had = wrong
    kinds.clear()
    seen = kills(words, name, before, after, points)
    double = double_kills(words, name, before, after, points)
    room = errors("ENOSPC", words, name, before, after, 1)
    disk = errors("EIO", words, name, before, after, 1 if ALL else 3)
    for what, number in (("kill", points), ("kill twice", double), ("ENOSPC", room), ("EIO", disk)):
        totals[what] = totals.get(what, 0) + number
    print(
        f"dkms {' '.join(words)}: {points} crash points in {threads} thread(s) ({seen['before']} before, {seen['after']} after), "
        f"{double} double crashes, {room} ENOSPC, {disk} EIO: {wrong - had} wrong, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    for kind, number in kinds.items():
        print(f"  {number} times: {kind}")


# The beginning ----------------------------------------------------------------------------------------------------------


def shell(script):
    subprocess.run(["bash", "-euc", ". /e2e/prelude.sh\n" + script], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def prepare():
    shell("fixture multi-1.0 single-1.0; cp -r /usr/src/multi-1.0 /usr/src/multi-2.0")
    shell("sed -i 's/\"1.0\"/\"2.0\"/' /usr/src/multi-2.0/{dkms.conf,*/*.c}")
    must("generate_mok")
    for version in ("multi/1.0", "multi/2.0", "single/1.0"):
        must("add", version)
    running = [
        subprocess.Popen(["dkms", "build", version, "-k", K1, "-k", K2], stdout=subprocess.DEVNULL)
        for version in ("multi/1.0", "multi/2.0", "single/1.0")
    ]
    if any([p.wait() for p in running]):
        sys.exit("a fixture does not build")
    # The kernel's own alpha and single, older versions, and the indexes that make it a complete kernel.
    for kernel in KERNELS:
        shell(
            f"""K={kernel}; lib=/usr/lib/modules/$K; mkdir -p $lib/kernel/drivers/misc
            cp -r /usr/src/multi-1.0/alpha /root/original; cp -r /usr/src/single-1.0/single.c /root/original/
            sed -i 's/"1.0"/"0.5"/' /root/original/*.c; echo 'obj-m := alpha.o single.o' >/root/original/Kbuild
            make -s -C $lib/build M=/root/original >/dev/null 2>&1
            mv /root/original/alpha.ko /root/original/single.ko $lib/kernel/drivers/misc/; rm -r /root/original
            touch $lib/modules.{{dep,order,builtin,builtin.modinfo}}; depmod $K"""
        )


HEADERS = tuple(f"/usr/src/{name}" for name in os.listdir("/usr/src"))
started = time.monotonic()
prepare()
save("built")
print(f"prepared in {time.monotonic() - started:.0f} s", flush=True)
must("install", "multi/1.0", "-k", K1, "-k", K2)
save("installed")
must("install", "single/1.0", "-k", K1, "-k", K2)
save("two")

scenario("built", "install", "multi/1.0", "-k", K1)
scenario("built", "install", "multi/1.0", "-k", K1, "-k", K2)
scenario("installed", "uninstall", "multi/1.0", "-k", K1, "-k", K2)
scenario("installed", "install", "multi/2.0", "-k", K1, "-k", K2)
scenario("installed", "remove", "multi/1.0", "--all")
scenario("two", "kernel_prerm", "-k", K1)

print(", ".join(f"{number} {what}" for what, number in totals.items()) + f": {wrong} wrong, {time.monotonic() - started:.0f} s in all")
sys.exit(1 if wrong or totals["kill"] < 200 else 0)
