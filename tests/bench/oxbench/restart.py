"""From the start of the process to the last byte of a blob that was stored before, with a large index."""

import http.client
import os
import re
import statistics
import time

from oxtest.mirror import binary
from oxtest.process import Process, run as run_program

from . import content, load, machine, servers
from .report import Row

TARGET_MS = 200
BLOB_BYTES = 1 << 20


def _first_hit_ms(mirror, digest):
    process = Process("oxbow", [binary(), "serve", "--config", mirror.mirror.config_path], mirror.mirror.log_path)
    began = time.monotonic()
    process.start()
    mirror.mirror.process = process
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", mirror.mirror.port, timeout=20)
            connection.request("GET", content.blob_path(digest))
            reply = connection.getresponse()
            body = reply.read()
            took = (time.monotonic() - began) * 1e3
            connection.close()
            if reply.status != 200 or len(body) != BLOB_BYTES:
                raise RuntimeError(f"first hit: {reply.status}, {len(body)} bytes")
            return took
        except ConnectionError:
            if not process.running or time.monotonic() - began > 30:
                raise
            time.sleep(0.001)


def first_hit(run, stripes, rounds, why):
    filler = os.path.join(os.path.dirname(binary()), "storage_bench")
    if not os.path.exists(filler):
        raise machine.Missing(f"{filler} is not built (cmake -DOXBOW_BENCH=ON)")
    folder = run.folder("restart")
    tree = content.Tree(folder)
    digest = tree.blob(BLOB_BYTES, 1)
    registry = run.started(servers.Registry(folder, tree.registry))
    mirror = servers.Oxbow(folder, registry.url, storage={"budget": "1024GiB", "free_space_floor": "0"})
    # Sparse files of zeros with right checksums: the index is as large as if they had been pulled.
    run_program([filler, "fill", mirror.mirror.directory, str(stripes)])
    run.started(mirror)
    load.check_content(mirror.url + content.blob_path(digest), digest)
    mirror.stop()
    run.stop(registry)  # what is served from here on comes from disk
    _first_hit_ms(mirror, digest)
    kept = int(re.findall(r"stored_bytes=(\d+)", mirror.mirror.log())[-1])
    if kept < stripes * (512 << 10):
        raise RuntimeError(f"the index holds {kept} bytes")
    mirror.stop()
    rows = []
    for how in ("a clean stop", "kill -9"):
        times = []
        for _ in range(rounds):
            times.append(_first_hit_ms(mirror, digest))
            if how == "kill -9":
                mirror.mirror.kill()
            else:
                mirror.stop()
        median = statistics.median(times)
        rows.append(Row(f"restart after {how} to the whole of a stored 1 MiB blob, {stripes:,} stripes ({kept / (1 << 30):.0f} GiB) in the index",
                        f"{median:.0f} ms ({min(times):.0f}–{max(times):.0f})", "—", f"{median:.0f} ms", f"≤ {TARGET_MS} ms",
                        median <= TARGET_MS, why=why.get("restart", "")))
        if how == "a clean stop":  # the first of the next round finds what a kill leaves
            _first_hit_ms(mirror, digest)
            mirror.mirror.kill()
    run.remove(folder)
    return rows
