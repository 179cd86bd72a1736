"""Members that etcd knows: it goes away and comes back, and nobody who pulls notices."""

import itertools
import os
import re
import shutil
import signal
import time

from oxcluster.case import MIB, Scenario, needs_peers
from oxcluster.pull import finish
from oxtest import clients
from oxtest.mirror import ROOT, binary
from oxtest.process import Process, listening, run

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

    def operator(self, command):
        """What an operator types on a machine that reaches it."""
        clients.need("etcdctl")
        run([*self.space.prefix, "sh", "-ec", command], env={"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url})


def documented(page, key):
    """The command that the page gives an operator for that value."""
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        return re.search(rf"etcdctl put \S+/values/{key}\b[^`\n]*", file.read())[0]


class EtcdScenario(Scenario):
    def scene(self, count, prefix="/oxbow-test/"):
        cluster = self.cluster(count, start=False, rate="200mbit")
        etcd = Etcd(cluster.folder, cluster.network.host("etcd"))
        self.addCleanup(etcd.stop)
        etcd.start()
        cluster.membership = {"provider": "etcd", "endpoints": [etcd.url], "prefix": prefix, "lease_ttl": "3s"}
        return cluster, etcd


@needs_peers
class WithEtcd(EtcdScenario):
    def test_etcd_stopped_and_restarted(self):
        cluster, etcd = self.scene(4)
        self.start_cluster(cluster)
        etcd.stop()
        # Longer than the leases: all nodes keep the view that they had.
        path, digest, mark = self.pushed(cluster, SIZE)
        self.until(lambda: not etcd.process.running, "etcd to be gone")
        time.sleep(5)
        cluster.settled(timeout_s=5)
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
        self.assertEqual(cluster.nodes[3].stop(), 0)
        cluster.nodes[2].kill()
        for node in cluster.nodes[:2]:
            self.until(lambda: node.eligible() <= 1, f"{node} to see that two are gone")
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[:2]), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 2)

    # One that is told to stop while its client pulls stays a member until it has drained: the rest comes from peers too.
    def test_leaving_in_mid_pull(self):
        size = 128 * MIB
        cluster, _ = self.scene(4)
        self.start_cluster(cluster)
        *rest, leaver = cluster.nodes
        path, digest, _ = self.pushed(cluster, size)
        self.assert_all_whole(cluster.pull_all(path, rest), digest, size)
        mark = cluster.upstream.mark()
        pulls = cluster.pulls(path, [leaver])
        self.while_pulling(pulls, lambda: leaver.downloaded() > 16 * MIB, "a part of it to come")
        leaver.process.signal(signal.SIGTERM)
        self.while_pulling(pulls, lambda: all(leaver.name not in node.named("eligible") for node in rest), "the others to hear that it leaves")
        self.assert_all_whole(finish(pulls), digest, size)
        self.assert_from_upstream(cluster, mark, size, 0.05, 1, at_least=0)
        self.assertEqual(leaver.process.wait(30), 0)

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


@needs_peers
class SharedValues(EtcdScenario):
    """What an operator puts into etcd for all nodes at once, by the commands of the documents, which use the default prefix."""

    @staticmethod
    def settings(node):
        ring = node.ring()
        return ring["strategy"], ring["replicas"]

    @staticmethod
    def warned(node, of):
        return re.search(rf"a peer has other settings than this node.*\bpeer={of}\b", node.log())

    @staticmethod
    def cluster_command(node, *arguments):
        return run([*node.space.prefix, binary(), "cluster", *arguments, "--config", node.config_path])[1]

    def until_settings(self, nodes, *settings):
        self.until(lambda: {self.settings(node) for node in nodes} == {settings}, f"all nodes to go by {settings}")

    # Until there is a value each node goes by its file, and it is said that they differ; then the highest epoch wins.
    def test_settings_by_epoch(self):
        cluster, etcd = self.scene(3, "/oxbow/")
        files = [("ring", 2), ("fingers", 3), ("swarm", 5)]
        for node, (strategy, replicas) in zip(cluster.nodes, files):
            node.sections["routing"] = {"strategy": strategy, "replicas": replicas}
        self.start_cluster(cluster)
        self.assertEqual([self.settings(node) for node in cluster.nodes], files)
        for one, other in itertools.combinations(cluster.nodes, 2):  # one of the two: who was heard of lately is not asked
            self.until(lambda: self.warned(one, other) or self.warned(other, one), f"{one} or {other} to say that they differ")
        etcd.operator(documented("peers.md", "settings"))
        self.until_settings(cluster.nodes, "swarm", 3)  # as the command says, with epoch 2
        put = "etcdctl put /oxbow/values/settings '{\"epoch\": %d, \"strategy\": \"%s\", \"replicas\": %d}'"
        etcd.operator(put % (1, "fingers", 2))
        etcd.operator(put % (4, "no-such", 2))
        for node in cluster.nodes:
            node.wait_for_log("the cluster's settings cannot be used; keeping the last.*no such strategy: no-such")
            self.assertEqual(self.settings(node), ("swarm", 3))
        etcd.operator(put % (3, "ring", 1))
        self.until_settings(cluster.nodes, "ring", 1)
        self.assertIn("epoch 3: strategy ring, replicas 1", self.cluster_command(cluster.nodes[0], "settings"))
        self.cluster_command(cluster.nodes[0], "settings", "--replicas", "2")
        self.until_settings(cluster.nodes, "ring", 2)
        self.cluster_command(cluster.nodes[1], "settings", "--replicas", "1")
        self.until_settings(cluster.nodes, "ring", 1)
        late = cluster.add()  # its file says the tests' own strategy
        cluster.start_nodes([late])
        self.own_mirrors.append(late)
        cluster.settled(timeout_s=60)
        self.until_settings(cluster.nodes, "ring", 1)
        # And they do go by it: the first node of the ring sends the blob to all others. (A bit may come from elsewhere: who gets nothing
        # for a second may ask anybody.)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.15, 4)
        sent = {node.name: node.uploaded() for node in cluster.nodes}
        self.assertGreater(max(sent.values()), 0.75 * sum(sent.values()), sent)
        # Without settings each goes by its own file again, and takes what comes next, whose epoch is the first.
        etcd.operator("etcdctl del /oxbow/values/settings")
        self.until(lambda: [self.settings(node) for node in cluster.nodes[:3]] == files, "all to go by their own files")
        self.assertIn("epoch 1: strategy fingers", self.cluster_command(cluster.nodes[0], "settings", "--strategy", "fingers"))
        self.until_settings(cluster.nodes, "fingers", 3)

    def revoked(self, cluster, etcd):
        """The last node is a member until the operator tells otherwise: it is then nobody's peer."""
        members, gone = cluster.nodes[:-1], cluster.nodes[-1]
        self.start_cluster(cluster)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, len(cluster.nodes))
        cluster.authority.revoke(gone.name)
        self.publish(cluster, etcd)
        for node in members:
            self.until(lambda: node.named("revoked") == {gone.name}, f"{node} to let {gone} go")
        path, digest, mark = self.pushed(cluster, SIZE, "without it")
        moved = gone.downloaded(), gone.uploaded()
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 2.04, len(cluster.nodes), at_least=2)  # one copy for it alone
        self.assertEqual((gone.downloaded(), gone.uploaded()), moved, "bytes moved to or from a revoked node")
        return gone

    def is_back(self, cluster, gone):
        for node in cluster.nodes:
            self.until(lambda: node.named("revoked") == set(), f"{node} to take {gone} back")
        cluster.settled(timeout_s=60)
        path, digest, mark = self.pushed(cluster, SIZE, "with it")
        moved = gone.downloaded()
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, len(cluster.nodes))
        self.assertGreater(gone.downloaded(), moved)

    # A list that is gone lets nobody in: only a list says that nobody is revoked.
    def test_revoked_until_a_list_says_otherwise(self):
        cluster, etcd = self.scene(4, "/oxbow/")
        gone = self.revoked(cluster, etcd)
        etcd.operator("etcdctl del /oxbow/values/revoked")
        for node in cluster.nodes[:-1]:
            node.wait_for_log("the cluster's list of revoked identities is gone; keeping the last")
            self.assertEqual(node.named("revoked"), {gone.name})
        restarted = cluster.nodes[0]  # it starts without any list of the cluster's
        restarted.restart()
        restarted.wait_for_log("the cluster's list of revoked identities is gone; keeping the last")
        self.until(lambda: restarted.named("revoked") == {gone.name}, f"{restarted} to remember whom it refused")
        etcd.operator("etcdctl put /oxbow/values/revoked '[]'")
        self.is_back(cluster, gone)

    def publish(self, cluster, etcd):
        etcd.operator(documented("certificates.md", "revoked").replace("DIR", cluster.authority.folder))

    # The name may be used again, with a new certificate; the old one stays revoked.
    def test_readmitted_with_a_new_certificate(self):
        cluster, etcd = self.scene(4, "/oxbow/")
        gone = self.revoked(cluster, etcd)
        cluster.authority.readmit(gone.name)
        cluster.authority.renew(gone.name)
        self.publish(cluster, etcd)
        self.is_back(cluster, gone)

    # A key may have been read and its node stays: it has a new one before the old serial is revoked, and nobody notices. The last node is
    # revoked by the same list, which shows when it has been read.
    def test_a_key_is_replaced_and_the_old_one_revoked(self):
        cluster, etcd = self.scene(5, "/oxbow/")
        self.start_cluster(cluster)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 5)
        members, renewed, gone = cluster.nodes[:4], cluster.nodes[3], cluster.nodes[4]
        old = cluster.authority.renew(renewed.name)
        self.until(lambda: "certificate reloaded" in renewed.process.log(), f"{renewed} to use its new certificate")
        cluster.authority.revoke(old)
        cluster.authority.revoke(gone.name)
        self.publish(cluster, etcd)
        for node in members:
            self.until(lambda: node.named("revoked") == {gone.name}, f"{node} to read the list")
        cluster.settled(members)
        path, digest, mark = self.pushed(cluster, SIZE, "renewed")
        moved = renewed.downloaded()
        self.assert_all_whole(cluster.pull_all(path, members), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 4)
        self.assertGreater(renewed.downloaded(), moved)
