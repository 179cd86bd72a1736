"""The commands of `oxbow` as its own --help tells them: the one source of the man page and of shell completion."""

import re
import subprocess
from dataclasses import dataclass, field

_HEADER = re.compile(r"^[A-Z\[][^\s].*:$")
_ROW = re.compile(r"^  (\S.*?)(?:\s{2,}(\S.*))?$")
_COLUMN = 30  # where texts begin
_MORE = re.compile(r"^ {20,}(\S.*)$")


@dataclass
class Row:
    names: list  # "-c", "--config"; a sub-command's or a positional's one name
    value: str  # "TEXT", "INT=365", empty for a flag
    text: str


@dataclass
class Command:
    path: tuple  # ("ca", "issue")
    about: str = ""
    usage: str = ""
    positionals: list = field(default_factory=list)
    options: list = field(default_factory=list)
    commands: list = field(default_factory=list)
    footer: str = ""

    def all(self):
        yield self
        for command in self.commands:
            yield from command.all()


def _row(left, text):
    words = left.split()
    return Row([name for name in words[0].split(",") if name], " ".join(words[1:]), text or "")


def _parse(path, said):
    """The body is what stands before the first two empty lines in a row; what follows is the command's own advice."""
    body, _, footer = said.partition("\n\n\n")
    command = Command(path, footer=footer.strip("\n"))
    sections, about, rows = {"Subcommands": []}, [], None
    lines = body.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Usage: "):
            command.usage = re.sub(r"^Usage: \S*?oxbow\b", "oxbow", line)
        elif _HEADER.match(line) and command.usage:
            rows = sections.setdefault(line.rstrip(":"), [])
        elif rows is None:
            about.append(line)
        elif more := _MORE.match(line):
            rows[-1].text = f"{rows[-1].text} {more[1]}".strip()
        elif row := _ROW.match(line):
            left, text = row[1], row[2]
            continued = number + 1 < len(lines) and _MORE.match(lines[number + 1])
            if not text and not continued and line[_COLUMN - 1 : _COLUMN] == " ":
                left, text = line[:_COLUMN].strip(), line[_COLUMN:]  # it fills its column: one space before the text
            rows.append(_row(left, text))
    command.about = " ".join(about).strip()
    children = [row.names[0] for row in sections.pop("Subcommands")]
    command.positionals = sections.pop("Positionals", [])
    command.options = [row for rows in sections.values() for row in rows]
    return command, children


def read(program, path=()):
    said = subprocess.run([program, *path, "--help"], check=True, capture_output=True, text=True).stdout
    command, children = _parse(path, said)
    command.commands = [read(program, (*path, child)) for child in children]
    return command
