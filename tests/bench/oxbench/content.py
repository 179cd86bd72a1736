"""The bytes that are served: one set of files for nginx and docker-registry, pulled into Oxbow once."""

import hashlib
import json
import os

MIB = 1 << 20
REPOSITORY = "bench/app"
_block = os.urandom(16 * MIB)


def write_blob(path, size, number):
    """Bytes that no other blob here has and that do not compress; returns the digest."""
    sha = hashlib.sha256()
    with open(path, "wb") as out:
        for offset in range(0, size, len(_block)):
            head = f"blob {number} at {offset}\n".encode().ljust(64)
            part = memoryview(_block)[64:min(len(_block), size - offset)]
            for piece in (head[:size - offset], part):
                out.write(piece)
                sha.update(piece)
        out.flush()
        os.fsync(out.fileno())
    return "sha256:" + sha.hexdigest()


class Tree:
    """One folder that nginx serves as it is, and the same files (hard links) as docker-registry keeps them."""

    def __init__(self, folder):
        self.folder = folder
        self.web = os.path.join(folder, "web")
        self.registry = os.path.join(folder, "registry")
        self.data = os.path.join(self.registry, "docker/registry/v2")
        for kind in ("blobs", "manifests"):
            os.makedirs(os.path.join(self.web, "v2", REPOSITORY, kind))
        self.sizes = {}

    def _link(self, *parts, digest):
        path = os.path.join(self.data, "repositories", REPOSITORY, *parts, "sha256", digest[7:], "link")
        os.makedirs(os.path.dirname(path))
        with open(path, "w") as out:
            out.write(digest)

    def add(self, path, digest, kind="blobs"):
        self.sizes[digest] = os.path.getsize(path)
        hexes = digest[7:]
        kept = os.path.join(self.data, "blobs/sha256", hexes[:2], hexes, "data")
        os.makedirs(os.path.dirname(kept))
        os.rename(path, kept)
        os.link(kept, os.path.join(self.web, "v2", REPOSITORY, kind, digest))
        self._link(*(["_layers"] if kind == "blobs" else ["_manifests", "revisions"]), digest=digest)
        return digest

    def remove(self, digest):
        hexes = digest[7:]
        os.unlink(os.path.join(self.data, "blobs/sha256", hexes[:2], hexes, "data"))
        os.unlink(os.path.join(self.web, "v2", REPOSITORY, "blobs", digest))

    def blob(self, size, number):
        path = os.path.join(self.folder, "new")
        return self.add(path, write_blob(path, size, number))

    def manifest(self, size, number):
        """A manifest of exactly that size."""
        empty = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                 "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
        content = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": empty,
                   "layers": [empty], "annotations": {"number": str(number), "padding": ""}}
        content["annotations"]["padding"] = "x" * (size - len(json.dumps(content)))
        data = json.dumps(content).encode()
        path = os.path.join(self.folder, "new")
        with open(path, "wb") as out:
            out.write(data)
        return self.add(path, "sha256:" + hashlib.sha256(data).hexdigest(), "manifests")


def blob_path(digest):
    return f"/v2/{REPOSITORY}/blobs/{digest}"


def manifest_path(digest):
    return f"/v2/{REPOSITORY}/manifests/{digest}"
