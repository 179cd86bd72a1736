#!/usr/bin/env python3
"""Runs the benchmarks and writes the table; see run.sh."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

from oxbench import ROOT, cold, content, machine, memory, report, restart, ring, servers, stats, warm
from oxbench.reasons import WHY

PARTS = ["plain", "tls", "h2", "small", "blobs", "cold", "memory", "restart", "ring"]
MIB = content.MIB


class Run:
    """Folders, servers and pairs of one run; all of them end with it."""

    def __init__(self, options):
        self.options = options
        self.quick = options.quick
        self.wrk_seconds = 1
        self.began = time.monotonic()
        self.base = os.path.join(ROOT, "build", "bench")
        os.makedirs(self.base, exist_ok=True)
        self.work = tempfile.mkdtemp(prefix="run-", dir=self.base)
        self.alive = []
        self.missed = False  # a bound that no other work on the machine excuses
        # How many rows of pairs there will be, and what the parts without them take.
        rows = {"plain": 5, "tls": 5, "h2": 5, "small": 3, "blobs": 2}
        self.rows_left = sum(rows.get(part, 0) for part in options.only)
        self.unpaired_s = (40 if self.quick else 150) * ("cold" in options.only) + (20 if self.quick else 120) * ("memory" in options.only)
        self.unpaired_s += 90 * ("ring" in options.only)

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def folder(self, name):
        path = os.path.join(self.work, name)
        os.makedirs(path, exist_ok=True)
        return path

    def remove(self, folder):
        shutil.rmtree(folder, ignore_errors=True)

    def started(self, server):
        self.alive.append(server)
        return server.start() or server

    def stop(self, *which):
        for server in which:
            server.stop()
            if server in self.alive:
                self.alive.remove(server)

    def pairs(self, name, sample_a, sample_b, count=None):
        """`count`: as many as there are contents for, whatever the time; else the rows share the time that is left."""
        if count:
            pairs = stats.Pairs(sample_a, sample_b, count, float("inf"))
        else:
            left = self.options.minutes * 60 - self.unpaired_s - (time.monotonic() - self.began)
            pairs = stats.Pairs(sample_a, sample_b, self.options.pairs, max(left / max(self.rows_left, 1), 5))
            self.rows_left -= 1
        self.say(f"{name}: {len(pairs.a)} pairs")
        return pairs

    def close(self):
        for server in reversed(self.alive):
            try:
                server.stop()
            except Exception:  # the others have to be stopped too
                traceback.print_exc()
        self.alive = []
        shutil.rmtree(self.work, ignore_errors=True)


class Results:
    def __init__(self, run):
        self.run = run
        self.rows, self.nulls, self.skipped = {}, {}, {}
        self.failed = False

    def part(self, group, name, measure):
        """Runs one part; what it lacks, or what went wrong in it, does not end the others."""
        if name not in self.run.options.only:
            return
        self.run.say(f"== {group}")
        kept = set(self.run.alive)
        try:
            rows, null = measure()
        except Exception as error:
            self.fail(group, error)
            self.run.stop(*(server for server in list(self.run.alive) if server not in kept))
            return
        self.rows.setdefault(group, []).extend(rows)
        if null is not None:
            self.nulls[group] = null

    def fail(self, group, error):
        if isinstance(error, machine.Missing):
            self.skipped[group] = str(error)
        else:
            traceback.print_exception(error)
            self.skipped[group] = f"failed: {error}".replace("\n", " ")[:300]
            self.failed = True
        self.run.say(f"skipped: {self.skipped[group]}")


def warm_parts(run, results):
    only = [part for part in ("plain", "tls", "h2", "small", "blobs") if part in run.options.only]
    if not only:
        return
    run.say("== content for the warm parts")
    bench = warm.WarmBench(run.folder("warm"), only)
    run.alive.append(bench)
    try:
        bench.start()
    except Exception as error:
        results.fail("Stored content", error)
        run.stop(bench)
        return
    if "plain" in only:
        results.part("Stored blobs, plain HTTP/1.1, against nginx", "plain", lambda: warm.bodies(bench, "plain", 1.05, run, WHY))
    results.part("Stored manifests", "small", lambda: warm.manifests(bench, run, WHY))
    results.part("Stored blobs, plain HTTP/1.1, against docker-registry", "blobs", lambda: warm.against_registry(bench, run, WHY))
    results.part("Stored blobs, TLS, HTTP/1.1, against nginx", "tls", lambda: warm.bodies(bench, "tls", 1.10, run, WHY))
    results.part("Stored blobs, TLS, HTTP/2, against nginx", "h2", lambda: warm.bodies(bench, "h2", 1.00, run, WHY))
    run.stop(bench)
    run.remove(bench.folder)


def all_parts(run, results):
    quick = run.quick
    warm_parts(run, results)
    shaped = "Cold pulls over a shaped link"
    for name, rate, burst, size, count in (("200 Mbit/s", "200mbit", "256kb", 64 * MIB, 2 if quick else 5),
                                           ("1 Gbit/s", "1gbit", "1mb", 256 * MIB, 2 if quick else 7)):
        results.part(shaped if shaped not in results.skipped else f"{shaped}, {name}", "cold",
                     lambda: (cold.shaped(run, name, rate, burst, size, count, WHY), None))
    results.part("Cold pulls from an upstream that throttles each connection", "cold",
                 lambda: (cold.throttled(run, (60 if quick else 200) * MIB, 2 if quick else 3, WHY), None))
    results.part("Resident memory while pulling", "memory",
                 lambda: (memory.pulls(run, 64, (64 if quick else 256) * MIB, WHY), None))
    results.part("Resident memory, idle connections", "memory", lambda: (memory.idle_connections(run, 1000, WHY), None))
    results.part("Restart", "restart", lambda: (restart.first_hit(run, 102_400, 3 if quick else 15, WHY), None))
    results.part("The ring", "ring", lambda: (ring.bounds(run, WHY), None))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 pairs, smaller transfers; the table goes to build/bench/")
    parser.add_argument("--pairs", type=int, help="pairs a row; default 15")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may be given many times")
    parser.add_argument("--out", help="where the table goes; default docs/benchmarks.md")
    parser.add_argument("--minutes", type=float, help="rows get fewer pairs when it would take longer; default 14, --quick 5")
    options = parser.parse_args()
    options.minutes = options.minutes or (5 if options.quick else 14)
    options.pairs = options.pairs or (3 if options.quick else 15)
    partial = bool(options.only) or options.quick
    options.only = options.only or PARTS
    run = Run(options)
    out = options.out or (os.path.join(run.base, "benchmarks.md") if partial else os.path.join(ROOT, "docs", "benchmarks.md"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results(run)
    described = machine.describe(ROOT)
    try:
        all_parts(run, results)
    finally:
        run.close()
        if results.rows:
            print(report.write(out, described, results.rows, results.nulls, results.skipped, time.monotonic() - run.began, options.pairs))
            run.say(f"written: {out}")
    return 1 if results.failed or run.missed or not results.rows else 0


if __name__ == "__main__":
    sys.exit(main())
