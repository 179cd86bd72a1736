#!/usr/bin/env python3
"""kill -9 at random points of a pull, then a restart on the same directory, again and again.

Holds that no client ever sees a wrong byte, and that what crosses the upstream link twice is bounded: at each kill the
stripes in flight, and what was written in the last 100 ms.

  tests/faults/crash.py [--kills 30] [--seed N]
"""

import argparse
import hashlib
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from oxtest.case import FaultyRegistry, Mirror, test_image  # noqa: E402
from oxtest.process import tail, wait_until  # noqa: E402

BLOB_BYTES = 96 << 20
STRIPE_BYTES = 512 * 1024  # of a blob of that size (design: clamp(round_up_pow2(size / 256), 512 KiB, 8 MiB))
RATE_BYTES = 16 << 20      # per upstream connection and second
SOCKET_BYTES = 512 * 1024  # what the kernel may hold of a connection: sent by the upstream, never seen by the killed daemon
FLUSH_S = 0.1


class Reader(threading.Thread):
    """Pulls the whole blob and keeps what came, until the daemon is gone or the blob at its end."""

    def __init__(self, port, path, data):
        super().__init__(daemon=True)
        self.port, self.path, self.data = port, path, data
        self.received, self.wrong, self.status = 0, False, None

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=60) as link:
                link.sendall(f"GET {self.path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".encode())
                buffer = b""
                while b"\r\n\r\n" not in buffer:
                    part = link.recv(65536)
                    if not part:
                        return
                    buffer += part
                head, _, body = buffer.partition(b"\r\n\r\n")
                self.status = int(head.split()[1])
                while body:
                    if self.status == 200 and self.data[self.received : self.received + len(body)] != body:
                        self.wrong = True
                        return
                    self.received += len(body)
                    body = link.recv(1 << 18)
        except OSError:
            pass  # the daemon was killed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}, {options.kills} kills")
    folder = tempfile.mkdtemp(prefix="oxbow-crash-")
    upstream = FaultyRegistry()
    upstream.send_buffer = 128 * 1024
    upstream.start()
    upstream.rate_bytes = RATE_BYTES
    mirror = Mirror(folder, [{"name": "registry.test", "upstreams": [upstream.url]}], client={"default_registry": "registry.test"},
                    storage={"budget": "2GiB"}, log={"level": "info"})
    passed = failed = kills = number = 0
    again_total = again_max = 0
    try:
        while kills < options.kills:
            number += 1
            data = test_image.noise(BLOB_BYTES, f"crash {options.seed} {number}")
            digest = upstream.add_blob(data)
            path = f"/v2/team/app/blobs/{digest}"
            allowed, finished = 0, False
            while not finished:
                mirror.start()
                reader = Reader(mirror.port, path, data)
                reader.start()
                pause = chance.choice([0.0, chance.uniform(0, 0.05), chance.uniform(0, 0.6), chance.uniform(0, 1.5)])
                end = time.monotonic() + pause
                while time.monotonic() < end and reader.is_alive():
                    time.sleep(0.002)
                recent = time.monotonic() - 2 * FLUSH_S
                flying = sum(1 for seen in list(upstream.seen) if seen.active or seen.ended_s > recent)
                mirror.kill()
                reader.join(30)
                wait_until(lambda: not any(seen.active for seen in list(upstream.seen)), 20, "the upstream to notice")
                kills += 1
                finished = reader.received == len(data)
                allowed += flying * (STRIPE_BYTES + SOCKET_BYTES + int(RATE_BYTES * FLUSH_S))
                again = upstream.sent_of(digest) - upstream.covered(digest)
                problem = None
                if reader.wrong:
                    problem = f"a wrong byte after {reader.received}"
                elif reader.status not in (None, 200):
                    problem = f"status {reader.status}"
                elif again > allowed:
                    problem = f"{again} bytes fetched again, {allowed} allowed"
                word = "FAIL" if problem else "pass"
                passed, failed = passed + (not problem), failed + bool(problem)
                print(f"{word}  kill {kills:3}, blob {number}, after {pause * 1000:6.1f} ms: {reader.received:9} bytes read, "
                      f"{flying} in flight, {again:9} fetched again{'; ' + problem if problem else ''}", flush=True)
                if problem:
                    print(tail(mirror.log_path, 20))
                    if failed > 5:
                        raise SystemExit
                if kills >= options.kills:
                    break
            again_total, again_max = again_total + again, max(again_max, again)
            # Once more in peace: the whole blob, then the same from disk alone.
            mirror.start()
            for rate in (None, None):
                upstream.rate_bytes = rate
                reply = mirror.get(path)
                right = reply.status == 200 and hashlib.sha256(reply.body).hexdigest() == digest.split(":")[1]
                passed, failed = passed + right, failed + (not right)
                print(f"{'pass' if right else 'FAIL'}  blob {number} in whole after the kills: {reply.status}, {len(reply.body)} bytes")
            upstream.rate_bytes = RATE_BYTES
            mirror.kill()
            del upstream.blobs[digest]
    except SystemExit:
        pass
    except AssertionError as error:
        failed += 1
        print(f"FAIL  {error}")
    finally:
        mirror.kill()
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{kills} kills, {number} blobs: {again_total} bytes fetched again in all, {again_max} at most for a blob")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
