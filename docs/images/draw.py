#!/usr/bin/env python3
"""Draws the pictures of concepts.md: docs/images/draw.py. They are committed; run it after a change. Readable on light and on dark
ground: the colours follow the reader's scheme, and without one stand on a ground of their own."""

import math
import os

STYLE = """<style>
  .ground { fill: #ffffff } .line { stroke: #57606a; fill: none; stroke-width: 1.5 } .box { fill: #f3f5f7; stroke: #57606a; stroke-width: 1.5 }
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 11px; fill: #57606a } .mono { font-family: ui-monospace, monospace }
  .disk { fill: #8fa3b5 } .peer { fill: #2f9e6e } .up { fill: #d9822b } .none { fill: none; stroke: #9aa4ae; stroke-dasharray: 3 3 }
  .head { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } .line { stroke: #9aa4ae } .box { fill: #1c232b; stroke: #9aa4ae } text { fill: #e6edf3 } .small { fill: #9aa4ae }
    .head { fill: #9aa4ae } .none { stroke: #6b7682 }
  }
</style>
<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="head" d="M0 0L10 5L0 10z"/></marker></defs>
"""


class Picture:
    def __init__(self, width, height, title):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
                      f"<title>{title}</title>\n{STYLE}", f'<rect class="ground" width="{width}" height="{height}" rx="8"/>']

    def text(self, x, y, words, anchor="middle", kind=""):
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">{words}</text>')

    def box(self, x, y, width, height, *lines, kind="box"):
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        for number, line in enumerate(lines):
            self.text(x + width / 2, y + height / 2 + 5 + 16 * (number - (len(lines) - 1) / 2), line, kind="small" if number else "")

    def arrow(self, x1, y1, x2, y2, both=False, dashed=False):
        self.parts.append(f'<line class="line" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" marker-end="url(#a)"'
                          f'{" marker-start=" + chr(34) + "url(#a)" + chr(34) if both else ""}{" stroke-dasharray=" + chr(34) + "5 4" + chr(34) if dashed else ""}/>')

    def cells(self, x, y, kinds, size=18):
        for number, kind in enumerate(kinds):
            name = {"d": "disk", "p": "peer", "u": "up", ".": "none"}[kind]
            self.parts.append(f'<rect class="{name}" x="{x + number * (size + 3)}" y="{y}" width="{size}" height="{size}" rx="3"/>')

    def dot(self, x, y, radius=7, kind="disk"):
        self.parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>')

    def save(self, name):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w", encoding="utf-8") as out:
            out.write("\n".join(self.parts) + "\n</svg>\n")


def mirror():
    p = Picture(760, 250, "A pull goes from the runtime to the Oxbow of its node, which looks on its disk, then among its peers, then at the registry")
    p.box(20, 20, 440, 210)
    p.text(36, 42, "node", "start", "small")
    p.box(40, 90, 120, 60, "containerd", "pulls as ever")
    p.box(250, 90, 180, 60, "Oxbow", "127.0.0.1:5050")
    p.arrow(160, 120, 250, 120)
    p.box(270, 182, 140, 34, "1  its disk")
    p.arrow(340, 150, 340, 182, both=True)
    p.box(560, 50, 170, 50, "2  peers", "Oxbow on other nodes")
    p.arrow(430, 108, 560, 78, both=True)
    p.box(560, 160, 170, 50, "3  the registry", "each byte once")
    p.arrow(430, 132, 560, 180)
    p.parts.append('<path class="line" stroke-dasharray="5 4" marker-end="url(#a)" d="M100 150 V 223 H 645 V 210"/>')
    p.text(552, 240, "when Oxbow does not answer", kind="small")
    p.save("concept-mirror.svg")


def stripes():
    p = Picture(760, 170, "A blob is cut into stripes; a client reads behind them in order while they come from disk, peers and the registry")
    p.text(20, 34, "a layer of 64 MiB = 128 stripes of 512 KiB; 8 neighbours are a span", "start")
    p.cells(20, 52, "ddddpppp" + "puupppuu" + "pp.uup.." + ".p......")
    for number in range(4):
        p.text(20 + number * 168 + 80, 90, f"span {number}", kind="small")
    p.parts.append('<path class="line" d="M20 104 H 380" marker-end="url(#a)"/>')
    p.text(20, 122, "the client reads, in order, what is there and verified", "start", "small")
    for x, kind, words in ((20, "d", "was on disk"), (150, "p", "from a peer"), (280, "u", "from the registry"), (430, ".", "not here yet")):
        p.cells(x, 138, kind, 14)
        p.text(x + 22, 150, words, "start", "small")
    p.save("concept-stripes.svg")


def ring():
    p = Picture(760, 330, "Peers on the ring; the blob's digest falls between two of them, and the next peer is its coordinator")
    cx, cy, r = 190, 165, 115
    p.parts.append(f'<circle class="line" cx="{cx}" cy="{cy}" r="{r}"/>')
    names = ["node-1", "node-5", "node-3", "node-7", "node-2", "node-6", "node-4"]
    for number, name in enumerate(names):
        angle = -math.pi / 2 + 2 * math.pi * number / len(names)
        x, y = cx + r * math.cos(angle), cy + r * math.sin(angle)
        p.dot(x, y, 9 if number in (2, 3, 4) else 7, "up" if number == 2 else "peer" if number in (3, 4) else "disk")
        p.text(cx + (r + 34) * math.cos(angle), cy + (r + 24) * math.sin(angle) + 4, name, kind="small")
    angle = -math.pi / 2 + 2 * math.pi * 1.5 / len(names)
    x, y = cx + r * math.cos(angle), cy + r * math.sin(angle)
    p.parts.append(f'<rect class="up" x="{x - 5:.0f}" y="{y - 5:.0f}" width="10" height="10" transform="rotate(45 {x:.0f} {y:.0f})"/>')
    p.arrow(x + 60, y - 14, x + 12, y - 3)
    p.text(x + 64, y - 12, "hash of the blob's digest", "start", "small")
    lines = [("up", "node-3 comes next: the coordinator. It knows who has this", "blob, who wants it, and who fetches what."),
             ("peer", "node-7 and node-2: its successors. When node-3 is silent,", "the next one takes over."),
             ("disk", "All others. Every node computes the same order from", "the same list, so nobody has to be asked.")]
    for number, (kind, first, second) in enumerate(lines):
        p.dot(372, 176 + number * 52, 7, kind)
        p.text(388, 180 + number * 52, first, "start", "small")
        p.text(388, 196 + number * 52, second, "start", "small")
    p.save("concept-ring.svg")


def swarm():
    p = Picture(760, 274, "Three nodes pull one blob: each fetches other spans from the registry under a lease, and they exchange the rest")
    p.box(120, 14, 180, 48, "the registry", "gives each span once")
    p.box(480, 14, 180, 48, "coordinator of the blob", "leases: who fetches what")
    for number, (name, kinds) in enumerate((("node-1", "uuupppppp"), ("node-2", "pppuuuppp"), ("node-3", "ppppppuuu"))):
        x = 40 + 240 * number
        p.box(x, 200, 200, 56)
        p.text(x + 12, 219, name, "start")
        p.cells(x + 10, 230, kinds, 16)
        p.arrow(180 + 30 * number, 62, x + 80, 200)
        p.arrow(540 + 30 * number, 62, x + 130, 200, both=True, dashed=True)
    p.arrow(240, 240, 280, 240, both=True)
    p.arrow(480, 240, 520, 240, both=True)
    p.save("concept-swarm.svg")


if __name__ == "__main__":
    mirror()
    stripes()
    ring()
    swarm()
