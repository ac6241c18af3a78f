"""Files written whole or not at all, and where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.storage.files import cache_directory, write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "entry"
    write_atomically(target, b"old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", "/stated")
    monkeypatch.setenv("XDG_CACHE_HOME", "/base")
    assert cache_directory() == Path("/stated")
    monkeypatch.delenv("AITERFIX_CACHE")
    assert cache_directory() == Path("/base/aiterfix")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_directory() == Path.home() / ".cache" / "aiterfix"
