"""Members that etcd knows: it goes away and comes back, and nobody who pulls notices."""

import os
import shutil
import time

from oxcluster.case import MIB, Scenario, needs_peers
from oxtest import clients
from oxtest.process import Process, listening

SIZE = 16 * MIB


class Etcd:
    """etcd-server from Debian on a host of its own."""

    def __init__(self, folder, space):
        self.space = space
        self.data = os.path.join(str(folder), "etcd")
        self.url = f"http://{space.address}:2379"
        peer = f"http://{space.address}:2380"
        self.process = Process("etcd", [*space.prefix, clients.need("etcd"), "--name", "one", "--data-dir", self.data,
                                        "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                                        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                                        "--initial-cluster", f"one={peer}"], os.path.join(str(folder), "etcd.log"),
                               env={"ETCD_UNSUPPORTED_ARCH": "arm64"} if os.uname().machine == "aarch64" else None)

    def start(self):
        self.process.start(ready=self._listening)
        return self

    def _listening(self):
        with self.space.entered():
            return listening(2379, self.space.address)

    def stop(self):
        self.process.stop()

    def forget(self):
        shutil.rmtree(self.data, ignore_errors=True)


@needs_peers
class WithEtcd(Scenario):
    def scene(self, count):
        cluster = self.cluster(count, start=False, rate="200mbit")
        etcd = Etcd(cluster.folder, cluster.network.host("etcd"))
        self.addCleanup(etcd.stop)
        etcd.start()
        cluster.membership = {"provider": "etcd", "endpoints": [etcd.url], "prefix": "/oxbow-test/", "lease_ttl": "3s"}
        return cluster, etcd

    def test_etcd_stopped_and_restarted(self):
        cluster, etcd = self.scene(4)
        self.start_cluster(cluster)
        etcd.stop()
        # Longer than the leases: all nodes keep the view that they had.
        path, digest, mark = self.pushed(cluster, SIZE)
        self.until(lambda: not etcd.process.running, "etcd to be gone")
        time.sleep(5)
        cluster.settled(timeout_s=1)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 4)
        etcd.start()
        self.joins(cluster)

    # It comes back empty: everybody registers again.
    def test_etcd_that_lost_everything(self):
        cluster, etcd = self.scene(3)
        self.start_cluster(cluster)
        etcd.stop()
        etcd.forget()
        etcd.start()
        self.joins(cluster)

    # A node that leaves is gone from the others' tables, and one that is killed is when its lease ends.
    def test_leaving_and_dying(self):
        cluster, _ = self.scene(4)
        self.start_cluster(cluster)
        cluster.nodes[3].stop()
        cluster.nodes[2].kill()
        for node in cluster.nodes[:2]:
            self.until(lambda: node.eligible() <= 1, f"{node} to see that two are gone")
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[:2]), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 2)

    def joins(self, cluster):
        """A node that is new now is found by all, and gets a blob that they have from them, but for a stripe that it compares with upstream."""
        path, digest, mark = self.pushed(cluster, SIZE, "later")
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, len(cluster.nodes))
        late = cluster.add()
        cluster.start_nodes([late])
        self.own_mirrors.append(late)
        cluster.settled(timeout_s=60)
        mark = cluster.upstream.mark()
        self.assert_all_whole(cluster.pull_all(path, [late]), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 0.04, 1, at_least=0)
