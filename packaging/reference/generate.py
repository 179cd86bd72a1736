#!/usr/bin/env python3
"""Writes the man pages and shell completions of a built program: from what it says itself, so that they cannot go stale.

  packaging/reference/generate.py PROGRAM OUT_DIR
"""

import os
import subprocess
import sys

import completion
import help_tree
import man
import settings

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = os.path.join(HERE, "..", "..", "docs", "configuration.md")


def generate(program):
    """{file name: text}"""
    tree = help_tree.read(program)
    introduction, sections = settings.read(REFERENCE)
    version = subprocess.run([program, "version"], check=True, capture_output=True, text=True).stdout.split()[1]
    return {
        "oxbow.1": man.program_page(tree, version),
        "oxbow.toml.5": man.configuration_page(introduction, sections, version),
        "oxbow.bash": completion.bash(tree, sections),
        "_oxbow": completion.zsh(tree, sections),
        "oxbow.fish": completion.fish(tree, sections),
    }


def main():
    if len(sys.argv) != 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    os.makedirs(sys.argv[2], exist_ok=True)
    for name, text in generate(os.path.abspath(sys.argv[1])).items():
        with open(os.path.join(sys.argv[2], name), "w", encoding="utf-8") as out:
            out.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
