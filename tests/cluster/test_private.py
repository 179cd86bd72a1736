"""A private repository in `client` mode: peers hold the bytes, and only those whom the registry would serve get them."""

import json
import time

from oxcluster.case import MIB, Scenario

SIZE = 16 * MIB
REPOSITORY = "team/private"
SECRET = "alice-secret"


class Private(Scenario):
    def scene(self):
        token = {"users": {"admin": "root-secret", "alice": SECRET, "bob": "bob-secret"},
                 "rights": {"admin": {"*": {"pull", "push"}}, "alice": {REPOSITORY: {"pull"}}}}
        cluster = self.cluster(4, start=False, rate="200mbit", token=token)
        data, digest = self.blob(SIZE)
        spy = cluster.add_hostile("honest", data)
        self.start_cluster(cluster)
        path = cluster.push(data, digest, REPOSITORY)
        return cluster, spy, path, digest

    @staticmethod
    def bearer(cluster, user):
        return {"Authorization": "Bearer " + cluster.tokens.issue(user, REPOSITORY, ["pull"] if user == "alice" else [])}

    def test_only_clients_with_the_right_are_served(self):
        cluster, spy, path, digest = self.scene()
        mark = cluster.upstream.mark()
        alice = self.bearer(cluster, "alice")
        time.sleep(2.5)  # the spy has announced the blob by then
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[:2], headers=alice), digest, SIZE)
        # The peers hold it; the client of the third node has no right, nor has that of a node which holds it.
        for node in (cluster.nodes[2], cluster.nodes[0]):
            for headers in ({}, self.bearer(cluster, "bob")):
                for method in ("GET", "HEAD"):
                    reply = node.fetch(node.url + path, method, headers)
                    self.assertIn(reply.status, (401, 403), reply)
                    self.assertNotIn(digest, reply.body.decode(errors="replace"))
        self.assertEqual(cluster.nodes[2].downloaded(), 0, "bytes came to a node whose client may not have them")
        # One with the right, on the node that refused.
        self.assert_all_whole(cluster.pull_all(path, cluster.nodes[2:], headers=alice), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 4, at_least=0)
        # Without the registry nobody can tell who may: peers' word opens what is open to everybody, and this is not.
        cluster.upstream.stop()
        for node in cluster.nodes:
            for headers in ({}, self.bearer(cluster, "bob")):
                self.assertIn(node.fetch(node.url + path, "GET", headers).status, (401, 403, 503))
        self.assert_no_credential(spy, alice["Authorization"].split()[1])

    def assert_no_credential(self, spy, token):
        said = json.dumps(spy.requests())
        for secret in (token, SECRET, "uthorization", "Bearer"):
            self.assertNotIn(secret, said, "a credential travelled to a peer")
        for node in self.current.nodes:
            for secret in (token, SECRET):
                self.assertNotIn(secret, node.log())
