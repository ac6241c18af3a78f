"""What Triton's launcher tells the compiler of a call on ROCm: types, constants and attributes of its arguments.

The wrappers launch the plain-Triton kernels by ``kernel[grid](...)``; the launcher then specialises them by the values
that they are given: an integer of 1 becomes a constant, a multiple of 16 is noted, one past 31 bits takes 64, and of a
tensor it is noted whether 32-bit offsets reach all of its storage, of which AMD's compiler makes buffer instructions.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.signature import parse

_MOST_NARROW = (1 << 31) - 1
"""Bytes of the largest storage of which 32-bit offsets are said to reach everything."""
_DIVISIBLE = ("tt.divisibility", 16)
_NARROW = ("tt.pointer_range", 32)


@dataclass(frozen=True)
class Pointer:
    """A tensor as an argument.

    Attributes:
        kind: Triton's type.
        storage: bytes of the tensor's storage.
        offset: bytes from there to the tensor.
    """

    kind: str
    storage: int
    offset: int = 0


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter.

    Attributes:
        constexpr: whether it is a compile-time value.
        annotated: the integer type that its annotation states, or empty.
        specialise: whether values of integers may be compiled in.
    """

    name: str
    constexpr: bool = False
    annotated: str = ""
    specialise: bool = True


@dataclass(frozen=True)
class Specialised:
    """The arguments as a compile request has them."""

    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, int | str], ...]
    attributes: tuple[tuple[int, tuple[tuple[str, int], ...]], ...]


def read_parameters(source: bytes, filename: str, function: str) -> tuple[Parameter, ...]:
    """The parameters of a ``@triton.jit`` function.

    Raises:
        NotUnderstoodError: the file does not parse, the function is not there once, or it takes more than positions.
    """
    found = [n for n in parse(source, filename).body if isinstance(n, ast.FunctionDef) and n.name == function]
    if len(found) != 1:
        raise NotUnderstoodError(f"{filename} defines {function} {len(found)} times at top level")
    given = found[0].args
    if given.vararg or given.kwarg or given.kwonlyargs:
        raise NotUnderstoodError(f"{filename}: {function} has parameters that are not understood")
    return tuple(_parameter(argument) for argument in (*given.posonlyargs, *given.args))


def _parameter(argument: ast.arg) -> Parameter:
    note = ast.unparse(argument.annotation).rpartition(".")[2] if argument.annotation is not None else ""
    if note in ("", "constexpr"):
        return Parameter(argument.arg, constexpr=note == "constexpr")
    if note in ("int32", "int64"):
        return Parameter(argument.arg, annotated=f"i{note[3:]}")
    raise NotUnderstoodError(f"parameter {argument.arg} is annotated as {note}, which is not understood")


def specialise(parameters: Sequence[Parameter], values: Mapping[str, int | str | Pointer]) -> Specialised:
    """What the launcher makes of a call.

    Args:
        values: by name; integers, pointers, and values of compile-time parameters.

    Raises:
        NotUnderstoodError: a parameter has no value: what the wrapper passes there is not known.
    """
    unknown = [parameter.name for parameter in parameters if parameter.name not in values]
    if unknown:
        raise NotUnderstoodError(
            f"parameters that are not known: {', '.join(unknown)}",
            why="what the wrapper passes there is not known, and a guess would run another kernel than production",
            remedy="use a newer aiterfix",
        )
    signature: list[tuple[str, str]] = []
    constants: list[tuple[str, int | str]] = []
    attributes: list[tuple[int, tuple[tuple[str, int], ...]]] = []
    for index, parameter in enumerate(parameters):
        value = values[parameter.name]
        noted: list[tuple[str, int]] = []
        if isinstance(value, Pointer):
            kind = value.kind
            noted = [_DIVISIBLE] if value.offset % 16 == 0 else []
            noted += [_NARROW] if value.storage <= _MOST_NARROW else []
        elif (
            parameter.constexpr
            or isinstance(value, str)
            or (value == 1 and parameter.specialise and not parameter.annotated)
        ):
            kind = "constexpr"
        else:
            kind = parameter.annotated or ("i32" if -(1 << 31) <= value < 1 << 31 else "i64")
            noted = [_DIVISIBLE] if value % 16 == 0 and parameter.specialise else []
        signature.append((parameter.name, kind))
        if kind == "constexpr" and not isinstance(value, Pointer):
            constants.append((parameter.name, value))
        if noted:
            attributes.append((index, tuple(noted)))
    return Specialised(tuple(signature), tuple(constants), tuple(attributes))
