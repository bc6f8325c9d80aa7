"""Boots systemd in a virtual machine with an extension of `dkms mksysext` in /var/lib/extensions.

    sysext.py RELEASE EXTENSION MODULE

/usr has the service and its program, as dkms installs them, but no module of ours. After the boot, MODULE is loaded, and it
was loaded from the extension.
"""

import glob
import os
import shutil
import sys
import tempfile

import machine

UNITS = "/usr/lib/systemd/system"
PACKAGING = f"{machine.HERE}/../../packaging/systemd"

# The same as the file init in other machines.
TEST = """[Unit]
DefaultDependencies=no
After=sysinit.target
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'echo GUEST-START; /guest; echo "GUEST-END $?"; poweroff -f'
"""
GUEST = """#!/bin/sh
systemctl --no-pager --plain list-units --all 'systemd-sysext*' 'dkms-sysext*' 'systemd-modules-load*'
mount | grep -E '/usr|/lib/modules'
grep '^MODULE ' /proc/modules || exit 1
systemctl is-active systemd-sysext.service dkms-sysext.service systemd-modules-load.service || exit 2
touch /usr/x 2>/dev/null && exit 3
/usr/sbin/modprobe -n -v -i --show-depends MODULE | grep /updates/ || exit 4
systemctl stop dkms-sysext.service || exit 5
mount | grep /lib/modules && exit 6
exit 0
"""


def main():
    release, extension, module = sys.argv[1:]
    kernel = machine.Kernel(release)
    with tempfile.TemporaryDirectory() as folder:
        tree = machine.Tree(f"{folder}/tree", kernel)
        for name in ("systemd", "systemd-modules-load", "systemd-executor"):
            if os.path.exists(f"/usr/lib/systemd/{name}"):
                tree.program(f"/usr/lib/systemd/{name}")
        # The shell of busybox prefers its own applets, also for depmod.
        for name in ("sh", "mount", "umount", "unshare", "systemd-sysext", "systemctl"):
            path = tree.path(f"usr/bin/{name}")
            if os.path.lexists(path):
                os.unlink(path)
            tree.program(os.path.realpath(f"/usr/bin/{name}"), f"usr/bin/{name}")
        for unit in glob.glob(f"{UNITS}/*.target"):
            if not os.path.islink(unit):
                tree.copy(unit)
        for name in ("systemd-sysext.service", "systemd-modules-load.service"):
            tree.copy(f"{UNITS}/{name}")
        tree.copy(f"{PACKAGING}/dkms-sysext.service", f"{UNITS}/dkms-sysext.service")
        tree.copy(f"{PACKAGING}/sysext-index", "usr/lib/dkms/sysext-index")
        wants = f"{UNITS}/sysinit.target.wants"
        tree.write(f"{wants}/none", "")
        os.unlink(tree.path(f"{wants}/none"))
        for name in ("systemd-sysext.service", "systemd-modules-load.service", "dkms-sysext.service"):
            os.symlink(f"../{name}", tree.path(f"{wants}/{name}"))
        tree.write(f"{UNITS}/test.service", TEST)
        tree.write(f"{UNITS}/test.target", "[Unit]\nRequires=sysinit.target test.service\nAfter=sysinit.target\n")
        os.symlink("test.target", tree.path(f"{UNITS}/default.target"))
        tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        tree.write("etc/group", "root:x:0:\n")
        tree.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        shutil.copytree(extension, tree.path(f"var/lib/extensions/{os.path.basename(extension)}"), symlinks=True)
        tree.kernel_modules("overlay")
        tree.depmod()
        tree.write("guest", GUEST.replace("MODULE", module), 0o755)
        os.unlink(tree.path("init"))
        os.symlink("/usr/lib/systemd/systemd", tree.path("init"))
        tree.pack(f"{folder}/initramfs")
        result = machine.boot(kernel, f"{folder}/initramfs", append="systemd.log_target=kmsg systemd.show_status=0")
        print("\n".join(result.lines))
        if result.code:
            sys.exit(f"the guest ended with code {result.code}")


main()
