"""The table."""

import dataclasses


@dataclasses.dataclass
class Row:
    what: str
    ours: str
    theirs: str
    result: str
    target: str
    met: bool | None  # None: no target
    pairs: int = 0
    disturbed: bool = False
    why: str = ""  # why it was missed

    @property
    def verdict(self):
        if self.met is None:
            return "—"
        said = "met" if self.met else "**MISSED**"
        return said + (" (disturbed)" if self.disturbed else "")


METHOD = """\
Made by `tests/bench/run.sh`; every number was measured in this one run.

**Method.** Samples come in interleaved pairs (A B B A …); a result is the median of the pairwise ratios with its 95 % bootstrap
interval, and no outlier is dropped. CPU is user and system time of all processes of the server, from their CPU clocks (nanoseconds).
"With clients" adds what the clients used: on loopback the kernel charges much of a connection's work to whoever triggers it, and a
server with a large unsent backlog has its packets pulled by its client. The server runs on one core, the clients on the other; everything is on loopback and in the page cache; the body of every path was checked
against its digest first, and every sample against its length. A null test compares nginx with itself: outside 0.97–1.03 the rows
of its group are called disturbed, and count for little. nginx: `sendfile`, `tcp_nopush`, one worker a core, no access log; TLS 1.3 with
AES-128-GCM for both, P-256 certificate; `http2_chunk_size 16k`. docker-registry: file system storage, descriptors cached in memory, access log on.
Clients: curl, one process a connection, and wrk for requests per second. `64 × 16 MiB` means each file once; `8 connections` on the 1 GiB blob
means an eighth of it each, by range. Upstream bytes are HTTP body bytes in the registry's own access log.
"""


def write(path, machine, rows, nulls, skipped, seconds, pairs):
    lines = ["# Benchmarks", "", METHOD, "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in machine.items()]
    lines += [f"| run | {pairs} pairs asked for, {seconds / 60:.1f} minutes |", ""]
    for group, entries in rows.items():
        lines += [f"## {group}", "", "| measured | Oxbow | other | result | target | verdict | pairs |", "|---|---|---|---|---|---|---|"]
        for row in entries:
            lines.append(f"| {row.what} | {row.ours} | {row.theirs} | {row.result} | {row.target} | {row.verdict} | {row.pairs or '—'} |")
        lines.append("")
        if group in nulls:
            lines += [f"Null test (nginx against itself): {nulls[group]}" +
                      ("." if nulls[group].undisturbed else ": **this group was disturbed**, other work ran on the machine."), ""]
        for row in entries:
            if row.met is False:
                lines += [f"- *{row.what}* falls short" + (f": {row.why}" if row.why else "; the reason is not known yet."), ""]
    if skipped:
        lines += ["## Skipped", ""] + [f"- {part}: {why}" for part, why in skipped.items()] + [""]
    text = "\n".join(lines)
    with open(path, "w") as out:
        out.write(text)
    return text
