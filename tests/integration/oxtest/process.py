"""Processes that a test starts, and waiting for events instead of sleeping."""

import ctypes
import itertools
import os
import signal
import socket
import subprocess
import threading
import time

# Below those that the system gives to whoever connects or asks for any: such a one may be taken before the part that it
# was found for listens, or while that is restarted. Runs beside this one begin elsewhere.
_FIRST_PORT, _LAST_PORT = 10_000, 30_000
_ports = itertools.count(os.getpid() * 997 % (_LAST_PORT - _FIRST_PORT))
_ports_lock = threading.Lock()


def free_port():
    """A loopback port that nothing listens on now and that this run has not given out before."""
    while True:
        with _ports_lock:
            port = _FIRST_PORT + next(_ports) % (_LAST_PORT - _FIRST_PORT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(condition, timeout_s=20.0, what="condition", every_s=0.02):
    """Polls until `condition()` is true and returns its value; fails with `what` after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"gave up after {timeout_s:.0f} s waiting for: {what}")
        time.sleep(every_s)


def listening(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def tail(path, lines=30):
    try:
        with open(path, errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"


_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_the_test():
    """In the child, before exec: when the test program is killed, nothing that it started stays. (Nor when the thread that
    started it ends: parts are started from threads that live as long.)"""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One child with its output in a file. Stopped by its own pid only."""

    def __init__(self, name, argv, log_path, env=None, cwd=None):
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log_path = str(log_path)
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self.child = None

    def start(self, ready=None, timeout_s=30.0):
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                          env=self.env, cwd=self.cwd, preexec_fn=_end_with_the_test)
        if ready is not None:
            self.wait_ready(ready, timeout_s)
        return self

    def wait_ready(self, ready, timeout_s=30.0):
        try:
            wait_until(lambda: self._alive() and ready(), timeout_s, f"{self.name} to be ready")
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n--- {self.log_path}\n{tail(self.log_path)}") from None

    def _alive(self):
        if self.child.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.child.returncode}")
        return True

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    @property
    def pid(self):
        return self.child.pid

    def signal(self, number):
        if self.running:
            self.child.send_signal(number)

    def wait(self, timeout_s):
        return self.child.wait(timeout_s)

    def stop(self, timeout_s=20.0):
        """SIGTERM, then the exit code; SIGKILL if it takes too long (code -9)."""
        if not self.running:
            return None if self.child is None else self.child.returncode
        self.child.terminate()
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self):
        if self.running:
            self.child.send_signal(signal.SIGKILL)
        return self.child.wait(10) if self.child else None

    def log(self):
        try:
            with open(self.log_path, errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def run(argv, timeout_s=120, env=None, check=True, input_text=None, cwd=None):
    """Runs to the end and returns (exit code, output); both streams in one."""
    done = subprocess.run([str(part) for part in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout_s, env={**os.environ, **(env or {})}, cwd=cwd,
                          **({"input": input_text} if input_text is not None else {"stdin": subprocess.DEVNULL}))
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}\nexit code {done.returncode}:\n{done.stdout[-4000:]}")
    return done.returncode, done.stdout
