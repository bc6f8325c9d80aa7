"""Inside the private root of upgrade::CASE (checks.toml): real upgrades, as --timings and `dkms report` show them.

    python3 /e2e/upgrade.py CASE

pages: twelve packages of Debian are installed for two kernels by one command. For the older kernel, one of them is in the
cache, one in a registry on loopback, one does not compile, and one waits for a
package that dkms does not know yet. fleet: ten machines with some of these
packages each. `DKMS_KEEP=DIRECTORY` keeps the pages and their pictures.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402
import history  # noqa: E402

K, K612 = os.environ["K"], os.environ["K612"]
FAILS, WAITS, CACHED, PULLED = "librem_ec_acpi", "xtrx", "bbswitch", "vpoll"
REGISTRY = "127.0.0.1:5000/dkms"


def check(what, condition, shown=""):
    if not condition:
        sys.exit(f"{what}: {shown}")


def dkms(*words, codes=(0,)):
    done = subprocess.run(["dkms", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    check(f"dkms {' '.join(words)}: code {done.returncode}", done.returncode in codes, done.stdout + done.stderr)
    return done.stdout + done.stderr


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def add_packages():
    """Adds the packages in /usr/src; returns name/version of each, by name."""
    names = {}
    for conf in sorted(glob.glob("/usr/src/*/dkms.conf")):
        dkms("add", os.path.dirname(conf))
    for line in dkms("status").splitlines():
        package = re.split(r"[,:]", line)[0]
        names[package.split("/")[0]] = package
    check("twelve packages", len(names) == 12, names)
    return names


def serve_registry():
    """Starts Debian's docker-registry, which ends with this root, and makes it the machine's."""
    shutil.copy("/run/in/dkms-registry", "/usr/libexec/")
    os.makedirs("/run/storage")
    browser.raise_loopback()
    write("/run/registry.yml", "version: 0.1\nstorage: {filesystem: {rootdirectory: /run/storage}}\nlog: {level: error}\n"
                               "http: {addr: '127.0.0.1:5000'}\n")
    with open("/run/registry.log", "wb") as log:
        subprocess.Popen(["docker-registry", "serve", "/run/registry.yml"], stdout=log, stderr=log)
    browser.wait_until(lambda: not subprocess.run(["bash", "-c", ": </dev/tcp/127.0.0.1/5000"], stderr=subprocess.DEVNULL,
                                                  check=False).returncode)
    write("/etc/dkms/framework.conf.d/registry.conf", f"registry=http://{REGISTRY}\n")
    dkms("registry-key", "generate")
    os.makedirs("/etc/dkms/registry.d", exist_ok=True)
    shutil.copy("/etc/dkms/registry.pub", "/etc/dkms/registry.d/")


def prepare():
    """An earlier upgrade, and the content of the cache, the registry and the administrator's files."""
    packages = add_packages()
    write(f"/etc/dkms/{WAITS}.conf", 'BUILD_DEPENDS="xtrx-firmware"\n')
    serve_registry()
    dkms("generate_mok")
    for kernel in (K, K612):
        os.makedirs(f"/lib/modules/{kernel}/kernel", exist_ok=True)
    for name in ("order", "builtin", "builtin.modinfo", "dep"):
        write(f"/lib/modules/{K612}/modules.{name}", "")
    dkms("autoinstall", "-k", K, codes=(0, 11))
    dkms("push", packages[PULLED], "-k", K)
    for name, package in packages.items():
        if name != CACHED:
            dkms("cache", "clear", package, "-k", K)
    history.make()
    return packages


def upgrade(packages):
    """The command, and its events."""
    started = time.monotonic()
    output = dkms("autoinstall", "--all-kernels", "--timings=/root/timings.html", "--json", codes=(11,))
    print(f"{time.monotonic() - started:.0f} s for the autoinstall")
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    names = lambda what, kernel: {e["package"] for e in events if e["event"] == what and e["kernel"] == kernel}  # noqa: E731
    origins = {e["package"]: e["origin"].split(" ")[0] for e in events if e["event"] == "built" and e["kernel"] == K}
    check("the failure", names("failed", K) == {FAILS}, output)
    check("the deferred package", WAITS in names("deferred", K), output)
    others = set(packages) - {FAILS, WAITS, CACHED, PULLED}
    wanted = {**dict.fromkeys(others, "built"), CACHED: "cache", PULLED: "registry"}
    check("the origins", origins == wanted, origins)
    check("the other kernel", names("built", K612) and FAILS in names("failed", K612), output)
    return len(names("failed", K612)) + 1


def keep(page, name):
    """Pictures of the page that is open, for people."""
    directory = os.environ.get("DKMS_KEEP")
    if not directory:
        return
    shutil.copy(f"/root/{name}.html", directory)
    for columns in (1280, 360):
        for dark in (False, True):
            page.width(columns)
            page.media(dark=dark)
            page.screenshot(f"{directory}/{name}-{columns}-{'dark' if dark else 'light'}.png", full=True)
    page.media("print")
    page.width(800)
    page.screenshot(f"{directory}/{name}-print.png", full=True)
    page.media()


def open_page(chromium, name):
    chromium.open(f"/root/{name}.html")
    problems = chromium.problems()
    check(f"{name}.html", not problems, "\n".join(problems))
    chromium.width(1280)
    return chromium.run("return document.body.innerText")


def look_at_timings(chromium, failures):
    """Reports what took long, what failed and why, and what to do."""
    shown = open_page(chromium, "timings")
    count = "return [...document.querySelectorAll('.badge')].map((b) => b.textContent)"
    badges = chromium.run(count)
    found = {word: badges.count(word) for word in ("failed", "from the cache", "from a registry")}
    check("the badges", found == {"failed": failures, "from the cache": 1, "from a registry": 1}, found)
    check("deferred", "deferred" in badges and re.search(rf"Not built\n.*{WAITS}/\S+ .*: deferred: ", shown, re.S), shown)
    check("the first real error", re.search(r"\n\w+\.c:\d+:\d+: error: ", shown), shown)
    check("what to do", "of the command, and the end of the command waited for it" in shown, shown)
    check("both kernels", all(kernel in shown for kernel in (K, K612)))
    bars = chromium.run("return [...document.querySelectorAll('.timeline a')].map((a) => a.textContent)")
    check("the bars", len(bars) >= 20, bars)
    keep(chromium, "timings")


def look_at_report(chromium):
    shown = open_page(chromium, "report")
    cells = chromium.run("return [...document.querySelectorAll('.matrix td')].map((td) => td.innerText)")
    for word in ("installed cache", "installed registry", "failed", "waits: dependency"):
        check("the table", word in cells, cells)
    check("the cause", "error: " in shown and f"dkms install {FAILS}/" in shown, shown)
    keep(chromium, "report")


def pages():
    """The command, and both pages in Chromium."""
    browser.require()
    failures = upgrade(prepare())
    dkms("report", "/root/report.html")
    with browser.Browser() as chromium:
        look_at_timings(chromium, failures)
        look_at_report(chromium)


def fleet():
    """Ten machines with other packages each, which take each other's builds, among 990 that are generated."""
    browser.require()
    os.environ["DKMS_BIN"] = "/usr/sbin/dkms"
    import report  # pylint: disable=import-outside-toplevel
    files = "/root/fleet"
    os.makedirs(files)
    sources = sorted(os.path.dirname(conf) for conf in glob.glob("/usr/src/*/dkms.conf"))
    for number in range(10):
        real_machine(number, [source for n, source in enumerate(sources) if (n + number) % 3], files)
    for number in range(990):
        write(f"{files}/machine-{number:04}.json", json.dumps(report.generated(number, int(time.time()))))
    started = time.monotonic()
    dkms("report", "--fleet", files, "/root/fleet.html")
    size = os.path.getsize("/root/fleet.html")
    print(f"1,000 machines: {time.monotonic() - started:.2f} s, {size / (1 << 20):.2f} MiB")
    check("its size", size < 5 << 20, size)
    with browser.Browser() as chromium:
        shown = open_page(chromium, "fleet")
        check("a thousand machines", "dkms on 1000 machines" in shown, shown[:200])
        check("the real ones", all(f"real-{number}" in shown for number in range(10)))
        check("none is unreadable", "Could not be read" not in shown)
        check("their failure", re.search(rf"{FAILS}/\S+.*: 10 machines|{FAILS}/\S+.*: \d machines", shown), shown[:4000])
        keep(chromium, "fleet")


def real_machine(number, sources, files):
    """A machine with a separate host name and trees. All machines share the cache."""
    home = f"/srv/real-{number}"
    for name in ("tree", "modules"):
        os.makedirs(f"{home}/{name}")
    for kernel in (K, K612):
        os.makedirs(f"{home}/modules/{kernel}/kernel")
        os.symlink(os.path.realpath(f"/lib/modules/{kernel}/build"), f"{home}/modules/{kernel}/build")
    script = f"""
        set -eu
        hostname real-{number}
        mount --bind {home}/tree /var/lib/dkms
        mount --bind {home}/modules /usr/lib/modules
        for source in {' '.join(sources)}; do dkms add "$source"; done
        dkms autoinstall -k "$K" || [ $? = 11 ]
        [ {number % 3} = 0 ] || dkms autoinstall -k "$K612" || [ $? = 11 ]
        dkms report --json {files}/real-{number}.json"""
    done = subprocess.run(["unshare", "--mount", "--uts", "bash", "-c", script], capture_output=True, text=True, check=False)
    check(f"machine {number}", done.returncode == 0, done.stdout + done.stderr)


{"pages": pages, "fleet": fleet}[sys.argv[1]]()
print("passed")
