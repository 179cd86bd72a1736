"""curl on HTTP/1.1, h2c by prior knowledge and TLS with ALPN: the same bytes on each, in whole and in ranges."""

import os

from oxtest import clients
from oxtest.case import Case, Registry, image
from oxtest.http import curl
from oxtest.process import run


def self_signed(folder):
    """(certificate, key) of 127.0.0.1, which is its own CA."""
    certificate, key = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
    return certificate, key


class Curl(Case):
    @classmethod
    def set_up_parts(cls):
        clients.need("curl")
        cls.image = image(big=24 << 20, seed=3)
        cls.digest = cls.image.layers[-1]
        cls.data = cls.image.blobs[cls.digest]
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.registry.push_image("app/web", "1", cls.image)

    def all_of(self, mirror, *how, version):
        blob = f"{mirror.url}/v2/registry.test/app/web/blobs/{self.digest}"
        code, reply = curl(*how, blob)
        self.assertEqual(code, 0, reply.error)
        self.assertEqual(reply.version, version)
        self.assert_whole(reply, self.data)
        self.assertEqual(reply.header("content-length"), str(len(self.data)))
        code, reply = curl(*how, "-r", "1000000-1999999", blob)
        self.assertEqual((code, reply.status), (0, 206), reply)
        self.assertTrue(reply.body == self.data[1000000:2000000])
        code, reply = curl(*how, f"{mirror.url}/v2/registry.test/app/web/manifests/1")
        self.assertEqual((code, reply.status), (0, 200), reply)
        self.assertEqual(reply.body, self.image.manifests[self.image.root][0])

    def test_http_1_1(self):
        self.all_of(self.start(self.mirror_of(self.registry.url)), "--http1.1", version="HTTP/1.1")

    def test_h2c_by_prior_knowledge(self):
        self.all_of(self.start(self.mirror_of(self.registry.url)), "--http2-prior-knowledge", version="HTTP/2")

    def test_tls_negotiates_h2(self):
        tls = self_signed(self.own_folder())
        mirror = self.start(self.mirror_of(self.registry.url, tls=tls))
        self.all_of(mirror, "--cacert", tls[0], "--http2", version="HTTP/2")
        self.all_of(mirror, "--cacert", tls[0], "--http1.1", version="HTTP/1.1")
        self.all_of(mirror, "--cacert", tls[0], "--no-alpn", version="HTTP/1.1")
