"""Inside the private root of full_disk::NAME: `full-disk.py NAME`.

The tree, or the kernel's modules, are on a small tmpfs with 0, 4, 8 ... KiB, or 0, 1, 2 ... inodes free, and dkms installs,
upgrades, uninstalls and builds on it: either it works, or the message says what failed and why, everything is as before, and
nothing is left over. not_permitted: read-only trees, directories of another user, a mount point in the way, and no depmod.
A quota behaves like a small disk (EDQUOT instead of ENOSPC) and has no test of its own.
"""

import os
import shutil
import subprocess
import sys
import time

from state import KERNELS, LIB, TREE, complain, copy, difference, dkms, must, panicked, prepare, restore, save, shell, state, sum_up

(K,) = KERNELS
KIB, started = 1024, time.monotonic()
runs = {}


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def umount(where):
    subprocess.run(["umount", where], check=True)


def without_log(lines):
    """A failed build keeps its sources and its log for people to read; everything else is as before."""
    return [l for l in lines if "/quick/1.0/.log/" not in l and "/quick/1.0/build/" not in l]


def without_index(lines):
    return [l for l in lines if "/modules." not in l]


def judge(what, done, before, after, texts, code=None):
    """Checks that it succeeded, or reported why and did not change anything; returns whether it succeeded."""
    now = state()
    if panicked(done):
        complain("panic", what, *done.stderr.splitlines()[:5])
    if done.returncode == 0:
        # A removed module stays removed if depmod has no space; dkms reports that.
        if "depmod" in done.stderr:
            now, after = without_index(now), without_index(after)
        if now != after:
            complain("it reports success, but did only a part", what, *difference(now, after, after))
        return True
    if code is not None and done.returncode != code:
        complain(f"code {code} was expected", f"{what}: code {done.returncode}", *done.stderr.splitlines()[:5])
    for text in texts:
        if not any(t in done.stderr for t in text.split("|")):
            complain(f"the message does not say {text}", what, *done.stderr.splitlines()[:6])
    if without_log(now) != without_log(before):
        complain("not as before", f"{what}: code {done.returncode}", *difference(without_log(now), without_log(before), without_log(before)))
    return False


# Full -------------------------------------------------------------------------------------------------------

COMMANDS = [
    ("built", ["install", "multi/1.0", "-k", K]),
    ("installed", ["install", "multi/2.0", "-k", K]),
    ("installed", ["uninstall", "multi/1.0", "-k", K]),
    ("built", ["build", "quick/1.0", "-k", K, "--no-cache"]),
    # From the cache.
    ("built", ["build", "quick/1.0", "-k", K]),
]
PLACES = {"tree": TREE, "modules": f"{LIB}/{K}"}


def room_left(disk, what, free):
    """Leave only so many bytes, or inodes."""
    if what == "inodes":
        used = os.statvfs(disk)
        mount("-o", f"remount,nr_inodes={used.f_files - used.f_ffree + free}", disk)
        return
    with open(f"{disk}/filler", "wb") as f:
        f.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    os.truncate(f"{disk}/filler", os.path.getsize(f"{disk}/filler") - free)


def full(place, what, name, words):
    """Runs a command with more and more space, until it works."""
    path = PLACES[place]
    after = None
    levels = 0
    for step in range(60):
        free = step * 4 * KIB if what == "bytes" else step
        disk = "/run/disk"
        os.makedirs(disk, exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=755,size=2m,nr_inodes=2000", "small", disk)
        os.mkdir(f"{disk}/used")
        mount("--bind", f"{disk}/used", path)
        restore(name)
        before = state()
        if after is None:
            dkms(*words)
            after = state()
            restore(name)
        room_left(disk, what, free)
        done = dkms(*words)
        levels += 1
        unit = f"{free // KIB} KiB" if what == "bytes" else f"{free} inodes"
        worked = judge(f"{' '.join(words)}, {unit} free for the {place}", done, before, after, ["No space left", f"{TREE}|{LIB.removeprefix('/usr')}|depmod"])
        # When there is space, the next command recovers.
        if what == "bytes":
            os.unlink(f"{disk}/filler")
        else:
            mount("-o", "remount,nr_inodes=2000", disk)
        dkms("generate_mok")
        now = state()
        if without_log(now) not in (without_log(before), without_log(after)):
            complain("neither before nor after, with space again", f"{' '.join(words)}, {unit} free for the {place}", *difference(now, before, after))
        umount(path)
        umount(disk)
        if worked:
            break
    print(f"{' '.join(words)}, {place} with few {what}: {levels} levels, {'works with ' + unit if worked else 'never worked'}", flush=True)
    if not worked:
        complain("it never worked", " ".join(words))


# Not allowed ------------------------------------------------------------------------------------------------


def refused(title, name, words, texts, begin, end, code=None):
    restore(name)
    before = state()
    begin()
    done = dkms(*words) if isinstance(words, list) else words()
    end()
    if done.returncode == 0:
        complain("it reports success", title)
    judge(title, done, before, before, texts, code)
    print(f"{title}: code {done.returncode}: {(done.stderr.strip().splitlines() or ['no message'])[0]}", flush=True)
    dkms("generate_mok")


def read_only(path):
    def begin():
        mount("--bind", path, path)
        mount("-o", "remount,ro,bind", path)

    return begin, lambda: umount(path)


def everything():
    prepare()
    # A build keeps a copy of it, and a large one would need many levels.
    with open(f"/usr/src/linux-headers-{K}/.config", "w") as config:
        config.write("CONFIG_MODULES=y\n")
    # Its compiler is cp, so that a build takes no time.
    shell(
        f"""mkdir /usr/src/quick-1.0; cp /var/lib/dkms/single/1.0/{K}/x86_64/module/single.ko /usr/src/quick-1.0/ready
        cat >/usr/src/quick-1.0/dkms.conf <<'CONF'
PACKAGE_NAME=quick
PACKAGE_VERSION=1.0
MAKE="cp ready quick.ko"
CLEAN=true
BUILT_MODULE_NAME=quick
DEST_MODULE_LOCATION=/extra
CONF"""
    )
    must("add", "quick/1.0")
    # It is in the cache, which is on another disk.
    must("build", "quick/1.0", "-k", K)
    must("unbuild", "quick/1.0", "-k", K)
    save("built")
    must("install", "multi/1.0", "-k", K)
    save("installed")

    if sys.argv[1] == "not_permitted":
        not_permitted()
        return
    place, what = {
        "no_space_for_the_tree": ("tree", "bytes"),
        "no_inodes_for_the_tree": ("tree", "inodes"),
        "no_space_for_modules": ("modules", "bytes"),
        "no_inodes_for_modules": ("modules", "inodes"),
    }[sys.argv[1]]
    for name, words in COMMANDS:
        if place == "tree" or words[0] != "build":
            full(place, what, name, words)


def not_permitted():
    install, upgrade = ["install", "multi/1.0", "-k", K], ["install", "multi/2.0", "-k", K]
    uninstall = ["uninstall", "multi/1.0", "-k", K]
    for name, words in (("built", install), ("installed", upgrade), ("installed", uninstall)):
        refused(f"{' '.join(words)}, modules read-only", name, words, ["Read-only file system", "/lib/modules"], *read_only(f"{LIB}/{K}"))
        refused(f"{' '.join(words)}, tree read-only", name, words, [TREE], *read_only(TREE))

    place = f"{LIB}/{K}/updates/dkms/alpha.ko"

    def occupy():
        copy(f"{LIB}/{K}/updates", "/run/updates")
        mount("--bind", "/run/updates/dkms/alpha.ko", place)

    refused("upgrade of a file that is a mount point", "installed", upgrade, ["alpha.ko"], occupy, lambda: umount(place))
    refused("uninstall of a file that is a mount point", "installed", uninstall, ["alpha.ko"], occupy, lambda: umount(place))

    kmod = os.path.realpath(shutil.which("depmod"))

    def hide():
        os.rename(kmod, "/root/kmod")

    def show():
        os.rename("/root/kmod", kmod)

    refused("install without depmod", "built", install, ["depmod"], hide, show, code=6)
    refused("upgrade without depmod", "installed", upgrade, ["depmod"], hide, show, code=6)

    # A user who owns the tree, but not the kernel's modules.
    def as_user(*words):
        def run():
            return subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "dkms", *words, "--dkmstree", "/run/theirs"],
                capture_output=True, text=True, stdin=subprocess.DEVNULL,
            )

        return run

    for name, words in (("built", install), ("installed", uninstall)):
        restore(name)
        copy(TREE, "/run/theirs")
        subprocess.run(["chown", "-R", "65534:65534", "/run/theirs"], check=True)
        refused(f"{words[0]} by a user without rights", name, as_user(*words), ["root|Permission denied"], lambda: None, lambda: None)


everything()
wrong = sum_up()
print(f"{wrong} wrong, {time.monotonic() - started:.0f} s in all")
sys.exit(1 if wrong else 0)
