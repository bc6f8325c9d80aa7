"""Loads a module that is installed somewhere in a virtual machine with Secure Boot, whose firmware trusts a certificate.

    load.py RELEASE MODULES NAME CERTIFICATE

MODULES stands for /lib/modules/RELEASE, NAME is in its updates/dkms, CERTIFICATE is in DER form. A copy of the module that is
signed for another machine (its signature is damaged) must be refused, so that the kernel is known to check signatures.
"""

import os
import sys
import tempfile

import firmware
import machine

GUEST = """#!/bin/sh
set -x
/usr/sbin/modprobe NAME || exit 1
grep '^NAME ' /proc/modules || exit 2
/usr/sbin/rmmod NAME || exit 3
if /usr/sbin/insmod /damaged.ko; then exit 4; fi
"""


def main():
    release, modules, name, certificate = sys.argv[1:]
    kernel = machine.Kernel(release)
    with tempfile.TemporaryDirectory() as folder:
        tree = machine.Tree(f"{folder}/tree", kernel)
        for found in os.listdir(f"{modules}/updates/dkms"):
            tree.copy(f"{modules}/updates/dkms/{found}", f"lib/modules/{release}/updates/dkms/{found}")
        with open(f"{modules}/updates/dkms/{name}.ko", "rb") as f:
            signed = bytearray(f.read())
        # Within the signature, in front of the fixed text and numbers at the end.
        signed[-60] ^= 1
        tree.write("damaged.ko", bytes(signed))
        tree.depmod()
        tree.write("guest", GUEST.replace("NAME", name), 0o755)
        tree.pack(f"{folder}/initramfs")
        with open(certificate, "rb") as f:
            db = [firmware.vendor_certificate(), f.read()]
        firmware.variables(firmware.MS_VARIABLES, f"{folder}/variables", db=db)
        result = machine.boot(kernel, f"{folder}/initramfs", variables=f"{folder}/variables")
        print("\n".join(result.lines))
        if result.code:
            sys.exit(f"the guest ended with code {result.code}")


main()
