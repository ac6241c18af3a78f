"""Whether this Python runs the gfx950 emulator: one answer, and one reason, for every test that needs it.

Asked of the version and not of the packages: where the version is right, a decoder that is missing fails the tests.
"""

from __future__ import annotations

import sys

import pytest

RUNS_HERE: bool = sys.version_info >= (3, 11)
WHY_NOT = "the gfx950 emulator's instruction decoder (tinygrad) needs Python 3.11"

needs_emulator = pytest.mark.skipif(not RUNS_HERE, reason=WHY_NOT)
"""For a test, or a module as its ``pytestmark``; one that imports the decoder itself skips by ``RUNS_HERE``."""
