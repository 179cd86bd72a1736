"""podman and skopeo pull through registries.conf, which names the upstream by the first part of the path."""

import json
import os

from oxtest import clients
from oxtest.case import Case, Registry, image


class PodmanAndSkopeo(Case):
    @classmethod
    def set_up_parts(cls):
        cls.image = image(big=24 << 20, index=True, seed=2)
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.registry.push_image("app/web", "1", cls.image)

    def through(self):
        mirror = self.start(self.mirror_of(self.registry.url, client={"default_registry": ""}))
        containers = clients.Containers(self.own_folder())
        containers.use_mirror("registry.test", f"{mirror.host}/registry.test")
        return mirror, containers

    def crossings(self, mark):
        return {d: self.registry.body_bytes(d, mark) / len(self.image.blobs[d]) for d in self.image.layers}

    def test_skopeo_copies_every_blob_byte_exact(self):
        clients.need("skopeo")
        _, containers = self.through()
        mark = self.registry.mark()
        out = os.path.join(containers.folder, "copy")
        containers.skopeo("copy", "--all", "--preserve-digests", "docker://registry.test/app/web:1", f"dir:{out}")
        for digest, data in self.image.blobs.items():
            with open(os.path.join(out, digest.split(":")[1]), "rb") as file:
                self.assertTrue(file.read() == data, digest)
        self.assertEqual(set(self.crossings(mark).values()), {1.0})

    def test_skopeo_inspects(self):
        clients.need("skopeo")
        _, containers = self.through()
        found = json.loads(containers.skopeo("inspect", "--no-tags", "docker://registry.test/app/web:1")[1])
        self.assertEqual(found["Digest"], self.image.root)

    def test_podman_pulls_runs_and_pulls_again_with_the_registry_stopped(self):
        clients.need("podman")
        _, containers = self.through()
        mark = self.registry.mark()
        containers.podman("pull", "-q", "registry.test/app/web:1")
        self.assertEqual(set(self.crossings(mark).values()), {1.0})
        try:
            said = containers.podman("--runtime=runc", "run", "--rm", "--network=host", "--cgroups=enabled", "--ulimit=nofile=1024:1024",
                                    "--ulimit=nproc=1024:1024", "registry.test/app/web:1")[1]
            self.assertIn("oxbow test image", said)
            containers.podman("rmi", "-f", "registry.test/app/web:1")
            self.registry.stop()
            containers.podman("pull", "-q", "registry.test/app/web:1")
        finally:
            if not self.registry.process.running:
                self.registry.start()
