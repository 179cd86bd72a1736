"""What operators ask a daemon and tell it: oxbow status, peers, cache, and the admin API over TCP and its socket."""

import http.client
import json
import os
import re
import socket
import stat
import subprocess

from oxtest.case import Case, Registry, image, test_image
from oxtest.http import fetch, raw
from oxtest.mirror import ROOT, binary
from oxtest.process import wait_until

MIB = 1 << 20


class Operator(Case):
    @classmethod
    def set_up_parts(cls):
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.image = image(big=3 * MIB, extra=(2 * MIB,), seed="operator")
        cls.registry.push_image("team/app", "1", cls.image)

    def setUp(self):
        super().setUp()
        self.mirror = self.start(self.mirror_of(self.registry.url))
        self.socket = os.path.join(self.mirror.folder, "admin.sock")

    def pull(self):
        for digest in self.layers():
            self.assertEqual(self.mirror.get(f"/v2/team/app/blobs/{digest}").status, 200)

    def layers(self):
        manifest = self.mirror.get("/v2/team/app/manifests/1", {"Accept": "application/vnd.oci.image.manifest.v1+json"}).json()
        return [layer["digest"] for layer in manifest["layers"] if layer["size"] > 64 * 1024]  # smaller ones are no blobs on disk

    @staticmethod
    def registry_of(status):
        return next(registry for registry in status["registries"] if registry["name"] == "registry.test")

    def evictions(self):
        return [eviction["digest"] for eviction in self.told("cache", "evictions")["evictions"]]

    def oxbow(self, *arguments, code=0):
        """What it prints, once it has ended as it should."""
        ended = subprocess.run([binary(), *arguments, "--config", self.mirror.config_path], capture_output=True, text=True, timeout=60)
        self.assertEqual(ended.returncode, code, ended.stdout + ended.stderr)
        return ended.stdout if code == 0 else ended.stdout + ended.stderr

    def told(self, *arguments):
        return json.loads(self.oxbow(*arguments, "--json"))

    def test_status_counts_what_a_pull_moved(self):
        before = self.told("status")
        self.assertEqual(before["served"]["upstream_bytes"], 0)
        self.pull()
        self.pull()
        after = self.told("status")
        self.assertTrue(after["ready"])
        self.assertIsNone(after["peers"])
        self.assertGreaterEqual(after["served"]["upstream_bytes"], 5 * MIB)
        self.assertGreaterEqual(after["served"]["storage_bytes"], 5 * MIB)
        self.assertGreaterEqual(after["transfers"]["upstream_in_bytes"], 5 * MIB)
        self.assertGreaterEqual(after["upstream_avoided_bytes"], 5 * MIB)
        registry = self.registry_of(after)
        self.assertEqual(registry["state"], "closed")
        self.assertEqual(registry["upstreams"], [self.registry.url])
        self.assertGreaterEqual(registry["upstream_bytes"], 5 * MIB)
        self.assertIsNone(registry["last_error"])
        self.assertGreaterEqual(after["storage"]["stored_bytes"], 5 * MIB)
        said = self.oxbow("status")
        self.assertRegex(said, r"^oxbow \S+ on \S+, ready, up ")
        self.assertIn("registry.test", said)
        self.assertNotIn("\x1b", said)

    def test_peers_of_a_node_without_a_ring(self):
        self.assertEqual(self.told("peers")["strategy"], "single")
        self.assertIn("no ring", self.oxbow("peers"))

    def test_the_cache_is_listed_and_purged(self):
        self.pull()
        cache = self.told("cache", "ls")
        self.assertEqual(sorted(blob["digest"] for blob in cache["blobs"]), sorted(self.layers()))
        self.assertEqual({blob["state"] for blob in cache["blobs"]}, {"verified"})
        self.assertEqual({name for blob in cache["blobs"] for name in blob["repositories"]}, {"registry.test/team/app"})
        self.assertEqual(self.told("cache", "ls", "--repository", "team/app")["total"], len(self.layers()))
        self.assertEqual(self.told("cache", "ls", "--repository", "team/other")["total"], 0)
        gone, *kept = self.layers()
        self.assertIn("purged", self.oxbow("cache", "purge", gone.removeprefix("sha256:")[:10]))
        self.assertEqual(sorted(blob["digest"] for blob in self.told("cache", "ls")["blobs"]), sorted(kept))
        self.assertIn("not stored", self.oxbow("cache", "purge", gone, code=1))
        self.pull()  # what was purged is fetched again
        self.assertEqual(self.told("cache", "ls")["total"], len(self.layers()))

    def test_pins_keep_and_outlive_a_restart(self):
        self.pull()
        order = self.evictions()
        self.assertEqual(sorted(order), sorted(self.layers()))
        first = order[0]
        self.oxbow("cache", "pin", first)
        self.assertEqual(self.evictions(), order[1:])
        self.mirror.restart()
        self.assertEqual([blob["digest"] for blob in self.told("cache", "ls")["blobs"] if blob["pinned"]], [first])
        self.assertGreater(self.told("status")["storage"]["pinned_bytes"], 0)
        self.assertNotIn(first, self.evictions())
        self.oxbow("cache", "unpin", first)
        self.assertIn(first, self.evictions())

    def test_a_scrub_finds_a_byte_that_changed_on_disk(self):
        self.pull()
        self.assertIn("nothing wrong", self.oxbow("cache", "scrub"))
        digest = self.layers()[0].removeprefix("sha256:")
        found = [os.path.join(folder, name) for folder, _, names in os.walk(self.mirror.directory) for name in names if digest in name]
        self.assertEqual(len(found), 1)
        with open(found[0], "r+b") as blob:
            blob.seek(1000)
            byte = blob.read(1)[0]
            blob.seek(1000)
            blob.write(bytes([byte ^ 1]))
        self.assertIn("1 wrong and dropped", self.oxbow("cache", "scrub", code=1))
        self.pull()
        self.assertIn("nothing wrong", self.oxbow("cache", "scrub"))

    def test_tcp_is_for_reading_and_for_this_machine(self):
        self.assertEqual(fetch(self.mirror.admin_url + "/api/v1/cache").json(), {"total": 0, "blobs": []})
        refused = fetch(self.mirror.admin_url + "/api/v1/cache/scrub", "POST", body=b"{}")
        self.assertEqual(refused.status, 403)
        self.assertIn("admin.socket", refused.json()["error"])
        for path, status in (("/api/v1/status", 403), ("/metrics", 200), ("/readyz", 200)):
            request = f"GET {path} HTTP/1.1\r\nHost: evil.example:5052\r\nConnection: close\r\n\r\n"
            self.assertIn(f"HTTP/1.1 {status}".encode(), raw(self.mirror.admin_port, request.encode())[0][:20], path)
        self.assertEqual(fetch(self.mirror.admin_url + "/api/v1/nothing").status, 404)

    def test_the_socket_is_for_owner_and_group_and_goes_with_the_daemon(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o660)
        link = http.client.HTTPConnection("localhost")
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.connect(self.socket)
        link.request("POST", "/api/v1/cache/pin", body=json.dumps({"digest": "sha256:" + "0" * 64}))
        self.assertEqual(link.getresponse().status, 404)
        link.close()
        self.mirror.kill()  # leaves its socket
        self.assertTrue(os.path.exists(self.socket))
        self.mirror.start()
        self.assertEqual(self.told("status")["ready"], True)
        self.mirror.stop()
        self.assertFalse(os.path.exists(self.socket))
        self.assertIn("systemctl status oxbow", self.oxbow("status", code=1))
        self.mirror.start()

    def test_a_socket_that_cannot_be_made_is_a_warning(self):
        mirror = self.mirror_of(self.registry.url)
        mirror.sections["admin"]["socket"] = "/proc/oxbow/admin.sock"
        self.start(mirror)
        self.assertRegex(mirror.log(), r"warning.* no admin socket.*admin\.socket")
        self.assertEqual(fetch(mirror.admin_url + "/api/v1/status").status, 200)

    def test_answers_fit_the_document(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("python3-jsonschema is not installed")
        with open(os.path.join(ROOT, "docs", "openapi.json"), encoding="utf-8") as file:
            document = json.load(file)
        self.pull()
        for path, methods in document["paths"].items():
            if "get" not in methods or "{" in path:
                continue
            with self.subTest(path):
                schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                reply = fetch(self.mirror.admin_url + path)
                self.assertEqual(reply.status, 200, reply)
                jsonschema.validate(reply.json(), {**schema, "components": document["components"]})

    def test_errors_tell_what_went_wrong(self):
        self.assertEqual(fetch(self.mirror.admin_url + "/api/v1/errors").json(), {"errors": []})
        upstream = self.upstream()
        failing = self.start(self.mirror_of(upstream.url))
        digest = upstream.add_blob(test_image.noise(MIB, "errors"))
        upstream.fail = [["GET .*", 503, {}, 1000]]
        ask = lambda: failing.get(f"/v2/team/app/blobs/{digest}") and fetch(failing.admin_url + "/api/v1/errors").json()["errors"]
        errors = wait_until(ask, 30, "an error to be told")
        self.assertRegex(errors[0]["message"], "upstream")
        self.assertRegex(errors[0]["last"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        registry = self.registry_of(fetch(failing.admin_url + "/api/v1/status").json())
        self.assertEqual(registry["state"], "open")
        self.assertRegex(registry["last_error"], re.escape(upstream.url) + ".*503")
