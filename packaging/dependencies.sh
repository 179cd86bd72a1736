#!/usr/bin/env bash
# Installs what is missing from Debian 12's packages; does nothing (and asks no network) when all is there.
#   packaging/dependencies.sh [build] [test] [bench]      default: build test
set -euo pipefail

build=(clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev lld-19 g++ ccache cmake ninja-build pkg-config git
       libboost1.81-dev libnghttp2-dev librocksdb-dev liburing-dev libcurl4-openssl-dev libssl-dev libtomlplusplus-dev
       libcli11-dev nlohmann-json3-dev libfmt-dev libspdlog-dev prometheus-cpp-dev libxxhash-dev libgtest-dev)
# busybox-static is the content of the test image, llvm-19 names the functions in what sanitizers report; the others are the
# registry, the clients and what drives them.
test=(llvm-19 docker-registry etcd-server etcd-client containerd runc skopeo podman busybox-static curl nginx-light python3 jq iproute2 openssl
      nghttp2-client apache2-utils ca-certificates procps faketime python3-h2 python3-yaml python3-jsonschema buildah lintian prometheus systemd groff-base man-db
      chromium debootstrap)
bench=(docker-registry nginx-light wrk nghttp2-client curl python3 iproute2 procps openssl)

installed() {
  # nginx comes in several flavours; any of them will do.
  if [[ $1 == nginx-light ]]; then command -v nginx >/dev/null || [[ -x /usr/sbin/nginx ]]; return; fi
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

groups=("$@")
[[ ${#groups[@]} -gt 0 ]] || groups=(build test)
missing=()
for group in "${groups[@]}"; do
  case $group in
    build | test | bench) ;;
    *) echo "dependencies.sh: unknown group '$group' (build, test, bench)" >&2; exit 2 ;;
  esac
  declare -n packages=$group
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "installing from Debian: ${missing[*]}"
if [[ $(id -u) -ne 0 ]]; then
  echo "dependencies.sh: not root; run: apt-get install ${missing[*]}" >&2
  exit 1
fi

# Debian starts a service as soon as its package is there; the tests start their own, on their own ports.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install_missing() {
  apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >"$log" 2>&1
}
known() {
  local package
  for package in "${missing[@]}"; do
    apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || return 1
  done
}
if ! known || ! install_missing; then
  apt-get update -qq >"$log" 2>&1 || { tail -20 "$log" >&2; rm -f "$log"; exit 1; }
  install_missing || {
    echo "dependencies.sh: apt-get failed:" >&2
    tail -30 "$log" >&2
    rm -f "$log"
    exit 1
  }
fi
rm -f "$log"
