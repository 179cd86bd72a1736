# What the machine on which the commands of a page run needs beforehand, and no reader does: it is a copy in namespaces, and Docker Hub
# is a registry of the test's.
set -e
until [ -e online ]; do sleep 0.1; done
dpkg -P oxbow >/dev/null 2>&1 || true
rm -rf /etc/oxbow /var/lib/oxbow /etc/containerd/certs.d /root/oxbow-ca /var/lib/containerd/*

# What this machine's kernel does not let a nested systemd do is left out, and said.
systemd-run -q --wait -p PrivateDevices=yes true || {
  echo "left out: PrivateDevices"
  for unit in oxbow oxbow-2; do
    mkdir -p /run/systemd/system/$unit.service.d
    printf '[Service]\nPrivateDevices=no\n' >/run/systemd/system/$unit.service.d/test.conf
  done
}
command -v promtool >/dev/null || promtool() { echo "left out: promtool"; }

# Layers are mounted with overlayfs, which does not lie on another overlayfs.
for store in /var/lib/containerd /var/lib/containers; do mkdir -p $store && mount -t tmpfs tmpfs $store; done

echo '203.0.113.1 docker.io registry-1.docker.io index.docker.io' >>/etc/hosts
mkdir -p /usr/local/share/ca-certificates
cp internet/ca.crt /usr/local/share/ca-certificates/internet.crt
! command -v update-ca-certificates >/dev/null || update-ca-certificates >/dev/null

picture() { [ ! -e pictures ] || { touch "picture-$1"; until [ ! -e "picture-$1" ]; do sleep 0.1; done; }; }
fails() { ! "$@"; }  # a command that has to
