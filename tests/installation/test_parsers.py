"""Parsers of what others wrote: exact on what installers write, and never an exception on anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.installation.editable import parse_finder, parse_pth, parse_start
from aiterfix.installation.gitcommit import packed_reference, reference_name
from aiterfix.installation.metadata import (
    Origin,
    VersionFile,
    commit_of_version,
    is_metadata_name,
    parse_direct_url,
    parse_headers,
    parse_version_file,
)

PIECES = (
    b"MAPPING|NAMESPACES| = |: |{|}|[|'aiter'|,|(|)|F.map_module|Name|Version|ref: |refs/heads/x|import |__version__"
)
NOISE = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(st.sampled_from([*PIECES.split(b"|"), b"\n", b"\xef\xbb\xbf", b"\0", b"1" * 40]), max_size=30).map(
        b"".join
    ),
)


@given(NOISE)
def test_no_parser_raises(data: bytes) -> None:
    for parser in (parse_pth, parse_start, parse_finder, parse_headers, parse_version_file, parse_direct_url):
        parser(data)
    name = reference_name(data)
    assert name is None or ".." not in name.split("/")
    assert packed_reference(data, "refs/heads/x") in (None, b"1" * 40)
    is_metadata_name(data.decode("latin-1"))
    commit_of_version(data.decode("latin-1"))


@pytest.mark.parametrize("data", [b"(" * 5000, b"[" * 100_000, b"-" * 100_000 + b"1", b"MAPPING = " + b"{1:" * 3000])
def test_deep_nesting_is_no_crash(data: bytes) -> None:
    assert parse_finder(data) is None
    assert parse_version_file(data) == VersionFile()
    assert parse_direct_url(data) == Origin()


_PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(_PATHS, _PATHS, min_size=1), st.dictionaries(_PATHS, st.lists(_PATHS)))
def test_finder_tables_come_back(mapping: dict[str, str], namespaces: dict[str, list[str]]) -> None:
    source = f"from x import y\nMAPPING: dict[str, str] = {mapping!r}\nNAMESPACES = {namespaces!r}\n"
    found = parse_finder(source.encode())
    assert found is not None
    assert found.packages == mapping
    assert found.namespaces == {key: tuple(value) for key, value in namespaces.items()}


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "MAPPING = {'a': place()}",
        "MAPPING = {1: 'a'}",
        "MAPPING = {'a': 1}",
        "MAPPING = ['a']",
        "MAPPING = {'a': 'b\\0'}",
        "MAPPING = {}\nNAMESPACES = {'a': 'b'}",
        "MAPPING = {}\nNAMESPACES = other()",
        "MAPPING: dict[str, str]",
        "F.map_module('aiter')",
        "F.map_module('aiter', place)",
        "map_module('aiter', '/x')",
        "if True:\n    MAPPING = {}",
    ],
)
def test_other_finders_are_not_understood(source: str) -> None:
    assert parse_finder(source.encode()) is None


def test_finder_calls_of_the_exact_mode() -> None:
    source = "from x import Finder as F\nF.install()\nF.map_module('aiter', '/s/aiter/__init__.py')"
    found = parse_finder(source.encode())
    assert found is not None
    assert found.packages == {"aiter": "/s/aiter/__init__.py"}
    assert found.concerns("aiter")
    assert not found.concerns("aite")


def test_path_file() -> None:
    lines = b"# comment\r\n/a b/c \r\nimport one; one.install()\n\nimport two, a.b\n  \n\xe9/x\nimportant/d\n/nul\0\n"
    found = parse_pth(b"\xef\xbb\xbf" + lines)
    assert found.paths == ("/a b/c", "\udce9/x", "important/d")
    assert found.modules == ("one", "two", "a.b")
    assert found.inline == b"import one; one.install()\nimport two, a.b"


def test_start_file() -> None:
    assert parse_start(b"# c\na.b:install\n\nc:go\n1x y:z\n").modules == ("a.b", "c")


def test_headers_end_before_the_description() -> None:
    data = b"Metadata-Version: 2\r\nname:  amd-aiter \r\nSummary: a\r\n Name: b\r\nVersion: 1.0\r\n\r\nName: other\r\n"
    assert parse_headers(data) == ("amd-aiter", "1.0")
    assert parse_headers(b"Name:\n\nVersion: 1\n") == (None, None)
    assert parse_headers(b"Version: 1\nVersion: 2\n") == (None, "1")


@pytest.mark.parametrize(
    ("source", "version", "commit"),
    [
        ("__version__ = '0.1.20'", "0.1.20", None),
        ("__version__ = version = '0.1.21.dev3+g0123abc.d20260101'", "0.1.21.dev3+g0123abc.d20260101", "0123abc"),
        ("version: str = '1.0'\n__commit_id__ = commit_id = 'g89abcdef'", "1.0", "89abcdef"),
        ("__version__ = '1.0+g0123abc'\ncommit_id = None", "1.0+g0123abc", "0123abc"),
        ("__version__ = compute()", None, None),
        ("raise SystemExit", None, None),
        ("__version__ = ''", None, None),
        ("__version__ = '1.0+rocm7.g0123abc'", "1.0+rocm7.g0123abc", "0123abc"),
        ("__version__ = '1.0+gfx950'", "1.0+gfx950", None),
    ],
)
def test_version_file(source: str, version: str | None, commit: str | None) -> None:
    assert parse_version_file(source.encode()) == VersionFile(version, commit)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"url": "file:///srv/a%20b", "dir_info": {"editable": True}}, Origin(None, True, "/srv/a b")),
        ({"url": "file://localhost/srv", "dir_info": {}}, Origin(None, False, "/srv")),
        ({"url": "https://x.invalid", "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}, Origin("0" * 40)),
        ({"url": 1, "vcs_info": [], "dir_info": "x"}, Origin()),
        ({"vcs_info": {"commit_id": "main"}}, Origin()),
        ([], Origin()),
    ],
)
def test_direct_url(record: object, expected: Origin) -> None:
    assert parse_direct_url(json.dumps(record).encode()) == expected


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("amd_aiter-0.1.20.dist-info", True),
        ("AMD.Aiter-0.1.20+rocm7.dist-info", True),
        ("amd-aiter-0.1.20.dist-info", True),
        ("aiter-0.13.20191203.dist-info", True),
        ("amd_aiter.egg-info", True),
        ("amd_aiter-0.1.6-py3.10.egg-info", True),
        ("amd_aiter-0.1.6-py3.10-linux-x86_64.egg-info", True),
        ("aiterfix-0.1.0.dist-info", False),
        ("aiter_tools-1.dist-info", False),
        ("amd_aiter-0.1.20", False),
    ],
)
def test_metadata_names(name: str, ours: bool) -> None:
    assert is_metadata_name(name) is ours


def test_packed_reference() -> None:
    data = b"# pack-refs\n" + b"a" * 40 + b" refs/tags/x\n^" + b"b" * 40 + b"\n" + b"c" * 64 + b" refs/heads/x\r\n"
    assert packed_reference(data, "refs/tags/x") == b"a" * 40
    assert packed_reference(data, "refs/heads/x") == b"c" * 64
    assert packed_reference(data, "refs/heads") is None
