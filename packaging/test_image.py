#!/usr/bin/env python3
"""Builds a small real OCI image from Debian's packages (busybox-static) as an OCI image layout, and pushes it.

  packaging/test_image.py OUT_DIR [--name TAG] [--big 72MiB] [--layer SIZE]... [--seed N] [--index]
                          [--push HOST:PORT/REPO:TAG]

The image runs (`/bin/sh`), and its layers are of the sizes that matter to a mirror: a megabyte of busybox, a few hundred
bytes, an empty layer, and one incompressible layer of many stripes. The same arguments give the same bytes.
Needs nothing but Python's standard library; `--push` uses skopeo.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image."
MANIFEST_TYPE = OCI + "manifest.v1+json"
INDEX_TYPE = OCI + "index.v1+json"
CONFIG_TYPE = OCI + "config.v1+json"
LAYER_TYPE = OCI + "layer.v1.tar+gzip"
BUSYBOX_PATHS = ("/bin/busybox", "/usr/bin/busybox")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


def parse_size(text):
    """'72MiB', '64KiB', '1GiB' or plain bytes."""
    for suffix, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)):
        if text.endswith(suffix):
            return int(float(text[: -len(suffix)]) * factor)
    return int(text)


def noise(size, seed):
    """Incompressible bytes, the same for the same seed: SHAKE-256 in blocks, so that memory stays small beside the result."""
    block = 1 << 20
    parts = []
    for index in range((size + block - 1) // block):
        part = min(block, size - index * block)
        parts.append(hashlib.shake_256(f"oxbow/{seed}/{index}".encode()).digest(part))
    return b"".join(parts)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    """One tar layer, gzip'ed without time stamps. `level` 0 keeps incompressible layers cheap to build."""

    def __init__(self, level=6):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.USTAR_FORMAT)
        self.level = level

    def _info(self, name, mode):
        info = tarfile.TarInfo(name)
        info.mode = mode
        info.mtime = 0
        return info

    def directory(self, name, mode=0o755):
        info = self._info(name, mode)
        info.type = tarfile.DIRTYPE
        self.tar.addfile(info)
        return self

    def file(self, name, data, mode=0o644):
        info = self._info(name, mode)
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def link(self, name, target):
        info = self._info(name, 0o777)
        info.type = tarfile.SYMTYPE
        info.linkname = target
        self.tar.addfile(info)
        return self

    def finish(self):
        """(compressed bytes, digest of the uncompressed tar)"""
        self.tar.close()
        raw = self.buffer.getvalue()
        return gzip.compress(raw, compresslevel=self.level, mtime=0), sha256(raw)


class Image:
    """The blobs and manifests of one image: `blobs` by digest, `manifests` by digest (bytes, media type), `root` to tag."""

    def __init__(self):
        self.blobs = {}
        self.manifests = {}
        self.layers = []
        self.root = None
        self.root_type = None

    def add_blob(self, data):
        digest = sha256(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, document, media_type):
        data = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        digest = sha256(data)
        self.manifests[digest] = (data, media_type)
        self.root, self.root_type = digest, media_type
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def write_layout(self, directory, tag):
        folder = os.path.join(directory, "blobs", "sha256")
        os.makedirs(folder, exist_ok=True)
        everything = {**self.blobs, **{d: data for d, (data, _) in self.manifests.items()}}
        for digest, data in everything.items():
            with open(os.path.join(folder, digest.split(":")[1]), "wb") as out:
                out.write(data)
        with open(os.path.join(directory, "oci-layout"), "w") as out:
            json.dump({"imageLayoutVersion": "1.0.0"}, out)
        root = self.manifests[self.root][0]
        entry = {"mediaType": self.root_type, "digest": self.root, "size": len(root),
                 "annotations": {"org.opencontainers.image.ref.name": tag}}
        with open(os.path.join(directory, "index.json"), "w") as out:
            json.dump({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}, out)


def busybox():
    for path in BUSYBOX_PATHS:
        if os.path.exists(path):
            with open(path, "rb") as file:
                return file.read()
    raise SystemExit("test_image.py: /bin/busybox is missing: run packaging/dependencies.sh test")


def base_layer():
    layer = Layer()
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "data"):
        layer.directory(name, 0o1777 if name == "tmp" else 0o755)
    layer.file("bin/busybox", busybox(), 0o755)
    for applet in ("sh", "ls", "cat", "echo", "sha256sum", "wc", "sleep", "true", "uname"):
        layer.link("bin/" + applet, "busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    return layer.finish()


def build(big=72 << 20, extra=(), seed=1, index=False):
    """An Image: busybox, a small layer, an empty layer, one of `big` bytes, one of each size in `extra`."""
    image = Image()
    parts = [base_layer(),
             Layer().file("etc/motd", f"oxbow test image, seed {seed}\n".encode()).finish(),
             Layer().finish()]
    for number, size in enumerate([big, *extra]):
        parts.append(Layer(level=0).file(f"data/noise-{number}", noise(size, f"{seed}/{number}")).finish())
    descriptors = []
    for data, _ in parts:
        image.layers.append(image.add_blob(data))
        descriptors.append({"mediaType": LAYER_TYPE, "digest": image.layers[-1], "size": len(data)})
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    config = {"architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
              "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "cat /etc/motd"], "WorkingDir": "/"},
              "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in parts]},
              "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "packaging/test_image.py"} for _ in parts]}
    main = add_image(image, config, descriptors)
    if index:
        # A second platform, so that clients have to choose; its layers are the small ones only.
        other = "arm64" if architecture != "arm64" else "amd64"
        config = dict(config, architecture=other, rootfs={"type": "layers", "diff_ids": [d for _, d in parts[1:3]]})
        config["history"] = config["history"][1:3]
        second = add_image(image, config, descriptors[1:3])
        image.add_manifest({"schemaVersion": 2, "mediaType": INDEX_TYPE,
                            "manifests": [dict(main, platform={"architecture": architecture, "os": "linux"}),
                                          dict(second, platform={"architecture": other, "os": "linux"})]}, INDEX_TYPE)
    return image


def add_image(image, config, descriptors):
    data = json.dumps(config, separators=(",", ":"), sort_keys=True).encode()
    descriptor = {"mediaType": CONFIG_TYPE, "digest": image.add_blob(data), "size": len(data)}
    return image.add_manifest({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor,
                               "layers": descriptors}, MANIFEST_TYPE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--name", default="latest", help="the tag inside the layout")
    parser.add_argument("--big", default="72MiB", type=parse_size, help="size of the incompressible layer")
    parser.add_argument("--layer", action="append", default=[], type=parse_size, help="a further layer of this size")
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--index", action="store_true", help="make the root a multi-platform index")
    parser.add_argument("--push", metavar="HOST:PORT/REPO:TAG", help="copy to a plaintext registry with skopeo")
    options = parser.parse_args()
    image = build(options.big, options.layer, options.seed, options.index)
    image.write_layout(options.out, options.name)
    total = sum(len(data) for data in image.blobs.values())
    print(f"{image.root}  {len(image.layers)} layers, {total} bytes")
    if options.push:
        copied = subprocess.run(["skopeo", "copy", "--insecure-policy", "--all", "--preserve-digests", "--dest-tls-verify=false",
                                 f"oci:{options.out}:{options.name}", f"docker://{options.push}"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if copied.returncode != 0:
            sys.exit(f"test_image.py: skopeo failed:\n{copied.stdout}")


if __name__ == "__main__":
    main()
