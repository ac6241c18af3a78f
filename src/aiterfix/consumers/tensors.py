"""What torch's constructors and views make of shapes and strides."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from aiterfix.consumers.values import Nothing, Row, Sum, Tensor, Value, add, as_sum, contiguous, fresh, number

_SIZED = frozenset({"empty", "zeros", "ones", "rand", "randn"})
_NEW = frozenset({"new_empty", "new_zeros", "new_ones", "new_full"})
_SAME = frozenset(
    [
        "fill_",
        "zero_",
        "copy_",
        "detach",
        "requires_grad_",
        "masked_fill_",
        "mul_",
        "add_",
        "clamp_",
        "record_stream",
        "pin_memory",
    ]
)
METHODS = (
    frozenset(["view", "reshape", "contiguous", "narrow", "as_strided", "size", "stride", "to", "cuda", "clone"])
    | _SAME
)
_LIKE = frozenset({"empty_like", "zeros_like", "ones_like", "full_like"})

Alternatives = tuple[Value, ...]
Keywords = Mapping[str, Value]


def construct(name: str, positional: Sequence[Value], keywords: Keywords) -> Tensor | None:
    """A tensor made by ``torch.<name>``; None for functions that make none that is understood."""
    if not isinstance(keywords.get("out", Nothing()), Nothing):
        return None
    if name in _LIKE:
        like = positional[0] if positional else keywords.get("input")
        if not isinstance(like, Tensor):
            return None
        if not is_contiguous(like):
            return Tensor(like.shape, None, "made like a view that is not contiguous")
        return contiguous(like.shape)
    if name == "full" or name in _SIZED:
        first = keywords.get("size", positional[0] if positional else None)
        return _sized(first, positional if name in _SIZED else positional[:1])
    if name == "empty_strided":
        size = keywords.get("size", positional[0] if positional else None)
        shape = _shape(size)
        return None if shape is None else Tensor(shape, None, "empty_strided: what follows the last row is not known")
    return None


def construct_new(name: str, positional: Sequence[Value], keywords: Keywords) -> Tensor | None:
    """A tensor made by a tensor's ``new_*`` method."""
    if name not in _NEW:
        return None
    first = keywords.get("size", positional[0] if positional else None)
    return _sized(first, positional[:1] if name == "new_full" else positional)


def workspace(name: str, positional: Sequence[Value], keywords: Keywords) -> Value | None:
    """Tensors taken from vLLM's workspace manager, by the name of its method."""
    if name == "get_simultaneous":
        made: list[Value] = []
        for request in positional:
            shape = _shape(request.items[0]) if isinstance(request, Row) and request.items else None
            if shape is None:
                return None
            made.append(contiguous(shape))
        return Row(tuple(made))
    if name == "get_persistent":
        shape = _shape(keywords.get("shape", positional[1] if len(positional) > 1 else None))
        return None if shape is None else contiguous(shape)
    return None


def _sized(first: Value | None, rest: Sequence[Value]) -> Tensor | None:
    if first is None:
        return None
    shape = _shape(first)
    if shape is None:
        sizes = [value for value in rest if isinstance(value, Sum)]
        if len(sizes) != len(rest) or (len(sizes) == 1 and sizes[0].constant is None and sizes[0].atom is not None):
            return None  # one name may be a size, or a shape made elsewhere
        shape = tuple(sizes)
    return contiguous(shape)


def _shape(value: Value | None) -> tuple[Sum, ...] | None:
    if not isinstance(value, Row):
        return None
    return tuple(as_sum(part) for part in value.items)


def is_contiguous(tensor: Tensor) -> bool:
    """Whether rows certainly follow each other without a gap."""
    return tensor.strides is not None and contiguous(tensor.shape).strides == tensor.strides


def method(tensor: Value, name: str, positional: Sequence[Value], keywords: Keywords) -> Value | None:
    """The result of a tensor's method; None where it is not understood."""
    if name in ("view", "reshape"):
        return _view(tensor, positional, keywords)
    if not isinstance(tensor, Tensor):
        return None
    if name in _SAME:
        return tensor
    if name == "contiguous":
        return contiguous(tensor.shape)
    if name in ("to", "cuda", "clone", "float"):
        return tensor if is_contiguous(tensor) else Tensor(tensor.shape, None, f".{name}() of a view")
    if name == "size":
        return _part(tensor.shape, positional)
    if name == "stride" and tensor.strides is not None:
        return _part(tensor.strides, positional)
    if name == "dim":
        return number(len(tensor.shape))
    if name == "narrow" and len(positional) == 3 and tensor.strides is not None:
        return _narrow(tensor, *positional)
    if name == "as_strided":
        shape = _shape(positional[0] if positional else None)
        return None if shape is None else Tensor(shape, None, "as_strided: what follows the last row is not known")
    return None


def _part(sizes: tuple[Sum, ...], positional: Sequence[Value]) -> Value:
    if not positional:
        return Row(sizes)
    index = positional[0].constant if isinstance(positional[0], Sum) else None
    return sizes[index] if index is not None and -len(sizes) <= index < len(sizes) else fresh("a size")


def _view(tensor: Value, positional: Sequence[Value], keywords: Keywords) -> Tensor | None:
    if keywords or not positional:
        return None
    sizes = _shape(positional[0]) or tuple(value for value in positional if isinstance(value, Sum))
    if not isinstance(positional[0], Row) and len(sizes) != len(positional):
        return None
    if len(sizes) == 1 and sizes[0].constant is None and not isinstance(positional[0], Row):
        return None  # view(dtype)
    shape = tuple(fresh("the size left over") if size.constant == -1 else size for size in sizes)
    if isinstance(tensor, Tensor) and is_contiguous(tensor):
        return contiguous(shape)
    return Tensor(shape, None, "a view of memory whose layout is not known")


def _narrow(tensor: Tensor, dimension: Value, start: Value, length: Value) -> Tensor | None:
    index = dimension.constant if isinstance(dimension, Sum) else None
    if index is None or not -len(tensor.shape) <= index < len(tensor.shape) or not isinstance(length, Sum):
        return None
    shape = list(tensor.shape)
    shape[index] = length
    if isinstance(start, Sum) and start.constant == 0:
        return Tensor(tuple(shape), tensor.strides)
    return Tensor(tuple(shape), _moved(tensor, index % len(shape)), "its rows do not start at the first column")


def _moved(tensor: Tensor, index: int) -> tuple[Sum, ...] | None:
    """Strides after a start other than 0: leaving out rows is harmless, leaving out columns is not followed."""
    return tensor.strides if index < len(tensor.shape) - 1 else None


Index = tuple[str, Sum | None, Sum | None]
"""("slice", start, stop), ("all", None, None) or ("one", index, None)."""


def slices(tensor: Tensor, indices: Sequence[Index | None]) -> Tensor | None:
    """``tensor[i, a:b, ...]``; None in the indices stands for the ellipsis."""
    if tensor.strides is None:
        return None
    wanted = list(indices)
    if wanted.count(None) > 1:
        return None
    if None in wanted:
        place = wanted.index(None)
        wanted[place : place + 1] = [("all", None, None)] * (len(tensor.shape) - len(wanted) + 1)
    wanted += [("all", None, None)] * (len(tensor.shape) - len(wanted))
    if len(wanted) != len(tensor.shape):
        return None
    shape: list[Sum] = []
    strides: list[Sum] = []
    for dimension, index in enumerate(wanted):
        assert index is not None
        kind, start, stop = index
        size = tensor.shape[dimension]
        if kind == "one":
            if dimension == len(wanted) - 1:
                return None
            continue
        if kind == "slice":
            begin = start or number(0)
            if begin.constant is not None and begin.constant < 0:
                begin = add(size, begin)
            if begin.constant != 0 and dimension == len(wanted) - 1:
                return Tensor((*shape, fresh("columns")), None, "its rows do not start at the first column")
            end = size if stop is None else stop
            if end.constant is not None and end.constant < 0:
                end = add(size, end)
            room = add(size, end, -1).constant
            # A slice ends where its tensor does; of rows it does not matter where that is.
            clipped = stop is not None and end is stop and (room is None or room < 0)
            size = fresh("what is left of a slice") if clipped and dimension else add(end, begin, -1)
        shape.append(size)
        strides.append(tensor.strides[dimension])
    return Tensor(tuple(shape), tuple(strides), tensor.why)


def is_full_slice(node: ast.expr) -> bool:
    """``:``."""
    return isinstance(node, ast.Slice) and node.lower is None and node.upper is None and node.step is None
