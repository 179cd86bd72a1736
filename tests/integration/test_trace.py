"""Where the bytes of a pull came from: the journal of pulls and `oxbow trace`, with a real containerd and a real registry."""

import json

from oxtest import clients
from oxtest.case import Case, Registry, image, test_image
from oxtest.faulty import sha256
from oxtest.process import free_port, wait_until

MIB = 1 << 20


class Tracing:
    def oxbow(self, mirror, *arguments):
        return mirror.run_to_end(*arguments, "--config", mirror.config_path)

    def trace(self, mirror, what, code=0):
        """What `oxbow trace --json` says; asserts its exit code."""
        ended, said = self.oxbow(mirror, "trace", what, "--json")
        self.assertEqual(ended, code, said)
        return json.loads(said)

    def shown(self, mirror, *arguments, code=0):
        ended, said = self.oxbow(mirror, "trace", *arguments)
        self.assertEqual(ended, code, said)
        return said

    def assert_all_counted(self, pull):
        self.assertEqual(sum(pull["bytes"].values()), pull["size_bytes"], pull)
        self.assertEqual(sum(pull["peers"].values()), pull["bytes"]["peer"], pull)
        self.assertEqual(pull["state"], "verified", pull)


class WithContainerd(Tracing, Case):
    @classmethod
    def set_up_parts(cls):
        clients.need("containerd")
        cls.image = image(big=24 * MIB, index=True)
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.registry.push_image("app/web", "1", cls.image)
        cls.containerd = cls.start_shared(clients.Containerd(cls.folder, ""))

    def pull(self, mirror):
        self.containerd.use_mirror("registry.test", mirror.url)
        self.containerd.pull("registry.test/app/web:1")

    def test_an_image_comes_from_upstream_and_then_from_storage(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        reference = "registry.test/app/web:1"
        before = self.trace(mirror, reference, code=1)
        self.assertTrue(before["blobs"])
        self.assertEqual({blob["pull"] for blob in before["blobs"]}, {None})
        self.assertIn("no record", self.shown(mirror, reference, code=1))

        self.pull(mirror)
        report = self.trace(mirror, reference)
        self.assertEqual(report["image"], reference)
        self.assertEqual({b["digest"] for b in report["blobs"] if b["what"] == "layer"}, set(self.image.layers))
        for blob in report["blobs"]:
            pull = blob["pull"]
            self.assert_all_counted(pull)
            self.assertEqual(pull["size_bytes"], blob["size_bytes"])
            self.assertEqual(pull["bytes"]["upstream"], pull["size_bytes"], "the first time all of it is upstream's")
            self.assertEqual((pull["registry"], pull["repository"]), ("registry.test", "app/web"))
            self.assertEqual(set(pull["map"]), {"u"})
            if blob["size_bytes"] > 64 * 1024:
                self.assertEqual(len(pull["map"]), pull["stripes"])
                self.assertEqual(sum(e["bytes"] for e in pull["events"]), pull["size_bytes"])
                self.assertEqual({e["verified"] for e in pull["events"]}, {"whole"})
        self.assertEqual(report["upstream_saved_bytes"], 0)
        big = max(report["blobs"], key=lambda blob: blob["size_bytes"])
        text = self.shown(mirror, reference, "--stripes")
        for part in ("registry.test/app/web:1", "verified", "u from upstream", big["digest"][:19], "STRIPE"):
            self.assertIn(part, text)
        self.assertNotIn("\x1b", text, "colours without a terminal")

        # One line of the log each.
        for digest in self.image.layers:
            if len(self.image.blobs[digest]) > 64 * 1024:
                self.assertRegex(mirror.log(), f"pull ended.*{digest}.*state=verified.*from_upstream={len(self.image.blobs[digest])}")

        self.containerd.remove(reference)
        self.pull(mirror)
        report = self.trace(mirror, reference)
        for blob in report["blobs"]:
            self.assert_all_counted(blob["pull"])
            self.assertEqual(blob["pull"]["bytes"]["storage"], blob["size_bytes"])
            self.assertEqual(set(blob["pull"]["map"]), {"d"})
        self.assertEqual(report["bytes"]["upstream"], 0)
        self.assertEqual(report["upstream_saved_bytes"], sum(blob["size_bytes"] for blob in report["blobs"]))
        self.assertIn("(100.0 %) did not cross the link to the registry", self.shown(mirror, reference))

        # The earlier pull of a layer is still there by its number, and a digest needs no more than its begin.
        first = min((p for p in mirror.fetch(mirror.admin_url + "/api/v1/pulls?limit=200").json()["recent"]
                     if p["digest"] == big["digest"]), key=lambda p: p["id"])
        old = self.trace(mirror, str(first["id"]))["blobs"][0]["pull"]
        self.assertEqual(old["bytes"]["upstream"], big["size_bytes"])
        self.assertEqual(self.trace(mirror, big["digest"][:19])["blobs"][0]["digest"], big["digest"])

        # containerd has it: it asks for nothing, and a daemon that has just started knows of nothing.
        mirror.restart()
        self.pull(mirror)
        text = self.shown(mirror, reference, code=1)
        self.assertIn("containerd asks only for what it has not got", text)
        self.containerd.remove(reference)


class WithContainerd2(Tracing, Case):
    """The transfer service of containerd 2 takes each layer in parallel parts, and hangs up between them."""

    @classmethod
    def set_up_parts(cls):
        clients.need("runc")
        cls.image = image(big=72 * MIB, index=True)
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.registry.push_image("app/web", "1", cls.image)
        cls.containerd = cls.start_shared(clients.Containerd(cls.folder, clients.go_tool(clients.CONTAINERD2, clients.CONTAINERD2_TAGS)))

    def test_parts_are_one_pull(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        self.containerd.use_mirror("registry.test", mirror.url)
        self.containerd.pull("registry.test/app/web:1")
        for blob in self.trace(mirror, "registry.test/app/web:1")["blobs"]:
            # containerd gives up its first request before it asks for parts: what is on its way in between may land without a
            # pull to count it, and is found on the disk.
            self.assert_all_counted(blob["pull"])
            came = blob["pull"]["bytes"]
            self.assertEqual(came["upstream"] + came["storage"], blob["size_bytes"], blob["pull"])


class WithFaults(Tracing, Case):
    def scene(self, size, seed, **options):
        upstream = self.upstream()
        data = test_image.noise(size, seed)
        upstream.add_manifest("team/app", "1", [data])
        mirror = self.start(self.mirror_of(upstream.url, **options))
        return upstream, mirror, data, sha256(data), f"/v2/team/app/blobs/{sha256(data)}"

    def test_wrong_bytes_of_the_upstream_are_a_failed_pull_and_the_next_one_is_good(self):
        upstream, mirror, data, digest, path = self.scene(12 * MIB, "trace wrong")
        upstream.corrupt = {digest}
        self.assertFalse(mirror.get(path, timeout_s=120).complete)
        pull = self.trace(mirror, digest)["blobs"][0]["pull"]
        self.assertEqual(pull["state"], "failed", pull)
        self.assertIn("hash", pull["error"])
        self.assertIn(pull["error"], self.shown(mirror, digest))
        upstream.reset()
        wait_until(lambda: mirror.get(path).body == data, 60, "a clean pull", 0.2)
        pull = self.trace(mirror, digest)["blobs"][0]["pull"]
        self.assert_all_counted(pull)

    def test_what_a_reader_left_is_on_the_disk_for_the_next(self):
        upstream, mirror, data, digest, path = self.scene(24 * MIB, "trace left")
        upstream.rate_bytes = 4 * MIB
        mirror.get(path, read_bytes=3 * MIB)
        wait_until(lambda: mirror.fetch(mirror.admin_url + f"/api/v1/pulls/{digest}").json()["state"] == "left", 30, "its end")
        upstream.reset()
        left = self.trace(mirror, digest)["blobs"][0]["pull"]
        self.assertGreater(left["done_stripes"], 0)
        self.assert_whole(mirror.get(path), data)
        pull = self.trace(mirror, digest)["blobs"][0]["pull"]
        self.assert_all_counted(pull)
        self.assertGreaterEqual(pull["bytes"]["storage"], left["bytes"]["upstream"])
        self.assertGreater(pull["bytes"]["upstream"], 0)
        self.assertTrue(pull["map"].startswith("d"))

    def test_parts_of_a_blob_are_one_pull(self):
        upstream, mirror, data, digest, path = self.scene(8 * MIB, "trace parts")
        self.assert_whole(mirror.get(path), data)
        reply = mirror.get(path, {"Range": "bytes=4194304-"})
        self.assertTrue(reply.body == data[4194304:])
        pull = self.trace(mirror, digest)["blobs"][0]["pull"]
        self.assertEqual(pull["bytes"]["upstream"], len(data), "a later part of it is no new pull")
        self.assertEqual(pull["readers"], 2)

    def test_a_disk_that_is_full_is_said(self):
        upstream, mirror, data, digest, path = self.scene(8 * MIB, "trace window", storage={"free_space_floor": "99%"})
        self.assert_whole(mirror.get(path), data)
        pull = self.trace(mirror, digest)["blobs"][0]["pull"]
        self.assert_all_counted(pull)
        self.assertFalse(pull["kept"])
        self.assertIn("not kept on disk", self.shown(mirror, digest))

    def test_which_peer_sent_it(self):
        upstream = self.upstream()
        data = test_image.noise(24 * MIB, "trace peers")
        digest, path = upstream.add_blob(data), f"/v2/team/app/blobs/{sha256(data)}"
        ports = [free_port(), free_port()]
        nodes = [self.start(self.mirror_of(upstream.url, peer={"name": f"node-{i}", "listen": f"127.0.0.1:{port}",
                                                               "advertise": f"127.0.0.1:{port}", "tls": {"insecure": True}},
                                           membership={"provider": "static", "peers": [f"127.0.0.1:{p}" for p in ports]}))
                 for i, port in enumerate(ports)]
        for node in nodes:
            wait_until(lambda node=node: node.metric("oxbow_peers", state="eligible") >= 1, 30, "the other node")
        self.assert_whole(nodes[0].get(path), data)
        self.assert_whole(nodes[1].get(path), data)
        self.assertEqual(self.trace(nodes[0], digest)["bytes"], {"storage": 0, "peer": 0, "upstream": len(data)})
        report = self.trace(nodes[1], digest)
        pull = report["blobs"][0]["pull"]
        self.assert_all_counted(pull)
        self.assertGreater(pull["bytes"]["peer"], len(data) // 2)
        self.assertEqual(pull["peers"], {"node-0": pull["bytes"]["peer"]})
        self.assertEqual(report["peers"], pull["peers"])
        for event in pull["events"]:
            self.assertEqual(event["peer"], "node-0" if event["source"] == "peer" else None)
        self.assertIn("node-0", self.shown(nodes[1], digest, "--stripes"))

    def test_an_image_that_the_caller_may_not_read(self):
        upstream, mirror, _, digest, path = self.scene(2 * MIB, "trace refused")
        self.assertEqual(mirror.get(path).status, 200)
        upstream.require_auth = lambda seen: (401, {"WWW-Authenticate": 'Basic realm="registry"'})
        said = self.shown(mirror, "registry.test/secret/app:1", code=1)
        self.assertIn("docker login", said)
        self.assertIn("oxbow trace sha256:", said)
        self.assert_all_counted(self.trace(mirror, digest)["blobs"][0]["pull"])

    def test_what_cannot_be_asked(self):
        upstream, mirror, _, digest, path = self.scene(2 * MIB, "trace asked")
        self.assertIn("no record", self.shown(mirror, "4711", code=1))
        self.assertIn("no record", self.shown(mirror, "sha256:abc", code=1))
        self.assertIn("no record", self.shown(mirror, digest, code=1))
        self.shown(mirror, "Not/A/Name!", code=2)
        self.assertIn("404", self.shown(mirror, "registry.test/team/app:nothing", code=1))
        mirror.stop()
        self.assertIn("systemctl status oxbow", self.shown(mirror, digest, code=1))
