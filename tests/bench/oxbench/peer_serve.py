"""Stripes over HTTP/2 and mutual TLS on loopback: a holder that has them, against nginx with the same certificate and files."""

import json
import os
import statistics
import subprocess
import time

from oxcluster.authority import Authority
from oxcluster.cluster import Cluster
from oxcluster.peer_geometry import stripe_bytes
from oxcluster.upstream import settled_bytes
from oxtest.case import test_image
from oxtest.process import free_port

from . import content, load, machine, servers, stats

STREAMS = 8  # of the one connection
CLIENT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "build", "release", "bin", "h2_client_bench"))


class Holder(servers.Oxbow):
    """A daemon that has the blob, and one more member in its list: the client."""

    def __init__(self, folder, upstream, tls, name, client_address):
        super().__init__(folder, upstream, name=name)
        self.peer_port = free_port()
        self.mirror.sections["peer"] = {"name": name, "listen": f"127.0.0.1:{self.peer_port}", "tls": tls}
        self.mirror.sections["membership"] = {"peers": [f"127.0.0.1:{self.peer_port}", client_address]}
        self.mirror.sections["log"] = {"level": "warn"}
        self.peer_url = f"https://127.0.0.1:{self.peer_port}"


class StripeClient:
    """One connection that asks for every stripe, by our own HTTP/2 client; the bytes are thrown away."""

    def __init__(self, tls, digest, size):
        self.size, self.stripe, self.tls = size, stripe_bytes(size), tls
        self.count = (size + self.stripe - 1) // self.stripe
        self.path = f"/p2p/v1/blobs/{digest}/stripes/%"

    def run(self, server, url):
        before, began = server.cpu_seconds(), time.monotonic()
        done = subprocess.run([CLIENT, "--ca", self.tls["ca"], "--cert", self.tls["certificate"], "--key", self.tls["key"],
                               "--header", f"oxbow-size:{self.size}", "127.0.0.1", url.rpartition(":")[2], self.path,
                               str(self.count), str(STREAMS)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        wall = time.monotonic() - began
        got = round(float(done.stdout.split()[0]) * 1e9) if done.returncode == 0 else 0
        if abs(got - self.size) > 1e6:
            raise RuntimeError(f"{server.name}: the client ended with {done.returncode}: {done.stdout[-300:]}")
        return load.Sample(server.cpu_seconds() - before, wall, bytes=self.size)


def hello(url, tls, name, address):
    """Members only are served: the client says hello first."""
    body = json.dumps({"name": name, "protocol_oldest": 1, "protocol_newest": 1, "advertise": address})
    subprocess.run([machine.need("curl"), "-sS", "--fail", "--http2", "--insecure", "--cert", tls["certificate"], "--key", tls["key"],
                    "-d", body, url + "/p2p/v1/hello"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def compare(folder, size, count):
    """Lines for the report."""
    authority = Authority(folder)
    holder_tls, client_tls = authority.issue("holder"), authority.issue("client")
    tree = content.Tree(os.path.join(folder, "tree"))
    digest = tree.blob(size, 1)
    client = StripeClient(client_tls, digest, size)
    stripes = os.path.join(tree.web, "p2p", "v1", "blobs", digest, "stripes")
    os.makedirs(stripes)
    with open(os.path.join(tree.web, "v2", content.REPOSITORY, "blobs", digest), "rb") as blob:
        for index in range(client.count):
            with open(os.path.join(stripes, str(index)), "wb") as out:
                out.write(blob.read(client.stripe))
    running = []
    try:
        registry = servers.Registry(os.path.join(folder, "registry"), tree.registry)
        running.append(registry.start())
        nginx = servers.Nginx(os.path.join(folder, "nginx"), tree.web, (holder_tls["certificate"], holder_tls["key"]),
                              extra=f"ssl_client_certificate {holder_tls['ca']}; ssl_verify_client on; ssl_verify_depth 2;")
        running.append(nginx.start())
        address = f"127.0.0.1:{free_port()}"  # nobody listens there: members only are served, and the client says that it is one
        holder = Holder(folder, registry.url, holder_tls, "holder", address)
        running.append(holder.start())
        load.check_content(holder.url + content.blob_path(digest), digest)
        hello(holder.peer_url, client_tls, "client", address)
        ours, theirs = (lambda: client.run(holder, holder.peer_url)), (lambda: client.run(nginx, nginx.tls_url))
        ours(), theirs()
        pairs = stats.Pairs(ours, theirs, count, float("inf"))
    finally:
        for server in reversed(running):
            server.stop()
    rate = lambda sample: sample.bytes / sample.wall_s / 1e6
    cost = lambda sample: sample.cpu_s_per_gb
    speed, spent = pairs.ratio(rate), pairs.ratio(cost)
    verdict = "met" if speed.median >= 1 else "**MISSED**"
    return [f"One connection, {STREAMS} streams, stripes of {client.stripe >> 10} KiB, {size // content.MIB} MiB each time, {speed.pairs} pairs.", "",
            "| measured | Oxbow | nginx | ratio | target | verdict |", "|---|---|---|---|---|---|",
            f"| throughput | {pairs.median_a(rate):.0f} MB/s | {pairs.median_b(rate):.0f} MB/s | {speed} | ≥ 1.0 | {verdict} |",
            f"| CPU of the server | {pairs.median_a(cost):.3f} s/GB | {pairs.median_b(cost):.3f} s/GB | {spent} | none | — |"]


def end_to_end(folder, size, count):
    """Lines for the report: a daemon that has the blob, another that pulls it from there, and a client of that one that discards."""
    cluster = Cluster(folder, 2, log_level="warn")
    rates, given, taken, copies = [], [], [], []
    try:
        cluster.start()
        cluster.settled()
        holder, receiver = cluster.nodes
        for index in range(-1, count):  # the first one vouches for the holder, and is not counted
            data = test_image.noise(size if index >= 0 else 64 * content.MIB, f"end to end {index}")
            digest = test_image.sha256(data)
            path = cluster.push(data, digest)
            check(cluster.pull_all(path, [holder]), digest)
            time.sleep(2)  # it has announced it
            mark = cluster.upstream.mark()
            before = [machine.cpu_seconds([node.process.pid]) for node in cluster.nodes]
            began = time.monotonic()
            subprocess.run([*receiver.space.prefix, machine.need("curl"), "-sS", "--fail", "-o", "/dev/null", receiver.url + path], check=True,
                           stdin=subprocess.DEVNULL)
            wall = time.monotonic() - began
            used = [machine.cpu_seconds([node.process.pid]) - at for node, at in zip(cluster.nodes, before)]
            check(cluster.pull_all(path, [receiver]), digest)
            if index >= 0:
                rates.append(size / wall / 1e6)
                given.append(used[0] / (size / 1e9))
                taken.append(used[1] / (size / 1e9))
                copies.append(settled_bytes(cluster.upstream, mark) / size)
    finally:
        cluster.stop()
    spread = lambda values, form: f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"
    return [f"Two daemons on veth links that are not shaped, {count} blobs of {size // content.MIB} MiB; the receiver verifies each, keeps it on disk and "
            f"gives it to a client that discards. From upstream: {statistics.mean(copies):.3f} copies.", "",
            "| end to end | CPU of the holder | CPU of the receiver |", "|---|---|---|",
            f"| {spread(rates, '.0f')} MB/s | {spread(given, '.2f')} s/GB | {spread(taken, '.2f')} s/GB |"]


def check(results, digest):
    for result in results:
        if result.error or result.digest != digest:
            raise RuntimeError(f"{result.node}: {digest}: {result.error or 'wrong bytes'}")
