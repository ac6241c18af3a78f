"""A regression test that runs the kernels' own Python text with numpy: no GPU, no Triton, nothing of aiterfix.

Written by this project. Integers are as wide as on the device, pointers have 64 bits, and memory holds zeros: the test
is about places and masks, not about logits. A launch's loads and stores are recorded, and compared with where they
belong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.source.roles import KernelRoles

_KEYS = """\
@LAUNCHES@


@pytest.mark.parametrize("path, name", KERNELS, ids=[k[1] for k in KERNELS])
@pytest.mark.parametrize("block_size", SIZES)
def test_keys_are_read_from_their_blocks(path, name, block_size):
    kernel = Kernel(path, name)
    if not kernel.takes(block_size):
        pytest.skip(f"{name} does not take blocks of {block_size}")
    tokens = len(BLOCKS) * block_size
    stride = STRIDE or block_size * (DIM + 4)
    table = [list(BLOCKS), list(reversed(BLOCKS))]
    record = kernel.launch([tokens, tokens], 1, block_size, table, stride, WIDTH)
    sizes = {"KV_buffer": block_size * DIM, "scale_buffer": block_size * 4}
    for buffer, size in sizes.items():
        read = np.unique(record.loads[buffer])
        step = 1 if buffer == "KV_buffer" else 4
        places = np.add.outer(np.array(BLOCKS) * stride, np.arange(0, size, step))
        # What is masked away, or is in front of a sequence, is read from block 0.
        outside = ~np.isin(read, places) & ((read < 0) | (read >= size))
        assert not outside.any(), (
            f"{path}: {name}: {outside.sum()} of {read.size} places read from {buffer} "
            f"are in none of the blocks, byte {read[outside][0]} for one"
        )
        missing = ~np.isin(places, read)
        assert not missing.any(), (
            f"{path}: {name}: {missing.sum()} of {missing.size} places of {buffer} "
            f"are not read, byte {places[missing][0]} for one"
        )
"""
_COLUMNS = """\
@LAUNCHES@


@pytest.mark.parametrize("path, name", KERNELS, ids=[k[1] for k in KERNELS])
@pytest.mark.parametrize("lengths, next_n, block_size", LAUNCHES)
def test_rows_have_the_columns_up_to_their_position(
    path, name, lengths, next_n, block_size
):
    kernel = Kernel(path, name)
    if not kernel.takes(block_size):
        pytest.skip(f"{name} does not take blocks of {block_size}")
    tables, first = [], 1
    for length in lengths:
        blocks = -(-length // block_size)
        tables.append(list(range(first, first + blocks)))
        first += blocks
    stride = block_size * (DIM + 4)
    record = kernel.launch(lengths, next_n, block_size, tables, stride, WIDTH)
    rows = len(lengths) * next_n
    columns = {}
    for place, value in zip(record.written.tolist(), record.values.tolist()):
        # (heads, rows, columns), or (rows, columns)
        assert 0 <= place < HEADS * rows * WIDTH, f"{name}: element {place} is written"
        row = columns.setdefault(place // WIDTH % rows, {})
        row[place % WIDTH] = math.isfinite(value)
    for batch, length in enumerate(lengths):
        for i in range(next_n):
            row = columns.get(batch * next_n + i, {})
            end = length - next_n + i + 1
            hidden = [c for c in range(end) if not row.get(c, False)]
            seen = [c for c in row if c >= end and row[c]]
            assert not hidden and not (seen and LATER), (
                f"{path}: {name}: row {i} of {next_n}, sequence {batch}: visible "
                f"columns {hidden[:9]} are not finite, later columns {seen[:9]} are"
            )
"""


@dataclass(frozen=True)
class Check:
    """What is checked of the kernels that had a fault.

    Attributes:
        file: name of the test file, without its ending.
        says: the first paragraphs of its docstring.
        tests: its test function.
        launches: the constants that this goes by.
    """

    file: str
    says: str
    tests: str
    launches: str


CHECKS = {
    "widen-gather": Check(
        "test_pa_mqa_logits_cache_offsets",
        """\
Keys and scales of a KV block must be read from where the block is, also past 2 GiB.

`block number * block stride` does not fit in 32 bits there. The caches of these
launches are views of a larger one, with a block stride of 1,002,240 bytes: block 2143
is past it.""",
        _KEYS,
        """\
TOLD, SPLITS = "stride_k_token", 2  # parameter of kernels that take larger blocks
STRIDE = 1_002_240  # bytes from one block to the next
# Below 2^31 bytes, the last block there, the first past it; past 2^31 scales; 2^33.
BLOCKS = (5, 2142, 2143, 8572, 9001)
SIZES = (1, 16, 64, 128, 256)
WIDTH = 2048""",
    ),
    "page-by-block": Check(
        "test_pa_mqa_logits_block_paging",
        """\
Each token's key must be read from its own place in its own block.

Block number in the table: position // block size; place in it: position % block size.""",
        _KEYS,
        """\
TOLD, SPLITS = "KVBlockSize", 2  # parameter of kernels that take larger blocks
STRIDE = None  # blocks lie back to back
BLOCKS = (5, 2, 9, 7)
SIZES = (16, 64)
WIDTH = 1024""",
    ),
    "bound-causal": Check(
        "test_pa_mqa_logits_causal_bounds",
        """\
Each row of a sequence must see the columns up to its own position, and no others.

Row i of next_n stands at position context_length - next_n + i. Columns after it must be
-inf where they are written; columns up to it must be written, and be finite.""",
        _COLUMNS,
        """\
TOLD, SPLITS = "stride_k_token", 2  # parameter of kernels that take larger blocks
LATER = True  # whether columns past a row's position are looked at
WIDTH = 1024
LAUNCHES = [([8, 257, 300], next_n, 1) for next_n in (1, 2, 3, 4)]""",
    ),
    "walk-past-empty": Check(
        "test_pa_mqa_logits_empty_sequences",
        """\
A sequence of length 0 must not end the schedule: all rows behind it are written.""",
        _COLUMNS,
        """\
TOLD, SPLITS = "stride_k_token", 2  # parameter of kernels that take larger blocks
LATER = True  # whether columns past a row's position are looked at
WIDTH = 1024
LAUNCHES = [
    (lengths, next_n, block_size)
    for lengths in ([300, 0, 77, 0], [0, 300], [40, 0, 0, 513])
    for next_n in (1, 2)
    for block_size in (64, 256)
]""",
    ),
    "hide-unseen": Check(
        "test_pa_mqa_logits_unseen_columns",
        """\
Columns past a row's own position must not be finite, wherever the context ends.""",
        _COLUMNS,
        """\
TOLD, SPLITS = "stride_k_token", 1  # parameter of kernels that take larger blocks
LATER = True  # whether columns past a row's position are looked at
WIDTH = 1024
LAUNCHES = [([257, 513], next_n, 128) for next_n in (3, 4)]""",
    ),
    "widen-row": Check(
        "test_pa_mqa_logits_row_offsets",
        """\
Rows must be written to where they are, also past 2 GiB of logits.

Rows of 2^20 columns: the 513th begins at 2^31 bytes. With an output for each head, the
2049th row of all heads together begins at 2^31 elements.""",
        _COLUMNS,
        """\
TOLD, SPLITS = "stride_k_token", 1  # parameter of kernels that take larger blocks
LATER = False  # whether columns past a row's position are looked at
WIDTH = 1 << 20
LAUNCHES = [([5] * 514, 1, block_size) for block_size in (1, 16)]""",
    ),
}
"""By the verb of the fault. Of the others, what is changed is a function that launches kernels, or has no launch."""

_NUMBERS = (
    "batch_size", "next_n", "heads_num", "stride_q_batch", "stride_q_next_n", "stride_q_heads", "stride_k_seq",
    "stride_k_block", "stride_k_token", "stride_scale_seq", "stride_scale_block", "stride_scale_token",
    "stride_w_batch", "stride_out_heads", "stride_out_batch", "max_model_len", "max_block_len", "max_blk_len",
    "num_block",
)  # fmt: skip
_BUFFERS = (
    "Q_buffer", "KV_buffer", "scale_buffer", "weights", "Out_buffer", "OutLogits_buffer", "kv_indices",
    "context_len_ptr", "prefix_sum_context_lens", "safe_chunks_per_cta_ptr",
)  # fmt: skip
_CONSTANTS = ("SplitKV", "ChunkQ", "ChunkK", "HiddenDim", "KVBlockSize", "CDNA_VERSION", "ARCH", "IS_GFX1250")
KNOWN = frozenset((*_NUMBERS, *_BUFFERS, *_CONSTANTS))
"""Parameters of kernels that the test has values for."""

_MODEL = '''\
# SPDX-License-Identifier: MIT
"""@WHAT@

The kernels' own text is run as Python, with numpy in the place of the device: integers
are as wide as there, pointers have 64 bits, memory holds zeros. So this test needs
neither a GPU nor Triton.
"""

import ast
import inspect
import itertools
import math
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

ROOT = Path(__file__).resolve().parents[@DEPTH@]
HEADS, DIM, CHUNK = 16, 128, 256

# file, kernel
KERNELS = [
@ROWS@
]


class Value:
    """Numbers of the device: an array with an element type that operations keep."""

    def __init__(self, data, dtype=None):
        self.data = np.asarray(data, dtype)

    def _with(self, other, operation):
        if not isinstance(other, Value):
            if isinstance(other, bool) or self.data.dtype == bool:
                kind = bool if isinstance(other, bool) else np.int32
            elif isinstance(other, float):
                kind = np.float32
            else:  # a number in the text takes the type of what it meets
                kind = self.data.dtype
            other = Value(other, kind)
        kind = np.promote_types(self.data.dtype, other.data.dtype)
        with np.errstate(all="ignore"):
            done = operation(self.data.astype(kind), other.data.astype(kind))
        return Value(done)

    def __add__(self, other):
        if isinstance(other, Pointer):
            return other + self
        return self._with(other, np.add)

    __radd__ = __add__

    def __mul__(self, other):
        return self._with(other, np.multiply)

    __rmul__ = __mul__

    def __sub__(self, other):
        return self._with(other, np.subtract)

    def __rsub__(self, other):
        return self._with(other, lambda a, b: b - a)

    def __neg__(self):
        return Value(-self.data)

    def __floordiv__(self, other):  # towards zero, as there
        return self._with(
            other, lambda a, b: np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)
        )

    def __rfloordiv__(self, other):
        return Value(other, self.data.dtype) // self

    def __mod__(self, other):
        return self - self // other * other

    def __rmod__(self, other):
        return Value(other, self.data.dtype) % self

    def __and__(self, other):
        return self._with(other, np.bitwise_and)

    __rand__ = __and__

    def __or__(self, other):
        return self._with(other, np.bitwise_or)

    __ror__ = __or__

    def __invert__(self):
        return Value(~self.data)

    def __lt__(self, other):
        return self._with(other, np.less)

    def __le__(self, other):
        return self._with(other, np.less_equal)

    def __gt__(self, other):
        return self._with(other, np.greater)

    def __ge__(self, other):
        return self._with(other, np.greater_equal)

    def __eq__(self, other):
        return self._with(other, np.equal)

    def __ne__(self, other):
        return self._with(other, np.not_equal)

    __hash__ = None

    def __bool__(self):
        return bool(self.data)

    def __index__(self):
        return int(self.data)

    def __getitem__(self, key):
        return Value(self.data[key])

    @property
    def T(self):
        return Value(self.data.T)

    def to(self, dtype):
        return Value(self.data.astype(dtype))


class Pointer:
    """A place in a buffer, in elements."""

    def __init__(self, buffer, offset=0):
        self.buffer = buffer
        self.offset = np.asarray(offset, np.int64)

    def __add__(self, other):
        step = other.data if isinstance(other, Value) else np.asarray(other)
        return Pointer(self.buffer, self.offset + step.astype(np.int64))

    __radd__ = __add__


class Buffer:
    """Memory: its name, an element's size, and what it holds (zeros by default)."""

    def __init__(self, name, itemsize=4, data=None, dtype=np.float32):
        self.name, self.itemsize, self.dtype = name, itemsize, dtype
        self.data = None if data is None else np.asarray(data, dtype).ravel()


class Record:
    """Places that were read, in bytes; elements that were written, and their values."""

    def __init__(self):
        self.loads, self.written, self.values = {}, [], []

    def load(self, pointer, where, mask):
        buffer = pointer.buffer
        kept = where
        if mask is not None:
            kept = where[np.broadcast_to(mask.data, where.shape)]
        self.loads.setdefault(buffer.name, []).append(np.unique(kept))
        if buffer.data is None:
            return Value(np.zeros(where.shape, buffer.dtype))
        index = where // buffer.itemsize
        inside = (index >= 0) & (index < buffer.data.size)
        if mask is not None:
            inside &= mask.data
        return Value(np.where(inside, buffer.data[np.where(inside, index, 0)], 0))

    def store(self, pointer, where, value, mask):
        shape = np.broadcast_shapes(where.shape, value.data.shape)
        where = np.broadcast_to(where, shape)
        value = np.broadcast_to(value.data, shape)
        kept = np.ones(shape, bool)
        if mask is not None:
            kept &= mask.data
        self.written.append(where[kept] // pointer.buffer.itemsize)
        self.values.append(value[kept])

    def done(self):
        self.loads = {n: np.concatenate(p) for n, p in self.loads.items()}
        self.written = np.concatenate([*self.written, np.zeros(0, np.int64)])
        self.values = np.concatenate([*self.values, np.zeros(0, np.float32)])
        return self


class Layout:
    """Where elements live on the device: no matter of this test."""

    def __init__(self, *args, **kwargs):
        pass


class Language:
    """The functions of `tl` and `gl` that these kernels call, for one program."""

    int32, int64, float32 = np.int32, np.int64, np.float32
    constexpr = staticmethod(lambda value: value)
    BlockedLayout = SliceLayout = DotOperandLayout = AMDMFMALayout = Layout

    def __init__(self, record, pid):
        self.record, self.pid = record, pid
        self.amd = self.cdna3 = self.cdna4 = self

    def program_id(self, axis):
        assert axis == 0
        return Value(self.pid, np.int32)

    def arange(self, start, end, layout=None):
        return Value(np.arange(start, end), np.int32)

    def zeros(self, shape, dtype, layout=None):
        return Value(np.zeros(shape), dtype)

    def full(self, shape, value, dtype, layout=None):
        return Value(np.full(shape, value), dtype)

    def cdiv(self, a, b):
        return (a + b - 1) // b

    def where(self, condition, a, b):
        like = a if isinstance(a, Value) else b
        other = b if like is a else a
        kind = like.data.dtype
        if isinstance(other, Value):
            kind = np.promote_types(kind, other.data.dtype)
        a, b = (x.data if isinstance(x, Value) else x for x in (a, b))
        return Value(np.where(condition.data, a, b), kind)

    def maximum(self, a, b):
        a, b = (a, b) if isinstance(a, Value) else (b, a)
        return a._with(b, np.maximum)

    def minimum(self, a, b):
        a, b = (a, b) if isinstance(a, Value) else (b, a)
        return a._with(b, np.minimum)

    def dot(self, a, b):
        return Value(np.zeros((a.data.shape[0], b.data.shape[1])), np.float32)

    def mfma(self, a, b, accumulator):
        return accumulator

    def reduce(self, value, axis, combine_fn):
        return Value(value.data.sum(axis))

    def sum(self, value, axis=None):
        return Value(value.data.sum(axis), value.data.dtype)

    def convert_layout(self, value, layout):
        return value

    def trans(self, value):
        return value.T

    def multiple_of(self, value, _):
        return value

    max_contiguous = max_constancy = multiple_of

    def load(self, pointer, mask=None, other=None, **kwargs):
        return self.record.load(pointer, pointer.offset * pointer.buffer.itemsize, mask)

    def store(self, pointer, value, mask=None, **kwargs):
        where = pointer.offset * pointer.buffer.itemsize
        self.record.store(pointer, where, value, mask)

    def _where(self, ptr, offsets):
        # The hardware adds 32 bits, without a sign, to the buffer's start.
        assert offsets.data.dtype == np.int32, "offsets of a buffer have 32 bits"
        size = ptr.buffer.itemsize
        low = (offsets.data.astype(np.int64) * size) & 0xFFFF_FFFF
        # Past its range, 2^31 - 2 bytes, a buffer is not read: nowhere.
        return np.where(low < 2**31 - 2, ptr.offset * size + low, -1)

    def buffer_load(self, ptr, offsets, mask=None, other=None, cache=None):
        return self.record.load(ptr, self._where(ptr, offsets), mask)

    def buffer_store(self, stored_value, ptr, offsets, mask=None, cache=None):
        self.record.store(ptr, self._where(ptr, offsets), stored_value, mask)


class Kernel:
    """A kernel's text, to be run as Python."""

    def __init__(self, path, name):
        self.path, self.name = path, name
        self.tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        self.functions, self.others = [], set()
        for node in self._at_top(self.tree.body):
            if isinstance(node, ast.FunctionDef):
                node.decorator_list = []
                self.functions.append(node)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self.others |= {a.asname or a.name.split(".")[0] for a in node.names}
        named = [f for f in self.functions if f.name == name]
        assert len(named) == 1, f"{path} defines {name} {len(named)} times"
        arguments = named[0].args
        self.names = [a.arg for a in (*arguments.args, *arguments.kwonlyargs)]

    def _at_top(self, body):
        for node in body:
            yield node
            if isinstance(node, (ast.Try, ast.If)):
                yield from self._at_top(node.body)
                for handler in getattr(node, "handlers", []):
                    yield from self._at_top(handler.body)
                yield from self._at_top(node.orelse)

    def takes(self, block_size):
        if "preshuffle" in self.name:
            return block_size % 16 == 0
        return block_size == 1 or TOLD in self.names

    def _function(self, language):
        scope = dict.fromkeys(self.others, lambda *args, **kwargs: None)
        # Constants of the file, where numbers and calls of `constexpr` make them.
        scope |= {"tl": language, "gl": language}
        constants = [n for n in self.tree.body if isinstance(n, ast.Assign)]
        for node in constants:
            code = compile(ast.Module([node], []), self.path, "exec")
            try:
                exec(code, scope)
            except Exception:  # of the device, such as its generation
                pass
        scope.setdefault("_Use_2d_instr_shape_mfma_layout", False)
        code = compile(ast.Module(list(self.functions), []), self.path, "exec")
        exec(code, scope)
        return scope[self.name]

    def launch(self, lengths, next_n, block_size, table, stride, width):
        """Run every program of a launch.

        `table` has a row of blocks a sequence, `stride` is the cache's block stride in
        bytes, `width` that of an output's row in elements.
        """
        chunks = sum(-(-length // CHUNK) for length in lengths)
        columns = max(map(len, table))
        padded = [row + [0] * (columns - len(row)) for row in table]
        rows = len(lengths) * next_n
        numbers = {
            "batch_size": len(lengths),
            "next_n": next_n,
            "heads_num": HEADS,
            "stride_q_batch": next_n * HEADS * DIM,
            "stride_q_next_n": HEADS * DIM,
            "stride_q_heads": DIM,
            "stride_k_seq": stride,
            "stride_k_block": stride,
            "stride_k_token": DIM,
            "stride_scale_seq": stride // 4,
            "stride_scale_block": stride // 4,
            "stride_scale_token": 1,
            "stride_w_batch": HEADS,
            "stride_out_heads": rows * width,
            "stride_out_batch": width,
            "max_model_len": width,
            "max_block_len": columns,
            "max_blk_len": columns,
            "num_block": 1 << 20,
        }
        constants = {
            "SplitKV": SPLITS,
            "ChunkQ": HEADS,
            "ChunkK": CHUNK,
            "HiddenDim": DIM,
            "KVBlockSize": block_size,
            "CDNA_VERSION": 4,
            "ARCH": "gfx950",
            "IS_GFX1250": False,
        }
        starts = list(itertools.accumulate(lengths, initial=0))
        ragged = [block for row in table for block in row]
        blocks = ragged if "prefix_sum_context_lens" in self.names else padded
        buffers = {
            "Q_buffer": Buffer("Q_buffer", 1),
            "KV_buffer": Buffer("KV_buffer", 1),
            "scale_buffer": Buffer("scale_buffer"),
            "weights": Buffer("weights"),
            "Out_buffer": Buffer("Out_buffer"),
            "OutLogits_buffer": Buffer("OutLogits_buffer"),
            "kv_indices": Buffer("kv_indices", 4, blocks, np.int32),
            "context_len_ptr": Buffer("context_len_ptr", 4, lengths, np.int32),
            "prefix_sum_context_lens": Buffer("starts", 4, starts, np.int32),
            "safe_chunks_per_cta_ptr": Buffer("schedule", 4, [1], np.int32),
        }
        record = Record()
        scheduled = "safe_chunks_per_cta_ptr" in self.names
        for pid in range(next_n * chunks + 1 if scheduled else rows * SPLITS):
            language = Language(record, pid)
            function = self._function(language)
            given = {}
            for name, p in inspect.signature(function).parameters.items():
                if name in numbers:
                    wide = p.annotation is np.int64
                    given[name] = Value(numbers[name], np.int64 if wide else np.int32)
                elif name in buffers:
                    given[name] = Pointer(buffers[name])
                elif name in constants:
                    given[name] = constants[name]
                else:
                    assert p.default is not p.empty, (
                        f"{self.path}: {self.name} has a parameter that this test does "
                        f"not know: {name}"
                    )
            function(**given)
        return record.done()


@TESTS@'''


def launch_test(check: Check, kernels: Sequence[tuple[str, KernelRoles]], test_path: str) -> str:
    """The test file's text.

    Args:
        kernels: path in the tree and declaration of each kernel.
        test_path: where the test will stand in the tree.
    """
    rows = "\n".join(f"    (\n        {_quoted(path)},\n        {_quoted(k.name)},\n    )," for path, k in kernels)
    parts = {
        "@WHAT@": check.says,
        "@DEPTH@": str(test_path.count("/")),
        "@ROWS@": rows,
        "@TESTS@": check.tests,
        "@LAUNCHES@": check.launches,
    }
    text = _MODEL
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _quoted(text: str) -> str:
    assert text.isprintable() and '"' not in text and "\\" not in text, text
    return f'"{text}"'
