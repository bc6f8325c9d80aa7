"""Inside the private root of jobserver::NAME: `jobserver.py N`.

`dkms autoinstall -jN` never runs more than N compilers at once, however many packages it builds. The processes named cc1 are
counted every two milliseconds.
"""

import glob
import os
import subprocess
import sys
import time

K = os.environ["K"]
versions = []
for conf in sorted(glob.glob("/usr/src/*/dkms.conf")):
    added = subprocess.run(["dkms", "add", os.path.dirname(conf)], capture_output=True, text=True)
    if added.returncode:
        sys.exit(f"{conf}: {added.stderr}")
    versions.append(os.path.basename(os.path.dirname(conf)))
subprocess.run(["dkms", "generate_mok"], check=True, capture_output=True)


def compilers():
    """The number of running processes, without zombies."""
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    stat = f.read(64)
            except OSError:
                continue
            if b" (cc1) " in stat and b") Z" not in stat:
                found += 1
    return found


jobs, wrong = int(sys.argv[1]), 0
started = time.monotonic()
with open("/run/out", "w") as out:
    p = subprocess.Popen(["dkms", "autoinstall", "-j", str(jobs), "-k", K], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    most = samples = 0
    while p.poll() is None:
        most = max(most, compilers())
        samples += 1
        time.sleep(0.002)
listed = subprocess.run(["dkms", "status"], capture_output=True, text=True).stdout.splitlines()
installed = [l for l in listed if ": installed" in l]
print(f"-j{jobs}: at most {most} compilers at once in {samples} looks, {len(installed)} packages, {time.monotonic() - started:.0f} s", flush=True)
if p.returncode or len(installed) < len(versions):
    print(f"WRONG: code {p.returncode}", *open("/run/out").read().splitlines()[-12:], *listed, sep="\n")
    wrong += 1
if most > jobs:
    print(f"WRONG: {most} compilers with -j{jobs}")
    wrong += 1
if most == 0:
    print("WRONG: no compiler was seen at all")
    wrong += 1
sys.exit(1 if wrong else 0)
