"""Who may take part: certificates of another CA, expired, revoked, none; and clocks that are an hour apart."""

import os
import shutil

from oxcluster.authority import Authority
from oxcluster.case import MIB, Scenario, needs_peers

SIZE = 16 * MIB


@needs_peers
class Strangers(Scenario):
    def with_stranger(self, tls, before_start=None, sees_nobody=True):
        """Three members and a node with that `[peer] tls`: it gets nothing from them and gives them nothing."""
        cluster = self.cluster(3, start=False, rate="200mbit")
        stranger = cluster.add(peer={"tls": tls(cluster)})
        if before_start:
            before_start(cluster)
        cluster.start()
        self.own_mirrors += cluster.nodes
        members = cluster.nodes[:3]
        cluster.settled(members)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path, members), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 3)
        # Alone it is a plain pull-through cache: its pull succeeds, and all of it crosses the link once more.
        self.assert_all_whole(cluster.pull_all(path, [stranger]), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 2.04, 4, at_least=2)
        self.assertEqual(stranger.downloaded(), 0)
        self.assertEqual(stranger.uploaded(), 0)
        if sees_nobody:  # nobody tells a revoked node that it is; it believes in the others, and they do not in it
            self.assertEqual(stranger.eligible(), 0)
        for node in members:
            self.assertLessEqual(node.eligible(), 2, f"{node} trusts the stranger")

    def test_certificate_of_another_authority(self):
        self.with_stranger(lambda cluster: Authority(cluster.folder, "other-ca").issue("n4"))

    def test_expired_certificate(self):
        self.with_stranger(lambda cluster: cluster.authority.issue("n4", clock="-800d"))

    def test_no_certificate(self):
        self.with_stranger(lambda cluster: {"insecure": True})

    # The certificate says another name than the node.
    def test_certificate_of_another_name(self):
        cluster = self.cluster(3, start=False, rate="200mbit")
        stranger = cluster.add(peer={"tls": cluster.authority.issue("n9")})
        with self.assertRaises(AssertionError):
            stranger.start(timeout_s=5)
        self.assertIn("is the certificate of n9, and this node is n4", stranger.log())

    def test_revoked_certificate(self):
        def revoke(cluster):
            revoked = cluster.authority.revoke("n4")
            for node in cluster.nodes[:3]:
                node.sections["peer"]["revoked_file"] = revoked

        self.with_stranger(lambda cluster: cluster.authority.issue("n4"), revoke, sees_nobody=False)

    # Revoked while it takes part: the others see the changed file and let it go.
    def test_revoked_while_running(self):
        cluster = self.cluster(4, start=False, rate="200mbit")
        listed = os.path.join(cluster.folder, "revoked.json")
        shutil.copy(cluster.authority.revoked(), listed)
        for node in cluster.nodes:
            node.sections["peer"]["revoked_file"] = listed
        self.start_cluster(cluster)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 4)
        shutil.copy(cluster.authority.revoke("n4"), listed + ".new")
        os.rename(listed + ".new", listed)
        for node in cluster.nodes[:3]:
            self.until(lambda: node.peers("revoked") == 1, f"{node} to see the revocation")
        path, digest, mark = self.pushed(cluster, SIZE, "second")
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[:3]), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 3)
        before = cluster.nodes[3].downloaded()
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[3:]), digest, SIZE)
        self.assertEqual(cluster.nodes[3].downloaded(), before, "a revoked node was served")


class Clocks(Scenario):
    # One an hour ahead, one an hour behind: certificates, leases and announcements do not mind.
    def test_clocks_an_hour_apart(self):
        cluster = self.cluster(4, start=False, rate="200mbit")
        cluster.nodes[1].skew("+1h")
        cluster.nodes[2].skew("-1h")
        self.start_cluster(cluster)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 4)
