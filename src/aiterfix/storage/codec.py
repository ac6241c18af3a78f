"""What is stored as JSON: frozen dataclasses to bytes, and back with every field checked. Standard library only.

A type says what is accepted:

    a dataclass           an object of its fields and no others; a field with a default may be missing
    str, bool, None       themselves
    int                   a whole number of at most 64 bits
    float                 a number, finite
    bytes                 text, one character (U+0000 to U+00FF) a byte
    an Enum               one of its values
    tuple[X, ...], tuple[X, Y], Mapping[str, X], X | None, str | int | None (any union of scalars)
    Annotated[X, check]   X; then ``check(value)`` gives the value to keep, or raises ValueError

Anybody may have written or damaged what is read: its size, nesting and digits are bounded, a key that stands twice is
refused, and what is not as it should be ends in `StoredError`, which names file and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

from aiterfix.errors import NotUnderstoodError
from aiterfix.storage.held import RefusedFileError, read_file
from aiterfix.storage.readers import RefusedError, reader_of, shown

MOST_BYTES = 64 << 20
MOST_LEVELS = 32
_MOST_DIGITS = 20

T = TypeVar("T")


class StoredError(NotUnderstoodError):
    """A stored file that is not what it should be.

    Attributes:
        key: what in it is wrong, as ``journal.files[2].size``; empty for the whole of it.
    """

    code = "stored-file"

    def __init__(self, path: Path, problem: str, key: str = "") -> None:
        self.path = path
        self.key = key
        self.problem = problem
        super().__init__(f"{path}: {self.detail}")

    @property
    def detail(self) -> str:
        """Key and problem."""
        return f"`{self.key}` {self.problem}" if self.key else f"it {self.problem}"


def read(path: Path, kind: type[T], *, most_bytes: int = MOST_BYTES) -> T:
    """Read a file as ``kind``.

    Raises:
        OSError: it cannot be read.
        StoredError: it is not what it should be.
    """
    try:
        data = read_file(path, most=most_bytes)
    except RefusedFileError as refused:
        raise StoredError(path, str(refused.strerror)) from refused
    return decode(data, kind, path, most_bytes=most_bytes)


def decode(data: bytes, kind: type[T], path: Path, *, most_bytes: int = MOST_BYTES) -> T:
    """What these bytes, the content of ``path``, say as ``kind``.

    Raises:
        StoredError: they are not what they should be.
    """
    return build(parse(data, path, most_bytes=most_bytes), kind, path)


def encode(value: object, *, indent: int | None = 1, sparse: bool = False) -> bytes:
    """The bytes that `decode` takes; the same value gives the same bytes. ``sparse``: see `plain`."""
    import json

    return json.dumps(plain(value, sparse=sparse), indent=indent, sort_keys=True, allow_nan=False).encode() + b"\n"


def parse(data: bytes, path: Path, *, most_bytes: int = MOST_BYTES) -> Any:
    """JSON as objects, lists and scalars, within bounds.

    Raises:
        StoredError: it is none, or too large.
    """
    import json

    if len(data) > most_bytes:
        raise StoredError(path, f"has more than {most_bytes} bytes")
    try:
        value = json.loads(data, parse_int=_whole, parse_constant=_no_number, object_pairs_hook=_object)
        _require_shallow(value)
    except RecursionError:
        raise StoredError(path, f"is nested deeper than {MOST_LEVELS} levels") from None
    except RefusedError as refused:
        raise StoredError(path, refused.problem, refused.key) from None
    except ValueError as error:
        raise StoredError(path, f"is not JSON, after {len(data)} bytes: {error}") from error
    return value


def build(value: object, kind: type[T], path: Path, key: str = "") -> T:
    """What parsed JSON says as ``kind``.

    Args:
        value: from `parse`.
        key: where in that file it stands, for the error.

    Raises:
        StoredError: it says something else.
    """
    try:
        return cast("T", reader_of(cast("Any", kind))(value))
    except RefusedError as refused:
        raise StoredError(path, refused.problem, refused.inside(key).key if key else refused.key) from None


def plain(value: Any, *, sparse: bool = False) -> Any:
    """A value of the types above as JSON's own; ``sparse`` leaves out fields that hold their default."""
    if is_dataclass(value):
        return {
            field.name: plain(item, sparse=sparse)
            for field in fields(value)
            for item in (getattr(value, field.name),)
            if not (sparse and field.default is not MISSING and item == field.default)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Mapping):
        return {key: plain(item, sparse=sparse) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item, sparse=sparse) for item in value]
    return value


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # before int() takes quadratic time, or refuses in its own way
        raise RefusedError(f"holds a number of {len(digits)} digits")
    return int(digits)


def _no_number(name: str) -> float:
    raise RefusedError(f"holds {name}, which is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RefusedError("stands there twice").inside(shown(twice))
    return found


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise RefusedError(f"is nested deeper than {MOST_LEVELS} levels")
