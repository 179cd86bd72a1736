"""The options of oxbow.toml, read from docs/configuration.md, which is made from the schema (a unit test compares the two)."""

import re
from dataclasses import dataclass, field


@dataclass
class Setting:
    key: str  # inside its section
    default: str
    value: str
    applied_by: str
    text: str


@dataclass
class Section:
    name: str  # "client", "[registry]"
    about: list = field(default_factory=list)  # paragraphs
    settings: list = field(default_factory=list)


def read(path):
    """(paragraphs before the first section, sections)"""
    introduction, sections, paragraph = [], [], []
    into = introduction

    def end_paragraph():
        if paragraph:
            into.append(" ".join(paragraph))
            paragraph.clear()

    with open(path, encoding="utf-8") as lines:
        for line in map(str.strip, lines):
            if heading := re.fullmatch(r"## \[(.*)\]", line):
                end_paragraph()
                sections.append(Section(heading[1]))
                into = sections[-1].about
            elif line.startswith("| `"):
                cells = [cell.strip() for cell in line.strip("|").split(" | ")]
                sections[-1].settings.append(Setting(cells[0].strip("`"), *cells[1:]))
            elif not line or line.startswith(("|", "# ")):
                end_paragraph()
            else:
                paragraph.append(line)
    end_paragraph()
    return [text for text in introduction if "config/schema.cc" not in text], sections
