"""What clients require of the API (docs/clients.md): one test a row, named after it. Upstreams: docker-registry, and a scripted one."""

import http.client
import json
import re
import socket
import ssl
import threading

from oxtest.case import Case, FaultyRegistry, Mirror, Registry, image, test_image
from oxtest.http import curl, fetch, parse_multipart, raw, split_response
from test_curl import self_signed

UNKNOWN = "sha256:" + "0" * 64
MANIFEST_ACCEPT = ", ".join([
    "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
    test_image.MANIFEST_TYPE, test_image.INDEX_TYPE, "*/*"])


class Rows(Case):
    """Two registries with the same repository name and different content: nothing may come from the wrong one."""

    @classmethod
    def set_up_parts(cls):
        cls.image = image(big=24 << 20, index=True, seed=5)
        cls.other = image(big=1 << 20, seed=6)
        cls.hub = cls.start_shared(Registry(cls.folder, "hub"))
        cls.hub.push_image("library/web", "1", cls.image)
        cls.second = cls.start_shared(Registry(cls.folder, "second"))
        cls.second.push_image("library/web", "1", cls.other)
        cls.scripted = cls.start_shared(FaultyRegistry())
        cls.mirror = cls.start_shared(Mirror(cls.folder, [
            {"name": "docker.io", "aliases": ["registry-1.docker.io", "index.docker.io"], "upstreams": [cls.hub.url]},
            {"name": "second.test", "aliases": ["second"], "upstreams": [cls.second.url]},
            {"name": "scripted.test", "upstreams": [cls.scripted.url], "tag_ttl": "0s"},
        ], client={"default_registry": "docker.io", "builtin_registries": False}))
        cls.big = cls.image.layers[-1]
        cls.data = cls.image.blobs[cls.big]
        cls.blob = f"/v2/library/web/blobs/{cls.big}"

    def setUp(self):
        super().setUp()
        self.scripted.reset()

    def root(self, picture):
        return picture.manifests[picture.root][0]

    def test_row_01_version_check_at_the_root(self):
        for path in ("/v2/", "/v2"):
            self.assertEqual(self.mirror.get(path).status, 200)
        head = self.mirror.head("/v2/")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertIsNone(head.header("WWW-Authenticate"))

    def test_row_02_every_shape_of_path_routes(self):
        for path in ("/v2/library/web/manifests/1", "/v2/docker.io/library/web/manifests/1",
                     "/docker.io/v2/library/web/manifests/1"):
            with self.subTest(path):
                self.assert_whole(self.mirror.get(path), self.root(self.image))
        for path in ("/v2/second.test/library/web/manifests/1", "/v2/second/library/web/manifests/1",
                     "/second.test/v2/library/web/manifests/1"):
            with self.subTest(path):
                self.assert_whole(self.mirror.get(path), self.root(self.other))

    def test_row_03_ns_is_decoded_aliases_are_one_and_ns_beats_the_path(self):
        for ns in ("docker.io", "registry-1.docker.io", "index.docker.io", "docker%2Eio"):
            with self.subTest(ns):
                reply = self.mirror.get(f"/v2/library/web/manifests/1?ns={ns}")
                self.assert_whole(reply, self.root(self.image))
                self.assertIn(reply.header("OCI-Namespace"), ("docker.io", ns))
        self.assert_whole(self.mirror.get("/v2/library/web/manifests/1?ns=second.test"), self.root(self.other))
        # A repository whose first part looks like a host: with `ns` it is only a name.
        self.hub.push_image("second.test/library/web", "dots", self.image)
        self.assert_whole(self.mirror.get("/v2/second.test/library/web/manifests/dots?ns=docker.io"), self.root(self.image))

    def test_row_04_unknown_registry_is_404_and_never_another_ones_content(self):
        self.assertEqual(self.mirror.get("/v2/library/web/manifests/1?ns=unknown.test").status, 404)
        reply = self.mirror.get("/v2/unknown.test/library/web/manifests/1")
        self.assertEqual(reply.status, 404)
        self.assertNotIn(self.root(self.image), reply.body)

    def test_row_04_digest_memory_finds_the_registry_of_a_blob(self):
        digest = self.other.layers[-1]
        self.mirror.get(f"/v2/library/web/manifests/{self.other.root}?ns=second.test")
        self.assert_whole(self.mirror.get(f"/v2/library/web/blobs/{digest}?ns=second.test"), self.other.blobs[digest])
        # Without ns: the digest was last seen at second.test, in a repository of this name.
        self.assert_whole(self.mirror.get(f"/v2/library/web/blobs/{digest}"), self.other.blobs[digest])

    def test_row_05_head_of_a_manifest(self):
        for reference in ("1", self.image.root):
            reply = self.mirror.head(f"/v2/library/web/manifests/{reference}", {"Accept": MANIFEST_ACCEPT})
            self.assertEqual((reply.status, reply.body), (200, b""), reply)
            self.assertEqual(reply.header("Docker-Content-Digest"), self.image.root)
            self.assertEqual(reply.header("Content-Length"), str(len(self.root(self.image))))
            self.assertEqual(reply.header("Content-Type"), test_image.INDEX_TYPE)

    def test_row_06_manifests_are_byte_exact(self):
        for digest, (data, media_type) in self.image.manifests.items():
            reply = self.mirror.get(f"/v2/library/web/manifests/{digest}")
            self.assert_whole(reply, data)
            self.assertEqual(reply.header("Content-Type"), media_type)
            self.assertEqual(reply.header("Docker-Content-Digest"), digest)

    def test_row_06_a_manifest_with_wrong_bytes_is_never_sent(self):
        digest = self.scripted.add_manifest("bad/manifest", None, [b"x"])
        self.scripted.corrupt = {digest}
        self.assertEqual(self.mirror.get(f"/v2/bad/manifest/manifests/{digest}?ns=scripted.test").status, 502)
        self.scripted.reset()
        self.assertEqual(self.mirror.get(f"/v2/bad/manifest/manifests/{digest}?ns=scripted.test").status, 200)

    def test_row_07_every_accept_is_served(self):
        path = "/v2/library/web/manifests/1"
        for headers in ([], [("Accept", "*/*")], [("Accept", test_image.INDEX_TYPE), ("Accept", test_image.MANIFEST_TYPE)],
                        [("Accept", MANIFEST_ACCEPT)], [("Accept", test_image.INDEX_TYPE + ", */*")]):
            with self.subTest(str(headers)):
                reply = self.mirror.get(path, headers)
                self.assert_whole(reply, self.root(self.image))
                self.assertEqual(reply.header("Content-Type"), test_image.INDEX_TYPE)

    def test_row_08_range_on_a_manifest(self):
        for value in ("bytes=0-", "bytes=10-"):
            reply = self.mirror.get(f"/v2/library/web/manifests/{self.image.root}", {"Range": value})
            self.assertIn(reply.status, (200, 206), reply)
            first = int(value[6:-1]) if reply.status == 206 else 0
            self.assertEqual(reply.body, self.root(self.image)[first:])

    def test_row_09_a_blob_has_length_digest_and_accept_ranges(self):
        for method in ("GET", "HEAD"):
            reply = fetch(self.mirror.url + self.blob, method)
            self.assertEqual(reply.status, 200, reply)
            self.assertEqual(reply.header("Content-Length"), str(len(self.data)))
            self.assertEqual(reply.header("Accept-Ranges"), "bytes")
            self.assertEqual(reply.header("Docker-Content-Digest"), self.big)
            self.assertTrue(reply.body == (self.data if method == "GET" else b""))
        for digest in self.image.layers:  # also the empty layer and those below a stripe
            self.assert_whole(self.mirror.get(f"/v2/library/web/blobs/{digest}"), self.image.blobs[digest])

    def test_row_09_an_empty_blob(self):
        digest = self.scripted.add_blob(b"")
        reply = self.mirror.get(f"/v2/any/blobs/{digest}?ns=scripted.test")
        self.assert_whole(reply, b"")
        self.assertEqual(reply.header("Content-Length"), "0")

    def test_row_10_a_plain_get_is_200_and_never_chunked(self):
        fresh = self.scripted.add_blob(test_image.noise(3 << 20, "row 10"))
        for path in (self.blob, f"/v2/any/blobs/{fresh}?ns=scripted.test"):
            reply = self.mirror.get(path)
            self.assertEqual(reply.status, 200)
            self.assertIsNone(reply.header("Transfer-Encoding"))
            self.assertIsNotNone(reply.header("Content-Length"))

    def test_row_11_ranges(self):
        size = len(self.data)
        cases = {"bytes=500-1499": (500, 1499), "bytes=500-": (500, size - 1), "bytes=-500": (size - 500, size - 1),
                 f"bytes={size - 48}-{size + 3000}": (size - 48, size - 1), f"bytes=-{size + 5}": (0, size - 1),
                 "bytes=0-0": (0, 0), f"bytes={size - 1}-": (size - 1, size - 1), "bytes=0-": (0, size - 1),
                 "bytes=524287-524288": (524287, 524288), "bytes=4194000-8390000": (4194000, 8390000)}
        for value, (first, last) in cases.items():
            with self.subTest(value):
                reply = self.mirror.get(self.blob, {"Range": value})
                self.assertEqual(reply.status, 206, reply.headers)
                self.assertEqual(reply.header("Content-Range"), f"bytes {first}-{last}/{size}")
                self.assertEqual(reply.header("Content-Length"), str(last - first + 1))
                self.assertEqual(reply.header("Accept-Ranges"), "bytes")
                self.assertTrue(reply.body == self.data[first : last + 1], "the bytes differ")

    def test_row_11_ranges_of_a_blob_that_is_not_stored_yet(self):
        data = test_image.noise(20 << 20, "row 11")
        digest = self.scripted.add_blob(data)
        reply = self.mirror.get(f"/v2/any/blobs/{digest}?ns=scripted.test", {"Range": "bytes=9000000-9999999"})
        self.assertEqual(reply.status, 206, reply)
        self.assertEqual(reply.header("Content-Range"), f"bytes 9000000-9999999/{len(data)}")
        self.assertTrue(reply.body == data[9000000:10000000])
        self.assertLess(self.scripted.sent_of(digest), 10 << 20, "a closed range must not fetch the whole blob")

    def test_row_12_ranges_outside_are_416(self):
        size = len(self.data)
        for value in ("bytes=500-0", f"bytes={size}-", f"bytes={size + 10}-{size + 20}"):
            with self.subTest(value):
                reply = self.mirror.get(self.blob, {"Range": value})
                self.assertEqual(reply.status, 416, reply)
                self.assertEqual(reply.header("Content-Range"), f"bytes */{size}")

    def test_row_13_multiple_ranges_come_in_order_unmerged_or_are_refused_with_400(self):
        wanted = [(1000, 1999), (0, 99), (5000000, 5000009), (50, 149)]
        last = len(self.data) - 20
        value = "bytes=" + ", ".join(f"{a}-{b}" for a, b in wanted) + f", {last}-"
        reply = self.mirror.get(self.blob, {"Range": value})
        if reply.status == 400:
            return
        self.assertEqual(reply.status, 206, reply)
        self.assertEqual(int(reply.header("Content-Length")), len(reply.body))
        self.assertNotIn('"', reply.header("Content-Type"), "podman and stargz want a bare token as the boundary")
        parts = parse_multipart(reply)
        self.assertEqual([(a, b) for a, b, _, _ in parts], [*wanted, (last, len(self.data) - 1)])
        for first, end, total, content in parts:
            self.assertEqual(total, len(self.data))
            self.assertTrue(content == self.data[first : end + 1])

    def test_row_14_64_kib_of_request_headers(self):
        ranges = [(i * 20000, i * 20000 + 9) for i in range(1024)]
        value = "bytes=" + ",".join(f"{a}-{b}" for a, b in ranges)
        headers = [("Range", value)]
        room = 64 * 1024 - len(value) - 200
        headers += [(f"X-Padding-{i}", "p" * 4000) for i in range(room // 4020)]
        reply = self.mirror.get(self.blob, headers)
        self.assertIn(reply.status, (206, 400), reply.headers)  # 400: too many ranges, asked again with fewer (row 13)
        if reply.status == 206:
            self.assertEqual([(a, b) for a, b, _, _ in parse_multipart(reply)], ranges)

    def test_row_14_headers_beyond_the_limit_are_refused_and_the_next_request_is_served(self):
        request = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"p" * 8000) for i in range(100)) + b"\r\n"
        data, ending = raw(self.mirror.port, request)
        if data:
            self.assertIn(split_response(data)[0], (400, 413, 431))
        self.assertIn(ending, ("fin", "rst"))
        self.assertEqual(self.mirror.get("/v2/").status, 200)

    def test_row_24_nothing_is_ever_content_encoded(self):
        for value in ("gzip", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "identity", "*"):
            for path in (self.blob, "/v2/library/web/manifests/1"):
                reply = self.mirror.get(path, {"Accept-Encoding": value})
                self.assertEqual(reply.status, 200)
                self.assertIsNone(reply.header("Content-Encoding"))
        self.assertTrue(self.mirror.get(self.blob, {"Accept-Encoding": "gzip"}).body == self.data)

    def test_row_25_keep_alive_and_connection_close(self):
        link = http.client.HTTPConnection("127.0.0.1", self.mirror.port, timeout=30)
        for path in ("/v2/", "/v2/library/web/manifests/1", self.blob, "/v2/library/web/manifests/nothing", self.blob):
            fetch(self.mirror.url + path, connection=link)
            self.assertIsNotNone(link.sock, f"the connection ended after {path}")
        link.close()
        data, ending = raw(self.mirror.port, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual((split_response(data)[0], ending), (200, "fin"))
        data, ending = raw(self.mirror.port, b"GET /v2/ HTTP/1.0\r\n\r\n")
        self.assertEqual((split_response(data)[0], ending), (200, "fin"))

    def test_row_25_tls_offers_h2_and_serves_clients_without_alpn(self):
        tls = self_signed(self.own_folder())
        mirror = self.start(self.mirror_of(self.hub.url, tls=tls))

        def negotiated(*protocols):
            context = ssl.create_default_context(cafile=tls[0])
            if protocols:
                context.set_alpn_protocols(list(protocols))
            with socket.create_connection(("127.0.0.1", mirror.port), timeout=20) as link:
                with context.wrap_socket(link, server_hostname="127.0.0.1") as secure:
                    return secure.selected_alpn_protocol()

        self.assertEqual(negotiated("h2", "http/1.1"), "h2")
        self.assertEqual(negotiated("http/1.1"), "http/1.1")
        self.assertIsNone(negotiated())
        reply = fetch(f"{mirror.url}/v2/library/web/blobs/{self.big}", context=ssl.create_default_context(cafile=tls[0]))
        self.assert_whole(reply, self.data)

    def test_row_26_head_on_h2_keeps_content_length(self):
        code, reply = curl("--http2-prior-knowledge", "-I", self.mirror.url + self.blob)
        self.assertEqual((code, reply.status), (0, 200), reply)
        self.assertEqual(reply.header("content-length"), str(len(self.data)))

    def test_row_27_hundreds_of_short_connections(self):
        failures = []

        def work():
            for _ in range(25):
                try:
                    if fetch(f"{self.mirror.url}/v2/library/web/manifests/{self.image.root}", headers={"Connection": "close"}).status != 200:
                        failures.append("status")
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_row_28_redirects_of_the_upstream_are_followed_inside(self):
        cdn = self.start(FaultyRegistry())
        data = test_image.noise(3 << 20, "row 28")
        digest = self.scripted.add_blob(data)
        cdn.add_blob(data)
        self.scripted.redirect_blobs_to = cdn.url
        reply = self.mirror.get(f"/v2/any/blobs/{digest}?ns=scripted.test")
        self.assert_whole(reply, data)
        self.assertGreaterEqual(cdn.sent_of(digest), len(data))

    def test_row_29_missing_content_is_404_with_an_oci_code(self):
        missing = "/v2/library/web"
        self.assert_oci_error(self.mirror.get(f"{missing}/manifests/nothing"), 404, "MANIFEST_UNKNOWN")
        self.assert_oci_error(self.mirror.get(f"{missing}/manifests/{UNKNOWN}"), 404, "MANIFEST_UNKNOWN")
        self.assert_oci_error(self.mirror.get(f"{missing}/blobs/{UNKNOWN}"), 404, "BLOB_UNKNOWN")
        self.assertEqual(self.mirror.head(f"{missing}/blobs/{UNKNOWN}").status, 404)
        self.assert_oci_error(self.mirror.get("/v2/no/such/repository/manifests/1"), 404, ("MANIFEST_UNKNOWN", "NAME_UNKNOWN"))
        self.assertEqual(self.mirror.get("/nothing/here").status, 404)

    def test_row_30_bad_digests_and_names_are_refused_cleanly(self):
        for path in ("/v2/library/web/manifests/sha256:baddigeststring", "/v2/library/web/blobs/sha256:short",
                     "/v2/library/web/blobs/not-a-digest", "/v2/UPPER..case/manifests/1", "/v2/library/web/manifests/bad%20tag",
                     "/v2/library/../../etc/passwd", "/v2/library/web/blobs/blake3:" + "0" * 64,
                     "/v2/library/web/blobs/unknown+algo:abc", "/v2/library/web/manifests/" + "t" * 200):
            with self.subTest(path):
                self.assertIn(self.mirror.get(path).status, (400, 404))

    def test_row_30_sha512_is_served(self):
        import hashlib
        data = test_image.noise(2 << 20, "row 30")
        digest = self.scripted.add_blob(data, "sha512:" + hashlib.sha512(data).hexdigest())
        self.assert_whole(self.mirror.get(f"/v2/any/blobs/{digest}?ns=scripted.test"), data)

    def test_row_31_push_and_delete_are_405(self):
        for method, path in (("POST", "/v2/library/web/blobs/uploads/"), ("PUT", "/v2/library/web/manifests/1"),
                             ("DELETE", f"/v2/library/web/manifests/{self.image.root}"), ("DELETE", self.blob),
                             ("PATCH", "/v2/library/web/blobs/uploads/x")):
            with self.subTest(f"{method} {path}"):
                reply = fetch(self.mirror.url + path, method, body=b"{}" if method != "DELETE" else None)
                self.assert_oci_error(reply, 405, "UNSUPPORTED")

    def test_row_32_tags_are_proxied_with_paging(self):
        self.assertEqual(self.mirror.get("/v2/library/web/tags/list").json()["tags"], ["1"])
        tags = [f"t{i:02}" for i in range(9)]

        def listing(seen):
            query = dict(re.findall(r"(\w+)=([^&]*)", seen.target.partition("?")[2]))
            rest = [tag for tag in tags if tag > query.get("last", "")]
            count = int(query.get("n", 100))
            headers = {"Content-Type": "application/json"}
            if len(rest) > count:
                headers["Link"] = f'<{self.scripted.url}/v2/team/app/tags/list?last={rest[count - 1]}&n={count}>; rel="next"'
            return 200, headers, json.dumps({"name": "team/app", "tags": rest[:count]}).encode()

        self.scripted.routes = [(r"GET /v2/team/app/tags/list", listing)]
        for prefix, suffix in (("/v2/scripted.test/team/app", ""), ("/v2/team/app", "&ns=scripted.test")):
            found, path = [], f"{prefix}/tags/list?n=4{suffix}"
            while path:
                reply = self.mirror.get(path)
                self.assertEqual(reply.status, 200, reply)
                self.assertLessEqual(len(reply.json()["tags"]), 4)
                found += reply.json()["tags"]
                link = re.match(r'<([^>]+)>; *rel="?next"?', reply.header("Link", ""))
                path = link and link.group(1)
                if path and path.startswith("http"):
                    self.assertTrue(path.startswith(self.mirror.url), f"Link leads away from the mirror: {path}")
                    path = path[len(self.mirror.url) :]
                self.assertLess(len(found), 50)
            self.assertEqual(found, tags)

    def test_row_33_referrers_with_filter_and_link(self):
        descriptor = {"mediaType": test_image.MANIFEST_TYPE, "digest": UNKNOWN, "size": 3, "artifactType": "a/b"}

        def answer(seen):
            headers = {"Content-Type": test_image.INDEX_TYPE}
            if "artifactType" in seen.target:
                headers["OCI-Filters-Applied"] = "artifactType"
            else:
                headers["Link"] = f'</v2/team/app/referrers/{self.image.root}?next=2>; rel="next"'
            return 200, headers, json.dumps({"schemaVersion": 2, "mediaType": test_image.INDEX_TYPE, "manifests": [descriptor]}).encode()

        self.scripted.routes = [(r"GET /v2/team/app/referrers/", answer)]
        path = f"/v2/scripted.test/team/app/referrers/{self.image.root}"
        reply = self.mirror.get(path)
        self.assertEqual((reply.status, reply.header("Content-Type")), (200, test_image.INDEX_TYPE), reply)
        self.assertEqual(reply.json()["manifests"], [descriptor])
        self.assertIn("/v2/scripted.test/team/app/referrers/", reply.header("Link", ""))
        reply = self.mirror.get(path + "?artifactType=a%2Fb")
        self.assertEqual(reply.header("OCI-Filters-Applied"), "artifactType")

    def test_row_33_without_referrers_upstream_the_fallback_tag_is_left_to_the_client(self):
        reply = self.mirror.get(f"/v2/library/web/referrers/{self.image.root}")
        self.assertIn(reply.status, (200, 404), reply)
        if reply.status == 404:
            self.assertNotEqual(reply.json()["errors"][0]["code"], "NAME_UNKNOWN", "oras takes NAME_UNKNOWN for an error")
        else:
            self.assertEqual(reply.header("Content-Type"), test_image.INDEX_TYPE)
        self.assertIn(self.mirror.get("/v2/library/web/referrers/sha256:bad").status, (400, 404))

    def test_row_42_health_urls(self):
        for path in ("/healthz", "/readyz"):
            self.assertEqual(fetch(self.mirror.admin_url + path).status, 200)
        self.assertEqual(self.mirror.get("/v2/").status, 200)
        metrics = fetch(self.mirror.admin_url + "/metrics").body.decode()
        for name in ("oxbow_build_info", "oxbow_client_bytes_total", "oxbow_client_requests_total", "oxbow_upstream_bytes_total",
                     "oxbow_upstream_requests_total", "oxbow_storage_bytes"):
            self.assertIn(name, metrics)
