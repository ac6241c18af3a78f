"""Read TTGIR far enough to say which stores reach the output, and whether their masks bound the column.

A mask counts as bounding if one of the terms of its conjunction is a signed comparison with the value of the
bound parameter, on the right side of ``<``; what the left side is was decided from the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DEFINITION = re.compile(r"^\s*(%[\w:#]+)(?::\d+)?(?:, %[\w]+)* = (.*)$")
_VALUE = re.compile(r"%[\w]+(?:#\d+)?")
_STORE = re.compile(r"(?:amdg|amdgpu)\.buffer_store ([^:]*)|tt\.store ([^:]*)")


@dataclass(frozen=True)
class Store:
    """One store to the output: its text and whether its mask bounds the column from above."""

    text: str
    bounded: bool


def stores(ttgir: str, output: str, bound: str) -> list[Store]:
    """Every store whose address depends on the output parameter.

    Args:
        ttgir: one module, as ``CompiledKernel.asm["ttgir"]``.
        output: name of the output parameter.
        bound: name of the parameter that bounds the column.
    """
    definitions = _definitions(ttgir)
    found = []
    for line in ttgir.splitlines():
        match = _STORE.search(line)
        if match is None or "%" not in line:
            continue
        operands, mask = _operands(match)
        if any(_depends(o, f"%{output}", definitions, set()) for o in operands):
            found.append(Store(line.strip(), mask is not None and _bounds(mask, f"%{bound}", definitions)))
    return found


def _operands(match: re.Match[str]) -> tuple[list[str], str | None]:
    """What the address is made of, and the mask."""
    if match.group(1) is not None:  # buffer_store value, base[offsets], mask stride = ...
        _, _, rest = match.group(1).partition(",")
        address, _, tail = rest.partition("]")
        masks = _VALUE.findall(tail.partition("stride")[0])
        return _VALUE.findall(address), masks[0] if masks else None
    values = _VALUE.findall(match.group(2))  # tt.store address, value, mask
    return values[:1], values[2] if len(values) > 2 else None


def _definitions(ttgir: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in ttgir.splitlines():
        match = _DEFINITION.match(line)
        if match is None:
            continue
        name = match.group(1).partition(":")[0]
        found[name] = match.group(2)
        if "iter_args(" in line:
            # A value carried by a loop is what it starts from, or what is yielded: of masks and addresses of
            # these kernels only the start matters, since the bound itself is never carried along changed.
            for inner, start in re.findall(r"(%\w+) = (%[\w#]+)", line.partition("iter_args(")[2]):
                found[inner] = f"carried {start}"
    return found


def _inputs(name: str, definitions: dict[str, str]) -> list[str]:
    text = definitions.get(name, definitions.get(name.partition("#")[0], ""))
    return _VALUE.findall(text.partition(" loc(")[0])


def _depends(name: str, on: str, definitions: dict[str, str], seen: set[str]) -> bool:
    if name == on:
        return True
    if name in seen:
        return False
    seen.add(name)
    return any(_depends(i, on, definitions, seen) for i in _inputs(name, definitions))


def _bounds(mask: str, bound: str, definitions: dict[str, str]) -> bool:
    text = definitions.get(mask, "")
    if re.match(r"arith\.andi|ttg\.convert_layout|tt\.broadcast|tt\.expand_dims|tt\.reshape", text):
        return any(_bounds(i, bound, definitions) for i in _inputs(mask, definitions))
    match = re.match(r"arith\.cmpi (slt|sgt), (%[\w#]+), (%[\w#]+)", text)
    if match is None:
        return False
    limit = match.group(3) if match.group(1) == "slt" else match.group(2)
    return _is(limit, bound, definitions)


def _is(name: str, parameter: str, definitions: dict[str, str]) -> bool:
    """Whether a value is the parameter itself, made a tensor or wider."""
    while name != parameter:
        text = definitions.get(name, "")
        if not re.match(r"tt\.splat|tt\.broadcast|tt\.expand_dims|ttg\.convert_layout|arith\.extsi", text):
            return False
        name = _VALUE.findall(text)[0]
    return True
