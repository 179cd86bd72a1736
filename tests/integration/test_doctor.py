"""oxbow doctor on a real node: a daemon, a registry, containerd's files in a root of their own. Healthy: nothing fails. Then one thing
at a time is broken for real; doctor ends with 1, names it, and says what to do."""

import json
import os
import shutil
import socket
import subprocess

from oxtest import clients
from oxtest.case import Case, Mirror, Registry
from oxtest.mirror import binary
from oxtest.process import free_port, run, wait_until
from oxtest.token_server import TokenServer

CONFIG = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n'


def doctor(config, *arguments, prefix=()):
    """(exit code, the findings by id, everything that was printed)"""
    done = subprocess.run([*prefix, binary(), "doctor", "--config", config, "--json", *arguments], capture_output=True, text=True, timeout=60)
    try:
        groups = json.loads(done.stdout)["groups"]
    except ValueError:
        return done.returncode, {}, done.stdout + done.stderr
    found = {}
    for group in groups:
        for finding in group["findings"]:
            found.setdefault(finding["id"], []).append(finding)
    return done.returncode, found, done.stdout + done.stderr


class DoctorCase(Case):
    @classmethod
    def set_up_parts(cls):
        cls.registry = cls.start_shared(Registry(cls.folder))

    def a_mirror(self, registry=None, **sections):
        registry = {"name": "registry.test", "upstreams": [self.registry.url], **(registry or {})}
        client = {"default_registry": "registry.test", "builtin_registries": False}
        return Mirror(self.own_folder(), [registry], client=client, **sections)

    def a_node(self, mirror, config=CONFIG, installed=True):
        """A root with containerd's configuration, pointed at the mirror."""
        root = self.own_folder()
        os.makedirs(f"{root}/etc/containerd")
        with open(f"{root}/etc/containerd/config.toml", "w") as out:
            out.write(config)
        if installed:
            run([binary(), "install", "containerd", "--config", mirror.config_path, "--root", root])
        return root

    def fails(self, finding, config, *words, arguments=(), prefix=()):
        """Doctor ends with 1 and has this finding, which has all these words, and says what to do."""
        code, found, said = doctor(config, *arguments, prefix=prefix)
        self.assertEqual(code, 1, said)
        self.assertIn(finding, found, said)
        all_of_them = ""
        for one in found[finding]:
            self.assertEqual(one["level"], "fail", one)
            self.assertTrue(one["meaning"] and one["fix"], one)
            all_of_them += f"{one['text']} {one['meaning']} {one['fix']} "
        for word in words:
            self.assertIn(word, all_of_them)
        return found


class Node(DoctorCase):
    def test_a_healthy_node(self):
        mirror = self.start(self.a_mirror(storage={"budget": "32MiB", "free_space_floor": "1MiB"}))
        root = self.a_node(mirror)
        code, found, said = doctor(mirror.config_path, "--root", root)
        self.assertEqual([one for several in found.values() for one in several if one["level"] == "fail"], [], said)
        self.assertEqual(code, 0, said)
        for good in ("config.good", "daemon.client", "daemon.ready", "daemon.version", "daemon.socket", "ports.client", "ports.admin", "disk.space",
                     "limits.files", "runtime.pointed", "upstream.reached", "clock.right"):
            self.assertEqual(found[good][0]["level"], "ok", said)
        _, page = run([binary(), "doctor", "--config", mirror.config_path, "--root", root])
        self.assertIn(": 0 failed", page)

    def test_the_daemon_is_stopped(self):
        mirror = self.start(self.a_mirror())
        self.assertEqual(mirror.stop(), 0)
        found = self.fails("daemon.stopped", mirror.config_path, mirror.url, "systemctl start oxbow")
        self.assertEqual(found["ports.client"][0]["level"], "ok")

    def test_a_port_of_another_program(self):
        mirror = self.a_mirror()
        mirror.write_config()
        with socket.create_server(("127.0.0.1", mirror.port)):
            self.fails("ports.taken", mirror.config_path, mirror.host, f"process {os.getpid()}", arguments=("--only", "ports"))

    def test_the_configuration_is_wrong(self):
        mirror = self.a_mirror(storage={"budgett": "1GiB"})
        mirror.write_config()
        self.fails("config.invalid", mirror.config_path, "storage.budget", "line")

    def test_the_daemon_has_another_configuration(self):
        mirror = self.start(self.a_mirror())
        mirror.registries[0]["upstreams"] = ["http://127.0.0.1:9"]
        mirror.write_config()
        found = self.fails("upstream.unreached", mirror.config_path, "127.0.0.1:9", "no connection")
        self.assertEqual(found["config.differs"][0]["level"], "warn")
        self.assertIn("registry registry.test: upstreams", found["config.differs"][0]["text"])

    def test_the_disk_is_below_its_floor(self):
        mirror = self.a_mirror(storage={"free_space_floor": "99.9%"})
        mirror.write_config()
        self.fails("disk.full", mirror.config_path, "free", "storage.free_space_floor", arguments=("--only", "disk"))

    def test_the_directory_may_not_be_written_to(self):
        if os.getuid() != 0 or not shutil.which("setpriv"):
            raise clients.Missing("root and setpriv")
        mirror = self.a_mirror()
        mirror.write_config()
        os.makedirs(mirror.directory, mode=0o755)
        folder = mirror.folder
        while folder != "/tmp" and len(folder) > 1:
            os.chmod(folder, 0o755)
            folder = os.path.dirname(folder)
            if folder == os.path.dirname(self.folder):
                break
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        if subprocess.run([*nobody, binary(), "version"], capture_output=True).returncode != 0:
            raise clients.Missing("a program that another user may run")
        self.fails("disk.permission", mirror.config_path, mirror.directory, "chown", arguments=("--only", "disk"), prefix=nobody)
        # A file in its place is worse.
        os.rmdir(mirror.directory)
        with open(mirror.directory, "w"):
            pass
        self.fails("disk.no_directory", mirror.config_path, mirror.directory, arguments=("--only", "disk"))

    def test_containerd_reads_no_hosts(self):
        mirror = self.a_mirror()
        mirror.write_config()
        root = self.a_node(mirror)
        with open(f"{root}/etc/containerd/config.toml", "w") as out:
            out.write("version = 2\n")
        self.fails("runtime.config_path", mirror.config_path, "config_path", "restart containerd", arguments=("--only", "runtime", "--root", root))

    def test_containerd_asks_another_port(self):
        mirror = self.a_mirror()
        mirror.write_config()
        root = self.a_node(mirror)
        mirror.port = free_port()
        mirror.sections["client"]["listen"] = [f"127.0.0.1:{mirror.port}"]
        mirror.write_config()
        self.fails("runtime.elsewhere", mirror.config_path, mirror.host, f"127.0.0.1:{mirror.port}", "oxbow install containerd",
                   arguments=("--only", "runtime", "--root", root))
        # What it says to do helps.
        run([binary(), "install", "containerd", "--config", mirror.config_path, "--root", root])
        self.assertEqual(doctor(mirror.config_path, "--only", "runtime", "--root", root)[0], 0)

    def test_containerd_is_not_pointed_here(self):
        mirror = self.a_mirror()
        mirror.write_config()
        root = self.a_node(mirror, installed=False)
        self.fails("runtime.not_pointed", mirror.config_path, "oxbow install containerd", arguments=("--only", "runtime", "--root", root))

    def test_arguments(self):
        mirror = self.a_mirror()
        mirror.write_config()
        for wrong in (["--only", "nonsense"], ["--root", "relative"], ["--set", "nonsense"]):
            self.assertEqual(doctor(mirror.config_path, *wrong)[0], 2, wrong)
        code, found, said = doctor(mirror.config_path, "--only", "kernel")
        self.assertEqual(code, 0, said)
        self.assertTrue(all(name.startswith("kernel.") for name in found), said)


class Upstream(DoctorCase):
    def test_the_registry_is_down(self):
        mirror = self.a_mirror(registry={"upstreams": [f"http://127.0.0.1:{free_port()}"]})
        mirror.write_config()
        self.fails("upstream.unreached", mirror.config_path, "registry.test", "no connection", arguments=("--only", "upstream"))

    def test_its_name_is_unknown(self):
        mirror = self.a_mirror(registry={"upstreams": ["http://no-such-host.invalid"]})
        mirror.write_config()
        self.fails("upstream.unreached", mirror.config_path, "getent hosts no-such-host.invalid", arguments=("--only", "upstream"))

    def test_its_certificate_is_not_trusted(self):
        ca = os.path.join(self.own_folder(), "ca")
        run([binary(), "ca", "create", ca])
        run([binary(), "ca", "issue", ca, "registry.test", "--ip", "127.0.0.1"])
        secure = self.start(Registry(self.own_folder(), tls=(f"{ca}/registry.test.crt", f"{ca}/registry.test.key")))
        mirror = self.a_mirror(registry={"upstreams": [secure.url]})
        mirror.write_config()
        self.fails("upstream.unreached", mirror.config_path, "TLS", "ca = ", arguments=("--only", "upstream"))
        mirror.registries[0]["ca"] = f"{ca}/ca.crt"
        mirror.write_config()
        code, found, said = doctor(mirror.config_path, "--only", "upstream")
        self.assertEqual(code, 0, said)

    def test_wrong_credentials_and_right_ones(self):
        clients.need("htpasswd")
        folder = self.own_folder()
        private = self.start(Registry(folder, htpasswd={"robot": "right"}))
        password = os.path.join(folder, "password")
        mirror = self.a_mirror(registry={"upstreams": [private.url], "credentials": "node",
                                         "credential_source": {"username": "robot", "password_file": password}})
        mirror.write_config()
        self.fails("upstream.credentials_source", mirror.config_path, password, arguments=("--only", "upstream"))
        with open(password, "w") as out:
            out.write("wr0ng-passw0rd\n")
        self.fails("upstream.refused", mirror.config_path, "refuses", password, arguments=("--only", "upstream"))
        self.assertNotIn("wr0ng-passw0rd", doctor(mirror.config_path)[2])
        with open(password, "w") as out:
            out.write("right\n")
        code, found, said = doctor(mirror.config_path, "--only", "upstream")
        self.assertEqual(code, 0, said)
        self.assertIn("takes the node's credentials", found["upstream.reached"][0]["text"])


    def test_its_certificate_ends_soon(self):
        ca = os.path.join(self.own_folder(), "ca")
        run([binary(), "ca", "create", ca])
        run([binary(), "ca", "issue", ca, "registry.test", "--ip", "127.0.0.1", "--days", "5"])
        secure = self.start(Registry(self.own_folder(), tls=(f"{ca}/registry.test.crt", f"{ca}/registry.test.key")))
        mirror = self.a_mirror(registry={"upstreams": [secure.url], "ca": f"{ca}/ca.crt"})
        mirror.write_config()
        code, found, said = doctor(mirror.config_path, "--only", "upstream")
        self.assertEqual(code, 0, said)
        self.assertIn("expires in", found["upstream.certificate"][0]["text"])

    def test_a_token_service(self):
        folder = self.own_folder()
        tokens = self.start(TokenServer(folder, users={"robot": "right"}, rights={"robot": {"*": {"pull"}}}))
        private = self.start(Registry(folder, token=tokens))
        password = os.path.join(folder, "password")
        with open(password, "w") as out:
            out.write("wr0ng-passw0rd")
        mirror = self.a_mirror(registry={"upstreams": [private.url], "credentials": "node",
                                         "credential_source": {"username": "robot", "password_file": password}})
        mirror.write_config()
        self.fails("upstream.refused", mirror.config_path, "refuses", arguments=("--only", "upstream"))
        with open(password, "w") as out:
            out.write("right")
        code, found, said = doctor(mirror.config_path, "--only", "upstream")
        self.assertEqual(code, 0, said)
        self.assertIn("takes the node's credentials", found["upstream.reached"][0]["text"])
        tokens.stop()
        self.fails("upstream.token", mirror.config_path, tokens.realm.split("/")[2], arguments=("--only", "upstream"))


class Peers(DoctorCase):
    @classmethod
    def set_up_parts(cls):
        super().set_up_parts()
        cls.ca = os.path.join(cls.folder, "ca")
        run([binary(), "ca", "create", cls.ca])
        for node in ("node-1", "node-2"):
            run([binary(), "ca", "issue", cls.ca, node, "--ip", "127.0.0.1"])

    def files(self, node, folder=None):
        folder = folder or self.ca
        return {"ca": f"{self.ca}/ca.crt", "certificate": f"{folder}/{node}.crt", "key": f"{folder}/{node}.key"}

    def a_pair(self):
        ports = [free_port(), free_port()]
        everybody = [f"127.0.0.1:{port}" for port in ports]
        return [self.a_mirror(peer={"name": f"node-{i + 1}", "listen": everybody[i], "tls": self.files(f"node-{i + 1}")},
                              membership={"peers": everybody}) for i in range(2)]

    def test_two_that_are_well(self):
        one, two = self.a_pair()
        self.start(one)
        self.start(two)
        known = lambda: doctor(one.config_path, "--only", "peers")[1].get("peers.reached")
        wait_until(known, 30, "peers that answer")
        code, found, said = doctor(one.config_path, "--only", "peers", "--only", "certificates")
        self.assertEqual(code, 0, said)
        self.assertIn("1 of 1 peers", found["peers.reached"][0]["text"])
        self.assertNotIn("certificates.open_key", found)

        with self.subTest("the file was changed and not reloaded"):
            one.sections["routing"] = {"replicas": 5}
            one.write_config()
            code, found, said = doctor(one.config_path, "--only", "config")
            self.assertEqual(code, 0, said)
            self.assertIn("replicas", found["config.differs"][0]["text"])

        with self.subTest("it has other settings"):
            one.restart()
            wait_until(known, 30, "peers that answer")
            code, found, said = doctor(one.config_path, "--only", "peers")
            self.assertEqual(code, 0, said)
            self.assertIn("routing.replicas is 3 there, 5 here", found["peers.differ"][0]["text"])

        with self.subTest("it is gone"):
            two.stop()
            self.fails("peers.unreached", one.config_path, two.sections["peer"]["listen"], "no connection", arguments=("--only", "peers"))

    def test_a_peer_of_another_ca(self):
        one, two = self.a_pair()
        other = self.own_folder()
        run([binary(), "ca", "create", other])
        run([binary(), "ca", "issue", other, "node-2"])
        two.sections["peer"]["tls"] = {"ca": f"{other}/ca.crt", "certificate": f"{other}/node-2.crt", "key": f"{other}/node-2.key"}
        self.start(two)
        one.write_config()
        self.fails("peers.unreached", one.config_path, "TLS", "--only certificates", arguments=("--only", "peers"))

    def test_certificates_that_are_wrong(self):
        one, _ = self.a_pair()
        only = ("--only", "certificates")
        with self.subTest("another node's"):
            one.sections["peer"]["tls"] = self.files("node-2")
            one.write_config()
            self.fails("certificates.name", one.config_path, "node-1", "node-2", arguments=only)
        with self.subTest("a key that does not fit"):
            one.sections["peer"]["tls"] = {**self.files("node-1"), "key": f"{self.ca}/node-2.key"}
            one.write_config()
            self.fails("certificates.mismatch", one.config_path, "node-2.key", arguments=only)
        with self.subTest("of another CA"):
            other = self.own_folder()
            run([binary(), "ca", "create", other])
            run([binary(), "ca", "issue", other, "node-1"])
            one.sections["peer"]["tls"] = self.files("node-1", other)
            one.write_config()
            self.fails("certificates.chain", one.config_path, f"{self.ca}/ca.crt", arguments=only)
        with self.subTest("missing"):
            one.sections["peer"]["tls"] = self.files("node-9")
            one.write_config()
            self.fails("certificates.missing", one.config_path, "node-9.crt", arguments=only)

    def test_an_expired_certificate(self):
        clients.need("openssl")
        one, _ = self.a_pair()
        out = self.own_folder()
        with open(f"{out}/extensions", "w") as extensions:
            extensions.write("subjectAltName=DNS:node-1\n")
        run(["openssl", "req", "-new", "-key", f"{self.ca}/node-1.key", "-subj", "/CN=node-1", "-out", f"{out}/csr"])
        run(["openssl", "x509", "-req", "-in", f"{out}/csr", "-CA", f"{self.ca}/ca.crt", "-CAkey", f"{self.ca}/ca.key", "-days", "-1",
             "-extfile", f"{out}/extensions", "-out", f"{out}/node-1.crt"])
        one.sections["peer"]["tls"] = {**self.files("node-1"), "certificate": f"{out}/node-1.crt"}
        one.write_config()
        self.fails("certificates.expired", one.config_path, "oxbow ca renew", arguments=("--only", "certificates"))

    def test_a_revoked_certificate(self):
        one, _ = self.a_pair()
        folder = self.own_folder()
        shutil.copytree(self.ca, f"{folder}/ca")
        run([binary(), "ca", "revoke", f"{folder}/ca", "node-1"])
        one.sections["peer"]["revoked_file"] = f"{folder}/ca/revoked.json"
        one.write_config()
        self.fails("certificates.revoked", one.config_path, "oxbow ca readmit", arguments=("--only", "certificates"))
