# Every action that changes something does what --dry-run says: the same steps, the same files, and nothing else.
#: image
#: kernel 6.12
#: step prepare 0 ours
cat >/root/happens <<'PYTHON'
#!/usr/bin/python3
# happens CODE ACTION...: the steps that 'dkms ACTION... --dry-run --json' prints are what 'dkms ACTION... --json' does, with this
# exit code, and printing them changes nothing.
import json, os, subprocess, sys

TREES = ["/var/lib/dkms", "/usr/src", "/etc/dkms", "/lib/modules", "/etc/depmod.d"]
# Steps, and the events that say that they were done.
EVENTS = {"copy-source": "source-copied", "add": "added", "build": "built", "install": "installed",
          "uninstall": "uninstalled", "unbuild": "unbuilt", "remove": "removed", "depmod": "depmod-done",
          "resign": "resigned", "write-archive": "archive-written", "load-archive": "archive-loaded",
          "skip": "skipped", "defer": "deferred", "fail": "failed"}
# What may follow when an archive is loaded, which is known only when it is unpacked.
LATER = {"source-copied", "added", "built", "installed", "depmod-done"}
NAMES = ["package", "version", "kernel", "arch"]

def snapshot():
    found = {}
    for tree in TREES:
        for folder, folders, files in os.walk(tree):
            for name in folders + files:
                path = os.path.join(folder, name)
                s = os.lstat(path)
                link = os.readlink(path) if os.path.islink(path) else None
                found[path] = (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, link)
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

# What was to be done was done. The only one of its kind may be told in the result alone.
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
# What was done was to be done.
if any(step["step"] == "load-archive" for step in steps):
    open_events = [e for e in open_events if e["event"] not in LATER]
assert not open_events, ("not in the plan", open_events, shown)
if not any(step["step"] in ("post-transaction", "load-archive") for step in steps):
    assert transactions() == ran, shown
# Nothing is built before what it follows is built.
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
PYTHON
chmod +x /root/happens
mkdir -p /etc/dkms/framework.conf.d
echo 'post_transaction="echo ran >>/root/transactions"' >/etc/dkms/framework.conf.d/transaction.conf
fixture single-1.0 ver-1.9 ver-1.10 scripts-1.0 depa-1.0 depb-1.0 exclwhole-1.0 unknowndep-1.0 failmake-1.0 needsfail-1.0
cp -r /e2e/fixtures/multi-1.0 /root/
#: step key-and-add 0 ours
/root/happens 0 generate_mok
/root/happens 0 generate_mok
/root/happens 0 add single/1.0
/root/happens 0 add /root/multi-1.0
/root/happens 0 add scripts/1.0
#: step build 0 ours
/root/happens 0 build single/1.0 -k "$K" -k "$K612"
/root/happens 0 build single/1.0 -k "$K"
/root/happens 0 build single/1.0 -k "$K" --force
/root/happens 77 build exclwhole/1.0 -k "$K"
/root/happens 13 build needsfail/1.0 -k "$K"
/root/happens 21 build single/1.0 -k 5.4.0-none
#: step install 0 ours
/root/happens 0 install single/1.0 -k "$K" -k "$K612"
/root/happens 0 install single/1.0 -k "$K"
/root/happens 0 install single/1.0 -k "$K" --force
/root/happens 0 install ver/1.9 -k "$K"
/root/happens 0 build ver/1.10 -k "$K"
/root/happens 0 install ver/1.10 -k "$K"
/root/happens 0 install multi/1.0 -k "$K"
/root/happens 0 install scripts/1.0 -k "$K"
#: step install-of-what-the-kernel-has 0 ours
dkms uninstall single/1.0 -k "$K"
mkdir -p "/lib/modules/$K/extra"
cp "/var/lib/dkms/single/1.0/$K/$A/module/"single.ko* "/lib/modules/$K/extra/"
/root/happens 0 install single/1.0 -k "$K"
/root/happens 0 install single/1.0 -k "$K" --force
/root/happens 0 uninstall single/1.0 -k "$K"
rm "/lib/modules/$K/extra/"single.ko*
dkms install single/1.0 -k "$K"
#: step install-of-a-directory 0 ours
cp -r /e2e/fixtures/dummy-9.0 /root/
/root/happens 0 install /root/dummy-9.0 -k "$K612"
#: step autoinstall 0 ours
dkms add unknowndep/1.0
dkms add depa/1.0
dkms add depb/1.0
/root/happens 0 autoinstall -k "$K"
/root/happens 0 autoinstall -k "$K"
/root/happens 0 match --templatekernel "$K" -k "$K612"
/root/happens 0 match --templatekernel "$K" -k "$K612"
/root/happens 0 match --templatekernel 5.4.0-none -k "$K612"
touch /etc/dkms/no-autoinstall
/root/happens 0 autoinstall -k "$K612"
rm /etc/dkms/no-autoinstall
#: step rebuild-of-dependents 0 ours
fixture depc-1.0 depa-2.0
dkms install depc/1.0 -k "$K"
/root/happens 0 install depa/2.0 -k "$K"
#: step tarballs-and-packages 0 ours
/root/happens 0 mktarball single/1.0 -k "$K"
/root/happens 0 mktarball single/1.0 --all --archive /root/all.tar.gz
/root/happens 0 mktarball ver/1.9 --source-only --archive /root/ver.tar.gz
/root/happens 0 mkdeb single/1.0 -k "$K"
/root/happens 0 mkdsc single/1.0
/root/happens 0 mkbmdeb single/1.0 -k "$K" -k "$K612"
#: step removal 0 ours
/root/happens 0 uninstall single/1.0 -k "$K"
/root/happens 0 uninstall single/1.0 -k "$K"
/root/happens 0 unbuild single/1.0 -k "$K612"
/root/happens 0 remove single/1.0 -k "$K"
/root/happens 0 remove multi/1.0 --all
/root/happens 0 remove ver/1.9 -k "$K612"
/root/happens 0 ldtarball /root/all.tar.gz
/root/happens 0 remove single/1.0 --all
/root/happens 0 install /root/all.tar.gz -k "$K"
#: step hooks 0 ours
/root/happens 0 kernel_preinst -k "$K"
/root/happens 0 kernel_postinst -k "$K"
/root/happens 0 kernel_prerm -k "$K612"
/root/happens 0 kernel_prerm -k "$K612"
#: step rotate 0 ours
/root/happens 0 mok rotate --force -k "$K"
