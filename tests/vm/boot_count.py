"""Inside the private root of boot_count::NAME: dkms-boot-check.service and the boot counting of systemd-boot, in a machine
with UEFI firmware, systemd-boot, Linux and systemd.

The menu has a new kernel that may be tried once, and an old one. Without the required module, the new one's boot does not
count as good, and the next boot is that of the old one. With it, the new kernel stays.
"""

import glob
import os
import re
import shutil
import sys
from pathlib import Path

import firmware
import machine

WORK = "/tmp/count"
DKMS = "/usr/sbin/dkms"
UNITS = "/usr/lib/systemd/system"
PACKAGING = f"{machine.HERE}/../../packaging/systemd"
BOOTLOADER = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
NEEDED = ("virtio_pci", "virtio_blk", "vfat", "nls_cp437", "nls_ascii", "efivarfs")

# The menu is on a disk without partitions, which systemd-bless-boot would refuse.
RELAXED = "[Service]\nEnvironment=SYSTEMD_RELAX_ESP_CHECKS=1\n"
MENU = """[Unit]
DefaultDependencies=no
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'modprobe -a MODULES; mount -t vfat /dev/vda /efi'
"""
TEST = """[Unit]
DefaultDependencies=no
After=basic.target boot-complete.target systemd-bless-boot.service
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'echo GUEST-START; /guest; echo "GUEST-END $?"; poweroff -f'
"""
GUEST = """#!/bin/sh
set -- $(cat /proc/cmdline)
for word; do case $word in entry=*) echo "$word" ;; esac; done
for unit in dkms-boot-check.service boot-complete.target systemd-bless-boot.service; do
    echo "$unit=$(systemctl is-active $unit)"
done
echo "blessing=$(SYSTEMD_RELAX_ESP_CHECKS=1 /lib/systemd/systemd-bless-boot status)"
ls /efi/loader/entries | sed 's/^/file=/'
dkms ready -k "$(uname -r)" --loaded
sync
"""


def enable(tree, unit, target):
    folder = tree.path(f"{UNITS}/{target}/x")
    os.symlink(f"../{unit}", f"{os.path.dirname(folder)}/{unit}")


def guest(kernel, name, has_module):
    """The system that an entry of the menu starts: everything is in its initramfs."""
    tree = machine.Tree(f"{WORK}/{name}", kernel)
    tree.program(DKMS)
    for program in ("systemd", "systemd-modules-load", "systemd-executor", "systemd-bless-boot"):
        if os.path.exists(f"/usr/lib/systemd/{program}"):
            tree.program(f"/usr/lib/systemd/{program}")
    tree.program("/usr/lib/systemd/system-generators/systemd-bless-boot-generator")
    for program in ("sh", "mount", "systemctl"):
        path = tree.path(f"usr/bin/{program}")
        if os.path.lexists(path):
            os.unlink(path)
        tree.program(os.path.realpath(f"/usr/bin/{program}"), f"usr/bin/{program}")
    for unit in glob.glob(f"{UNITS}/*.target"):
        if not os.path.islink(unit):
            tree.copy(unit)
    for unit in ("systemd-modules-load.service", "systemd-bless-boot.service"):
        tree.copy(f"{UNITS}/{unit}")
    tree.copy(f"{PACKAGING}/dkms-boot-check.service", f"{UNITS}/dkms-boot-check.service")
    enable(tree, "dkms-boot-check.service", "boot-complete.target.requires")
    enable(tree, "systemd-modules-load.service", "sysinit.target.wants")
    enable(tree, "menu.service", "local-fs.target.wants")
    tree.write(f"{UNITS}/menu.service", MENU.replace("MODULES", " ".join(NEEDED)))
    tree.write(f"{UNITS}/systemd-bless-boot.service.d/test.conf", RELAXED)
    tree.write(f"{UNITS}/test.service", TEST)
    tree.write(f"{UNITS}/test.target", "[Unit]\nRequires=basic.target test.service\nAfter=basic.target\n")
    os.symlink("test.target", tree.path(f"{UNITS}/default.target"))
    tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    tree.write("etc/group", "root:x:0:\n")
    tree.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    os.makedirs(tree.path("efi"))
    tree.kernel_modules(*NEEDED)
    # dkms looks at these.
    tree.copy(kernel.image)
    for folder in ("/var/lib/dkms", "/usr/src/single-1.0", "/etc/dkms"):
        os.makedirs(os.path.dirname(tree.path(folder)), exist_ok=True)
        machine.run("cp", "-aT", folder, tree.path(folder))
    tree.write("etc/dkms/framework.conf.d/required.conf", "required_modules=single\n")
    tree.write("etc/modules-load.d/single.conf", "single\n")
    module = glob.glob(f"{kernel.modules}/updates/dkms/single.ko*")[0]
    if has_module:
        tree.copy(module)
    tree.depmod()
    tree.write("guest", GUEST, 0o755)
    os.unlink(tree.path("init"))
    os.symlink("/usr/lib/systemd/systemd", tree.path("init"))
    tree.pack(f"{WORK}/{name}.img")
    shutil.rmtree(tree.top)


def menu(kernel, new):
    """A disk with systemd-boot, the kernel, and two entries. The newer one may be tried once."""
    disk = f"{WORK}/disk-{new}"
    files = {"EFI/BOOT/BOOTX64.EFI": BOOTLOADER, "vmlinuz": kernel.image, "new": f"{WORK}/{new}.img", "old": f"{WORK}/good.img"}
    texts = {"loader/loader.conf": "timeout 0\n"}
    for entry, file, version in (("new", "new+1", 2), ("old", "old", 1)):
        options = f"console=ttyS0 quiet loglevel=1 panic=-1 systemd.show_status=0 systemd.log_target=kmsg entry={entry}"
        texts[f"loader/entries/{file}.conf"] = (
            f"title {entry}\nsort-key linux\nversion {version}\nlinux /vmlinuz\ninitrd /{entry}\noptions {options}\n")
    size = sum(os.path.getsize(file) for file in files.values()) // 1_000_000 + 16
    machine.run("mkfs.vfat", "-C", disk, str(size * 1024))
    machine.run("mmd", "-i", disk, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries")
    for name, source in files.items():
        machine.run("mcopy", "-i", disk, source, f"::{name}")
    for name, text in texts.items():
        Path(f"{WORK}/text").write_text(text)
        machine.run("mcopy", "-i", disk, f"{WORK}/text", f"::{name}")
    shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", f"{disk}.variables")
    return disk


def start(kernel, disk):
    done = machine.boot(kernel, None, variables=f"{disk}.variables", disk=disk, memory=1024, seconds=400)
    print("\n".join(done.lines))
    return dict(line.split("=", 1) for line in done.lines if re.match(r"[a-z.-]+=", line)), done.lines


def expect(found, **wanted):
    for name, value in wanted.items():
        name = {"check": "dkms-boot-check.service", "complete": "boot-complete.target", "bless": "systemd-bless-boot.service"}.get(name, name)
        if found.get(name) != value:
            sys.exit(f"{name} is {found.get(name)}, not {value}")


def main():
    kernels = dict(word.split("=", 1) for word in os.environ["VM_KERNELS"].split())
    kernel = machine.Kernel(kernels["6.1"])
    os.makedirs(WORK)
    shutil.copytree("/e2e/fixtures/single-1.0", "/usr/src/single-1.0")
    machine.run(DKMS, "install", "single/1.0", "-k", kernel.release, "--no-cache")
    guest(kernel, "good", True)
    guest(kernel, "bad", False)

    print("-- a new kernel without the module")
    disk = menu(kernel, "bad")
    found, lines = start(kernel, disk)
    expect(found, entry="new", check="failed", complete="inactive", bless="inactive", blessing="indeterminate")
    assert "file=new+0-1.conf" in lines, lines
    print("-- the next boot is that of the old one")
    found, lines = start(kernel, disk)
    # Nothing counts its boots.
    expect(found, entry="old", blessing="clean")
    assert "file=new+0-1.conf" in lines, lines

    print("-- a new kernel with it")
    disk = menu(kernel, "good")
    found, lines = start(kernel, disk)
    expect(found, entry="new", check="active", complete="active", bless="active", blessing="good")
    assert "file=new.conf" in lines, lines
    print("the machine leaves a kernel without its modules")


if __name__ == "__main__":
    try:
        main()
    except machine.Failure as failure:
        sys.exit(f"boot_count: {failure}")
