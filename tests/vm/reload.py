"""Inside the private root of reload::NAME: `status --loaded` and `reload` on a real kernel.

The package `pair` has two modules, one of which uses the other. Version 1.0 is loaded, 2.0 replaces it, and a module of 3.0
fails when it is loaded. They are built here and installed in the guest, which has no compiler.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import machine

WORK = "/tmp/reload"
DKMS = "/usr/sbin/dkms"
SOURCES = f"{machine.HERE}/reload"
VERSIONS = {"1.0": "", "2.0": "", "3.0": " -DFAILS"}


def add(version, more):
    """The sources of a version, in /usr/src."""
    folder = Path(f"/usr/src/pair-{version}")
    folder.mkdir()
    for name in ("pair_base.c", "pair_user.c"):
        (folder / name).write_bytes(Path(SOURCES, name).read_bytes())
    value = version.replace(".", "")
    # The value is in the sources, because a module's srcversion does not know the options of the compiler.
    (folder / "pair_base.c").write_text(
        f'#define VALUE {value}\n#define TEXT "{version}"\n' + (folder / "pair_base.c").read_text())
    (folder / "Kbuild").write_text(f"obj-m := pair_base.o pair_user.o\nccflags-y :={more}\n")
    (folder / "dkms.conf").write_text(
        f'PACKAGE_NAME=pair\nPACKAGE_VERSION={version}\nAUTOINSTALL=yes\n'
        'MAKE="make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/$PACKAGE_VERSION/build"\n'
        "BUILT_MODULE_NAME[0]=pair_base\nDEST_MODULE_LOCATION[0]=/updates\n"
        "BUILT_MODULE_NAME[1]=pair_user\nDEST_MODULE_LOCATION[1]=/updates\n")


def guest(kernel):
    """The guest's files, with the tree of dkms and all versions built."""
    for version, more in VERSIONS.items():
        add(version, more)
        machine.run(DKMS, "build", f"pair/{version}", "-k", kernel.release, "--no-cache")
    tree = machine.Tree(f"{WORK}/tree", kernel)
    tree.program(DKMS)
    tree.write("guest", Path(SOURCES, "guest").read_text(), 0o755)
    for folder in ("/var/lib/dkms", *(f"/usr/src/pair-{version}" for version in VERSIONS)):
        os.makedirs(os.path.dirname(tree.top + folder), exist_ok=True)
        machine.run("cp", "-aT", folder, tree.top + folder)
    os.makedirs(f"{tree.top}{kernel.modules}/kernel", exist_ok=True)
    tree.copy(f"{kernel.headers}/Module.symvers")
    os.symlink(kernel.headers, f"{tree.top}{kernel.modules}/build")
    tree.pack(f"{WORK}/initrd")
    return f"{WORK}/initrd"


def steps(lines):
    """{name: (code, text)} from the guest's output."""
    found = {}
    for part in re.split(r"^== ", "\n".join(lines), flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        text, _, code = rest.rpartition("code: ")
        found[name] = (int(code.split("\n")[0]), text.strip())
    return found


def check(found):
    """Every expectation that is not met."""
    wrong = []

    def expect(name, code, *parts):
        got, text = found.get(name, (None, "the step did not run"))
        if got != code or not all(re.search(part, text, re.MULTILINE) for part in parts):
            wrong.append(f"{name}: code {got} (expected {code}), expected {parts} in:\n{text}")

    expect("loaded", 0, r"installed \(Loaded\)$")
    # pair_user is the same in both versions, apart from its build ID.
    expect("other", 0, r"\(Loaded modules differ from the installed ones: pair_base")
    expect("ready", 0, "is ready to be booted", "has loaded another build of pair_base", "dkms reload pair")
    expect("busy", 75, r"pair_base is in use: sleep \(process \d+\) has /dev/pair_base open", "nothing was unloaded")
    expect("untouched", 0, "Loaded modules differ")
    expect("plan", 0, r"unload pair_user\nunload pair_base\nload pair_base\nload pair_user")
    expect("reload", 0, r"Unloaded pair_user\nUnloaded pair_base\nLoaded pair_base\nLoaded pair_user")
    expect("reloaded", 0, r"installed \(Loaded\)$")
    expect("value", 0, "^pair_user: 20$")
    expect("fails", 6, "pair_user cannot be loaded", "the builds that were loaded before are loaded again")
    expect("restored", 0, r"^pair_user\b", r"^pair_base .* 1 pair_user")
    expect("former", 0, "Loaded modules differ from the installed ones: pair_base")
    expect("unknown", 3)
    expect("nothing", 0, "Nothing to do")
    expect("loadable", 0)
    expect("unloaded", 1, "pair/3.0 has no module that is loaded", "loop is not loaded")
    if "pair/3.0" in found.get("half", (0, ""))[1]:
        wrong.append(f"half: {found['half']}")
    entry = json.loads(found["json"][1])["entries"][0] if "json" in found else {}
    base = next((m for m in entry.get("loaded") or [] if m["module"] == "pair_base"), {})
    if base.get("state") != "other" or not base.get("srcversion") or base["srcversion"] == base["installed_srcversion"]:
        wrong.append(f"json: {entry}")
    return wrong


def main():
    kernels = dict(word.split("=", 1) for word in os.environ["VM_KERNELS"].split())
    kernel = machine.Kernel(kernels["6.1"])
    os.makedirs(WORK)
    done = machine.boot(kernel, guest(kernel), seconds=300)
    wrong = check(steps(done.lines))
    if done.code or wrong:
        print("\n".join(done.lines))
        sys.exit(f"the guest ended with {done.code}; " + "\n".join(wrong))
    print("status --loaded and reload agree with the kernel")


if __name__ == "__main__":
    try:
        main()
    except (machine.Failure, subprocess.SubprocessError) as failure:
        sys.exit(f"reload: {failure}")
