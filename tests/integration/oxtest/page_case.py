"""The base of tests that run the commands of a page with the built package, on a machine of their own and an internet of theirs."""

import os
import shutil

from test_packaging import build_package

from . import booted, documents, internet
from .case import Case, image

REPOSITORIES = {"library/nginx": "1.27", "library/alpine": "3.20"}


class PageCase(Case):
    @classmethod
    def set_up_parts(cls):
        cls.why = booted.missing() or internet.missing()
        cls.deb = None if cls.why else build_package(cls.folder)
        if cls.deb:
            cls.image = image(big=24 << 20, seed=8)
            cls.internet = cls.start_shared(internet.Internet(cls.folder, REPOSITORIES, cls.image))

    def setUp(self):
        super().setUp()
        if self.why or not self.deb:
            self.skipTest(self.why or "no CPack, or not a Debian machine")

    def put_parts(self, folder):
        """What a machine finds in its working directory: the package, and the CA of its internet."""
        shutil.copy(self.deb, folder)
        shutil.copytree(os.path.dirname(self.internet.authority), os.path.join(folder, "internet"))

    def run_page(self, page, folder=None, **machine):
        """`machine`: as for booted.run."""
        folder = folder or self.own_folder()
        self.put_parts(folder)
        wrong = documents.run(page, folder, internet=self.internet, **machine)
        if wrong is None:
            with open(os.path.join(folder, "boot.log"), encoding="utf-8", errors="replace") as log:
                self.skipTest(f"systemd cannot be booted here: {log.read()[-300:]}")
        self.assertFalse(wrong, wrong)
