"""A peer that misbehaves on purpose, on a host of its own, with a certificate that the cluster accepts."""

import json
import os
import subprocess

from oxtest.clients import Missing
from oxtest.process import Process

from .node import PEER_PORT

PYTHON = "/usr/bin/python3"  # Debian's, which sees Debian's h2
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_program.py")


class HostilePeer:
    """`mode`: as in peer_program.py. `start` it after the daemons whose addresses it announces to."""

    def __init__(self, folder, space, mode, data, tls):
        if subprocess.run([PYTHON, "-c", "import h2"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            raise Missing("python3-h2 is not installed")
        self.space, self.mode, self.name = space, mode, space.short
        self.folder = os.path.join(str(folder), space.short)
        os.makedirs(self.folder, exist_ok=True)
        self.blob = os.path.join(self.folder, "blob")
        with open(self.blob, "wb") as out:
            out.write(data)
        self.tls = None if tls.get("insecure") else tls
        self.process = None

    def start(self, members):
        config = os.path.join(self.folder, "peer.json")
        with open(config, "w") as out:
            json.dump({"name": self.name, "address": f"{self.space.address}:{PEER_PORT}", "mode": self.mode, "blob": self.blob,
                       "members": members, "tls": self.tls}, out)
        self.process = Process("hostile peer", [*self.space.prefix, PYTHON, PROGRAM, config], os.path.join(self.folder, "peer.log"))
        self.process.start(ready=lambda: '"ready"' in self.process.log())
        return self

    def stop(self):
        if self.process:
            self.process.stop()

    def requests(self, part=""):
        """What it was asked: dicts with `asker`, `fields`, `body`; those whose path contains `part`."""
        found = []
        for line in self.process.log().splitlines():
            if line.startswith('{"event": "request"'):
                entry = json.loads(line)
                if part in entry["fields"][":path"]:
                    found.append(entry)
        return found

    def __repr__(self):
        return self.name
