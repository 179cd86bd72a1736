"""Bad upstreams: wrong bytes, cut bodies, stalls, no ranges, errors, nothing at all. Never a wrong byte, never more than needed."""

import threading

from oxtest.case import Case, test_image
from oxtest.http import raw, split_response
from oxtest.process import wait_until

MIB = 1 << 20


class Upstream(Case):
    def scene(self, size, seed, **options):
        upstream = self.upstream()
        data = test_image.noise(size, seed)
        digest = upstream.add_blob(data)
        mirror = self.start(self.mirror_of(upstream.url, **options))
        return upstream, mirror, data, digest, f"/v2/team/app/blobs/{digest}"

    def test_wrong_bytes_never_make_a_complete_response_and_the_next_pull_is_clean(self):
        for size in (300, 40_000, 700_000, 20 * MIB):
            with self.subTest(size):
                upstream, mirror, data, digest, path = self.scene(size, f"wrong {size}")
                upstream.corrupt = {digest}
                reply = mirror.get(path, timeout_s=120)
                if reply.status == 200:
                    self.assertFalse(reply.complete, "a complete response with wrong bytes")
                else:
                    self.assertEqual(reply.status, 502, reply)
                wait_until(lambda: mirror.metric("oxbow_verify_failures_total") >= 1, 20, "the failure to be counted")
                upstream.reset()
                found = []

                def whole():
                    found[:] = [mirror.get(path)]
                    return found[0].status == 200 and found[0].complete
                wait_until(whole, 60, "a clean pull", 0.2)
                self.assert_whole(found[0], data)

    def test_a_cut_body_is_resumed_and_not_fetched_again(self):
        upstream, mirror, data, digest, path = self.scene(24 * MIB, "cut")
        upstream.truncate_after, upstream.truncate_times = 1_500_000, 5
        self.assert_whole(mirror.get(path, timeout_s=120), data)
        self.assertLess(upstream.sent_of(digest), len(data) + 4 * MIB)

    def test_an_upstream_without_ranges(self):
        upstream, mirror, data, digest, path = self.scene(12 * MIB, "no ranges")
        upstream.ranges = False
        self.assert_whole(mirror.get(path), data)
        self.assertLess(upstream.sent_of(digest), len(data) + 2 * MIB, "streamed whole by one fetch")
        reply = mirror.get(path, {"Range": "bytes=5000000-5999999"})
        self.assertEqual(reply.status, 206)
        self.assertTrue(reply.body == data[5000000:6000000])

    def test_an_upstream_without_ranges_that_cuts_its_first_body(self):
        upstream, mirror, data, _, path = self.scene(12 * MIB, "no ranges, cut")
        upstream.ranges = False
        upstream.truncate_after, upstream.truncate_times = 3 * MIB, 1
        reply = mirror.get(path, timeout_s=120)
        if not reply.complete:
            self.assertTrue(data.startswith(reply.body))
            reply = mirror.get(path)
        self.assert_whole(reply, data)

    def test_a_stalled_body_is_given_up_and_resumed(self):
        upstream, mirror, data, digest, path = self.scene(6 * MIB, "stall", registry={"no_progress_timeout": "2s"})
        upstream.stall_body_s = 25
        answers = []
        reader = threading.Thread(target=lambda: answers.append(mirror.get(path, timeout_s=120)))
        reader.start()
        wait_until(lambda: upstream.count(f"^GET .*{digest}") >= 1, 20, "the first request")
        upstream.stall_body_s = 0
        reader.join()
        reply = answers[0]
        if reply.status in (502, 503):  # allowed before headers; then the next one succeeds
            reply = mirror.get(path)
        self.assert_whole(reply, data)

    def test_errors_of_the_upstream_for_a_while(self):
        upstream, mirror, data, digest, path = self.scene(6 * MIB, "errors")
        upstream.fail = [[f"GET .*{digest}", 500, {}, 1], [f"GET .*{digest}", 503, {"Retry-After": "1"}, 1]]
        found = []

        def whole():
            found[:] = [mirror.get(path)]
            self.assertIn(found[0].status, (200, 404, 502, 503))
            return found[0].status == 200 and found[0].complete
        wait_until(whole, 60, "the blob", 0.2)
        self.assert_whole(found[0], data)

    def test_with_the_upstream_gone_known_content_is_served(self):
        upstream = self.upstream()
        data = test_image.noise(6 * MIB, "gone")
        root = upstream.add_manifest("team/app", "1", [data])
        digest = [d for d, blob in upstream.blobs.items() if blob == data][0]
        mirror = self.start(self.mirror_of(upstream.url, registry={"tag_ttl": "0s"}))
        self.assertEqual(mirror.get("/v2/team/app/manifests/1").status, 200)
        self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}"), data)
        upstream.stop()
        stale = mirror.get("/v2/team/app/manifests/1")
        self.assertEqual((stale.status, stale.header("Docker-Content-Digest")), (200, root))
        self.assertTrue(stale.header("Warning"), "a stale answer says so")
        self.assertEqual(mirror.get(f"/v2/team/app/manifests/{root}").status, 200)
        self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}"), data)
        self.assertIn(mirror.get("/v2/team/app/manifests/2").status, (502, 503))
        mirror.restart()
        self.assertEqual(mirror.get("/v2/team/app/manifests/1").status, 200)
        self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}"), data)

    def test_many_readers_share_one_fetch(self):
        upstream, mirror, data, digest, path = self.scene(24 * MIB, "herd")
        upstream.rate_bytes = 16 * MIB
        answers = []
        readers = [threading.Thread(target=lambda: answers.append(mirror.get(path))) for _ in range(16)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        for reply in answers:
            self.assert_whole(reply, data)
        self.assertEqual(upstream.sent_of(digest), len(data), "each byte crosses the upstream link once")

    def test_malformed_requests(self):
        _, mirror, _, _, _ = self.scene(MIB, "malformed")
        for request in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"\r\n" * 50, b"\x00" * 400,
                        b"GET /v2/%zz/blobs/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            with self.subTest(request[:30]):
                received, ending = raw(mirror.port, request + b"\r\n\r\n")
                self.assertNotEqual(ending, "timeout")
                if received:
                    self.assertIn(split_response(received)[0], (400, 404, 405, 501, 505))
        self.assertEqual(mirror.get("/v2/").status, 200)
