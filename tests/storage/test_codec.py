"""The one JSON codec: what comes back, and what is refused with file and key."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest

from aiterfix.storage import codec
from aiterfix.storage.codec import StoredError
from aiterfix.storage.readers import Count, Sha256, within

PLACE = Path("/somewhere/stored.json")


class Colour(str, Enum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True)
class Leaf:
    size: Count
    share: float = 0.5


def _named(name: str) -> str:
    if not name:
        raise ValueError("empty")
    return name.lower()


@dataclass(frozen=True)
class Node:
    name: Annotated[str, _named]
    digest: Sha256
    on: bool
    colour: Colour
    raw: bytes
    pair: tuple[int, str]
    leaves: tuple[Leaf, ...] = ()
    notes: Mapping[str, str | int | bool | None] | None = None
    above: Node | None = None


NODE = Node(
    "n", "a" * 64, True, Colour.GREEN, bytes(range(256)), (-(2**63), "ä"), (Leaf(1), Leaf(2, 1.5)), {"a": None, "b": 1}
)


def said(**changes: Any) -> dict[str, Any]:
    """`NODE` as JSON, changed; ``...`` takes a key away."""
    body: dict[str, Any] = {**codec.plain(NODE), **changes}
    return {name: value for name, value in body.items() if value is not ...}


def read(body: object) -> Node:
    return codec.decode(json.dumps(body).encode(), Node, PLACE)


def test_what_is_stored_comes_back_and_is_stored_the_same() -> None:
    whole = replace(NODE, above=NODE)
    for indent in (None, 1):
        data = codec.encode(whole, indent=indent)
        assert codec.decode(data, Node, PLACE) == whole
        assert codec.encode(codec.decode(data, Node, PLACE), indent=indent) == data
    assert codec.encode(Leaf(3)) == b'{\n "share": 0.5,\n "size": 3\n}\n'


def test_defaults_may_be_missing_and_left_out() -> None:
    assert read(said(leaves=..., notes=..., above=...)) == replace(NODE, leaves=(), notes=None)
    assert codec.plain(replace(NODE, leaves=(Leaf(1),)), sparse=True)["leaves"] == [{"size": 1}]
    assert "above" not in codec.plain(NODE, sparse=True)
    assert "above" in codec.plain(NODE)


def test_checks_give_the_value_that_is_kept() -> None:
    assert read(said(name="UPPER")).name == "upper"
    assert codec.build({"size": 1, "share": 2}, Leaf, PLACE) == Leaf(1, 2.0)


@pytest.mark.parametrize(
    ("body", "key", "problem"),
    [
        ([], "", "not an object"),
        (None, "", "not an object"),
        (said(name=...), "name", "missing"),
        (said(new=1), "new", "not known"),
        (said(name=""), "name", "empty"),
        (said(name=None), "name", "not text"),
        (said(digest="A" * 64), "digest", "not a SHA-256"),
        (said(digest="a" * 63), "digest", "not a SHA-256"),
        (said(on=1), "on", "not true or false"),
        (said(colour="blue"), "colour", "not one of red, green"),
        (said(colour=["red"]), "colour", "not one of"),
        (said(raw="\N{EURO SIGN}"), "raw", "not bytes"),
        (said(pair=[1]), "pair", "not a list of 2"),
        (said(pair={"0": 1}), "pair", "not a list"),
        (said(pair=[True, "x"]), "pair[0]", "not a whole number"),
        (said(pair=[1.0, "x"]), "pair[0]", "not a whole number"),
        (said(pair=[2**63, "x"]), "pair[0]", "64 bits"),
        (said(leaves=[{"size": 1}, {"size": -1}]), "leaves[1].size", "not from 0"),
        (said(leaves=[{"size": 1, "share": "1"}]), "leaves[0].share", "not a number"),
        (said(leaves=[{"size": 1, "share": True}]), "leaves[0].share", "not a number"),
        (said(notes={"a b": 1.5}), "notes.'a b'", "not str or int or bool or null"),
        (said(notes=[]), "notes", "not an object"),
        (said(above=said(leaves=[{}])), "above.leaves[0].size", "missing"),
    ],
)
def test_a_refusal_names_file_and_key(body: object, key: str, problem: str) -> None:
    with pytest.raises(StoredError, match=r"stored\.json") as refused:
        read(body)
    assert refused.value.key == key
    assert problem in refused.value.problem
    assert key in str(refused.value)


@contextmanager
def digits(most: int) -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(most)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("most", [0, 640, 4300])
def test_long_numbers(most: int) -> None:
    with digits(most):
        for number in ("9" * 5000, "-" + "9" * 5000, "9" * 21):
            with pytest.raises(StoredError, match="digits"):
                codec.decode(b'{"size": ' + number.encode() + b"}", Leaf, PLACE)
        for number in ("1e999", "-1e999", "NaN", "Infinity"):
            with pytest.raises(StoredError, match="number"):
                codec.decode(b'{"size": 1, "share": ' + number.encode() + b"}", Leaf, PLACE)


@pytest.mark.parametrize("opening", ["[", '{"above":'])
@pytest.mark.parametrize("levels", [codec.MOST_LEVELS + 1, 900, 200_000])
def test_deep_nesting(opening: str, levels: int) -> None:
    closing = "]" if opening == "[" else "}"
    with pytest.raises(StoredError, match="nested deeper"):
        codec.decode((opening * levels + "1" + closing * levels).encode(), Node, PLACE)


def test_nesting_within_bounds_is_read() -> None:
    levels = codec.MOST_LEVELS - 1
    assert codec.parse(b"[" * levels + b"]" * levels, PLACE)
    deep = NODE
    for _ in range(codec.MOST_LEVELS // 2):
        deep = replace(NODE, above=deep)
    assert read(codec.plain(deep)) == deep


@pytest.mark.parametrize("data", [b"", b"{", b'{"size": 1}x', b"\xff\xfe\x00", b"\x80", b'{"size": 01}', b"'a'"])
def test_what_is_no_json(data: bytes) -> None:
    with pytest.raises(StoredError, match="is not JSON"):
        codec.decode(data, Leaf, PLACE)


def test_a_key_that_stands_twice() -> None:
    with pytest.raises(StoredError, match="twice") as refused:
        codec.decode(b'{"size": 1, "share": 1, "size": 2}', Leaf, PLACE)
    assert refused.value.key == "size"


def test_size(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(codec.encode(Leaf(7)))
    size = path.stat().st_size
    assert codec.read(path, Leaf, most_bytes=size) == Leaf(7)
    with pytest.raises(StoredError, match=f"more than {size - 1} bytes"):
        codec.read(path, Leaf, most_bytes=size - 1)
    with pytest.raises(FileNotFoundError):
        codec.read(tmp_path / "nowhere", Leaf)


def test_what_cannot_be_stored_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="not a type that can be stored"):
        codec.build({}, set, PLACE)
    with pytest.raises(ValueError, match="not JSON compliant"):
        codec.encode(Leaf(1, float("nan")))
    with pytest.raises(ValueError, match="from 1 to 2"):
        within(1, 2)(3)
