"""The base of all scenarios: a cluster that goes away, and the two checks that each of them makes."""

import unittest

from oxtest import clients
from oxtest.case import Case, test_image
from oxtest.process import wait_until

from .cluster import REGISTRY, REPOSITORY, Cluster, has_peers
from .pull import finish
from .upstream import settled_bytes

MIB = 1 << 20
# What clients are promised, whatever happens to peers (docs/clients.md, rows 22 and 23).
HEADERS_S, GAP_S = 3.0, 10.0


def needs_peers(test):
    return unittest.skipUnless(has_peers(), "OXTEST_STRATEGY=single: no peers")(test)


class Scenario(Case):
    longest = 0.0, 0.0  # time to a header, gap in a body, of all pulls so far

    def cluster(self, count, start=True, settle=True, **options):
        made = Cluster(self.own_folder(), count, **options)
        self.addCleanup(made.stop_rest)
        self.addCleanup(self._end_nodes, made)
        self.current = made
        if start:
            self.start_cluster(made, settle)
        return made

    def start_cluster(self, made, settle=True):
        made.start()
        self.own_mirrors += made.nodes
        if settle:
            made.settled()

    def _end_nodes(self, made):
        for node in made.terminate():
            self.addCleanup(self.end_running, node)  # each, whatever the others say

    def blob(self, size, seed=""):
        """(bytes, digest) that no other test pulls."""
        data = test_image.noise(size, f"{self.id()}/{seed}")
        return data, test_image.sha256(data)

    def pushed(self, cluster, size, seed=""):
        """A blob at the registry: (path, digest, where the access log ends now)."""
        data, digest = self.blob(size, seed)
        path = cluster.push(data, digest)
        return path, digest, cluster.upstream.mark()

    def containerd(self, node):
        """One on the node's host, with the node as its mirror of the registry."""
        daemon = self.start(clients.Containerd(node.folder, prefix=node.space.prefix))
        daemon.use_mirror(REGISTRY, node.url)
        return daemon

    def while_pulling(self, pulls, condition, what, timeout_s=30):
        """Waits for something that has to happen before the pulls are over: else the scenario has proved nothing."""
        value = self.until(lambda: condition() or not any(pull.is_alive() for pull in pulls), what, timeout_s)
        self.assertTrue(any(pull.is_alive() for pull in pulls), f"the pulls were over before: {what}")
        return value

    # The two checks of every scenario
    def assert_all_whole(self, results, digest, size, headers_s=HEADERS_S, gap_s=GAP_S):
        """Every pull ended well, with the right bytes, each response in time, without a long gap and none that was refused."""
        wrong = [f"{r.node}: {r.bytes} of {size} bytes, status {r.status}, {r.error or 'wrong bytes: ' + r.digest}" for r in results
                 if r.error or r.digest != digest or r.bytes != size]
        self.assertFalse(wrong, "\n".join(wrong))
        self.assertEqual({r.node.name: r.refused for r in results if r.refused}, {})
        late = [f"{r.node}: header after {r.headers_s:.2f} s (at most {headers_s}), {r.gap_s:.2f} s without a byte (less than {gap_s})"
                for r in results if r.headers_s > headers_s or r.gap_s >= gap_s]
        self.assertFalse(late, "\n".join(late))
        self.longest = [max(pair) for pair in zip(self.longest, *((r.headers_s, r.gap_s) for r in results))]

    def assert_from_upstream(self, cluster, mark, size, at_most, nodes, at_least=1.0):
        """Body bytes in the registry's access log: `at_most` copies; without peers, a copy a node."""
        wait_until(lambda: cluster.upstream.blob_bytes(mark) >= at_least * size, 30, "the access log to have it all")
        copies = settled_bytes(cluster.upstream, mark) / size
        print(f"      {self.id().rpartition('.')[2]}: {copies:.3f} copies from upstream; headers within {self.longest[0]:.2f} s, "
              f"no gap over {self.longest[1]:.2f} s", flush=True)
        self.assertLessEqual(copies, at_most if has_peers() else nodes * max(at_most, 1.0), "copies of the blob from upstream")

    def assert_nothing_from_upstream(self, cluster, mark):
        """Not a byte since then: it is stopped, or nobody had to ask."""
        self.assert_from_upstream(cluster, mark, 1, 0, 0, at_least=0)

    @staticmethod
    def size_of_layers(built):
        return sum(len(built.blobs[layer]) for layer in built.layers)

    def layers_pulled(self, cluster, built, nodes=None):
        """All layers of the image on all these nodes at once; whole on each."""
        running = [(layer, cluster.pulls(f"/v2/{REPOSITORY}/blobs/{layer}", nodes)) for layer in built.layers]
        for layer, pulls in running:
            self.assert_all_whole(finish(pulls), layer, len(built.blobs[layer]))

    @staticmethod
    def until(condition, what, timeout_s=30):
        return wait_until(condition, timeout_s, what, 0.02)
