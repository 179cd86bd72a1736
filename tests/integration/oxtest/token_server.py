"""A token server as docker-registry's `auth.token` expects it: RS256 JWTs with the certificate in their header.

`rights` says who may do what: {user or None for anonymous: {repository: set of actions}}; "*" is any repository.
Also a program: `python3 -m oxtest.token_server FOLDER PORT` for trying things out by hand.
"""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

from .process import free_port, run


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    def __init__(self, folder, users=None, rights=None, service="oxbow-test", lifetime_s=300, port=None,
                 address="127.0.0.1"):
        self.folder = os.path.join(str(folder), "token-server")
        os.makedirs(self.folder, exist_ok=True)
        self.users = users or {}
        self.rights = rights or {}
        self.service, self.issuer, self.lifetime_s = service, "oxbow-test-issuer", lifetime_s
        self.port = port or free_port()
        self.address = address
        self.realm = f"http://{address}:{self.port}/token"
        self.key = os.path.join(self.folder, "key.pem")
        self.certificate = os.path.join(self.folder, "cert.pem")
        self.requests = []  # (user or None, scopes, granted actions by repository)
        if not os.path.exists(self.certificate):
            run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
                 "-subj", "/CN=oxbow test token issuer", "-days", "30"])
        der = subprocess.run(["openssl", "x509", "-in", self.certificate, "-outform", "DER"], check=True,
                             stdout=subprocess.PIPE).stdout
        self.x5c = base64.b64encode(der).decode()
        self.server = None

    def issue(self, user, repository, actions):
        return self._sign(user or "", [{"type": "repository", "name": repository, "actions": list(actions)}])

    def _sign(self, subject, access):
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.x5c]}
        claims = {"iss": self.issuer, "sub": subject, "aud": self.service, "exp": now + self.lifetime_s, "nbf": now - 5,
                  "iat": now, "jti": uuid.uuid4().hex, "access": access}
        signed = _b64(json.dumps(header).encode()) + "." + _b64(json.dumps(claims).encode())
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), check=True,
                                   stdout=subprocess.PIPE).stdout
        return signed + "." + _b64(signature)

    def _granted(self, user, repository, wanted):
        rights = self.rights.get(user, {})
        allowed = set(rights.get(repository, set())) | set(rights.get("*", set()))
        allowed |= set(self.rights.get(None, {}).get(repository, set()))
        return [action for action in wanted if action in allowed]

    def answer(self, authorization, query):
        """(status, document): shared by GET and POST."""
        user = None
        if authorization.startswith("Basic "):
            name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
            if self.users.get(name) != password:
                return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]}
            user = name
        elif query.get("grant_type") == ["password"]:
            name = query.get("username", [""])[0]
            if self.users.get(name) != query.get("password", [""])[0]:
                return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]}
            user = name
        scopes = " ".join(query.get("scope", [])).split()
        access, granted = [], {}
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            given = self._granted(user, name, actions.split(","))
            granted[name] = given
            if given:
                access.append({"type": kind, "name": name, "actions": given})
        self.requests.append((user, scopes, granted))
        token = self._sign(user or "", access)
        return 200, {"token": token, "access_token": token, "expires_in": self.lifetime_s,
                     "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _reply(self, query):
                status, document = outer.answer(self.headers.get("Authorization", ""), query)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self._reply(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query))

            def do_POST(self):
                length = int(self.headers.get("Content-Length", 0))
                self._reply(urllib.parse.parse_qs(self.rfile.read(length).decode()))

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer((self.address, self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()


if __name__ == "__main__":
    example = TokenServer(sys.argv[1], users={"alice": "secret"}, rights={"alice": {"*": {"pull", "push"}}}, port=int(sys.argv[2]))
    example.start()
    print(f"{example.realm}; rootcertbundle: {example.certificate}", flush=True)
    threading.Event().wait()
