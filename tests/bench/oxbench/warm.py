"""Stored content: CPU seconds per GB against nginx and docker-registry, requests per second."""

from . import content, load, machine, servers, stats
from .report import Row

MIB = content.MIB


class WarmBench:
    """nginx, docker-registry and two mirrors (plain, TLS) with the same content, all of it pulled, checked and in memory."""

    def __init__(self, folder, parts):
        self.folder = folder
        self.tree = content.Tree(folder)
        self.parts = parts
        bodies = any(part in parts for part in ("plain", "tls", "h2", "blobs"))
        self.large = self.tree.blob(1024 * MIB, 0) if bodies else None
        self.medium = [self.tree.blob(16 * MIB, number) for number in range(1, 65)] if bodies else []
        self.manifests = [self.tree.manifest(4096, number) for number in range(64)]
        self.certificate = None
        self.running = []

    def _start(self, server):
        self.running.append(server)
        return server.start()

    def start(self):
        tls = "tls" in self.parts or "h2" in self.parts
        pair = servers.make_certificate(self.folder) if tls else None
        self.certificate = pair[0] if pair else None
        self.registry = self._start(servers.Registry(self.folder, self.tree.registry))
        self.nginx = self._start(servers.Nginx(self.folder + "/nginx", self.tree.web, pair))
        self.plain = self._start(servers.Oxbow(self.folder, self.registry.url))
        self._pull(self.plain, None)
        self.secure = None
        if tls:
            # The same store: a daemon takes it over after the other has left.
            self.plain.stop()
            self.secure = servers.Oxbow(self.folder, self.registry.url, tls=pair)
            if "plain" in self.parts or "small" in self.parts or "blobs" in self.parts:
                self.plain.start()

    def use_tls(self):
        if self.plain.process.running:
            self.plain.stop()
            self.running.remove(self.plain)
        if self.secure not in self.running:
            self._start(self.secure)
        self.secure.pin()
        self.nginx.pin()
        self._pull(self.secure, self.certificate)

    def _pull(self, server, certificate):
        for digest in [self.large, *self.medium] if self.large else []:
            load.fetch_time(server.url + content.blob_path(digest), self.tree.sizes[digest],
                            ["--cacert", certificate] if certificate else [])
        for digest in self.manifests:
            load.fetch_time(server.url + content.manifest_path(digest), self.tree.sizes[digest],
                            ["--cacert", certificate] if certificate else [])

    def pin(self):
        for server in (self.nginx, self.registry, self.plain):
            server.pin()

    def stop(self):
        for server in reversed(self.running):
            server.stop()

    # The shapes of a load: (name, connections' transfers, bytes)
    def shapes(self):
        size = self.tree.sizes[self.large]
        large, medium = content.blob_path(self.large), [content.blob_path(digest) for digest in self.medium]
        eighth = size // 8
        return [
            ("1 GiB, 1 connection", [load.Transfer([large])], size),
            ("1 GiB, 8 connections", [load.Transfer([large], f"{i * eighth}-{(i + 1) * eighth - 1}") for i in range(8)], size),
            ("64 × 16 MiB, 1 connection", [load.Transfer(medium)], 64 * 16 * MIB),
            ("64 × 16 MiB, 8 connections", [load.Transfer(medium[i::8]) for i in range(8)], 64 * 16 * MIB),
        ]


def _cpu(sample):
    return sample.cpu_s_per_gb


def _both(sample):
    return sample.both_cpu_s_per_gb


def _costs(name, median):
    return f"{name}{median(_cpu):.3f} s/GB, with clients {median(_both):.2f}"


def bodies(bench, kind, target, run, why):
    """CPU per GB of Oxbow over nginx's, by shape; and the null test. `kind`: plain, tls or h2."""
    tls, http2 = kind != "plain", kind == "h2"
    if tls:
        bench.use_tls()
    else:
        bench.pin()
    ours = bench.secure if tls else bench.plain
    their_url = bench.nginx.tls_url if tls else bench.nginx.url
    certificate = bench.certificate if tls else None
    for url in (ours.url, their_url):
        load.check_content(url + content.blob_path(bench.large), bench.large, certificate, http2)
        load.check_content(url + content.blob_path(bench.medium[5]), bench.medium[5], certificate, http2)
    rows, null = [], None
    shapes = bench.shapes()
    for index, (name, transfers, size) in enumerate(shapes):
        folder = run.folder(f"{kind}-{index}")
        client = load.CurlLoad(folder, transfers, size, certificate, http2)
        sample_ours = lambda: client.run(ours, ours.url)
        sample_theirs = lambda: client.run(bench.nginx, their_url)
        sample_ours(), sample_theirs()  # first serves
        if index == 0:
            null = run.pairs(f"{kind}: nginx against itself", sample_theirs, sample_theirs).ratio(_cpu)
        pairs = run.pairs(f"{kind}: {name}", sample_ours, sample_theirs)
        ratio = pairs.ratio(_cpu)
        rows.append(Row(name, _costs("", pairs.median_a), _costs("nginx ", pairs.median_b), f"{ratio} × CPU/GB", f"≤ {target:.2f}",
                        ratio.median <= target, ratio.pairs, not null.undisturbed, why.get(kind, "")))
    return rows, null


def manifests(bench, run, why):
    """Requests per second for manifests of 4 KiB by digest."""
    machine.need("wrk")
    bench.pin()
    paths = [content.manifest_path(digest) for digest in bench.manifests]
    for server in (bench.plain, bench.nginx, bench.registry):
        load.check_content(server.url + paths[7], bench.manifests[7])
    seconds, folder = run.wrk_seconds, run.folder("small")
    take = lambda server: load.wrk(server, server.url, paths, folder, seconds, 16)
    rate, cost = (lambda s: s.requests_per_s), (lambda s: s.cpu_us_per_request)
    for server in (bench.plain, bench.nginx, bench.registry):
        take(server)
    null = run.pairs("manifests: nginx against itself", lambda: take(bench.nginx), lambda: take(bench.nginx)).ratio(rate)
    rows = []
    for other, target in ((bench.nginx, 0.8), (bench.registry, 3.0)):
        pairs = run.pairs(f"manifests: {other.name}", lambda: take(bench.plain), lambda: take(other))
        ratio = pairs.ratio(rate)
        rows.append(Row("4 KiB manifests by digest, 16 connections",
                        f"{pairs.median_a(rate):,.0f}/s, {pairs.median_a(cost):.0f} µs CPU each",
                        f"{other.name} {pairs.median_b(rate):,.0f}/s, {pairs.median_b(cost):.0f} µs CPU each",
                        f"{ratio} × requests/s", f"≥ {target}", ratio.median >= target, ratio.pairs, not null.undisturbed,
                        why.get(f"small {other.name}", "")))
    return rows, null


def against_registry(bench, run, why):
    """Stored blobs against docker-registry."""
    bench.pin()
    load.check_content(bench.registry.url + content.blob_path(bench.large), bench.large)
    rows = []
    shapes = bench.shapes()
    for index in (0, 3):
        name, transfers, size = shapes[index]
        client = load.CurlLoad(run.folder(f"blobs-{index}"), transfers, size)
        sample_ours = lambda: client.run(bench.plain, bench.plain.url)
        sample_theirs = lambda: client.run(bench.registry, bench.registry.url)
        sample_ours(), sample_theirs()
        pairs = run.pairs(f"blobs against docker-registry: {name}", sample_ours, sample_theirs)
        ratio = pairs.ratio(_cpu)
        rows.append(Row(name, _costs("", pairs.median_a), _costs("docker-registry ", pairs.median_b), f"{ratio} × CPU/GB", "none", None,
                        ratio.pairs))
    return rows, None
