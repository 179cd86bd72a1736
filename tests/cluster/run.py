#!/usr/bin/env python3
"""Runs the cluster tests against the daemon named by OXBOW_BIN (default: build/release/bin/oxbow).

  tests/cluster/run.py [--only PATTERN]... [--skip PATTERN]... [--list]

PATTERN is part of `file.Class.test`. OXTEST_STRATEGY: the strategy of all nodes, default swarm; `single` is for trying the
network itself: each node then pulls for itself, and what needs peers is skipped. Needs root (network namespaces).
"""

import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from oxcluster import INTEGRATION, network  # noqa: E402

spec = importlib.util.spec_from_file_location("integration_run", os.path.join(INTEGRATION, "run.py"))
integration_run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(integration_run)

if __name__ == "__main__":
    network.sweep()
    sys.exit(integration_run.main(HERE, __doc__))
