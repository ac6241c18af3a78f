from __future__ import annotations

from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace
from typing import Any

import pytest

from aiterfix.storage.record import record


@record(frozen=True)
class Base:
    a: int
    b: str


@record(frozen=True)
class More(Base):
    c: tuple[int, ...]


def test_it_is_a_dataclass() -> None:
    one = More(1, "x", c=(2,))
    assert is_dataclass(one)
    assert [f.name for f in fields(one)] == ["a", "b", "c"]
    assert (one.a, one.b, one.c) == (1, "x", (2,))
    assert replace(one, b="y") == More(1, "y", (2,))
    assert repr(one) == "More(a=1, b='x', c=(2,))"


def test_equality_is_of_class_and_every_field() -> None:
    one = More(1, "x", (2,))
    assert one == More(c=(2,), b="x", a=1)
    assert hash(one) == hash(More(c=(2,), b="x", a=1))
    assert one != More(1, "x", (3,))
    assert Base(1, "x") != More(1, "x", ())
    assert one.__eq__((1, "x", (2,))) is NotImplemented


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1,), {}), ((1, "x", 2), {}), ((1, "x"), {"a": 1}), ((1,), {"b": "x", "c": 1}), ((1,), {"c": 1})],
)
def test_each_field_is_given_once(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Base takes each of a, b once"):
        Base(*values, **named)


def test_it_is_frozen() -> None:
    one = Base(1, "x")
    with pytest.raises(FrozenInstanceError):
        one.a = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del one.a
    assert one == Base(1, "x")


@record(frozen=True)
class Full(Base):
    c: int = 3
    d: list[int] = field(default_factory=list)
    e: bytes = field(default=b"", repr=False, compare=False)


def test_defaults_and_what_is_neither_shown_nor_compared() -> None:
    one, two = Full(1, "x"), Full(1, "x", e=b"text")
    assert (one.c, one.d, one.e) == (3, [], b"")
    assert one.d is not two.d
    assert one == two
    assert repr(two) == "Full(a=1, b='x', c=3, d=[])"
    assert replace(two, c=4) == Full(1, "x", 4)
    with pytest.raises(TypeError, match="takes each of a, b, c, d, e once"):
        Full(1, c=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes each of a, b, c, d, e once"):
        Full(1, "x", f=2)  # type: ignore[call-arg]


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(TypeError, match="no fields but its arguments"):

        @record(frozen=True)
        class Derived:
            a: int
            b: int = field(init=False)

    with pytest.raises(TypeError, match="frozen"):

        @record(frozen=False)
        class Open:
            a: int
