from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing.world import World, build


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A site-packages with an aiter whose kernels have one fault, and a stand-in for Triton."""
    site = tmp_path / "site"
    site.mkdir()
    return build(site, columns_alone=True)


@pytest.fixture
def full_world(tmp_path: Path) -> World:
    """The same with every fault of the sample."""
    site = tmp_path / "full"
    site.mkdir()
    return build(site)
