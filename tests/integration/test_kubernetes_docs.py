"""The commands of docs/kubernetes.md that need no cluster, one after the other, with its values.yaml; and what they render."""

import os
import re
import subprocess

from oxtest import clients, kube_objects
from oxtest.chart import ChartCase, yaml
from oxtest.mirror import ROOT, binary

PAGE = os.path.join(ROOT, "docs", "kubernetes.md")


class KubernetesDocs(ChartCase):
    @classmethod
    def set_up_parts(cls):
        super().set_up_parts()
        if os.geteuid() != 0:
            raise clients.Missing("root, who gives files to other groups")

    def test_every_command_of_the_page_works(self):
        folder = self.own_folder()
        os.makedirs(f"{folder}/bin")
        os.symlink(self.helm, f"{folder}/bin/helm")
        os.symlink(binary(), f"{folder}/bin/oxbow")
        os.symlink(os.path.join(ROOT, "packaging"), f"{folder}/packaging")
        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        for text in re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", page, re.M | re.S):
            with open(os.path.join(folder, text[0]), "w", encoding="utf-8") as out:
                out.write(text[1])
        commands = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
        self.assertGreater(len(commands), 5)
        rendered = 0
        for command in commands:
            with self.subTest(command):
                done = subprocess.run(["bash", "-ec", command.replace("/root/", folder + "/")], cwd=folder, timeout=120, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={**os.environ, **self.environment, "PATH": f"{folder}/bin:{os.environ['PATH']}"})
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                if "helm template" not in command:
                    continue
                rendered += 1
                objects = [made for made in yaml.safe_load_all(done.stdout[done.stdout.index("---"):]) if made]
                self.assertEqual(list(kube_objects.complaints(objects)), [])
                hooks = [made for made in objects if "helm.sh/hook" in made["metadata"].get("annotations", {})]
                self.assertEqual(bool(hooks), not re.search("--no-hooks|action=uninstall", command))
        self.assertGreater(rendered, 4)

    def test_what_the_page_says_of_rights_is_what_is_rendered(self):
        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        spec = self.pod_spec(self.render({}))
        for container in spec["initContainers"] + spec["containers"]:
            row = re.search(rf"^\| `{container['name']}`.*$", page, re.M)[0]
            user, _, _ = row.split("|")[2:5]
            self.assertEqual(set(re.findall("`([A-Z_]+)`", user)), set(container["securityContext"]["capabilities"].get("add", [])))
            self.assertIn("root" if container["securityContext"]["runAsUser"] == 0 else "65532", user)
        for mode in ("generate", "secret", "cert-manager", "host", "insecure"):
            self.assertRegex(page, rf"\n\| `{mode}` \|")
        for path in re.findall(r"`([a-z]+\.[A-Za-z]+)(?:=[^`]*)?`", page):
            if path.split(".")[0] in ("certificates", "runtime", "cleanup", "metrics", "peers", "image") and path != "peers.md":
                self.assertIn(f"`{path}`", self.readme(), f"{path} is no value")

    def readme(self):
        with open(os.path.join(ROOT, "packaging", "helm", "oxbow", "README.md"), encoding="utf-8") as file:
            return file.read()
