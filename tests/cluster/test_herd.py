"""Healthy clusters: what has come down once is not asked for again, whoever wants it and when."""

import threading

from oxcluster.case import MIB, Scenario, needs_peers
from oxcluster.cluster import REGISTRY
from oxtest import clients
from oxtest.case import image

SIZE = 64 * MIB


class Herd(Scenario):
    # A rollout: all nodes ask within the same moment.
    def test_cold_herd_of_eight(self):
        cluster = self.cluster(8, rate="200mbit")
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 8)

    # The later ones find part of it among those who began.
    def test_staggered(self):
        cluster = self.cluster(6, rate="200mbit")
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path, gap_s=0.7), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 6)

    # A node that asks when all others are done gets everything from them.
    def test_one_node_later(self):
        cluster = self.cluster(4, rate="200mbit")
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[:3]), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 3)
        later = cluster.upstream.mark()
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[3:]), digest, SIZE)
        self.assert_from_upstream(cluster, later, SIZE, 0.0, 1, at_least=0)

    # Many blobs at once, of all sizes down to less than a stripe.
    def test_many_sizes_at_once(self):
        cluster = self.cluster(4, rate="200mbit")
        sizes = (1, 4096, 70_000, MIB - 1, MIB, 3 * MIB + 17, 9 * MIB, 20 * MIB)
        blobs = [(size, *self.pushed(cluster, size, str(size))) for size in sizes]
        mark = blobs[-1][3]
        running = [(size, digest, cluster.pulls(path)) for size, path, digest, _ in blobs]
        for size, digest, pulls in running:
            for pull in pulls:
                pull.join()
            self.assert_all_whole([pull.result for pull in pulls], digest, size)
        self.assert_from_upstream(cluster, mark, sum(sizes), 1.02, 4)


class RealClients(Scenario):
    # containerd on three of five nodes and curl on the others, a whole image: each layer crosses the link once.
    def test_containerd_on_three_nodes(self):
        cluster = self.cluster(5, rate="200mbit")
        built = image(big=40 * MIB, extra=[5 * MIB, 300_000], index=True)
        cluster.upstream.push_image("app/web", "1", built)
        mark = cluster.upstream.mark()
        daemons = []
        for node in cluster.nodes[:3]:
            daemon = self.start(clients.Containerd(node.folder, prefix=node.space.prefix))
            daemon.use_mirror(REGISTRY, node.url)
            daemons.append(daemon)
        failures = []

        def pull(daemon):
            try:
                daemon.pull(f"{REGISTRY}/app/web:1")
            except AssertionError as error:
                failures.append(error)

        threads = [threading.Thread(target=pull, args=(daemon,)) for daemon in daemons]
        for thread in threads:
            thread.start()
        large = max(built.layers, key=lambda layer: len(built.blobs[layer]))
        by_curl = cluster.pull_all(f"/v2/app/web/blobs/{large}", cluster.nodes[3:])
        for thread in threads:
            thread.join()
        self.assertFalse(failures, failures)
        self.assert_all_whole(by_curl, large, len(built.blobs[large]))
        for daemon in daemons:  # containerd has hashed what it lists
            self.assertLessEqual(set(built.layers), set(daemon.content()))
        self.assert_from_upstream(cluster, mark, sum(len(built.blobs[digest]) for digest in built.blobs), 1.02, 5)


@needs_peers
class WithoutUpstream(Scenario):
    # The registry is down: what the cluster holds is served, also by a node that never had it.
    def test_content_of_the_cluster_is_served(self):
        cluster = self.cluster(4, rate="200mbit")
        path, digest, mark = self.pushed(cluster, 16 * MIB)
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[:2]), digest, 16 * MIB)
        self.assert_from_upstream(cluster, mark, 16 * MIB, 1.02, 2)
        cluster.upstream.stop()
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[2:]), digest, 16 * MIB)
