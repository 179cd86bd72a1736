"""Clients: curl for bodies, wrk for requests per second. They run on the cores that the server does not have."""

import dataclasses
import hashlib
import os
import re
import resource
import subprocess
import time

from . import machine


ACCEPT = "application/vnd.oci.image.manifest.v1+json"  # docker-registry gives manifests only to those who name their type


@dataclasses.dataclass
class Sample:
    cpu_s: float  # of the server
    wall_s: float
    bytes: int = 0
    requests: int = 0
    client_cpu_s: float = 0

    @property
    def cpu_s_per_gb(self):
        return self.cpu_s / (self.bytes / 1e9)

    @property
    def both_cpu_s_per_gb(self):
        """The server's and the clients': the kernel charges the work of a loopback connection to either."""
        return (self.cpu_s + self.client_cpu_s) / (self.bytes / 1e9)

    @property
    def requests_per_s(self):
        return self.requests / self.wall_s

    @property
    def cpu_us_per_request(self):
        return self.cpu_s / self.requests * 1e6


@dataclasses.dataclass
class Transfer:
    """One client connection: what it asks for, one after another. `byte_range` as in curl's --range."""

    paths: list
    byte_range: str = ""


def _cpu_of_ended_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _on_client_cores():
    os.sched_setaffinity(0, machine.CLIENT_CORES)


def curl_options(certificate=None, http2=False):
    options = ["--silent", "--show-error", "--fail", "-H", f"Accept: {ACCEPT}", "--http2" if http2 else "--http1.1"]
    if certificate:
        # The same cipher for both servers, whatever each prefers.
        options += ["--cacert", certificate, "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"]
    return options


class CurlLoad:
    """One curl process a connection. The same curl command lines against every server but for the address."""

    def __init__(self, folder, transfers, total_bytes, certificate=None, http2=False):
        self.folder, self.transfers, self.total_bytes = folder, transfers, total_bytes
        self.options = curl_options(certificate, http2)
        self.curl = machine.need("curl")

    def _config(self, index, url):
        path = os.path.join(self.folder, f"curl-{index}-{url.rpartition(':')[2]}")
        if not os.path.exists(path):
            transfer = self.transfers[index]
            with open(path, "w") as out:
                for target in transfer.paths:
                    out.write(f'url = "{url}{target}"\noutput = "/dev/null"\nwrite-out = "%{{http_code}} %{{size_download}}\\n"\n')
                if transfer.byte_range:
                    out.write(f'range = "{transfer.byte_range}"\n')
        return path

    def run(self, server, url):
        configs = [self._config(index, url) for index in range(len(self.transfers))]
        clients_before = _cpu_of_ended_children()
        before, began = server.cpu_seconds(), time.monotonic()
        curls = [subprocess.Popen([self.curl, *self.options, "-K", config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, preexec_fn=_on_client_cores) for config in configs]
        ends = [curl.communicate(timeout=600) for curl in curls]
        wall = time.monotonic() - began
        cpu = server.cpu_seconds() - before
        got = 0
        for curl, (out, errors) in zip(curls, ends):
            if curl.returncode != 0:
                raise RuntimeError(f"curl against {server.name} ended with {curl.returncode}: {errors.strip()[-500:]}")
            got += sum(int(line.split()[1]) for line in out.splitlines())
        if got != self.total_bytes:
            raise RuntimeError(f"{server.name} gave {got} bytes instead of {self.total_bytes}")
        return Sample(cpu, wall, bytes=got, client_cpu_s=_cpu_of_ended_children() - clients_before)


def fetch_time(url, byte_count, options=()):
    """Seconds of one whole download by curl, from its start to its last byte."""
    done = subprocess.run([machine.need("curl"), *curl_options(), *options, "-o", "/dev/null", "-w",
                           "%{time_total} %{size_download}", url], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{url}: {done.stderr.strip()[-500:]}")
    seconds, got = done.stdout.split()
    if int(got) != byte_count:
        raise RuntimeError(f"{url}: {got} bytes instead of {byte_count}")
    return float(seconds)


def check_content(url, digest, certificate=None, http2=False):
    """The whole body hashes to its digest, and came over the protocol that is meant."""
    curl = subprocess.Popen([machine.need("curl"), *curl_options(certificate, http2), "-w", "%{stderr}%{http_version}", url],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    sha = hashlib.sha256()
    while block := curl.stdout.read(1 << 20):
        sha.update(block)
    said = curl.stderr.read().decode().strip()
    if curl.wait() != 0 or "sha256:" + sha.hexdigest() != digest:
        raise RuntimeError(f"wrong content from {url}: sha256:{sha.hexdigest()} {said}")
    if said != ("2" if http2 else "1.1"):
        raise RuntimeError(f"{url} came over HTTP/{said}")


def wrk(server, url, paths, folder, seconds, connections):
    """Keep-alive connections that ask for one path after another, as fast as they are answered."""
    script = os.path.join(folder, f"paths-{len(paths)}.lua")
    if not os.path.exists(script):
        with open(script, "w") as out:
            out.write("local paths = {" + ",".join(f'"{path}"' for path in paths) + "}\n"
                      "local at = 0\nfunction request()\n  at = at % #paths + 1\n  return wrk.format('GET', paths[at])\nend\n")
    before = server.cpu_seconds()
    done = subprocess.run([machine.need("wrk"), "-t", "1", "-c", str(connections), "-d", f"{seconds}s",
                           "-H", f"Accept: {ACCEPT}", "-s", script, url],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=seconds + 60, preexec_fn=_on_client_cores)
    cpu = server.cpu_seconds() - before
    counted = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", done.stdout)
    if done.returncode != 0 or not counted or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk against {server.name}: {done.stdout[-600:]}")
    wall = float(counted[2]) * {"ms": 1e-3, "s": 1, "m": 60}[counted[3]]
    return Sample(cpu, wall, requests=int(counted[1]))
