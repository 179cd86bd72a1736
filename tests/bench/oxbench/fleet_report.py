"""The table of fleet.sh."""

import os
import statistics

METHOD = """\
Made by `tests/bench/fleet.sh`; every number was measured in this one run.

**Method.** Each node is a network namespace on one bridge with a link shaped by tbf each way; the registry is a docker-registry on
such a link too. One client (curl, three transfers at a time) a node, all started at once; its output is thrown away. Completion is from the
common start to the end of a client. LB is the lower bound max(F/u, F/u_origin) + F/(S·u) · (⌈log2(N+1)⌉ − 1) with F bytes, S stripes, u the link's rate,
headers not counted (TCP over such a link carries 0.95 of it). Copies: body bytes of blobs in the registry's access log over F. Moved: bytes that came to
the nodes from peers and upstream over N·F. Spread: the largest upload of a node over the mean. CPU: user and system time of all daemons, per GB
delivered to clients (N·F). Every byte on every node is checked against its digest afterwards.
"""
COPIES_MAX, COPIES_WITH_ONE_DEAD_MAX, MOVED_MAX = 1.02, 1.10, 1.05
# Completion of the healthy nodes over LB for swarm with 16 nodes.
TARGETS = {"": 1.4, "slow": 1.8}
DEAD_COSTS_S = 1.0
FAULTS = {"": "", "slow": ", one node 10 × slow", "dead": ", one node killed half-way"}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Report:
    def __init__(self):
        self.fleet, self.capacity, self.notes, self.skipped = [], [], [], {}
        self.idle = self.p2p = self.end_to_end = None

    def empty(self):
        return not (self.fleet or self.capacity or self.idle or self.p2p or self.end_to_end)

    def write(self, path, machine, seconds):
        lines = ["# Fleets", "", METHOD, "| | |", "|---|---|"]
        lines += [f"| {key} | {value} |" for key, value in machine.items()] + [f"| run | {seconds / 60:.1f} minutes |", ""]
        lines += self.notes + [""]
        lines += self._capacity() + self._fleet() + self._idle() + self._p2p()
        if self.skipped:
            lines += ["## Skipped", ""] + [f"- {part}: {why}" for part, why in self.skipped.items()] + [""]
        text = "\n".join(lines)
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)
        return text

    def _capacity(self):
        if not self.capacity:
            return []
        lines = ["## What this machine can carry", "", "All nodes straight from one registry whose own link is not shaped. Above about 1.1 the rows "
                 "below measure the machine, not the strategy.", "", "| nodes | rate | carried | over the ideal time |", "|---|---|---|---|"]
        return lines + [f"| {nodes} | {rate} Mbit/s | {carried:.0f} MB/s | {ratio:.2f} |"
                        for nodes, rate, ratio, carried in self.capacity] + [""]

    def _fleet(self):
        if not self.fleet:
            return []
        lines = ["## Completion", "", "| what | nodes | rate | strategy | LB | p50 | p99 | max | max/LB | copies | moved | spread | CPU s/GB | missed |",
                 "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
        for one in self.fleet:
            what = one.content + FAULTS[one.fault]
            lines.append(f"| {what} | {one.nodes} | {one.rate} | {one.strategy} | {one.bound_s:.2f} s | {statistics.median(one.seconds):.2f} s "
                         f"| {percentile(one.seconds, 0.99):.2f} s | {max(one.seconds):.2f} s | {max(one.seconds) / one.bound_s:.2f} "
                         f"| {one.copies:.3f} | {one.moved:.3f} | {one.upload_spread:.2f} | {one.cpu_s_per_gb:.2f} | {self.missed(one)} |")
        slow = [one for one in self.fleet if one.fault == "slow"]
        if slow:
            lines += ["", "The slow node by itself, against the bound of its own link:", "", "| what | strategy | rate | LB | took | over LB |",
                      "|---|---|---|---|---|---|"]
            lines += [f"| {one.content} | {one.strategy} | {one.rate / 10:g} | {one.slow_bound_s:.1f} s | {one.slow_s:.1f} s "
                      f"| {one.slow_s / one.slow_bound_s:.2f} |" for one in slow]
        return lines + [""]

    def undisturbed(self, one):
        """The same without the fault."""
        same = ("content", "nodes", "rate", "strategy")
        return next((other for other in self.fleet if not other.fault and all(getattr(other, k) == getattr(one, k) for k in same)), None)

    def missed(self, one):
        if one.strategy == "single":
            return "—"
        said = []
        # The time is the default strategy's to reach; what leaves upstream and what is moved is every strategy's.
        target = TARGETS.get(one.fault) if one.strategy == "swarm" else None
        if target and one.nodes == 16 and max(one.seconds) / one.bound_s > target:
            said.append(f"max ≤ {target} LB")
        without = self.undisturbed(one)
        if one.fault == "dead" and without and max(one.seconds) > max(without.seconds) + DEAD_COSTS_S:
            said.append(f"at most {DEAD_COSTS_S:g} s more than without the fault")
        copies_max = {"": COPIES_MAX, "dead": COPIES_WITH_ONE_DEAD_MAX}.get(one.fault)
        if copies_max and one.copies > copies_max:
            said.append(f"copies ≤ {copies_max}")
        if one.moved > MOVED_MAX:
            said.append(f"moved ≤ {MOVED_MAX}")
        return "**" + ", ".join(said) + "**" if said else "nothing"

    def _idle(self):
        if not self.idle:
            return []
        nodes, seconds, cpu, resident = self.idle
        met = "met" if max(cpu) <= 1 and max(resident) * 1048576 <= 100e6 else "**MISSED**"
        return ["## Idle", "", f"{nodes} nodes, {seconds} s: CPU of a core {statistics.mean(cpu):.2f} % a node, at most {max(cpu):.2f} %; resident "
                f"{statistics.mean(resident):.0f} MiB a node, at most {max(resident):.0f} MiB. Target ≤ 1 % and ≤ 100 MB: {met}.", ""]

    def _p2p(self):
        return [line for title, part in (("A warm holder to a client that discards", self.p2p), ("From one daemon to another", self.end_to_end))
                if part for line in (f"## {title}", "", *part, "")]
