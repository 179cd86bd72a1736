# Sourced by the benchmarks: reads --no-build and --help, installs what is missing, builds. Leaves `root` and `arguments`.
#
#   prepare "LAST HELP LINE" "DEPENDENCY SETS" "TARGETS" "$@"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

prepare() {
  local last_help_line=$1 sets=$2 targets=$3 build=true argument
  shift 3
  arguments=()
  for argument in "$@"; do
    case $argument in
      --no-build) build=false ;;
      -h | --help) sed -n "2,${last_help_line}p" "${BASH_SOURCE[1]}" | sed 's/^# \{0,1\}//'; exit 0 ;;
      *) arguments+=("$argument") ;;
    esac
  done
  # shellcheck disable=SC2086
  packaging/dependencies.sh $sets || echo "tests/bench: not everything could be installed; what is missing is skipped" >&2
  mkdir -p build/bench
  $build || return 0
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR=$root
  # shellcheck disable=SC2086
  if ! { cmake --preset release -DOXBOW_BENCH=ON && cmake --build --preset release --target $targets; } \
    >build/bench/build.log 2>&1 </dev/null; then
    tail -20 build/bench/build.log >&2
    exit 1
  fi
}
