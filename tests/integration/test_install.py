"""oxbow install and uninstall with the real containerd and podman: the files that they write are read by the runtimes, a pull
goes through the mirror, and past it when it is stopped; a second run changes nothing; uninstall restores every byte."""

import json
import os
import socket
import subprocess

from oxtest import clients
from oxtest.case import Case, Mirror, Registry, image
from oxtest.mirror import ROOT, binary
from oxtest.process import free_port, run


def tree(folder, *parts):
    """Every path below these parts of a folder: its content, mode, and the time at which it was written."""
    found = {}
    for part in parts:
        for base, folders, names in os.walk(os.path.join(folder, part)):
            for name in folders + names:
                path = os.path.join(base, name)
                about = os.lstat(path)
                if not os.path.isdir(path):
                    with open(path, "rb") as file:
                        found[path] = (about.st_mode, about.st_mtime_ns, file.read())
                else:
                    found[path] = (about.st_mode, 0, b"")
    return found


def content(snapshot):
    return {path: (mode, data) for path, (mode, _, data) in snapshot.items()}


def own_address():
    """An address of this machine that is not loopback, for which clients expect TLS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            raise clients.Missing("an address other than loopback") from None
        return probe.getsockname()[0]


class InstallCase(Case):
    """The registry is one of this machine, to which clients talk plaintext when the mirror cannot help."""

    @classmethod
    def set_up_parts(cls):
        cls.need_clients()
        cls.image = image(big=4 << 20, index=True, seed=5)
        cls.registry = cls.start_shared(Registry(cls.folder))
        cls.registry.push_image("app/web", "1", cls.image)
        cls.reference = f"{cls.registry.host}/app/web:1"

    @classmethod
    def need_clients(cls):
        pass

    def oxbow(self, *arguments):
        done = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def must(self, *arguments):
        code, said = self.oxbow(*arguments)
        self.assertEqual(code, 0, said)
        return said

    def a_mirror(self, **registry):
        registry = {"name": self.registry.host, "upstreams": [self.registry.url], **registry}
        return self.start(Mirror(self.own_folder(), [registry], client={"default_registry": "", "builtin_registries": False}))

    def served(self, mirror):
        return sum(mirror.metric("oxbow_client_bytes_total", source=source) for source in ("upstream", "storage"))


class Containerd1(InstallCase):
    programs = ""

    @classmethod
    def need_clients(cls):
        clients.need("containerd")

    def a_containerd(self):
        return self.start(clients.Containerd(self.own_folder(), self.programs))

    def how(self, node):
        return ("--root", node.folder, "--config-path", "/certs.d", "--containerd-config", "/config.toml", "--state-dir", "/oxbow")

    def whole_pull(self, node, reference, *how):
        node.pull(reference, *how)
        self.assertTrue(set(self.image.layers) <= set(node.content()))
        node.remove(reference)

    def test_install_pull_stop_pull_uninstall_pull(self):
        node, mirror = self.a_containerd(), self.a_mirror()
        os.makedirs(f"{node.hosts}/other.test")
        with open(f"{node.hosts}/other.test/hosts.toml", "w") as out:
            out.write('# by somebody else\nserver = "https://other.test"\n')
        before = tree(node.folder, "certs.d")

        said = self.must("install", "containerd", "--config", mirror.config_path, *self.how(node), "--dry-run")
        self.assertIn("would create", said)
        self.assertIn('+ [host."' + mirror.url, said)
        self.assertEqual(tree(node.folder, "certs.d", "oxbow"), before)

        self.must("install", "containerd", "--config", mirror.config_path, *self.how(node))
        installed = tree(node.folder, "certs.d", "oxbow")
        self.assertIn("nothing to change", self.must("install", "containerd", "--config", mirror.config_path, *self.how(node)))
        self.assertEqual(tree(node.folder, "certs.d", "oxbow"), installed, "the second run wrote something")

        self.whole_pull(node, self.reference)
        through = self.served(mirror)
        self.assertGreater(through, 4 << 20)
        mirror.stop()
        self.whole_pull(node, self.reference)

        self.must("uninstall", "containerd", "--root", node.folder, "--state-dir", "/oxbow")
        self.assertEqual(tree(node.folder, "certs.d", "oxbow"), before)
        self.whole_pull(node, self.reference)

    def test_other_hosts_and_comments_stay(self):
        node, mirror = self.a_containerd(), self.a_mirror()
        folder = f"{node.hosts}/{self.registry.host}"
        os.makedirs(folder)
        dead = f"http://127.0.0.1:{free_port()}"
        text = f'server = "{self.registry.url}"  # the registry itself\n\n# the mirror of the site\n[host."{dead}"]\n  capabilities = ["pull"]'
        with open(f"{folder}/hosts.toml", "w") as out:
            out.write(text)
        os.chmod(f"{folder}/hosts.toml", 0o640)
        before = content(tree(node.folder, "certs.d"))
        self.must("install", "containerd", "--config", mirror.config_path, *self.how(node))
        with open(f"{folder}/hosts.toml") as now:
            now = now.read()
        self.assertLess(now.index(mirror.url), now.index("# the mirror of the site"))
        self.whole_pull(node, self.reference)
        self.assertGreater(self.served(mirror), 4 << 20)
        mirror.stop()
        self.whole_pull(node, self.reference)
        # Somebody adds a host meanwhile: it stays, ours goes.
        with open(f"{folder}/hosts.toml", "a") as out:
            out.write('\n[host."https://later.test"]\n')
        self.assertIn("taken out", self.must("uninstall", "containerd", "--root", node.folder, "--state-dir", "/oxbow"))
        with open(f"{folder}/hosts.toml") as now:
            self.assertEqual(now.read(), text + '\n[host."https://later.test"]\n')
        with open(f"{folder}/hosts.toml", "w") as out:
            out.write(text)
        self.assertEqual(content(tree(node.folder, "certs.d")), before)

    # containerd looks for the certificates of a directory only where there is no hosts.toml.
    def test_certificates_beside_it_go_on_to_be_used(self):
        node, folder = self.a_containerd(), self.own_folder()
        self.must("ca", "create", f"{folder}/ca")
        self.must("ca", "issue", f"{folder}/ca", "node", "--ip", own_address(), "--out", folder)
        port, address = free_port(), own_address()
        secure = self.start(Mirror(folder, [{"name": "registry.test", "upstreams": [self.registry.url]}], ports=(port, free_port()),
                                   client={"listen": [f"{address}:{port}"]}, tls=(f"{folder}/node.crt", f"{folder}/node.key")))
        secure.host = f"{address}:{port}"
        reference = f"{secure.host}/registry.test/app/web:1"
        certs = f"{node.hosts}/{secure.host}"
        os.makedirs(certs)
        os.rename(f"{folder}/ca.crt", f"{certs}/site.crt")
        self.whole_pull(node, reference)
        before = tree(node.folder, "certs.d")
        gone = Mirror(self.own_folder(), [{"name": secure.host, "upstreams": ["https://" + secure.host]}])
        gone.write_config()
        self.must("install", "containerd", "--config", gone.config_path, "--registry", secure.host, *self.how(node))
        self.whole_pull(node, reference)
        self.must("uninstall", "containerd", "--root", node.folder, "--state-dir", "/oxbow")
        self.assertEqual(tree(node.folder, "certs.d"), before)

    # The program that reads the changed configuration says what it understands.
    def test_containerd_reads_the_config_path_that_was_set(self):
        program = clients.Containerd(self.own_folder(), self.programs).program
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        for name, text in {"none": None, "default": run([program, "config", "default"])[1],
                           "short": f'version = 2\n[{cri}]\n  sandbox_image = "pause"',
                           "empty": f'version = 2\n[{cri}.registry]\n  config_path = ""  # none\n[{cri}.registry.headers]\n',
                           "list": f'version = 2\n[{cri}.registry]\n  config_path = "/a:/b"\n  # the end\n'}.items():
            with self.subTest(name):
                root = self.own_folder()
                os.makedirs(f"{root}/etc/containerd")
                if text:
                    with open(f"{root}/etc/containerd/config.toml", "w") as out:
                        out.write(text)
                before = content(tree(root, "etc"))
                code, said = self.oxbow("install", "containerd", "--root", root, "--registry", "docker.io")
                if name == "list":
                    self.assertEqual(code, 0, said)
                    self.assertIn('warning: config_path in /etc/containerd/config.toml is a list, "/a:/b"', said)
                    self.must("uninstall", "containerd", "--root", root)
                else:
                    self.assertEqual(code, 1, said)
                    self.assertIn('config_path = "/etc/containerd/certs.d"', said)
                self.assertEqual(content(tree(root, "etc")), before)
                self.must("install", "containerd", "--root", root, "--registry", "docker.io", "--set-config-path")
                dump = run([program, "--config", f"{root}/etc/containerd/config.toml", "config", "dump"])[1]
                self.assertRegex(dump, "config_path = ['\"](/etc/containerd/certs.d|/a)['\"]")
                self.must("install", "containerd", "--root", root, "--registry", "docker.io")
                self.assertIn("restart containerd", self.must("uninstall", "containerd", "--root", root))
                self.assertEqual(content(tree(root, "etc")), before)


class Containerd2(Containerd1):
    """The same with a containerd 2.x."""

    @classmethod
    def need_clients(cls):
        cls.programs = clients.go_tool(clients.CONTAINERD2, clients.CONTAINERD2_TAGS)


class Podman(InstallCase):
    @classmethod
    def need_clients(cls):
        clients.need("podman")

    def conf(self, root, name, text):
        path = os.path.join(root, "etc/containers", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)

    def a_podman(self, root):
        """Reads the files below `root` as it would read those of /etc."""
        podman = clients.Containers(self.own_folder())
        podman.env.update({"CONTAINERS_REGISTRIES_CONF": f"{root}/etc/containers/registries.conf",
                           "REGISTRIES_CONFIG_PATH": f"{root}/etc/containers/registries.conf"})
        return podman

    def pull(self, podman):
        podman.podman("pull", "-q", self.reference)
        podman.podman("rmi", "-f", self.reference)

    # podman takes the file of CONTAINERS_REGISTRIES_CONF alone, without drop-ins: the registry stands in the main file.
    def test_install_pull_stop_pull_uninstall_pull(self):
        root, mirror = self.own_folder(), self.a_mirror(aliases=["site"])
        self.conf(root, "registries.conf", 'unqualified-search-registries = ["docker.io"]\n\n[[registry]]\n'
                  f'location = "{self.registry.host}"\ninsecure = true  # plaintext\n\n# another one\n[[registry]]\nlocation = "x.test"\n')
        before = content(tree(root, "etc"))
        install = ("install", "podman", "--root", root, "--config", mirror.config_path, "--registry", self.registry.host)
        self.assertIn(f'+ location = "{mirror.host}/site"', self.must(*install, "--dry-run"))
        self.assertEqual(content(tree(root, "etc")), before)
        self.must(*install)
        installed = tree(root, "etc")
        self.assertIn("nothing to change", self.must(*install))
        self.assertEqual(tree(root, "etc"), installed)
        podman = self.a_podman(root)
        self.pull(podman)
        self.assertGreater(self.served(mirror), 4 << 20)
        mirror.stop()
        self.pull(podman)
        # CRI-O reads the same files: they stay until neither is installed.
        self.must("install", "cri-o", *install[2:])
        self.assertIn("the files stay", self.must("uninstall", "podman", "--root", root))
        self.pull(podman)
        self.must("uninstall", "cri-o", "--root", root)
        self.assertEqual(content(tree(root, "etc")), before)
        self.pull(podman)

    # The library behind podman merges drop-ins in the order of their names: what it makes of all of them is what it says.
    def test_podman_sees_the_drop_in(self):
        clients.need("unshare")
        root = self.own_folder()
        config = os.path.join(root, "oxbow.toml")
        with open(config, "w") as out:
            out.write('[[registry]]\nname = "registry.test"\nupstreams = ["https://registry.test"]\n')
        self.conf(root, "registries.conf.d/10-site.conf", '[[registry]]\nlocation = "quay.io"\n[[registry.mirror]]\nlocation = "site.test/quay"\n')
        before = content(tree(root, "etc"))
        self.must("install", "podman", "--root", root, "--config", config)
        podman = clients.Containers(self.own_folder())
        env = {name: value for name, value in podman.env.items() if "REGISTRIES" not in name}
        # A mount of our own over /etc/containers, which nobody else sees.
        script = f"mount --bind {root}/etc/containers /etc/containers && exec podman info --format json"
        try:
            said = run(["unshare", "--mount", "sh", "-c", script], env={**env, "REGISTRIES_CONFIG_PATH": ""})[1]
        except AssertionError as refused:
            if "unshare failed" in str(refused) or "permission denied" in str(refused).lower():
                raise clients.Missing("a mount namespace") from None
            raise
        registries = json.loads(said[said.index("{"):])["registries"]
        self.assertEqual([m["Location"] for m in registries["registry.test"]["Mirrors"]], ["127.0.0.1:5050/registry.test"])
        self.assertEqual([m["Location"] for m in registries["quay.io"]["Mirrors"]], ["127.0.0.1:5050/quay.io", "site.test/quay"])
        self.must("uninstall", "all", "--root", root)
        self.assertEqual(content(tree(root, "etc")), before)


class Documents(InstallCase):
    """Every command of docs/install.md, on a node with files of every runtime."""

    FILES = {
        "etc/containerd/config.toml": 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n',
        "etc/containers/registries.conf": 'unqualified-search-registries = ["docker.io"]\n',
        "etc/docker/daemon.json": '{\n  "log-driver": "journald"\n}\n',
        "etc/rancher/k3s/registries.yaml": 'mirrors:\n  docker.io:\n    endpoint:\n      - "https://site.test"\n',
    }

    @staticmethod
    def commands():
        with open(os.path.join(ROOT, "docs", "install.md")) as text:
            text = text.read()
        for block in text.split("```sh\n")[1:]:
            for line in block.split("```")[0].splitlines():
                if line.strip():
                    yield line.split("#")[0].split()

    def test_every_command_does_what_it_says(self):
        root = self.own_folder()
        for path, text in self.FILES.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w") as out:
                out.write(text)
        before = content(tree(root, ""))
        config = os.path.join(self.own_folder(), "oxbow.toml")
        with open(config, "w") as out:
            out.write('[client]\nlisten = ["127.0.0.1:5050"]\n')
        installed = 0
        for command in self.commands():
            self.assertEqual(command[0], "oxbow")
            arguments = [root if part == "/host" else part for part in command[1:]]
            arguments += [] if "--root" in arguments else ["--root", root]
            arguments += ["--config", config] if arguments[0] == "install" else []
            with self.subTest(" ".join(command)):
                self.must(*arguments)
                if "--dry-run" in arguments:
                    self.assertEqual(content(tree(root, "")), before)
                elif arguments[0] == "install":
                    installed += 1
                    self.assertNotEqual(content(tree(root, "")), before)
        self.assertEqual(content(tree(root, "")), before)
        self.assertGreaterEqual(installed, 6)

    def test_exit_codes(self):
        root = self.own_folder()
        self.assertEqual(self.oxbow("install", "containerd", "--root", root)[0], 1)
        self.assertEqual(self.oxbow("install", "rkt", "--root", root)[0], 2)
        self.assertEqual(self.oxbow("install", "podman", "--root", root, "--registry", "unknown.test")[0], 2)
        self.assertEqual(self.oxbow("install", "podman", "--root", "here")[0], 2)
        self.assertEqual(self.oxbow("install", "podman", "--root", root, "--mirror", "127.0.0.1:5050")[0], 2)
        self.assertEqual(self.oxbow("uninstall", "podman", "--root", root)[0], 0)
        self.assertEqual(tree(root, ""), {})
