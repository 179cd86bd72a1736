"""A copy of this machine that a test may change: its files under an overlay, in namespaces of its own. Needs root."""

import os
import shutil
import subprocess

# $1: what is run inside; $2: a folder of the test, seen at the same place inside.
_ENTER = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mount -t tmpfs tmpfs /mnt/root/run
mkdir -p "/mnt/root$2"
mount --bind "$2" "/mnt/root$2"
ip link set lo up
exec chroot /mnt/root bash -c "$1"
"""
_NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--net", "--ipc"]


def missing():
    """Why there can be none here, or nothing."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("unshare", "ip", "dpkg"):
        if not shutil.which(tool):
            return f"{tool} is not on this machine"
    probe = subprocess.run([*_NAMESPACES, "bash", "-c", _ENTER, "enter", "true", "/tmp"], capture_output=True, text=True, timeout=60)
    return "" if probe.returncode == 0 else f"no overlay of this machine: {probe.stderr.strip()[-200:]}"


def run(script, folder, timeout_s=180):
    """The script's output; fails with it when a command of it fails."""
    done = subprocess.run([*_NAMESPACES, "bash", "-c", _ENTER, "enter", "set -e\n" + script, folder], text=True, timeout=timeout_s,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"})
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout
