#!/usr/bin/python3
"""Many clients of a registry at the same time. Each is a process dkms-registry that pulls a build repeatedly.

    registry-clients.py PROGRAM REGISTRY REPOSITORY PULLS CLIENTS...

For each number of clients: prints how many pulls failed, how many succeeded in a second, and how long the slowest took. A pull
is a lookup and a fetch, as dkms asks for them. The code is 1 if a pull failed.
"""
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PROGRAM, REGISTRY, REPOSITORY, PULLS = sys.argv[1:4] + [int(sys.argv[4])]


class Client:
    """A conversation with a separate program."""

    def __init__(self, folder):
        self.folder = tempfile.mkdtemp(dir=folder)
        self.program = subprocess.Popen([PROGRAM, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.last = 0
        self.send({"protocol": "dkms-registry", "version": 1})
        self.read()

    def send(self, value):
        self.program.stdin.write(json.dumps(value).encode() + b"\n")
        self.program.stdin.flush()

    def read(self):
        return json.loads(self.program.stdout.readline() or b'{"reply":"end"}')

    def ask(self, request, wanted, **fields):
        self.last += 1
        self.send({"request": request, "id": self.last, "repository": REPOSITORY, **fields})
        reply = self.read()
        if reply["reply"] != wanted:
            raise RuntimeError(f"{request}: {reply}")
        return reply

    def pull(self, tag):
        found = self.ask("lookup", "found", sources=[REGISTRY], tag=tag)
        layer = json.loads(found["manifest"])["layers"][0]
        fetched = self.ask("fetch", "fetched", source=REGISTRY, digest=layer["digest"], size=layer["size"])
        path = os.path.join(self.folder, fetched["file"])
        with open(path, "rb") as file:
            if "sha256:" + hashlib.sha256(file.read()).hexdigest() != layer["digest"]:
                raise RuntimeError("other bytes")
        os.unlink(path)


def run(clients, tag):
    """Seconds of each pull, failures, and seconds of all."""
    times, failures = [], []
    start, few = threading.Barrier(clients + 1), threading.Semaphore(4)

    def work(folder):
        client = None
        try:
            # Each stands for a machine with processors of its own: the program runs before all begin. It has no
            # connection yet.
            with few:
                client = Client(folder)
        except (OSError, RuntimeError, ValueError) as error:
            failures.append(error)
        start.wait()
        for _ in range(PULLS if client else 0):
            before = time.monotonic()
            try:
                client.pull(tag)
                times.append(time.monotonic() - before)
            except (OSError, RuntimeError, ValueError) as error:
                failures.append(error)
        if client:
            client.program.stdin.close()
            client.program.wait()

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the programs have users of their own
        threads = [threading.Thread(target=work, args=[folder]) for _ in range(clients)]
        for thread in threads:
            thread.start()
        start.wait()
        begun = time.monotonic()
        for thread in threads:
            thread.join()
        return sorted(times), failures, time.monotonic() - begun


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    address = REGISTRY if "://" in REGISTRY else f"http://{REGISTRY}"
    server, _, prefix = address.partition("://")[2].partition("/")
    name = f"{prefix}/{REPOSITORY}" if prefix else REPOSITORY
    with urllib.request.urlopen(f"http://{server}/v2/{name}/tags/list") as answer:
        tag = min(tag for tag in json.load(answer)["tags"] if tag.startswith("f1-"))
    failed = 0
    for clients in map(int, sys.argv[5:]):
        times, failures, seconds = run(clients, tag)
        at = lambda part: times[min(len(times) - 1, int(len(times) * part))] * 1000 if times else 0
        print(f"{'registry-pulls':16} {clients} clients x {PULLS}: {len(failures)} failed, {len(times) / seconds:.0f} pulls/s, "
              f"median {at(0.5):.0f} ms, p99 {at(0.99):.0f} ms, slowest {at(1):.0f} ms", flush=True)
        for failure in failures[:3]:
            print(f"    {failure}")
        failed += len(failures)
    sys.exit(1 if failed else 0)


main()
