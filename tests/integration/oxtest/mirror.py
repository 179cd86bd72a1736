"""The daemon under test, with a generated configuration."""

import json
import os
import re
import signal

from . import http
from .process import Process, free_port, run, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)(?: \d+)?$")


# Taken out of the environment, where the daemon would look for options of its own.
BINARY = os.path.abspath(os.environ.pop("OXBOW_BIN", os.path.join(ROOT, "build", "release", "bin", "oxbow")))
SANITIZED = bool(re.search("/(asan|tsan)/", BINARY))  # memory is not what it is otherwise


def binary():
    return BINARY


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(str(value))  # a JSON string is a TOML basic string


class Mirror:
    """`registries`: a list of dicts as in oxbow.toml; the other arguments update the section of that name."""

    prefix = ()  # what stands before the program, such as `ip netns exec NAME`
    environment = None
    killed = None  # the child that was killed on purpose, last

    def __init__(self, folder, registries, name="mirror", client=None, storage=None, limits=None, tls=None, ports=None,
                 **sections):
        self.folder = os.path.join(str(folder), name)
        self.directory = os.path.join(self.folder, "store")
        os.makedirs(self.folder, exist_ok=True)
        self.port, self.admin_port = ports or (free_port(), free_port())
        self.host = f"127.0.0.1:{self.port}"
        self.url = ("https://" if tls else "http://") + self.host
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.log_path = os.path.join(self.folder, "oxbow.log")
        self.config_path = os.path.join(self.folder, "oxbow.toml")
        self.registries = registries
        self.sections = {
            "client": {"listen": [self.host], **(client or {})},
            "storage": {"directory": self.directory, "budget": "8GiB", "free_space_floor": "64MiB", **(storage or {})},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}", "socket": os.path.join(self.folder, "admin.sock")},
            "limits": limits or {},
            "log": {"level": "debug"},
        }
        if tls:
            self.sections["client"]["tls"] = {"certificate": tls[0], "key": tls[1]}
        for section, values in sections.items():
            self.sections.setdefault(section, {}).update(values)
        self.process = None

    def write_config(self):
        lines = []
        for section, values in self.sections.items():
            if values:
                lines.append(f"[{section}]")
                lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
        for registry in self.registries:
            lines.append("[[registry]]")
            lines += [f"{key} = {_toml(value)}" for key, value in registry.items()]
        with open(self.config_path, "w") as out:
            out.write("\n".join(lines) + "\n")

    def start(self, timeout_s=60):
        self.launch()
        self.process.wait_ready(self.ready, timeout_s)
        return self

    def launch(self):
        """Starts it and does not wait until it is ready."""
        self.write_config()
        self.process = Process("oxbow", [*self.prefix, binary(), "serve", "--config", self.config_path], self.log_path,
                               env=self.environment)
        self.process.start()

    def ready(self):
        try:
            return self.fetch(self.admin_url + "/readyz", timeout_s=5).status == 200
        except OSError:
            return False

    def run_to_end(self, *arguments, timeout_s=60):
        """Another invocation of the program; (exit code, output)."""
        return run([binary(), *arguments], timeout_s=timeout_s, check=False)

    def stop(self, timeout_s=30):
        return self.process.stop(timeout_s) if self.process else None

    def kill(self):
        if self.process and self.process.running:
            self.killed = self.process.child
        return self.process.kill() if self.process else None

    def terminate(self):
        self.process.signal(signal.SIGTERM)

    def restart(self):
        running = self.process and self.process.running
        code = self.stop()
        if running and code != 0:
            raise AssertionError(f"{self} ended with {code} on SIGTERM: {self.log()[-2000:]}")
        return self.start()

    def log(self):
        return self.process.log() if self.process else ""

    def wait_for_log(self, pattern, timeout_s=20):
        return wait_until(lambda: re.search(pattern, self.log()), timeout_s, f"/{pattern}/ in the log")

    # HTTP
    def fetch(self, url, method="GET", headers=None, **options):
        return http.fetch(url, method, headers, **options)

    def get(self, path, headers=None, **options):
        return self.fetch(self.url + path, "GET", headers, **options)

    def head(self, path, headers=None, **options):
        return self.fetch(self.url + path, "HEAD", headers, **options)

    # What the daemon says about itself
    def metric(self, name, **labels):
        """The sum over all samples of that name with these labels."""
        reply = self.fetch(self.admin_url + "/metrics", timeout_s=20)
        assert reply.status == 200, reply
        total = 0.0
        for line in reply.body.decode().splitlines():
            match = _SAMPLE.match(line)
            if match and match.group(1) == name:
                found = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match.group(2) or ""))
                if all(found.get(key) == value for key, value in labels.items()):
                    total += float(match.group(3))
        return total

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def blob_files(self, minimum=1):
        """Files below the storage directory's `blobs` with at least that many bytes."""
        found = []
        for folder, _, names in os.walk(os.path.join(self.directory, "blobs")):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.getsize(path) >= minimum:
                    found.append(path)
        return found
