"""oxbow ca: the real commands, checked by openssl and by Python's strict verification; connections in which both sides show
certificates; what a node of another CA, an expired one and none get."""

import json
import os
import socket
import ssl
import stat
import subprocess
import threading

from oxtest import clients
from oxtest.case import Case
from oxtest.mirror import binary
from oxtest.process import run


class CertificateAuthority(Case):
    @classmethod
    def set_up_parts(cls):
        clients.need("openssl")
        cls.ca = os.path.join(cls.folder, "ca")
        cls.must("create", cls.ca)
        for node in ("node-1", "node-2"):
            cls.must("issue", cls.ca, node, "--out", os.path.join(cls.folder, node), "--ip", "127.0.0.1")

    @classmethod
    def oxbow(cls, *arguments):
        done = subprocess.run([binary(), "ca", *arguments], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    @classmethod
    def must(cls, *arguments):
        code, said, complained = cls.oxbow(*arguments)
        assert code == 0, complained
        return said

    def listed(self, ca):
        return json.loads(self.must("list", ca, "--json"))

    def context(self, purpose, folder, name, ca=None):
        out = ssl.SSLContext(purpose)
        out.minimum_version = ssl.TLSVersion.TLSv1_3
        out.verify_flags |= ssl.VERIFY_X509_STRICT
        out.load_verify_locations(ca or os.path.join(folder, "ca.crt"))
        out.verify_mode = ssl.CERT_REQUIRED
        if name:
            out.load_cert_chain(os.path.join(folder, name + ".crt"), os.path.join(folder, name + ".key"))
        return out

    def talk(self, server, client, expected_name="node-1"):
        """What the server saw of its client's names, or the error of either side."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)
        seen = {}

        def serve():
            try:
                connection, _ = listener.accept()
                connection.settimeout(20)
                with server.wrap_socket(connection, server_side=True) as secure:
                    seen["names"] = [value for kind, value in secure.getpeercert()["subjectAltName"] if kind == "DNS"]
                    secure.sendall(b"x")
                    secure.recv(1)
            except OSError as wrong:
                seen["error"] = str(wrong)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with socket.create_connection(listener.getsockname(), timeout=20) as plain:
                with client.wrap_socket(plain, server_hostname=expected_name) as secure:
                    if secure.recv(1) != b"x":
                        seen.setdefault("error", "the server hung up")
        except OSError as wrong:
            seen.setdefault("error", str(wrong))
        thread.join()
        listener.close()
        return seen

    def test_two_nodes_know_each_other(self):
        one, two = (os.path.join(self.folder, node) for node in ("node-1", "node-2"))
        server = self.context(ssl.PROTOCOL_TLS_SERVER, one, "node-1")
        seen = self.talk(server, self.context(ssl.PROTOCOL_TLS_CLIENT, two, "node-2"))
        self.assertEqual(seen, {"names": ["node-2"]})
        # By its address, too; and not by another node's name.
        self.assertEqual(self.talk(server, self.context(ssl.PROTOCOL_TLS_CLIENT, two, "node-2"), "127.0.0.1"), {"names": ["node-2"]})
        self.assertIn("error", self.talk(server, self.context(ssl.PROTOCOL_TLS_CLIENT, two, "node-2"), "node-3"))

    def test_strangers_are_refused(self):
        server = self.context(ssl.PROTOCOL_TLS_SERVER, os.path.join(self.folder, "node-1"), "node-1")
        trusted = os.path.join(self.ca, "ca.crt")
        with self.subTest("no certificate"):
            self.assertIn("error", self.talk(server, self.context(ssl.PROTOCOL_TLS_CLIENT, self.ca, None)))
        with self.subTest("another CA of the same name"):
            other, out = os.path.join(self.own_folder(), "other"), self.own_folder()
            self.must("create", other)
            self.must("issue", other, "node-2", "--out", out)
            self.assertIn("error", self.talk(server, self.context(ssl.PROTOCOL_TLS_CLIENT, out, "node-2", trusted)))
        with self.subTest("expired"):
            out = self.own_folder()
            run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=node-2",
                 "-keyout", f"{out}/node-2.key", "-out", f"{out}/csr"])
            with open(f"{out}/extensions", "w") as extensions:
                extensions.write("subjectAltName=DNS:node-2\n")
            run(["openssl", "x509", "-req", "-in", f"{out}/csr", "-CA", trusted, "-CAkey", f"{self.ca}/ca.key", "-days", "-1",
                 "-extfile", f"{out}/extensions", "-out", f"{out}/node-2.crt"])
            self.assertIn("error", self.talk(server, self.context(ssl.PROTOCOL_TLS_CLIENT, out, "node-2", trusted)))

    def test_openssl_agrees(self):
        for node in ("node-1", "node-2"):
            done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", node, "-CAfile",
                                   f"{self.ca}/ca.crt", f"{self.folder}/{node}/{node}.crt"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        said = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", f"{self.folder}/node-1/node-1.crt"], capture_output=True,
                              text=True).stdout
        rows = [row for row in self.listed(self.ca)["certificates"] if row["name"] == "node-1"]
        self.assertEqual(said.strip(), "serial=" + rows[-1]["serial"])

    def test_the_life_of_a_certificate(self):
        ca, out = os.path.join(self.own_folder(), "ca"), self.own_folder()
        self.must("create", ca, "--name", "blue", "--days", "100")
        said = self.must("issue", ca, "node-7", "--out", out, "--days", "30")
        self.assertIn("[peer.tls]", said)
        self.assertEqual(stat.S_IMODE(os.stat(f"{out}/node-7.key").st_mode), 0o600)
        code, _, complained = self.oxbow("issue", ca, "node-7", "--out", out)
        self.assertEqual(code, 1)
        self.assertIn("oxbow ca renew", complained)
        self.must("renew", ca, "node-7")
        old, new = self.listed(ca)["certificates"]
        self.assertEqual((old["state"], new["state"]), ("replaced", "valid"))
        self.must("revoke", ca, old["serial"])
        with open(f"{ca}/revoked.json") as revoked:
            self.assertEqual(json.load(revoked), ["serial:" + old["serial"]])
        self.must("revoke", ca, "node-7")
        with open(f"{ca}/revoked.json") as revoked:
            self.assertEqual(json.load(revoked), ["node-7", "serial:" + old["serial"], "serial:" + new["serial"]])
        self.assertEqual(self.oxbow("renew", ca, "node-7")[0], 1)
        self.must("readmit", ca, "node-7")
        self.must("renew", ca, "node-7")
        self.assertEqual([row["state"] for row in self.listed(ca)["certificates"]], ["revoked", "revoked", "valid"])

    def test_exit_codes_and_help(self):
        self.assertEqual(self.oxbow("create", self.ca)[0], 1)
        self.assertEqual(self.oxbow("issue", self.ca, "Not_A_Name")[0], 2)
        self.assertEqual(self.oxbow("nonsense")[0], 2)
        code, said, _ = self.oxbow("--help")
        self.assertEqual(code, 0)
        self.assertIn("node-3", said)

    def test_runs_at_the_same_time(self):
        ca = os.path.join(self.own_folder(), "ca")
        self.must("create", ca)
        runs = [subprocess.Popen([binary(), "ca", "issue", ca, f"node-{i}"], stdout=subprocess.DEVNULL) for i in range(8)]
        self.assertEqual([one.wait(60) for one in runs], [0] * 8)
        self.assertEqual(len({row["serial"] for row in self.listed(ca)["certificates"]}), 8)
