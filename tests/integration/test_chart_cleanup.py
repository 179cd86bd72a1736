"""The Job that waits, after `helm uninstall`, until every node is restored: its commands with the real kubectl."""

import http.server
import json
import os
import threading
import urllib.parse

from oxtest import clients
from oxtest.chart import ChartCase
from oxtest.process import run


class FakeDaemonSets:
    """As much of an API server as `kubectl rollout status` and `kubectl delete` ask of it: one DaemonSet of two pods, the second of which
    is available when somebody watches."""

    def __init__(self, name):
        self.asked = []  # (verb, name), as the server's authorizer sees them
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def answer(self, document, code=200):
                body = json.dumps(document).encode() + b"\n"
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_DELETE(self):
                fake.asked.append(("delete", self.path.rpartition("/")[2]))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

            def do_GET(self):
                path, _, query = self.path.partition("?")
                if path in fake.discovery:
                    return self.answer(fake.discovery[path])
                if "/daemonsets" not in path:
                    return self.answer({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}, 404)
                if path.endswith("/daemonsets"):
                    asked = dict(urllib.parse.parse_qsl(query))
                    verb = "watch" if asked.get("watch") else "list"
                    fake.asked.append((verb, asked.get("fieldSelector", "").removeprefix("metadata.name=")))
                    if verb == "watch":
                        return self.answer({"type": "MODIFIED", "object": fake.object(name, 2)})
                    return self.answer({"kind": "DaemonSetList", "apiVersion": "apps/v1", "metadata": {"resourceVersion": "5"},
                                        "items": [fake.object(name, 1)]})
                fake.asked.append(("get", path.rpartition("/")[2]))
                return self.answer(fake.object(name, 1))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        version = {"groupVersion": "apps/v1", "version": "v1"}
        self.discovery = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1",
                      "groups": [{"name": "apps", "versions": [version], "preferredVersion": version}]},
            "/apis/apps/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
                {"name": "daemonsets", "singularName": "daemonset", "namespaced": True, "kind": "DaemonSet",
                 "verbs": ["get", "list", "watch", "delete"]}]}}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def object(name, available):
        return {"kind": "DaemonSet", "apiVersion": "apps/v1",
                "metadata": {"name": name, "namespace": "infra", "generation": 1, "resourceVersion": "5", "uid": "u"},
                "spec": {"updateStrategy": {"type": "RollingUpdate"}},
                "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
                           "updatedNumberScheduled": 2, "numberReady": available, "numberAvailable": available}}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class ChartCleanup(ChartCase):
    def test_it_waits_for_all_nodes_and_takes_the_daemonset_away(self):
        kubectl = clients.need("kubectl")
        objects = self.render({})
        fake = FakeDaemonSets("oxbow-cleanup")
        self.addCleanup(fake.stop)
        spec = objects["Job", "oxbow-cleanup"]["spec"]["template"]["spec"]
        said = []
        for container in spec["initContainers"] + spec["containers"]:
            arguments = [argument.replace("/tmp", self.own_folder()) for argument in container["args"]]
            said.append(run([kubectl, "--server", fake.url, *arguments], env={"KUBECONFIG": os.devnull}, timeout_s=120)[1])
        self.assertIn("1 of 2 updated pods are available", said[0])
        self.assertIn("successfully rolled out", said[0])
        self.assertIn("deleted", said[1])
        (rule,) = objects["Role", "oxbow-cleanup"]["rules"]
        self.assertEqual({name for _, name in fake.asked}, set(rule["resourceNames"]))
        self.assertEqual({verb for verb, _ in fake.asked}, set(rule["verbs"]))
