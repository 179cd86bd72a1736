"""`oxbow pull`: a real registry, private images, cuts, wrong bytes, and what it prints."""

import base64
import json
import os
import signal
import subprocess

from oxtest.case import Case, Registry, image, test_image
from oxtest.mirror import binary
from oxtest.process import free_port, wait_until
from oxtest.token_server import TokenServer

NAME = "registry.test"


class Pulling(Case):
    def command(self, mirror, *arguments):
        return [binary(), "pull", "--config", mirror.config_path, *arguments]

    def pull(self, mirror, *arguments, code=0, stdin="", environment=None):
        """(standard output, standard error) of a pull that ended with that code."""
        nothing = self.own_folder()
        ended = subprocess.run(self.command(mirror, *arguments), input=stdin, capture_output=True, text=True, timeout=120,
                               env={**os.environ, "HOME": nothing, "DOCKER_CONFIG": nothing, **(environment or {})}, check=False)
        self.assertEqual(ended.returncode, code, ended.stdout + ended.stderr)
        return ended.stdout, ended.stderr

    def pull_json(self, mirror, *arguments, **options):
        return json.loads(self.pull(mirror, *arguments, "--json", **options)[0])


class Public(Pulling):
    @classmethod
    def set_up_parts(cls):
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.image = image(big=6 << 20, seed=501)
        cls.registry.push_image("public/app", "1", cls.image)
        cls.index = image(big=1 << 20, seed=503, index=True)
        cls.registry.push_image("public/index", "1", cls.index)

    def test_all_of_it_is_in_the_cache_afterwards(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        said, _ = self.pull(mirror, f"{NAME}/public/app:1")
        self.assertIn(f"{NAME}/public/app:1", said)
        self.assertIn("digest: " + self.image.root, said)
        for layer in self.image.layers:
            self.assertIn(layer[: len("sha256:") + 12], said)
        self.registry.stop()
        try:
            again = self.pull_json(mirror, f"{NAME}/public/app:1")
        finally:
            self.registry.start()
        self.assertEqual(again["state"], "done")
        self.assertEqual(again["sources"], {"storage": again["bytes"], "peer": 0, "upstream": 0})
        self.assertEqual({blob["digest"] for blob in again["blobs"]}, {*self.image.layers, *self.configs()})
        for blob in again["blobs"]:
            self.assertEqual(blob["received_bytes"], blob["size_bytes"])
            self.assertIsNone(blob["error"])

    def configs(self):
        out = set()
        for data, _ in self.image.manifests.values():
            out |= {json.loads(data)["config"]["digest"]} if "config" in json.loads(data) else set()
        return out

    def test_quiet_prints_the_digest_and_a_digest_can_be_pulled(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        said, errors = self.pull(mirror, f"{NAME}/public/app@{self.image.root}", "--quiet")
        self.assertEqual((said, errors), (self.image.root + "\n", ""))

    def test_an_index_gives_the_platforms_image_or_all_of_them(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        one = self.pull_json(mirror, f"{NAME}/public/index:1")
        self.assertEqual((one["state"], one["digest"], one["manifests"]), ("done", self.index.root, 2))
        every = self.pull_json(mirror, f"{NAME}/public/index:1", "--platform", "all")
        self.assertEqual(every["manifests"], len(self.index.manifests))

    def test_what_is_not_there_is_said(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        _, errors = self.pull(mirror, f"{NAME}/public/app:missing", code=1)
        self.assertIn("missing", errors)
        _, errors = self.pull(mirror, f"{NAME}/public/index:1", "--platform", "plan9/mips", code=1)
        self.assertIn("there is: linux/", errors)
        _, errors = self.pull(mirror, "Upper/case", code=2)
        self.assertIn("lower case", errors)
        mirror.stop()
        _, errors = self.pull(mirror, f"{NAME}/public/app:1", code=1)
        self.assertIn("systemctl status oxbow", errors)

    def test_this_node_is_preheated_and_watched(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        said, errors = self.pull(mirror, f"{NAME}/public/app:1", "--nodes", "all", "--json")
        preheat = json.loads(said)
        self.assertEqual(preheat["state"], "done", said + errors)
        self.assertEqual(preheat["digest"], self.image.root)
        self.assertEqual([node["state"] for node in preheat["nodes"]], ["done"])
        node = preheat["nodes"][0]
        self.assertEqual(node["bytes_done"], node["bytes_total"])
        here = self.pull_json(mirror, f"{NAME}/public/app:1")
        self.assertEqual(here["sources"]["storage"], here["bytes"])
        self.assertEqual(json.loads(self.pull(mirror, "--status", preheat["id"], "--json")[0])["state"], "done")
        self.assertIn(preheat["id"], self.pull(mirror, "--status", "list")[0])
        self.pull(mirror, f"{NAME}/public/app:1", "--nodes", "nobody", code=1)
        self.pull(mirror, "--status", "nothing", code=1)
        self.pull(mirror, f"unknown.test/app:1", "--nodes", "all", code=2)

    def test_a_preheat_is_a_change(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        reply = mirror.fetch(mirror.admin_url + "/api/v1/preheats", "POST", {"Content-Type": "application/json"},
                             body=json.dumps({"image": f"{NAME}/public/app:1", "nodes": "all"}).encode())
        self.assertEqual(reply.status, 403, reply)


class Private(Pulling):
    @classmethod
    def set_up_parts(cls):
        cls.tokens = cls.start_shared(TokenServer(
            cls.folder, users={"admin": "root-secret", "alice": "alice-secret"},
            rights={"admin": {"*": {"pull", "push"}}, "alice": {"team/private": {"pull"}}}))
        cls.registry = cls.start_shared(Registry(cls.folder, token=cls.tokens))
        cls.image = image(big=2 << 20, seed=502)
        cls.registry.push_image("team/private", "1", cls.image)
        cls.mirror = cls.start_shared(cls.mirror_of(cls.registry.url))

    def docker_config(self):
        folder = self.own_folder()
        with open(os.path.join(folder, "config.json"), "w") as out:
            json.dump({"auths": {NAME: {"auth": base64.b64encode(b"alice:alice-secret").decode()}}}, out)
        return {"DOCKER_CONFIG": folder}

    def test_the_callers_credentials_are_used(self):
        name = f"{NAME}/team/private:1"
        _, errors = self.pull(self.mirror, name, code=1)
        self.assertIn("docker login", errors)
        _, errors = self.pull(self.mirror, name, "--username", "alice", "--password-stdin", code=1, stdin="wrong\n")
        self.assertIn("may not read it", errors)
        self.assertEqual(self.pull_json(self.mirror, name, "--username", "alice", "--password-stdin",
                                        stdin="alice-secret\n")["state"], "done")
        self.assertEqual(self.pull_json(self.mirror, name, environment=self.docker_config())["state"], "done")
        for secret in ("alice-secret", "Bearer ey"):
            self.assertNotIn(secret, self.mirror.log())

    def test_a_preheat_has_the_nodes_right_and_no_other(self):
        name = f"{NAME}/team/private@{self.image.root}"
        mirror = self.start(self.mirror_of(self.registry.url))
        self.pull(mirror, name, environment=self.docker_config())
        said, _ = self.pull(mirror, name, "--nodes", "all", "--json", code=1, environment=self.docker_config())
        node = json.loads(said)["nodes"][0]
        self.assertEqual(node["state"], "failed")
        self.assertIn('credentials = "node"', node["error"])


class Troubles(Pulling):
    def test_a_cut_is_gone_on_with(self):
        upstream = self.upstream()
        data = test_image.noise(24 << 20, "cut")
        upstream.add_manifest("team/app", "1", [data])
        upstream.rate_bytes = 6 << 20
        mirror = self.start(self.mirror_of(upstream.url, client={"drain_timeout": "100ms"}))
        command = subprocess.Popen(self.command(mirror, f"{NAME}/team/app:1", "--json"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(command.kill)
        wait_until(lambda: command.poll() is not None or mirror.metric("oxbow_client_bytes_total") > 2 << 20, 60,
                   "some bytes to be served", 0.05)
        mirror.restart()
        said, errors = command.communicate(timeout=120)
        self.assertEqual(command.returncode, 0, said + errors)
        layer = max(json.loads(said)["blobs"], key=lambda blob: blob["size_bytes"])
        self.assertEqual(layer["received_bytes"], len(data))
        self.assertGreater(layer["resumed"], 0)

    def test_wrong_bytes_of_the_registry_fail_clearly(self):
        upstream = self.upstream()
        data = test_image.noise(3 << 20, "wrong")
        upstream.add_manifest("team/app", "1", [data])
        digest = test_image.sha256(data)
        upstream.corrupt.add(digest)
        mirror = self.start(self.mirror_of(upstream.url))
        report = self.pull_json(mirror, f"{NAME}/team/app:1", code=1)
        self.assertEqual(report["state"], "failed")
        self.assertIn(digest, report["error"])

    def test_ctrl_c_ends_it_cleanly(self):
        upstream = self.upstream()
        upstream.add_manifest("team/app", "1", [test_image.noise(24 << 20, "interrupt")])
        upstream.rate_bytes = 1 << 20
        mirror = self.start(self.mirror_of(upstream.url))
        command = subprocess.Popen(self.command(mirror, f"{NAME}/team/app:1", "--json"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(command.kill)
        wait_until(lambda: command.poll() is not None or mirror.metric("oxbow_client_bytes_total") > 100_000, 60,
                   "some bytes to be served", 0.05)
        command.send_signal(signal.SIGINT)
        said, errors = command.communicate(timeout=60)
        self.assertEqual(command.returncode, 1, said + errors)
        self.assertEqual(json.loads(said)["state"], "cancelled")
        self.assertIn("goes on with the rest", errors)

    def test_without_a_mirror_nothing_is_sent(self):
        mirror = self.mirror_of(f"http://127.0.0.1:{free_port()}")
        mirror.write_config()
        self.pull(mirror, f"{NAME}/team/app:1", code=1)
