"""One daemon on a host of its own."""

import glob
import os

from oxtest.clients import Missing
from oxtest.mirror import Mirror

CLIENT_PORT, PEER_PORT, ADMIN_PORT = 5050, 5051, 5052


class Node(Mirror):
    def __init__(self, folder, space, registries, name=None, **sections):
        peer = {"name": name or space.short, "listen": f"{space.address}:{PEER_PORT}", **sections.pop("peer", {})}
        client = {"default_registry": registries[0]["name"], "builtin_registries": False, **sections.pop("client", {})}
        super().__init__(folder, registries, name=space.short, ports=(CLIENT_PORT, ADMIN_PORT), client=client, peer=peer,
                         **sections)
        self.space = space
        self.name = peer["name"]
        self.address = f"{space.address}:{PEER_PORT}"
        self.prefix = space.prefix
        self.environment = {}

    def fetch(self, *arguments, **options):
        with self.space.entered():
            return super().fetch(*arguments, **options)

    def uploaded(self):
        return self.metric("oxbow_peer_bytes_total", direction="out")

    def downloaded(self):
        return self.metric("oxbow_peer_bytes_total", direction="in")

    def from_upstream(self):
        return self.metric("oxbow_upstream_bytes_total")

    def peers(self, state):
        """How many peers its table has in that state."""
        return self.metric("oxbow_peers", state=state)

    def ring(self):
        """What it says of the ring: its strategy, and its table of peers."""
        reply = self.fetch(self.admin_url + "/api/v1/peers")
        assert reply.status == 200, reply
        return reply.json()

    def named(self, state):
        """Who is in that state in its table."""
        return {peer["name"] for peer in self.ring()["peers"] if peer["state"] == state}

    def eligible(self):
        return self.peers("eligible")

    def keep_on_tmpfs(self, size):
        """Its storage is a file system of that size, such as '40m', which only it sees and which ends with it."""
        os.makedirs(self.directory, exist_ok=True)
        self.prefix = [*self.space.prefix, "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs {self.directory} && exec "$@"', "sh"]

    def skew(self, offset):
        """Its wall clock is off by that much, such as '+1h'; its monotonic clock is not."""
        self.environment = {"LD_PRELOAD": _faketime(), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def __repr__(self):
        return self.name


def _faketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise Missing("libfaketime is not installed")
    return found[0]
