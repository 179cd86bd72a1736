#!/usr/bin/env bash
# Measures clusters of Oxbow daemons on shaped links against the lower bound, and writes a table.
#
#   tests/bench/fleet.sh [--nodes 4,8,16] [--rate 200,100] [--strategy swarm,ring,fingers,single] [--slow] [--quick]
#                        [--part fleet,idle,p2p] [--out FILE] [--no-build]
#
# --rate: Mbit/s of each node's link each way; the registry's is the same. `single` runs with the fewest nodes only.
# --slow: the largest number of nodes also with one node 10 times slower, and with one that is killed half-way.
# --quick: smaller transfers, 4 nodes.
# idle: 16 nodes that do nothing for a minute. p2p: a warm holder to a client that discards, against nginx.
# Default: all of it; the table goes to build/bench/fleet.md. Needs root: all nodes are network namespaces, removed at the end.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

build=true
arguments=()
for argument in "$@"; do
  case $argument in
    --no-build) build=false ;;
    -h | --help) sed -n '2,11p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) arguments+=("$argument") ;;
  esac
done

packaging/dependencies.sh bench test || echo "tests/bench: not everything could be installed; what is missing is skipped" >&2
mkdir -p build/bench
if $build; then
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR=$root
  if ! { cmake --preset release -DOXBOW_BENCH=ON && cmake --build --preset release --target oxbow h2_client_bench; } >build/bench/build.log 2>&1 </dev/null; then
    tail -20 build/bench/build.log >&2
    exit 1
  fi
fi
PYTHONPATH=tests/bench exec python3 -m oxbench.fleet "${arguments[@]}"
