#!/usr/bin/env bash
# Everything at once, on a Debian 12 machine: installs what is missing, builds, and shows the mirror at work. A local
# registry with a real image, the mirror before it, containerd and curl pulling through it; then the registry is stopped
# and the image pulled again, from disk.
#
#   packaging/quickstart.sh                 leaves nothing running
#   packaging/quickstart.sh --keep          leaves the mirror running
#   packaging/quickstart.sh --print-hosts-toml MIRROR_URL REGISTRY      only prints what containerd needs
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

keep=false
registry=quickstart.test
image=$registry/demo/app:1

hosts_toml() {  # mirror URL, registry; no `server`: containerd goes to the registry itself when the mirror cannot help
  cat <<EOF
# /etc/containerd/certs.d/$2/hosts.toml
[host."$1"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "2s"
EOF
}

case ${1:-} in
  "") ;;
  --keep) keep=true ;;
  --print-hosts-toml) hosts_toml "${2:?MIRROR_URL}" "${3:?REGISTRY}"; exit 0 ;;
  *) sed -n '2,8p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac

# --- what is said on the way
bold='' plain='' red=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m' red=$'\e[31m'; fi
step_number=0
step_began=$EPOCHREALTIME
step() { step_number=$((step_number + 1)); step_began=$EPOCHREALTIME; printf '%s[%d/9]%s %s\n' "$bold" "$step_number" "$plain" "$1"; }
elapsed() { awk -v a="$step_began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'; }
say() { printf '      %s\n' "$*"; }
done_in() { say "${1:-done} ($(elapsed))"; }

work=''
pids=()
current_log=''
cleanup() {
  local status=$?
  trap - EXIT INT TERM
  if [[ $status -ne 0 ]]; then
    printf '\n%squickstart failed%s in step %d\n' "$red" "$plain" "$step_number" >&2
    if [[ -n $current_log && -s $current_log ]]; then printf -- '--- end of %s\n' "$current_log" >&2; tail -30 "$current_log" >&2; fi
    if [[ -n $work && -s $work/oxbow.log ]]; then printf -- '--- end of the log of the mirror\n' >&2; tail -20 "$work/oxbow.log" >&2; fi
  fi
  local pid index
  for ((index = ${#pids[@]} - 1; index >= 0; index--)); do
    pid=${pids[index]}
    kill "$pid" 2>/dev/null || continue
    for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if [[ -n $work ]] && ! { $keep && [[ $status -eq 0 ]]; }; then rm -rf "$work"; fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

stop() {  # pid: ends one of ours and forgets it
  local pid=$1 other left=()
  kill "$pid"
  wait "$pid" 2>/dev/null || true
  for other in "${pids[@]}"; do [[ $other == "$pid" ]] || left+=("$other"); done
  pids=("${left[@]}")
}

wait_for() {  # what, command...: polls for 30 s
  local what=$1
  shift
  for _ in {1..300}; do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "gave up waiting for $what" >&2
  return 1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
human() { numfmt --to=iec-i --suffix=B --format=%.1f "$1"; }

# --- steps
step "Debian packages"
packaging/dependencies.sh build test
done_in "all there"

step "Building the release"
mkdir -p build
current_log=$root/build/quickstart-build.log
oxbow=${OXBOW_BIN:-$root/build/release/bin/oxbow}  # OXBOW_BIN: one that is built already
[[ -n ${OXBOW_BIN:-} ]] || { cmake --preset release && cmake --build --preset release --target oxbow; } >"$current_log" 2>&1
unset OXBOW_BIN  # where the daemon would look for options of its own
done_in "$("$oxbow" version | head -1)"

work=$(mktemp -d /tmp/oxbow-quickstart-XXXXXX)
registry_port=$(free_port) mirror_port=$(free_port) admin_port=$(free_port)
mirror=http://127.0.0.1:$mirror_port

step "A registry with a real image: docker-registry on 127.0.0.1:$registry_port"
current_log=$work/registry.log
cat >"$work/registry.json" <<EOF
{"version": "0.1", "log": {"level": "warn", "accesslog": {"disabled": false}},
 "storage": {"filesystem": {"rootdirectory": "$work/registry"}}, "http": {"addr": "127.0.0.1:$registry_port", "secret": "x"}}
EOF
docker-registry serve "$work/registry.json" >"$current_log" 2>&1 &
registry_pid=$!
pids+=("$registry_pid")
wait_for "the registry" curl -fsS "http://127.0.0.1:$registry_port/v2/"
say "$(python3 packaging/test_image.py "$work/layout" --push "127.0.0.1:$registry_port/demo/app:1")"
done_in "pushed"
pushed_lines=$(wc -l <"$current_log")

step "The mirror: $mirror"
current_log=$work/oxbow.log
cat >"$work/oxbow.toml" <<EOF
[client]
listen = ["127.0.0.1:$mirror_port"]
[storage]
directory = "$work/store"
[admin]
listen = "127.0.0.1:$admin_port"
socket = "$work/admin.sock"
[[registry]]
name = "$registry"
upstreams = ["http://127.0.0.1:$registry_port"]
EOF
setsid "$oxbow" serve --config "$work/oxbow.toml" >"$current_log" 2>&1 </dev/null &
mirror_pid=$!
pids+=("$mirror_pid")
wait_for "the mirror" curl -fsS "http://127.0.0.1:$admin_port/readyz"
done_in "ready; everything else is a default"

metric() {  # name{labels: the sum of the samples whose line begins so
  curl -fsS "http://127.0.0.1:$admin_port/metrics" | awk -v want="$1" 'index($0, want) == 1 { sum += $NF } END { printf "%.0f", sum }'
}
from_upstream=0 from_storage=0 link=0
sources() {  # since it was last asked
  local upstream storage crossed
  upstream=$(metric 'oxbow_client_bytes_total{source="upstream"')
  storage=$(metric 'oxbow_client_bytes_total{source="storage"')
  crossed=$(metric 'oxbow_upstream_bytes_total')
  say "bytes sent to clients:    from upstream $(human $((upstream - from_upstream))), from disk $(human $((storage - from_storage)))"
  say "bytes over the upstream:  $(human $((crossed - link)))"
  from_upstream=$upstream from_storage=$storage link=$crossed
}

step "containerd pulls through the mirror, and runs the image"
current_log=$work/containerd.log
mkdir -p "$work/certs.d/$registry"
# `server` is the mirror too, so that nothing can come past it.
{ echo "server = \"$mirror\""; hosts_toml "$mirror" "$registry"; } >"$work/certs.d/$registry/hosts.toml"
cat >"$work/containerd.toml" <<EOF
version = 2
root = "$work/containerd"
state = "$work/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "$work/c.sock"
[ttrpc]
address = "$work/c.sock.ttrpc"
EOF
containerd --config "$work/containerd.toml" >"$current_log" 2>&1 &
pids+=("$!")
ctr() { command ctr -a "$work/c.sock" -n quickstart "$@"; }
wait_for "containerd" ctr version
snapshotter=overlayfs
ctr plugins ls | grep -Eq 'snapshotter.v1 +overlayfs .* ok' || snapshotter=native
pull() { ctr images pull --hosts-dir "$work/certs.d" --snapshotter "$snapshotter" "$image" >>"$current_log" 2>&1; }
run_it() {
  local said
  # Through a file that the shim writes: ctr itself may lose the output of a container that ends at once.
  if ctr run --rm --snapshotter "$snapshotter" --runc-root "$work/runc" --log-uri "file://$work/run.log" "$image" "quickstart-$RANDOM" 2>>"$current_log"; then
    said=$(cat "$work/run.log")
    : >"$work/run.log"
    say "the container says: $said"
  else
    say "the container cannot be run on this machine: $(tail -1 "$current_log")"
  fi
}
step_began=$EPOCHREALTIME
pull
done_in "pulled"
run_it
sources

step "curl pulls the largest layer"
manifest=$(curl -fsS "$mirror/v2/$registry/demo/app/manifests/1")
layer=$(jq -r '.layers | max_by(.size) | .digest' <<<"$manifest")
summed=$(curl -fsS "$mirror/v2/$registry/demo/app/blobs/$layer" | sha256sum | cut -d' ' -f1)
[[ sha256:$summed == "$layer" ]] || { echo "curl got other bytes than $layer" >&2; exit 1; }
done_in "$(jq -r '.layers | max_by(.size) | .size' <<<"$manifest" | numfmt --to=iec-i --suffix=B), the digest is right"
sources

step "Stopping the registry, and removing the image from containerd"
stop "$registry_pid"
ctr images rm --sync "$image" >>"$current_log"
crossings=$(tail -n +$((pushed_lines + 1)) "$work/registry.log" | awk -v blob="/blobs/$layer" '
  $6 == "\"GET" && index($7, blob) { bytes += $10 } END { printf "%.0f", bytes }')
say "the registry's own access log: it gave the largest layer $(human "$crossings") in all"
done_in "gone"

step "containerd pulls it again, from the mirror's disk"
pull
done_in "pulled"
run_it
sources
current_log=''

step "Your own containerd"
if $keep; then
  left=()
  for pid in "${pids[@]}"; do [[ $pid == "$mirror_pid" ]] || left+=("$pid"); done
  pids=("${left[@]}")
  say "the mirror stays: $mirror (pid $mirror_pid, files in $work); stop it with: kill $mirror_pid"
else
  mirror=http://127.0.0.1:5050
  say "start the mirror:   $oxbow serve        (it listens on 127.0.0.1:5050 and stores in /var/lib/oxbow)"
fi
say "then tell containerd, for each registry (no restart; containerd reads it at each pull):"
echo
hosts_toml "$mirror" docker.io | sed 's/^/          /'
echo
say "and let its config_path name that folder, one folder only:"
say '    [plugins."io.containerd.grpc.v1.cri".registry]'
say '      config_path = "/etc/containerd/certs.d"'
