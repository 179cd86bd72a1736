"""Who may take part: certificates of another CA, expired, revoked, none; and clocks that are an hour apart."""

import datetime
import os
import shutil
import socket
import ssl
import time

from oxcluster.authority import Authority
from oxcluster.case import MIB, Scenario, needs_peers
from oxcluster.node import PEER_PORT
from oxtest.clients import need
from oxtest.process import run

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

    # TLS, and no certificate: the handshake fails by the peer's own alert, and no request is looked at.
    def test_tls_without_a_certificate(self):
        cluster = self.cluster(2, rate="200mbit")
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 2)
        node, other = cluster.nodes
        member = other.sections["peer"]["tls"]
        for version, alert in ((ssl.TLSVersion.TLSv1_3, "CERTIFICATE_REQUIRED"), (ssl.TLSVersion.TLSv1_2, "HANDSHAKE_FAILURE")):
            with self.subTest(version.name):
                self.assertIn(alert, self.alert(other.space, node, version))
        # The very same request, with and without a member's certificate.
        stripe = f"https://{node.address}/p2p/v1/blobs/{digest}/stripes/0"
        for latest in ("1.3", "1.2"):
            served = node.metric("oxbow_peer_requests_total", route="stripe")
            ask = [*other.space.prefix, need("curl"), "-sSk", "--http2", "--tls-max", latest, "-o", "/dev/null",
                   "-w", "%{http_code} %{size_download}", "-H", f"oxbow-size: {SIZE}", stripe]
            code, said = run(ask, check=False)
            self.assertNotEqual(code, 0, said)
            self.assertTrue(said.endswith("000 0"), said)
            self.assertEqual(node.metric("oxbow_peer_requests_total", route="stripe"), served)
            _, said = run([*ask, "--cert", member["certificate"], "--key", member["key"]])
            self.assertRegex(said, r"^200 [1-9]")
            self.assertEqual(node.metric("oxbow_peer_requests_total", route="stripe"), served + 1)

    @staticmethod
    def alert(space, node, version):
        """What the node says to somebody who shows nothing; with TLS 1.3 after his half of the handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        try:
            with space.entered():
                link = socket.create_connection((node.space.address, PEER_PORT), timeout=20)
            with link, context.wrap_socket(link) as secured:
                return f"no alert but {secured.recv(1 << 16)!r}"
        except ssl.SSLError as refused:
            return refused.reason

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
        self.assert_from_upstream(cluster, mark, SIZE, 2.04, 4, at_least=2)  # one copy for it alone
        self.assertEqual(cluster.nodes[3].downloaded(), before, "a revoked node was served")


class Clocks(Scenario):
    # One an hour ahead, one an hour behind: certificates, leases and announcements do not mind.
    def test_clocks_an_hour_apart(self):
        cluster = self.cluster(4, start=False, rate="200mbit")
        cluster.nodes[1].skew("+1h")
        cluster.nodes[2].skew("-1h")
        self.start_cluster(cluster)
        for node, ahead_s in zip(cluster.nodes, (0, 3600, -3600, 0)):
            stamp = datetime.datetime.fromisoformat(node.log().splitlines()[-1].split()[0])
            self.assertAlmostEqual(stamp.timestamp() - time.time(), ahead_s, delta=120, msg=node)
        path, digest, mark = self.pushed(cluster, SIZE)
        self.assert_all_whole(cluster.pull_all(path), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 4)
