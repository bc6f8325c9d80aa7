"""Runs a command in a shell with a separate terminal, types a line after a while, and prints the terminal's content."""
import os
import pty
import select
import sys
import time

pid, fd = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--norc", "-i"])


def shown(seconds):
    out, end = b"", time.time() + seconds
    while time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                out += os.read(fd, 65536)
            except OSError:
                break
    return out


shown(0.5)
os.write(fd, sys.argv[1].encode() + b"; echo the-end\n")
out = b""
typed = len(sys.argv) < 3
for _ in range(60):
    out += shown(0.5)
    if not typed:
        os.write(fd, sys.argv[2].encode() + b"\n")
        typed = True
    if out.count(b"the-end") > 1:
        break
out += shown(1)
os.write(fd, b"exit\n")
sys.stdout.write(out.decode(errors="replace"))
