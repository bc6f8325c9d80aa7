"""gone.py HOW SECONDS COMMAND...: runs a command whose output fails in the way HOW, and prints its exit code, or "hung" if it
still ran SECONDS later.

HOW: words with '+' between them. "pty" (closed after a second), "pty-now" (closed from the start), "pipe" and "pipe-now" (without a
reader), "full" (/dev/full), "closed" (no descriptor), "null"; behind ':' the descriptors (12 if there are none). "nohup" ignores
SIGHUP, "nochild" SIGCHLD, "leader" makes the terminal the controlling one, so that SIGHUP comes."""
import fcntl
import os
import signal
import sys
import termios
import time

how, seconds, command = sys.argv[1].split("+"), float(sys.argv[2]), sys.argv[3:]
to_close, targets = [], {}
for word in how:
    kind, _, numbers = word.partition(":")
    if kind in ("nohup", "nochild", "leader"):
        continue
    later = not kind.endswith("-now")
    if kind.startswith("pty"):
        ours, theirs = os.openpty()
    elif kind.startswith("pipe"):
        ours, theirs = os.pipe()
    elif kind == "closed":
        ours = theirs = None
    else:
        ours, theirs = None, os.open({"full": "/dev/full", "null": "/dev/null"}[kind], os.O_RDWR)
    for number in numbers or "12":
        targets[int(number)] = theirs
    if ours is not None:
        to_close.append((later, ours))
pid = os.fork()
if pid == 0:
    os.setsid()
    if "nohup" in how:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if "nochild" in how:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    if "leader" in how:
        fcntl.ioctl(targets[2], termios.TIOCSCTTY, 0)
    for number, fd in targets.items():
        if fd is None:
            os.close(number)
        else:
            os.dup2(fd, number)
    for _, ours in to_close:
        os.close(ours)
    os.execvp(command[0], command)
for fd in set(targets.values()) - {None}:
    os.close(fd)
for later, ours in to_close:
    if not later:
        os.close(ours)
    else:
        os.set_blocking(ours, False)
end = time.time() + 1
while time.time() < end:
    for later, ours in to_close:
        if later:
            try:
                os.read(ours, 65536)
            except OSError:
                pass
    time.sleep(0.02)
for later, ours in to_close:
    if later:
        os.close(ours)
end = time.time() + seconds
while time.time() < end:
    found, status = os.waitpid(pid, os.WNOHANG)
    if found:
        print(os.waitstatus_to_exitcode(status))
        sys.exit(0)
    time.sleep(0.05)
os.kill(pid, signal.SIGKILL)
print("hung")
