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


@gluon.jit
def buffer_copy(x, out, n, limit, BLOCK: gl.constexpr):  # noqa: N803
    layout: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    at = gl.program_id(0) * BLOCK + gl.arange(0, BLOCK, layout=layout)
    value = gl.amd.cdna3.buffer_load(ptr=x, offsets=at, mask=at < n)
    gl.amd.cdna3.buffer_store(value, ptr=out, offsets=at, mask=at < limit)


SAMPLES: dict[str, tuple[Any, dict[str, str], dict[str, int]]] = {
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
    "buffer_copy": (buffer_copy, {"x": "*fp32", "out": "*fp32", "n": "i32", "limit": "i32"}, {"BLOCK": 256}),
}


def main(directory: str) -> None:
    """Compile every sample."""
    target = GPUTarget("hip", "gfx950", 64)
    for name, (kernel, signature, constants) in SAMPLES.items():
        source = GluonASTSource if kernel is buffer_copy else ASTSource
        full = {**signature, **dict.fromkeys(constants, "constexpr")}
        compiled = triton.compile(source(fn=kernel, signature=full, constexprs=constants), target=target)
        place = pathlib.Path(directory) / name
        place.with_suffix(".co").write_bytes(compiled.asm["hsaco"])
        facts = {"lds_bytes": compiled.metadata.shared, "names": list(signature)}
        place.with_suffix(".json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1])
