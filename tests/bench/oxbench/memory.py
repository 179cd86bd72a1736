"""Resident memory: many clients that pull different blobs, and many that do nothing."""

import os
import shutil
import socket
import ssl
import subprocess
import time

from . import content, load, machine, servers
from .prefix_registry import PrefixRegistry
from .report import Row

MIB = content.MIB
LIMIT_MIB = 100


def _pull_all(url, digests, sizes):
    """One curl process a client, all at once."""
    curls = [subprocess.Popen([machine.need("curl"), *load.curl_options(), "-o", "/dev/null", "-w", "%{size_download}",
                               url + content.blob_path(digest)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) for digest in digests]
    for curl, digest in zip(curls, digests):
        out, errors = curl.communicate(timeout=600)
        if curl.returncode != 0 or int(out) != sizes[digest]:
            raise RuntimeError(f"pull of {digest} ended with {curl.returncode} after {out} bytes: {errors.strip()[-300:]}")


def _row(what, pid, seconds, why):
    peak = machine.memory_kib(pid, "VmHWM") / 1024
    now = machine.memory_kib(pid, "VmRSS") / 1024
    return Row(what, f"peak {peak:.0f} MiB, after it {now:.0f} MiB" + (f" ({seconds:.0f} s)" if seconds else ""), "—",
               f"{peak * 1048576 / 1e6:.0f} MB", f"≤ {LIMIT_MIB} MB", peak * 1048576 <= LIMIT_MIB * 1e6, why=why)


def pulls(run, clients, size, why):
    """Cold, then warm."""
    folder = run.folder("memory")
    free = shutil.disk_usage(folder).free
    wanted = (clients + 4) * size
    if free < wanted + (4 << 30):
        raise machine.Missing(f"{wanted >> 30} GiB of free disk are needed")
    registry = run.started(PrefixRegistry(os.path.join(folder, "blobs"), size, clients))
    mirror = run.started(servers.Oxbow(folder, registry.url))
    digests = list(registry.sizes)
    idle = machine.memory_kib(mirror.pid, "VmRSS") / 1024
    rows = [Row("after the start", f"{idle:.0f} MiB", "—", f"{idle * 1048576 / 1e6:.0f} MB", "none", None)]
    for kind in ("cold", "warm"):
        machine.forget_peak(mirror.pid)
        run.say(f"memory: {clients} {kind} pulls")
        began = time.monotonic()
        _pull_all(mirror.url, digests, registry.sizes)
        rows.append(_row(f"{clients} clients, {clients} blobs of {size // MIB} MiB, {kind}", mirror.pid, time.monotonic() - began,
                         why.get(f"memory {kind}", "")))
    load.check_content(mirror.url + content.blob_path(digests[0]), digests[0])
    run.stop(mirror, registry)
    run.remove(folder)
    return rows


def idle_connections(run, count, why):
    """Each has asked once, as a pooled connection of a client has."""
    folder = run.folder("idle")
    tls = servers.make_certificate(folder)
    rows = []
    for kind in ("plain", "TLS"):
        mirror = run.started(servers.Oxbow(folder, "http://127.0.0.1:9", tls=tls if kind == "TLS" else None, name=f"idle-{kind}"))
        before = machine.memory_kib(mirror.pid, "VmRSS")
        machine.forget_peak(mirror.pid)
        context = ssl.create_default_context(cafile=tls[0])
        held = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", mirror.mirror.port))
            if kind == "TLS":
                connection = context.wrap_socket(connection, server_hostname="localhost")
            connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("an idle connection got no answer")
            held.append(connection)
        row = _row(f"{count} idle {kind} connections", mirror.pid, 0, why.get(f"idle {kind}", ""))
        each = (machine.memory_kib(mirror.pid, "VmRSS") - before) / count
        row.ours += f", {each:.1f} KiB a connection"
        rows.append(row)
        for connection in held:
            connection.close()
        run.stop(mirror)
    run.remove(folder)
    return rows
