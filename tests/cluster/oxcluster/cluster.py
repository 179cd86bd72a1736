"""N nodes, one registry upstream, one network: what every scenario begins with."""

import os
import sys

from oxtest.process import wait_until

from . import pull
from .authority import Authority
from .hostile import HostilePeer
from .network import Network
from .node import PEER_PORT, Node
from .upstream import Tokens, Upstream

REGISTRY = "registry.test"
REPOSITORY = "app/web"


def strategy():
    return os.environ.get("OXTEST_STRATEGY", "swarm")


def has_peers():
    return strategy() != "single"


class Cluster:
    """`rate`: of each node's link each way; `upstream_rate`: of the registry's, default the same.

    `tls`: certificates of an authority of their own; else plain HTTP between peers. `token`: arguments of a token server.
    `upstream`: a class of upstream.py. `membership`: that section for all nodes; default: a static list of all that
    are added before `start`.
    """

    def __init__(self, folder, count, rate=None, upstream_rate=None, tls=True, token=None, membership=None, registry=None,
                 strategy_name=None, log_level="debug", upstream=Upstream):
        self.folder, self.rate, self.membership = str(folder), rate, membership
        self.strategy = strategy_name or strategy()
        self.log_level = log_level
        self.network = Network().start()
        self.nodes, self.others = [], []  # daemons; further members of the list, such as hostile peers
        try:
            with_peers = self.strategy != "single"
            self.authority = Authority(self.folder) if tls and with_peers else None
            upstream_space = self.network.host("registry", upstream_rate or rate)
            self.tokens = Tokens(self.folder, upstream_space, **token) if token else None
            self.upstream = upstream(self.folder, upstream_space, token=self.tokens)
            self.registry = {"name": REGISTRY, "upstreams": [self.upstream.url], **(registry or {})}
            for _ in range(count):
                self.add()
        except BaseException:
            self.stop()
            raise

    def identity(self, name):
        return self.authority.issue(name) if self.authority else {"insecure": True}

    def host(self):
        return self.network.host(f"n{len(self.nodes) + len(self.others) + 1}", self.rate)

    def add(self, registry=None, peer=None, **sections):
        """A further node, not started. `registry`, `peer`, …: over what the others have."""
        space = self.host()
        peer = dict(peer or {})
        if "tls" not in peer:
            peer["tls"] = self.identity(space.short)
        node = Node(self.folder, space, [{**self.registry, **(registry or {})}], peer=peer, routing={"strategy": self.strategy},
                    log={"level": self.log_level}, **sections)
        self.nodes.append(node)
        return node

    def add_hostile(self, mode, data):
        """A member that misbehaves with the blob `data`; started with the others, after them."""
        space = self.host()
        self.others.append(HostilePeer(self.folder, space, mode, data, self.identity(space.short)))
        return self.others[-1]

    @property
    def addresses(self):
        return [node.address for node in self.nodes] + [f"{other.space.address}:{PEER_PORT}" for other in self.others]

    def start_upstream(self):
        if self.tokens:
            self.tokens.start()
        self.upstream.start()

    def start(self):
        self.start_upstream()
        self.start_nodes(self.nodes)
        for other in self.others:
            other.start([node.address for node in self.nodes])
        return self

    def start_nodes(self, nodes):
        for node in nodes:
            node.sections.setdefault("membership", dict(self.membership or {"provider": "static", "peers": self.addresses}))
            node.launch()
        for node in nodes:
            node.process.wait_ready(node.ready, 60)

    def settled(self, nodes=None, timeout_s=30):
        """Until each of them may select all the others; default: all daemons, and the other members."""
        others = len(nodes or self.nodes) - 1 + (0 if nodes else len(self.others))
        if self.strategy != "single":
            for node in nodes or self.nodes:
                wait_until(lambda: node.eligible() >= others, timeout_s, f"{node} to see its {others} peers", 0.1)

    def push(self, data, digest, repository=REPOSITORY):
        self.upstream.push_blob(repository, data, digest)
        return f"/v2/{repository}/blobs/{digest}"

    def pulls(self, path, nodes=None, gap_s=0.0, client=pull.Curl, **options):
        """Begins a pull on each node, `gap_s` after one another."""
        begun = [client(node, path, delay_s=index * gap_s, **options) for index, node in enumerate(nodes or self.nodes)]
        for one in begun:
            one.start()
        return begun

    def pull_all(self, path, nodes=None, **options):
        return pull.finish(self.pulls(path, nodes, **options))

    def terminate(self):
        """Tells all nodes at once, and gives those that ran: some have ended before it is their turn to be looked at."""
        running = [node for node in self.nodes if node.process and node.process.running]
        for node in running:
            node.terminate()
        return running

    def stop(self):
        """For runs outside of tests; those end each node by themselves."""
        codes = {node.name: node.stop() for node in self.terminate()}
        self.stop_rest()
        if any(codes.values()) and sys.exc_info()[0] is None:  # else what went wrong before says more
            raise AssertionError(f"daemons ended on SIGTERM with {codes}")

    def stop_rest(self):
        for part in (*self.others, getattr(self, "upstream", None), getattr(self, "tokens", None)):
            if part:
                part.stop()
        self.network.stop()

