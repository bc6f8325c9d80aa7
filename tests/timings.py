"""The pages of `dkms --timings`, in Chromium and on disk (checks.toml: timings)."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import browser

TREE, KEPT = "/var/lib/dkms", "/var/lib/dkms/.timings"
# Text that tries to be more than text: in an error of the compiler, which shows the line of the source.
HOSTILE = "</pre></script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u202e&amp;"


def fixture(name):
    target = f"/usr/src/{name}"
    shutil.copytree(f"/e2e/fixtures/{name}", target)
    return target


def dkms(*words, code=0, **environment):
    done = subprocess.run(["dkms", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    if done.returncode != code:
        sys.exit(f"dkms {' '.join(words)}: code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def kept():
    """The names of the pages, oldest first."""
    age = lambda name: os.stat(f"{KEPT}/{name}").st_mtime_ns  # noqa: E731
    return sorted(os.listdir(KEPT), key=age) if os.path.isdir(KEPT) else []


def check(what, condition, shown=""):
    if not condition:
        sys.exit(f"{what}: {shown}")


def in_the_browser():
    """A run with a dependency, a failure and a hostile log; then one from the cache."""
    browser.require()
    for name in ("depa-1.0", "depb-1.0", "single-1.0"):
        dkms("add", fixture(name))
    source = f"{fixture('failmake-1.0')}/failmake.c"
    with open(source, encoding="utf-8") as file:
        text = file.read()
    with open(source, "w", encoding="utf-8") as file:
        file.write(text.replace("return NO_SUCH_THING;", f'return NO_SUCH_THING + *"{HOSTILE}";'))
    dkms("add", "/usr/src/failmake-1.0")
    page = "/root/first.html"
    output = dkms("autoinstall", "-k", os.environ["K"], "-j2", f"--timings={page}", code=11)
    check("the file is named", f"Wrote {page}" in output, output)
    with browser.Browser() as chromium:
        chromium.open(page)
        problems = chromium.problems()
        check("problems", not problems, "\n".join(problems))
        check("title", chromium.run("return document.title") == "dkms autoinstall: timings")
        scripts = chromium.run("return [document.scripts.length, document.images.length]")
        check("one script, no image", scripts == [1, 0], scripts)
        failure = chromium.run("return document.querySelector('.failure').innerText")
        check("the first real error", "NO_SUCH_THING" in failure, failure)
        everything = chromium.run("return document.body.textContent")
        check("what is hostile is text", "<script>document.title='owned'</script>" in everything, failure)
        check("no mark of direction", "\u202e" not in everything)
        check("the dependency", re.search(r"Waited [\d.]+ m?s for depa/1\.0", everything), everything)
        check("the objects", "Object files compiled: 2" in everything, everything)
        # A click on a bar shows the build, and its log.
        chromium.width(1280)
        number = chromium.run("""
            const link = [...document.querySelectorAll('.timeline a')].find(a => a.textContent.startsWith('single/1.0'));
            link.dispatchEvent(new MouseEvent('click', { bubbles: true }));
            location.hash = link.getAttribute('href');
            return link.getAttribute('href').slice(1);""")
        opened = browser.wait_until(lambda: chromium.run(
            "const d = document.getElementById(arguments[0]); return d.open && d.querySelector('pre').textContent", number))
        check("its log", opened and "CC [M]" in opened and "make.log for single/1.0" in opened, opened)
        shown = chromium.run("""
            for (const id of ['failed', 'longest']) document.getElementById(id).click();
            return [...document.querySelectorAll('.build')].filter(b => !b.hidden).map(b => b.querySelector('.name').textContent);""")
        check("only failures", len(shown) == 1 and shown[0].startswith("failmake/1.0"), shown)
        names = [name for role, name in chromium.accessible() if role == "image"]
        check("the timeline has a name", any(name.startswith("Timeline: 4 builds") for name in names), names)
        check("it can be printed", len(chromium.pdf()) > 10_000)
        check("the console", not (lines := chromium.log()), lines)
        # The same modules once more: from the cache.
        dkms("unbuild", "single/1.0", "-k", os.environ["K"])
        again = "/root/second.html"
        dkms("install", "single/1.0", "-k", os.environ["K"], f"--timings={again}")
        chromium.open(again)
        problems = chromium.problems()
        check("problems of the second page", not problems, "\n".join(problems))
        badges = chromium.run("return [...document.querySelectorAll('.badge')].map(b => b.textContent)")
        check("from the cache", badges == ["from the cache"], badges)


def on_disk():
    """Which pages are kept and where; a problem with them never fails a command, and no link is followed."""
    kernel = ["-k", os.environ["K"]]

    def build(*options, **environment):
        dkms("unbuild", "single/1.0", *kernel)
        return dkms("build", "single/1.0", *kernel, *options, **environment)

    dkms("add", fixture("single-1.0"))
    dkms("build", "single/1.0", *kernel)
    first = kept()
    check("the first page", len(first) == 1 and first[0].endswith("-build.html"), first)
    check("its mode", os.stat(f"{KEPT}/{first[0]}").st_mode & 0o777 == 0o644)
    output = build("--timings")
    newest = f"{KEPT}/{kept()[-1]}"
    check("--timings names it", f"Wrote {newest}" in output, output)
    with open(newest, encoding="utf-8") as file:
        check("a whole page", "from the cache" in (text := file.read()) and text.endswith("</body></html>\n"))
    lines = [json.loads(line) for line in build("--timings", "--json").splitlines()]
    check("as JSON", [line["path"] for line in lines if line["event"] == "page-written"] == [f"{KEPT}/{kept()[-1]}"], lines)
    left = f"{KEPT}/.20260101000000-1-build.html.0123456789abcdef"
    with open(left, "w", encoding="utf-8") as file:
        file.write("unfinished")
    os.utime(left, (0, 0))
    for _ in range(3):
        build()
    check("the last five", len(kept()) == 5 and first[0] not in kept(), kept())
    before = kept()
    dkms("build", "single/1.0", *kernel)
    check("none for a command that builds nothing", kept() == before, kept())
    # Images that are made with SOURCE_DATE_EPOCH are the same each time.
    output = build("--timings", SOURCE_DATE_EPOCH="1700000000")
    check("none with SOURCE_DATE_EPOCH", kept() == before and "--timings=FILE" in output, output)
    # Links are not followed, and no obstacle fails the command.
    elsewhere = tempfile.mkdtemp()
    shutil.rmtree(KEPT)
    os.symlink(elsewhere, KEPT)
    output = build("--timings")
    check("a link in place of the directory", not os.listdir(elsewhere) and "cannot be written" in output, output)
    os.remove(KEPT)
    precious = f"{elsewhere}/precious"
    with open(precious, "w", encoding="utf-8") as file:
        file.write("kept")
    os.symlink(precious, "/root/link.html")
    output = build("--timings=/root/link.html")
    with open(precious, encoding="utf-8") as file:
        check("a link in place of the file", file.read() == "kept" and "cannot be written" in output, output)
    # A command that ends before it begins to work leaves no page, and keeps the one that is there.
    wrong = ["build", "single/1.0", *kernel, "--directive", "no value"]
    dkms(*wrong, "--timings=/root/new.html", code=2)
    check("no empty page", not os.path.exists("/root/new.html"))
    build("--timings=/root/page.html")
    size = os.path.getsize("/root/page.html")
    dkms(*wrong, "--timings=/root/page.html", code=2)
    check("the page is kept", size and os.path.getsize("/root/page.html") == size)
    output = build("--timings=/nonexistent/page.html")
    check("a directory that is missing", "cannot be written" in output, output)
    check("--plain", "Built single/1.0" in build("--plain") or "Took single/1.0" in build("--plain"))


{"in_the_browser": in_the_browser, "on_disk": on_disk}[sys.argv[1]]()
