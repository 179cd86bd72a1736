"""A new user's way through docs/tutorial.md, from a freshly installed Debian 12, with nothing but the package: install, point
containerd at it, pull, look at the page, trace the pull, break something, let the doctor name it, uninstall, and containerd pulls as
before.

OXTEST_PICTURES=DIR keeps the screenshots of the page that are made on the way (docs/images/ has them)."""

import os
import shutil
import subprocess

from oxtest import debian
from oxtest.clients import need
from oxtest.page_case import PageCase

PAGE = "docs/tutorial.md"
ADDRESS = "http://127.0.0.1:5052/"
LOOKS = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}


class Tour(PageCase):
    def test_from_a_clean_machine_with_the_package_and_the_page(self):
        root = debian.clean_root(self.deb, ["containerd"])
        self.assertFalse(os.path.exists(f"{root}/usr/bin/containerd"))
        self.at = self.own_folder()
        self.chromium = need("chromium")
        with open(os.path.join(self.at, "pictures"), "w", encoding="utf-8"):
            pass  # machine.sh waits for them
        self.run_page(PAGE, folder=self.at, base=root, outside=self.take_pictures)

        # What the registry gave out: once through the mirror, nothing while it was out of reach, and once past the mirror in the end.
        layer = max(self.image.layers, key=lambda digest: len(self.image.blobs[digest]))
        self.assertEqual(self.internet.registry.body_bytes(layer), 2 * len(self.image.blobs[layer]))

    def take_pictures(self, machine):
        """Of the page as a browser on that machine sees it, which has none itself."""
        for name in os.listdir(self.at):
            if name.startswith("picture-"):
                for look, flags in LOOKS.items():
                    self.take(machine, f"{name[len('picture-'):]}-{look}.png", flags)
                os.unlink(os.path.join(self.at, name))

    def take(self, machine, name, flags):
        path = os.path.join(self.at, name)
        browser = [self.chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,1500",
                   "--virtual-time-budget=15000", f"--user-data-dir={self.at}/chromium", f"--screenshot={path}", *flags, ADDRESS]
        subprocess.run(["nsenter", f"--net=/proc/{machine}/ns/net", *browser], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        self.assertTrue(os.path.exists(path), f"no picture of {ADDRESS}")
        if os.environ.get("OXTEST_PICTURES"):
            shutil.copy(path, os.environ["OXTEST_PICTURES"])
