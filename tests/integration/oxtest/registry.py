"""docker-registry from Debian, with its own access log as the witness of what crossed the upstream link."""

import json
import os
import re
import shutil
import urllib.parse

from . import http
from .process import Process, free_port, listening, run

# Apache's combined format, as docker-registry writes it to standard output.
_ACCESS = re.compile(r'^\S+ - \S+ \[[^\]]*\] "(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[\d.]+" (?P<status>\d+) (?P<bytes>\d+)')


class Access:
    def __init__(self, method, target, status, size):
        self.method, self.target, self.status, self.bytes = method, target, status, size
        self.path = urllib.parse.urlsplit(target).path

    def __repr__(self):
        return f"{self.method} {self.target} {self.status} {self.bytes}"


class Registry:
    """Plain by default. `htpasswd={user: password}` asks for Basic; `token=TokenServer` for Bearer; `tls=(cert, key)`."""

    def __init__(self, folder, name="registry", htpasswd=None, token=None, tls=None, address="127.0.0.1", port=0, prefix=(),
                 proxy=None):
        """`prefix`: what stands before the command, such as `ip netns exec NAME`. `proxy`: URL of the one that it is a cache of."""
        self.folder = os.path.join(str(folder), name)
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        self.port = port or free_port()
        self.address, self.prefix = address, prefix
        self.host = f"{address}:{self.port}"
        self.tls = tls
        self.url = ("https://" if tls else "http://") + self.host
        self.auth_header = None  # for pushes
        self.token = token
        self.token_user = None
        self.log_path = os.path.join(self.folder, "registry.log")
        self.config_path = os.path.join(self.folder, "config.json")
        config = {
            "version": "0.1",
            "log": {"accesslog": {"disabled": False}, "level": "warn", "formatter": "text"},
            "storage": {"filesystem": {"rootdirectory": os.path.join(self.folder, "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "not-a-secret"},
        }
        if proxy:
            config["proxy"] = {"remoteurl": proxy}
        if tls:
            config["http"]["tls"] = {"certificate": tls[0], "key": tls[1]}
        if htpasswd:
            path = os.path.join(self.folder, "htpasswd")
            for index, (user, password) in enumerate(htpasswd.items()):
                run(["htpasswd", "-b", "-B", "-C", "4", *(["-c"] if index == 0 else []), path, user, password])
            config["auth"] = {"htpasswd": {"realm": "oxbow test", "path": path}}
        if token:
            config["auth"] = {"token": {"realm": token.realm, "service": token.service, "issuer": token.issuer,
                                        "rootcertbundle": token.certificate}}
        with open(self.config_path, "w") as out:
            json.dump(config, out)  # JSON is YAML
        self.process = None

    def start(self):
        program = shutil.which("docker-registry") or "/usr/bin/docker-registry"
        self.process = Process("docker-registry", [*self.prefix, program, "serve", self.config_path], self.log_path)
        self.process.start(ready=lambda: listening(self.port, self.address))
        return self

    def stop(self):
        if self.process:
            self.process.stop()

    # What the registry itself says it answered.
    def access(self, method=None, contains="", since=0):
        found = []
        with open(self.log_path, errors="replace") as log:
            log.seek(since)
            for line in log:
                match = _ACCESS.match(line)
                if match:
                    entry = Access(match["method"], match["target"], int(match["status"]), int(match["bytes"]))
                    if (method is None or entry.method == method) and contains in entry.target:
                        found.append(entry)
        return found

    def mark(self):
        """Where the log ends now: pass it as `since`."""
        return os.path.getsize(self.log_path)

    def body_bytes(self, digest, since=0):
        """HTTP body bytes of GETs of this blob."""
        return sum(a.bytes for a in self.access("GET", f"/blobs/{digest}", since) if a.status in (200, 206))

    # Pushing by the API itself, so that bytes and media types arrive exactly as given.
    def _request(self, url, method, repository, headers=None, body=None):
        headers = dict(headers or {})
        if self.auth_header:
            headers["Authorization"] = self.auth_header
        elif self.token:
            headers["Authorization"] = "Bearer " + self.token.issue(self.token_user or "admin", repository, ["pull", "push"])
        return http.fetch(url, method, headers, body)

    def push_blob(self, repository, data, digest):
        begun = self._request(f"{self.url}/v2/{repository}/blobs/uploads/", "POST", repository, body=b"")
        assert begun.status == 202, begun
        location = urllib.parse.urljoin(self.url, begun.header("Location"))
        joined = location + ("&" if "?" in location else "?") + "digest=" + urllib.parse.quote(digest)
        done = self._request(joined, "PUT", repository, {"Content-Type": "application/octet-stream"}, data)
        assert done.status == 201, done
        return digest

    def push_manifest(self, repository, reference, data, media_type):
        done = self._request(f"{self.url}/v2/{repository}/manifests/{reference}", "PUT", repository,
                             {"Content-Type": media_type}, data)
        assert done.status == 201, done

    def push_image(self, repository, tag, image):
        for digest, data in image.blobs.items():
            self.push_blob(repository, data, digest)
        for digest, (data, media_type) in image.manifests.items():
            self.push_manifest(repository, digest, data, media_type)
        data, media_type = image.manifests[image.root]
        self.push_manifest(repository, tag, data, media_type)
