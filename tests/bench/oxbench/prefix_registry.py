"""An upstream with many large blobs in one file: blob i is the file's first so many bytes, so each has a digest of its own, and all
of them together take the room of one. Speaks what a pull needs: HEAD and GET with one range."""

import hashlib
import http.server
import os
import re
import socketserver
import threading

from . import content


class PrefixRegistry:
    """`count` blobs of about `size` bytes. Runs in this process; `url` is its address while it is started."""

    def __init__(self, path, size, count):
        content.write_blob(path, size, 7)
        self.path = path
        self.sizes = {}
        sha, done = hashlib.sha256(), 0
        with open(path, "rb") as file:
            for length in (size - 4096 * index for index in reversed(range(count))):
                while done < length:
                    piece = file.read(min(1 << 20, length - done))
                    sha.update(piece)
                    done += len(piece)
                self.sizes["sha256:" + sha.copy().hexdigest()] = length

    def start(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 0

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self._answer(False)

            def do_GET(self):
                self._answer(True)

            def _answer(self, with_body):
                digest = self.path.partition("?")[0].rpartition("/")[2]
                size = owner.sizes.get(digest)
                if size is None:
                    self.send_response(200 if self.path.startswith("/v2/") and digest == "" else 404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                begin, end = 0, size
                asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                if asked:
                    begin, end = int(asked[1]), min(size, int(asked[2]) + 1 if asked[2] else size)
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
                self.send_header("Content-Length", str(end - begin))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Docker-Content-Digest", digest)
                self.end_headers()
                if with_body:
                    try:
                        while begin < end:
                            begin += os.sendfile(self.connection.fileno(), owner.fd, begin, end - begin)
                    except OSError:
                        self.close_connection = True

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, *_):
                pass  # a client that closed a kept connection

        self.fd = os.open(self.path, os.O_RDONLY)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        os.close(self.fd)
