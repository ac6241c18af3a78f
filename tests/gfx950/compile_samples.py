"""Compiles the sample kernels below for gfx950, with no GPU; run as a script in a child process.

Usage: ``python compile_samples.py DIRECTORY``; leaves ``NAME.co`` and ``NAME.json`` (LDS bytes, argument names) there.
"""

# Triton compiles these functions from their text: their parameters are no Python values to annotate.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon._runtime import GluonASTSource


@triton.jit
def add_masked(x, y, out, n, scale, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keep = at < n
    tl.store(out + at, tl.load(x + at, mask=keep, other=0.0) * scale + tl.load(y + at, mask=keep), mask=keep)


@triton.jit
def add_unmasked(x, y, out, n, scale, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, tl.load(x + at) * scale + tl.load(y + at))


@triton.jit
def log_softmax_rows(x, out, columns, BLOCK: tl.constexpr):  # noqa: N803
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    values = tl.load(x + row * columns + at, mask=at < columns, other=-float("inf"))
    values -= tl.max(values, axis=0)
    tl.store(out + row * columns + at, values - tl.log(tl.sum(tl.exp(values), axis=0)), mask=at < columns)


@triton.jit
def collatz(start, out, n, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(start + at, mask=at < n, other=1)
    steps = tl.zeros((BLOCK,), tl.int32)
    while tl.max((value > 1).to(tl.int32), axis=0) > 0:
        following = tl.where(value % 2 == 0, value // 2, 3 * value + 1)
        steps += (value > 1).to(tl.int32)
        value = tl.where(value > 1, following, value)
    tl.store(out + at, steps, mask=at < n)


@triton.jit
def matrix_product(a, b, out, K, M: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr):  # noqa: N803
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, BLOCK)
    total = tl.zeros((M, N), tl.float32)
    for k in range(0, K, BLOCK):
        left = tl.load(a + rows[:, None] * K + k + inner[None, :])
        right = tl.load(b + columns[None, :] * K + (k + inner)[:, None])
        total = tl.dot(left, right, total)
    tl.store(out + rows[:, None] * N + columns[None, :], total)


@triton.jit
def bytes_to_wide(x, out, n, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n, other=0).to(tl.int64)
    tl.store(out + at, value * value * 1000003 - (value << 33) // 7, mask=at < n)


@triton.jit
def softmax_rows(x, out, columns, BLOCK: tl.constexpr):  # noqa: N803
    at, row = tl.arange(0, BLOCK), tl.program_id(0)
    values = tl.load(x + row * columns + at, mask=at < columns, other=-float("inf")).to(tl.float32)
    shifted = tl.exp(values - tl.max(values, axis=0))
    result = shifted / tl.sum(shifted, axis=0)
    tl.store(out + row * columns + at, result.to(out.dtype.element_ty), mask=at < columns)


@triton.jit
def sine_and_more(x, out, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.arange(0, BLOCK)
    value = tl.load(x + at)
    tl.store(out + at, tl.sin(value) + tl.cos(value) + tl.sqrt(tl.abs(value)) + tl.math.rsqrt(value * value + 1.0))


@triton.jit
def double_division(x, out, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.arange(0, BLOCK)
    value = tl.load(x + at)
    tl.store(out + at, value / 3.0 + 7.0 / value)


@triton.jit
def running_sum(x, out, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.arange(0, BLOCK)
    tl.store(out + at, tl.cumsum(tl.load(x + at), axis=0))


@triton.jit
def counted(x, out, BLOCK: tl.constexpr, BINS: tl.constexpr):  # noqa: N803
    values = tl.load(x + tl.arange(0, BLOCK))
    tl.store(out + tl.arange(0, BINS), tl.histogram(values, BINS))


@triton.jit
def scattered(x, where, out, found, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    before = tl.atomic_add(out + tl.load(where + at), tl.load(x + at))
    tl.store(found + at, before)


@triton.jit
def transposed(x, out, N: tl.constexpr):  # noqa: N803
    at = tl.arange(0, N)
    tl.store(out + at[:, None] * N + at[None, :], tl.trans(tl.load(x + at[:, None] * N + at[None, :])))


@triton.jit
def quantised(x, out, scales, columns, BLOCK: tl.constexpr):  # noqa: N803
    at, row = tl.arange(0, BLOCK), tl.program_id(0)
    value = tl.load(x + row * columns + at, mask=at < columns, other=0.0).to(tl.float32)
    scale = tl.max(tl.abs(value), axis=0) / 448.0
    tl.store(scales + row, scale)
    tl.store(out + row * columns + at, (value / scale).to(out.dtype.element_ty), mask=at < columns)


@triton.jit
def row_major_product(a, b, out, K, M: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr):  # noqa: N803
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, BLOCK)
    total = tl.zeros((M, N), out.dtype.element_ty)
    for k in range(0, K, BLOCK):
        left = tl.load(a + rows[:, None] * K + k + inner[None, :])
        total += tl.dot(left, tl.load(b + (k + inner)[:, None] * N + columns[None, :]), out_dtype=out.dtype.element_ty)
    tl.store(out + rows[:, None] * N + columns[None, :], total)


@triton.jit
def scaled_product(a, a_scales, b, b_scales, out, K: tl.constexpr, N: tl.constexpr, KIND: tl.constexpr):  # noqa: N803
    rows, k, blocks = tl.arange(0, N), tl.arange(0, K), tl.arange(0, K // 32)
    left = tl.load(a + rows[:, None] * K + k[None, :])
    packed: tl.constexpr = K // 2 if KIND == "e2m1" else K
    right = tl.load(b + rows[None, :] * packed + tl.arange(0, packed)[:, None])
    at = rows[:, None] * (K // 32) + blocks[None, :]
    total = tl.dot_scaled(left, tl.load(a_scales + at), "e4m3", right, tl.load(b_scales + at), KIND)
    tl.store(out + rows[:, None] * N + rows[None, :], total)


@triton.jit
def attention(q, k, v, out, scale, LENGTH: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr):  # noqa: N803
    rows, columns, inner = tl.arange(0, LENGTH), tl.arange(0, D), tl.arange(0, BLOCK)
    query = tl.load(q + rows[:, None] * D + columns[None, :])
    largest = tl.full((LENGTH,), -float("inf"), tl.float32)
    total = tl.zeros((LENGTH,), tl.float32)
    result = tl.zeros((LENGTH, D), tl.float32)
    for start in range(0, LENGTH, BLOCK):
        at = start + inner
        scores = tl.dot(query, tl.load(k + at[None, :] * D + columns[:, None])) * scale
        scores = tl.where(rows[:, None] >= at[None, :], scores, -float("inf"))
        now = tl.maximum(largest, tl.max(scores, axis=1))
        weights, kept = tl.exp(scores - now[:, None]), tl.exp(largest - now)
        total = total * kept + tl.sum(weights, axis=1)
        values = tl.load(v + at[:, None] * D + columns[None, :])
        result = result * kept[:, None] + tl.dot(weights.to(values.dtype), values)
        largest = now
    tl.store(out + rows[:, None] * D + columns[None, :], result / total[:, None])


@triton.jit(noinline=True)
def halved(n):
    return n // 2


@triton.jit(noinline=True)
def collatz_step(n):
    if n % 2 == 0:
        return halved(n)
    return 3 * n + 1


@triton.jit
def called(start, out):
    n = tl.load(start + tl.program_id(0))
    steps = 0
    while n > 1:
        n = collatz_step(n)
        steps += 1
    tl.store(out + tl.program_id(0), steps)


@triton.jit
def locked_sum(x, lock, out, BLOCK: tl.constexpr):  # noqa: N803
    at = tl.arange(0, BLOCK)
    value = tl.load(x + tl.program_id(0) * BLOCK + at)
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(out + at, tl.load(out + at) + value)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def small_product(a, b, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):  # noqa: N803
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(a + rows[:, None] * K + inner[None, :])
    right = tl.load(b + inner[:, None] * N + columns[None, :])
    total = tl.dot(left, right, out_dtype=out.dtype.element_ty)
    tl.store(out + rows[:, None] * N + columns[None, :], total)


@triton.jit
def packed_rows(a, a_scales, b, b_scales, out, K: tl.constexpr, N: tl.constexpr):  # noqa: N803
    rows, half, k, blocks = tl.arange(0, N), tl.arange(0, N // 2), tl.arange(0, K), tl.arange(0, K // 32)
    left = tl.load(a + rows[:, None] * (K // 2) + tl.arange(0, K // 2)[None, :])
    right = tl.load(b + k[:, None] * (N // 2) + half[None, :])
    at = rows[:, None] * (K // 32) + blocks[None, :]
    scales = tl.load(a_scales + at), tl.load(b_scales + at)
    total = tl.dot_scaled(left, scales[0], "e2m1", right, scales[1], "e2m1", rhs_k_pack=False)
    tl.store(out + rows[:, None] * N + rows[None, :], total)


@gluon.jit
def narrow_product(a, b, out, K: gl.constexpr):  # noqa: N803
    matrix: gl.constexpr = gl.amd.AMDMFMALayout(
        version=4, instr_shape=[4, 64, 64], transposed=False, warps_per_cta=[4, 1]
    )
    left: gl.constexpr = gl.DotOperandLayout(0, matrix, 4)
    right: gl.constexpr = gl.DotOperandLayout(1, matrix, 4)
    rows, inner = gl.arange(0, 16, layout=gl.SliceLayout(1, left)), gl.arange(0, K, layout=gl.SliceLayout(0, left))
    x = gl.load(a + rows[:, None] * K + inner[None, :])
    inner, columns = gl.arange(0, K, layout=gl.SliceLayout(1, right)), gl.arange(0, 64, layout=gl.SliceLayout(0, right))
    y = gl.load(b + inner[:, None] * 64 + columns[None, :])
    total = gl.amd.cdna4.mfma(x, y, gl.zeros([16, 64], gl.float32, layout=matrix))
    rows, columns = gl.arange(0, 16, layout=gl.SliceLayout(1, matrix)), gl.arange(0, 64, gl.SliceLayout(0, matrix))
    gl.store(out + rows[:, None] * 64 + columns[None, :], total)


@gluon.jit
def buffer_copy(x, out, n, limit, BLOCK: gl.constexpr):  # noqa: N803
    layout: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    at = gl.program_id(0) * BLOCK + gl.arange(0, BLOCK, layout=layout)
    value = gl.amd.cdna3.buffer_load(ptr=x, offsets=at, mask=at < n)
    gl.amd.cdna3.buffer_store(value, ptr=out, offsets=at, mask=at < limit)


SAMPLES: dict[str, tuple[Any, dict[str, str], dict[str, Any]]] = {
    "add_masked": (
        add_masked,
        {"x": "*fp32", "y": "*fp32", "out": "*fp32", "n": "i32", "scale": "fp32"},
        {"BLOCK": 256},
    ),
    "add_unmasked": (
        add_unmasked,
        {"x": "*fp32", "y": "*fp32", "out": "*fp32", "n": "i32", "scale": "fp32"},
        {"BLOCK": 1024},
    ),
    "log_softmax_rows": (log_softmax_rows, {"x": "*fp32", "out": "*fp32", "columns": "i32"}, {"BLOCK": 512}),
    "collatz": (collatz, {"start": "*i32", "out": "*i32", "n": "i32"}, {"BLOCK": 256}),
    "product_fp8": (
        matrix_product,
        {"a": "*fp8e4nv", "b": "*fp8e4nv", "out": "*fp32", "K": "i32"},
        {"M": 64, "N": 64, "BLOCK": 64},
    ),
    "product_f16": (
        matrix_product,
        {"a": "*fp16", "b": "*fp16", "out": "*fp32", "K": "i32"},
        {"M": 32, "N": 64, "BLOCK": 32},
    ),
    "product_bf16": (
        matrix_product,
        {"a": "*bf16", "b": "*bf16", "out": "*fp32", "K": "i32"},
        {"M": 64, "N": 32, "BLOCK": 32},
    ),
    "bytes_to_wide": (bytes_to_wide, {"x": "*i8", "out": "*i64", "n": "i32"}, {"BLOCK": 256}),
    **{
        f"softmax_{t}": (softmax_rows, {"x": f"*{t}", "out": f"*{t}", "columns": "i32"}, {"BLOCK": 512})
        for t in ("fp32", "fp16", "bf16")
    },
    "sine_and_more": (sine_and_more, {"x": "*fp32", "out": "*fp32"}, {"BLOCK": 512}),
    "double_division": (double_division, {"x": "*fp64", "out": "*fp64"}, {"BLOCK": 512}),
    "running_sum": (running_sum, {"x": "*i32", "out": "*i32"}, {"BLOCK": 1024}),
    "counted": (counted, {"x": "*i32", "out": "*i32"}, {"BLOCK": 1024, "BINS": 64}),
    **{
        f"scattered_{t}": (scattered, {"x": f"*{t}", "where": "*i32", "out": f"*{t}", "found": f"*{t}"}, {"BLOCK": 256})
        for t in ("i32", "fp32")
    },
    "transposed": (transposed, {"x": "*fp16", "out": "*fp16"}, {"N": 64}),
    **{
        f"quantised_{t}": (
            quantised,
            {"x": "*bf16", "out": f"*{t}", "scales": "*fp32", "columns": "i32"},
            {"BLOCK": 512},
        )
        for t in ("fp8e4nv", "fp8e5")
    },
    **{
        f"row_major_{t}": (
            row_major_product,
            {"a": f"*{t}", "b": f"*{t}", "out": f"*{o}", "K": "i32"},
            {"M": 64, "N": 64, "BLOCK": 64},
        )
        for t, o in (("bf16", "fp32"), ("fp8e4nv", "fp32"), ("fp32", "fp32"), ("i8", "i32"))
    },
    **{
        f"scaled_{kind}": (
            scaled_product,
            {"a": "*u8", "a_scales": "*u8", "b": "*u8", "b_scales": "*u8", "out": "*fp32"},
            {"K": 128, "N": 64, "KIND": kind},
        )
        for kind in ("e4m3", "e2m1")
    },
    "attention": (
        attention,
        {"q": "*bf16", "k": "*bf16", "v": "*bf16", "out": "*fp32", "scale": "fp32"},
        {"LENGTH": 64, "D": 64, "BLOCK": 32},
    ),
    "called": (called, {"start": "*i32", "out": "*i32"}, {}),
    "locked_sum": (locked_sum, {"x": "*i32", "lock": "*i32", "out": "*i32"}, {"BLOCK": 256}),
    **{
        f"small_{t}": (
            small_product,
            {"a": f"*{t}", "b": f"*{t}", "out": f"*{o}"},
            dict(zip("MNK", shape, strict=True)),
        )
        for t, o, shape in (("fp64", "fp64", (32, 32, 64)), ("fp16", "fp32", (4, 8, 16)), ("bf16", "fp32", (2, 16, 32)))
    },
    "packed_rows": (
        packed_rows,
        {"a": "*u8", "a_scales": "*u8", "b": "*u8", "b_scales": "*u8", "out": "*fp32"},
        {"K": 128, "N": 64},
    ),
    "narrow_product": (narrow_product, {"a": "*fp16", "b": "*fp16", "out": "*fp32"}, {"K": 128}),
    "buffer_copy": (buffer_copy, {"x": "*fp32", "out": "*fp32", "n": "i32", "limit": "i32"}, {"BLOCK": 256}),
}


def main(directory: str) -> None:
    """Compile every sample."""
    target = GPUTarget("hip", "gfx950", 64)
    for name, (kernel, signature, constants) in SAMPLES.items():
        source = GluonASTSource if kernel in (buffer_copy, narrow_product) else ASTSource
        full = {**signature, **dict.fromkeys(constants, "constexpr")}
        compiled = triton.compile(source(fn=kernel, signature=full, constexprs=constants), target=target)
        place = pathlib.Path(directory) / name
        place.with_suffix(".co").write_bytes(compiled.asm["hsaco"])
        facts = {"lds_bytes": compiled.metadata.shared, "names": list(signature)}
        place.with_suffix(".json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1])
