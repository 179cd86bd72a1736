"""A daemon that is handed its listening sockets, as systemd does it for a socket unit (sd_listen_fds(3))."""

import fcntl
import os
import socket
import subprocess

from .mirror import Mirror, binary
from .process import Process, _end_with_the_test

_FIRST = 3  # SD_LISTEN_FDS_START
_HIGH = 200  # where the sockets wait, out of the way of 3, 4, ...


def listening_socket(port, host="127.0.0.1", backlog=4096):
    """As systemd holds it: open for as long as the test wants, whoever serves it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as first:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind((host, port))
        first.listen(backlog)
        return socket.socket(fileno=fcntl.fcntl(first.fileno(), fcntl.F_DUPFD, _HIGH))


class _HandedOver(Process):
    """The program finds `sockets` from descriptor 3 on, and LISTEN_PID is its own."""

    def __init__(self, sockets, *arguments, **named):
        super().__init__(*arguments, **named)
        self.sockets = sockets

    def start(self, ready=None, timeout_s=30.0):
        moves = " ".join(f"{_FIRST + i}<&{s.fileno()} {s.fileno()}<&-" for i, s in enumerate(self.sockets))
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(self.sockets)}; exec "$@" {moves}'
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(["bash", "-c", script, "bash", *self.argv], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, env=self.env, cwd=self.cwd,
                                          pass_fds=[s.fileno() for s in self.sockets], preexec_fn=_end_with_the_test)
        if ready is not None:
            self.wait_ready(ready, timeout_s)
        return self


class ActivatedMirror(Mirror):
    """`sockets`: who made them closes them; they outlive every run of the daemon."""

    sockets = ()

    def launch(self):
        self.write_config()
        self.process = _HandedOver(self.sockets, "oxbow", [binary(), "serve", "--config", self.config_path], self.log_path,
                                   env=self.environment)
        self.process.start()
