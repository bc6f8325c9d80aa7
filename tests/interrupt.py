"""Inside the private root of interrupt::NAME: `interrupt.py build|install|autoinstall|scripts|depmod`.

Signals (SIGINT, SIGTERM, SIGHUP; to dkms alone or to its process group, once or twice) arrive while two kernels are built
for, with processes in the build that ignore SIGTERM or left for a session of their own; in PRE_INSTALL, in depmod, in
POST_INSTALL, and in an autoinstall. The exit code is 128 + signal, nothing keeps running, everything is as before.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from state import KERNELS, LIB, complain, difference, dkms, each, must, panicked, prepare, restore, save, shell, state, sum_up

K1, K2 = KERNELS
MARK = "left-by-the-interrupt-test"
started = time.monotonic()
# Far beyond what dkms needs, even on a machine with a load of fifty; the processes of SLOW stay much longer.
LATE = 120

# The processes of a build: one that ignores SIGTERM, one in a separate session, and one whose parent ended.
# When all of them run, the file `ready` is there.
SLOW = f"""#!/bin/bash
(trap '' TERM HUP INT; exec -a {MARK}-stubborn sleep 1000) &
setsid bash -c 'exec -a {MARK}-session sleep 1000' &
bash -c 'bash -c "exec -a {MARK}-orphan sleep 1000" & exit 0'
while (($(pgrep -fc '^{MARK}') < 3)); do sleep 0.01; done
touch /run/ready
exec -a {MARK}-make sleep 1000
"""


def marked():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            with open(f"/proc/{pid}/stat") as f:
                zombie = f.read().rsplit(") ", 1)[1][0] == "Z"
        except OSError:
            continue
        if MARK in line and not zombie:
            found.append((int(pid), line))
    return found


def is_ready():
    """SLOW wrote its file, or its processes run: a confined build cannot make the file, but they are seen from here. They
    are known by their names: a bash on its way to one of them, or pgrep, has the mark somewhere else in its command."""
    running = {line.split(" ", 1)[0] for _, line in marked()}
    return os.path.exists("/run/ready") or running >= {f"{MARK}-{name}" for name in ("stubborn", "session", "orphan", "make")}


def as_added(lines):
    """Adding makes an empty build/, and every build removes it, also one that is interrupted."""
    return [l for l in lines if not l.endswith("/1.0/build/")]


def interrupt(title, words, number, group=False, twice=False, name="built", allowed=("before",)):
    restore(name)
    began = time.monotonic()
    before = as_added(state())
    if os.path.exists("/run/ready"):
        os.unlink("/run/ready")
    with open("/run/out", "w+") as out:
        p = subprocess.Popen(["dkms", *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        late = time.monotonic() + LATE
        while not (ready := is_ready()) and p.poll() is None and time.monotonic() < late:
            time.sleep(0.005)
        if not ready:
            out.seek(0)
            complain("it did not reach the point where it should be interrupted", title, *out.read().splitlines()[-5:])
        (os.killpg if group else os.kill)(p.pid, number)
        if twice:
            time.sleep(0.05)
            if p.poll() is None:
                (os.killpg if group else os.kill)(p.pid, number)
        try:
            code = p.wait(timeout=LATE)
        except subprocess.TimeoutExpired:
            complain("it keeps running", title)
            p.kill()
            code = p.wait()
        out.seek(0)
        said = out.read()
    left = marked()
    for pid, _ in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if left:
        complain("processes are left", title, *[line for _, line in left])
    if code != 128 + number:
        complain(f"the code is not {128 + number}", f"{title}: {code}", *said.splitlines()[-3:])
    if panicked(subprocess.CompletedProcess(words, code, said, said)):
        complain("panic", title, *said.splitlines()[-5:])
    now = as_added(state())
    if "before" in allowed and now != before:
        complain("not as before", title, *difference(now, before, before))
    recovered = dkms("generate_mok")
    now = as_added(state())
    kept = ("/.manifest.json", "/log/.config")
    leftovers = [l for l in now if "/." in l and not any(name in l for name in kept) and l not in before]
    if leftovers:
        complain("leftovers", title, *leftovers)
    if "before" in allowed and now != before:
        complain("not as before, after a recovery", title, *difference(now, before, before), *recovered.stderr.splitlines())
    print(f"{title}: code {code}, {time.monotonic() - began:.1f} s", flush=True)


prepare(["single/1.0", "multi/1.0"] if sys.argv[1] == "depmod" else ["single/1.0"])
slow = "/usr/src/slow-1.0"
os.mkdir(slow)
for kernel in KERNELS:
    shutil.copy(f"/var/lib/dkms/single/1.0/{kernel}/x86_64/module/single.ko", f"{slow}/{kernel}.ko")
with open(f"{slow}/slow", "w") as f:
    f.write(SLOW)
os.chmod(f"{slow}/slow", 0o755)
CONF = 'PACKAGE_NAME={0}\nPACKAGE_VERSION=1.0\nMAKE="{1}"\nCLEAN=true\nBUILT_MODULE_NAME=single\nDEST_MODULE_NAME={0}\nDEST_MODULE_LOCATION=/extra\nAUTOINSTALL=yes\n{2}\n'


def package(name, make, more=""):
    if name != "slow":
        shutil.copytree(slow, f"/usr/src/{name}-1.0")
    with open(f"/usr/src/{name}-1.0/dkms.conf", "w") as f:
        f.write(CONF.format(name, make, more))
    must("add", f"{name}/1.0")


package("slow", "./slow")
save("auto")
package("pre", "cp $kernelver.ko single.ko", "PRE_INSTALL=slow")
package("post", "cp $kernelver.ko single.ko", "POST_INSTALL=slow")
for kernel in KERNELS:
    for name in ("pre", "post"):
        must("build", f"{name}/1.0", "-k", kernel)
save("built")

def build():
    interrupt("build, SIGINT to the group", ["build", "slow/1.0", *each("-k")], signal.SIGINT, group=True)
    interrupt("build, SIGTERM to dkms", ["build", "slow/1.0", *each("-k")], signal.SIGTERM)


# A process that ignores SIGTERM costs the time that dkms grants it before SIGKILL: not every pair of signal
# and action.
def install():
    words = ["install", "slow/1.0", *each("-k")]
    interrupt("install, SIGINT to dkms", words, signal.SIGINT)
    interrupt("install, SIGTERM to the group", words, signal.SIGTERM, group=True)
    interrupt("install, SIGHUP to dkms", words, signal.SIGHUP)
    interrupt("install, SIGINT twice to the group", words, signal.SIGINT, group=True, twice=True)


def autoinstall():
    # The other packages may be installed already, or not: completely in any case.
    interrupt("autoinstall, SIGTERM", ["autoinstall", "-k", K1], signal.SIGTERM, name="auto", allowed=())


def scripts():
    interrupt("PRE_INSTALL, SIGTERM", ["install", "pre/1.0", *each("-k")], signal.SIGTERM)
    interrupt("POST_INSTALL, SIGINT", ["install", "post/1.0", *each("-k")], signal.SIGINT, allowed=())


def depmod():
    """depmod has no children, but is slow here, so dkms may wait for it, but only once: it reruns after a rollback."""
    with open("/etc/dkms/framework.conf", "w") as f:
        f.write("depmod=program\n")
    program = shutil.which("depmod")
    os.rename(program, "/usr/sbin/depmod.real")
    with open(program, "w") as f:
        f.write('#!/bin/bash\nif [[ ! -e /run/ready ]]; then touch /run/ready; (exec -a %s-depmod sleep 2); fi\nexec -a depmod /usr/sbin/depmod.real "$@"\n' % MARK)
    os.chmod(program, 0o755)
    for number in (signal.SIGTERM, signal.SIGHUP):
        interrupt(f"depmod of install, {number.name}", ["install", "multi/1.0", *each("-k")], number)
    interrupt("depmod of install, SIGINT to the group", ["install", "multi/1.0", *each("-k")], signal.SIGINT, group=True)


{"build": build, "install": install, "autoinstall": autoinstall, "scripts": scripts, "depmod": depmod}[sys.argv[1]]()
wrong = sum_up()
print(f"{wrong} wrong, {time.monotonic() - started:.0f} s in all")
sys.exit(1 if wrong else 0)
