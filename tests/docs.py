#!/usr/bin/python3
"""Inside the private root of pages::NAME: runs the commands of a page, and compares their output with the page.

    docs.py PAGE            compare, and print what differs
    docs.py PAGE --write    print the page with the output of this run

A fenced block "console" holds commands after "$ " (the next line of one after "> ") and what they print on both streams. A line
"..." stands for any lines. Kernel releases, times, sizes, digests, dates of keys and the number of jobs may differ.
"""
import os
import re
import subprocess
import sys

KERNELS = (os.environ["K"], os.environ["K612"])
WORDS = [
    (r"\b6\.1\.0-\d+-amd64\b", "K61"), (r"\b6\.12\.\d+\+deb12-amd64\b", "K612"), (r"\bin \d+\.\d s\b", "in T s"),
    (r"\(\d+ bytes\)", "(N bytes)"), (r"\b([0-9a-f]{2}:){15,}[0-9a-f]{2}\b", "HEX"), (r"-j\d+", "-jN"),
    (r"\b20\d\d-\d\d-\d\d\b|\b21\d\d-\d\d-\d\d\b", "DATE"),
]


def normal(line):
    for pattern, word in WORDS:
        line = re.sub(pattern, word, line)
    return line.rstrip()


def same(want, have):
    """Whether the lines are the same; in any order (builds run in parallel) unless some are left out."""
    want, have = [normal(w) for w in want], [normal(h) for h in have]
    if "..." not in want:
        return sorted(want) == sorted(have)
    pattern = "".join("(?:.*\n)*" if w == "..." else re.escape(w) + "\n" for w in want)
    return re.fullmatch(pattern, "".join(h + "\n" for h in have)) is not None


def blocks(lines):
    """[first line of the output, line after its last, command] for every command, in order."""
    found, inside, current = [], False, None
    for number, line in enumerate(lines):
        if line.startswith("```"):
            inside = line.strip() == "```console"
            if current:
                current[1] = number
                current = None
        elif inside and line.startswith("$ "):
            if current:
                current[1] = number
            current = [number + 1, None, line[2:]]
            found.append(current)
        elif inside and current and line.startswith("> ") and current[0] == number:
            current[0] += 1
            current[2] += "\n" + line[2:]
    return found


def todays(text):
    """Replaces the kernels of the page by those of this root."""
    text = re.sub(r"\b6\.1\.0-\d+-amd64\b", KERNELS[0], text)
    return re.sub(r"\b6\.12\.\d+\+deb12-amd64\b", KERNELS[1], text)


def main():
    page, write = sys.argv[1], "--write" in sys.argv
    lines = open(page, encoding="utf-8").read().split("\n")
    found = blocks(lines)
    script, out = "", "/run/docs-output"
    os.makedirs(out, exist_ok=True)
    for index, (_, _, command) in enumerate(found):
        script += f"exec >{out}/{index} 2>&1\n{todays(command)}\n"
    with open("/run/docs-script", "w", encoding="utf-8") as file:
        file.write(script)
    subprocess.run(["bash", "/run/docs-script"], stdin=subprocess.DEVNULL, cwd=os.environ.get("HOME", "/root"), timeout=900, check=False)
    wrong = 0
    for index in reversed(range(len(found))):
        first, end, command = found[index]
        have = open(f"{out}/{index}", encoding="utf-8", errors="replace").read().rstrip("\n").split("\n")
        # Said after some seconds only, by builds that wait for each other on a slow machine.
        have = [line for line in have if not line.startswith("dkms: waiting for process ")]
        have = [] if have == [""] else have
        want = [line for line in lines[first:end]]
        if same(want, have):
            continue
        wrong += 1
        if write:
            lines[first:end] = have
        else:
            print(f"{page}:{first}: $ {command}\n  the page has:", *want, "  now it is:", *have, sep="\n    ")
    if write:
        print("\n".join(lines), end="")
        return 0
    print(f"{page}: {len(found)} commands, {wrong} with another output")
    return 1 if wrong else 0


sys.exit(main())
