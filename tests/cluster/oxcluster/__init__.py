"""Real daemons on a network of their own: namespaces, shaped links, a registry upstream, peers that misbehave on purpose."""

import os
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
INTEGRATION = os.path.join(ROOT, "tests", "integration")
# Processes, the registry, the mirror's generated configuration and the clients are those of the integration tests.
sys.path.insert(0, INTEGRATION)
