"""The base of all tests here: a folder that goes away, parts that are stopped, programs that may be missing."""

import os
import shutil
import sys
import tempfile
import unittest

from . import clients
from .faulty import FaultyRegistry
from .mirror import ROOT, Mirror
from .process import tail
from .registry import Registry

sys.path.insert(0, os.path.join(ROOT, "packaging"))
import test_image  # noqa: E402  (packaging/test_image.py)


class Case(unittest.TestCase):
    """Set up what a class shares in `set_up_parts` (a class method); `start` there or in a test stops by itself."""

    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        # Short, because Unix socket paths are.
        cls.folder = tempfile.mkdtemp(prefix="oxt-", dir=os.environ.get("OXTEST_TMP"))
        cls.addClassCleanup(cls._remove_folder)
        cls.shared_mirrors = []
        try:
            cls.set_up_parts()
        except clients.Missing as missing:
            raise unittest.SkipTest(str(missing)) from None

    @classmethod
    def _remove_folder(cls):
        if not os.environ.get("OXTEST_KEEP"):
            shutil.rmtree(cls.folder, ignore_errors=True)

    @classmethod
    def set_up_parts(cls):
        pass

    def setUp(self):
        self.own_mirrors = []

    @classmethod
    def start_shared(cls, part):
        cls.addClassCleanup(*([cls.end_mirror, part] if isinstance(part, Mirror) else [part.stop]))
        part.start()
        if isinstance(part, Mirror):
            cls.shared_mirrors.append(part)
        return part

    def start(self, part):
        self.addCleanup(*([self.end_mirror, part] if isinstance(part, Mirror) else [part.stop]))
        part.start()
        if isinstance(part, Mirror):
            self.own_mirrors.append(part)
        return part

    @classmethod
    def end_mirror(cls, mirror):
        """Stops it, and looks at what only shows at the end: its exit code, leaks."""
        if mirror.process and mirror.process.running:
            cls.end_running(mirror)

    @classmethod
    def end_running(cls, mirror):
        code = mirror.stop()
        cls.no_sanitizer_report(mirror)
        if code != 0:
            raise AssertionError(f"the daemon ended with {code} on SIGTERM:\n{tail(mirror.log_path)}")

    @classmethod
    def own_folder(cls):
        return tempfile.mkdtemp(prefix="t-", dir=cls.folder)

    def upstream(self):
        return self.start(FaultyRegistry())

    @classmethod
    def mirror_of(cls, upstream_url, **options):
        """A mirror of one registry, `registry.test`, which is the default too."""
        registry = {"name": "registry.test", "upstreams": [upstream_url], **options.pop("registry", {})}
        client = {"default_registry": "registry.test", **options.pop("client", {})}
        return Mirror(cls.own_folder(), [registry], client=client, **options)


    def _callTestMethod(self, method):
        try:
            method()
        except clients.Missing as missing:
            self.skipTest(str(missing))
        except unittest.SkipTest:
            raise
        except Exception:
            # The daemon's own words belong to the failure.
            for mirror in self.own_mirrors + self.shared_mirrors:
                print(f"\n--- {self.id()}: end of {mirror.log_path}\n{tail(mirror.log_path, 40)}", file=sys.stderr)
            raise
        for mirror in self.own_mirrors + self.shared_mirrors:
            self.no_sanitizer_report(mirror)

    @staticmethod
    def no_sanitizer_report(mirror):
        log = mirror.log()
        for sign in ("ERROR: AddressSanitizer", "WARNING: ThreadSanitizer", "runtime error:", "ERROR: LeakSanitizer",
                     "invariant broken"):
            if sign in log:
                raise AssertionError(f"{mirror.log_path}:\n{log[max(0, log.find(sign) - 200):][:6000]}")
        child = mirror.process and mirror.process.child
        if child and child.poll() not in (None, 0) and child is not mirror.killed:
            raise AssertionError(f"the daemon ended with {child.returncode}:\n{tail(mirror.log_path)}")

    # Words that many tests need
    def assert_whole(self, reply, data, status=200):
        self.assertEqual(reply.status, status, reply)
        self.assertTrue(reply.complete, reply)
        self.assertEqual(len(reply.body), len(data))
        self.assertTrue(reply.body == data, "the bytes differ")

    def assert_oci_error(self, reply, status, code):
        self.assertEqual(reply.status, status, reply)
        errors = reply.json()["errors"]
        self.assertIn(errors[0]["code"], (code,) if isinstance(code, str) else code, errors)
        self.assertTrue(errors[0]["message"])


def image(**arguments):
    """A test image; the same arguments build it once a run."""
    key = tuple(sorted((name, tuple(value) if isinstance(value, list) else value) for name, value in arguments.items()))
    if key not in _images:
        _images[key] = test_image.build(**arguments)
    return _images[key]


_images = {}

__all__ = ["Case", "image", "Registry", "FaultyRegistry", "Mirror", "test_image"]
