"""A private repository, in `client` mode on some nodes and in `node` mode on others: peers hold the bytes, and on a node those get them
whom the registry would serve there."""

import json
import os
import time

from oxcluster.case import MIB, Scenario
from oxcluster.cluster import has_peers
from oxcluster.pull import finish

SIZE = 16 * MIB
REPOSITORY = "team/private"
ALICE, MACHINE = "alice-secret", "machine-secret"


class Private(Scenario):
    def scene(self):
        token = {"users": {"admin": "root-secret", "alice": ALICE, "bob": "bob-secret", "machine": MACHINE},
                 "rights": {"admin": {"*": {"pull", "push"}}, "alice": {REPOSITORY: {"pull"}}, "machine": {REPOSITORY: {"pull"}}}}
        cluster = self.cluster(3, start=False, rate="200mbit", token=token)
        password = os.path.join(cluster.folder, "password")
        with open(password, "w") as out:
            out.write(MACHINE)
        for _ in range(2):
            cluster.add(registry={"credentials": "node", "credential_source": {"username": "machine", "password_file": password}})
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
        by_client, by_node = cluster.nodes[:3], cluster.nodes[3:]
        mark = cluster.upstream.mark()
        alice = self.bearer(cluster, "alice")
        strangers = ({}, self.bearer(cluster, "bob"), {"Authorization": "Bearer nonsense"})
        time.sleep(2.5)  # the spy has announced the blob by then
        pulls = cluster.pulls(path, by_client[:2], headers=alice) + cluster.pulls(path, by_node)
        self.assert_all_whole(finish(pulls), digest, SIZE)
        # The peers hold it; the client of the third node has no right, nor has that of a node which holds it.
        for node in (by_client[2], by_client[0]):
            for headers in strangers:
                for method in ("GET", "HEAD"):
                    reply = node.fetch(node.url + path, method, headers)
                    self.assertIn(reply.status, (401, 403), reply)
                    self.assertNotIn(digest, reply.body.decode(errors="replace"))
        self.assertEqual(by_client[2].downloaded(), 0, "bytes came to a node whose client may not have them")
        # In `node` mode everybody reads what the node may, whatever he shows.
        for headers in strangers:
            self.assert_all_whole(cluster.pull_all(path, by_node, headers=headers), digest, SIZE)
        # One with the right, on the node that refused.
        self.assert_all_whole(cluster.pull_all(path, by_client[2:], headers=alice), digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 5, at_least=0)
        # Of what nobody holds yet, both kinds of nodes together fetch one copy.
        fresh, its_digest = self.blob(SIZE, "fresh")
        fresh_path, mark = cluster.push(fresh, its_digest, REPOSITORY), cluster.upstream.mark()
        pulls = cluster.pulls(fresh_path, by_client, headers=alice) + cluster.pulls(fresh_path, by_node)
        self.assert_all_whole(finish(pulls), its_digest, SIZE)
        self.assert_from_upstream(cluster, mark, SIZE, 1.02, 5)
        # Without the registry nobody can tell who may: peers' word opens what is open to everybody, and this is not. That a node's own
        # credentials open it, is no word for clients of another node.
        cluster.upstream.stop()
        for node in by_client:
            for headers in strangers:
                self.assertIn(node.fetch(node.url + path, "GET", headers).status, (401, 403, 503))
        self.assert_all_whole(cluster.pull_all(path, by_node), digest, SIZE)
        self.assert_no_credential(spy, alice["Authorization"].split()[1])

    def assert_no_credential(self, spy, token):
        self.assertTrue(spy.requests("/stripes/") or not has_peers(), "it was never asked for a stripe")
        said = json.dumps(spy.requests())
        for secret in (token, ALICE, MACHINE, "uthorization", "Bearer"):
            self.assertNotIn(secret, said, "a credential travelled to a peer")
        for node in self.current.nodes:
            for secret in (token, ALICE, MACHINE):
                self.assertNotIn(secret, node.log())
