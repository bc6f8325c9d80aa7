#!/usr/bin/python3
"""Writes docs/live-view.svg: what `dkms autoinstall` shows on a terminal while it builds.

    docs/live-view.py              (root; DKMS_BIN, DKMS_TEST_BUILD as for the tests)

Runs dkms on a pseudo-terminal in a private root (tests/in-root.sh), with packages and kernel headers of Debian,
records what it writes, interprets the escape sequences, and draws one moment of the run as SVG: two builds run,
others wait, and some are finished. The layout depends only on the text of that moment.
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from xml.sax.saxutils import escape

COLUMNS, ROWS = 100, 40
PACKAGES = ["v4l2loopback", "acpi-call", "ddcci", "bbswitch", "evdi", "dm-writeboost", "rapiddisk"]
LAYERS = "headers-6.1 image-6.1 dkms-debian " + " ".join(f"packages/{name}-dkms" for name in PACKAGES)


class Screen:
    """The part of a terminal that the progress view needs: text, cursor movement, erasing, colours."""

    def __init__(self):
        self.lines = [[]]
        self.row = self.column = 0
        self.style = ()

    def feed(self, text):
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\x1b.|[^\x1b]", text, re.DOTALL):
            if part.startswith("\x1b["):
                self.control(part[2:-1], part[-1])
            elif part == "\r":
                self.column = 0
            elif part == "\n":
                self.row += 1
                self.grow()
            elif part >= " ":
                self.put(part)

    def grow(self):
        while len(self.lines) <= self.row:
            self.lines.append([])

    def put(self, character):
        if self.column == COLUMNS:
            self.row, self.column = self.row + 1, 0
        self.grow()
        line = self.lines[self.row]
        line.extend([(" ", ())] * (self.column + 1 - len(line)))
        line[self.column] = (character, self.style)
        self.column += 1

    def control(self, parameters, command):
        if parameters.startswith("?"):
            return
        numbers = [int(number) if number else 0 for number in parameters.split(";")]
        count = max(numbers[0], 1)
        if command == "A":
            self.row = max(self.row - count, 0)
        elif command == "B":
            self.row += count
            self.grow()
        elif command == "C":
            self.column = min(self.column + count, COLUMNS - 1)
        elif command == "D":
            self.column = max(self.column - count, 0)
        elif command == "G":
            self.column = count - 1
        elif command == "K":
            first = 0 if numbers[0] == 2 else self.column
            del self.lines[self.row][first:]
        elif command == "J":
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]
        elif command == "m":
            self.style = () if numbers == [0] else tuple(number for number in {*self.style, *numbers} if number)

    def text(self):
        """The lines as lists of (text, style), without empty lines at the end."""
        rows = []
        for line in self.lines:
            runs = []
            for character, style in line:
                if runs and runs[-1][1] == style:
                    runs[-1][0] += character
                else:
                    runs.append([character, style])
            rows.append(runs)
        while rows and not "".join(run for run, _ in rows[-1]).strip():
            rows.pop()
        return rows


def record(command):
    """Runs a command on a pseudo-terminal and prints what it writes, one chunk per line, as hexadecimal digits."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                               env={**os.environ, "TERM": "xterm-256color"})
    os.close(follower)
    while True:
        ready = select.select([leader], [], [], 0.5)[0]
        if not ready and process.poll() is not None:
            break
        if not ready:
            continue
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the last process on the terminal has ended
            break
        if not chunk:
            break
        print(chunk.hex(), flush=True)
        time.sleep(0.02)  # collect what belongs to one drawing
    return process.wait()


def inside():
    """In the private root: registers the packages and records one autoinstall."""
    for name in sorted(os.listdir("/usr/src")):
        if os.path.exists(f"/usr/src/{name}/dkms.conf"):
            added = subprocess.run(["dkms", "add", f"/usr/src/{name}"], capture_output=True, text=True, check=False)
            if added.returncode:
                print(added.stderr, file=sys.stderr)
    subprocess.run(["dkms", "generate_mok"], capture_output=True, check=False)
    # An earlier run, so that the durations and object files are known.
    command = ["dkms", "autoinstall", "-k", os.environ["K"], "-j", "2", "--no-cache"]
    subprocess.run(command, capture_output=True, check=False)
    subprocess.run(["python3", "/e2e/history.py"], check=True)
    return record(command)


def moment(chunks):
    """The first moment at which two builds run make, others wait, and at least three are finished."""
    screen = Screen()
    for chunk in chunks:
        screen.feed(chunk)
        rows = screen.text()
        plain = ["".join(run for run, _ in row).rstrip() for row in rows]
        running = [line for line in plain if re.match(r"\S \S+/\S+ for .*: make, \d+ of", line)]
        finished = [line for line in plain if line.startswith("Built ")]
        if len(running) == 2 and len(finished) >= 3 and re.match(r"  \d+ of \d+ built, about .* wait: ", plain[-1]):
            return rows
    sys.exit("live-view.py: at no moment were two builds running, some waiting and three finished:\n" + "\n".join(plain))


COLOURS = {31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea"}


def svg(rows, command):
    """The picture: a dark window, so that it looks the same on light and dark pages; text that can be selected."""
    width, height, margin, line_height = 0, 0, 16, 18
    body = []
    for number, runs in enumerate([[[f"# {command}", (1,)]], *rows]):
        if runs:
            runs[-1][0] = runs[-1][0].rstrip()
        spans = ""
        for text, style in runs:
            colour = next((f' fill="{COLOURS[code]}"' for code in style if code in COLOURS), "")
            weight = ' font-weight="bold"' if 1 in style else ""
            spans += f"<tspan{colour}{weight}>{escape(text)}</tspan>" if colour or weight else escape(text)
        height = margin + 40 + number * line_height
        length = sum(len(text) for text, _ in runs)
        width = max(width, length)
        fixed = f' textLength="{length * 8}" lengthAdjust="spacingAndGlyphs"' if length else ""
        body.append(f'<text x="{margin}" y="{height}"{fixed} xml:space="preserve">{spans}</text>')
    width, height = width * 8 + 2 * margin, height + margin
    dots = "".join(f'<circle cx="{margin + 6 + 18 * i}" cy="18" r="5" fill="#484f58"/>' for i in range(3))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' role="img" aria-labelledby="title">',
        '<title id="title">dkms autoinstall on a terminal: two builds run, others wait, some are finished</title>',
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117" stroke="#484f58"/>',
        dots,
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="13"'
        ' fill="#e6edf3">',
        *body,
        "</g>",
        "</svg>",
        "",
    ])


def main():
    if "--inside" in sys.argv:
        return inside()
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    run = subprocess.run(
        [f"{top}/tests/in-root.sh", LAYERS, "python3", "/docs/live-view.py", "--inside"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False, text=True)
    lines = run.stdout.split("\n")
    # A chunk may end in the middle of a character.
    data, chunks = b"", []
    for line in lines:
        if re.fullmatch(r"(?:[0-9a-f]{2})+", line):
            data += bytes.fromhex(line)
            text = data.decode("utf-8", errors="ignore")
            data = data[len(text.encode("utf-8")) :]
            chunks.append(text)
    if not chunks:
        sys.exit(f"live-view.py: nothing was recorded; tests/in-root.sh exited with code {run.returncode}")
    kernel = next(iter(re.findall(r"for kernel (\S+)", "".join(chunks))), "KERNEL")
    picture = svg(moment(chunks), f"dkms autoinstall -k {kernel}")
    with open(f"{top}/docs/live-view.svg", "w", encoding="utf-8") as file:
        file.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
