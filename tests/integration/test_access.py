"""Private content goes only to those whom the upstream would serve: rows 34 and 35, both credential modes, outages."""

import base64
import json
import os
import time

from oxtest import clients
from oxtest.case import Case, FaultyRegistry, Registry, image, test_image
from oxtest.process import wait_until
from oxtest.token_server import TokenServer


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Token(Case):
    """docker-registry with token authentication: alice may read team/private, bob team/other, everybody public/app."""

    @classmethod
    def set_up_parts(cls):
        cls.tokens = cls.start_shared(TokenServer(
            cls.folder, users={"admin": "root-secret", "alice": "alice-secret", "bob": "bob-secret"},
            rights={"admin": {"*": {"pull", "push"}}, "alice": {"team/private": {"pull"}}, "bob": {"team/other": {"pull"}},
                    None: {"public/app": {"pull"}}}))
        cls.registry = cls.start_shared(Registry(cls.folder, token=cls.tokens))
        cls.private, cls.other, cls.public = (image(big=2 << 20, seed=seed) for seed in (31, 32, 33))
        cls.registry.push_image("team/private", "1", cls.private)
        cls.registry.push_image("team/other", "1", cls.other)
        cls.registry.push_image("public/app", "1", cls.public)
        cls.mirror = cls.start_shared(cls.mirror_of(cls.registry.url))

    def bearer(self, user, repository):
        return {"Authorization": "Bearer " + self.tokens.issue(user, repository, ["pull"])}

    def blob(self, repository, picture):
        return f"/v2/{repository}/blobs/{picture.layers[-1]}"

    def pull_as_alice(self, mirror):
        alice = self.bearer("alice", "team/private")
        self.assertEqual(mirror.get("/v2/team/private/manifests/1", alice).status, 200)
        self.assert_whole(mirror.get(self.blob("team/private", self.private), alice),
                          self.private.blobs[self.private.layers[-1]])

    def test_row_34_anonymous_works_with_the_mirrors_own_token(self):
        reply = self.mirror.get("/v2/public/app/manifests/1")
        self.assert_whole(reply, self.public.manifests[self.public.root][0])
        self.assert_whole(self.mirror.get(self.blob("public/app", self.public)), self.public.blobs[self.public.layers[-1]])
        self.assertTrue(any(user is None for user, _, _ in self.tokens.requests), "no anonymous token was asked for")

    def test_row_34_a_refusal_replays_the_challenge_of_the_upstream(self):
        reply = self.mirror.get("/v2/team/private/manifests/1")
        self.assertEqual(reply.status, 401, reply)
        challenge = reply.header("WWW-Authenticate", "")
        self.assertIn(f'realm="{self.tokens.realm}"', challenge)
        self.assertIn(f'service="{self.tokens.service}"', challenge)
        self.assertIn("repository:team/private:pull", challenge)

    def test_row_34_the_clients_token_is_used_upstream(self):
        self.pull_as_alice(self.start(self.mirror_of(self.registry.url)))

    def test_row_34_credentials_do_not_reach_another_host(self):
        upstream, cdn = self.upstream(), self.start(FaultyRegistry())
        data = test_image.noise(3 << 20, "cdn")
        digest = upstream.add_blob(data)
        cdn.add_blob(data)
        upstream.redirect_blobs_to = cdn.url.replace("127.0.0.1", "localhost")
        upstream.require_auth = lambda seen: None if seen.headers.get("Authorization") else (401, {"WWW-Authenticate": 'Basic realm="x"'})
        mirror = self.start(self.mirror_of(upstream.url))
        reply = mirror.get(f"/v2/team/app/blobs/{digest}", basic("alice", "alice-secret"))
        self.assert_whole(reply, data)
        self.assertTrue(cdn.seen)
        for seen in cdn.seen:
            self.assertIsNone(seen.headers.get("Authorization"), seen)

    def test_row_35_private_content_is_not_served_to_others(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        self.pull_as_alice(mirror)
        layer = self.private.layers[-1]
        for who, headers in (("nobody", {}), ("bob", self.bearer("bob", "team/other"))):
            for path in ("/v2/team/private/manifests/1", f"/v2/team/private/manifests/{self.private.root}",
                         self.blob("team/private", self.private)):
                with self.subTest(f"{who} {path}"):
                    reply = mirror.get(path, headers)
                    self.assertIn(reply.status, (401, 403, 404), reply)
                    self.assertEqual(mirror.head(path, headers).status, reply.status)
        # By digest through a repository that the caller may read: the blob does not belong to it.
        for who, headers, repository in (("nobody", {}, "public/app"), ("bob", self.bearer("bob", "team/other"), "team/other")):
            for kind, digest in (("blobs", layer), ("manifests", self.private.root)):
                with self.subTest(f"{who} {repository} {kind}"):
                    self.assertIn(mirror.get(f"/v2/{repository}/manifests/1", headers).status, (200,))
                    reply = mirror.get(f"/v2/{repository}/{kind}/{digest}", headers)
                    self.assertIn(reply.status, (401, 403, 404), reply)
                    self.assertNotEqual(reply.body, self.private.blobs.get(digest))
            with self.subTest(f"{who} range"):
                reply = mirror.get(f"/v2/{repository}/blobs/{layer}", {**headers, "Range": "bytes=0-9"})
                self.assertIn(reply.status, (401, 403, 404), reply)
        # And with no repository of his own, nor a made-up one, digest memory opens nothing.
        self.assertIn(mirror.get(f"/v2/made/up/blobs/{layer}").status, (401, 403, 404))

    def test_row_35_a_layer_shared_with_a_public_repository_stays_public(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        shared = self.private.layers[0]  # busybox is in all three images
        self.pull_as_alice(mirror)
        self.assertEqual(mirror.get("/v2/public/app/manifests/1").status, 200)
        self.assert_whole(mirror.get(f"/v2/public/app/blobs/{shared}"), self.public.blobs[shared])

    def test_anonymous_content_outlives_the_upstream(self):
        mirror = self.start(self.mirror_of(self.registry.url, registry={"tag_ttl": "0s"}))
        self.assertEqual(mirror.get("/v2/public/app/manifests/1").status, 200)
        self.assertEqual(mirror.get(self.blob("public/app", self.public)).status, 200)
        self.registry.stop()
        try:
            reply = mirror.get("/v2/public/app/manifests/1")
            self.assertEqual(reply.status, 200, reply)
            self.assertTrue(reply.header("Warning"))
            self.assert_whole(mirror.get(self.blob("public/app", self.public)), self.public.blobs[self.public.layers[-1]])
            mirror.restart()  # the grant is kept, not only remembered
            self.assert_whole(mirror.get(self.blob("public/app", self.public)), self.public.blobs[self.public.layers[-1]])
        finally:
            self.registry.start()

    def test_a_wrong_or_expired_token_is_refused(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        self.pull_as_alice(mirror)
        for value in ("Bearer nonsense", "Bearer " + self.tokens.issue("alice", "team/other", ["pull"])):
            self.assertIn(mirror.get(self.blob("team/private", self.private), {"Authorization": value}).status, (401, 403, 404))

    def test_containerd_pulls_a_private_image_with_its_own_credentials(self):
        containerd = self.start(clients.Containerd(self.own_folder()))
        mirror = self.start(self.mirror_of(self.registry.url))
        containerd.use_mirror("registry.test", mirror.url)
        code, said = containerd.pull("registry.test/team/private:1", check=False)
        self.assertNotEqual(code, 0, "without credentials: " + said)
        code, said = containerd.pull("registry.test/team/private:1", "--user", "bob:bob-secret", check=False)
        self.assertNotEqual(code, 0, "as bob: " + said)
        containerd.pull("registry.test/team/private:1", "--user", "alice:alice-secret")
        self.assertIn(self.private.layers[-1], containerd.content())
        for secret in ("alice-secret", "bob-secret", "Bearer ey", "YWxpY2U6YWxpY2Utc2VjcmV0"):
            self.assertNotIn(secret, mirror.log())

    def test_node_mode_serves_everybody_what_the_node_may_read(self):
        for source in ("password_file", "docker_config"):
            with self.subTest(source):
                folder = self.own_folder()
                if source == "password_file":
                    path = os.path.join(folder, "password")
                    with open(path, "w") as out:
                        out.write("alice-secret\n")
                    credentials = {"username": "alice", "password_file": path}
                else:
                    path = os.path.join(folder, "config.json")
                    with open(path, "w") as out:
                        json.dump({"auths": {self.registry.host: {"auth": base64.b64encode(b"alice:alice-secret").decode()}}}, out)
                    credentials = {"docker_config": path}
                mirror = self.start(self.mirror_of(self.registry.url, registry={"credentials": "node", "credential_source": credentials}))
                self.assertEqual(mirror.get("/v2/team/private/manifests/1").status, 200)
                self.assert_whole(mirror.get(self.blob("team/private", self.private)), self.private.blobs[self.private.layers[-1]])
                self.assertIn(mirror.get("/v2/team/other/manifests/1").status, (401, 403, 404, 502))
                self.assertNotIn("alice-secret", mirror.log())


class Basic(Case):
    """docker-registry with htpasswd: every request needs Basic."""

    @classmethod
    def set_up_parts(cls):
        cls.registry = Registry(cls.folder, htpasswd={"alice": "alice-secret"})
        cls.registry.auth_header = basic("alice", "alice-secret")["Authorization"]
        cls.start_shared(cls.registry)
        cls.image = image(big=2 << 20, seed=34)
        cls.registry.push_image("team/private", "1", cls.image)

    def test_row_34_basic_is_passed_through_and_challenged_only_on_refusal(self):
        mirror = self.start(self.mirror_of(self.registry.url))
        path = f"/v2/team/private/blobs/{self.image.layers[-1]}"
        refused = mirror.get("/v2/team/private/manifests/1")
        self.assertEqual(refused.status, 401)
        self.assertTrue(refused.header("WWW-Authenticate", "").startswith("Basic "))
        self.assertIn(mirror.get("/v2/team/private/manifests/1", basic("alice", "wrong")).status, (401, 403))
        alice = basic("alice", "alice-secret")
        self.assertEqual(mirror.get("/v2/team/private/manifests/1", alice).status, 200)
        self.assert_whole(mirror.get(path, alice), self.image.blobs[self.image.layers[-1]])
        self.assertIn(mirror.get(path).status, (401, 403, 404))
        self.assertIn(mirror.get(path, basic("alice", "wrong")).status, (401, 403, 404))

    def test_node_mode_with_basic(self):
        path = os.path.join(self.own_folder(), "password")
        with open(path, "w") as out:
            out.write("alice-secret")
        mirror = self.start(self.mirror_of(self.registry.url, registry={
            "credentials": "node", "credential_source": {"username": "alice", "password_file": path}}))
        self.assertEqual(mirror.get("/v2/team/private/manifests/1").status, 200)


class Grants(Case):
    """With a scripted upstream that changes its mind."""

    def test_a_grant_ends_after_access_ttl(self):
        upstream = self.upstream()
        allowed = {"Bearer good"}
        upstream.require_auth = lambda seen: None if seen.headers.get("Authorization") in allowed else (
            401, {"WWW-Authenticate": f'Bearer realm="{upstream.url}/token",service="x",scope="repository:team/app:pull"'})
        upstream.routes = [(r"/token", lambda seen: (401, {}, b"{}"))]
        data = test_image.noise(2 << 20, "grant")
        root = upstream.add_manifest("team/app", "1", [data])
        digest = [d for d, blob in upstream.blobs.items() if blob == data][0]
        mirror = self.start(self.mirror_of(upstream.url, registry={"access_ttl": "1s", "tag_ttl": "0s"}))
        good = {"Authorization": "Bearer good"}
        self.assertEqual(mirror.get(f"/v2/team/app/manifests/{root}", good).status, 200)
        self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}", good), data)
        allowed.clear()
        # Revoked upstream: at the latest after its time the grant is gone, though the bytes are on this disk.
        wait_until(lambda: mirror.get(f"/v2/team/app/blobs/{digest}", good).status in (401, 403, 404), 20, "the grant to end", 0.2)
        began = time.monotonic()
        self.assertIn(mirror.get(f"/v2/team/app/manifests/{root}", good).status, (401, 403, 404))
        self.assertLess(time.monotonic() - began, 10)
