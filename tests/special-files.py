#!/usr/bin/python3
"""Puts something else in the place of each file and directory that dkms reads or writes, and runs commands on it.

Runs in a private root in which single/1.0 is installed for $K (tests/scenarios/special-files.sh). No command may hang, use
much memory, panic, or change what a link leads to. Where a target has a command that must read it, that command has to
name the file and to fail (or to warn).
"""
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

K, A = os.environ['K'], os.environ['A']
BUILT = f'/var/lib/dkms/single/1.0/{K}/{A}'
MODULES = f'/lib/modules/{K}'
HEADERS = os.path.realpath(f'{MODULES}/build')
OUTSIDE = '/root/outside'
KEPT = '/root/kept'
SECONDS = 10
# A command that changes something may find that it has to build first.
BUILD_SECONDS = 90
MEMORY = 3_000_000_000

# Commands that only read, or that cannot change anything that another round needs.
LOOK = ['status', f'status single/1.0 -k {K} --json', 'fsck', f'verify -k {K}', f'ready -k {K}', 'pending', 'mok status',
        f'config single/1.0 -k {K}', 'lint single/1.0', f'match --templatekernel {K} -k {K} --dry-run',
        f'autoinstall -k {K} --dry-run', f'build single/1.0 -k {K} --force --dry-run', 'remove single/1.0 --all --dry-run']
CHANGE = [f'mktarball single/1.0 -k {K} --archive /root/made.tar.gz', f'uninstall single/1.0 -k {K} --no-depmod',
          f'install single/1.0 -k {K} --no-depmod', 'fsck --repair --dry-run', 'add /usr/src/single-1.0 --force',
          'ldtarball /root/good.tar.gz --force']

CONFIG, VERIFY, FSCK, STATUS = LOOK[7], LOOK[3], LOOK[2], LOOK[0]
# Path, and a command that cannot do without it.
TARGETS = [
    ('/usr/src/single-1.0/dkms.conf', CONFIG), ('/usr/src/single-1.0/dkms.conf', FSCK),
    ('/usr/src/single-1.0/single.c', None), ('/usr/src/single-1.0/Makefile', None), ('/usr/src/single-1.0', None),
    ('/etc/dkms/single.conf', CONFIG), ('/etc/dkms/framework.conf', STATUS),
    ('/etc/dkms/framework.conf.d/own.conf', STATUS), ('/etc/dkms/framework.conf.d', None), ('/etc/dkms', None),
    (f'{BUILT}/.manifest.json', FSCK), (f'{BUILT}/module/single.ko', None), (f'{BUILT}/log/make.log', None),
    (f'{BUILT}/module', None), (BUILT, None), (f'/var/lib/dkms/single/kernel-{K}-{A}', None),
    ('/var/lib/dkms/single/1.0/source', None), ('/var/lib/dkms/single/1.0', None), ('/var/lib/dkms/single', None),
    ('/var/lib/dkms/.journal/00000000000000000001-1', None), ('/var/lib/dkms/.journal', None),
    ('/var/lib/dkms/.lock', None), ('/var/lib/dkms/.lock/build-single-1.0', None), ('/var/lib/dkms/.building', None),
    ('/var/lib/dkms/.building/1-1', None), ('/var/lib/dkms/.recovery.log', None),
    ('/var/lib/dkms/mok.key', None), ('/var/lib/dkms/mok.pub', None), ('/var/lib/dkms', None),
    (f'{HEADERS}/.config', None), (f'{HEADERS}/include/config/auto.conf', None), (f'{HEADERS}/Module.symvers', VERIFY),
    (f'{MODULES}/modules.dep', None), (f'{MODULES}/modules.builtin', None), (f'{MODULES}/modules.symbols', None),
    (f'{MODULES}/updates/dkms/single.ko', VERIFY), (f'{MODULES}/updates', None),
    ('/etc/os-release', None), ('/usr/lib/os-release', None), ('/etc/machine-id', None),
    (f'/boot/config-{K}', None), (f'/boot/vmlinuz-{K}', None), (f'/boot/initrd.img-{K}', None),
    ('/root/good.tar.gz', CHANGE[5]),
]
SPECIAL = {'fifo', 'zero', 'node', 'socket', 'directory', 'sparse'}


def put(kind, path):
    if kind == 'out':
        os.symlink(f'{OUTSIDE}/file', path)
    elif kind == 'dots':
        os.symlink('../' * 20 + OUTSIDE.lstrip('/'), path)
    elif kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'zero':
        os.symlink('/dev/zero', path)
    elif kind == 'random':
        os.symlink('/dev/random', path)
    elif kind == 'node':
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == 'socket':
        with socket.socket(socket.AF_UNIX) as s:
            os.chdir(os.path.dirname(path))
            s.bind(os.path.basename(path))
            os.chdir('/root')
    elif kind == 'directory':
        os.mkdir(path)
    elif kind == 'sparse':
        with open(path, 'w') as f:
            f.truncate(40 << 30)


def clear(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))


def run(words, limit):
    """Exit code (none: it had to be killed), output, and duration."""
    start = time.monotonic()
    with open('/run/said', 'w+', errors='replace') as said:
        child = subprocess.Popen(['dkms', *words.split()], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                 preexec_fn=limits, start_new_session=True)
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0)
        return code, said.read(1 << 20), time.monotonic() - start


def outside():
    return sorted((name, open(os.path.join(OUTSIDE, name)).read() if name == 'file' else '') for name in os.listdir(OUTSIDE))


def snapshot(back=False):
    """Keeps the trees, or puts them back."""
    for n, path in enumerate(['/var/lib/dkms', '/usr/src/single-1.0', '/etc/dkms', f'{MODULES}/updates']):
        kept = f'{KEPT}/{n}'
        if back:
            clear(path)
            subprocess.run(['cp', '-a', kept, path], check=True)
        else:
            subprocess.run(['cp', '-a', path, kept], check=True)


def prepare():
    os.makedirs(OUTSIDE)
    os.makedirs(KEPT)
    with open(f'{OUTSIDE}/file', 'w') as f:
        f.write('precious')
    snapshot()


def main():
    prepare()
    wrong, runs, slowest = [], 0, (0, '')
    kinds = ['out', 'dots', 'fifo', 'zero', 'node', 'socket', 'directory', 'sparse']
    for number, (path, must) in enumerate(TARGETS):
        for place, kind in enumerate(kinds):
            aside = f'{os.path.dirname(path)}/.aside-by-test'
            there = os.path.lexists(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if there:
                os.rename(path, aside)
            put(kind, path)
            # Each command runs with each target and some of the kinds; the one that must fail runs with all.
            some = [c for n, c in enumerate(LOOK) if (n + number + place) % 8 == 0]
            if must and must not in CHANGE:
                some.insert(0, must)
            changing = [c for n, c in enumerate(CHANGE) if (n + number + place) % 6 == 0 or c == must]
            for command in some + changing:
                code, said, seconds = run(command, BUILD_SECONDS if command in CHANGE else SECONDS)
                runs += 1
                slowest = max(slowest, (seconds, f'{kind} at {path}: {command}'))
                what = f'{kind} at {path}: dkms {command}'
                if 'SHOW' in os.environ:
                    print(f'{seconds:5.2f} {code} {what}', flush=True)
                if code is None:
                    wrong.append(f'{what} hangs')
                elif code < 0 or code in (101, 134, 137) or 'panicked' in said:
                    wrong.append(f'{what} dies ({code}): {said[-300:]}')
                elif command == must and kind in SPECIAL and os.path.basename(path) not in said:
                    wrong.append(f'{what} ends with {code} and does not name it: {said[-300:]}')
                if changing and outside() != [('file', 'precious')]:
                    wrong.append(f'{what} changed what a link leads to: {outside()}')
                    clear(OUTSIDE)
                    os.mkdir(OUTSIDE)
                    with open(f'{OUTSIDE}/file', 'w') as f:
                        f.write('precious')
            clear(path)
            if there and os.path.lexists(aside):
                os.rename(aside, path)
            elif os.path.lexists(aside):
                clear(aside)
            if changing:
                snapshot(back=True)
    print(f'{runs} commands; the slowest took {slowest[0]:.1f} s: {slowest[1]}')
    print('\n'.join(wrong), file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
