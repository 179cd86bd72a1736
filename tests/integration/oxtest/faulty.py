"""A registry in Python that does on purpose what real ones do on bad days: it truncates, stalls, lies, throttles, redirects.

Every knob may be changed while it runs. `seen` records each request with its headers and the body bytes that were sent.
"""

import contextlib
import hashlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

from .http_server import Server
from .process import free_port


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Synthetic:
    """A blob of any size whose bytes are a function of the offset: nothing of it is held in memory."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, piece):
        first, last = piece.start or 0, min(piece.stop, self.size)
        base, parts = first - first % 8, []
        for offset in range(base, last, 8):
            parts.append((offset * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"))
        return b"".join(parts)[first - base : first - base + last - first]


class Seen:
    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        self.path = urllib.parse.urlsplit(target).path
        self.status, self.sent, self.first = 0, 0, 0  # body bytes from `first` on
        self.active, self.ended_s = False, 0.0

    def __repr__(self):
        return f"{self.method} {self.target} {self.status} {self.sent} {self.headers.get('Range', '')}"


class FaultyRegistry:
    def __init__(self, address="127.0.0.1"):
        self.address, self.port = address, free_port()
        self.host = f"{address}:{self.port}"
        self.url = "http://" + self.host
        self.blobs = {}      # digest: bytes or Synthetic
        self.manifests = {}  # (repository, tag or digest): (bytes, media type)
        self.seen = []
        self.lock = threading.Lock()
        self.server = None
        self.send_buffer = None  # bytes the kernel may hold for a connection; set before start
        self.reset()

    def reset(self):
        """Well-behaved again."""
        self.rate_bytes = None         # per connection and second
        self.ranges = True
        self.truncate_after = None     # bytes of a body, then FIN
        self.truncate_times = 0
        self.corrupt = set()           # digests whose bytes are wrong
        self.stall_before_s = 0.0      # before the header of a blob
        self.stall_body_s = 0.0        # after the header of a blob, before its first byte
        self.stalled = set()           # addresses of clients to which no byte of a body goes while they are in it
        self.stalled_bodies = 0        # how many bodies have stood still so
        self.fail = []                 # [regex of "METHOD target", status, headers, times left]
        self.redirect_blobs_to = None  # base URL
        self.extra_headers = {}        # on every answer
        self.routes = []               # [(regex of "METHOD target", function(seen) -> (status, headers, body))]
        self.require_auth = None       # function(seen) -> None or (status, headers)

    # Content
    def add_blob(self, data, digest=None):
        digest = digest or sha256(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, repository, tag, blobs, media_type="application/vnd.oci.image.manifest.v1+json"):
        """A manifest of the given layer blobs (bytes); returns its digest."""
        config = self.add_blob(json.dumps({"architecture": "amd64", "os": "linux", "layers": len(blobs),
                                           "rootfs": {"type": "layers", "diff_ids": []}}).encode())
        layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": self.add_blob(data), "size": len(data)}
                  for data in blobs]
        document = {"schemaVersion": 2, "mediaType": media_type, "layers": layers,
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config,
                               "size": len(self.blobs[config])}}
        return self.add_document(repository, tag, document, media_type)

    def add_document(self, repository, tag, document, media_type):
        data = json.dumps(document).encode()
        digest = sha256(data)
        self.manifests[(repository, digest)] = (data, media_type)
        if tag:
            self.manifests[(repository, tag)] = (data, media_type)
        return digest

    def sent_of(self, digest):
        with self.lock:
            return sum(s.sent for s in self.seen if s.method == "GET" and digest in s.target)

    def covered(self, digest):
        """How many different bytes of the blob have been sent: what is sent beyond them was sent again."""
        with self.lock:
            parts = sorted((s.first, s.first + s.sent) for s in self.seen if s.method == "GET" and digest in s.target and s.sent)
        total, end = 0, 0
        for first, last in parts:
            total += max(0, last - max(first, end))
            end = max(end, last)
        return total

    def count(self, pattern):
        with self.lock:
            return sum(1 for s in self.seen if re.search(pattern, f"{s.method} {s.target}"))

    # Life
    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            wbufsize = 0

            def do_GET(self):
                seen = Seen(self.command, self.path, self.headers)
                with outer.lock:
                    outer.seen.append(seen)
                try:
                    outer._serve(self, seen)
                except OSError:
                    self.close_connection = True

            do_HEAD = do_GET
            do_POST = do_GET

        self.server = Server(self.port, Handler, self.send_buffer, backlog=256, address=self.address)
        return self

    def stop(self):
        if self.server:
            self.server.stop()
            self.server = None

    # Answers
    def _head(self, handler, seen, status, headers):
        seen.status = status
        handler.send_response(status)
        for key, value in {**headers, **self.extra_headers}.items():
            handler.send_header(key, value)
        handler.end_headers()

    def _plain(self, handler, seen, status, headers, body):
        headers = {"Content-Length": str(len(body)), **headers}
        self._head(handler, seen, status, headers)
        if seen.method != "HEAD":
            seen.sent = len(body)
            handler.wfile.write(body)

    def _error(self, handler, seen, status, code, headers=None):
        body = json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
        self._plain(handler, seen, status, {"Content-Type": "application/json", **(headers or {})}, body)

    def _serve(self, handler, seen):
        if self.require_auth:
            refused = self.require_auth(seen)
            if refused:
                return self._error(handler, seen, refused[0], "UNAUTHORIZED", refused[1])
        line = f"{seen.method} {seen.target}"
        with self.lock:
            for rule in self.fail:
                if rule[3] > 0 and re.search(rule[0], line):
                    rule[3] -= 1
                    break
            else:
                rule = None
        if rule:
            return self._error(handler, seen, rule[1], "TOOMANYREQUESTS" if rule[1] == 429 else "UNKNOWN", rule[2])
        for pattern, function in self.routes:
            if re.search(pattern, line):
                status, headers, body = function(seen)
                return self._plain(handler, seen, status, headers, body)
        if seen.path in ("/v2", "/v2/"):
            return self._plain(handler, seen, 200, {"Content-Type": "application/json"}, b"{}")
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", seen.path)
        if not match:
            return self._error(handler, seen, 404, "NOT_FOUND")
        repository, kind, reference = match.groups()
        reference = urllib.parse.unquote(reference)
        if kind == "manifests":
            found = self.manifests.get((repository, reference))
            if not found:
                return self._error(handler, seen, 404, "MANIFEST_UNKNOWN")
            data, media_type = found
            if reference in self.corrupt:
                data = bytes([data[0]]) + b" " + data[2:]
            return self._plain(handler, seen, 200, {"Content-Type": media_type, "Docker-Content-Digest": sha256(found[0])}, data)
        if reference not in self.blobs:
            return self._error(handler, seen, 404, "BLOB_UNKNOWN")
        if self.redirect_blobs_to:
            location = f"{self.redirect_blobs_to}/v2/{repository}/blobs/{reference}"
            return self._plain(handler, seen, 307, {"Location": location}, b"")
        self._blob(handler, seen, reference)

    def _blob(self, handler, seen, digest):
        data = self.blobs[digest]
        size, first, last, status = len(data), 0, len(data) - 1, 200
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        asked = seen.headers.get("Range")
        if self.ranges:
            headers["Accept-Ranges"] = "bytes"
        if asked and self.ranges:
            match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
            if match.group(1) == "":
                first = max(0, size - int(match.group(2)))
            else:
                first = int(match.group(1))
                last = min(last, int(match.group(2))) if match.group(2) else last
            if first >= size or first > last:
                return self._plain(handler, seen, 416, {"Content-Range": f"bytes */{size}"}, b"")
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        headers["Content-Length"] = str(last - first + 1 if size else 0)
        if self.stall_before_s:
            time.sleep(self.stall_before_s)
        self._head(handler, seen, status, headers)
        if seen.method == "HEAD" or not size:
            return
        if self.stall_body_s:
            time.sleep(self.stall_body_s)
        stop = None
        with self.lock:
            if self.truncate_times > 0:
                self.truncate_times -= 1
                stop = self.truncate_after
        seen.first, seen.active = first, True
        try:
            self._send(handler, seen, digest, data, first, last, stop)
        finally:
            seen.active, seen.ended_s = False, time.monotonic()

    def _stand_still(self, handler):
        """Until the client may go on, or has hung up."""
        with self.lock:
            self.stalled_bodies += 1
        while handler.client_address[0] in self.stalled:
            with contextlib.suppress(BlockingIOError):
                if not handler.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    raise ConnectionResetError("the client has hung up")
            time.sleep(0.02)

    def _send(self, handler, seen, digest, data, first, last, stop):
        size, position, began = len(data), first, time.monotonic()
        step = 65536 if not self.rate_bytes else max(1024, min(65536, self.rate_bytes // 20))
        while position <= last:
            if stop is not None and position - first >= stop:
                handler.close_connection = True
                return
            if handler.client_address[0] in self.stalled:
                self._stand_still(handler)
            end = min(position + step, last + 1)
            if stop is not None:
                end = min(end, first + stop)
            part = data[position:end]
            if digest in self.corrupt and position <= size // 2 < end:
                at = size // 2 - position
                part = part[:at] + bytes([part[at] ^ 0xFF]) + part[at + 1 :]
            # Counted before it goes: whoever has the last byte may ask for the sum before this thread runs again.
            seen.sent += len(part)
            try:
                handler.wfile.write(part)
            except OSError:
                seen.sent -= len(part)
                raise
            position = end
            if self.rate_bytes:
                ahead = (position - first) / self.rate_bytes - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(ahead)
