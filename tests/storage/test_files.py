"""Where files that can be made again are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.storage.files import cache_directory


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", "/stated")
    monkeypatch.setenv("XDG_CACHE_HOME", "/base")
    assert cache_directory() == Path("/stated")
    monkeypatch.delenv("AITERFIX_CACHE")
    assert cache_directory() == Path("/base/aiterfix")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_directory() == Path.home() / ".cache" / "aiterfix"
