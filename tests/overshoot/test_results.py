"""Results that were kept: what is damaged, foreign or half written is not believed."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.overshoot import results
from aiterfix.overshoot.results import FORMAT, Key, Measured

KEPT = Measured("a" * 64, "preshuffle", 64, 64, 256, 1, 1000, "3.6.0", "b" * 64, 24, 1000, 5)
KEY = Key(*astuple(KEPT)[:8])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path))
    return tmp_path


def find() -> Measured | None:
    return results.find(KEY)


def test_what_was_stored_is_found_for_its_own_question() -> None:
    assert find() is None
    path = results.store(KEPT)
    assert find() == KEPT
    assert path == KEPT.path and path.parent == results.directory(KEPT.source_sha256)
    others: list[dict[str, Any]] = [{"source_sha256": "c" * 64}, {"kernel": "base"}, {"triton": "3.6.1"}]
    others += [
        {name: getattr(KEY, name) + 1} for name in ("heads", "kv_block_size", "chunk_k", "next_n", "max_model_len")
    ]
    assert [results.find(replace(KEY, **other)) for other in others] == [None] * len(others)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": FORMAT + 1},
        {"format": None},
        {"columns": -1},
        {"columns": "0"},
        {"columns": True},
        {"max_model_len": 1024},
        {"source_sha256": "c" * 64},
        {"triton": "3.6.1"},
        {"unheard": 1},
    ],
)
def test_what_does_not_say_what_its_place_says_is_not_believed(changed: dict[str, object]) -> None:
    path = results.store(KEPT)
    said = {"format": FORMAT, **asdict(KEPT), **changed}
    path.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))
    assert find() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}'])
def test_damage_is_not_believed(content: bytes) -> None:
    path = results.store(KEPT)
    path.write_bytes(content)
    assert find() is None


def test_a_result_of_another_place_is_not_believed() -> None:
    path = results.store(KEPT)
    other = replace(KEPT, max_model_len=1024, columns=0)
    results.store(other).rename(path)
    assert find() is None


def test_writers_at_once_leave_a_whole_file() -> None:
    written = [replace(KEPT, programs=number) for number in range(8)]
    threads = [threading.Thread(target=lambda m=m: [results.store(m) for _ in range(20)]) for m in written]
    for thread in threads:
        thread.start()
    seen = [find() for _ in range(200)]
    for thread in threads:
        thread.join()
    assert all(found in written for found in seen if found is not None)
    assert find() in written
    assert [p.name for p in KEPT.path.parent.iterdir()] == [KEPT.path.name]
