"""Clients in the nodes' namespaces: curl, and one that resumes by range after a short body as containerd does."""

import dataclasses
import hashlib
import http.client
import re
import subprocess
import threading
import time

from oxtest.clients import need

BLOCK = 1 << 18


@dataclasses.dataclass
class Pulled:
    """How one pull ended. `error` is empty when the whole body came."""

    node: object
    digest: str = ""  # of what came
    bytes: int = 0
    seconds: float = 0.0
    status: int = 0
    resumed: int = 0
    refused: list = dataclasses.field(default_factory=list)  # the statuses that brought no body
    headers_s: float = 0.0  # from the request to the header of its response; of several the longest
    gap_s: float = 0.0  # the longest without a byte of a body, before the first and after the last too
    outage_s: float = 0.0  # the longest from a body that broke off to its next byte
    error: str = ""


class Pull(threading.Thread):
    """One download through the mirror of one node, hashed as it comes. `delay_s`: before it begins."""

    def __init__(self, node, path, delay_s=0.0, headers=None, deadline_s=120):
        super().__init__(daemon=True)
        self.node, self.path, self.delay_s, self.headers, self.deadline_s = node, path, delay_s, headers or {}, deadline_s
        self.sha = hashlib.sha256()
        self.result = Pulled(node)
        self.last_byte = 0.0

    def heard(self):
        """Something of a response, or its end."""
        now = time.monotonic()
        self.result.gap_s = max(self.result.gap_s, now - self.last_byte)
        self.last_byte = now

    def take(self, block):
        self.heard()
        self.sha.update(block)
        self.result.bytes += len(block)

    def run(self):
        time.sleep(self.delay_s)
        began = time.monotonic()
        try:
            self.transfer()
        except Exception as error:  # every way to fail is a result
            self.result.error = self.result.error or f"{type(error).__name__}: {error}"
        self.result.seconds = time.monotonic() - began
        self.result.digest = "sha256:" + self.sha.hexdigest()


class Curl(Pull):
    def transfer(self):
        fields = [part for name, value in self.headers.items() for part in ("-H", f"{name}: {value}")]
        curl = subprocess.Popen([*self.node.space.prefix, need("curl"), "-sS", "--fail", "--max-time", str(self.deadline_s), *fields,
                                 "-w", "%{stderr}%{time_starttransfer} %{http_code}", self.node.url + self.path],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        began = self.last_byte = time.monotonic()
        while block := curl.stdout.read1(BLOCK):
            if not self.result.bytes:
                first = self.last_byte = time.monotonic()
            self.take(block)
        self.heard()
        said = curl.stderr.read().decode(errors="replace").strip()
        if numbers := re.search(r"([\d.]+) (\d{3})$", said):
            self.result.headers_s, self.result.status = float(numbers[1]), int(numbers[2])
            # Curl says only now when the header came; that it had to start first is in it.
            if self.result.bytes:
                self.result.gap_s = max(self.result.gap_s, first - began - self.result.headers_s)
        if curl.wait() != 0:
            self.result.error = f"curl ended with {curl.returncode}: {said}"


class Resuming(Pull):
    """Asks again from where the body broke off, also while nobody listens. `size`: of the blob."""

    def __init__(self, node, path, size, **options):
        super().__init__(node, path, **options)
        self.size = size
        self.broke = None  # when the body broke off that has no further byte yet

    def take(self, block):
        if self.broke:
            self.result.outage_s = max(self.result.outage_s, time.monotonic() - self.broke)
            self.broke = None
        super().take(block)

    def transfer(self):
        end = time.monotonic() + self.deadline_s
        while self.result.bytes < self.size:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.result.bytes} of {self.size} bytes after {self.deadline_s} s: {self.last}")
            try:
                self._once()
                ended = "short body"
            except (OSError, http.client.HTTPException) as broken:
                ended = repr(broken)
            if self.result.bytes < self.size:
                self.last = ended
                self.result.resumed += 1
                if self.result.bytes:
                    self.broke = self.broke or time.monotonic()
                time.sleep(0.1)

    last = ""

    def _once(self):
        with self.node.space.entered():
            link = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=self.deadline_s)
            link.connect()
        try:
            fields = dict(self.headers)
            if self.result.bytes:
                fields["Range"] = f"bytes={self.result.bytes}-"
            asked = time.monotonic()
            try:
                link.request("GET", self.path, headers=fields)
                reply = link.getresponse()
            finally:  # also of one that never came
                self.last_byte = time.monotonic()
                self.result.headers_s = max(self.result.headers_s, self.last_byte - asked)
            self.result.status = reply.status
            if reply.status != (206 if self.result.bytes else 200):
                self.result.refused.append(reply.status)
                raise OSError(f"status {reply.status} {reply.read(300)!r}")
            try:
                while block := reply.read1(BLOCK):
                    self.take(block)
            finally:  # also before a reset
                self.heard()
        finally:
            link.close()


def finish(pulls):
    """Waits for all of them; the results in their order."""
    for pull in pulls:
        pull.join()
    return [pull.result for pull in pulls]
