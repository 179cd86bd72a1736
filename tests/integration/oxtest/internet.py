"""What a machine under test sees of the internet: Docker Hub, which is docker-registry with TLS in a network namespace of its own.
Needs root."""

import os
import shutil
import subprocess

from .mirror import binary
from .process import run, wait_until
from .registry import Registry

HUB, MACHINE = "203.0.113.1", "203.0.113.2"  # for documentation, RFC 5737
NAMES = ("registry-1.docker.io", "docker.io", "index.docker.io")


def missing():
    for tool in ("ip", "nsenter", "docker-registry"):
        if not shutil.which(tool):
            return f"{tool} is not on this machine"
    return ""


class Internet:
    """`image`: what every repository of `repositories` holds, under that tag: {"library/nginx": "1.27"}."""

    def __init__(self, folder, repositories, image):
        self.folder, self.repositories, self.image = folder, repositories, image
        self.space = f"oxi-{os.getpid()}"
        self.registry = None
        self.authority = os.path.join(folder, "internet", "ca.crt")

    def start(self):
        self._remove_what_a_killed_run_left()
        run(["ip", "netns", "add", self.space])
        run(["ip", "-n", self.space, "link", "set", "lo", "up"])
        run([binary(), "ca", "create", f"{self.folder}/internet-ca"])
        names = [part for name in NAMES for part in ("--dns", name)]
        run([binary(), "ca", "issue", f"{self.folder}/internet-ca", "hub", *names, "--out", f"{self.folder}/internet"])
        # Filled over plain HTTP on this machine, then started again where only the machine under test sees it.
        plain = Registry(self.folder, "hub").start()
        for repository, tag in self.repositories.items():
            plain.push_image(repository, tag, self.image)
        plain.stop()
        self.registry = Registry(self.folder, "hub", address=HUB, port=443, prefix=["ip", "netns", "exec", self.space],
                                 tls=(f"{self.folder}/internet/hub.crt", f"{self.folder}/internet/hub.key"))
        return self

    @staticmethod
    def _remove_what_a_killed_run_left():
        for line in run(["ip", "netns", "list"])[1].splitlines():
            name = line.split()[0]
            if name.startswith("oxi-") and not os.path.exists(f"/proc/{name[4:]}"):
                run(["ip", "netns", "del", name], check=False)

    def connect(self, machine):
        """`machine`: the pid of a process in its network namespace."""
        wait_until(lambda: os.readlink(f"/proc/{machine}/ns/net") != os.readlink("/proc/self/ns/net"), what="a network namespace")
        subprocess.run(["ip", "-n", self.space, "link", "del", "machine"], check=False, capture_output=True)
        run(["ip", "-n", self.space, "link", "add", "machine", "type", "veth", "peer", "name", "eth0", "netns", str(machine)])
        run(["ip", "-n", self.space, "addr", "add", f"{HUB}/24", "dev", "machine"])
        run(["ip", "-n", self.space, "link", "set", "machine", "up"])
        inside = ["nsenter", f"--net=/proc/{machine}/ns/net", "ip"]
        run([*inside, "addr", "add", f"{MACHINE}/24", "dev", "eth0"])
        run([*inside, "link", "set", "eth0", "up"])
        run([*inside, "route", "add", "default", "via", HUB])
        if not self.registry.process:
            self.registry.start()

    def stop(self):
        if self.registry:
            self.registry.stop()
        subprocess.run(["ip", "netns", "del", self.space], check=False, capture_output=True)
