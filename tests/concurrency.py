"""Inside the private root of concurrency::many_at_once.

8 processes run 25 random commands each (add, build, install, uninstall, unbuild, remove, autoinstall, status) on four packages
and two kernels; about one in ten is killed at a random moment. In the end, after one recovering command: fsck finds nothing,
the tree, /lib/modules and `status` agree, each original module is there exactly once, nothing is left over, no command ended
with an undocumented code, and the state of each package and kernel is one that some last command on it leaves. Then: two
autoinstalls at once build everything once; a script that calls dkms does not wait for itself; a killed holder of a lock blocks
no one; --lock-timeout gives up with 75 and names the holder.

CONCURRENCY_SEED=N runs the same commands again (not with the same timing), CONCURRENCY_COMMANDS=N so many for each process.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from state import KERNELS, LIB, TREE, complain, dkms, each, listing, must, shell, sum_up

K1, K2 = KERNELS
PACKAGES = ("ca", "cb", "cc", "cd")  # cd depends on cc; ca and cb have an original in the way
ORIGINALS = ("ca", "cb")
SEED = int(os.environ.get("CONCURRENCY_SEED") or random.SystemRandom().randrange(10**6))
EACH = int(os.environ.get("CONCURRENCY_COMMANDS") or 25)
# The exit codes that the manual allows for commands on packages without errors.
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 21, 75, 77}
started = time.monotonic()


# Packages whose "compiler" is cp: the modules are real, but built beforehand --------------------------------


def prebuild():
    """Modules for every kernel, in the versions 1.0 (ours) and 0.5 (the kernel's own)."""
    running = []
    for kernel in KERNELS:
        for version, names in (("1.0", PACKAGES), ("0.5", ORIGINALS)):
            to = f"/root/made/{kernel}/{version}"
            os.makedirs(to)
            for name in names:
                with open("/e2e/fixtures/single-1.0/single.c") as f:
                    text = f.read()
                with open(f"{to}/{name}.c", "w") as f:
                    f.write(text.replace('"1.0"', f'"{version}"').replace("module single", f"module {name}"))
            with open(f"{to}/Kbuild", "w") as f:
                f.write("obj-m := " + " ".join(f"{n}.o" for n in names) + "\n")
            log = open(f"{to}/log", "w")
            running.append(subprocess.Popen(["make", "-s", "-C", f"/lib/modules/{kernel}/build", f"M={to}"], stdout=log, stderr=log))
    if any([p.wait() for p in running]):
        sys.exit("the modules cannot be built")


def package(name, make="cp ready/$kernelver.ko {0}.ko", more="", module=None):
    source = f"/usr/src/{name}-1.0"
    os.makedirs(f"{source}/ready")
    for kernel in KERNELS:
        shutil.copy(f"/root/made/{kernel}/1.0/{module or name}.ko", f"{source}/ready/{kernel}.ko")
    with open(f"{source}/dkms.conf", "w") as f:
        f.write(f'PACKAGE_NAME={name}\nPACKAGE_VERSION=1.0\nMAKE="{make.format(name)}"\nCLEAN=true\n')
        f.write(f"BUILT_MODULE_NAME={name}\nDEST_MODULE_LOCATION=/kernel/drivers/misc\nAUTOINSTALL=yes\nSTRIP=no\n{more}")
    return source


def script(path, text):
    with open(path, "w") as f:
        f.write("#!/bin/bash\n" + text)
    os.chmod(path, 0o755)


SIX = [f"six{n}" for n in range(6)]
prebuild()
for kernel in KERNELS:
    lib = f"{LIB}/{kernel}"
    os.makedirs(f"{lib}/kernel/drivers/misc")
    for name in ORIGINALS:
        shutil.copy(f"/root/made/{kernel}/0.5/{name}.ko", f"{lib}/kernel/drivers/misc/")
    shell(f"touch {lib}/modules.{{dep,order,builtin,builtin.modinfo}}; depmod {kernel}")
for name in PACKAGES:
    package(name, more='BUILD_DEPENDS="cc"\n' if name == "cd" else "")
must("generate_mok")
print(f"CONCURRENCY_SEED={SEED}; prepared in {time.monotonic() - started:.0f} s", flush=True)


# Many at once -----------------------------------------------------------------------------------------------

records, guard = [], threading.Lock()


def command(rng):
    name, kernel = rng.choice(PACKAGES), rng.choice(KERNELS)
    kernels = each("-k") if rng.random() < 0.25 else ["-k", kernel]
    force = ["--force"] if rng.random() < 0.2 else []
    # Without it, most builds would come from the cache.
    no_cache = ["--no-cache"] if rng.random() < 0.5 else []
    action = rng.choices(
        ("add", "build", "install", "uninstall", "unbuild", "remove", "autoinstall", "all", "status"), (6, 5, 9, 5, 4, 3, 3, 1, 3)
    )[0]
    if action == "autoinstall":
        return ["autoinstall", "-k", kernel, *force, *no_cache]
    if action == "all":
        return ["autoinstall", "--all-kernels"] if ALL_KERNELS else ["autoinstall", "-k", K2]
    if action == "status":
        return ["status"]
    if action == "remove":
        return ["remove", f"{name}/1.0", *(["--all"] if rng.random() < 0.7 else kernels)]
    if action == "add":
        return ["add", f"{name}/1.0", *force]
    if action in ("build", "install"):
        force += no_cache
    return [action, f"{name}/1.0", *kernels, *force]


def one(rng, lane):
    for _ in range(EACH):
        words = command(rng)
        kill = rng.random() < 0.1
        delay = rng.uniform(0.0005, 0.03)
        begin = time.monotonic()
        p = subprocess.Popen(["dkms", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(delay, p.kill) if kill else None
        if timer:
            timer.start()
        try:
            out, err = p.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            complain("it does not end", " ".join(words), *dkms("status").stdout.splitlines())
            p.kill()
            out, err = p.communicate()
        if timer:
            timer.cancel()
        with guard:
            records.append((begin, time.monotonic(), words, p.returncode, out, err, lane))


ALL_KERNELS = dkms("autoinstall", "--all-kernels").returncode != 2
HAS_FSCK = "not an action" not in dkms("fsck").stderr
threads = [threading.Thread(target=one, args=(random.Random(SEED * 100 + lane), lane)) for lane in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
killed = [r for r in records if r[3] == -signal.SIGKILL]
codes = {}
for r in records:
    codes[r[3]] = codes.get(r[3], 0) + 1
print(f"{len(records)} commands in {max(r[1] for r in records) - min(r[0] for r in records):.0f} s, {len(killed)} killed; codes {dict(sorted(codes.items()))}", flush=True)
for _, _, words, code, out, err, _ in records:
    if code != -signal.SIGKILL and (code not in CODES or "panicked" in err):
        complain("an undocumented code", f"{' '.join(words)}: {code}", *err.splitlines()[:5])
    if code == 1 and words[0] != "status":
        complain("an internal error", " ".join(words), *err.splitlines()[:5])
recovery = dkms("generate_mok")
if recovery.returncode:
    complain("the recovering command failed", str(recovery.returncode), *recovery.stderr.splitlines()[:5])


# Is the state consistent? -----------------------------------------------------------------------------------


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def history(p, k, n=8):
    """The last commands on a package and kernel, and every file of its name with its type."""
    zero = min(r[0] for r in records)
    touching = sorted((b, e, c, w) for b, e, w, c, _, _, _ in records if effects(w, c, p, k))
    lines = [f"{b - zero:7.3f} to {e - zero:7.3f} s, code {c:3}: {' '.join(w)}" for b, e, c, w in touching[-n:]]
    for top in (f"{LIB}/{k}", f"{TREE}/{p}"):
        for directory, _, names in os.walk(top):
            for f in (f"{directory}/{name}" for name in names if re.match(rf"\.?{p}\.ko", name)):
                kinds = {digest(f"/root/made/{k}/0.5/{p}.ko"): "the kernel's own"} if p in ORIGINALS else {}
                lines.append(f"{f}: {kinds.get(digest(f), 'another')}")
    return lines


def judge_state():
    """The state of each package and kernel according to `status`, after comparing it with the files."""
    pairs = {(p, k): "added" if os.path.isdir(f"{TREE}/{p}/1.0") else "absent" for p in PACKAGES for k in KERNELS}
    lines = dkms("status").stdout.splitlines()
    for line in lines:
        m = re.match(r"(\w+)/1\.0(?:, (\S+), x86_64)?: (added|built|installed)(.*)$", line)
        if not m or "(" in m[4].replace("(Original modules exist)", ""):
            complain("status shows a problem", line)
        elif m[2]:
            pairs[m[1], m[2]] = m[3]
    for (p, k), what in pairs.items():
        where = f"{p} for {k}, {what}"
        built = f"{TREE}/{p}/1.0/{k}/x86_64/module/{p}.ko"
        if (what in ("built", "installed")) != os.path.isfile(built):
            complain("status and the tree differ", where, *history(p, k))
        files = []
        for directory, _, names in os.walk(f"{LIB}/{k}"):
            files += [f"{directory}/{n}" for n in names if n.split(".ko")[0] == p]
        archive = f"{TREE}/{p}/original_module/{k}/x86_64"
        own = []
        for directory, _, names in [*os.walk(f"{LIB}/{k}"), *os.walk(archive)]:
            own += [f"{directory}/{n}" for n in names if p in ORIGINALS and n == f"{p}.ko" and digest(f"{directory}/{n}") == digest(f"/root/made/{k}/0.5/{p}.ko")]
        ours = [f for f in files if f not in own]
        if p in ORIGINALS and (len(own) != 1 or own[0].startswith(archive) != (what == "installed")):
            complain("the kernel's own module is not where it belongs, or not once", f"{where}: {own}", *history(p, k))
        misplaced = [f for f in listing(archive) if "/collisions/" in f] if os.path.isdir(archive) else []
        if misplaced:
            complain("one of our modules is treated as the kernel's own", where, *history(p, k))
        if what == "installed" and (len(ours) != 1 or digest(ours[0]) != digest(built)):
            complain("installed, but not one complete copy", f"{where}: {ours}", *history(p, k))
        if what != "installed" and ours:
            complain("not installed, but there is a copy", f"{where}: {ours}", *history(p, k))
        if os.path.islink(f"{TREE}/{p}/kernel-{k}-x86_64") != (what == "installed"):
            complain("status and the link differ", where, *history(p, k))
        dep = open(f"{LIB}/{k}/modules.dep").read()
        for f in files:
            if len(files) == 1 and f.removeprefix(f"{LIB}/{k}/") + ":" not in dep:
                complain("it is missing in modules.dep", f"{where}: {f}", *history(p, k))
    leftovers = [
        l
        for l in listing(TREE, skip=(f"{TREE}/.lock",)) + [l for k in KERNELS for l in listing(f"{LIB}/{k}")]
        if re.search(r"/\.(?!config$|manifest\.json|journal/$|building/$|recovery\.log$|log/|index/|headers/|timings/)", l.split(" ")[0])
    ]
    for l in leftovers:
        complain("left over", l)
    if HAS_FSCK:
        fsck = dkms("fsck")
        if fsck.returncode:
            complain("fsck is not clean", f"code {fsck.returncode}", *(fsck.stdout + fsck.stderr).splitlines()[:10])
    else:
        print("skipped: this dkms has no fsck")
    return pairs


def effects(words, code, p, k):
    """The states in which a command may leave a package and kernel if it is the last; none if it does not touch them."""
    action = words[0]
    mine = action == "autoinstall" or (len(words) > 1 and words[1] == f"{p}/1.0")
    # Building cd does not touch cc.
    kernels = [words[i + 1] for i, w in enumerate(words) if w == "-k"]
    if not mine or (kernels and k not in kernels) or action == "status":
        return set()
    return {
        "add": {"added"},
        "build": {"built"},
        "install": {"installed"},
        "uninstall": {"built"},
        "unbuild": {"added"},
        "remove": {"absent", "added"},
        "autoinstall": {"installed"},
    }[action]


def serial(pairs):
    """Each package and kernel is in a state that some command leaves, after which no other successful command on them began.
    A command that was killed or failed may have done its work, a part of it that is a state of its own (added, built), or
    nothing."""
    for (p, k), what in pairs.items():
        touching = [(b, e, w, c, effects(w, c, p, k)) for b, e, w, c, _, _, _ in records if effects(w, c, p, k)]
        sure = [t for t in touching if t[3] == 0 and t[2][0] not in ("add", "build", "autoinstall")]
        last_begun = max((t[0] for t in sure), default=0)
        allowed = set()
        for begin, end, words, code, left in touching:
            if end < last_begun:
                continue
            allowed |= left
            # Installing passes through added and built, removing through built and added.
            if words[0] in ("install", "build", "autoinstall"):
                allowed |= {"added", "built"} if code else ({"built", "installed"} if words[0] == "build" else set())
            if words[0] in ("uninstall", "unbuild", "remove") and code == 0:
                allowed |= {"added"} if words[0] == "uninstall" else set()
            # `remove` for the last kernel removes the version, for all kernels of the package.
        removed = any(w[0] == "remove" and w[1] == f"{p}/1.0" and e >= last_begun for _, e, w, _, _, _, _ in records if len(w) > 1)
        added = any(w[0] in ("add", "install", "build") and w[1] == f"{p}/1.0" and e >= last_begun for _, e, w, _, _, _, _ in records if len(w) > 1)
        if removed:
            allowed |= {"absent"}
        if added:
            allowed |= {"added"}
        if not sure:
            allowed |= {"absent"}
        if what not in allowed:
            complain(
                "no order of the commands leads to this",
                f"{p} for {k} is {what}, not {' or '.join(sorted(allowed))}",
                *history(p, k, 12),
            )


pairs = judge_state()
serial(pairs)
print("in the end: " + ", ".join(f"{p} {'/'.join(pairs[p, k] for k in KERNELS)}" for p in PACKAGES), flush=True)
for p in PACKAGES:
    dkms("remove", f"{p}/1.0", "--all")


# Two autoinstalls at once -----------------------------------------------------------------------------------

os.mkdir("/run/counts")
for name in SIX:
    source = package(name, make="./make $kernelver {0}", module="cc")
    script(f"{source}/make", 'echo x >>/run/counts/$2\nsleep 0.05\ncp "ready/$1.ko" "$2.ko"\n')
    # Their builds record outside of the build directory that they ran.
    with open(f"/etc/dkms/{name}.conf", "w") as conf:
        conf.write('CONFINE_WRITE="/run/counts"\n')
    must("add", f"{name}/1.0")
two = [subprocess.Popen(["dkms", "autoinstall", "-k", K1], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
for p in two:
    err = p.communicate(timeout=120)[1]
    if p.returncode:
        complain("one of two autoinstalls failed", str(p.returncode), *err.splitlines()[:5])
for name in SIX:
    runs = open(f"/run/counts/{name}").read().count("x")
    if runs != 1:
        complain("two autoinstalls did not build it once", f"{name}: {runs} times")
installed = dkms("status").stdout.count(": installed")
if installed != 6:
    complain("two autoinstalls did not install all", str(installed))
print(f"two autoinstalls at once: {installed} of 6 packages installed, each built once" if installed == 6 else "two autoinstalls", flush=True)


# Scripts that call dkms -------------------------------------------------------------------------------------


def ends(title, *words, seconds=30):
    """Runs dkms, with a complaint if it does not end."""
    p = subprocess.Popen(["dkms", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        complain("it does not end", title)
        p.kill()
        out, err = p.communicate()
    return subprocess.CompletedProcess(words, p.returncode, out, err)


for hook in ("PRE_BUILD", "POST_BUILD", "PRE_INSTALL", "POST_INSTALL"):
    name = "h" + hook.lower().replace("_", "")
    source = package(name, more=f"{hook}=hook\n", module="cc")
    # A script of a build is confined and cannot change the tree; here that is allowed.
    with open(f"/etc/dkms/{os.path.basename(source).removesuffix('-1.0')}.conf", "w") as conf:
        conf.write("CONFINE=off\n")
    script(f"{source}/hook", f"dkms status >/run/nested 2>&1 && dkms install ca/1.0 -k {K1} --force >>/run/nested 2>&1\necho $? >>/run/nested\nexit 0\n")
    if not os.path.isdir(f"{TREE}/ca"):
        must("add", "ca/1.0")
    done = ends(f"{hook} that calls dkms", "install", f"{name}/1.0", "-k", K1)
    nested = open("/run/nested").read().splitlines() if os.path.exists("/run/nested") else ["it did not run"]
    if done.returncode or nested[-1] != "0":
        complain("a script that calls dkms", f"{hook}: code {done.returncode}, inside {nested[-1]}", *done.stderr.splitlines()[:5], *nested[-4:])
    must("remove", f"{name}/1.0", "--all")
    must("uninstall", "ca/1.0", "-k", K1)
print("scripts that call dkms: done", flush=True)


# A holder of a lock that is killed, and --lock-timeout ------------------------------------------------------

source = package("slow", make="./make", module="cc")
script(f"{source}/make", "touch /run/slow\nexec sleep 60\n")
must("add", "slow/1.0")


def holder():
    if os.path.exists("/run/slow"):
        os.unlink("/run/slow")
    p = subprocess.Popen(["dkms", "build", "slow/1.0", "-k", K1], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    late = time.monotonic() + 20
    while not os.path.exists("/run/slow") and time.monotonic() < late:
        time.sleep(0.01)
    return p


first = holder()
waiting = ends("--lock-timeout", "build", "slow/1.0", "-k", K1, "--lock-timeout", "1")
if waiting.returncode != 75:
    complain("--lock-timeout does not end with 75", str(waiting.returncode), *waiting.stderr.splitlines())
if str(first.pid) not in waiting.stderr or "build" not in waiting.stderr:
    complain("--lock-timeout does not name the holder and what it does", str(first.pid), *waiting.stderr.splitlines())
print(f"--lock-timeout 1: code {waiting.returncode}: {(waiting.stderr.strip().splitlines() or [''])[0]}")
first.kill()
first.wait()
# Its make may still sleep; the lock is free.
script("/usr/src/slow-1.0/make", f"cp ready/{K1}.ko slow.ko\n")
after = ends("after a killed holder", "build", "slow/1.0", "-k", K1)
if after.returncode:
    complain("a killed holder still blocks", str(after.returncode), *after.stderr.splitlines())

wrong = sum_up()
print(f"{wrong} wrong, {time.monotonic() - started:.0f} s in all")
sys.exit(1 if wrong else 0)
