"""Content that is not here yet: time through Oxbow against time without it, over links that are slower than the machine."""

import os
import subprocess

from . import content, load, machine, servers
from .report import Row

MIB = content.MIB


class ShapedLink:
    """A network namespace with a registry behind a link of that rate. Made and deleted here, by its own name."""

    def __init__(self, rate, burst):
        if os.getuid() != 0:
            raise machine.Missing("not root: no network namespaces")
        self.ip, self.tc = machine.need("ip"), machine.need("tc")
        self.name = f"oxbench{os.getpid()}"
        # TEST-NET-2, with the process in it so that two runs do not meet.
        base = 4 * (os.getpid() % 60)
        self.here, self.there = f"198.51.100.{base + 1}", f"198.51.100.{base + 2}"
        self.rate, self.burst = rate, burst

    def _run(self, *argv):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise machine.Missing(f"{' '.join(argv)}: {done.stdout.strip()}")

    def __enter__(self):
        try:
            self._run(self.ip, "netns", "add", self.name)
            ours, theirs = f"oxb{os.getpid() % 10000000}", f"oxp{os.getpid() % 10000000}"
            self._run(self.ip, "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
            self._run(self.ip, "addr", "add", self.here + "/30", "dev", ours)
            self._run(self.ip, "link", "set", ours, "up")
            inside = (self.ip, "netns", "exec", self.name)
            self._run(*inside, self.ip, "addr", "add", self.there + "/30", "dev", theirs)
            self._run(*inside, self.ip, "link", "set", theirs, "up")
            self._run(*inside, self.ip, "link", "set", "lo", "up")
            # The burst holds several of the largest segments that the kernel hands down (64 KiB).
            self._run(*inside, self.tc, "qdisc", "add", "dev", theirs, "root", "tbf", "rate", self.rate, "burst", self.burst,
                      "latency", "50ms")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The pair of devices goes with the namespace.
        subprocess.run([self.ip, "netns", "del", self.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def inside(self):
        return (self.ip, "netns", "exec", self.name)


class ColdPulls:
    """Each pull through the mirror is of a blob that it has never seen; the direct one is of the same blob."""

    def __init__(self, folder, size, count, first_number):
        self.tree = content.Tree(folder)
        self.size = size
        self.blobs = [self.tree.blob(size, first_number + index) for index in range(count)]
        self.next_cold = self.next_direct = 0
        self.copies = []

    def direct(self, url):
        digest = self.blobs[self.next_direct % len(self.blobs)]
        self.next_direct += 1
        return load.fetch_time(url + content.blob_path(digest), self.size)

    def through(self, mirror, registry):
        digest = self.blobs[self.next_cold]
        self.next_cold += 1
        mark = registry.mark()
        seconds = load.fetch_time(mirror.url + content.blob_path(digest), self.size)
        servers.settle()
        self.copies.append(registry.body_bytes(digest, mark) / self.size)
        return seconds

    def check(self, mirror):
        """What has been stored is right: the last blob again, now from disk."""
        digest = self.blobs[self.next_cold - 1]
        load.check_content(mirror.url + content.blob_path(digest), digest)

    def copies_row(self, what):
        exact = all(copies == 1 for copies in self.copies)
        said = "1.000 copies each time" if exact else f"{min(self.copies):.3f}–{max(self.copies):.3f} copies"
        return Row(f"{what}: bytes over the upstream link", said, "—", said, "1 copy", exact, len(self.copies))


def shaped(run, name, rate, burst, size, count, why):
    folder = run.folder(f"cold-{rate}")
    pulls = ColdPulls(folder, size, count, 1000)
    with ShapedLink(rate, burst) as link:
        registry = run.started(servers.Registry(folder, pulls.tree.registry, host=link.there, prefix=link.inside()))
        mirror = run.started(servers.Oxbow(folder, registry.url))
        pulls.direct(registry.url)
        pairs = run.pairs(f"cold: {name}", lambda: pulls.through(mirror, registry), lambda: pulls.direct(registry.url), count)
        pulls.check(mirror)
        run.stop(mirror, registry)
    ratio = pairs.ratio()
    what = f"{name}, {size // MIB} MiB blob"
    run.remove(folder)
    return [Row(what, f"{pairs.median_a():.2f} s", f"direct {pairs.median_b():.2f} s", f"{ratio} × the time", "≤ 1.05", ratio.median <= 1.05,
                ratio.pairs, why=why.get(f"cold {rate}", "")), pulls.copies_row(what)]


def throttled(run, size, count, why):
    """An upstream that gives each connection 20 MB/s."""
    folder = run.folder("cold-throttled")
    pulls = ColdPulls(folder, size, count, 2000)
    registry = run.started(servers.Registry(folder, pulls.tree.registry))
    front = run.started(servers.Nginx(folder + "/front", "", locations=f"""location / {{
      proxy_pass {registry.url}; proxy_http_version 1.1; proxy_max_temp_file_size 0; limit_rate 20000000;
    }}"""))
    mirror = run.started(servers.Oxbow(folder, front.url))
    pairs = run.pairs("cold: 20 MB/s a connection", lambda: pulls.through(mirror, registry), lambda: pulls.direct(front.url), count)
    pulls.check(mirror)
    run.stop(mirror, front, registry)
    ratio = pairs.ratio(lambda seconds: 1 / seconds)
    what = f"20 MB/s a connection, {size // MIB} MiB blob"
    run.remove(folder)
    return [Row(what, f"{pairs.median_a():.2f} s", f"direct {pairs.median_b():.2f} s", f"{ratio} × as fast", "≥ 3", ratio.median >= 3,
                ratio.pairs, why=why.get("cold throttled", "")), pulls.copies_row(what)]
