"""Processes seen from outside: CPU time, memory, placement; and what this machine is."""

import os
import platform
import re
import shutil
import subprocess
import time

PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
_cores = sorted(os.sched_getaffinity(0))
# The servers on one core, the clients on another: they do not take each other's cache or time.
SERVER_CORES = {_cores[0]}
CLIENT_CORES = set(_cores[1:]) or {_cores[0]}


class Missing(Exception):
    """A tool or a right that this machine does not have: the part is skipped by that name."""


def need(program):
    found = shutil.which(program, path=PATH)
    if not found:
        raise Missing(f"{program} is not installed")
    return found


def has(program):
    return shutil.which(program, path=PATH) is not None


def children_of(pid):
    """The process and all below it that live now."""
    below = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            below.setdefault(parent, []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += below.get(found[-1], [])
    return found


def cpu_seconds(pids):
    """User and system time of all threads, to the nanosecond: /proc/PID/stat counts in ticks of 10 ms."""
    total = 0.0
    for pid in pids:
        # The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it.
        total += time.clock_gettime(((~pid) << 3) | 2)
    return total


def pin(pid, cores):
    for one in children_of(pid):
        for task in os.listdir(f"/proc/{one}/task"):
            os.sched_setaffinity(int(task), cores)


def memory_kib(pid, field):
    """`VmRSS` now, `VmHWM` the peak since `forget_peak`."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"{field}:\s+(\d+) kB", status.read()).group(1))


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def _first(pattern, path, otherwise="?"):
    try:
        with open(path) as file:
            found = re.search(pattern, file.read())
            return found.group(1).strip() if found else otherwise
    except OSError:
        return otherwise


def describe(root):
    """Lines about the machine, for the head of the report."""

    def output(*argv):
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=root, timeout=20,
                                  env={**os.environ, "PATH": PATH})
            return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "?"
        except OSError:
            return "missing"

    changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/benchmarks.md"],
                             stdout=subprocess.PIPE, text=True, cwd=root).stdout.strip()
    memory_gib = int(_first(r"MemTotal:\s+(\d+)", "/proc/meminfo", "0")) / 1048576
    model = _first(r"model name\s*:(.*)", "/proc/cpuinfo")
    return {
        "machine": f"{len(_cores)} cores, {model}, {memory_gib:.0f} GiB",
        "kernel": platform.release(),
        "commit": output("git", "rev-parse", "--short=12", "HEAD") + (" with local changes" if changed else ""),
        "date": time.strftime("%Y-%m-%d"),
        "nginx": output("nginx", "-v").replace("nginx version: ", ""),
        "docker-registry": output("dpkg-query", "-W", "-f", "${Version}", "docker-registry"),
        "load": "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()),
    }
