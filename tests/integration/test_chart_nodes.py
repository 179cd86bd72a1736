"""The Helm chart on nodes that are folders: its containers are run as they are rendered, from the init containers of two nodes that
become peers to the cleanup after `helm uninstall`."""

import base64
import os
import re

from oxtest import clients, pod
from oxtest.chart import ChartCase
from oxtest.http import fetch
from oxtest.kube import KubeApi
from oxtest.mirror import binary
from oxtest.process import free_port, run, tail, wait_until


class ChartOnNodes(ChartCase):
    """The containers as they are rendered, with their users, capabilities and mounts, on nodes that are folders."""

    @classmethod
    def set_up_parts(cls):
        if why := pod.missing():
            raise clients.Missing(why)
        super().set_up_parts()

    CONTAINERD = ('version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n')

    def a_node(self):
        folder = self.own_folder()
        os.makedirs(f"{folder}/etc/containerd/certs.d/docker.io")
        with open(f"{folder}/etc/containerd/config.toml", "w") as out:
            out.write(self.CONTAINERD)
        with open(f"{folder}/etc/containerd/certs.d/docker.io/hosts.toml", "w") as out:
            out.write('# by somebody else\nserver = "https://registry-1.docker.io"\n')
        return folder

    @staticmethod
    def content(folder, part="etc"):
        found = {}
        for base, _, names in os.walk(os.path.join(folder, part)):
            for name in names:
                with open(os.path.join(base, name), "rb") as file:
                    found[os.path.relpath(os.path.join(base, name), folder)] = file.read()
        return found

    def a_pod(self, node, objects, kube, name, address, daemonset="oxbow"):
        environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(kube.port)} if kube else {}
        return pod.Pod(os.path.join(self.own_folder(), "pod"), node, self.pod_spec(objects, daemonset), objects,
                       {"spec.nodeName": name, "status.podIP": address}, kube.account if kube else None, environment)

    def start_pod(self, made, admin):
        process = made.process("oxbow")
        self.addCleanup(process.stop)
        probe = made.container("oxbow")["readinessProbe"]["httpGet"]
        self.assertEqual((probe["host"], probe["port"]), ("127.0.0.1", admin))

        def ready():
            try:
                return fetch(f"http://{probe['host']}:{probe['port']}{probe['path']}").status == 200
            except OSError:
                return False

        process.start(ready=ready, timeout_s=60)
        return process

    def values_of(self, upstream, peers, client, admin):
        return {"ports": {"client": client, "peers": peers, "admin": admin},
                "config": {"client": {"default_registry": "registry.test"}, "storage": {"budget": "1GiB", "free_space_floor": "1%"}},
                "registries": [{"name": "registry.test", "upstreams": [upstream.url]}]}

    def test_two_nodes_from_init_to_uninstall(self):
        upstream = self.upstream()
        peers = free_port()
        kube = KubeApi(self.own_folder()).start()
        self.addCleanup(kube.stop)
        kube.put_slice("oxbow-1", {"node-1.corp": "127.0.0.1", "node-2.corp": "127.0.0.2"}, peers)
        ca, nodes = None, []
        for name, address in (("node-1.corp", "127.0.0.1"), ("node-2.corp", "127.0.0.2")):
            client, admin = free_port(), free_port()
            objects = self.render(self.values_of(upstream, peers, client, admin))
            ca = ca or objects["Secret", "oxbow-ca"]
            objects["Secret", "oxbow-ca"] = ca
            node = self.a_node()
            before = self.content(node)
            made = self.a_pod(node, objects, kube, name, address)
            said = made.run_init()
            self.assertIn("hosts.toml", said["runtime"])
            with open(f"{node}/etc/containerd/certs.d/docker.io/hosts.toml") as file:
                self.assertIn(f'[host."http://127.0.0.1:{client}"]', file.read())
            installed = self.content(node)
            made.run_init()  # as when the node was restarted
            self.assertEqual(self.content(node), installed)
            for owned in ("var/lib/oxbow", "run/oxbow"):
                about = os.stat(f"{node}/{owned}")
                self.assertEqual((about.st_uid, about.st_gid, about.st_mode & 0o7777), (65532, 65532, 0o750))
            process = self.start_pod(made, admin)
            self.assertEqual(os.stat(f"/proc/{process.pid}").st_uid, 65532)
            with open(f"/proc/{process.pid}/status") as file:
                status = file.read()
            self.assertRegex(status, r"CapBnd:\s0+\n")
            nodes.append((node, before, objects, client, admin, process))

        def peers_of(admin):
            text = fetch(f"http://127.0.0.1:{admin}/metrics").body.decode()
            found = re.search(r'oxbow_peers\{[^}]*state="eligible"[^}]*\} (\d+)', text)
            return found and int(found[1])

        for _, _, _, _, admin, _ in nodes:
            wait_until(lambda admin=admin: peers_of(admin) == 1, 60, "one peer")

        def from_a_peer():
            """A new blob, through the first node, then through the second: a busy machine may make that one go upstream itself."""
            data = os.urandom(1 << 20)
            path = f"/v2/team/app/blobs/{upstream.add_blob(data)}?ns=registry.test"
            for _, _, _, client, _, _ in nodes:
                self.assert_whole(fetch(f"http://127.0.0.1:{client}{path}"), data)
            text = fetch(f"http://127.0.0.1:{nodes[1][4]}/metrics").body.decode()
            return float(re.search(r'oxbow_client_bytes_total\{[^}]*source="peer"[^}]*\} (\S+)', text)[1]) > 0

        try:
            wait_until(from_a_peer, 120, "bytes from a peer")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *(tail(process.log_path, 60) for *_, process in nodes)])) from None

        for node, before, objects, _, _, process in nodes:
            self.assertEqual(process.stop(60), 0)
            cleanup = self.a_pod(node, objects, None, "n", "127.0.0.1", "oxbow-cleanup")
            self.assertIn("hosts.toml", cleanup.run_init()["runtime"])
            self.assertEqual(self.content(node), before)
            cleanup.run_init()  # once more does nothing
            self.assertEqual(self.content(node), before)

    def test_a_runtime_that_reads_no_hosts_toml_stops_the_pod_with_what_to_do(self):
        node = self.a_node()
        with open(f"{node}/etc/containerd/config.toml", "w") as out:
            out.write("version = 2\n")
        before = self.content(node)
        made = self.a_pod(node, self.render({"certificates": {"mode": "insecure"}}), None, "node-1", "127.0.0.1")
        self.assertEqual(made.run_to_end("prepare")[0], 0)
        code, said = made.run_to_end("runtime")
        self.assertEqual(code, 1)
        self.assertIn('config_path = "/etc/containerd/certs.d"', said)
        self.assertEqual(self.content(node), before)
        allowed = self.a_pod(node, self.render({"certificates": {"mode": "insecure"}, "runtime": {"setConfigPath": True}}), None, "node-1",
                             "127.0.0.1")
        self.assertEqual(allowed.run_to_end("runtime")[0], 0)
        taken_back = self.a_pod(node, self.render({"certificates": {"mode": "insecure"}, "runtime": {"action": "uninstall"}}), None,
                                "node-1", "127.0.0.1")
        self.assertEqual(taken_back.run_to_end("runtime")[0], 0)
        self.assertEqual(self.content(node), before)

    def test_a_ca_of_ones_own_and_that_of_cert_manager_are_taken(self):
        folder = self.own_folder()
        run([binary(), "ca", "create", f"{folder}/ca"])
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{folder}/tls.key"])
        run(["openssl", "req", "-x509", "-new", "-key", f"{folder}/tls.key", "-subj", "/CN=oxbow cluster", "-days", "30", "-out",
             f"{folder}/tls.crt"])
        for name, secret, files in (("secret", "my-ca", ("ca/ca.crt", "ca/ca.key")), ("cert-manager", "oxbow-ca", ("tls.crt", "tls.key"))):
            with self.subTest(name):
                objects = self.render({"certificates": {"mode": name, "secretName": secret}})
                data = {}
                for file in files:
                    with open(f"{folder}/{file}", "rb") as source:
                        data[os.path.basename(file)] = base64.b64encode(source.read()).decode()
                objects["Secret", secret] = {"data": data}
                made = self.a_pod(self.a_node(), objects, None, "node-3", "127.0.0.1")
                made.run_init()
                tls = made.source("tls")
                run(["openssl", "verify", "-CAfile", f"{tls}/ca.crt", f"{tls}/node-3.crt"])
                self.assertEqual(os.stat(f"{tls}/node-3.key").st_uid, 65532)
                self.assertEqual(os.stat(f"{tls}/node-3.key").st_mode & 0o777, 0o600)
