"""Makes the builds in the tree of a private root those of an older kernel, as they are after an upgrade: the next builds are
new, and dkms knows how long the last ones took."""
import glob
import json
import os
import shutil
import subprocess
import sys

OLD = "5.10.0-1-amd64"


def make():
    """Does it for the builds for $K."""
    kernel = os.environ["K"]
    for path in glob.glob(f"/var/lib/dkms/*/*/{kernel}/*/.manifest.json"):
        directory = os.path.dirname(os.path.dirname(path))
        old = f"{os.path.dirname(directory)}/{OLD}"
        shutil.copytree(directory, old, symlinks=True)
        for copy in glob.glob(f"{old}/*/.manifest.json"):
            with open(copy, encoding="utf-8") as file:
                manifest = json.loads(file.read().replace(f'"{kernel}"', f'"{OLD}"'))
            manifest["installed"] = None
            with open(copy, "w", encoding="utf-8") as file:
                json.dump(manifest, file)
        name, version = directory.split("/")[4:6]
        done = subprocess.run(["dkms", "unbuild", f"{name}/{version}", "-k", kernel], capture_output=True, check=False)
        if done.returncode:
            sys.exit(done.stderr.decode())


if __name__ == "__main__":
    make()
