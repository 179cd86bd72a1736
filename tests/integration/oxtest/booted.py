"""A copy of this machine, or of another root, that systemd has booted, for a script to change. Needs root; every process ends
with it."""

import os
import signal
import subprocess
import time

from . import sandbox

# $1: the test's folder, with `script`; `said` and `code` appear there. $2: the root that is copied.
_BOOT = r"""
set -e
root=/mnt/root
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work $root
mount -t overlay overlay -o lowerdir=$2,upperdir=/mnt/upper,workdir=/mnt/work $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs tmpfs $root/sys/fs/cgroup
  mkdir $root/sys/fs/cgroup/systemd $root/sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup $root/sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 $root/sys/fs/cgroup/unified
else
  mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
fi
for folder in run tmp dev; do mount -t tmpfs tmpfs $root/$folder; done
for device in null zero full random urandom tty; do touch $root/dev/$device; mount --bind /dev/$device $root/dev/$device; done
mkdir $root/dev/pts $root/dev/shm
mkdir -p "$root$1"
mount --bind "$1" "$root$1"
ip link set lo up

# Only what the script starts runs, not this machine's services.
rm -rf $root/etc/systemd/system/*.wants $root/usr/sbin/policy-rc.d
mkdir -p $root/etc/systemd/system/multi-user.target.wants
cat >$root/etc/systemd/system/script.service <<END
[Unit]
After=basic.target
[Service]
Type=oneshot
WorkingDirectory=$1
Environment=HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/bash -c 'bash script >said 2>&1; echo \$\$? >code.new; mv code.new code'
END
ln -s ../script.service $root/etc/systemd/system/multi-user.target.wants/
cd $root
mkdir -p .old
pivot_root . .old
mount --make-rprivate /
umount -l /.old
exec env container=oci /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no
"""
_NAMESPACES = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--cgroup"]


def missing():
    return sandbox.missing() or ("" if os.access("/lib/systemd/systemd", os.X_OK) else "systemd is not on this machine")


def run(script, folder, timeout_s=240, base="/", internet=None, outside=None):
    """(exit code, output) of the script, or None when systemd did not come so far. `base`: the root that is copied. `internet`: it is
    connected to; the file `online` says so. `outside(pid)`: called again and again meanwhile, with a process of its network namespace."""
    with open(os.path.join(folder, "script"), "w", encoding="utf-8") as out:
        out.write(script)
    with open(os.path.join(folder, "boot.log"), "wb") as log:
        machine = subprocess.Popen([*_NAMESPACES, "bash", "-c", _BOOT, "boot", folder, base], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        if internet:
            internet.connect(machine.pid)
            with open(os.path.join(folder, "online"), "w", encoding="utf-8"):
                pass
        code, said = os.path.join(folder, "code"), os.path.join(folder, "said")
        end = time.monotonic() + timeout_s
        while not os.path.exists(code) and machine.poll() is None and time.monotonic() < end:
            if not os.path.exists(said) and time.monotonic() > end - timeout_s + 60:
                return None
            if outside:
                outside(machine.pid)
            time.sleep(0.1)
        if not os.path.exists(said):
            return None
        with open(said, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if not os.path.exists(code):
            return 124, text
        with open(code, encoding="utf-8") as file:
            return int(file.read()), text
    finally:
        if machine.poll() is None:
            machine.send_signal(signal.SIGKILL)  # unshare; its child, the machine's first process, ends with it
        machine.wait(30)
