"""The dashboard and the alert rules name only metrics that the daemon has, with labels that it has."""

import json
import os
import re
import shutil

from oxtest.case import Case, FaultyRegistry, Mirror, test_image
from oxtest.mirror import ROOT
from oxtest.process import free_port, run, wait_until

MONITORING = os.path.join(ROOT, "packaging", "monitoring")
# The parts that PromQL adds to the name of a histogram.
_SERIES = re.compile(r"\boxbow_\w+")
_MATCHERS = re.compile(r"(oxbow_\w+)\{([^}]*)\}")
_BY_THE_SCRAPER = {"instance", "job"}


def dashboard_expressions():
    with open(os.path.join(MONITORING, "grafana-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def alert_expressions():
    with open(os.path.join(MONITORING, "alerts.yml"), encoding="utf-8") as file:
        text = file.read()
    return re.findall(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", text, re.M)


class Monitoring(Case):
    @classmethod
    def set_up_parts(cls):
        # Peers from a file, of which one is there: what a daemon alone would not count.
        members = os.path.join(cls.own_folder(), "peers")
        peers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        with open(members, "w", encoding="utf-8") as out:
            out.write("\n".join(peers) + "\n")
        cls.upstream_part = cls.start_shared(FaultyRegistry())
        registry = {"name": "registry.test", "upstreams": [cls.upstream_part.url]}
        cls.mirrors = [cls.start_shared(Mirror(cls.own_folder(), [registry], client={"default_registry": "registry.test"},
                                               peer={"name": f"node-{i}", "listen": address, "tls.insecure": True},
                                               membership={"provider": "file", "path": members}))
                       for i, address in enumerate(peers)]
        data = test_image.noise(2 << 20, "monitoring")
        digest = cls.upstream_part.add_blob(data)
        wait_until(lambda: cls.mirrors[0].metric("oxbow_peers", state="eligible") == 1, 30, "the peers to know each other")
        assert cls.mirrors[0].get(f"/v2/team/app/blobs/{digest}").body == data
        exposition = cls.mirrors[0].fetch(cls.mirrors[0].admin_url + "/metrics").body.decode()
        cls.series = {}
        for line in exposition.splitlines():
            if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
                cls.series.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))

    def check(self, expressions):
        self.assertGreater(len(expressions), 10)
        for expression in expressions:
            for name in _SERIES.findall(expression):
                self.assertIn(name, self.series, expression)
            for name, matchers in _MATCHERS.findall(expression):
                for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
                    self.assertTrue(label in self.series[name] or label in _BY_THE_SCRAPER, f"{label}: {expression}")
            known = set().union(*(self.series[name] for name in _SERIES.findall(expression) or ["oxbow_build_info"]))
            for labels in re.findall(r"\bby \(([^)]*)\)", expression):
                for label in re.split(r",\s*", labels):
                    self.assertIn(label, known | _BY_THE_SCRAPER | {"le"}, expression)

    def test_every_metric_of_the_dashboard_exists(self):
        self.check(dashboard_expressions())

    def test_every_metric_of_the_alerts_exists(self):
        self.check(["".join(parts) for parts in alert_expressions()])

    def test_the_panels_have_titles_places_and_one_data_source(self):
        with open(os.path.join(MONITORING, "grafana-dashboard.json"), encoding="utf-8") as file:
            dashboard = json.load(file)
        taken = set()
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells
            self.assertTrue(panel["title"])
            for target in panel.get("targets", []):
                self.assertEqual(target["datasource"]["uid"], "${datasource}")

    def test_prometheus_takes_the_rules_and_they_fire_when_they_should(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool (package prometheus) is not on this machine")
        run(["promtool", "check", "rules", os.path.join(MONITORING, "alerts.yml")])
        run(["promtool", "test", "rules", os.path.join(ROOT, "tests", "packaging", "alerts_test.yml")])
        metrics = self.mirrors[0].fetch(self.mirrors[0].admin_url + "/metrics").body.decode()
        path = os.path.join(self.own_folder(), "metrics")
        with open(path, "w", encoding="utf-8") as out:
            out.write(metrics)
        run(["sh", "-c", f"promtool check metrics <{path}"])
