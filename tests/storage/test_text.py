"""What a search for names must know of encodings and of Unicode."""

from __future__ import annotations

import ast
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.storage.text import as_parsed, finder, opaque_encoding


def test_every_character_that_the_parser_takes_for_an_ascii_one_is_resolved() -> None:
    tried = 0
    for code in range(128, sys.maxunicode + 1):
        character = chr(code)
        if not f"a{character}".isidentifier():
            continue
        plain = unicodedata.normalize("NFKC", character)
        if any(c.isascii() for c in plain):
            tried += 1
            assert as_parsed(f"a{character}".encode()) == f"a{plain}".encode()
    assert tried > 700


def test_the_parser_agrees() -> None:
    (name,) = (n for n in ast.walk(ast.parse("\uff4bernel\u017f")) if isinstance(n, ast.Name))
    assert as_parsed("\uff4bernel\u017f".encode()).decode() == name.id == "kernels"


@pytest.mark.parametrize("text", [b"plain = 1", "# \u4e2d\u6587\uff0c\u2192 \u2014".encode(), b"\xff\xfe bytes"])
def test_other_text_is_left_alone(text: bytes) -> None:
    assert as_parsed(text) is text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"# -*- coding: utf-7 -*-\n", True),
        (b"#!/usr/bin/python\n# vim: set fileencoding=raw_unicode_escape :\n", True),
        (b"\n# coding=unicode-escape\n", True),
        (b"\xef\xbb\xbf# coding: utf-7\n", True),
        (b"\r# coding: utf-7\r", True),
        (b"# coding: gbk\n", True),
        (b"# coding: utf8x\n", True),
        (b"# -*- coding: utf-8 -*-\n", False),
        (b"# coding: UTF_8\n", False),
        (b"# coding: latin-1\n", False),
        (b"# coding: us-ascii\n", False),
        (b"x = 1\n# coding: utf-7\n", False),
        (b"\n\n# coding: utf-7\n", False),
        (b"encoding = 'utf-7'\n", False),
        (b"", False),
    ],
)
def test_only_a_cookie_that_may_hide_names_counts(text: bytes, expected: bool) -> None:
    assert opaque_encoding(text) is expected


_BYTES = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\xff", b"ab"]), max_size=12).map(b"".join)


@given(_BYTES, _BYTES)
def test_the_finder_finds_what_python_finds(data: bytes, needle: bytes) -> None:
    assert finder()([("one", data)], needle) == [("one", data)] * (needle in data)


def test_where_libc_cannot_be_asked_python_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    files = [("one", b"a\nb"), ("other", b"ab")]
    assert finder()(files, b"b") == files
    assert finder()(files, b"\nb") == files[:1]
