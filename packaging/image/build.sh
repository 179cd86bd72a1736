#!/usr/bin/env bash
# Builds the OCI image from the Debian package: what `oxbow` needs, out of Debian's own packages, and nothing else. No shell,
# no package manager; the list of packages is kept where scanners look for it (/var/lib/dpkg/status.d).
#
#   packaging/image/build.sh OXBOW.deb [NAME:TAG]      default: oxbow:VERSION; needs buildah and apt, as root
#
# The packages come from the sources that this machine's apt knows. In the image: user 65532, port 5050, /var/lib/oxbow.
set -euo pipefail
deb=$(realpath "${1:?usage: packaging/image/build.sh OXBOW.deb [NAME:TAG]}")
version=$(dpkg-deb -f "$deb" Version)
architecture=$(dpkg-deb -f "$deb" Architecture)
name=${2:-oxbow:${version%-*}}
uid=65532

work=$(mktemp -d)
container=''
cleanup() {
  [[ -z $container ]] || buildah rm "$container" >/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
root=$work/root  # of the image
mkdir -p "$root"/{etc/oxbow,etc/ssl/certs,tmp,run/oxbow,var/lib/oxbow,var/lib/dpkg/status.d,usr/bin,usr/lib,usr/lib64,usr/sbin}
for folder in bin lib lib64 sbin; do ln -s "usr/$folder" "$root/$folder"; done  # as Debian has it

# --- which packages: the libraries that the program's package depends on, and theirs, as apt resolves them for a machine
# where nothing is installed yet. Not what only installing needs.
mkdir -p "$work/apt/partial"
: >"$work/status"
depends=$(dpkg-deb -f "$deb" Depends | sed 's/([^)]*)//g; s/|[^,]*//g; s/,/ /g')
libraries=()
for package in $depends; do [[ $package == adduser || $package == ca-certificates ]] || libraries+=("$package"); done
apt_get() { apt-get -qq -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/apt" -o APT::Sandbox::User=root "$@"; }
apt_get --no-install-recommends --download-only -y install "${libraries[@]}" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
(cd "$work/apt" && apt_get download ca-certificates) >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }

# --- their files, without documents and translations
for package in "$work"/apt/*.deb "$deb"; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --exclude='./usr/share/doc/*' \
    --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./usr/share/lintian/*' --exclude='./lib/systemd/*' \
    --exclude='./usr/share/*completion*' --exclude='./usr/share/fish/*' --exclude='./usr/share/zsh/*' --exclude='*/gconv/*'
  dpkg-deb -f "$package" >"$root/var/lib/dpkg/status.d/$(dpkg-deb -f "$package" Package)"
done
find "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale" -depth -type d -empty -delete 2>/dev/null || true

# --- what installation scripts would do: certificates in one file, users, where names come from
find "$root/usr/share/ca-certificates" -name '*.crt' -print0 | sort -z | xargs -0 cat >"$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/:/nonexistent\noxbow:x:%d:%d:oxbow:/var/lib/oxbow:/nonexistent\n' $uid $uid >"$root/etc/passwd"
printf 'root:x:0:\noxbow:x:%d:\n' $uid >"$root/etc/group"
printf 'hosts: files dns\npasswd: files\ngroup: files\n' >"$root/etc/nsswitch.conf"
chroot "$root" /usr/bin/oxbow version >/dev/null || { echo "build.sh: the program does not run in its image" >&2; exit 1; }
chmod 0755 "$root"
chmod 1777 "$root/tmp"
chown -R $uid:$uid "$root/var/lib/oxbow" "$root/run/oxbow"

# --- the image
container=$(buildah from --arch "$architecture" scratch)
cp -a "$root/." "$(buildah mount "$container")/"  # `buildah add` would give all to root
buildah umount "$container" >/dev/null
buildah config --user $uid:$uid --workingdir / --port 5050 --volume /var/lib/oxbow --stop-signal SIGTERM \
  --entrypoint '["/usr/bin/oxbow"]' --cmd serve --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
  --label org.opencontainers.image.title=oxbow --label org.opencontainers.image.version="$version" \
  --label org.opencontainers.image.licenses=Apache-2.0 \
  --label org.opencontainers.image.description="$(dpkg-deb -f "$deb" Description | head -1)" "$container"
buildah commit --quiet --format oci "$container" "$name" >/dev/null
echo "$name: $(du -sh "$root" | cut -f1) in $(find "$root/var/lib/dpkg/status.d" -type f | wc -l) packages"
