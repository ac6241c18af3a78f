from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing.world import World, build


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A site-packages with an unpatched aiter and a stand-in for Triton."""
    site = tmp_path / "site"
    site.mkdir()
    return build(site)
