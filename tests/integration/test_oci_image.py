"""The OCI image: built from the package with buildah, run with podman, pulled through."""

import os
import shutil
import subprocess

from oxtest import clients
from oxtest.case import Case, test_image
from oxtest.http import fetch
from oxtest.mirror import ROOT
from oxtest.process import free_port, run, wait_until
from test_packaging import build_package

NAME = "localhost/oxbow:test"


class OciImage(Case):
    @classmethod
    def set_up_parts(cls):
        clients.need("buildah")
        cls.containers = clients.Containers(cls.folder)
        deb = build_package(cls.folder)
        if not deb or os.geteuid() != 0:
            raise clients.Missing("not root, or no CPack")
        code, said = run([os.path.join(ROOT, "packaging/image/build.sh"), deb, NAME], check=False, env=cls.containers.env, timeout_s=400)
        if code != 0 and ("Failed to fetch" in said or "Unable to fetch" in said or "Unable to locate" in said):
            raise clients.Missing(f"Debian's packages are out of reach: {said[-200:]}")
        assert code == 0, said
        cls.said = said

    def test_it_is_small_and_says_what_is_in_it(self):
        mounted = os.path.join(self.own_folder(), "oci")
        run(["buildah", "push", "-q", NAME, f"oci:{mounted}"], env=self.containers.env, timeout_s=120)
        size = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(mounted) for name in names)
        print(f"{self.said.strip()}; {size >> 20} MiB compressed", flush=True)
        self.assertLess(size, 40 << 20)

    def test_it_serves_as_its_own_user_on_a_read_only_root(self):
        clients.need("podman")
        upstream = self.upstream()
        data = test_image.noise(3 << 20, "in a container")
        path = f"/v2/team/app/blobs/{upstream.add_blob(data)}"
        port, admin = free_port(), free_port()
        folder = self.own_folder()
        config = os.path.join(folder, "oxbow.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f'[client]\nlisten = ["127.0.0.1:{port}"]\n[admin]\nlisten = "127.0.0.1:{admin}"\n'
                      f'[[registry]]\nname = "registry.test"\nupstreams = ["{upstream.url}"]\n')
        os.chmod(config, 0o644)
        for at in (self.folder, folder):
            os.chmod(at, 0o755)
        with open(os.path.join(folder, "log"), "wb") as log:
            daemon = subprocess.Popen(
                ["podman", "--runtime=runc", "run", "--rm", "--read-only", "--network=host", "--cgroups=enabled",
                 "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--cap-drop=all", "--tmpfs=/run/oxbow:mode=1777",
                 f"--volume={config}:/etc/oxbow/oxbow.toml:ro", "--volume=store:/var/lib/oxbow", NAME],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.containers.env})
        self.addCleanup(lambda: (daemon.terminate(), daemon.wait(60)))

        def ready():
            with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
                self.assertIsNone(daemon.poll(), log.read())
            try:
                return fetch(f"http://127.0.0.1:{admin}/readyz").status == 200
            except OSError:
                return False

        wait_until(ready, 60, "the daemon in its container")
        self.assert_whole(fetch(f"http://127.0.0.1:{port}{path}?ns=registry.test"), data)
        upstream.stop()
        self.assert_whole(fetch(f"http://127.0.0.1:{port}{path}?ns=registry.test"), data)
        if shutil.which("pgrep"):
            self.assertEqual(run(["pgrep", "-u", "65532", "-x", "oxbow"], check=False)[0], 0)
