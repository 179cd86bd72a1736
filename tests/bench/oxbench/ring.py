"""The ring by itself: balance, what a change of members moves, and how long a look-up takes."""

import json
import os
import subprocess

from oxtest.mirror import binary

from . import machine
from .report import Row


def bounds(run, why):
    bench = os.path.join(os.path.dirname(binary()), "p2p_bench")
    if not os.path.exists(bench):
        raise machine.Missing(f"{bench} is not built (cmake -DOXBOW_BENCH=ON)")
    done = subprocess.run([bench, "balance", "moves", "lookup"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, timeout=600)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"p2p_bench ended with {done.returncode}: {done.stderr[-300:]}")
    if done.returncode == 1:  # it knows the bounds; the rows below say them too
        run.missed = True
        run.say(done.stderr.strip())
    rows = []
    for line in done.stdout.splitlines():
        one = json.loads(line)
        peers, bench_name = one["peers"], one["bench"]
        if bench_name == "balance":
            what, value, bound, unit = f"load of the busiest of {peers:,} over the mean, {one['clusters']} clusters", one["max_over_mean_worst"], 1.1, ""
        elif bench_name == "moves":
            what, value, bound, unit = f"keys that move when one of {peers:,} joins or leaves, over its share", one["moved_over_share_worst"], 1.2, ""
        else:
            what, value, bound, unit = f"the owner of a key among {peers:,}", one["owner_us"], 1.0, " µs"
        rows.append(Row(what, f"{value:.3f}{unit}", "—", f"{value:.3f}{unit}", f"≤ {bound}{unit}", value <= bound, why=why.get("ring", "")))
    return rows
