"""Just enough MessagePack to read the metadata note of an AMD code object (maps, arrays, strings, integers)."""

from __future__ import annotations

import struct
from typing import TypeAlias

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[Value, Value] | None"

_FIXED = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_LENGTH = {1: ">B", 2: ">H", 4: ">I"}


class MessagePackError(ValueError):
    """The bytes are not the MessagePack subset that the metadata uses."""


def unpack(data: bytes) -> Value:
    """Decode one value that fills ``data`` exactly.

    Raises:
        MessagePackError: truncated, trailing bytes, or an extension type.
    """
    try:
        value, end = _read(data, 0)
    except (struct.error, IndexError, UnicodeDecodeError, TypeError, RecursionError) as error:
        raise MessagePackError(f"malformed MessagePack: {error}") from error
    if end != len(data):
        raise MessagePackError(f"{len(data) - end} bytes follow the value")
    return value


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise MessagePackError("the data ends inside a value")
    return data[at : at + size], at + size


def _length(data: bytes, at: int, width: int) -> tuple[int, int]:
    return struct.unpack_from(_LENGTH[width], data, at)[0], at + width


def _read(data: bytes, at: int) -> tuple[Value, int]:
    tag = data[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if tag >= 0xE0:
        return tag - 0x100, at
    if tag < 0x90:
        return _map(data, at, tag & 0x0F)
    if tag < 0xA0:
        return _array(data, at, tag & 0x0F)
    if tag < 0xC0:
        raw, at = _take(data, at, tag & 0x1F)
        return raw.decode(), at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if tag in _FIXED:
        return struct.unpack_from(_FIXED[tag], data, at)[0], at + struct.calcsize(_FIXED[tag])
    if tag in (0xC4, 0xC5, 0xC6):
        size, at = _length(data, at, 1 << (tag - 0xC4))
        return _take(data, at, size)
    if tag in (0xD9, 0xDA, 0xDB):
        size, at = _length(data, at, 1 << (tag - 0xD9))
        raw, at = _take(data, at, size)
        return raw.decode(), at
    if tag in (0xDC, 0xDD):
        size, at = _length(data, at, 2 << (tag - 0xDC))
        return _array(data, at, size)
    if tag in (0xDE, 0xDF):
        size, at = _length(data, at, 2 << (tag - 0xDE))
        return _map(data, at, size)
    raise MessagePackError(f"type byte {tag:#x} is not used by code object metadata")


def _array(data: bytes, at: int, size: int) -> tuple[Value, int]:
    items: list[Value] = []
    for _ in range(size):
        item, at = _read(data, at)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, size: int) -> tuple[Value, int]:
    items: dict[Value, Value] = {}
    for _ in range(size):
        key, at = _read(data, at)
        items[key], at = _read(data, at)
    return items, at
