#!/usr/bin/env bash
# Measures Oxbow against nginx and docker-registry on this machine and writes the table to docs/benchmarks.md.
#
#   tests/bench/run.sh [--quick] [--pairs N] [--only PART]... [--out FILE] [--no-build]
#
# PARTS: plain tls h2 small blobs cold memory restart ring. Default: all, 15 pairs, at most 15 minutes on 2 cores.
# --quick: 3 pairs, and the table goes to build/bench/benchmarks.md. A part whose tool is missing is skipped by name.
# Loopback only, own network namespaces for the shaped links (root), everything below build/bench/ and removed at the end.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/prepare.sh"
prepare 9 "bench" "oxbow storage_bench p2p_bench" "$@"
exec python3 tests/bench/bench.py "${arguments[@]}"
