"""The three servers, each on loopback, each with the CPU time of all its processes."""

import json
import os
import re
import time

from oxtest.mirror import Mirror
from oxtest.process import Process, free_port, listening, run

from . import machine

_ACCESS = re.compile(r'"(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[\d.]+" (?P<status>\d+) (?P<bytes>\d+)')


def make_certificate(folder):
    key, certificate = os.path.join(folder, "tls.key"), os.path.join(folder, "tls.crt")
    run([machine.need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
    return certificate, key


class Server:
    """What is measured of a server: the CPU time of `pid` and all below it."""

    process = None
    _pids = None

    def cpu_seconds(self):
        if self._pids is None:
            self._pids = machine.children_of(self.process.pid)
        return machine.cpu_seconds(self._pids)

    def pin(self):
        machine.pin(self.process.pid, machine.SERVER_CORES)
        self._pids = None

    def stop(self):
        if self.process:
            self.process.stop()


class Nginx(Server):
    name = "nginx"

    def __init__(self, folder, web, certificate=None, extra="", locations=None):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.port, self.tls_port = free_port(), free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.tls_port}"
        tls = ""
        if certificate:
            tls = f"""listen 127.0.0.1:{self.tls_port} ssl http2;
    ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]}; ssl_protocols TLSv1.3;"""
        self.config = os.path.join(folder, "nginx.conf")
        with open(self.config, "w") as out:
            out.write(f"""daemon off; worker_processes {len(os.sched_getaffinity(0))}; pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; server_tokens off; keepalive_requests 1000000000;
  default_type application/octet-stream; http2_chunk_size 16k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {extra}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    {tls}
    {locations or f"root {web};"}
  }}
}}
""")
        if os.getuid() == 0:  # the workers then are root too and may read the folder, wherever it is
            with open(self.config) as file:
                text = file.read()
            with open(self.config, "w") as out:
                out.write("user root;\n" + text)

    def start(self):
        self.process = Process("nginx", [machine.need("nginx"), "-e", f"{self.folder}/start.log", "-c", self.config],
                               f"{self.folder}/nginx.log")
        self.process.start(ready=lambda: listening(self.port))
        return self


class Registry(Server):
    name = "docker-registry"

    def __init__(self, folder, data, host="127.0.0.1", prefix=()):
        """`prefix`: what stands before the command, such as `ip netns exec NAME`."""
        os.makedirs(folder, exist_ok=True)
        self.port = free_port()
        self.host = host
        self.url = f"http://{host}:{self.port}"
        self.prefix = prefix
        self.log_path = os.path.join(folder, "registry.log")
        self.config = os.path.join(folder, "registry.json")
        with open(self.config, "w") as out:
            json.dump({"version": "0.1", "log": {"accesslog": {"disabled": False}, "level": "error", "formatter": "text"},
                       "storage": {"filesystem": {"rootdirectory": data}, "cache": {"blobdescriptor": "inmemory"}},
                       "http": {"addr": f"{host}:{self.port}", "secret": "not-a-secret"}}, out)

    def start(self):
        self.process = Process("docker-registry", [*self.prefix, machine.need("docker-registry"), "serve", self.config],
                               self.log_path)
        self.process.start(ready=lambda: listening(self.port, self.host))
        return self

    def mark(self):
        return os.path.getsize(self.log_path)

    def body_bytes(self, digest, since):
        """HTTP body bytes of this blob, by the registry's own access log."""
        total = 0
        with open(self.log_path, errors="replace") as log:
            log.seek(since)
            for line in log:
                match = _ACCESS.search(line)
                if match and match["method"] == "GET" and digest in match["target"] and match["status"] in ("200", "206"):
                    total += int(match["bytes"])
        return total


class Oxbow(Server):
    name = "oxbow"

    def __init__(self, folder, upstream, tls=None, storage=None, name="mirror"):
        self.mirror = Mirror(folder, [{"name": "bench.test", "upstreams": [upstream]}], name=name, tls=tls,
                             client={"default_registry": "bench.test", "builtin_registries": False},
                             storage={"budget": "64GiB", "scrub_interval": "0", **(storage or {})}, log={"level": "info"})
        self.url = self.mirror.url

    @property
    def process(self):
        return self.mirror.process

    @property
    def pid(self):
        return self.mirror.process.pid

    def start(self):
        self.mirror.start()
        return self

    def restart(self):
        self.mirror.restart()

    def stop(self):
        self.mirror.stop()


def settle(seconds=0.3):
    """Lets what the last step left behind (closing sockets, flushed logs) end."""
    time.sleep(seconds)
