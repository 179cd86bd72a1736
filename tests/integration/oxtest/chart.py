"""The Helm chart, rendered by helm into objects that an API server would take."""

import json
import os
import shutil

from . import clients, kube_objects
from .case import Case
from .mirror import ROOT
from .process import run

try:
    import yaml
except ImportError:
    yaml = None

CHART = os.path.join(ROOT, "packaging", "helm", "oxbow")
IMAGE = "registry.corp/oxbow"


class ChartCase(Case):
    @classmethod
    def set_up_parts(cls):
        if yaml is None:
            raise clients.Missing("Python's yaml is not installed (python3-yaml)")
        cls.helm = os.path.join(clients.go_tool([clients.HELM], variables=clients.HELM_VARIABLES), "helm")
        cls.environment = {name: os.path.join(cls.folder, "helm") for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}

    def values_file(self, values):
        path = os.path.join(self.own_folder(), "values.yaml")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({**values, "image": {"repository": IMAGE, **values.get("image", {})}}, out)  # JSON is YAML
        return path

    def run_helm(self, *arguments, check=True):
        return run([self.helm, *arguments], env=self.environment, check=check)

    def template(self, values, release="oxbow", check=True, chart=CHART):
        return self.run_helm("template", release, chart, "--namespace", "infra", "--values", self.values_file(values), check=check)

    def notes(self, values):
        """NOTES.txt, which helm renders to the end only where there is a cluster: as a value of another template."""
        chart = os.path.join(self.own_folder(), "oxbow")
        shutil.copytree(CHART, chart)
        with open(os.path.join(chart, "templates", "notes.yaml"), "w", encoding="utf-8") as out:
            out.write('kind: Notes\ntext: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}\n')
        objects = yaml.safe_load_all(self.template(values, chart=chart)[1])
        return next(made["text"] for made in objects if made and made["kind"] == "Notes")

    def render(self, values, **options):
        """(kind, name): object, in the order of the output."""
        objects = [made for made in yaml.safe_load_all(self.template(values, **options)[1]) if made]
        self.assertEqual(list(kube_objects.complaints(objects)), [])
        return {(made["kind"], made["metadata"]["name"]): made for made in objects}

    def pod_spec(self, objects, name="oxbow"):
        return objects["DaemonSet", name]["spec"]["template"]["spec"]

    def container(self, objects, container="oxbow", name="oxbow"):
        spec = self.pod_spec(objects, name)
        found = [one for one in spec["initContainers"] + spec["containers"] if one["name"] == container]
        return found[0] if found else None
