"""The registry that is the source of truth, on a host of its own. Its access log counts what crossed its link."""

import time

from oxtest.faulty import FaultyRegistry
from oxtest.registry import Registry
from oxtest.token_server import TokenServer


def settled_bytes(upstream, mark, still_s=1, at_most_s=10):
    """A connection that was hung up on is logged when the registry notices: the count is over when it has stood for a while."""
    end = time.monotonic() + at_most_s
    count, since = upstream.blob_bytes(mark), time.monotonic()
    while time.monotonic() < min(end, since + still_s):
        time.sleep(0.1)
        now = upstream.blob_bytes(mark)
        if now != count:
            count, since = now, time.monotonic()
    return count


class Upstream(Registry):
    def __init__(self, folder, space, **options):
        super().__init__(folder, address=space.address, prefix=space.prefix, **options)
        self.space = space

    def start(self):
        with self.space.entered():
            return super().start()

    def _request(self, *arguments, **options):
        with self.space.entered():
            return super()._request(*arguments, **options)

    def blob_bytes(self, since):
        """HTTP body bytes of all GETs of blobs."""
        return sum(a.bytes for a in self.access("GET", "/blobs/", since) if a.status in (200, 206))


class PullThrough(Upstream):
    """A real one as the pull-through cache of another on its host. What it does not have yet it sends whole, whatever range it
    was asked for."""

    def __init__(self, folder, space, **options):
        self.origin = Upstream(folder, space, name="origin")
        super().__init__(folder, space, proxy=self.origin.url, **options)

    def start(self):
        self.origin.start()
        return super().start()

    def stop(self):
        super().stop()
        self.origin.stop()

    def push_blob(self, repository, data, digest):
        return self.origin.push_blob(repository, data, digest)


class Scripted(FaultyRegistry):
    """One that can be slow, or wrong, in the ways that no real one is on demand; the same as the other to a cluster."""

    def __init__(self, folder, space, token=None):
        super().__init__(space.address)
        self.space = space

    def start(self):
        with self.space.entered():
            return super().start()

    def push_blob(self, repository, data, digest):
        self.add_blob(data, digest)

    def mark(self):
        with self.lock:
            return len(self.seen)

    def blob_bytes(self, since):
        with self.lock:
            return sum(s.sent for s in self.seen[since:] if s.method == "GET" and "/blobs/" in s.target)


class Tokens(TokenServer):
    def __init__(self, folder, space, **options):
        super().__init__(folder, address=space.address, **options)
        self.space = space

    def start(self):
        with self.space.entered():
            return super().start()
