"""Plays the admin address of a daemon: the page from the source tree, and answers of the API's shape about a cluster that does not exist.

  python3 -m oxtest.page_server [PORT [PEERS [SCENE]]]     from tests/integration, to look at the page while working on it

Scenes: `busy`, `well` (nothing is wrong), `alone` (no peers), `empty` (just started). Every knob may be changed while it runs.
"""

import calendar
import hashlib
import http.server
import json
import math
import os
import random
import sys
import threading
import time
import urllib.parse

from .http_server import Server
from .mirror import ROOT
from .process import free_port

FOLDER = os.path.join(ROOT, "mirror", "page")
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
          ".svg": "image/svg+xml"}
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'")
_IMAGES = ["docker.io/library/nginx", "docker.io/library/postgres", "ghcr.io/acme/checkout", "quay.io/prometheus/node-exporter",
           "registry.example.com/ml/llama-70b", "registry.example.com/shop/web", "docker.io/grafana/grafana", "ghcr.io/acme/billing"]
MIB = 1 << 20


def _time(at):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"


def _seconds(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def _digest(seed):
    return "sha256:" + hashlib.sha256(str(seed).encode()).hexdigest()


class PageServer:
    def __init__(self, peers=14, scene="busy", port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.peers, self.scene = peers, scene
        self.pulls, self.giant = 4, 0          # `giant`: stripes of one more running pull
        self.evil = ""                          # text that is put wherever names stand
        self.started = time.time() - 3 * 3600
        self.asked = []
        self.server = None

    # Answers
    def status(self):
        now = time.time()
        up = now - self.started
        wave = sum(40 * MIB * (1.2 + math.sin(t / 7)) for t in range(int(up) % 600)) + up * MIB
        quiet = self.scene in ("empty",)
        served = [0, 0, 0] if quiet else [int(3.4e10 + wave * 0.5), int(9.1e10 + wave * 1.1), int(8.0e9 + wave * 0.22)]
        alone = self.scene == "alone"
        bad = sum(1 for peer in self.peer_list() if peer["state"] != "eligible") if not alone else 0
        total = 0 if alone else self.peers - 1
        return {"version": "0.1.0", "ready": True, "started": _time(self.started), "uptime_seconds": int(up), "node": "node-07",
                "location": ["zone-a", "row-3", "rack-12"], "process": {"rss_bytes": 187 * MIB, "open_files": 214},
                "storage": {"stored_bytes": 0 if quiet else 142 << 30, "pinned_bytes": 0 if quiet else 12 << 30, "budget_bytes": 200 << 30,
                            "free_bytes": 611 << 30, "floor_bytes": 50 << 30, "blobs": 0 if quiet else 1284, "stripes": 220184,
                            "writable": True, "io_engine": "io_uring"},
                "served": dict(zip(("storage_bytes", "peer_bytes", "upstream_bytes"), served)),
                "transfers": {"upstream_in_bytes": served[2], "peer_in_bytes": served[1], "peer_out_bytes": 0 if self.scene == "empty" else int(wave * 0.9)},
                "upstream_avoided_bytes": served[0] + served[1], "pulls_running": 0 if quiet else self.pulls,
                "peers": None if alone else {"total": total, "eligible": total - bad, "by_state": {"eligible": total - bad, "silent": bad}},
                "registries": self.registries()}

    def registries(self):
        rows = [("docker.io", "client", 5_100_000_000, "closed", None), ("ghcr.io", "client", 2_300_000_000, "closed", None),
                ("quay.io", "client", 90_000_000, "closed", None), ("registry.example.com", "node", 710_000_000, "closed", None),
                ("public.ecr.aws", "client", 0, "closed", None)]
        if self.scene == "busy":
            rows[1] = ("ghcr.io", "client", 2_300_000_000, "closed", "no bytes for 30 s from ghcr.io; tried again")
        return [{"name": name + self.evil, "upstreams": [f"https://{name}"], "credentials": rights, "upstream_bytes": got, "state": state,
                 "last_error": error} for name, rights, got, state, error in rows]

    def peer_list(self):
        if self.scene == "alone":
            return []
        rng = random.Random(7)
        states, share = [], 0
        racks = max(1, self.peers // 16) if self.peers > 40 else 4
        out = []
        for i in range(self.peers):
            weight = rng.uniform(0.94, 1.06)
            share += weight
            state = "eligible"
            if self.scene == "busy" and i != 6:
                state = "silent" if i % 13 == 2 else "suspended" if i == 11 else "eligible"
            rack, known = i % racks, i != 6 and state == "eligible"
            out.append({"name": f"node-{i + 1:02d}{self.evil}", "self": i == 6, "addresses": [f"10.0.{i >> 8}.{i & 255}:5051"],
                        "location": [f"zone-{'abc'[rack % 3]}", f"row-{rack // 6}", f"rack-{rack}"], "weight": 1, "state": state,
                        "vetted": i % 9 != 4, "near": 1, "latency_ms": round(rng.uniform(0.3, 2.4), 2) if known else None,
                        "goodput_bytes_per_second": int(rng.uniform(70, 118) * MIB * (0.1 if i == 9 else 1)) if known else None,
                        "load": {"used": i % 9, "slots": 8, "waiting": 3 * (i % 9 == 8)} if known else None,
                        "ring_share": weight, "incarnation": 1000 + i})
        for peer in out:
            peer["ring_share"] /= share
        return out

    def peers_answer(self):
        alone = self.scene == "alone"
        return {"self": "node-07", "strategy": "single" if alone else "swarm", "replicas": 3, "membership": "static",
                "trouble": None, "unnamed": 0, "peers": self.peer_list()}

    def _pull(self, i, ended=False):
        rng = random.Random(100 + i)
        size = [412 * MIB, 1900 * MIB, 64 * MIB, 5200 * MIB, 33 * MIB, 700 * MIB][i % 6]
        stripe = max(512 << 10, min(8 * MIB, 1 << max(0, (size // 256 - 1).bit_length())))
        stripes = -(-size // stripe)
        begun = time.time() - (600 + 40 * i if ended else 5 + 9 * i)
        stuck = self.scene == "busy" and i == 2 and not ended
        done = stripes if ended else min(stripes, int(stripes * (0.31 if stuck else (time.time() / (20 + 9 * i)) % 1)))
        shares = (rng.uniform(0, 0.3), rng.uniform(0.3, 0.9))
        picks = rng.choices("dpu", (shares[0], shares[1], 0.25 if i % 3 else 0.05), k=stripes)
        failed = ended and i == 3 and self.scene == "busy"
        if failed:
            done = stripes // 5
        marks = picks[:done] + ["~"] * (0 if ended else min(6, stripes - done))
        marks = (marks + ["."] * stripes)[:stripes]
        if stuck and done > 12:
            marks[12] = "x"
        got = [marks.count(mark) * stripe for mark in "dpu"]
        repository = _IMAGES[i % len(_IMAGES)] + self.evil
        pull = {"id": f"{'e' if ended else 'r'}{i}", "digest": _digest(i), "size_bytes": size, "registry": repository.partition("/")[0],
                "repository": repository.partition("/")[2], "started": _time(begun), "ended": _time(begun + 7.4) if ended else None,
                "state": "failed" if failed else ("left" if ended and i == 5 else "verified") if ended else "running", "stripes": stripes,
                "stripe_bytes": stripe, "map_stripes": 1, "done_stripes": done, "bytes": dict(zip(("storage", "peer", "upstream"), got)),
                "readers": 0 if ended else 1 + i % 3, "retries": 3 if stuck else 0, "hedges": i % 2,
                "error": "upstream answered 503 five times; no peer has the missing stripes" if failed else None}
        return pull, "".join(marks)

    def _giant(self):
        stripes = self.giant
        done = stripes * 2 // 3
        marks = "".join("dpu"[(k * 7919 >> 6) % 3] for k in range(done)) + "~" * 8
        pull, _ = self._pull(4)
        pull.update({"id": "giant", "size_bytes": stripes * 8 * MIB, "stripes": stripes, "stripe_bytes": 8 * MIB, "done_stripes": done,
                     "bytes": {"storage": 0, "peer": done * 6 * MIB, "upstream": done * 2 * MIB}})
        return pull, (marks + "." * stripes)[:stripes]

    def _running(self):
        if self.scene == "empty":
            return []
        return [self._pull(i) for i in range(self.pulls)] + ([self._giant()] if self.giant else [])

    def pulls_answer(self):
        recent = [] if self.scene == "empty" else [self._pull(i, True)[0] for i in range(8)]
        return {"running": [pull for pull, _ in self._running()], "recent": recent}

    def pull(self, wanted):
        everything = self._running() + [self._pull(i, True) for i in range(8)]
        for pull, marks in everything:
            if pull["id"] == wanted:
                names = [f"node-{i + 1:02d}" for i in range(5)]
                peers = {name: pull["bytes"]["peer"] // 5 for name in names} if pull["bytes"]["peer"] else {}
                last = [k for k, mark in enumerate(marks) if mark in "pu"][-10:]
                # The pull that stands still has had nothing for long.
                elapsed_ms = int((time.time() - _seconds(pull["started"])) * 1000)
                newest_ms = 400 if pull["retries"] else max(400, elapsed_ms - 300)
                events = [{"stripe": k, "at_ms": max(1, newest_ms - 7 * (last[-1] - k)), "took_ms": 37,
                           "bytes": pull["stripe_bytes"], "source": "peer" if marks[k] == "p" else "upstream",
                           "peer": names[k % 5] if marks[k] == "p" else None, "retries": int(k % 7 == 0), "hedged": k % 5 == 0,
                           "verified": "link"} for k in last]
                return {**pull, "map": marks, "peers": peers, "events": events, "events_dropped": 0}
        return None

    def cache(self):
        if self.scene == "empty":
            return {"total": 0, "blobs": []}
        rng, blobs = random.Random(3), []
        for i in range(160):
            size = int(rng.lognormvariate(17.5, 1.6))
            partial = i % 23 == 5
            blobs.append({"digest": _digest(f"b{i}"), "size_bytes": size, "stored_bytes": size // 3 if partial else size,
                          "state": "partial" if partial else "verified", "pinned": i % 40 == 7,
                          "repositories": [_IMAGES[rng.randrange(len(_IMAGES))] + self.evil], "running": i == 28})
        return {"total": 1284, "blobs": blobs}

    def errors(self):
        if self.scene != "busy":
            return {"errors": []}
        now = time.time()
        return {"errors": [
            {"at": _time(now - 400), "last": _time(now - 12), "level": "warn",
             "message": "no bytes from upstream; trying again" + self.evil, "fields": {"registry": "ghcr.io", "after_s": 30}, "count": 3},
            {"at": _time(now - 95), "last": _time(now - 95), "level": "error", "message": "a peer sent wrong bytes and is suspended",
             "fields": {"peer": "node-12", "digest": _digest(2), "stripe": 41}, "count": 1},
            {"at": _time(now - 7000), "last": _time(now - 7000), "level": "warn", "message": "a peer does not answer",
             "fields": {"peer": "node-03"}, "count": 41}]}

    def answer(self, path):
        """(status, type, bytes) for a path."""
        name = "index.html" if path == "/" else path.removeprefix("/page/") if path.startswith("/page/") else None
        if name and "/" not in name and os.path.isfile(os.path.join(FOLDER, name)):
            with open(os.path.join(FOLDER, name), "rb") as file:
                return 200, _TYPES[os.path.splitext(name)[1]], file.read()
        made = {"/api/v1/status": self.status, "/api/v1/peers": self.peers_answer, "/api/v1/pulls": self.pulls_answer,
                "/api/v1/cache": self.cache, "/api/v1/errors": self.errors}
        if path in made:
            return 200, "application/json", json.dumps(made[path]()).encode()
        if path.startswith("/api/v1/pulls/"):
            found = self.pull(urllib.parse.unquote(path.rsplit("/", 1)[1]))
            if found:
                return 200, "application/json", json.dumps(found).encode()
        return 404, "application/json", b'{"error": "there is no such thing"}'

    # Life
    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                status, kind, data = outer.answer(urllib.parse.urlsplit(self.path).path)
                self.send_response(status)
                for key, value in (("Content-Type", kind), ("Content-Length", str(len(data))), ("Cache-Control", "no-cache"),
                                   ("Content-Security-Policy", CSP), ("X-Content-Type-Options", "nosniff")):
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

        self.server = Server(self.port, Handler)
        return self

    def stop(self):
        if self.server:
            self.server.stop()
            self.server = None


if __name__ == "__main__":
    given = sys.argv[1:]
    served = PageServer(port=int(given[0]) if given else None, peers=int(given[1]) if len(given) > 1 else 14,
                        scene=given[2] if len(given) > 2 else "busy").start()
    print(served.url, flush=True)
    threading.Event().wait()
