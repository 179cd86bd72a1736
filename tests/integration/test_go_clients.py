"""Clients built with Go at pinned versions: crane, oras, and the OCI distribution conformance suite."""

import json
import os
import re
import subprocess

from oxtest import clients
from oxtest.case import Case, Registry, image, test_image
from oxtest.process import run


def artifact(subject, kind="application/vnd.oxbow.test"):
    """(bytes, descriptor) of a manifest that refers to `subject`."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": test_image.sha256(b"{}"), "size": 2}
    data = json.dumps({"schemaVersion": 2, "mediaType": test_image.MANIFEST_TYPE, "artifactType": kind, "config": empty,
                       "layers": [empty], "subject": subject}).encode()
    return data, {"mediaType": test_image.MANIFEST_TYPE, "digest": test_image.sha256(data), "size": len(data),
                  "artifactType": kind}


def push_with_referrer(registry, repository, tag, built):
    """Pushes the image and one artifact about it, listed under the fallback tag that the specification gives."""
    registry.push_image(repository, tag, built)
    data, _ = built.manifests[built.root]
    about, descriptor = artifact({"mediaType": built.root_type, "digest": built.root, "size": len(data)})
    registry.push_blob(repository, b"{}", test_image.sha256(b"{}"))
    registry.push_manifest(repository, descriptor["digest"], about, test_image.MANIFEST_TYPE)
    index = json.dumps({"schemaVersion": 2, "mediaType": test_image.INDEX_TYPE, "manifests": [descriptor]}).encode()
    registry.push_manifest(repository, built.root.replace(":", "-"), index, test_image.INDEX_TYPE)
    return descriptor


class GoClients(Case):
    @classmethod
    def set_up_parts(cls):
        cls.image = image(big=24 << 20, seed=4)
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.referrer = push_with_referrer(cls.registry, "app/web", "1", cls.image)
        cls.registry.push_manifest("app/web", "2", *cls.image.manifests[cls.image.root])
        # One tag only: Debian's docker-registry knows no `last`, which the suite tries from two tags on (row 32 holds it).
        cls.registry.push_image("app/single", "1", cls.image)

    def mirror(self):
        return self.start(self.mirror_of(self.registry.url))

    def test_crane_pulls_lists_and_validates(self):
        crane = os.path.join(clients.go_tool([clients.CRANE]), "crane")
        mirror = self.mirror()
        name = f"{mirror.host}/registry.test/app/web"
        home = {"HOME": self.own_folder(), "DOCKER_CONFIG": self.own_folder()}
        self.assertEqual(run([crane, "digest", name + ":1"], env=home)[1].strip(), self.image.root)
        self.assertEqual(set(run([crane, "ls", name], env=home)[1].split()) & {"1", "2"}, {"1", "2"})
        run([crane, "validate", "--remote", name + ":1"], env=home)
        out = os.path.join(self.own_folder(), "blob")
        with open(out, "wb") as file:
            subprocess.run([crane, "blob", f"{name}@{self.image.layers[-1]}"], stdout=file, check=True, env={**os.environ, **home},
                           stdin=subprocess.DEVNULL)
        with open(out, "rb") as file:
            self.assertTrue(file.read() == self.image.blobs[self.image.layers[-1]])

    def test_oras_copies_and_discovers(self):
        oras = os.path.join(clients.go_tool([clients.ORAS]), "oras")
        mirror = self.mirror()
        name = f"{mirror.host}/registry.test/app/web"
        home = {"HOME": self.own_folder(), "DOCKER_CONFIG": self.own_folder()}
        out = os.path.join(self.own_folder(), "layout")
        run([oras, "copy", "--from-plain-http", "--to-oci-layout", name + ":1", out + ":1"], env=home)
        for digest, data in self.image.blobs.items():
            with open(os.path.join(out, "blobs", "sha256", digest.split(":")[1]), "rb") as file:
                self.assertTrue(file.read() == data, digest)
        found = run([oras, "discover", "--plain-http", "-o", "json", name + ":1"], env=home)[1]
        self.assertIn(self.referrer["digest"], found)

    # Pull and content discovery, against content that was pushed at the upstream.
    def test_oci_conformance_of_pull_and_discovery(self):
        program = os.path.join(clients.go_tool([clients.CONFORMANCE]), "conformance")
        mirror = self.mirror()
        results = self.own_folder()
        code, said = run([program], cwd=results, check=False, timeout_s=300, env={
            "OCI_VERSION": "1.1", "OCI_REGISTRY": mirror.host, "OCI_TLS": "disabled", "OCI_REPO1": "registry.test/app/single",
            "OCI_API_PUSH": "false", "OCI_API_BLOBS_DELETE": "false", "OCI_API_MANIFESTS_DELETE": "false",
            "OCI_API_TAGS_DELETE": "false",
            # Debian's docker-registry has no referrers API; a mirror cannot answer for it (row 33 can).
            "OCI_API_REFERRER": "false",
            "OCI_RO_DATA_TAGS": "1", "OCI_RO_DATA_MANIFESTS": self.image.root,
            "OCI_RO_DATA_BLOBS": " ".join(self.image.blobs), "OCI_RESULTS_DIR": results})
        # Not the exit code: this version of the suite may panic while it writes its last report, after its verdict.
        self.assertRegex(said, r"OCI Conformance Result: Pass", f"exit code {code}:\n{said[-6000:]}")
        counts = dict(re.findall(r"(?m)^  (\w+)\.*: +(\d+)$", said))
        self.assertEqual((counts["FAIL"], counts["Error"]), ("0", "0"), counts)
        self.assertGreater(int(counts["Pass"]), 10, counts)
