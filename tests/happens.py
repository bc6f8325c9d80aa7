#!/usr/bin/python3
# happens.py CODE ACTION...: 'dkms ACTION... --json' executes the steps that 'dkms ACTION... --dry-run --json'
# prints, with this exit code, and printing them does not change anything.
import json, os, subprocess, sys

TREES = ["/var/lib/dkms", "/usr/src", "/etc/dkms", "/lib/modules", "/etc/depmod.d"]
HEADERS = ("/usr/src/linux-headers-", "/usr/src/linux-kbuild-")
# Steps, and the events that report their execution.
EVENTS = {"copy-source": "source-copied", "add": "added", "build": "built", "install": "installed",
          "uninstall": "uninstalled", "unbuild": "unbuilt", "remove": "removed", "depmod": "depmod-done",
          "resign": "resigned", "write-archive": "archive-written", "load-archive": "archive-loaded",
          "skip": "skipped", "defer": "deferred", "fail": "failed"}
# Steps that may follow when an archive is loaded; they are known only when it is unpacked.
LATER = {"source-copied", "added", "built", "installed", "depmod-done"}
NAMES = ["package", "version", "kernel", "arch"]

def snapshot():
    found = {}
    pending = list(TREES)
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except FileNotFoundError:
            continue
        for entry in entries:
            # Tens of thousands of files, and no action has any business there.
            if entry.path.startswith(HEADERS):
                continue
            s = entry.stat(follow_symlinks=False)
            link = os.readlink(entry.path) if entry.is_symlink() else None
            found[entry.path] = (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, link)
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
    return found

def transactions():
    return open("/root/transactions").read().count("\n") if os.path.exists("/root/transactions") else 0

def said(text):
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            pass
    return [line for line in lines if isinstance(line, dict) and "event" in line]

def about(thing):
    return tuple(thing.get(name) for name in NAMES)

def is_module(path):
    return os.path.basename(path).split(".ko")[0] + ".ko" in path and path.startswith("/lib/modules/")

code, words = int(sys.argv[1]), sys.argv[2:]
before = snapshot()
dry = subprocess.run(["dkms", *words, "--dry-run", "--json"], stdout=subprocess.PIPE, text=True)
assert dry.returncode == 0, dry
assert snapshot() == before, "printing the plan changed something"
steps = json.loads(dry.stdout)["steps"]
for number, step in enumerate(steps):
    assert step["reason"], step
    assert all(0 <= other < number for other in step["after"]), step
ran = transactions()
done = subprocess.run(["dkms", *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
events = said(done.stdout) + said(done.stderr)
shown = json.dumps({"steps": steps, "events": events}, indent=1) + done.stderr
assert done.returncode == code, (done.returncode, shown)
after = snapshot()

# All printed steps were executed. A single step of its kind may be reported in the result alone.
open_events = [e for e in events if e["event"] in set(EVENTS.values()) | {"key-made"}]
for step in steps:
    kind = step["step"]
    if kind == "make-key":
        assert any(e["event"] == "key-made" for e in events) or step["key"] not in before, shown
        open_events = [e for e in open_events if e["event"] != "key-made"]
    elif kind == "post-transaction":
        assert transactions() == ran + 1, shown
    elif kind in EVENTS:
        same = [e for e in open_events if e["event"] == EVENTS[kind]
                and (kind == "load-archive" or about(e) == about(step))
                and all(e[name] == step[name] for name in ("from", "to", "path") if name in step and name in e)]
        if not same and kind in ("skip", "fail") and len([s for s in steps if s["step"] != "add"]) == 1:
            assert code != 0, shown
            continue
        assert same, (step, shown)
        open_events.remove(same[0])
    elif kind == "nothing":
        assert any(e["event"] in ("nothing", "module-kept") for e in events) or words[0] == "mok", (step, shown)
# All executed steps were printed.
if any(step["step"] == "load-archive" for step in steps):
    open_events = [e for e in open_events if e["event"] not in LATER]
assert not open_events, ("not in the plan", open_events, shown)
if not any(step["step"] in ("post-transaction", "load-archive") for step in steps):
    assert transactions() == ran, shown
# A build that comes from the cache or a registry was announced as a possible hit.
origins = {about(e): e["origin"] for e in events if e["event"] == "built"}
for step in steps:
    if step["step"] == "build" and origins.get(about(step), "built") != "built":
        assert "asked first" in step["reason"] or "; from " in step["reason"], (step, shown)
# No build starts before the builds that it follows are complete.
at = {about(e): n for n, e in enumerate(events) if e["event"] == "built"}
begun = {about(e): n for n, e in enumerate(events) if e["event"] == "build-started"}
for step in steps:
    if step["step"] == "build":
        for other in (steps[n] for n in step["after"]):
            assert about(other) not in at or at[about(other)] < begun[about(step)], shown
# The files that were named have changed; no others have, where all were known.
changing = [step for step in steps if step["step"] in ("install", "uninstall")]
named = {path for step in changing for path in step["files"] if path.startswith("/lib/modules/")}
changed = {path for path in before.keys() | after.keys() if is_module(path) and before.get(path) != after.get(path)}
assert named <= changed, (named - changed, shown)
if all(step["files"] for step in changing) and not any(s["step"] in ("load-archive", "resign") for s in steps):
    assert changed <= named, (changed - named, shown)
if not changing and all(s["step"] in ("nothing", "skip", "fail", "defer") for s in steps):
    strays = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    assert not {p for p in strays if os.path.isfile(p) and not os.path.basename(p).startswith(".") and "/.lock/" not in p}, shown
