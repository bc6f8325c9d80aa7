#!/usr/bin/python3
"""Writes docs/timings.png: the page of `dkms autoinstall --timings`, as Chromium shows it.

    docs/timings-page.py              (root; DKMS_BIN, DKMS_TEST_BUILD as for the tests; chromium, chromium-driver)

Runs dkms in a private root (tests/in-root.sh) with packages and kernel headers of Debian. One package comes from the
cache, and one does not build.
"""
import os
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = ["v4l2loopback", "acpi-call", "ddcci", "bbswitch", "evdi", "dm-writeboost", "digimend", "tp-smapi", "vpoll"]
LAYERS = "headers-6.1 image-6.1 " + " ".join(f"packages/{name}-dkms" for name in PACKAGES)
CACHED = "v4l2loopback"
LARGEST = 150_000

INSIDE = f"""
set -eu
cp -r /e2e/fixtures/failmake-1.0 /usr/src
for conf in /usr/src/*/dkms.conf; do dkms add "${{conf%/*}}" >/dev/null; done
dkms generate_mok >/dev/null
# An earlier run, so that the durations are known and one package is in the cache.
dkms autoinstall -k "$K" >/dev/null 2>&1 || true
find /var/cache/dkms -name record.json -exec grep -L '"{CACHED}"' {{}} + | while read -r record; do rm -r "${{record%/*}}"; done
python3 /e2e/history.py
dkms autoinstall -k "$K" --timings=/root/page.html >&2 || true
cat /root/page.html
"""


def main():
    sys.path.insert(0, f"{TOP}/tests")
    import browser

    if reason := browser.missing():
        sys.exit(f"timings-page.py: {reason}")
    run = subprocess.run([f"{TOP}/tests/in-root.sh", LAYERS, "bash", "-c", INSIDE], stdout=subprocess.PIPE,
                         stdin=subprocess.DEVNULL, check=False)
    if run.returncode or not run.stdout.startswith(b"<!DOCTYPE html>"):
        sys.exit(f"timings-page.py: tests/in-root.sh ended with code {run.returncode}:\n{run.stdout[-500:]!r}")
    picture = f"{TOP}/docs/timings.png"
    with tempfile.TemporaryDirectory() as directory, browser.Browser() as chromium:
        page = f"{directory}/page.html"
        with open(page, "wb") as file:
            file.write(run.stdout)
        chromium.open(page)
        chromium.width(1000, 1000)
        # The picture ends below the timeline.
        height = chromium.run("return document.querySelector('.timeline').getBoundingClientRect().bottom + 12")
        chromium.width(1000, int(height))
        chromium.screenshot(picture)
    if (size := os.path.getsize(picture)) > LARGEST:
        sys.exit(f"timings-page.py: {picture} has {size} bytes, more than {LARGEST}")
    return 0


sys.exit(main())
