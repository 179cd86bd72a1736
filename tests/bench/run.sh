#!/usr/bin/env bash
# Measures Oxbow against nginx and docker-registry on this machine and writes the table to docs/benchmarks.md.
#
#   tests/bench/run.sh [--quick] [--pairs N] [--only PART]... [--out FILE] [--no-build]
#
# PARTS: plain tls h2 small blobs cold memory restart. Default: all, 15 pairs, at most 15 minutes on 2 cores.
# --quick: 3 pairs, and the table goes to build/bench/benchmarks.md. A part whose tool is missing is skipped by name.
# Loopback only, own network namespaces for the shaped links (root), everything below build/bench/ and removed at the end.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

build=true
arguments=()
for argument in "$@"; do
  case $argument in
    --no-build) build=false ;;
    -h | --help) sed -n '2,9p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) arguments+=("$argument") ;;
  esac
done

packaging/dependencies.sh bench || echo "tests/bench: not everything could be installed; what is missing is skipped" >&2
if $build; then
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR=$root
  mkdir -p build/bench
  if ! { cmake --preset release -DOXBOW_BENCH=ON && cmake --build --preset release --target oxbow storage_bench; } \
    >build/bench/build.log 2>&1 </dev/null; then
    tail -20 build/bench/build.log >&2
    exit 1
  fi
fi
exec python3 tests/bench/bench.py "${arguments[@]}"
