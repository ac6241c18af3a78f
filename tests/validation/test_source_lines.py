from __future__ import annotations

import pytest

from aiterfix.validation.source_lines import SourceLines

TEXT = b"""\
def kernel(p):
    if p:
        store(
            p,
            mask=p
            > 0,
        )
    x = 1
"""


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("k.py:4", "k.py:3"),
        ("deep/k.py:7", "deep/k.py:3"),
        ("k.py:3", "k.py:3"),
        ("k.py:8", "k.py:8"),
        ("k.py:2", "k.py:2"),
        ("standard.py:4", "standard.py:4"),
        ("", ""),
    ],
)
def test_a_line_inside_a_statement_becomes_its_first(place: str, found: str) -> None:
    assert SourceLines.of(TEXT, "some/where/k.py").locate(place) == found
