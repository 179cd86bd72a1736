"""Membership in Kubernetes with real daemons: started without the API server, found by EndpointSlices over TLS, settings from
the ConfigMap, a token that is replaced, an API server that goes away."""

import os

from oxtest import clients
from oxtest.case import Case
from oxtest.kube import KubeApi
from oxtest.process import free_port, wait_until

MIB = 1 << 20


class KubernetesMembership(Case):
    @classmethod
    def set_up_parts(cls):
        clients.need("openssl")

    def node(self, upstream, kube, name, address, port):
        return self.start(self.mirror_of(
            upstream.url, name=name,
            peer={"name": name, "listen": f"{address}:{port}", "tls": {"insecure": True}},
            membership={"provider": "kubernetes", "api_server": kube.url, "account_directory": kube.account}))

    def peers(self, mirror):
        return mirror.metric("oxbow_peers", state="eligible")

    def test_from_nothing_to_a_ring_and_through_an_outage(self):
        upstream = self.upstream()
        kube = KubeApi(self.own_folder())
        self.addCleanup(kube.stop)
        port = free_port()
        kube.put_slice("oxbow-x1", {"n1": "127.0.0.1", "n2": "127.0.0.2"}, port)
        kube.put("nodes", "n1", labels={"topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"})
        one = self.node(upstream, kube, "n1", "127.0.0.1", port)
        first, second, third = (os.urandom(8 * MIB) for _ in range(3))

        def pull(mirror, data):
            self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digests[data]}"), data)

        digests = {data: upstream.add_blob(data) for data in (first, second, third)}
        pull(one, first)  # nobody is there yet, and it serves

        kube.start()
        two = self.node(upstream, kube, "n2", "127.0.0.2", port)
        for mirror in (one, two):
            wait_until(lambda mirror=mirror: self.peers(mirror) == 1, 60, "one peer")
        pull(two, first)
        self.assertGreater(two.metric("oxbow_client_bytes_total", source="peer"), 0)

        kube.put("configmaps", "oxbow-cluster", data={"settings": '{"epoch": 2, "strategy": "ring", "replicas": 2}'})
        for mirror in (one, two):
            mirror.wait_for_log(r"settings of the cluster.*epoch=2")

        kube.stop()  # keeps its last view, and the token is another one afterwards
        one.wait_for_log("membership source fails")
        pull(one, second)
        pull(two, second)
        self.assertEqual(self.peers(two), 1)
        kube.rotate_token("second-token")
        kube.put_slice("oxbow-x1", {"n1": "127.0.0.1", "n2": "127.0.0.2", "n3": "127.0.0.3"}, port)
        kube.start()
        one.wait_for_log(r"membership changed.*members=3", 60)
        pull(two, third)  # n3 does not answer
        for mirror in (one, two):
            self.assertNotIn("-token", mirror.log())
        self.assertFalse([path for path in kube.asked if "/nodes?" in path or path.endswith("/nodes")])
