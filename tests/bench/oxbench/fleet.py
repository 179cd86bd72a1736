"""Clusters on shaped links; see tests/bench/fleet.sh."""

import argparse
import dataclasses
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

from . import ROOT, fleet_report, machine

sys.path.insert(0, os.path.join(ROOT, "tests", "cluster"))
from oxcluster import network  # noqa: E402
from oxcluster.cluster import REPOSITORY, Cluster  # noqa: E402
from oxcluster.peer_geometry import stripe_bytes  # noqa: E402
from oxcluster.upstream import settled_bytes  # noqa: E402
from oxtest.case import test_image  # noqa: E402
from oxtest.clients import Missing  # noqa: E402

from . import packages_image, peer_serve  # noqa: E402

MIB = 1 << 20
AT_ONCE = 3  # layers that a client pulls at the same time, as containerd does


@dataclasses.dataclass
class Content:
    name: str
    blobs: dict  # digest: bytes

    @property
    def size(self):
        return sum(map(len, self.blobs.values()))

    @property
    def stripes(self):
        return sum(math.ceil(len(data) / stripe_bytes(len(data))) for data in self.blobs.values())


@dataclasses.dataclass
class Measured:
    nodes: int
    rate: int
    strategy: str
    content: str
    fault: str  # "", "slow" or "dead"
    bound_s: float
    seconds: list  # of the healthy nodes
    slow_s: float
    slow_bound_s: float
    copies: float
    moved: float
    upload_spread: float
    cpu_s_per_gb: float


def lower_bound(content, nodes, rate, slowest=None):
    """Seconds: the last byte cannot be anywhere sooner. `slowest`: the link of the node that is looked at."""
    link = (slowest or rate) * 1e6 / 8
    origin = rate * 1e6 / 8
    hops = math.ceil(math.log2(nodes + 1)) - 1
    return max(content.size / link, content.size / origin) + content.size / (content.stripes * link) * hops


class FleetPull:
    """One client a node, all at once; each pulls all blobs and throws them away."""

    def __init__(self, cluster, content, folder):
        self.nodes = cluster.nodes
        self.size = content.size
        self.killed = None
        self.config = os.path.join(folder, "curl.conf")
        with open(self.config, "w") as out:
            for digest in content.blobs:
                out.write(f'url = "{self.nodes[0].url}/v2/{REPOSITORY}/blobs/{digest}"\noutput = "/dev/null"\n'
                          'write-out = "%{size_download}\\n"\n')

    def run(self, timeout_s, kill_at_s=None):
        """Seconds by node. `kill_at_s`: when the last node dies; its own is then meaningless."""
        began = time.monotonic()
        # At once: otherwise curl holds its other transfers back until the first has ended, in hope of a connection to share.
        curls = [subprocess.Popen([*node.space.prefix, machine.need("curl"), "-sS", "--fail", "--parallel", "--parallel-immediate",
                                   "--parallel-max", str(AT_ONCE), "-K", self.config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True) for node in self.nodes]
        ends = [None] * len(curls)
        try:
            while None in ends:
                if time.monotonic() - began > timeout_s:
                    raise RuntimeError(f"not done after {timeout_s:.0f} s: {[n.name for n, e in zip(self.nodes, ends) if e is None]}")
                if kill_at_s and time.monotonic() - began > kill_at_s:
                    self.killed = self.nodes[-1]
                    if any(ends) or not self.killed.process.running:
                        raise RuntimeError(f"some had ended before the kill at {kill_at_s:.1f} s")
                    self.killed.kill()
                    kill_at_s = None
                for index, curl in enumerate(curls):
                    if ends[index] is None and curl.poll() is not None:
                        ends[index] = time.monotonic() - began
                time.sleep(0.005)
        finally:
            for curl in curls:
                if curl.poll() is None:
                    curl.kill()
        if kill_at_s:
            raise RuntimeError(f"all were done before the kill at {kill_at_s:.1f} s")
        for node, curl in zip(self.nodes, curls):
            if node is self.killed:
                continue
            if not node.process.running:
                raise RuntimeError(f"{node} is not running any more: {node.log()[-300:]}")
            said = curl.stdout.read()
            got = sum(int(line) for line in said.splitlines() if line.isdigit())
            if curl.returncode != 0 or got != self.size:
                raise RuntimeError(f"{node}: curl ended with {curl.returncode} after {got} of {self.size} bytes: {said[-300:]}")
        return ends


def measure(folder, content, nodes, rate, strategy, fault):
    slow, dead = fault == "slow", fault == "dead"
    cluster = Cluster(folder, nodes, rate=f"{rate}mbit", strategy_name=strategy, log_level="warn")
    try:
        if slow:
            cluster.network.shape(cluster.nodes[-1].space, f"{rate / 10}mbit", f"{rate / 10}mbit")
        cluster.start()
        for digest, data in content.blobs.items():
            cluster.push(data, digest)
        cluster.settled()
        time.sleep(1)
        mark = cluster.upstream.mark()
        pids = [node.process.pid for node in (cluster.nodes[:-1] if dead else cluster.nodes)]
        cpu = machine.cpu_seconds(pids)
        bound = lower_bound(content, nodes, rate)
        slow_bound = lower_bound(content, nodes, rate, rate / 10) if slow else 0.0
        pull = FleetPull(cluster, content, folder)
        ends = pull.run(60 + 10 * max(bound * (nodes if strategy == "single" else 1), slow_bound), bound / 2 if dead else None)
        cpu = machine.cpu_seconds(pids) - cpu
        alive = [node for node in cluster.nodes if node is not pull.killed]
        uploads = [node.uploaded() for node in alive]
        moved = sum(node.downloaded() + node.from_upstream() for node in alive)
        result = Measured(nodes, rate, strategy, content.name, fault, bound, ends[:-1] if fault else ends, ends[-1] if slow else 0.0,
                          slow_bound, settled_bytes(cluster.upstream, mark) / content.size, moved / content.size / len(alive),
                          max(uploads) / statistics.mean(uploads) if any(uploads) else 0.0,
                          cpu / (content.size * len(alive) / 1e9))
        check(cluster, content, alive)
        return result
    finally:
        cluster.stop()


def check(cluster, content, nodes):
    """Every byte on each of these nodes, from its storage now."""
    for digest, data in content.blobs.items():
        peer_serve.check(cluster.pull_all(f"/v2/{REPOSITORY}/blobs/{digest}", nodes), digest)


def capacity(folder, content, nodes, rate):
    """What the machine can carry: all nodes straight from a registry whose own link is not shaped. Seconds over the ideal."""
    cluster = Cluster(folder, nodes, rate=f"{rate}mbit", upstream_rate="20gbit", strategy_name="single")
    try:
        cluster.start_upstream()
        digest, data = next(iter(content.blobs.items()))
        cluster.push(data, digest)
        url = f"{cluster.upstream.url}/v2/{REPOSITORY}/blobs/{digest}"
        began = time.monotonic()
        curls = [subprocess.Popen([*node.space.prefix, machine.need("curl"), "-sS", "--fail", "-o", "/dev/null", url],
                                  stdin=subprocess.DEVNULL) for node in cluster.nodes]
        for curl in curls:
            if curl.wait(600) != 0:
                raise RuntimeError("the registry alone could not serve them")
        spent = time.monotonic() - began
        return spent / (len(data) / (rate * 1e6 / 8)), nodes * len(data) / spent / 1e6
    finally:
        cluster.stop()


def idle(folder, nodes, seconds):
    cluster = Cluster(folder, nodes, strategy_name="swarm", log_level="warn")
    try:
        cluster.start()
        cluster.settled()
        time.sleep(5)
        before = [machine.cpu_seconds([node.process.pid]) for node in cluster.nodes]
        time.sleep(seconds)
        used = [machine.cpu_seconds([node.process.pid]) - at for node, at in zip(cluster.nodes, before)]
        resident = [machine.memory_kib(node.process.pid, "VmRSS") / 1024 for node in cluster.nodes]
        return [100 * one / seconds for one in used], resident
    finally:
        cluster.stop()


class Fleet:
    def __init__(self, options):
        self.options = options
        self.began = time.monotonic()
        self.base = os.path.join(ROOT, "build", "bench")
        os.makedirs(self.base, exist_ok=True)
        # Short, because Unix socket paths are.
        self.work = tempfile.mkdtemp(prefix="oxf-")
        self.report = fleet_report.Report()
        self.failed = False

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def part(self, name, measure_it):
        """One measurement; that it fails does not end the others."""
        self.say(name)
        folder = tempfile.mkdtemp(dir=self.work)
        try:
            return measure_it(folder)
        except (Missing, machine.Missing) as missing:
            self.report.skipped[name] = str(missing)
        except Exception as error:
            traceback.print_exc()
            self.report.skipped[name] = f"failed: {error}".replace("\n", " ")[:300]
            self.failed = True
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return None

    def contents(self):
        size = (64 if self.options.quick else 256) * MIB
        data = test_image.noise(size, "fleet")
        yield Content(f"blob of {size // MIB} MiB", {test_image.sha256(data): data})
        image, packages = packages_image.build(*((3, 12) if self.options.quick else (6, 60)))
        self.report.notes.append(f"The image has {len(image.layers)} layers, {image_size(image) / 1e6:.0f} MB: the files of "
                                 + ", ".join(packages) + ".")
        yield Content("image", image.blobs)

    def fleets(self):
        options = self.options
        contents = list(self.contents())
        for rate in options.rate:
            for nodes in options.nodes:
                found = self.part(f"capacity: {nodes} nodes, {rate} Mbit/s", lambda f: capacity(f, contents[0], nodes, rate))
                if found:
                    self.report.capacity.append((nodes, rate, *found))
        for rate in options.rate:
            for nodes in options.nodes:
                for strategy in options.strategy:
                    if strategy == "single" and nodes != min(options.nodes) and not options.every:
                        continue
                    faulty = options.slow and strategy != "single" and (options.every or nodes == max(options.nodes))
                    for fault in ("", "dead", "slow") if faulty else ("",):
                        for content in contents:
                            name = f"{content.name}, {nodes} nodes, {rate} Mbit/s, {strategy}" + fleet_report.FAULTS[fault]
                            got = self.part(name, lambda f: measure(f, content, nodes, rate, strategy, fault))
                            if got:
                                self.report.fleet.append(got)
                                self.say(f"  max {max(got.seconds):.2f} s = {max(got.seconds) / got.bound_s:.2f} × LB, "
                                         f"{got.copies:.3f} copies, {got.cpu_s_per_gb:.2f} CPU s/GB")

    def run(self):
        if "fleet" in self.options.part:
            self.fleets()
        if "idle" in self.options.part:
            count, seconds = (4, 10) if self.options.quick else (16, 60)
            got = self.part(f"idle: {count} nodes, {seconds} s", lambda f: idle(f, count, seconds))
            if got:
                self.report.idle = (count, seconds, *got)
        if "p2p" in self.options.part:
            self.report.p2p = self.part("p2p: warm holder to a client that discards",
                                        lambda f: peer_serve.compare(f, (128 if self.options.quick else 1024) * MIB,
                                                                     3 if self.options.quick else 9))
            self.report.end_to_end = self.part("p2p: from one daemon to another", lambda f: peer_serve.end_to_end(
                f, (128 if self.options.quick else 1024) * MIB, 2 if self.options.quick else 5))
        return self.failed

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)
        if not self.report.empty():
            described = machine.describe(ROOT)
            with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
                described["congestion control"] = file.read().strip()
            out = self.options.out or os.path.join(self.base, "fleet.md")
            print(self.report.write(out, described, time.monotonic() - self.began))
            self.say(f"written: {out}")


def image_size(image):
    return sum(map(len, image.blobs.values()))


def numbers(text):
    return [int(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=numbers)
    parser.add_argument("--rate", type=numbers)
    parser.add_argument("--strategy", type=lambda text: text.split(","), default=["swarm", "ring", "fingers", "single"])
    parser.add_argument("--part", type=lambda text: text.split(","), default=["fleet", "idle", "p2p"])
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out")
    options = parser.parse_args()
    options.nodes = options.nodes or ([4] if options.quick else [4, 8, 16])
    options.rate = options.rate or ([200] if options.quick else [200, 100])
    network.sweep()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    fleet = Fleet(options)
    try:
        failed = fleet.run()
    finally:
        fleet.close()
    return 1 if failed or fleet.report.empty() else 0


if __name__ == "__main__":
    sys.exit(main())
