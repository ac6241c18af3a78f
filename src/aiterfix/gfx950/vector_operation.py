"""A line of a vector ALU semantics table, and the input modifiers that every encoding of it may carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiterfix.gfx950.operands import Binder, Fetch, Kind


@dataclass(frozen=True)
class VectorOperation:
    """One line of a semantics table.

    Attributes:
        compute: called with the sources and ``out=``. ``out`` may be the same array as a source, so only the last
            array operation may write to it.
        result: what ``out`` is.
        sources: what each source is.
        accumulates: the destination is read as one more source, the last.
    """

    compute: Callable[..., Any]
    result: Kind
    sources: tuple[Kind, ...]
    accumulates: bool = False


def operation(compute: Callable[..., Any], kinds: str, *, accumulates: bool = False) -> VectorOperation:
    """A table line from a signature such as ``"U32 <- U32 U32"``."""
    result, sources = kinds.split("<-")
    return VectorOperation(
        compute, Kind[result.strip()], tuple(Kind[name] for name in sources.split()), accumulates=accumulates
    )


_SIGN = np.uint32(1 << 31)


def modified(
    binder: Binder, fetch: Fetch, kind: Kind, absolute: bool, negative: bool, signed_bits: bool = False
) -> Fetch:
    """A source with the floating-point input modifiers.

    Args:
        signed_bits: a single's bits, fetched as an integer so that nothing about them is a number, are meant.
    """
    if not (absolute or negative):
        return fetch
    if signed_bits and kind is Kind.U32:
        kept, flipped = (~_SIGN if absolute else ~np.uint32(0)), (_SIGN if negative else np.uint32(0))
        return lambda g: fetch(g) & kept ^ flipped
    if not kind.is_float:
        binder.refuse("abs or neg on an integer operand")
    if absolute and negative:
        return lambda g: np.negative(np.abs(fetch(g)))
    if absolute:
        return lambda g: np.abs(fetch(g))
    return lambda g: np.negative(fetch(g))
