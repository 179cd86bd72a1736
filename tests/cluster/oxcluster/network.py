"""One bridge in a namespace of its own, and a namespace for each host on it: nothing of it is seen outside.

Names begin with `oxc` and the process id of the test, so that runs do not meet and what a crashed run left is found.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess

from oxtest.clients import Missing, need

PREFIX = "oxc"
SUBNET = "10.77.0."
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor):
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _run(*argv, text=None, check=True):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **({"input": text} if text else {"stdin": subprocess.DEVNULL}))
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.stdout.strip()}\n{text or ''}")
    return done.stdout


def sweep():
    """Removes what runs that are no more have left: their namespaces, and what still runs inside those."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        match = re.fullmatch(PREFIX + r"(\d+)-\w+", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            for pid in _run("ip", "netns", "pids", name, check=False).split():
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(pid), signal.SIGKILL)
            _run("ip", "netns", "del", name, check=False)


class Namespace:
    """A host of the network: its namespace, its address."""

    def __init__(self, name, short, address):
        self.name, self.short, self.address = name, short, address
        self.prefix = [need("ip"), "netns", "exec", name]
        self._descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes meanwhile are of this namespace, and stay so."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self._descriptor)
            try:
                yield self
            finally:
                _setns(before)
        finally:
            os.close(before)

    def unsent(self, port):
        """Bytes that programs have written to connections taken at that port, and that the other side does not have yet."""
        return self._queued(2, "sport", "=", f":{port}")

    def unread(self, address):
        """Bytes that have come from there, and that no program has read yet."""
        return self._queued(1, "dst", address)

    def _queued(self, column, *which):
        return sum(int(line.split()[column]) for line in _run(*self.prefix, need("ss"), "-tnH", *which).splitlines())

    def close(self):
        os.close(self._descriptor)


def bits(rate):
    """Bits per second of '200mbit', '1gbit'."""
    number, unit = re.fullmatch(r"([\d.]+)([kmg])bit", rate).groups()
    return float(number) * {"k": 1e3, "m": 1e6, "g": 1e9}[unit]


def burst_bytes(rate):
    """Several of the largest segments that the kernel hands down (64 KiB), and 10 ms of a fast link."""
    return max(256 << 10, int(bits(rate) / 8 / 100))


class Network:
    def __init__(self):
        self.hosts = {}
        self.tag = f"{PREFIX}{os.getpid()}"
        self.bridge = f"{self.tag}-br"
        self._next = 10

    def start(self):
        if os.getuid() != 0:
            raise Missing("root, for network namespaces,")
        need("ip"), need("tc")
        self._add(self.bridge)
        # Where iptables sees bridged frames, as Docker wants it, each packet pays for rules that are not there.
        self._quietly(self.bridge, "net.bridge.bridge-nf-call-iptables=0")
        # Two bridges: hosts whose ports hang on the second one are cut off from those on the first.
        self._batch(self.bridge, *(line for name in ("br0", "br1") for line in (
            f"link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0", f"link set dev {name} up")))
        return self

    def _add(self, name):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")

    def _quietly(self, namespace, setting):
        """Sets what not every kernel has."""
        _run("ip", "netns", "exec", namespace, "sysctl", "-q", "-e", "-w", setting, check=False)

    def _batch(self, namespace, *lines):
        _run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")

    def host(self, short, rate=None):
        """A new host on the bridge. `rate`: of its link each way, such as '200mbit'."""
        name, address = f"{self.tag}-{short}", f"{SUBNET}{self._next}"
        self._next += 1
        self._add(name)
        host = self.hosts[short] = Namespace(name, short, address)
        # Names of devices are at most 15 characters; they are alone in the bridge's namespace.
        self._batch(self.bridge, f"link add name {short} type veth peer name eth0 netns {name}",
                    f"link set dev {short} master br0 up")
        self._batch(name, f"addr add {address}/24 dev eth0", "link set dev eth0 up")
        if rate:
            self.shape(host, rate, rate)
        return host

    # The link of one host
    def shape(self, host, up=None, down=None):
        for namespace, device, rate in ((host.name, "eth0", up), (self.bridge, host.short, down)):
            if rate:
                _run("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate,
                     "burst", str(burst_bytes(rate)), "latency", "50ms")

    def link(self, host, up):
        """Unplugs it, or plugs it in again."""
        _run("ip", "-n", self.bridge, "link", "set", "dev", host.short, "up" if up else "down")

    def move(self, host, side):
        """`side` 1: together with the others there, apart from all on side 0."""
        _run("ip", "-n", self.bridge, "link", "set", "dev", host.short, "master", f"br{side}")

    def stop(self):
        for host in self.hosts.values():
            host.close()
            _run("ip", "netns", "del", host.name, check=False)
        self.hosts = {}
        _run("ip", "netns", "del", self.bridge, check=False)

