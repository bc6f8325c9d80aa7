"""Opens HTML files in Chromium, through chromedriver (https://www.w3.org/TR/webdriver2/). Standard library only.

    import browser
    browser.require()                      # skips the test if Chromium is missing
    with browser.Browser() as page:
        page.open("/tmp/page.html")
        page.width(360)
        assert page.run("return document.title") == "..."
        page.problems()                    # what any page must satisfy, as a list of lines; empty is good

Chromium gets a profile of its own in a temporary directory and no network: names resolve to nothing.
"""
import base64
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SKIPPED = 77


def missing():
    """Why no browser can be started, or an empty string."""
    for program, package in [("chromium", "chromium"), ("chromedriver", "chromium-driver")]:
        if not shutil.which(program):
            return f"{program} is not installed (Debian: {package})"
    return ""


def require():
    """Ends the test as skipped if there is no browser."""
    if reason := missing():
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)


def raise_loopback():
    """Switches the loopback device on, which is off in a new network namespace (netdevice(7))."""
    get, put, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack("16sh", fcntl.ioctl(control, get, struct.pack("16sh", b"lo", 0)))[1]
        if not flags & up:
            fcntl.ioctl(control, put, struct.pack("16sh", b"lo", flags | up))


class Browser:
    """A headless Chromium with one page."""

    def __init__(self, dark=False):
        self.directory = tempfile.mkdtemp(prefix="dkms-browser-")
        self.port, self.session = None, None
        raise_loopback()
        # chromedriver and every process of Chromium are one process group, which is ended together.
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True, env={**os.environ, "HOME": self.directory, "TMPDIR": self.directory})
        try:
            self._start(dark)
        except BaseException:
            self.close()
            raise

    def _start(self, dark):
        for line in self.driver.stdout:
            if "successfully on port " in line:
                self.port = int(line.split("on port ")[1].strip(" .\n"))
                break
        if not self.port:
            raise RuntimeError("chromedriver did not start")
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                     "--no-first-run", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
                     f"--user-data-dir={self.directory}/profile"]
        options = {"args": arguments}
        if os.path.exists("/usr/bin/chromium"):
            options["binary"] = "/usr/bin/chromium"
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        self.media(dark=dark)
        self.width(1280)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends Chromium and removes its profile."""
        try:
            if self.session:
                self._call("DELETE", f"/session/{self.session}")
        except (OSError, RuntimeError):
            pass
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method,
                                         headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise RuntimeError(f"{value['error']}: {value['message']}") from None

    def call(self, path, body=None, method="POST"):
        """A command of WebDriver for this session."""
        return self._call(method, f"/session/{self.session}{path}", {} if body is None and method == "POST" else body)

    def devtools(self, command, **parameters):
        """A command of the DevTools protocol."""
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path):
        """Opens a file."""
        self.call("/url", {"url": "file://" + os.path.abspath(path)})

    def run(self, script, *arguments):
        """Runs the body of a JavaScript function and returns its value."""
        return self.call("/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector):
        """Clicks the first element that a CSS selector finds."""
        element = self.call("/element", {"using": "css selector", "value": selector})
        self.call(f"/element/{next(iter(element.values()))}/click")

    def width(self, columns, height=900):
        """Sets the size of the window, in CSS pixels."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=columns, height=height, deviceScaleFactor=1,
                      mobile=columns < 600)

    def media(self, kind="", dark=False):
        """Sets the medium ("print", or "" for the screen) and the preferred colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def log(self):
        """The lines of the console since the last call."""
        lines = [entry["message"] for entry in self.call("/se/log", {"type": "browser"})]
        # Chromium's own first page, which is gone.
        return [line for line in lines if not line.startswith("chrome://")]

    def screenshot(self, path, full=False):
        """Writes a PNG of the window, or of the whole page."""
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=full, **self._clip(full))
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def _clip(self, full):
        if not full:
            return {}
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self):
        """The page in its printed form."""
        return base64.b64decode(self.devtools("Page.printToPDF", printBackground=True)["data"])

    def accessible(self):
        """The accessibility tree: a list of (role, name), without ignored nodes."""
        nodes = self.devtools("Accessibility.getFullAXTree")["nodes"]
        value = lambda node, key: str(node.get(key, {}).get("value", ""))  # noqa: E731
        return [(value(node, "role"), value(node, "name")) for node in nodes if not node.get("ignored")]

    def overflow(self):
        """The elements that make the page wider than the window, or are wider than it outside `.scroll`."""
        return self.run("""
            const width = document.documentElement.clientWidth, found = [];
            if (document.documentElement.scrollWidth > width) found.push("the page");
            for (const element of document.body.querySelectorAll("*")) {
              if (element.parentElement.closest(".scroll, svg, .unseen") || element.matches(".unseen")) continue;
              const box = element.getBoundingClientRect();
              if (box.width && (box.right > width + 1 || box.left < -1))
                found.push(element.tagName + "." + (element.getAttribute("class") || "") + " " +
                  element.textContent.slice(0, 40));
            }
            return found.slice(0, 10);""")

    def problems(self):
        """Defects of a page: errors, dead links, roles without names, text that overflows."""
        found = [f"console: {line}" for line in self.log()]
        found += self.run("""
            const found = [], seen = new Set();
            for (const element of document.querySelectorAll("[id]")) {
              if (seen.has(element.id)) found.push("the id " + element.id + " occurs twice");
              seen.add(element.id);
            }
            for (const link of document.querySelectorAll("a[href^='#']"))
              if (!document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1))))
                found.push("dead link " + link.getAttribute("href"));
            for (const element of document.querySelectorAll("[src], link, iframe, object, embed, base"))
              found.push("loads something: " + element.outerHTML.slice(0, 80));
            if (!document.title || document.documentElement.lang !== "en") found.push("no title or language");
            return found.slice(0, 20);""")
        named = {"link", "button", "textbox", "searchbox", "combobox", "checkbox", "image", "graphics-document", "table",
                 "heading", "main", "region", "DisclosureTriangle", "RootWebArea"}
        found += [f"a {role} without a name" for role, name in self.accessible()
                  if role in named - {"main", "table"} and not name.strip()]
        for columns in (360, 1280):
            self.width(columns)
            found += [f"wider than {columns} px: {what}" for what in self.overflow()]
        return found


def wait_until(condition, seconds=10):
    """Waits until a function returns something true."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return value
