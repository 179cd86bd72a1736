"""What clients require of fetching (docs/clients.md): aborted and failing bodies, slow and dead upstreams, tags, sizes."""

import os
import socket
import threading
import time

from oxtest.case import Case, Registry, image, test_image
from oxtest.faulty import Synthetic
from oxtest.http import curl, fetch, raw, split_response
from oxtest.mirror import ROOT, SANITIZED
from oxtest.process import run, wait_until

MIB = 1 << 20


def get_and_hang_up(port, path, bytes_wanted, headers=b""):
    """A client that takes some bytes and goes away."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n" + headers + b"\r\n")
        received = 0
        while received < bytes_wanted:
            part = link.recv(min(65536, bytes_wanted - received))
            if not part:
                break
            received += len(part)
        return received


class Fetching(Case):
    def scene(self, size=24 * MIB, seed="scene", manifest=False, **options):
        """(upstream, mirror, bytes, digest, path) of one blob that nobody has fetched yet."""
        upstream = self.upstream()
        data = test_image.noise(size, seed)
        digest = upstream.add_blob(data)
        if manifest:
            root = upstream.add_manifest("team/app", "1", [data])
        mirror = self.start(self.mirror_of(upstream.url, **options))
        if manifest:
            self.assertEqual(mirror.get(f"/v2/team/app/manifests/{root}").status, 200)
        return upstream, mirror, data, digest, f"/v2/team/app/blobs/{digest}"

    def test_row_15_open_ended_ranges_aborted_after_a_chunk(self):
        upstream, mirror, data, digest, path = self.scene(96 * MIB, "row 15", manifest=True)
        upstream.rate_bytes = 40 * MIB
        for chunk in range(4):
            first = chunk * 4 * MIB
            got = get_and_hang_up(mirror.port, path, 4 * MIB, b"Range: bytes=%d-\r\n" % first)
            self.assertGreaterEqual(got, 4 * MIB)
        # The fetch stops when nobody reads: what is sent stops growing, well before the end of the blob.
        settled = self.settled(lambda: upstream.sent_of(digest))
        self.assertLess(settled, 72 * MIB, "four aborted ranges of 4 MiB must not fetch the blob")
        self.assert_whole(mirror.get(path), data)
        self.assertLess(upstream.sent_of(digest), len(data) + 16 * MIB, "what the aborted ranges brought was not kept")

    def settled(self, value, quiet_s=1.0):
        last, since = value(), time.monotonic()
        while time.monotonic() - since < quiet_s:
            time.sleep(0.05)
            if value() != last:
                last, since = value(), time.monotonic()
        return last

    def test_row_16_a_get_abandoned_at_once_costs_little(self):
        upstream, mirror, data, digest, path = self.scene(96 * MIB, "row 16", manifest=True)
        upstream.rate_bytes = 40 * MIB
        get_and_hang_up(mirror.port, path, 200)
        self.assertLess(self.settled(lambda: upstream.sent_of(digest)), 24 * MIB)
        self.assert_whole(mirror.get(path), data)

    def test_row_17_later_ranges_succeed_though_the_upstream_stumbles(self):
        upstream, mirror, data, digest, path = self.scene(24 * MIB, "row 17", manifest=True)
        self.assertEqual(mirror.get(path, {"Range": "bytes=0-65535"}).status, 206)
        upstream.fail = [[f"GET .*{digest}", 503, {}, 2]]
        reply = mirror.get(path, {"Range": "bytes=20000000-20065535"})
        self.assertEqual(reply.status, 206, reply)
        self.assertTrue(reply.body == data[20000000:20065536])

    def test_row_18_failure_before_headers_is_404_502_or_503_and_quick(self):
        upstream, mirror, _, _, path = self.scene(MIB, "row 18")
        upstream.stop()
        for target in (path, "/v2/team/app/manifests/1"):
            began = time.monotonic()
            reply = mirror.get(target)
            self.assertIn(reply.status, (404, 502, 503), reply)
            self.assertLess(time.monotonic() - began, 10, "the client contract says 3 s; 10 s leaves room for a loaded machine")

    def test_row_18_an_upstream_that_never_answers(self):
        upstream, mirror, _, _, path = self.scene(MIB, "row 18b")
        upstream.stall_before_s = 30
        began = time.monotonic()
        reply = mirror.get(path)
        self.assertIn(reply.status, (404, 502, 503), reply)
        self.assertLess(time.monotonic() - began, 10)

    def broken_in_the_middle(self, seed):
        """A blob whose upstream delivers 5 MiB and then never works again."""
        upstream, mirror, data, digest, path = self.scene(
            24 * MIB, seed, manifest=True, registry={"no_progress_timeout": "2s", "connect_timeout": "1s"})
        upstream.rate_bytes = 8 * MIB
        killer = threading.Thread(target=lambda: (wait_until(lambda: upstream.sent_of(digest) > 5 * MIB, 30), upstream.stop()))
        killer.start()
        self.addCleanup(killer.join)
        return upstream, mirror, data, digest, path

    def test_row_19_failure_mid_body_is_a_short_body_and_fin(self):
        _, mirror, data, _, path = self.broken_in_the_middle("row 19")
        received, ending = raw(mirror.port, f"GET {path} HTTP/1.1\r\nHost: mirror\r\n\r\n".encode(), timeout_s=120)
        status, headers, body = split_response(received)
        self.assertEqual(status, 200)
        self.assertEqual(ending, "fin", "containerd gives the whole pull up on RST")
        self.assertLess(len(body), len(data))
        self.assertTrue(body == data[: len(body)])
        self.assertNotIn("Transfer-Encoding", dict(headers))

    def test_row_19_on_h2_it_is_a_stream_reset(self):
        _, mirror, _, _, path = self.broken_in_the_middle("row 19 h2")
        code, _ = curl("--http2-prior-knowledge", "-o", os.devnull, mirror.url + path, timeout_s=120)
        self.assertEqual(code, 92, "curl's code for a stream that was not closed cleanly")

    def test_row_20_the_next_range_after_a_failure_recovers(self):
        upstream, mirror, data, digest, path = self.broken_in_the_middle("row 20")
        reply = mirror.get(path, timeout_s=120)
        self.assertFalse(reply.complete)
        upstream.start()
        upstream.rate_bytes = None
        reply = self.eventually(lambda: mirror.get(path, {"Range": f"bytes={len(reply.body)}-"}), 206)
        self.assertTrue(reply.body == data[-len(reply.body):])

    def eventually(self, ask, status, timeout_s=60):
        """A circuit breaker may still say no for a while."""
        found = []

        def once():
            found[:] = [ask()]
            return found[0].status == status
        wait_until(once, timeout_s, f"status {status}", 0.2)
        return found[0]

    def test_row_21_every_blob_of_a_served_manifest_is_served(self):
        registry = self.start(Registry(self.own_folder()))
        picture = image(big=3 * MIB, index=True, seed=21)
        registry.push_image("app/web", "1", picture)
        mirror = self.start(self.mirror_of(registry.url))
        for digest in picture.manifests:
            self.assertEqual(mirror.get(f"/v2/app/web/manifests/{digest}").status, 200)
        for digest, data in picture.blobs.items():
            self.assert_whole(mirror.get(f"/v2/app/web/blobs/{digest}"), data)

    def test_row_21_a_second_upstream_url_serves_when_the_first_is_down(self):
        dead = self.upstream()
        dead.stop()
        upstream = self.upstream()
        data = test_image.noise(5 * MIB, "row 21")
        digest = upstream.add_blob(data)
        mirror = self.start(self.mirror_of("", registry={"upstreams": [dead.url, upstream.url]}))
        self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}"), data)

    def test_row_22_headers_come_before_data(self):
        self.headers_come_before_data(2 * MIB)

    def test_row_22_headers_come_before_data_that_is_fetched_whole(self):
        self.headers_come_before_data(2000)

    def headers_come_before_data(self, size):
        upstream, mirror, data, _, path = self.scene(size, "row 22", manifest=True)
        upstream.stall_before_s = 6
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", mirror.port), timeout=30) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: mirror\r\n\r\n".encode())
            first = link.recv(1)
            waited = time.monotonic() - began
            self.assertEqual(first, b"H")
            self.assertLess(waited, 5.5, "the size is known from the manifest: headers do not wait for the upstream")
            rest = bytearray(first)
            while len(rest) < len(data):
                part = link.recv(65536)
                self.assertTrue(part)
                rest += part
            # What is fetched whole comes after its headers, so there may be more to come.
            while split_response(bytes(rest))[2] != data:
                part = link.recv(65536)
                self.assertTrue(part, "the body ended early")
                rest += part
        self.assertEqual(split_response(bytes(rest))[0], 200)

    # Longer than any limit of the mirror's own but `no_progress_timeout`: a registry that gets the blob from elsewhere first.
    def test_row_23_an_upstream_that_thinks(self):
        upstream, mirror, data, _, path = self.scene(3 * MIB, "row 23 thinks", manifest=True)
        upstream.stall_body_s = 9
        self.assert_whole(mirror.get(path), data)

    def test_row_23_a_slow_upstream_trickles(self):
        upstream, mirror, data, _, path = self.scene(MIB, "row 23", manifest=True)
        upstream.rate_bytes = 80 * 1024
        longest, last, received = 0.0, time.monotonic(), 0
        with socket.create_connection(("127.0.0.1", mirror.port), timeout=60) as link:
            link.sendall(f"GET {path} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n".encode())
            while True:
                part = link.recv(65536)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                received += len(part)
                if not part:
                    break
        self.assertGreaterEqual(received, len(data))
        self.assertLess(longest, 10, "clients give a body up after 10 s without a byte")

    # Where the first window ends, where the withheld last bytes begin, where stripes and spans end.
    def test_row_23_no_size_makes_a_body_stand_still(self):
        upstream = self.upstream()
        mirror = self.start(self.mirror_of(upstream.url))
        edges = [64 * 1024, 512 * 1024, MIB, MIB + 64 * 1024, MIB + 512 * 1024, 4 * MIB, 4 * MIB + 64 * 1024, 16 * MIB, 17 * MIB]
        for size in sorted({edge + more for edge in edges for more in (-1, 0, 1, 6247)}):
            with self.subTest(size):
                data = test_image.noise(size, f"edge {size}")
                root = upstream.add_manifest("team/app", None, [data])
                self.assertEqual(mirror.get(f"/v2/team/app/manifests/{root}").status, 200)
                digest = test_image.sha256(data)
                began = time.monotonic()
                self.assert_whole(mirror.get(f"/v2/team/app/blobs/{digest}", timeout_s=20), data)
                # The last bytes are trickled while a body waits, so only the whole time shows that it stood still.
                self.assertLess(time.monotonic() - began, 30)
                self.assertEqual(upstream.sent_of(digest), size)
                del upstream.blobs[digest]

    def test_row_36_429_waits_inside_and_never_reaches_containerd(self):
        upstream, mirror, data, digest, path = self.scene(3 * MIB, "row 36")
        upstream.fail = [[f"GET .*{digest}", 429, {"Retry-After": "1"}, 1]]
        agent = {"User-Agent": "containerd/1.6.20"}
        self.assert_whole(self.eventually(lambda: mirror.get(path, agent), 200), data)
        upstream.add_manifest("team/app", "limited", [b"layer"])
        upstream.fail = [[" /v2/team/app/manifests/", 429, {"Retry-After": "60"}, 10**6]]
        reply = mirror.get("/v2/team/app/manifests/limited", agent)
        self.assertIn(reply.status, (404, 502, 503), reply)
        reply = mirror.get("/v2/team/app/manifests/limited", {"User-Agent": "containers/5.23.1 (github.com/containers/image)"})
        self.assertIn(reply.status, (429, 503), reply)
        if reply.status == 429:
            self.assertTrue(reply.header("Retry-After"))

    def test_row_36_a_known_tag_is_served_stale_while_the_upstream_limits(self):
        upstream, mirror, _, _, _ = self.scene(MIB, "row 36b", registry={"tag_ttl": "0s"})
        root = upstream.add_manifest("team/app", "1", [b"layer"])
        self.assertEqual(mirror.get("/v2/team/app/manifests/1").status, 200)
        upstream.fail = [[" /v2/team/app/manifests/", 429, {"Retry-After": "60"}, 10**6]]
        reply = mirror.get("/v2/team/app/manifests/1", {"User-Agent": "containerd/1.6.20"})
        self.assertEqual((reply.status, reply.header("Docker-Content-Digest")), (200, root), reply)
        self.assertTrue(reply.header("Warning"), "a stale answer says so")

    def test_row_37_tags_are_revalidated_by_head(self):
        upstream, mirror, _, _, _ = self.scene(MIB, "row 37", registry={"tag_ttl": "0s"})
        first = upstream.add_manifest("team/app", "moving", [b"one"])
        for _ in range(5):
            reply = mirror.get("/v2/team/app/manifests/moving")
            self.assertEqual((reply.status, reply.header("Docker-Content-Digest")), (200, first))
        self.assertLessEqual(upstream.count("^GET /v2/team/app/manifests/"), 1, "each GET counts against Docker Hub's limit")
        self.assertGreaterEqual(upstream.count("^HEAD /v2/team/app/manifests/moving"), 4)
        second = upstream.add_manifest("team/app", "moving", [b"two"])
        self.assertEqual(mirror.get("/v2/team/app/manifests/moving").header("Docker-Content-Digest"), second)

    def test_row_37_within_its_ttl_a_tag_is_not_asked_again(self):
        upstream, mirror, _, _, _ = self.scene(MIB, "row 37b", registry={"tag_ttl": "10m"})
        upstream.add_manifest("team/app", "1", [b"one"])
        for _ in range(5):
            self.assertEqual(mirror.head("/v2/team/app/manifests/1").status, 200)
        self.assertLessEqual(upstream.count("/v2/team/app/manifests/1"), 2)

    def test_row_38_warnings_are_passed_on(self):
        upstream, mirror, _, _, _ = self.scene(MIB, "row 38")
        upstream.add_manifest("team/app", "old", [b"one"])
        upstream.extra_headers = {"Warning": '299 - "this repository moves on Monday"'}
        reply = mirror.get("/v2/team/app/manifests/old")
        self.assertIn("this repository moves on Monday", " ".join(reply.all("Warning")))

    def test_row_39_offsets_beyond_100_gb_and_bounded_memory(self):
        upstream = self.upstream()
        huge = Synthetic(200 * 10**9)
        digest = upstream.add_blob(huge, "sha256:" + "7" * 64)
        mirror = self.start(self.mirror_of(upstream.url))
        path = f"/v2/team/app/blobs/{digest}"
        head = mirror.head(path)
        self.assertEqual((head.status, head.header("Content-Length")), (200, str(huge.size)), head)
        for first in (0, 2**31 - 5, 2**32 - 5, 150 * 10**9 + 3, huge.size - 1000):
            last = min(first + 100_000, huge.size) - 1
            reply = mirror.get(path, {"Range": f"bytes={first}-{last}"})
            self.assertEqual(reply.status, 206, reply)
            self.assertEqual(reply.header("Content-Range"), f"bytes {first}-{last}/{huge.size}")
            self.assertTrue(reply.body == huge[first : last + 1])
        if not SANITIZED:
            self.assertLess(mirror.resident_bytes(), 300 * MIB)

    def test_row_44_the_generated_hosts_toml(self):
        text = run([os.path.join(ROOT, "packaging", "quickstart.sh"), "--print-hosts-toml", "http://127.0.0.1:5050", "docker.io"])[1]
        self.assertIn('capabilities = ["pull", "resolve"]', text)
        self.assertIn("dial_timeout", text)
        for key in ("ca =", "client =", "skip_verify", "push", "referrers"):
            self.assertNotIn(key, text)

    def test_row_45_a_graceful_stop_finishes_bodies(self):
        upstream, mirror, data, _, path = self.scene(12 * MIB, "row 45", manifest=True, client={"drain_timeout": "30s"})
        upstream.rate_bytes = 2 * MIB
        replies = []
        reader = threading.Thread(target=lambda: replies.append(mirror.get(path)))
        reader.start()
        wait_until(lambda: any(seen.sent > 0 for seen in list(upstream.seen) if path in seen.target), 20, "the body to have begun")
        mirror.terminate()
        reader.join()
        self.assert_whole(replies[0], data)
        self.assertEqual(mirror.process.wait(40), 0)
        with self.assertRaises(OSError):
            fetch(mirror.url + "/v2/", timeout_s=2)
