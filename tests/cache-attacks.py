#!/usr/bin/python3
"""Puts something else into an entry of the cache of builds, in every way that a disk or a program can.

Runs in a private root in which single/1.0 is built for $K and is the only entry (tests/scenarios/cache-attacks.sh). The
commands that look neither hang nor use much memory nor follow anything; fsck reports the damage, a repair removes it and
nothing else, and a build does not use it.
"""
import glob
import hashlib
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time

K = os.environ['K']
CACHE = '/var/cache/dkms/v1'
SAVED, OUTSIDE = '/run/saved', '/run/outside'
SECONDS, MEMORY = 20, 400_000  # kilobytes
ENTRY = os.path.dirname(glob.glob(f'{CACHE}/*/*/record.json')[0])
RECORD, MODULE, LOG = (f'{ENTRY}/{name}' for name in ('record.json', 'module/single.ko', 'make.log.zst'))
NOBODY = 65534


def dkms(*words):
    """Code and output of a command that may not take long."""
    start = time.monotonic()
    done = subprocess.run(['dkms', *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, text=True)
    took = time.monotonic() - start
    assert took < SECONDS, f'{words}: {took:.1f} s'
    assert done.returncode in (0, 1) and 'panicked' not in done.stdout, f'{words}: {done.returncode} {done.stdout}'
    return done.returncode, done.stdout


def replace(path, make):
    """Something else instead of a file, which is beside the cache then."""
    shutil.move(path, f'{OUTSIDE}/kept')
    make(path)


def edit_record(change):
    with open(RECORD, encoding='utf-8') as file:
        record = json.load(file)
    change(record)
    with open(RECORD, 'w', encoding='utf-8') as file:
        json.dump(record, file, separators=(',', ':'))


def file_of(record, path):
    return next(file for file in record['files'] if file['path'] == path)


def sparse(path, size=1 << 40):
    with open(path, 'wb') as file:
        file.truncate(size)


def claim_size():
    """A record that belongs to a huge file."""
    sparse(MODULE, 5 << 30)
    edit_record(lambda record: file_of(record, 'module/single.ko').update(size=5 << 30))


def bomb():
    """A log that the record describes, and that unpacks to 4 GiB."""
    header = bytes([0x28, 0xB5, 0x2F, 0xFD, 0, 13 << 3])
    block, last = ((flag | 1 << 1 | (128 << 10) << 3).to_bytes(3, 'little') + b'x' for flag in (0, 1))
    data = header + block * (1 << 15) + last
    with open(LOG, 'wb') as file:
        file.write(data)
    digest = hashlib.sha256(data).hexdigest()
    edit_record(lambda record: file_of(record, 'make.log.zst').update(size=len(data), sha256=digest))


def write(path, data):
    with open(path, 'wb') as file:
        file.write(data)


def outside_path():
    edit_record(lambda record: record['files'][0].update(path='../../../../../run/outside/precious'))


def other_name():
    """The entry under the name of another fingerprint."""
    os.rename(ENTRY, ENTRY[:-4] + 'abcd')


def same_lines(record):
    record['lines'][0] = record['lines'][0] + 'x'


def other_fingerprint(record):
    """A record that is right, but not that of the entry's name."""
    record['lines'] = sorted(record['lines'] + ['zz=1'])
    record['fingerprint'] = hashlib.sha256(''.join(line + '\n' for line in record['lines']).encode()).hexdigest()


# What is done to the entry, what fsck reports, and whether a build runs afterwards too (it must compile).
ATTACKS = {
    'link_as_record': (lambda: replace(RECORD, lambda path: os.symlink(f'{OUTSIDE}/kept', path)), 'symbolic link', False),
    'link_as_module': (lambda: replace(MODULE, lambda path: os.symlink(f'{OUTSIDE}/kept', path)), 'symbolic link', True),
    'link_as_directory': (lambda: replace(f'{ENTRY}/module', lambda path: os.symlink(f'{OUTSIDE}/kept', path)), 'leads out', False),
    'link_as_entry': (lambda: replace(ENTRY, lambda path: os.symlink(f'{OUTSIDE}/kept', path)), 'not part', False),
    'link_above': (lambda: replace(os.path.dirname(ENTRY), lambda path: os.symlink(f'{OUTSIDE}/kept', path)), 'symbolic link', False),
    'fifo': (lambda: replace(MODULE, os.mkfifo), 'not a regular file', True),
    'fifo_as_record': (lambda: replace(RECORD, os.mkfifo), 'not a regular file', False),
    'device': (lambda: replace(MODULE, lambda path: os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 5))), 'not a regular file', False),
    'socket': (lambda: replace(MODULE, lambda path: socket.socket(socket.AF_UNIX).bind(path)), '.', False),
    'directory': (lambda: replace(MODULE, os.mkdir), 'not a regular file', False),
    'hard_link': (lambda: os.link(MODULE, f'{CACHE}/../other'), 'hard link', False),
    'other_owner': (lambda: os.chown(MODULE, NOBODY, NOBODY), 'user', False),
    'other_owner_of_entry': (lambda: os.chown(ENTRY, NOBODY, NOBODY), 'user', False),
    'all_may_write': (lambda: os.chmod(RECORD, 0o666), 'all users', False),
    'torn': (lambda: os.truncate(MODULE, 1000), 'has 1000 bytes', False),
    'empty': (lambda: os.truncate(MODULE, 0), 'has 0 bytes', False),
    'one_byte': (lambda: write(MODULE, open(MODULE, 'rb').read()[:-1] + b'?'), 'differs', False),
    'huge': (lambda: sparse(MODULE), 'bytes and should have', False),
    'huge_record': (lambda: sparse(RECORD), 'bytes', False),
    'huge_with_record': (claim_size, 'its files have', False),
    'no_record': (lambda: os.unlink(RECORD), 'record.json', False),
    'empty_record': (lambda: os.truncate(RECORD, 0), 'record', False),
    'deep_record': (lambda: write(RECORD, b'[' * 60000), 'record', False),
    'other_lines': (lambda: edit_record(same_lines), 'fingerprint', False),
    'other_fingerprint': (lambda: edit_record(other_fingerprint), 'fingerprint', False),
    'other_name': (other_name, 'fingerprint', False),
    'outside_path': (outside_path, '.', False),
    'more_files': (lambda: shutil.copytree('/usr/share/doc/dpkg', f'{ENTRY}/more'), 'which its record does not list', False),
    'bomb': (bomb, '', True),
}


def main():
    os.makedirs(OUTSIDE, exist_ok=True)
    shutil.copytree(CACHE, SAVED)
    write(f'{OUTSIDE}/precious', b'kept')
    for name, (attack, words, builds) in ATTACKS.items():
        before = sorted(glob.glob(f'{CACHE}/*/*'))
        print(name, flush=True)
        attack()
        assert 'single' in dkms('cache', 'show')[1] or name != 'bomb'
        dkms('cache', 'size')
        code, text = dkms('cache', 'why', 'single/1.0', '-k', K)
        assert words == '' or 'is in the cache' not in text or name in ('one_byte', 'more_files'), f'{name}: {text}'
        if words:
            code, text = dkms('fsck')
            about = [line for line in text.splitlines() if CACHE in line]
            assert code == 1 and any(words in line for line in about) or words == '.' and about, f'{name}: {code} {text}'
        if builds:
            subprocess.run(['dkms', 'unbuild', 'single/1.0', '-k', K], stdout=subprocess.DEVNULL, check=True)
            code, text = dkms('build', 'single/1.0', '-k', K)
            assert code == 0 and 'damaged entry, which is dropped' in text and 'Built single/1.0' in text, f'{name}: {text}'
        else:
            code, text = dkms('fsck', '--repair')
        code, text = dkms('fsck')
        assert code == 0, f'{name}: after the repair: {text}'
        if not builds:
            assert sorted(glob.glob(f'{CACHE}/*/*')) != before or name == 'link_above', f'{name}: it is still there'
        with open(f'{OUTSIDE}/precious', 'rb') as file:
            assert file.read() == b'kept'
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        assert most < MEMORY, f'{name}: {most} kB'
        shutil.rmtree(CACHE)
        shutil.copytree(SAVED, CACHE)
        for path in glob.glob(f'{OUTSIDE}/kept') + glob.glob(f'{CACHE}/../other'):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    # A repair, and a hit on the restored entry.
    subprocess.run(['dkms', 'unbuild', 'single/1.0', '-k', K], stdout=subprocess.DEVNULL, check=True)
    assert 'from the cache' in dkms('build', 'single/1.0', '-k', K)[1]
    # Clearing does not follow links either.
    os.symlink(OUTSIDE, f'{CACHE}/aa')
    os.symlink(OUTSIDE, f'{ENTRY}/out')
    dkms('cache', 'clear')
    assert os.path.exists(f'{OUTSIDE}/precious') and not os.path.exists(ENTRY)
    return 0


sys.exit(main())
