#!/usr/bin/env bash
# Measures clusters of Oxbow daemons on shaped links against the lower bound, and writes a table.
#
#   tests/bench/fleet.sh [--nodes 4,8,16] [--rate 200,100] [--strategy swarm,ring,fingers,single] [--slow] [--every] [--quick]
#                        [--part fleet,idle,p2p] [--out FILE] [--no-build]
#
# --rate: Mbit/s of each node's link each way; the registry's is the same. `single` runs with the fewest nodes only.
# --slow: the largest number of nodes also with one node 10 times slower, and with one that is killed half-way.
# --every: `single` with every number of nodes too, and --slow with every number; with all rates and strategies about three hours.
# --quick: smaller transfers, 4 nodes.
# idle: 16 nodes that do nothing for a minute. p2p: a warm holder to a client that discards, against nginx.
# Default: all of it; the table goes to build/bench/fleet.md. Needs root: all nodes are network namespaces, removed at the end.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"
prepare 11 "bench test" "oxbow h2_client_bench" "$@"
PYTHONPATH=tests/bench exec python3 -m oxbench.fleet "${arguments[@]}"
