#!/usr/bin/env python3
"""Makes docs/images/page-light.png and page-dark.png: the page of a real daemon, one of six, while it pulls.

  OXBOW_BIN=build/release/bin/oxbow tests/integration/page_images.py [FOLDER]
"""

import os
import shutil
import sys
import tempfile
import threading
import time

from oxtest.browser import Browser
from oxtest.case import test_image
from oxtest.faulty import FaultyRegistry
from oxtest.mirror import ROOT, Mirror
from oxtest.process import free_port, wait_until

MIB = 1 << 20
PEERS = 6
WIDTH, HEIGHT = 1280, 1400
REGISTRIES = ("docker.io", "ghcr.io", "registry.example.com")


def start_cluster(folder, upstream):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(PEERS)]
    mirrors = []
    for i, address in enumerate(addresses):
        registries = [{"name": name, "upstreams": [upstream.url]} for name in REGISTRIES]
        mirrors.append(Mirror(folder, registries, name=f"m{i}", storage={"budget": "2GiB"}, limits={"peer_upload_bandwidth": "8MiB"},
                              membership={"provider": "static", "peers": addresses},
                              peer={"name": f"node-{i + 1}", "listen": address, "tls.insecure": True,
                                    "location": ["zone-a", f"row-{i // 3 + 1}", f"rack-{i // 2 + 1}"]}))
    for mirror in mirrors:
        mirror.start()
    wait_until(lambda: mirrors[0].metric("oxbow_peers", state="eligible") == PEERS - 1, 60, "the peers to know each other")
    return mirrors


def pull(mirror, name, digest):
    reply = mirror.get(f"/v2/{name}/blobs/{digest}")
    assert reply.status == 200 and reply.complete, reply


def tell_a_story(mirrors, upstream, threads):
    """Images from all three sources, and two pulls that are still running: one of them mostly from peers."""
    node = mirrors[0]

    def blob(name, size):
        return name, upstream.add_blob(test_image.noise(size * MIB, name + str(size)))

    for name, size, first in (("docker.io/library/nginx", 24, 1), ("docker.io/library/postgres", 40, 2), ("ghcr.io/acme/checkout", 18, None),
                              ("registry.example.com/ml/embedder", 90, 3), ("docker.io/library/redis", 12, None)):
        found = blob(name, size)
        if first is not None:
            pull(mirrors[first], *found)
        pull(node, *found)
    for _ in range(3):
        pull(node, "docker.io/library/nginx", upstream.add_blob(test_image.noise(24 * MIB, "docker.io/library/nginx24")))
    slow = blob("registry.example.com/ml/llama", 150)
    half = blob("ghcr.io/acme/billing", 150)
    upstream.rate_bytes = MIB
    # A part of the second comes from a peer that has begun before.
    for mirror, found in ((mirrors[4], half), (node, slow), (node, half)):
        threads.append(threading.Thread(target=lambda m=mirror, f=found: m.get(f"/v2/{f[0]}/blobs/{f[1]}"), daemon=True))
        threads[-1].start()
        time.sleep(4)


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "docs", "images")
    folder, parts, threads = tempfile.mkdtemp(prefix="oxp-"), [], []
    try:
        upstream = FaultyRegistry().start()
        parts.append(upstream)
        mirrors = start_cluster(folder, upstream)
        parts[:0] = mirrors
        browser = Browser(WIDTH, HEIGHT).start()
        parts.insert(0, browser)
        browser.open(mirrors[0].admin_url + "/")
        tell_a_story(mirrors, upstream, threads)
        browser.settle(6)
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            browser.settle(1.5)
            path = os.path.join(target, f"page-{scheme}.png")
            browser.screenshot(path)
            print(f"{path}: {os.path.getsize(path):,} bytes")
        upstream.rate_bytes = None
        for thread in threads:
            thread.join(60)
        return 0 if not browser.console else print("\n".join(browser.console)) or 1
    finally:
        for part in parts:
            part.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
