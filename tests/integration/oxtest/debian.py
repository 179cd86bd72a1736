"""The root of a freshly installed Debian 12, made by debootstrap once per machine, with the archives of packages that a test will
install in it, so that it needs no network then."""

import os
import shutil
import subprocess

from .clients import Missing, need, tools_folder

SUITE = "bookworm"
# Beyond the smallest system: what every installed Debian has, and debootstrap's `minbase` has not.
INSTALLED = "systemd,systemd-sysv,dbus,iproute2,netbase,ca-certificates,procps"


def mirror():
    """Where this machine's apt gets Debian from."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: " + SUITE], capture_output=True, text=True,
                          timeout=60, check=False).stdout.split()
    if not said:
        raise Missing(f"apt on this machine has no {SUITE}")
    return said[0]


def _step(what, argv, log):
    with open(log, "ab") as out:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=1200, check=False).returncode
    if code:
        raise Missing(f"{what} failed here: see {log}")


def clean_root(deb, packages):
    """The path of a root in which nothing is installed yet. Of the package `deb` and of `packages` all archives are at hand there."""
    need("debootstrap")
    root = os.path.join(tools_folder(), f"debian-{SUITE}")
    log = root + ".log"
    if not os.path.exists(root + ".done"):
        shutil.rmtree(root, ignore_errors=True)
        _step("debootstrap", ["debootstrap", "--variant=minbase", "--include=" + INSTALLED, SUITE, root, mirror()], log)
        with open(root + ".done", "w", encoding="utf-8"):
            pass
    shutil.copy(deb, f"{root}/var/tmp/oxbow.deb")
    fetch = ["chroot", root, "apt-get", "-y", "--download-only", "install", "/var/tmp/oxbow.deb", *packages]
    done = subprocess.run([*fetch[:3], "--no-download", *fetch[3:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    if done.returncode:
        shutil.copy("/etc/resolv.conf", f"{root}/etc/resolv.conf")
        _step("apt-get update", ["chroot", root, "apt-get", "update"], log)
        _step("downloading packages", fetch, log)
    os.unlink(f"{root}/var/tmp/oxbow.deb")
    return root
