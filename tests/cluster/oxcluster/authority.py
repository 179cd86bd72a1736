"""Certificates of a cluster's nodes, by `oxbow ca`; and those that no cluster should accept."""

import json
import os

from oxtest.clients import need
from oxtest.mirror import binary
from oxtest.process import run


class Authority:
    def __init__(self, folder, name="ca"):
        self.folder = os.path.join(str(folder), name)
        run([binary(), "ca", "create", self.folder])

    def issue(self, name, clock=None):
        """The node's `[peer] tls`. `clock`: when it is issued, as faketime takes it, such as '-400d'."""
        out = os.path.join(self.folder, "issued", name)
        os.makedirs(out, exist_ok=True)
        run([*([need("faketime"), "-f", clock] if clock else []), binary(), "ca", "issue", self.folder, name, "--out", out])
        return {"ca": os.path.join(out, "ca.crt"), "certificate": os.path.join(out, f"{name}.crt"),
                "key": os.path.join(out, f"{name}.key")}

    def revoke(self, name):
        """Also tells where the list is that nodes read (`[peer] revoked_file`)."""
        run([binary(), "ca", "revoke", self.folder, name])
        return self.revoked()

    def readmit(self, name):
        run([binary(), "ca", "readmit", self.folder, name])

    def renew(self, name):
        """Its new certificate is where the last one was; returns the serial of that."""
        listed = json.loads(run([binary(), "ca", "list", self.folder, "--json"])[1])["certificates"]
        run([binary(), "ca", "renew", self.folder, name])
        return next(one["serial"] for one in listed if one["name"] == name)

    def revoked(self):
        return os.path.join(self.folder, "revoked.json")
