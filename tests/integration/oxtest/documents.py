"""What is in a page of the documents, and running its commands.

In a page
  ```sh                      commands; run in order, in one shell, which stops at the first that fails
  ```text right after it     what they print: its lines must appear in this order; `…` stands for anything
  <!-- test: COMMAND -->     run too, not shown to readers: what the test machine needs
  <!-- not run: REASON -->   on the line before a block: it cannot be run here
"""

import os
import re

from . import booted
from .mirror import ROOT

_PART = re.compile(r"^<!-- (?P<mark>test|not run): (?P<said>.*?) -->$"
                   r"|^(?P<indent> *)```(?P<kind>[a-z]*)\n(?P<text>.*?)^ *```$", re.M | re.S)

MACHINE = os.path.join(ROOT, "tests", "docs", "machine.sh")


class Block:
    """`kind`: sh, text, toml, …, or `test` for a hidden step. `expected`: the lines that a sh block prints."""

    def __init__(self, page, line, kind, text):
        self.page, self.line, self.kind, self.text = page, line, kind, text
        self.expected, self.reason = [], ""

    @property
    def name(self):
        return f"{self.page}:{self.line}"

    @property
    def is_run(self):
        return self.kind in ("sh", "test") and not self.reason


def blocks(page):
    """Of a page, by its path from the root of the repository."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        text = file.read()
    found, reason, after = [], "", 0
    for part in _PART.finditer(text):
        gap = text[after:part.start()].strip()
        after = part.end()
        if part["mark"] == "not run":
            reason = part["said"]
            continue
        kind = "test" if part["mark"] else part["kind"]
        body = part["said"] if part["mark"] else re.sub("^" + part["indent"], "", part["text"], flags=re.M)
        block = Block(page, text.count("\n", 0, part.start()) + 1, kind, body)
        block.reason, reason = ("" if gap else reason), ""
        if kind == "text" and not gap and found and found[-1].kind == "sh":
            found[-1].expected = body.splitlines()
        found.append(block)
    return found


def missing_line(expected, said):
    """The first expected line that is not there, in this order, or nothing."""
    lines = iter(said.splitlines())
    for line in expected:
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
        if line.strip() not in ("", "…") and not any(re.search(pattern, " ".join(real.split())) for real in lines):
            return line
    return None


_RUN = r"""
mkdir -p out
exec 3>&1
trap 'code=$?; if [ $code != 0 ]; then echo "--- exit code $code in $now"; cat "out/$number" >&3; fi' EXIT
"""


def run(page, folder, **machine):
    """Runs a page on a machine that systemd has booted. What went wrong, or nothing; None: the machine did not boot."""
    steps = [block for block in blocks(page) if block.is_run]
    with open(MACHINE, encoding="utf-8") as file:
        script = [file.read(), "set -e", _RUN]
    for number, block in enumerate(steps):
        path = os.path.join(folder, f"step-{number}")
        with open(path, "w", encoding="utf-8") as out:
            out.write(block.text + "\n")
        script.append(f'number={number} now="{block.name}"; echo "=== $now, $SECONDS s"; . {path} >out/{number} 2>&1; cat out/{number}')
    done = booted.run("\n".join(script) + "\n", folder, timeout_s=540, **machine)
    if done is None:
        return None
    code, said = done
    if code != 0:
        return said[-6000:]
    for number, block in enumerate(steps):
        with open(os.path.join(folder, "out", str(number)), encoding="utf-8", errors="replace") as file:
            printed = file.read()
        line = missing_line(block.expected, printed)
        if line is not None:
            return f"{block.name} does not print\n  {line}\nbut\n{printed[-4000:]}"
    return ""
