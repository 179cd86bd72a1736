#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests. By default the fast tier; `--all` runs everything.
#
#   tests/run.sh [--all] [--only PART]... [--list]
#
# PARTS: format unit integration cluster crash asan tsan fuzz tidy
#   fast tier: format, unit, integration, cluster (some scenarios), crash (30 kills), asan (units, integration), tsan (units, some
#              integration), fuzz (20 s each)
#   --all:     also tidy; every cluster scenario, crash with 200 kills, the whole integration under tsan, fuzz 120 s each, long soaks
# Logs: build/test-logs/. The last line sums up; the exit code is 1 on a failure, or if nothing ran.
# OXTEST_MINUTES=N: what is not built after so many minutes is skipped, and said; tests that run by then end as they do.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

every_part=(format unit integration cluster crash asan tsan fuzz tidy)
all=false
only=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --all) all=true ;;
    --only) only+=("${2:?--only needs a part}"); shift ;;
    --list) printf '%s\n' "${every_part[@]}"; exit 0 ;;
    *) sed -n '2,10p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 2 ;;
  esac
  shift
done
for part in "${only[@]}"; do
  [[ " ${every_part[*]} " == *" $part "* ]] || { echo "tests/run.sh: no part '$part' (${every_part[*]})" >&2; exit 2; }
done

export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_BASEDIR=$root
export PATH=$PATH:/usr/lib/llvm-19/bin  # llvm-symbolizer, for the sanitizers
export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# Debian's RocksDB, spdlog and prometheus-cpp are not instrumented: what happens inside them is theirs.
export TSAN_OPTIONS=suppressions=$root/tests/tsan.supp:second_deadlock_stack=1:ignore_noninstrumented_modules=1:halt_on_error=0
logs=$root/build/test-logs
mkdir -p "$logs"
rm -f "$logs/failures"
jobs=$(nproc)
minutes=${OXTEST_MINUTES:-0}

passed=0 failed=0 skipped=0
table=()

# record NAME SECONDS PASSED FAILED SKIPPED
record() {
  passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
  table+=("$(printf '%-28s %7d s %6d passed %4d failed %4d skipped' "$1" "$2" "$3" "$4" "$5")")
  printf '    %s\n' "${table[-1]}"
}

# details NAME LOG PATTERN: what stands in a log from each line on that tells of a failure; shown again before the sums,
# because who looks at the end of a long run sees nothing else
details() {
  { printf '%s\n' "$1"; awk -v pattern="$3" '$0 ~ pattern { left = 30 } left-- > 0' "$2" | cut -c 1-240 | head -90 | sed 's/^/    | /'; } >>"$logs/failures"
}

show_end() { printf -- '    --- end of %s\n' "$1"; tail -n "${2:-40}" "$1" | sed 's/^/    | /'; }

# build PRESET [target...]: one failed "test" if it does not build, a skipped one if there is no time for it
build() {
  local preset=$1 log=$logs/build-$1.log began=$SECONDS limit=0 code=0
  shift
  # What is built already takes some seconds to be found so.
  [[ $minutes -eq 0 ]] || limit=$((minutes * 60 - SECONDS > 20 ? minutes * 60 - SECONDS : 20))
  printf '==> build %s\n' "$preset"
  { cmake --preset "$preset" -DOXBOW_TESTS=ON && timeout "$limit" cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}; } >"$log" 2>&1 </dev/null
  code=$?
  if [[ $code -eq 0 ]]; then
    printf '    built in %d s\n' $((SECONDS - began))
  elif [[ $code -eq 124 ]]; then
    record "build-$preset" $((SECONDS - began)) 0 0 1
    printf '    not built within %d minutes of the whole run: its tests are skipped\n' "$minutes"
    return 1
  else
    record "build-$preset" $((SECONDS - began)) 0 1 0
    grep -E -m 20 'error:|FAILED|undefined' "$log" | sed 's/^/    | /'
    show_end "$log" 20
    return 1
  fi
}

# units PRESET: ctest, counted by its own closing lines
units() {
  local log=$logs/unit-$1.log began=$SECONDS
  printf '==> unit tests, %s\n' "$1"
  ctest --test-dir "build/$1" -j "$jobs" --output-on-failure --no-tests=error --timeout 300 >"$log" 2>&1 </dev/null
  local code=$? good bad skip
  good=$(grep -cE '^ *[0-9]+/[0-9]+ Test .* Passed ' "$log")
  skip=$(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*Skipped' "$log")
  bad=$(grep -cE '^ *[0-9]+/[0-9]+ Test .*(\*\*\*(Failed|Timeout|Exception|Not Run)|\*\*\*[A-Z])' "$log")
  bad=$((bad > skip ? bad - skip : 0))
  [[ $code -eq 0 || $bad -gt 0 ]] || bad=1
  record "unit ($1)" $((SECONDS - began)) "$good" "$bad" "$skip"
  [[ $bad -eq 0 ]] || { grep -E '\*\*\*|\[  FAILED  \]|: Failure' "$log" | sort -u | head -40 | sed 's/^/    | /'; show_end "$log" 60; details "unit ($1)" "$log" '[*][*][*]'; }
}

# counted NAME command...: a program whose last line is `N passed, N failed, N skipped`
counted() {
  local name=$1 log began=$SECONDS sum
  log=$logs/$(tr -c 'a-zA-Z0-9\n' '-' <<<"$name").log
  shift
  printf '==> %s\n' "$name"
  "$@" >"$log" 2>&1 </dev/null
  local code=$?
  sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -1)
  local numbers
  read -r -a numbers <<<"$(tr -dc '0-9 ' <<<"$sum")"
  [[ ${#numbers[@]} -eq 3 ]] || numbers=(0 0 0)
  [[ $code -eq 0 || ${numbers[1]} -gt 0 ]] || numbers[1]=1
  [[ ${numbers[0]} -gt 0 || ${numbers[1]} -gt 0 ]] || numbers[1]=1  # a part that ran nothing has failed
  record "$name" $((SECONDS - began)) "${numbers[@]}"
  grep -E '^skip ' "$log" | sed 's/^/    | /'
  if [[ ${numbers[1]} -gt 0 ]]; then grep -E '^FAIL' "$log" | sed 's/^/    | /'; show_end "$log" 60; details "$name" "$log" '^FAIL'; fi
}

integration() { OXBOW_BIN=$root/build/$1/bin/oxbow python3 tests/integration/run.py "${@:2}"; }

part_format() {
  local log=$logs/format.log began=$SECONDS
  printf '==> format\n'
  git ls-files '*.h' '*.cc' | xargs -r clang-format-19 --dry-run -Werror >"$log" 2>&1
  local code=$? shell=0 script
  for script in $(git ls-files '*.sh' .ci/run); do bash -n "$script" >>"$log" 2>&1 || shell=1; done
  record format $((SECONDS - began)) $(((code == 0) + (shell == 0))) $(((code != 0) + (shell != 0))) 0
  [[ $((code + shell)) -eq 0 ]] || show_end "$log"
}

part_unit() { build release && units release; }

# A whole booted system and an image made of packages take minutes: not in the fast tier.
slow_integration=(--skip test_operations --skip test_oci_image --skip test_documents.Commands --skip test_tour)
if $all; then slow_integration=(); fi

part_integration() { build release && counted "integration (release)" integration release "${slow_integration[@]}"; }

part_cluster() {
  build release oxbow || return
  local some=()
  if ! $all; then
    some=(--only test_cold_herd_of_eight --only test_sender_killed_in_mid_stripe --only test_partition_and_heal --only test_a_peer_that_corrupts_bytes
          --only test_only_clients_with_the_right --only test_containerd_on_three_nodes)
  fi
  counted "cluster (release)" env OXBOW_BIN="$root/build/release/bin/oxbow" python3 tests/cluster/run.py "${some[@]}"
}

part_crash() {
  build release oxbow || return
  counted "crash (release)" env OXBOW_BIN="$root/build/release/bin/oxbow" python3 tests/faults/crash.py --kills "$($all && echo 200 || echo 30)"
}

part_asan() {
  build asan || return
  units asan
  # Clients that were built elsewhere gain nothing from an instrumented daemon twice.
  counted "integration (asan)" integration asan --skip test_go_clients --skip Containerd2 --skip test_packaging \
    --skip test_operations --skip test_oci_image --skip test_monitoring --skip test_chart --skip test_documents --skip test_tour
}

part_tsan() {
  build tsan || return
  units tsan
  if $all; then
    counted "integration (tsan)" integration tsan --skip test_go_clients --skip Containerd2 --skip test_chart --skip test_documents --skip test_tour
  else
    counted "integration (tsan)" integration tsan --only test_curl --only Containerd1 --only test_rows_fetch --only test_access \
      --only test_lifecycle
  fi
}

part_fuzz() {
  build fuzz || return
  local seconds=20 fuzzer name log began good=0 bad=0 failures=()
  $all && seconds=120
  began=$SECONDS
  printf '==> fuzz, %d s each, %d at a time\n' "$seconds" "$jobs"
  local names=()
  for fuzzer in build/fuzz/bin/*_fuzz; do [[ -x $fuzzer ]] && names+=("$(basename "$fuzzer")"); done
  mkdir -p "$logs/fuzz"
  printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I{} sh -c '
    mkdir -p "build/fuzz/corpus/{}"
    seeds=""; [ -d "tests/fuzz/corpus/{}" ] && seeds="tests/fuzz/corpus/{}"
    "build/fuzz/bin/{}" -max_total_time='"$seconds"' -rss_limit_mb=2048 -timeout=25 -print_final_stats=1 \
      -artifact_prefix="'"$logs"'/fuzz/{}-" "build/fuzz/corpus/{}" $seeds >"'"$logs"'/fuzz/{}.log" 2>&1 </dev/null
    echo $? >"'"$logs"'/fuzz/{}.code"'
  for name in "${names[@]}"; do
    if [[ $(cat "$logs/fuzz/$name.code") == 0 ]]; then good=$((good + 1)); else bad=$((bad + 1)); failures+=("$name"); fi
  done
  [[ ${#names[@]} -gt 0 ]] || bad=1
  record fuzz $((SECONDS - began)) "$good" "$bad" 0
  for name in "${failures[@]}"; do show_end "$logs/fuzz/$name.log" 30; done
}

part_tidy() {
  build release || return
  local log=$logs/tidy.log began=$SECONDS good bad
  printf '==> clang-tidy\n'
  git ls-files '*.cc' | grep -v '^tests/' >"$logs/tidy.files"
  xargs -r -P "$jobs" -n 4 clang-tidy-19 --quiet -p build/release <"$logs/tidy.files" >"$log" 2>&1 </dev/null
  bad=$(grep -E '(warning|error): .*\[' "$log" | sed 's/:.*//' | sort -u | wc -l)
  good=$(($(wc -l <"$logs/tidy.files") - bad))
  record tidy $((SECONDS - began)) "$good" "$bad" 0
  [[ $bad -eq 0 ]] || grep -E '(warning|error): ' "$log" | sort -u | head -40 | sed 's/^/    | /'
}

packaging/dependencies.sh build test || exit 1

if [[ ${#only[@]} -gt 0 ]]; then parts=("${only[@]}")
elif $all; then parts=("${every_part[@]}")
else parts=(format unit integration cluster crash asan tsan fuzz); fi
export OXTEST_ALL=$($all && echo 1 || true)

for part in "${parts[@]}"; do "part_$part"; done

if [[ -s $logs/failures ]]; then printf '==> what failed\n'; sed 's/^/    /' "$logs/failures"; fi
printf '\n'
printf '%s\n' "${table[@]}"
printf '%-28s %7d s\n\n' total "$SECONDS"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[[ $failed -eq 0 && $passed -gt 0 ]]
