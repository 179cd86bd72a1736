#!/usr/bin/python3
"""A member of the cluster that is not what it says, written from docs/peer-protocol.md. Run by hostile.py.

  peer_program.py CONFIG.json

It says hello, announces to every member that it holds one blob, and answers for it. `mode`:
  honest   the right bytes: a spy that writes down what it is asked
  corrupt  one wrong byte in each stripe
  states   the right bytes, and a list of midstates that are not the blob's
  silent   takes requests for stripes and never answers
  lies     says that it fetches the blob too and has the first half from upstream; gives wrong bytes, and their checksums as upstream's
Asked as a coordinator it grants each span to whoever asks first, and names those who announced. Every request goes to standard
output as a line of JSON.
"""

import base64
import ctypes
import hashlib
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events
from peer_geometry import stripe_bytes

LEASE_MS = 4000
_xxhash = ctypes.CDLL("libxxhash.so.0")


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


_xxhash.XXH3_128bits.restype = _Hash128
_xxhash.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def checksum(data):
    made = _xxhash.XXH3_128bits(data, len(data))
    return f"{made.high:016x}{made.low:016x}"


class Blob:
    def __init__(self, path, mode, publisher):
        with open(path, "rb") as file:
            self.data = file.read()
        self.digest = "sha256:" + hashlib.sha256(self.data).hexdigest()
        self.stripe = stripe_bytes(len(self.data))
        self.count = (len(self.data) + self.stripe - 1) // self.stripe
        self.mode = mode
        self.has = range(self.count // 2 if mode == "lies" else self.count)
        self.map = "all" if mode != "lies" else base64.b64encode(sum(1 << i for i in self.has).to_bytes((self.count + 7) // 8, "little")).decode()
        self.midstates = None
        if mode == "states":
            states = b"".join(hashlib.sha256(f"not the state before stripe {i}".encode()).digest() for i in range(1, self.count))
            self.midstates = {"publisher": publisher, "state_bytes": 32, "states": base64.b64encode(states).decode()}

    def bytes_of(self, index, offset):
        part = bytearray(self.data[index * self.stripe:(index + 1) * self.stripe])
        if self.mode in ("corrupt", "lies"):
            part[len(part) // 2] ^= 1
        return bytes(part[offset:])

    def announce(self):
        return {"digest": self.digest, "size": len(self.data), "interest": "wanting" if self.mode == "lies" else "holding",
                "have": self.map, "may_fetch": False,
                "want_neighbours": False, "know_midstates": True, **({"midstates": self.midstates} if self.midstates else {})}


class Coordinator:
    """As honest as it takes to not be in the way."""

    def __init__(self, blob, name):
        self.blob, self.name = blob, name
        self.lock = threading.Lock()
        self.members = {}  # (digest, name): complete
        self.leases = {}  # (digest, span): (name, end)
        self.sizes = {}

    def answer(self, asker, announces):
        with self.lock:
            return {"replies": [self._one(asker, announce) for announce in announces]}

    def _one(self, asker, announce):
        digest, now = announce["digest"], time.monotonic()
        self.sizes[digest] = announce.get("size") or self.sizes.get(digest, 0)
        self.members[digest, asker] = announce.get("have") == "all"
        for span in announce.get("released", []):
            if self.leases.get((digest, span), ("",))[0] == asker:
                del self.leases[digest, span]
        granted, lost = [], []
        for claimed, wishes in ((True, [lease["span"] for lease in announce.get("leases", [])]), (False, announce.get("ask", [])[:6])):
            for span in wishes:
                holder, end = self.leases.get((digest, span), (asker, 0))
                if holder == asker or end < now:
                    self.leases[digest, span] = (asker, now + LEASE_MS / 1000)
                    granted.append({"span": span, "ttl_ms": LEASE_MS})
                elif claimed:
                    lost.append(span)
        others = {name: complete for (of, name), complete in self.members.items() if of == digest and name != asker}
        if digest == self.blob.digest:
            others[self.name] = self.blob.map == "all"
        reply = {"digest": digest, "size": self.sizes[digest], "again_ms": 500, "wanters": len(others), "granted": granted, "lost": lost,
                 "neighbours": [{"name": name, "complete": complete, "stripes": 0} for name, complete in others.items()]}
        if digest == self.blob.digest and self.blob.midstates:
            reply["midstates"] = self.blob.midstates
        return reply


class Peer:
    def __init__(self, config):
        self.name, self.address, self.mode = config["name"], config["address"], config["mode"]
        self.members = config["members"]
        self.tls = config.get("tls")
        self.blob = Blob(config["blob"], self.mode, self.name)
        self.coordinator = Coordinator(self.blob, self.name)
        self.incarnation = os.urandom(8).hex()
        self.say_lock = threading.Lock()

    def say(self, **what):
        with self.say_lock:
            print(json.dumps(what), flush=True)

    def context(self, server):
        if not self.tls:
            return None
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.load_cert_chain(self.tls["certificate"], self.tls["key"])
        made.load_verify_locations(self.tls["ca"])
        made.check_hostname = False
        made.verify_mode = ssl.CERT_REQUIRED
        made.set_alpn_protocols(["h2"])
        return made

    def hello(self):
        return {"name": self.name, "location": [], "weight": 1.0, "protocol_oldest": 1, "protocol_newest": 1,
                "incarnation": self.incarnation, "draining": False, "version": "0", "strategy": "swarm", "replicas": 3,
                "settings_epoch": 0, "advertise": self.address}

    # Answers: (status, header fields, body, whether the stream ends); None: never answered
    def answer(self, asker, fields, body):
        parts = urllib.parse.urlsplit(fields[":path"])
        path, query = parts.path, urllib.parse.parse_qs(parts.query)
        if path == "/p2p/v1/hello":
            return 200, {}, json.dumps(self.hello()).encode(), True
        if path == "/p2p/v1/announce":
            if self.mode == "silent":
                return None
            return 200, {}, json.dumps(self.coordinator.answer(asker, json.loads(body)["announces"])).encode(), True
        match = re.fullmatch(r"/p2p/v1/blobs/([^/]+)(?:/(have|stripes/(\d+)))?", urllib.parse.unquote(path))
        if not match or match[1] != self.blob.digest:
            return 404, {}, b"", True
        if match[2] == "have":
            lines = [{"map": self.blob.map, "load": "0/8/0"}]
            if self.mode == "lies":
                lines += [{"sums": [[index, checksum(self.blob.bytes_of(index, 0))] for index in self.blob.has]}]
            return 200, {}, "".join(json.dumps(line) + "\n" for line in lines).encode(), False
        if match[2]:
            return self.stripe(int(match[3]), fields.get("range"))
        facts = {"size": len(self.blob.data), "verified": self.mode != "lies", "have": self.blob.map}
        if self.blob.midstates and "midstates" in query:
            facts["midstates"] = self.blob.midstates
        return 200, {}, json.dumps(facts).encode(), True

    def stripe(self, index, byte_range):
        if self.mode == "silent":
            return None
        if index not in self.blob.has:
            return 404, {}, b"", True
        offset = int(re.fullmatch(r"bytes=(\d+)-", byte_range)[1]) if byte_range else 0
        body = self.blob.bytes_of(index, offset)
        fields = {"oxbow-size": str(len(self.blob.data)), "oxbow-verified": "0" if self.mode == "lies" else "1", "oxbow-load": "0/8/0",
                  "oxbow-have": f"0:{self.blob.map}"}
        if not offset:
            fields["oxbow-checksum"] = checksum(body)
        if offset:
            fields["content-range"] = f"bytes {offset}-{offset + len(body) - 1}/{offset + len(body)}"
        return 206 if byte_range else 200, fields, body, True

    def serve(self):
        listener = socket.create_server(tuple_of(self.address), backlog=128)
        context = self.context(server=True)
        threading.Thread(target=self.announce_forever, daemon=True).start()
        self.say(event="ready", digest=self.blob.digest)
        while True:
            link, _ = listener.accept()
            threading.Thread(target=self.connection, args=(link, context), daemon=True).start()

    def connection(self, link, context):
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asker = ""
            if context:
                link = context.wrap_socket(link, server_side=True)
                asker = next((value for kind, value in link.getpeercert().get("subjectAltName", ()) if kind == "DNS"), "")
            Served(self, link, asker).run()
        except (OSError, h2.exceptions.ProtocolError) as error:
            self.say(event="connection ended", error=repr(error))
        finally:
            link.close()

    def announce_forever(self):
        while True:
            for member in self.members:
                try:
                    exchange(member, self.context(server=False), self.name, "POST", "/p2p/v1/hello", self.hello())
                    exchange(member, self.context(server=False), self.name, "POST", "/p2p/v1/announce",
                             {"announces": [self.blob.announce()]})
                except (OSError, h2.exceptions.ProtocolError) as error:
                    self.say(event="not announced", member=member, error=repr(error))
            time.sleep(1)


class Served:
    """One connection of a peer, as a server."""

    def __init__(self, peer, link, asker):
        self.peer, self.link, self.asker = peer, link, asker
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests = {}  # stream: (header fields, body)
        self.pending = {}  # stream: [bytes left, whether it ends then]

    def run(self):
        self.http.initiate_connection()
        while True:
            self.flush()
            data = self.link.recv(1 << 18)
            if not data:
                return
            for event in self.http.receive_data(data):
                self.take(event)

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = (dict(event.headers), bytearray())
        elif isinstance(event, h2.events.DataReceived):
            self.requests[event.stream_id][1].extend(event.data)
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(event.stream_id, *self.requests.pop(event.stream_id))
        elif isinstance(event, h2.events.StreamReset):
            self.pending.pop(event.stream_id, None)
            self.requests.pop(event.stream_id, None)

    def answer(self, stream, fields, body):
        asker = self.asker or fields.get("oxbow-peer", "")
        self.peer.say(event="request", asker=asker, fields=fields, body=body.decode(errors="replace")[:20000])
        reply = self.peer.answer(asker, fields, bytes(body))
        if reply is None:
            return
        status, more, content, ends = reply
        length = {"content-length": str(len(content))} if ends else {}
        self.http.send_headers(stream, [(":status", str(status)), *length.items(), *more.items()])
        self.pending[stream] = [memoryview(content), ends]

    def flush(self):
        moved = True
        while moved:
            moved = False
            for stream, entry in list(self.pending.items()):
                left, ends = entry
                take = min(len(left), self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
                if take > 0:
                    self.http.send_data(stream, bytes(left[:take]))
                    entry[0] = left[take:]
                    moved = True
                if not entry[0]:
                    del self.pending[stream]
                    if ends:
                        self.http.end_stream(stream)
            out = self.http.data_to_send()
            if out:
                self.link.sendall(out)


def tuple_of(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


def exchange(address, context, name, method, path, document):
    """One request on a connection of its own; (status, body)."""
    body = json.dumps(document).encode()
    with socket.create_connection(tuple_of(address), timeout=2) as link:
        if context:
            link = context.wrap_socket(link)
        http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        http.initiate_connection()
        http.send_headers(1, [(":method", method), (":path", path), (":scheme", "https" if context else "http"), (":authority", address),
                              ("content-type", "application/json"), ("content-length", str(len(body))), ("oxbow-peer", name)])
        status, answer, left, ended = 0, bytearray(), memoryview(body), False
        while not ended:
            while left and (take := min(len(left), http.local_flow_control_window(1), http.max_outbound_frame_size)) > 0:
                http.send_data(1, bytes(left[:take]), end_stream=take == len(left))
                left = left[take:]
            link.sendall(http.data_to_send())
            data = link.recv(1 << 16)
            if not data:
                raise OSError("the connection ended")
            for event in http.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    answer += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    ended = True
        link.close()
    return status, bytes(answer)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        Peer(json.load(file)).serve()
