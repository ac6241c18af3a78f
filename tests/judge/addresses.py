"""An oracle of addresses: where a launch of a released kernel reads and writes, by what its source computes, beside
where its tensors have these elements. Knows nothing of faults, and nothing of the package that is tested.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

ENTRY = "deepgemm_fp8_paged_mqa_logits"
RELEASES = (
    "v0.1.7.post3", "v0.1.10.post1", "v0.1.12.post2", "v0.1.13.post1", "v0.1.15.post3", "v0.1.18", "v0.1.20.post1",
    "main",
)  # fmt: skip
KERNELS = ("base", "preshuffle", "varctx", "reducing", "stage1", "stage1_ragged", "ragged")
GLUON = ("base", "preshuffle", "varctx")
BY_HEAD = ("stage1", "stage1_ragged")
_SIGNED = 1 << 31
"""A 32-bit number ends here: a product of integers, or the bytes that a buffer's offset reaches."""


@dataclass(frozen=True)
class Kind:
    """An element type."""

    itemsize: int
    is_floating_point: bool = False


FLOAT32, HALF, DOUBLE, INT32, INT64, BYTE = Kind(4, True), Kind(2, True), Kind(8, True), Kind(4), Kind(8), Kind(1)


@dataclass(frozen=True)
class _Storage:
    size: int

    def nbytes(self) -> int:
        return self.size


@dataclass(frozen=True)
class Tensor:
    """Shape and strides of a tensor, in the words of torch; no memory."""

    shape: tuple[int, ...]
    strides: tuple[int, ...] = ()
    dtype: Kind = FLOAT32
    offset: int = 0
    room: int = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def stride(self) -> tuple[int, ...]:
        return self.strides or _packed(self.shape)

    def is_contiguous(self) -> bool:
        return all(n == 1 or a == b for n, a, b in zip(self.shape, self.stride(), _packed(self.shape), strict=True))

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def storage_offset(self) -> int:
        return self.offset

    def untyped_storage(self) -> _Storage:
        return _Storage(self.elements * self.dtype.itemsize)

    @property
    def elements(self) -> int:
        """Of the memory behind it."""
        last = sum((n - 1) * s for n, s in zip(self.shape, self.stride(), strict=True)) + 1
        return max(self.offset + (last if all(self.shape) else 0), self.room)

    def at(self, *index: int) -> int | None:
        """Where an element is; the last axis counts alone, the others together. None outside."""
        flat, last = index
        places = [last]
        for n in reversed(self.shape[:-1]):
            places.insert(0, flat % n)
            flat //= n
        inside = flat == 0 and 0 <= last < self.shape[-1]
        return sum(p * s for p, s in zip(places, self.stride(), strict=True)) if inside else None


def _packed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True)
class Call:
    """One launch: which kernel, and what is handed over."""

    kernel: str
    width: int
    block: int
    chunk: int
    query: Tensor
    cache: Tensor
    weights: Tensor
    lengths: Tensor
    table: Tensor
    out: Tensor
    schedule: bool = False

    @property
    def entry(self) -> str:
        return ENTRY + {"stage1": "_stage1", "ragged": "_ragged_k", "stage1_ragged": "_stage1_ragged_k"}.get(
            self.kernel, ""
        )

    def handed(self) -> dict[str, object]:
        """Arguments by the entry's parameter names."""
        gluon = self.entry == ENTRY
        given: dict[str, object] = {
            "q_fp8": self.query, "kv_cache" if gluon else "kv_cache_fp8": self.cache, "weights": self.weights,
            "out_qk" if self.kernel in BY_HEAD else "out_logits": self.out, "kv_indices": self.table,
            "prefix_sum_context_lens" if "ragged" in self.kernel else "context_lens": self.lengths,
            "max_model_len": self.width, "ChunkK": self.chunk,
        }  # fmt: skip
        if gluon:
            given |= {"Preshuffle": self.kernel in ("preshuffle", "varctx"), "KVBlockSize": self.block}
            given["VarCtxSchedule"] = object() if self.schedule else None
        if self.kernel == "stage1_ragged":
            del given["ChunkK"]
        return given


def refused(call: Call, *, patched: bool) -> bool:
    """Whether the entry raises, so that nothing is launched."""
    if call.kernel == "reducing" and call.block > 1:
        return True
    shape = call.out.shape
    return patched and call.kernel not in BY_HEAD and math.prod(shape) != shape[0] * shape[-1]


def wrong(release: str, call: Call, *, patched: bool = False) -> list[str]:
    """What goes wrong where a release, or a patched one, makes the launch; empty where nothing does that does not hang
    on the lengths."""
    return list(dict.fromkeys([*_written(release, call, patched), *_read(release, call, patched)]))


def _written(release: str, call: Call, patched: bool) -> Iterator[str]:
    new, out = RELEASES.index(release) >= RELEASES.index("v0.1.18"), call.out
    gluon, by_head = call.kernel in GLUON, call.kernel in BY_HEAD
    if gluon and out.dtype != FLOAT32:
        yield "another type"
    if by_head and len(out.shape) != 3:
        yield "no heads"
        return
    batch, next_n, heads, _ = call.query.shape
    rows, strides = batch * next_n, out.stride()
    if strides[-1] != 1 and call.width > 1:
        yield "columns apart"
    # Programs of many rows are looked at where they begin and end.
    some = range(rows) if rows <= 256 else (*range(4), *range(rows - 4, rows))
    starts = []
    for head, row in product(range(heads) if by_head else (0,), some):
        start = head * strides[0] + row * strides[1] if by_head else row * strides[0]
        starts.append(start)
        there = out.at(head * out.shape[1] + row if row < out.shape[1] else -1, 0) if by_head else out.at(row, 0)
        if there != start and start + call.width + out.offset > out.elements:
            yield "past memory"
        elif there is not None and there != start:
            yield "rows elsewhere"
    unit = 1 if patched or call.kernel in ("base", "reducing", "ragged") else call.chunk
    if call.kernel in ("preshuffle", "varctx") and unit != 1 and call.chunk // 2 % call.block == 0:
        unit = call.block
    written = -(-call.width // unit) * unit
    starts.sort()
    if out.offset + starts[-1] + written > out.elements:
        yield "past memory"
    if any(b - a < written for a, b in pairwise(starts)):
        yield "into another row"
    wide = patched or new or (call.kernel == "stage1" and release != RELEASES[0])
    if gluon and not wide and ((rows - 1) * strides[0] + call.width) * 4 > _SIGNED:
        yield "row past 32 bits"
    if not gluon and not wide and (rows - 1) * strides[by_head] >= _SIGNED:
        yield "row past 32 bits"
    narrow = call.kernel == "stage1_ragged" or not wide
    if by_head and not patched and narrow and (heads - 1) * strides[0] >= _SIGNED > strides[0]:
        yield "head past 32 bits"


def _read(release: str, call: Call, patched: bool) -> Iterator[str]:
    place, gluon = RELEASES.index(release), call.kernel in GLUON
    _, next_n, _, hidden = call.query.shape
    last = (call.cache.shape[0] - 1) * call.cache.stride()[0]
    tiled = call.kernel == "preshuffle" and call.chunk // 2 % call.block == 0
    wide_keys = patched or (tiled and place >= RELEASES.index("v0.1.20.post1"))
    wide_keys |= call.kernel == "stage1" and release != RELEASES[0]
    if gluon and not wide_keys and last + call.block * hidden > _SIGNED - 2:
        yield "block past 32 bits"
    if not gluon and not wide_keys and last >= _SIGNED > call.cache.stride()[0]:
        yield "block past 32 bits"
    pages = call.kernel in ("preshuffle", "varctx") or (call.kernel == "stage1" and place >= 6)
    if call.block > 1 and not patched and not pages and not (call.kernel == "reducing" and release == "main"):
        yield "one token a block"
    if "ragged" in call.kernel and next_n > 1 and not patched:
        yield "other rows' columns"
    if call.schedule and call.kernel == "base":
        yield "a schedule for splits"
    for name, tensor, kind, numbers, place_of, length in _inputs(call):
        if gluon and tensor.dtype != kind:
            yield f"{name} of another type"
        begins = {i: place_of(i) for i in numbers}
        if any(tensor.at(i, c) != begin + c for i, begin in begins.items() for c in (0, length - 1)):
            yield f"{name} misread"
        if (max(begins.values()) + length) * kind.itemsize > _SIGNED if gluon else max(begins.values()) >= _SIGNED:
            yield f"{name} past 32 bits"


_Input = tuple[str, Tensor, Kind, Sequence[int], Callable[[int], int], int]


def _inputs(call: Call) -> Iterator[_Input]:
    """Name, tensor, the type that it is taken for, some of its rows, where a row is read, and how many elements of it."""
    batch, next_n, heads, hidden = call.query.shape
    by_batch, by_row, by_head, _ = call.query.stride()
    weights, lengths, table = call.weights, call.lengths, call.table
    some = [(b * next_n + n) * heads + h for b in _ends(batch) for n in _ends(next_n) for h in _ends(heads)]
    ragged = "ragged" in call.kernel

    def of_query(i: int) -> int:
        return i // heads // next_n * by_batch + i // heads % next_n * by_row + i % heads * by_head

    yield "query", call.query, BYTE, some, of_query, hidden
    yield "weights", weights, FLOAT32, _ends(batch * next_n), lambda i: i * weights.stride()[0], heads
    # Where a table has several for each sequence, its rows do not follow one another as single lengths do.
    one_axis = len(lengths.shape) == 1
    alone = replace(lengths, shape=(*lengths.shape, 1), strides=(*lengths.stride(), 1)) if one_axis else lengths
    yield "lengths", alone, INT32, _ends(batch + ragged), lambda i: i, 1
    columns = table.shape[-1]
    yield "table", table, INT32, _ends(1 if ragged else batch), lambda i: i * columns, columns


def _ends(count: int) -> Sequence[int]:
    return sorted({0, min(1, count - 1), count - 1})


def calls(seed: int, count: int) -> Iterator[Call]:
    """Launches at random, many of them at the edge of what fits."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _call(chance)


def _call(chance: random.Random) -> Call:
    kernel = chance.choice(KERNELS)
    by_head, ragged = kernel in BY_HEAD, "ragged" in kernel
    sizes = {"reducing": (1,), "preshuffle": (16, 32, 64, 128, 256, 512), "varctx": (16, 32, 64, 128, 256, 512)}
    block = chance.choice(sizes.get(kernel, (1, 1, 16, 64, 256)))
    chunk = 64 if kernel == "stage1_ragged" else chance.choice((128, 256, 512))
    next_n, batch, heads = chance.choice((1, 1, 1, 2, 4)), chance.choice((1, 2, 3, 7, 64)), chance.choice((32, 64))
    if by_head and batch > 7:
        batch = 5
    width = max(1, chance.choice((64, 256, 4096, 1000, 4032, 1 << 20)) + chance.choice((0, 0, 0, -1, 1, 64)))
    hidden = chance.choice((128, 128, 64, 256))
    if chance.random() < 0.25 and not by_head:
        width, next_n = 1 << 20, 1
        batch = (512 if kernel in GLUON else 2048) + chance.choice((-1, 0, 0, 1, 1, 2))
    elif chance.random() < 0.25 and by_head:
        width, next_n, heads = 1 << 20, 1, chance.choice((32, 64))
        batch = _SIGNED // width // (heads - 1) + chance.choice((-1, 0, 1, 2))
    packed = block * (hidden + 4)
    stride = chance.choice((packed, packed + 16 * chance.randrange(4 * block), 1_002_240, 1_435_968))
    most = _SIGNED // stride
    blocks = chance.choice((1, 100, 2142, 2143, 2144, most - 1, most, most + 1, most + 2, 2 * most, 2 * most + 1))
    rows = batch * next_n
    columns = -(-width // block)
    call = Call(
        kernel, width, block, chunk,
        Tensor((batch, next_n, heads, hidden), dtype=BYTE),
        Tensor((max(blocks, 1), block, 1, hidden + 4), (stride, hidden + 4, hidden + 4, 1), BYTE),
        Tensor((rows, heads)),
        Tensor((batch + ragged,), dtype=INT32),
        Tensor((4096,) if ragged else (batch, columns), dtype=INT32),
        _output(chance, rows, width, heads if by_head else 0),
        kernel == "varctx" or (kernel == "base" and chance.random() < 0.1),
    )  # fmt: skip
    return _odd_input(chance, call) if chance.random() < 0.4 else call


def _output(chance: random.Random, rows: int, width: int, heads: int) -> Tensor:
    pad = chance.choice((0, 1, 63, 64, 127, 128, 255, 256, 257))
    planes, step = (heads,) if heads else (), width + pad
    shape, packed = (*planes, rows, width), (*(rows * step for _ in planes), step, 1)
    size = max(heads, 1) * rows * step
    return chance.choice([
        *[Tensor(shape, packed)] * 4,
        *[Tensor(shape, packed, room=size), Tensor(shape, packed, room=size + 512)] * 2,
        *[Tensor(shape, packed, offset=chance.choice((1, 64, 4096)))] * 3,
        Tensor(shape, (*planes[:0], *((0,) * (1 + len(planes))), 1)),
        Tensor((*planes, rows, max(width - chance.choice((1, 64, 256)), 1))),
        Tensor(shape, (*(2 * s for s in _packed(shape)[:-1]), 2)),
        Tensor((*planes, max(rows - 1, 1), width)),
        Tensor(shape, packed, HALF), Tensor(shape, packed, DOUBLE),
        Tensor(shape, (*(width for _ in planes), max(heads, 1) * width, 1), room=chance.choice((0, size + 1 << 17))),
        Tensor(shape, (*((rows + 1) // 2 * step - chance.choice((1, width)) for _ in planes), step, 1), room=size),
        *([] if heads else [
            Tensor((rows, width), (1, rows), room=chance.choice((0, rows * width + width + 4096))),
            Tensor((64, rows, width)), Tensor((rows, 1, width)), Tensor((max(rows // 2, 1), 2, width)),
            Tensor((max(rows // 2, 1), 2 * width)), Tensor((rows * width,)),
        ]),
    ])  # fmt: skip


def _odd_input(chance: random.Random, call: Call) -> Call:
    """The same with an input of another type, layout or length than kernels take for granted."""
    batch, next_n, heads, hidden = call.query.shape
    rows, columns = batch * next_n, call.table.shape[-1]
    far = chance.choice((1 << 29, 1 << 31)) // max(batch - 1, 1)
    long, row_step = far + chance.choice((-heads * hidden, 0, 16)), far // next_n + chance.choice((-heads, 0, 16))
    options = [
        {"query": Tensor(call.query.shape, (next_n * heads * hidden * 2, heads * hidden * 2, hidden * 2, 2), BYTE)},
        {"query": Tensor(call.query.shape, (heads * hidden, batch * heads * hidden, hidden, 1), BYTE)},
        {"query": Tensor(call.query.shape, dtype=HALF)},
        {"query": Tensor(call.query.shape, (long, heads * hidden, hidden, 1), BYTE)},
        {"weights": Tensor((rows, heads), (1, rows))},
        {"weights": Tensor((rows, heads), (heads + 16, 1))},
        {"weights": Tensor((rows, heads), (row_step, 1))},
        {"weights": Tensor((batch, next_n, heads))},
        {"weights": Tensor((rows, heads), dtype=HALF)},
        {"lengths": Tensor(call.lengths.shape, dtype=INT64)},
        {"lengths": Tensor(call.lengths.shape, (2,), INT32)},
        {"lengths": Tensor((*call.lengths.shape, next_n), dtype=INT32)},
        {"table": replace(call.table, dtype=INT64)},
    ]
    if "ragged" not in call.kernel:
        options += [
            {"table": Tensor((batch, columns), (columns + 1, 1), INT32)},
            {"table": Tensor((batch, columns), (1, batch), INT32)},
            {"table": Tensor((batch, chance.choice((1 << 29, 1 << 31)) // batch + chance.choice((-1, 0, 1))), dtype=INT32)},
        ]  # fmt: skip
    else:
        options += [{"table": Tensor((4096,), (2,), INT32)}]
    return replace(call, **chance.choice(options))  # type: ignore[arg-type]
