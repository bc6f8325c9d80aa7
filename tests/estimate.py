"""How accurate the live view's estimate is (checks.toml): autoinstall of Debian's packages on a terminal.

The estimate is accurate if, at every moment after the first half, the time so far and the time that is left add up to
the time that it took in the end, within PERCENT. The first run knows only the size of the sources, and its figures are
printed; the second one knows how long each build took, and has to be accurate.

    python3 /e2e/estimate.py [PERCENT]
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import history

UNITS = {"s": 1, "min": 60, "h": 3600}


def run():
    """Runs autoinstall on a terminal; returns the time that it took to build, and (moment, seconds left)."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    begun = time.monotonic()
    command = ["dkms", "autoinstall", "--no-cache", "-k", os.environ["K"]]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                               env={**os.environ, "TERM": "xterm-256color"})
    os.close(follower)
    samples, text, ended = [], "", 0.0
    while True:
        if not select.select([leader], [], [], 0.5)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        now = time.monotonic() - begun
        part = chunk.decode("utf-8", "replace")
        text += part
        for match in re.finditer(r"about ((?:\d+ (?:s|min|h) ?)+)left", part):
            left = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+) (s|min|h)", match.group(1)))
            samples.append((now, left))
        if re.search(r"Built \S+/\S+ for ", part):
            ended = now
    # Some packages may not build for this kernel.
    if process.wait() not in (0, 11):
        sys.exit(f"autoinstall ended with code {process.returncode}:\n{text[-2000:]}")
    # The estimate covers the builds: the installation that follows is one transaction.
    return ended, samples


def main():
    percent = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    for name in sorted(os.listdir("/usr/src")):
        if os.path.exists(f"/usr/src/{name}/dkms.conf"):
            subprocess.run(["dkms", "add", f"/usr/src/{name}"], capture_output=True, check=False)
    subprocess.run(["dkms", "generate_mok"], capture_output=True, check=False)
    bad = False
    for name in ("without history", "with history"):
        if name == "with history":
            history.make()
        total, samples = run()
        late = [(at, abs(at + left - total) / total * 100) for at, left in samples if total / 2 <= at <= total]
        if not late:
            sys.exit(f"{name}: no estimate after the first half of {total:.1f} s")
        worst = max(late, key=lambda pair: pair[1])
        mean = sum(error for _, error in late) / len(late)
        print(f"{name}: {total:.1f} s, {len(late)} estimates after the first half: off by {mean:.0f} % on average, "
              f"by {worst[1]:.0f} % at worst (after {worst[0] / total * 100:.0f} %)")
        if os.environ.get("VERBOSE"):
            print(" ".join(f"{at:.0f}+{left}" for at, left in samples[:: max(1, len(samples) // 40)]))
        # Without an earlier build, the size of the sources is a guess.
        bad |= name == "with history" and worst[1] > percent
    return 1 if bad else 0


sys.exit(main())
