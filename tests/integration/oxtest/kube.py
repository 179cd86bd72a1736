"""As much of a Kubernetes API server as membership reads, over TLS with a CA of its own: lists and watches of EndpointSlices
and ConfigMaps, one Node a request, a bearer token. `account` is a folder such as a pod finds its service account in.
"""

import http.server
import json
import os
import ssl
import threading
import urllib.parse

from .process import free_port, run

_RESOURCES = {"endpointslices": "EndpointSlice", "configmaps": "ConfigMap", "nodes": "Node"}


class KubeApi:
    def __init__(self, folder, namespace="infra", token="first-token"):
        self.folder = os.path.join(str(folder), "kube")
        self.account = os.path.join(self.folder, "account")
        os.makedirs(self.account)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.token = token
        self.key, self.certificate = (os.path.join(self.folder, name) for name in ("tls.key", "tls.crt"))
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
             "-subj", "/CN=kube-apiserver", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"])
        with open(self.certificate) as made:
            self._write("ca.crt", made.read())
        self._write("namespace", namespace)
        self._write("token", token)
        self.changed = threading.Condition()
        self.objects = {}  # (resource, name): object
        self.events = []   # (version, resource, event)
        self.version = 1
        self.server = None
        self.asked = []    # path and query of each request

    def _write(self, name, text):
        with open(os.path.join(self.account, name), "w") as out:
            out.write(text)

    def rotate_token(self, token):
        self._write("token", token)
        self.token = token

    def put(self, resource, name, **content):
        labels = content.pop("labels", {})
        with self.changed:
            self.version += 1
            known = (resource, name) in self.objects
            made = {"kind": _RESOURCES[resource], **content,
                    "metadata": {"name": name, "labels": labels, "resourceVersion": str(self.version)}}
            self.objects[resource, name] = made
            self.events.append((self.version, resource, {"type": "MODIFIED" if known else "ADDED", "object": made}))
            self.changed.notify_all()

    def put_slice(self, name, addresses, port, service="oxbow"):
        """`addresses` by node."""
        self.put("endpointslices", name, labels={"kubernetes.io/service-name": service}, addressType="IPv4",
                 endpoints=[{"addresses": [address], "nodeName": node, "zone": "z1", "conditions": {"ready": True}}
                            for node, address in addresses.items()],
                 ports=[{"name": "peers", "port": port, "protocol": "TCP"}])

    def start(self):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                try:
                    api._answer(self)
                except OSError:
                    pass  # the client has left

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.stopped = False
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if not self.server:
            return
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    def _send(self, handler, status, document):
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _refuse(self, handler, code, reason):
        self._send(handler, code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason})

    def _answer(self, handler):
        path, _, query = handler.path.partition("?")
        self.asked.append(handler.path)
        asked = dict(urllib.parse.parse_qsl(query))
        parts = path.split("/")
        if handler.headers["Authorization"] != f"Bearer {self.token}":
            return self._refuse(handler, 401, "Unauthorized")
        if parts[-1] not in _RESOURCES:
            with self.changed:
                found = self.objects.get((parts[-2], parts[-1]))
            return self._send(handler, 200, found) if found else self._refuse(handler, 404, "NotFound")
        resource = parts[-1]
        if asked.get("watch") == "1":
            return self._watch(handler, resource, asked)
        with self.changed:
            items = [{key: value for key, value in made.items() if key != "kind"}
                     for (kind, _), made in self.objects.items() if kind == resource and self._selected(made, asked)]
            version = self.version
        return self._send(handler, 200, {"kind": _RESOURCES[resource] + "List", "metadata": {"resourceVersion": str(version)},
                                         "items": items})

    @staticmethod
    def _selected(made, asked):
        label, field = asked.get("labelSelector"), asked.get("fieldSelector")
        key, _, value = (label or "").partition("=")
        return (not label or made["metadata"]["labels"].get(key) == value) and (
            not field or field == "metadata.name=" + made["metadata"]["name"])

    def _watch(self, handler, resource, asked):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        seen = int(asked["resourceVersion"])
        handler.close_connection = True
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.stopped or self.version > seen, 0.5)
                if self.stopped:
                    return
                due = [event for version, kind, event in self.events
                       if version > seen and kind == resource and self._selected(event["object"], asked)]
                seen = self.version
            for event in due:
                line = json.dumps(event).encode() + b"\n"
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            handler.wfile.flush()
