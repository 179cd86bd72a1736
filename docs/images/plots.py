#!/usr/bin/env python3
"""Takes the plots out of a simulation's page, as SVG files that stand alone.

  oxbow sim seed --report /tmp/report
  docs/images/plots.py /tmp/report/index.html docs/images/sim-seed "Weight of a hop" ...

Writes PREFIX-<title>.svg for each plot whose title is given, or for all of them.
"""

import re
import sys


def main():
    page, prefix, wanted = sys.argv[1], sys.argv[2], sys.argv[3:]
    said = open(page, encoding="utf-8").read()
    style = re.search(r"<style>(.*?)</style>", said, re.S)[1]
    style = re.sub(r"\nbody\{.*?(?=\nfigure)", "", style, flags=re.S)
    for figure in re.findall(r"<figure>(.*?)</figure>", said, re.S):
        title = re.search(r"<figcaption>(.*?)</figcaption>", figure, re.S)[1]
        if wanted and title not in wanted:
            continue
        svg = re.search(r"<svg.*</svg>", figure, re.S)[0]
        svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        svg = svg.replace(">", f"><style>{style} svg{{background:var(--page);font-family:system-ui,sans-serif}}</style>", 1)
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        with open(f"{prefix}-{name}.svg", "w", encoding="utf-8") as out:
            out.write(svg + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
