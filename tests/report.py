"""Tests `dkms report`: the page about a machine, the page about a fleet, metrics, and `status` for people.

    python3 tests/report.py CASE           with dkms in DKMS_BIN; pages are opened in Chromium, if that is installed

The case `machine` builds in a private root (in-root.sh). `DKMS_KEEP=DIRECTORY` keeps the pages there.
"""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import browser  # noqa: E402

DKMS = os.environ.get("DKMS_BIN", "target/release/dkms")
HOSTILE = "<script>alert(1)</script>\"'&amp;\u202e\u0007<img src=x onerror=alert(2)>"
LIMIT = 5 << 20


def check(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")


def run(*words, code=0, **more):
    """Runs dkms on an empty tree, and returns its standard output."""
    done = subprocess.run([DKMS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **more)
    check(done.returncode == code, f"dkms {' '.join(words)}: exit status {done.returncode}: {done.stderr}")
    return done.stdout


def keep(path):
    if directory := os.environ.get("DKMS_KEEP"):
        os.makedirs(directory, exist_ok=True)
        shutil.copy(path, directory)


def inspect(path, look=None):
    """Opens a page in Chromium and checks what holds for every page; `look` checks more."""
    keep(path)
    text = open(path, encoding="utf-8").read()
    check(not re.search(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), f"{path}: control characters")
    check("<img" not in text and "<script>alert" not in text, f"{path}: a name became HTML")
    if reason := browser.missing():
        print(f"skipped: {reason}")
        return
    with browser.Browser() as page:
        page.open(path)
        problems = page.problems()
        check(not problems, f"{path}: {problems}")
        headings = [name for role, name in page.accessible() if role == "heading"]
        check(len(headings) > 1 and all(headings), f"{path}: headings without names: {headings}")
        check(len(page.pdf()) > 1000, f"{path}: it cannot be printed")
        if look:
            look(page)
        check(not page.log(), f"{path}: messages in the console")


# ---- one machine -------------------------------------------------------------------------------------------

INSIDE = r"""
exec 3>&1 1>&2
set -eu
dkms() { "$DKMS_BIN" "$@"; }
mkdir -p "/lib/modules/$K/kernel"
cp -r /e2e/fixtures/{single-1.0,depa-1.0,failmake-1.0,unknowndep-1.0} /usr/src/
for name in single depa failmake unknowndep; do dkms add "$name/1.0"; done
dkms autoinstall -k "$K" && exit 1 || [ $? = 11 ]
dkms unbuild single/1.0 -k "$K"
dkms install single/1.0 -k "$K"
mkdir -p /dkms-out
cd /dkms-out
before=$(find /var/lib/dkms /lib/modules -printf '%p %T@ %i\n' | sort | sha256sum)
dkms report --json machine.json
dkms report machine.html --metrics machine.prom
dkms report > stdout.html
dkms report - --json > stdout.json
setpriv --reuid 12345 --regid 12345 --clear-groups "$DKMS_BIN" report --json - > user.json
dkms report --metrics - > stdout.prom
dkms status --table > table
dkms status > lines
[ "$before" = "$(find /var/lib/dkms /lib/modules -printf '%p %T@ %i\n' | sort | sha256sum)" ]
for special in /dev/null /dkms-out; do
    dkms report "$special" && exit 1 || [ $? = 1 ]
    [ ! -f "$special" ]
done
ln -s /dkms-out/target link.html
echo kept > target
dkms report link.html
[ "$(cat target)" = kept ] && [ ! -L link.html ]
tar c -C /dkms-out . >&3
"""


def machine():
    """Builds for one kernel: one failure, one deferred, one from the cache."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run([os.path.join(HERE, "in-root.sh"), "headers-6.1", "bash", "-c", INSIDE],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        check(done.returncode == 0, f"in the private root: {done.stderr.decode(errors='replace')[-3000:]}")
        archive = os.path.join(directory, "out.tar")
        with open(archive, "wb") as file:
            file.write(done.stdout)
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
        at = lambda name: os.path.join(directory, name)  # noqa: E731
        read = lambda name: open(at(name), encoding="utf-8").read()  # noqa: E731
        report = json.loads(read("machine.json"))
        check_machine(report)
        for name in ("stdout.json", "user.json"):
            other = json.loads(read(name))
            check(states(other) == states(report), f"{name} has other builds")
        check(not json.loads(read("user.json"))["as_root"], "a user is not root")
        check("<h1>" in read("stdout.html"), "the page is on standard output")
        check(os.stat(at("machine.prom")).st_mode & 0o777 == 0o644, "node_exporter can read the metrics")
        check_metrics(read("machine.prom"), report)
        check(read("table").splitlines()[0].split() == ["PACKAGE", report["kernels"][0]["kernel"]], "the table's head")
        check(re.search(r"^failmake/1.0 +failed$", read("table"), re.M), "the failure is in the table")
        check("\x1b" not in read("lines") and "single/1.0, " in read("lines"), "lines in a pipe are plain")

        def look(page):
            text = page.run("return document.body.innerText")
            check("NO_SUCH_THING" in text and "needs nobodyknows" in text, "the page has the causes")
            check("dkms install failmake/1.0 -k" in text, "the page has the commands")
        inspect(at("machine.html"), look)


def states(report):
    return [(b["package"], b["state"], b["origin"]) for b in report["builds"]]


def check_machine(report):
    kernel = report["kernels"][0]
    check(report["schema"] == 1 and report["report"] == "machine" and report["as_root"], "the head of the document")
    check(kernel["present"] and kernel["ready"] == "no" and kernel["headers"], f"the kernel: {kernel}")
    found = {name: (state, origin) for name, state, origin in states(report)}
    wanted = {"single": ("installed", "cache"), "depa": ("installed", "built"), "failmake": ("failed", None),
              "unknowndep": ("added", None)}
    check(found == wanted, f"the builds: {found}")
    modules = [module for build in report["builds"] for module in build["modules"]]
    check(len(modules) == 2 and all(m["signer"] and m["verdict"] for m in modules), f"the modules: {modules}")
    problems = {p["package"]: p for p in report["problems"]}
    failure = problems["failmake"]
    check(failure["cause"] == "build" and failure["fix"][0].startswith("less /var/lib/dkms/failmake/"), f"{failure}")
    check(any("NO_SUCH_THING" in text for text in failure["help"]), f"the first error: {failure}")
    check(problems["unknowndep"]["cause"] == "dependency", f"{problems['unknowndep']}")
    check(report["key"]["state"] == "there" and report["key"]["not_after"] > report["generated"], f"{report['key']}")
    disk = report["disk"]
    check(all(disk[key] > 1000 for key in ("tree", "sources", "cache", "installed", "free")), f"{disk}")


def check_metrics(text, report):
    kernel = report["kernels"][0]["kernel"]
    about = f'package="{{}}",version="1.0",kernel="{kernel}",arch="x86_64"'
    for line in [f'dkms_kernel_ready{{kernel="{kernel}",arch="x86_64"}} 0',
                 f'dkms_build_failed{{{about.format("failmake")}}} 1',
                 f'dkms_module_installed{{{about.format("single")}}} 1',
                 f'dkms_pending_modules{{kernel="{kernel}",arch="x86_64",waits_for="dependency"}} 1',
                 'dkms_builds{origin="cache"} 1', 'dkms_builds{origin="built"} 1']:
        check(line in text.splitlines(), f"{line} is not among the metrics:\n{text}")
    check(re.search(r'dkms_build_duration_seconds\{.*origin="cache"\} \d', text), "the duration of a cache hit")
    if not (promtool := find_promtool()):
        print("skipped: there is no promtool (tests/fetch.sh; Debian: prometheus)")
        return
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    check(done.returncode == 0 and not done.stderr + done.stdout, f"promtool: {done.stdout}{done.stderr}")
    check_dashboard(promtool)


def find_promtool():
    """The program that fetch.sh has downloaded, or an installed one."""
    build = os.environ.get("DKMS_TEST_BUILD") or os.path.join(HERE, "..", "build")
    fetched = os.path.join(build, "layers", "promtool", "promtool")
    return fetched if os.access(fetched, os.X_OK) else shutil.which("promtool")


def check_dashboard(promtool):
    """The queries of the dashboard, as rules, are PromQL."""
    path = os.path.join(HERE, "..", "docs", "grafana-dashboard.json")
    panels = json.load(open(path, encoding="utf-8"))["panels"]
    queries = [target["expr"].replace("$instance", ".*") for panel in panels for target in panel["targets"]]
    rules = [{"record": f"x:q{n}", "expr": query} for n, query in enumerate(queries)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "x", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True)
        check(done.returncode == 0, f"promtool: {done.stdout}{done.stderr}")


# ---- a fleet -----------------------------------------------------------------------------------------------

PACKAGES = [("acpi-call", "1.2.2"), ("bbswitch", "0.8"), ("ddcci", "0.4.2"), ("digimend", "11"), ("evdi", "1.12.0"),
            ("nvidia-current", "525.147"), ("openrazer-driver", "3.5.1"), ("tp_smapi", "0.43"), ("v4l2loopback", "0.12.7"),
            ("vpoll", "0.1"), ("wireguard", "1.0"), ("zfs", "2.1.11")]


def generated(number, now):
    """The document of a machine with twelve packages for three kernels; every eighth is not ready."""
    kernels = [f"6.1.0-{20 + number % 3 + n}-amd64" for n in range(3)]
    newest, bad = kernels[-1], number % 8 == 0
    package, version = PACKAGES[number // 8 % 3]
    builds = []
    for kernel in kernels:
        for name, of in PACKAGES:
            failed = bad and kernel == newest and name == package
            builds.append({"package": name, "version": of, "kernel": kernel, "arch": "x86_64",
                           "state": "failed" if failed else "installed", "verdict": None if failed else "loads",
                           "origin": "built", "failed_log": "/log" if failed else None, "modules": [
                               {"module": name, "path": f"/lib/modules/{kernel}/updates/dkms/{name}.ko",
                                "verdict": "loads", "reasons": [], "signer": "DKMS module signing key"}]})
    problems = [{"severity": "error", "cause": "build", "package": package, "version": version, "kernel": newest,
                 "what": f"did not build for {newest}", "fix": [f"dkms install {package}/{version} -k {newest}"],
                 "help": ["error: too few arguments"]}] if bad else []
    return {"schema": 1, "report": "machine", "dkms": "4.0.0", "generated": now - number % 5 * 86400, "as_root": True,
            "host": f"machine-{number:04}", "distribution": "debian", "running": kernels[1], "arch": "x86_64",
            "kernels": [{"kernel": k, "arch": "x86_64", "running": k == kernels[1], "newest": k == newest, "present": True,
                         "headers": True, "ready": "no" if bad and k == newest else "yes", "checks": [],
                         "policy": None} for k in kernels],
            "builds": builds, "pending": [], "problems": problems}


def hostile_files(directory):
    """Files that no machine has written: file name, and the page's text about it."""
    at = lambda name: os.path.join(directory, name)  # noqa: E731
    write = lambda name, text: open(at(name), "w", encoding="utf-8").write(text)  # noqa: E731
    os.mkfifo(at("fifo.json"))
    os.symlink("/etc/shadow", at("link.json"))
    os.symlink("fifo.json", at("link-to-fifo.json"))
    os.mkdir(at("directory.json"))
    with open(at("huge.json"), "wb") as file:
        file.truncate(40 << 30)
    write("cut.json", json.dumps(generated(1, int(time.time())))[:-100])
    write("text.json", "root:x:0:0:secret\n")
    write("other.json", "{\"a\": 1}")
    write("newer.json", json.dumps({"schema": 2, "report": "machine"}))
    write("deep.json", "[" * 1_000_000)
    write("list.json", "{\"schema\":1,\"report\":\"machine\",\"builds\":[" + "{}," * 2_000_000 + "{}]}")
    write("types.json", "{\"schema\":1,\"report\":\"machine\",\"kernels\":\"secret\"}")
    write(".unfinished.json", "not read")
    write(f"{HOSTILE.replace('/', '')}.json", "{")
    return {"fifo.json": "named pipe", "link.json": "symbolic link", "link-to-fifo.json": "symbolic link",
            "directory.json": "directory", "huge.json": "larger than", "cut.json": "ends too early",
            "text.json": "not JSON", "other.json": "not the output", "newer.json": "newer dkms", "deep.json": "a type",
            "list.json": "a type or a size", "types.json": "a type or a size"}


def hostile_machine():
    document = generated(3, int(time.time()))
    document["host"] = document["distribution"] = document["running"] = HOSTILE
    document["kernels"][0]["kernel"] = HOSTILE
    document["builds"][0].update(package=HOSTILE, version=HOSTILE, kernel=HOSTILE)
    document["builds"].append({"package": "long" * 100_000, "version": "1", "kernel": "6" * 100_000, "state": "s" * 9999})
    document["problems"] = [{"severity": HOSTILE, "cause": HOSTILE, "package": HOSTILE, "kernel": HOSTILE, "what": HOSTILE,
                             "fix": [HOSTILE] * 100}] * 50
    return document


def fleet():
    """A thousand machines in time and size; fewer, with hostile files among them, in Chromium."""
    many_machines(int(os.environ.get("FLEET_MACHINES", "1000")))
    machines = 48
    with tempfile.TemporaryDirectory() as directory:
        files = write_fleet(directory, machines)
        reasons = hostile_files(files)
        with open(os.path.join(files, "hostile-machine.json"), "w", encoding="utf-8") as file:
            json.dump(hostile_machine(), file)
        for word in ("status", "ready"):
            with open(os.path.join(files, f"this-{word}.json"), "w", encoding="utf-8") as file:
                subprocess.run([DKMS, word, "--json"], stdout=file, stderr=subprocess.DEVNULL, check=False)
        page = os.path.join(directory, "fleet.html")
        make_fleet(files, page)
        text = open(page, encoding="utf-8").read()
        for name, why in reasons.items():
            check(re.search(rf"<li>{re.escape(name)} could not be read: [^<]*{why}", text), f"{name}: {why}")
        check("secret" not in text and ".unfinished" not in text, "contents of files are not quoted")
        check(run("report", "--fleet", os.path.join(directory, "no"), "-", code=1) == "", "no directory is an error")
        inspect(page, lambda shown: look_at_fleet(shown, machines))


def many_machines(machines):
    """Real documents may be given on the command line."""
    with tempfile.TemporaryDirectory() as directory:
        files = write_fleet(directory, machines)
        for extra in sys.argv[2:]:
            shutil.copy(extra, files)
        page = os.path.join(directory, "many.html")
        seconds = make_fleet(files, page)
        size = os.path.getsize(page)
        print(f"{machines} machines: {seconds:.2f} s, {size / (1 << 20):.2f} MiB")
        check(size < LIMIT, f"the page has {size} bytes")
        check("release" not in DKMS or seconds < 2, f"it took {seconds} s")
        keep(page)


def write_fleet(directory, machines):
    files = os.path.join(directory, "fleet")
    os.mkdir(files)
    now = int(time.time())
    for number in range(machines):
        with open(os.path.join(files, f"machine-{number:04}.json"), "w", encoding="utf-8") as file:
            json.dump(generated(number, now), file)
    return files


def make_fleet(files, page):
    """Writes the page with little memory: the huge file alone would need more. Returns the seconds it took."""
    start = time.monotonic()
    limited = ["bash", "-c", 'ulimit -v 1500000; exec "$0" "$@"', DKMS, "report", "--fleet", files, page]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, f"dkms report --fleet: {done.stderr}")
    return time.monotonic() - start


def look_at_fleet(page, machines):
    bad = len(range(0, machines, 8))
    shown = lambda: page.run("return document.getElementById('shown').textContent")  # noqa: E731
    check(shown().split()[0] == shown().split()[2], f"without a filter, all are shown: {shown()}")
    filtered = "document.getElementById('words').value = arguments[0];" \
               "document.getElementById('words').dispatchEvent(new Event('input'));"
    page.run(filtered, "machine-0008")
    check(shown().startswith("1 of "), f"a filter by name: {shown()}")
    # A link to a machine that is hidden shows it.
    page.run("location.hash = document.querySelector('section.problem a').hash")
    check(browser.wait_until(lambda: shown().split()[0] == shown().split()[2]), f"a link to a hidden row: {shown()}")
    page.run("document.getElementById('state').value = 'no';"
             "document.getElementById('state').dispatchEvent(new Event('change'));")
    check(int(shown().split()[0]) >= bad, f"a filter by state: {shown()}")
    groups = page.run("return [...document.querySelectorAll('section.problem h3')].map((e) => e.textContent)")
    check(any("machines" in text and "failed build, " in text for text in groups), f"grouped by cause: {groups[:5]}")


# ---- a terminal --------------------------------------------------------------------------------------------

def on_terminal(words, directory, **environment):
    """The output of dkms on a terminal with 40 columns."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(directory)
        os.environ.pop("NO_COLOR", None)
        os.environ.update({"TERM": "xterm", **environment})
        subprocess.run(["stty", "cols", "40"], check=False)
        os.execv(os.path.abspath(DKMS), [DKMS, *words])
    text = b""
    while select.select([fd], [], [], 60)[0]:
        try:
            new = os.read(fd, 65536)
        except OSError:
            break
        if not new:
            break
        text += new
    os.waitpid(pid, 0)
    os.close(fd)
    return text.decode(errors="replace").replace("\r\n", "\n")


def terminal():
    """Colours, NO_COLOR, TERM=dumb, the table and the default file."""
    global DKMS
    DKMS = os.path.abspath(DKMS)
    with tempfile.TemporaryDirectory() as directory:
        at = lambda *parts: os.path.join(directory, *parts)  # noqa: E731
        for name in ("one", "two"):
            os.makedirs(at("tree", name, "1.0"))
        os.makedirs(at("src"))
        os.makedirs(at("modules", "6.1.0-1-amd64", "kernel"))
        os.makedirs(at("modules", "6.12.100+something-long-amd64", "kernel"))
        os.symlink(at("src"), at("tree", "one", "1.0", "source"))
        trees = ["--dkmstree", at("tree"), "--sourcetree", at("src"), "--installtree", at("modules")]
        plain = run("status", *trees)
        check(plain == "one/1.0: added\ntwo/1.0: broken\n", f"in a pipe: {plain!r}")
        colours = on_terminal(["status", *trees], directory)
        check("two/1.0: \x1b[31mbroken\x1b[0m" in colours, f"with colours: {colours!r}")
        for name, value in [("NO_COLOR", "1"), ("TERM", "dumb")]:
            text = on_terminal(["status", *trees], directory, **{name: value})
            check("\x1b" not in text and "two/1.0: broken\n" in text, f"{name}={value}: {text!r}")
        table = run("status", "--table", *trees).splitlines()
        check(table[0].split() == ["PACKAGE", "6.1.0-1-amd64", "6.12.100+something-long-amd64"], f"{table}")
        narrow = on_terminal(["status", "--table", *trees], directory, NO_COLOR="1")
        check("one/1.0\n  6.1.0-1-amd64: -\n" in narrow, f"in 40 columns: {narrow!r}")
        run("status", "--table", "--json", *trees, code=2)
        written = on_terminal(["report", *trees], directory)
        check(f"Wrote {at('dkms-report.html')}" in written.replace("\n", ""), f"on a terminal: {written!r}")
        check("two/1.0" in open(at("dkms-report.html"), encoding="utf-8").read(), "the page is there")


if __name__ == "__main__":
    {"machine": machine, "fleet": fleet, "terminal": terminal}[sys.argv[1]]()
    print("passed")
