"""What the benchmarks share. Method: interleaved pairs, ratios within one run, medians with bootstrap intervals."""

import os
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
# Processes, ports and the mirror's generated configuration are those of the integration tests.
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
