"""Inside the private root of btf::CASE: BTF of modules, where the headers have a vmlinux and where they have none.

    btf.py same_as_kbuild | without_vmlinux
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, "/e2e/vm")
import machine

MODULES = ("types", "types_ids")
SETTINGS = Path("/etc/dkms/framework.conf.d/btf.conf")


def kernel(name):
    words = dict(word.split("=") for word in os.environ["VM_KERNELS"].split())
    return machine.Kernel(words[name])


def dkms(*words):
    done = subprocess.run(["dkms", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"dkms {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def build(release, option="--no-cache"):
    """Builds and removes: returns the modules, uncompressed, and the output of dkms."""
    printed = dkms("build", "types/1.0", "-k", release, option)
    folder = Path(f"/var/lib/dkms/types/1.0/{release}/x86_64/module")
    for file in folder.glob("*.xz"):
        subprocess.run(["unxz", "-q", file], check=True)
    modules = {name: (folder / f"{name}.ko").read_bytes() for name in MODULES}
    dkms("unbuild", "types/1.0", "-k", release)
    return modules, printed


def sections(module):
    Path("/tmp/module.ko").write_bytes(module)
    return subprocess.run(["readelf", "-SW", "/tmp/module.ko"], capture_output=True, text=True, check=True).stdout.split()


def line_of_fingerprint(release):
    lines = dkms("config", "types/1.0", "-k", release, "--fingerprint").splitlines()
    return next(line for line in lines if line.startswith("btf="))


def same_as_kbuild():
    """kbuild makes BTF of Debian's 6.12 modules. Without its vmlinux, dkms makes the same bytes from the image."""
    release = kernel("6.12").release
    vmlinux = Path(f"/usr/src/linux-headers-{release}/vmlinux")
    assert vmlinux.exists()
    assert line_of_fingerprint(release) == "btf=true"
    by_kbuild, _ = build(release)
    assert all(".BTF" in sections(module) for module in by_kbuild.values())
    vmlinux.unlink()
    assert line_of_fingerprint(release).startswith("btf=sha256:")
    by_dkms, printed = build(release)
    assert "without BTF" not in printed, printed
    for name in MODULES:
        assert by_dkms[name] == by_kbuild[name], f"{name} differs"
    SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    SETTINGS.write_text("btf=off\n")
    # A build does what the line announces.
    assert line_of_fingerprint(release) == "btf=false"


def base_in_cache(release, types):
    """The BTF of the kernel is unpacked once, and a damaged file in the cache is not used."""
    def with_cache():
        dkms("cache", "clear", "types/1.0")
        return build(release, "--force")

    def bases():
        return json.loads(dkms("cache", "show", "--json"))["bases"]

    assert bases() == []
    dkms("build", "types/1.0", "-k", release)
    dkms("unbuild", "types/1.0", "-k", release)
    assert [base["kernel"] for base in bases()] == [release]
    assert f"BTF of kernel {release}" in dkms("cache")
    modules, printed = with_cache()
    assert modules["types"] == types, printed
    # The kept BTF is used: with other types, pahole has no base.
    (file,) = Path("/var/cache/dkms/btf").iterdir()
    whole = file.read_bytes()
    head = {"kernel": release, "sha256": hashlib.sha256(b"no types").hexdigest()}
    file.write_bytes(json.dumps(head).encode() + b"\nno types")
    _, printed = with_cache()
    assert "types.ko is built without BTF: " in printed, printed
    # A damaged file is replaced.
    file.write_bytes(whole[:-1] + b"x")
    checked = subprocess.run(["dkms", "fsck"], capture_output=True, text=True).stdout
    assert str(file) in checked and "is damaged" in checked, checked
    modules, printed = with_cache()
    assert modules["types"] == types, printed
    assert file.read_bytes() == whole
    # Without the cache of builds, this cache is not used either.
    file.write_bytes(whole[:-1] + b"x")
    modules, _ = build(release)
    assert modules["types"] == types
    assert file.read_bytes() != whole
    assert "the BTF of 1 kernel" in dkms("cache", "clear", "-k", release)
    assert bases() == []


def without_vmlinux():
    """Debian's 6.1 headers have no vmlinux and no resolve_btfids."""
    release = kernel("6.1").release
    first, printed = build(release)
    assert ".BTF" in sections(first["types"]), printed
    assert ".BTF" not in sections(first["types_ids"])
    assert "types_ids.ko is built without BTF: it has lists of types" in printed, printed
    assert "types.ko is built without BTF" not in printed, printed
    second, _ = build(release)
    assert first == second, "two builds differ"

    # With a damaged image, only the BTF is missing.
    image = Path(f"/boot/vmlinuz-{release}")
    shutil.copy(image, "/tmp/vmlinuz")
    damaged = bytearray(image.read_bytes())
    for at in range(len(damaged) // 2, len(damaged) // 2 + 64):
        damaged[at] ^= 0xFF
    image.write_bytes(damaged)
    damaged, printed = build(release)
    assert "types.ko is built without BTF" in printed and "damaged" in printed, printed
    assert ".BTF" not in sections(damaged["types"])
    shutil.copy("/tmp/vmlinuz", image)

    base_in_cache(release, first["types"])

    # The kernel accepts it.
    tree = machine.Tree("/tmp/tree", kernel("6.1"))
    for name in MODULES:
        tree.write(f"lib/modules/{release}/updates/{name}.ko", first[name])
    tree.depmod()
    tree.write("guest", "#!/bin/sh\nset -e\n/usr/sbin/modprobe types\nls -1 /sys/kernel/btf\ndmesg | grep -i -e btf -e types: || true\n", 0o755)
    tree.pack("/tmp/initrd")
    done = machine.boot(kernel("6.1"), "/tmp/initrd")
    print("\n".join(done.lines))
    assert done.code == 0 and "types" in done.lines and "vmlinux" in done.lines
    assert not any("failed to validate" in line for line in done.lines)


if __name__ == "__main__":
    shutil.copytree("/e2e/fixtures/types-1.0", "/usr/src/types-1.0")
    {"same_as_kbuild": same_as_kbuild, "without_vmlinux": without_vmlinux}[sys.argv[1]]()
