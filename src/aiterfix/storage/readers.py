"""From parsed JSON to the value that a type says, or a refusal: one reader a type, made once."""

from __future__ import annotations

import functools
import math
import reprlib
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


class RefusedError(ValueError):
    """A problem on its way up through what holds it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.key = ""

    def inside(self, key: str) -> RefusedError:
        """The same, seen from what holds it under ``key``: ``name`` or ``[number]``."""
        self.key = key + ("." if self.key and not self.key.startswith("[") else "") + self.key
        return self


def sha256(text: str) -> str:
    """A check: a SHA-256, hexadecimal."""
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise ValueError("not a SHA-256")
    return text


def within(least: int, most: int = 2**63 - 1) -> Callable[[int], int]:
    """A check: a number from ``least`` to ``most``."""

    def check(number: int) -> int:
        if not least <= number <= most:
            raise ValueError(f"not from {least} to {most}")
        return number

    return check


Sha256 = Annotated[str, sha256]
Count = Annotated[int, within(0)]


def shown(value: object) -> str:
    """A key or a value in a message: short, whatever it is."""
    return value if isinstance(value, str) and value.isidentifier() and len(value) < 80 else reprlib.repr(value)


def _wrong(value: object, wanted: str) -> RefusedError:
    return RefusedError(f"is {reprlib.repr(value)}, not {wanted}")


@functools.cache
def reader_of(kind: Any) -> Callable[[Any], Any]:
    """The function that turns JSON into ``kind``, or raises `RefusedError`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _checked(reader_of(inner[0]), inner[1:])
    if origin is Literal:
        return functools.partial(_literal, inner)
    if origin in (Union, types.UnionType):
        return _one_of(inner)
    if origin is tuple:
        return _many(reader_of(inner[0])) if inner[1:] == (...,) else _exactly([reader_of(item) for item in inner])
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(reader_of(inner[1]))
    if kind in _SCALARS:
        return _SCALARS[kind]
    if is_dataclass(kind):
        return functools.partial(_dataclass, kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return functools.partial(_member, kind)
    raise TypeError(f"{kind} is not a type that can be stored")


def _literal(allowed: tuple[Any, ...], value: Any) -> Any:
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise _wrong(value, " or ".join(map(repr, allowed)))
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _wrong(value, "text")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(value, "true or false")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _wrong(value, "a whole number of at most 64 bits")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _wrong(value, "a number")
    return float(value)


def _nothing(value: Any) -> None:
    if value is not None:
        raise _wrong(value, "null")


def _bytes(value: Any) -> bytes:
    try:
        return _text(value).encode("latin-1")
    except UnicodeEncodeError:
        raise _wrong(value, "bytes, one character each") from None


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    bool: _truth,
    int: _integer,
    float: _number,
    bytes: _bytes,
    types.NoneType: _nothing,
}


def _checked(reader: Callable[[Any], Any], checks: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    def read_checked(value: Any) -> Any:
        result = reader(value)
        try:
            for check in checks:
                result = check(result)
        except ValueError as error:
            raise RefusedError(f"is {reprlib.repr(value)}: {error}") from None
        return result

    return read_checked


def _one_of(kinds: tuple[Any, ...]) -> Callable[[Any], Any]:
    others = [kind for kind in kinds if kind is not types.NoneType]
    if len(others) == 1:
        reader = reader_of(others[0])
        return lambda value: None if value is None else reader(value)
    readers = {kind: _SCALARS[kind] for kind in kinds}
    wanted = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in kinds)

    def read_scalar(value: Any) -> Any:
        if type(value) not in readers:
            raise _wrong(value, wanted)
        return readers[type(value)](value)

    return read_scalar


def _many(reader: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: tuple(_inside(f"[{number}]", reader, item) for number, item in enumerate(_list(value)))


def _exactly(readers: list[Callable[[Any], Any]]) -> Callable[[Any], tuple[Any, ...]]:
    def read_tuple(value: Any) -> tuple[Any, ...]:
        if len(_list(value)) != len(readers):
            raise _wrong(value, f"a list of {len(readers)}")
        return tuple(_inside(f"[{n}]", *both) for n, both in enumerate(zip(readers, value, strict=True)))

    return read_tuple


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _wrong(value, "a list")
    return value


def _inside(key: str, reader: Callable[[Any], Any], value: Any) -> Any:
    try:
        return reader(value)
    except RefusedError as refused:
        raise refused.inside(key) from None


def _mapping(reader: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: _inside(shown(name), reader, item) for name, item in _table(value).items()}


def _table(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _wrong(value, "an object")
    return value


def _member(kind: type[Enum], value: Any) -> Enum:
    for member in kind:
        if type(value) is type(member.value) and value == member.value:
            return member
    raise _wrong(value, "one of " + ", ".join(str(member.value) for member in kind))


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Callable[[Any], Any], bool]]:
    """For each field its reader, and whether it may be missing. Asked late: a type may hold itself."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.name: (reader_of(hints[field.name]), (field.default, field.default_factory) != (MISSING, MISSING))
        for field in fields(kind)
    }


def _dataclass(kind: Any, value: Any) -> Any:
    known = _fields(kind)
    table = _table(value)
    for name in table:
        if name not in known:
            raise RefusedError("is not known here").inside(shown(name))
    found = {}
    for name, (reader, optional) in known.items():
        if name in table:
            found[name] = _inside(name, reader, table[name])
        elif not optional:
            raise RefusedError("is missing").inside(name)
    return kind(**found)
