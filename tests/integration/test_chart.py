"""The Helm chart: lint, what it renders with several values, what its schema refuses, and what the daemon says to the rendered
configuration. test_chart_nodes.py runs the rendered containers."""

import json
import os
import re
import sys
import tomllib

from oxtest import pod
from oxtest.chart import CHART, ChartCase, yaml
from oxtest.mirror import ROOT, binary
from oxtest.process import run

SETS = {
    "default": {},
    "insecure": {"certificates": {"mode": "insecure"}},
    "secret": {"certificates": {"mode": "secret", "secretName": "my-ca", "days": 90}, "image": {"digest": "sha256:" + "a" * 64}},
    "cert-manager": {"certificates": {"mode": "cert-manager"}, "peers": {"readNodeLabels": False}},
    "host": {"certificates": {"mode": "host"}, "runtime": {"action": "uninstall"}},
    "alone": {"peers": {"enabled": False}, "runtime": {"action": "none"}},
    "much": {
        "fullnameOverride": "mirror", "imagePullSecrets": [{"name": "pull"}], "peers": {"ipv6": True},
        "ports": {"client": 6050, "peers": 6051, "admin": 6052},
        "metrics": {"onNodeAddress": True, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "runtime": {"name": "cri-o", "registries": ["docker.io", "quay.io"], "extraArgs": ["--dry-run"]},
        "config": {"client": {"drain_timeout": "1m"}, "storage": {"budget": "20%"}, "peer": {"weight": 2},
                   "log": {"format": "json"}, "membership": {"location_labels": ["rack"]}},
        "registries": [{"name": "registry.corp:5000", "aliases": ["corp"], "upstreams": ["https://a", "https://b/<2>&"],
                        "credentials": "node",
                        "credential_source": {"username": 'ro"bot\\', "password_file": "/etc/oxbow-secrets/password"}}],
        "extraVolumes": [{"name": "secrets", "secret": {"secretName": "registry-password"}}],
        "extraVolumeMounts": [{"name": "secrets", "mountPath": "/etc/oxbow-secrets", "readOnly": True}],
        "seccompProfile": {"type": "Unconfined"}, "seLinuxOptions": {"type": "spc_t"}, "commonLabels": {"team": "infra"},
        "podAnnotations": {"note": "x"}, "affinity": {"nodeAffinity": {}}, "updateMaxUnavailable": 3,
    },
}


def leaves(prefix, value):
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(f"{prefix}{key}.", inner)
        else:
            yield f"{prefix}{key}", inner


class Chart(ChartCase):
    # --- the files of the chart agree with each other

    def test_lint_has_nothing_to_say(self):
        for name, values in SETS.items():
            with self.subTest(name):
                said = self.run_helm("lint", "--strict", "--values", self.values_file(values), CHART)[1]
                self.assertIn("0 chart(s) failed", said)
                self.assertNotRegex(said, "WARNING|ERROR")

    def test_schema_and_table_of_values_follow_from_their_sources(self):
        self.assertEqual(run([sys.executable, os.path.join(CHART, "..", "generate.py"), "--check"], check=False), (0, ""))

    def test_every_value_is_described_and_used_and_no_other_is(self):
        with open(os.path.join(CHART, "values.yaml"), encoding="utf-8") as file:
            text = file.read()
        values = yaml.safe_load(text)
        above = ""
        for line in text.splitlines():
            # A key that only groups needs none; nor do the parts of a value that is described as a whole.
            if re.match(r"^ *[A-Za-z0-9]+: \S|^ *- ", line) and not line.startswith(("  requests", "  limits", "  type", "  - ", "  kub")):
                self.assertTrue(above.strip().startswith("#"), f"no word about: {line}")
            above = line
        used = set()
        for base, _, names in os.walk(os.path.join(CHART, "templates")):
            for name in names:
                with open(os.path.join(base, name), encoding="utf-8") as file:
                    used |= set(re.findall(r"\.Values\.([A-Za-z0-9.]*[A-Za-z0-9])", file.read()))
        for path in used:
            at = values
            for key in path.split("."):
                if path.startswith("config."):
                    break  # options of the daemon, which have no value here
                self.assertIn(key, at, f".Values.{path} is not in values.yaml")
                at = at[key]
        for path, _ in leaves("", values):
            self.assertTrue(any(path == one or path.startswith(one + ".") for one in used), f"{path} is used nowhere")

    def test_its_version_is_the_programs(self):
        with open(os.path.join(CHART, "Chart.yaml"), encoding="utf-8") as file:
            chart = yaml.safe_load(file)
        self.assertEqual(f"oxbow {chart['appVersion']}\n", run([binary(), "version"])[1])
        self.assertEqual(chart["version"], chart["appVersion"])

    def test_what_is_wrong_is_refused_with_its_name(self):
        for values, said in (
                ({"imagee": {}}, "'imagee' not allowed"),
                ({"certificates": {"mode": "none"}}, "'/certificates/mode': value must be one of 'generate', 'secret', 'cert-manager', 'host'"),
                ({"config": {"storage": {"directory": "/srv"}}}, "'/config/storage': additional properties 'directory' not allowed"),
                ({"config": {"client": {"listen": ["0.0.0.0:5050"]}}}, "'/config/client': additional properties 'listen' not allowed"),
                ({"config": {"storage": {"budgt": "1%"}}}, "'budgt' not allowed"),
                ({"config": {"client": {"drain_timeout": "1 minute"}}}, "'/config/client/drain_timeout'"),
                ({"registries": [{"upstreams": []}]}, "missing property 'name'"),
                ({"ports": {"client": 0}}, "'/ports/client': minimum"),
                ({"updateMaxUnavailable": "0%"}, "'/updateMaxUnavailable'"),
                ({"runtime": {"name": "docker"}}, "value must be one of 'containerd', 'cri-o', 'k3s'"),
                ({"storage": {"hostDirectory": "/"}}, "'/storage/hostDirectory'"),
                ({"image": {"repository": ""}}, "image.repository is not set: push the image"),
                ({"metrics": {"serviceMonitor": {"enabled": True}}}, "needs metrics.onNodeAddress")):
            with self.subTest(said):
                code, output = self.template(values, check=False)
                self.assertNotEqual(code, 0)
                self.assertIn(said, output)

    # --- what is rendered

    def test_every_set_is_made_of_good_objects(self):
        for name, values in SETS.items():
            for release in ("oxbow", "a-very-long-name-of-a-release-that-goes-on-and-on"):
                with self.subTest(name, release=release):
                    self.render(values, release=release)

    def test_no_port_but_the_peers_is_open_to_others(self):
        for name, values in SETS.items():
            with self.subTest(name):
                objects = self.render(values)
                daemon = self.container(objects, name="mirror" if name == "much" else "oxbow")
                spec = self.pod_spec(objects, name="mirror" if name == "much" else "oxbow")
                self.assertTrue(spec["hostNetwork"])
                open_ports = {port["name"] for port in daemon["ports"] if port.get("hostIP") != "127.0.0.1"}
                expected = {"peers"} if values.get("peers", {}).get("enabled", True) else set()
                on_node = values.get("metrics", {}).get("onNodeAddress", False)
                self.assertEqual(open_ports, expected | ({"admin"} if on_node else set()))
                listens = self.effective(objects, name)["client"]["listen"]
                self.assertTrue(all(address.startswith("127.0.0.1:") for address in listens), listens)
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    self.assertEqual(daemon[probe]["httpGet"].get("host"), None if on_node else "127.0.0.1")

    def test_the_daemon_has_no_privileges_and_init_containers_only_those_they_need(self):
        for name, values in SETS.items():
            with self.subTest(name):
                objects = self.render(values)
                wanted = {"certificate": ["DAC_OVERRIDE"], "prepare": ["CHOWN", "DAC_READ_SEARCH", "FOWNER"]}
                for (kind, _), made in objects.items():
                    if kind not in ("DaemonSet", "Job"):
                        continue
                    spec = made["spec"]["template"]["spec"]
                    self.assertEqual(spec["securityContext"]["seccompProfile"]["type"],
                                     "Unconfined" if name == "much" and spec.get("hostNetwork") else "RuntimeDefault")
                    for container in spec.get("initContainers", []) + spec["containers"]:
                        context = container["securityContext"]
                        self.assertFalse(context["privileged"] or context["allowPrivilegeEscalation"])
                        self.assertTrue(context["readOnlyRootFilesystem"])
                        self.assertEqual(context["capabilities"],
                                         {"drop": ["ALL"], **({"add": wanted[container["name"]]} if container["name"] in wanted else {})})
                        init = container in spec.get("initContainers", []) and container["name"] != "wait"
                        self.assertEqual(context["runAsUser"], 0 if init else 65532)
                        self.assertEqual(context["runAsNonRoot"], not init)

    def test_what_nodes_need_of_a_daemonset(self):
        objects = self.render({})
        made, spec = objects["DaemonSet", "oxbow"]["spec"], self.pod_spec(objects)
        self.assertEqual(made["updateStrategy"], {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}})
        self.assertEqual(spec["priorityClassName"], "system-node-critical")
        self.assertEqual(spec["tolerations"], [{"operator": "Exists"}])
        self.assertEqual(spec["terminationGracePeriodSeconds"], 45)
        self.assertEqual(self.pod_spec(self.render(SETS["much"]), "mirror")["terminationGracePeriodSeconds"], 145)
        paths = {volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
        self.assertEqual(paths, {"/var/lib/oxbow", "/run/oxbow", "/etc/oxbow", "/etc/containerd"})
        # The runtime's directories are for the init container alone.
        self.assertFalse([mount for mount in self.container(objects)["volumeMounts"] if mount["mountPath"].startswith("/host")])
        self.assertIn("memory", self.container(objects)["resources"]["limits"])
        one, other = ({"config": {"storage": {"budget": budget}}} for budget in ("1GiB", "2GiB"))
        notes = [self.render(values)["DaemonSet", "oxbow"]["spec"]["template"]["metadata"]["annotations"]["oxbow/config"]
                 for values in (one, one, other)]
        self.assertEqual(notes[0], notes[1])
        self.assertNotEqual(notes[0], notes[2], "a change of the configuration restarts no pod")

    def test_rights_are_the_least_that_membership_needs(self):
        objects = self.render({})
        rules = {key: made["rules"] for key, made in objects.items() if key[0] in ("Role", "ClusterRole")}
        self.assertEqual(rules, {
            ("Role", "oxbow"): [
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["oxbow-cluster"], "verbs": ["list", "watch"]}],
            ("ClusterRole", "infra-oxbow-nodes"): [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
            ("Role", "oxbow-cleanup"): [{"apiGroups": ["apps"], "resources": ["daemonsets"], "resourceNames": ["oxbow-cleanup"],
                                         "verbs": ["get", "list", "watch", "delete"]}]})
        self.assertFalse(self.pod_spec(objects)["automountServiceAccountToken"])
        with_token = [container["name"] for container in self.pod_spec(objects)["initContainers"] + self.pod_spec(objects)["containers"]
                      if any(mount["name"] == "account" for mount in container["volumeMounts"])]
        self.assertEqual(with_token, ["oxbow"])
        self.assertNotIn(("ClusterRole", "infra-oxbow-nodes"), self.render(SETS["cert-manager"]))
        alone = self.render(SETS["alone"])
        self.assertFalse([key for key in alone if key[0] in ("Role", "ClusterRole", "Secret", "Service")])

    def test_after_uninstall_nodes_are_restored_and_late_ones_too(self):
        objects = self.render({})
        hooks = {key: made["metadata"]["annotations"] for key, made in objects.items()
                 if "helm.sh/hook" in made["metadata"].get("annotations", {})}
        self.assertEqual({kind for kind, _ in hooks}, {"ServiceAccount", "Role", "RoleBinding", "DaemonSet", "Job"})
        self.assertEqual({about["helm.sh/hook"] for about in hooks.values()}, {"post-delete"})
        order = sorted(hooks, key=lambda key: int(hooks[key]["helm.sh/hook-weight"]))
        self.assertEqual([kind for kind, _ in order[-2:]], ["DaemonSet", "Job"])
        # Helm deletes what is deleted on success also when a later hook fails: the DaemonSet would be gone before a node is back.
        for (kind, _), about in hooks.items():
            self.assertEqual("hook-succeeded" in about["helm.sh/hook-delete-policy"], kind != "DaemonSet")
        job = objects["Job", "oxbow-cleanup"]["spec"]
        self.assertGreater(job["activeDeadlineSeconds"], 240)
        self.assertLess(job["activeDeadlineSeconds"], 300)
        # It selects none of the daemon's pods, nor the Service the cleanup's.
        labels = [made["spec"]["template"]["metadata"]["labels"] for made in objects.values() if made["kind"] in ("DaemonSet", "Job")]
        self.assertEqual(len({one["app.kubernetes.io/name"] for one in labels}), 3)
        for values in ({"cleanup": {"enabled": False}}, SETS["alone"], SETS["host"]):
            self.assertFalse([made for made in self.render(values).values() if "helm.sh/hook" in made["metadata"].get("annotations", {})])

    def test_the_ca_is_seen_by_one_init_container_only(self):
        for name in ("default", "secret", "cert-manager"):
            with self.subTest(name):
                objects = self.render(SETS[name])
                spec = self.pod_spec(objects)
                seen = [container["name"] for container in spec["initContainers"] + spec["containers"]
                        if any(mount["name"] == "ca" for mount in container["volumeMounts"])]
                self.assertEqual(seen, ["certificate"])
                secret = next(volume for volume in spec["volumes"] if volume["name"] == "ca")["secret"]
                self.assertEqual(secret["defaultMode"], 0o400)
                self.assertEqual(secret["secretName"], {"secret": "my-ca"}.get(name, "oxbow-ca"))
                self.assertEqual(("Secret", "oxbow-ca") in objects, name == "default")
        self.assertEqual(self.render(SETS["cert-manager"])["Certificate", "oxbow-ca"]["spec"]["secretName"], "oxbow-ca")

    def test_notes_warn_of_what_is_open(self):
        self.assertNotIn("WARNING", self.notes(SETS["default"]))
        self.assertRegex(self.notes(SETS["insecure"]), 'WARNING: certificates.mode is "insecure"')
        self.assertRegex(self.notes(SETS["much"]), "WARNING: metrics.onNodeAddress")
        self.assertIn("io_uring may be used", self.notes(SETS["much"]))

    # --- what the daemon says to it

    def effective(self, objects, name="default", command="show"):
        """What the daemon makes of the rendered file with the rendered environment, as `oxbow config show` tells it."""
        chart_name = SETS.get(name, {}).get("fullnameOverride", "oxbow")
        folder = self.own_folder()
        path = os.path.join(folder, "oxbow.toml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(objects["ConfigMap", chart_name]["data"]["oxbow.toml"])
        v6 = SETS.get(name, {}).get("peers", {}).get("ipv6")
        fields = {"status.podIP": "fd00::7" if v6 else "10.0.0.7", "spec.nodeName": "node-7.corp"}
        for container in ("oxbow", "runtime"):
            if (found := self.container(objects, container, chart_name)) is None:
                continue
            environment = pod.Pod(folder, folder, {}, {}, fields).variables(found)
            self.assertFalse([value for value in environment.values() if "$(" in value], environment)
            code, said = run([binary(), "config", "check", "--config", path], env=environment, check=False)
            # Nothing is in the environment that names no option: that would be a warning.
            self.assertEqual((code, said.replace(f"{path}: ", "")), (0, "the configuration is good\n"))
            shown = run([binary(), "config", "show", "--config", path], env=environment)[1]
        return tomllib.loads(shown)

    def test_the_daemon_takes_the_configuration(self):
        for name, values in SETS.items():
            with self.subTest(name):
                shown = self.effective(self.render(values), name)
                chart_name = values.get("fullnameOverride", "oxbow")
                self.assertEqual(shown["storage"]["directory"], "/var/lib/oxbow")
                self.assertEqual(shown["admin"]["socket"], "/run/oxbow/admin.sock")
                if name == "alone":
                    self.assertEqual(shown["routing"]["strategy"], "single")
                    continue
                self.assertEqual(shown["membership"]["provider"], "kubernetes")
                self.assertEqual(shown["membership"]["service"], chart_name)
                self.assertEqual(shown["peer"]["name"], "node-7.corp")
                self.assertEqual(shown["peer"]["listen"], "[fd00::7]:6051" if name == "much" else "10.0.0.7:5051")
                if name == "insecure":
                    self.assertTrue(shown["peer"]["tls"]["insecure"])
                else:
                    self.assertEqual(shown["peer"]["tls"]["key"], "/run/oxbow-tls/node-7.corp.key")
        much = self.effective(self.render(SETS["much"]), "much")
        self.assertEqual(much["admin"]["listen"], "[fd00::7]:6052")
        registry = next(one for one in much["registry"] if one["name"] == "registry.corp:5000")
        given = SETS["much"]["registries"][0]
        self.assertEqual({key: registry[key] for key in ("aliases", "upstreams", "credentials")},
                         {key: given[key] for key in ("aliases", "upstreams", "credentials")})
        self.assertEqual(registry["credential_source"]["username"], 'ro"bot\\')
        self.assertEqual(much["membership"]["location_labels"], ["rack"])

    def test_every_option_that_a_value_may_set_comes_through(self):
        with open(os.path.join(CHART, "values.schema.json"), encoding="utf-8") as file:
            allowed = json.load(file)["properties"]["config"]["properties"]
        with open(os.path.join(ROOT, "config", "oxbow.toml"), encoding="utf-8") as file:
            example = tomllib.loads(re.sub(r"^#(\[[a-z]+\]|[a-z_.]+ = .*)$", r"\1", file.read().split("#[[registry]]")[0], flags=re.M))
        given = {section: {key: example[section][key] for key in about["properties"]} for section, about in allowed.items()}
        shown = self.effective(self.render({"config": given}))
        for path, value in leaves("", given):
            at = shown
            for key in path.split("."):
                at = at[key]
            self.assertEqual(at, value, path)
