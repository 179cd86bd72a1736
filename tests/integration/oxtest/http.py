"""A plain HTTP client for tests: says exactly what came, also when the body was cut short."""

import http.client
import re
import socket
import ssl
import subprocess
import urllib.parse


class Reply:
    def __init__(self, status, headers, body, complete, error=None):
        self.status = status
        self.headers = headers  # list of (name, value)
        self.body = body
        self.complete = complete
        self.error = error

    def header(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        import json
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r} complete={self.complete} error={self.error}>"


def fetch(url, method="GET", headers=None, body=None, timeout_s=60, read_bytes=None, context=None, connection=None):
    """One request. `read_bytes`: read that much of the body and hang up. `connection`: keep-alive on one given before."""
    parts = urllib.parse.urlsplit(url)
    if connection is None:
        if parts.scheme == "https":
            context = context or ssl._create_unverified_context()
            made = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
        else:
            made = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    else:
        made = connection
    target = parts.path + ("?" + parts.query if parts.query else "")
    try:
        made.putrequest(method, target, skip_accept_encoding=True)
        items = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if body is not None:
            items.append(("Content-Length", str(len(body))))
        for key, value in items:
            made.putheader(key, value)
        made.endheaders(body)
        answer = made.getresponse()
        found = answer.getheaders()
        if read_bytes is not None:
            return Reply(answer.status, found, answer.read(read_bytes), False)
        content, complete, error = b"", True, None
        try:
            content = answer.read()
            length = answer.getheader("Content-Length")
            if method != "HEAD" and length is not None and len(content) != int(length):
                complete = False
        except http.client.IncompleteRead as short:
            content, complete, error = short.partial, False, short
        except OSError as broken:
            complete, error = False, broken
        return Reply(answer.status, found, content, complete, error)
    finally:
        if connection is None:
            made.close()


def raw(port, request_bytes, host="127.0.0.1", timeout_s=30, limit=None):
    """Sends bytes, reads to the end. Returns (bytes, how it ended): 'fin', 'rst', 'timeout' or 'limit'."""
    with socket.create_connection((host, port), timeout=timeout_s) as link:
        received = bytearray()
        try:
            link.sendall(request_bytes)
            while limit is None or len(received) < limit:
                part = link.recv(1 << 16)
                if not part:
                    return bytes(received), "fin"
                received += part
            return bytes(received), "limit"
        except socket.timeout:
            return bytes(received), "timeout"
        except ConnectionError:
            return bytes(received), "rst"


def split_response(data):
    """(status, headers as a list, body) of one raw HTTP/1.1 response."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines[1:]]
    return status, headers, body


def curl(*arguments, timeout_s=60):
    """Runs curl; returns (exit code, Reply). Works for --http2-prior-knowledge and --http2 too."""
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", str(timeout_s), *map(str, arguments)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    data = done.stdout
    status, headers, version = 0, [], ""
    while data.startswith(b"HTTP/"):  # a 100 or a challenge may come first
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split()[0], int(lines[0].split()[1])
        headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in lines[1:]]
    reply = Reply(status, headers, data, done.returncode == 0, done.stderr.decode(errors="replace"))
    reply.version = version
    return done.returncode, reply


def parse_multipart(reply):
    """The parts of a multipart/byteranges reply: [(first, last, total, bytes)], in the order they came."""
    match = re.match(r'multipart/byteranges; *boundary="?([^";]+)"?', reply.header("Content-Type", ""))
    assert match, f"not multipart/byteranges: {reply.header('Content-Type')}"
    delimiter = b"--" + match.group(1).encode()
    parts, position = [], reply.body.index(delimiter)
    while True:
        position += len(delimiter)
        if reply.body[position : position + 2] == b"--":
            return parts
        position = reply.body.index(b"\r\n", position) + 2
        end = reply.body.index(b"\r\n\r\n", position)
        head = reply.body[position:end].decode("latin-1")
        found = re.search(r"(?im)^content-range: bytes (\d+)-(\d+)/(\d+)", head)
        assert found, f"a part without Content-Range: {head!r}"
        first, last, total = map(int, found.groups())
        content = reply.body[end + 4 : end + 4 + last - first + 1]
        parts.append((first, last, total, content))
        position = end + 4 + len(content)
        assert reply.body[position : position + 2] == b"\r\n", "a part is not as long as its Content-Range says"
        position += 2
        assert reply.body[position : position + len(delimiter)] == delimiter, "no delimiter after a part"
