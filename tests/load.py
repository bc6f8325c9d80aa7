"""Inside the private root of bench.sh: a tree of 100, 200, 300 packages, each installed for three kernels."""

import os
import re
import shutil
import subprocess
import sys

from state import LIB, dkms, must, shell

K = os.environ["K"]
KERNELS = [K, re.sub(r"-(\d\d)-", "-57-", K), re.sub(r"-(\d\d)-", "-58-", K)]


# A small parent: the peak memory of a process includes that of its parent at the time of the fork.
METER = r"""
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct timespec a, b;
	struct rusage r;
	int status;
	(void)argc;
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (!vfork()) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	wait4(-1, &status, 0, &r);
	clock_gettime(CLOCK_MONOTONIC, &b);
	dprintf(3, "%f %ld\n", b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9, r.ru_maxrss);
	return status != 0;
}
"""
with open("/run/meter.c", "w") as f:
    f.write(METER)
shell("gcc -O1 -o /run/meter /run/meter.c")


def measure(*words):
    """Seconds and kilobytes, the best of five; the children's memory is not dkms's and not counted."""
    found = []
    for _ in range(5):
        done = subprocess.run(["bash", "-c", '"$@" 3>/run/measured >/dev/null 2>&1', "-", "/run/meter", "dkms", *words])
        if done.returncode:
            return None
        with open("/run/measured") as f:
            found.append([float(w) for w in f.read().split()])
    return min(f[0] for f in found), min(f[1] for f in found)


shell(f"cp -r /e2e/fixtures/single-1.0 /root/made && make -s -C /lib/modules/{K}/build M=/root/made >/dev/null 2>&1")
with open("/root/made/single.ko", "rb") as f:
    module = f.read()
for kernel in KERNELS:
    os.makedirs(f"{LIB}/{kernel}", exist_ok=True)
    if kernel != K:
        shutil.copytree(f"{LIB}/{K}", f"{LIB}/{kernel}", symlinks=True, dirs_exist_ok=True)
    with open(f"/root/made/{kernel}.ko", "wb") as f:
        f.write(module.replace(K.encode(), kernel.encode()))
must("generate_mok")


def add(number):
    source = f"/usr/src/tiny{number}-1.0"
    os.mkdir(source)
    for kernel in KERNELS:
        shutil.copy(f"/root/made/{kernel}.ko", source)
    with open(f"{source}/dkms.conf", "w") as f:
        f.write(f'PACKAGE_NAME=tiny{number}\nPACKAGE_VERSION=1.0\nMAKE="cp $kernelver.ko tiny{number}.ko"\nCLEAN=true\nSTRIP=no\n')
        f.write(f"BUILT_MODULE_NAME=tiny{number}\nDEST_MODULE_LOCATION=/extra\nAUTOINSTALL=yes\n")
    must("add", f"tiny{number}/1.0")
    must("install", f"tiny{number}/1.0", *[w for k in KERNELS for w in ("-k", k)], "--no-depmod")


first = {}
for number in range(1, 301):
    add(number)
    if number % 100:
        continue
    pairs = dkms("status").stdout.count(": installed")
    if pairs != 3 * number:
        sys.exit(f"{pairs} pairs are installed, not {3 * number}")
    for words in (["status"], ["autoinstall", "-k", K], ["fsck"]):
        found = measure(*words)
        if not found:
            print(f"load-{words[0]:<11} skipped: it failed: {(dkms(*words).stderr.splitlines() or ['?'])[0]}")
            continue
        seconds, kilobytes = found
        first.setdefault(words[0], seconds / number)
        print(
            f"load-{words[0]:<11} {number} packages, {pairs} pairs: {seconds * 1000:7.1f} ms, {seconds * 1e6 / number:6.1f} us a package "
            f"({seconds / number / first[words[0]]:.2f} of that with 100), {kilobytes / 1024:.1f} MB",
            flush=True,
        )
