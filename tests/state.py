"""Shared by the Python tests inside a private root: run dkms, record everything it may change, restore it, complain."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

# File names are bytes, and are printed as text.
sys.stdout.reconfigure(errors="backslashreplace")

KERNELS = [k for k in (os.environ["K"], os.environ["K612"]) if k]
LIB, TREE, SAVE = "/usr/lib/modules", "/var/lib/dkms", "/run/save"
HEADERS = tuple(f"/usr/src/{name}" for name in os.listdir("/usr/src"))


def dkms(*words):
    return subprocess.run(["dkms", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def each(option):
    """The option with every kernel."""
    return [word for kernel in KERNELS for word in (option, kernel)]


def must(*words):
    done = dkms(*words)
    if done.returncode:
        sys.exit(f"dkms {' '.join(words)}: code {done.returncode}\n{done.stdout}{done.stderr}")


# What is compared -------------------------------------------------------------------------------------------

# .index and .headers are caches, .timings pages for people; the others are compared by themselves, or differ
# each time.
UNCOMPARED = (".lock", ".journal", ".building", ".recovery.log", ".index", ".headers", ".timings")
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
    if path.endswith("/make.log"):
        return "a log"
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
    lines += listing(TREE, skip=tuple(f"{TREE}/{name}" for name in UNCOMPARED))
    for name in (".journal", ".building"):
        if os.path.isdir(f"{TREE}/{name}"):
            lines += listing(f"{TREE}/{name}")
    return lines + listing("/usr/src", skip=HEADERS) + status()


# Saving and restoring ---------------------------------------------------------------------------------------


def copy(source, target):
    """Keeps the directory, because it may be a mount point."""
    os.makedirs(target, exist_ok=True)
    for entry in os.scandir(target):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def settled():
    """Waits for the children of a killed dkms, which die a moment after it."""
    for _ in range(10000):
        if not any(comm(pid) in ("dkms", "dkms-supervisor", "depmod") for pid in os.listdir("/proc") if pid.isdigit()):
            return
        time.sleep(0.002)
    sys.exit("a dkms or depmod still runs after one that was killed")


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f, open(f"/proc/{pid}/stat") as g:
            zombie = g.read().rpartition(")")[2].split()[0] == "Z"
            return "" if zombie else f.read().strip()
    except OSError:
        return ""


def save(name):
    for kernel in KERNELS:
        copy(f"{LIB}/{kernel}", f"{SAVE}/{name}/{kernel}")
    copy(TREE, f"{SAVE}/{name}/tree")


def restore(name):
    for kernel in KERNELS:
        copy(f"{SAVE}/{name}/{kernel}", f"{LIB}/{kernel}")
    copy(f"{SAVE}/{name}/tree", TREE)


# Complaints -------------------------------------------------------------------------------------------------

wrong = 0
kinds = {}


def complain(kind, where, *details):
    """Prints the first two of a kind in full, and counts the others."""
    global wrong
    wrong += 1
    kinds[kind] = kinds.get(kind, 0) + 1
    if kinds[kind] <= 2:
        print(f"  WRONG: {where}: {kind}")
        for line in details:
            print(f"    {line[:200]}")


def difference(now, before, after):
    """The smaller difference between the state and one of the two allowed states."""
    ways = []
    for name, other in (("before", before), ("after", after)):
        a, b = set(other), set(now)
        ways.append([f"compared with {name}:"] + [f"- {l}" for l in sorted(a - b)] + [f"+ {l}" for l in sorted(b - a)])
    return min(ways, key=len)[:14]


def panicked(done):
    """Exit code 101 could also be that of PRE_INSTALL, but no fixture here has one."""
    return "panicked" in done.stderr or done.returncode in (101, 134, 139)


def sum_up(indent="  "):
    """Prints how often each kind occurred since the last call, and returns how many there were in all."""
    for kind, number in kinds.items():
        print(f"{indent}{number} times: {kind}")
    kinds.clear()
    return wrong


# Fixtures ---------------------------------------------------------------------------------------------------

def shell(script):
    subprocess.run(["bash", "-euc", ". /e2e/prelude.sh\n" + script], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def prepare(versions=("multi/1.0", "multi/2.0", "single/1.0")):
    """These versions, built for all kernels; the kernels have their own alpha and single."""
    shell("fixture multi-1.0 single-1.0; cp -r /usr/src/multi-1.0 /usr/src/multi-2.0")
    shell("sed -i 's/\"1.0\"/\"2.0\"/' /usr/src/multi-2.0/{dkms.conf,*/*.c}")
    must("generate_mok")
    for version in versions:
        must("add", version)
    running = [subprocess.Popen(["dkms", "build", version, *each("-k")], stdout=subprocess.DEVNULL) for version in versions]
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
