#!/usr/bin/env python3
"""Runs the integration tests against the daemon named by OXBOW_BIN (default: build/release/bin/oxbow).

  tests/integration/run.py [--only PATTERN]... [--skip PATTERN]... [--list]

PATTERN is part of `file.Class.test`. One line a test; the last line is the sum. Exit code 1 on a failure, or if nothing ran.
"""

import argparse
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.counts = {"pass": 0, "FAIL": 0, "skip": 0}
        self.failed = []
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def _say(self, word, test, note=""):
        self.counts[word] += 1
        spent = time.monotonic() - self.began if self.began else 0.0
        print(f"{word}  {spent:6.1f} s  {test.id()}{'  ' + note if note else ''}", flush=True)

    def addSuccess(self, test):
        self._say("pass", test)

    def _failed(self, test, error):
        self._say("FAIL", test)
        self.failed.append(test.id())
        print(self._exc_info_to_string(error, test), flush=True)

    def addFailure(self, test, error):
        self._failed(test, error)

    def addError(self, test, error):
        self._failed(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._failed(subtest, error)

    def addSkip(self, test, reason):
        self._say("skip", test, reason)


def main(folder=HERE, about=__doc__):
    """`folder`: where the tests are."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    tests = list(flatten(unittest.defaultTestLoader.discover(folder, "test_*.py")))
    tests = [t for t in tests if not options.only or any(part in t.id() for part in options.only)]
    tests = [t for t in tests if not any(part in t.id() for part in options.skip)]
    if options.list:
        print("\n".join(t.id() for t in tests))
        return 0
    from oxtest.mirror import binary
    if not os.access(binary(), os.X_OK):
        print(f"run.py: no program at {binary()}; build it, or set OXBOW_BIN", file=sys.stderr)
        return 1
    result = Result()
    unittest.TestSuite(tests).run(result)
    if result.failed:
        print("failed:\n  " + "\n  ".join(result.failed))
    print(f"{result.counts['pass']} passed, {result.counts['FAIL']} failed, {result.counts['skip']} skipped")
    return 0 if result.counts["pass"] and not result.counts["FAIL"] else 1


if __name__ == "__main__":
    sys.exit(main())
