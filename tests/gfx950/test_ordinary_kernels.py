"""Ordinary Triton kernels, of many kinds, on the emulator against NumPy: each is right, and nothing is found about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from aiterfix.gfx950 import Allocation, RunResult
from aiterfix.gfx950.numerics import fp8_table
from tests.gfx950.test_mfma import FORMATS, _decoded
from tests.gfx950.test_whole_kernels import execute, serious

RNG = np.random.default_rng(41)


def run(samples: Path, name: str, grid: int = 1, **args: Any) -> dict[str, Allocation]:
    """Execute a sample and see to it that it did nothing wrong."""
    result: RunResult
    result, memory = execute(samples, name, grid, **args)
    assert result.violations == ()
    assert serious(result) == []
    return memory


def _bf16(values: Any) -> Any:
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)


def _wide(bits: Any) -> Any:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("kind", ["fp32", "fp16", "bf16"])
def test_softmax(samples: Path, kind: str) -> None:
    raw = RNG.standard_normal((5, 300)).astype(np.float32) * 3
    x = {"fp32": raw, "fp16": raw.astype(np.float16), "bf16": _bf16(raw)}[kind]
    memory = run(samples, f"softmax_{kind}", 5, x=x, out=np.zeros_like(x), columns=300)
    exact = (_wide(x) if kind == "bf16" else x).astype(np.float64)
    want = np.exp(exact - exact.max(axis=1, keepdims=True))
    want /= want.sum(axis=1, keepdims=True)
    got = memory["out"].array(x.dtype, (5, 300))
    got = _wide(got) if kind == "bf16" else got
    assert np.abs(got - want).max() <= {"fp32": 1e-6, "fp16": 1e-3, "bf16": 8e-3}[kind] * want.max()


def test_sine_and_more(samples: Path) -> None:
    x = (RNG.standard_normal(512) * 20).astype(np.float32)
    memory = run(samples, "sine_and_more", x=x, out=np.zeros_like(x))
    wide = x.astype(np.float64)
    want = np.sin(wide) + np.cos(wide) + np.sqrt(np.abs(wide)) + 1 / np.sqrt(wide * wide + 1)
    assert np.abs(memory["out"].array(np.float32) - want).max() < 1e-5


def test_division_of_doubles(samples: Path) -> None:
    x = RNG.standard_normal(512) * np.exp2(RNG.integers(-30, 30, 512))
    memory = run(samples, "double_division", x=x, out=np.zeros_like(x))
    assert (memory["out"].array(np.float64) == x / 3.0 + 7.0 / x).all()


def test_running_sum(samples: Path) -> None:
    x = RNG.integers(-1000, 1000, 1024).astype(np.int32)
    memory = run(samples, "running_sum", x=x, out=np.zeros_like(x))
    assert (memory["out"].array(np.int32) == np.cumsum(x)).all()


def test_histogram(samples: Path) -> None:
    x = RNG.integers(0, 64, 1024).astype(np.int32)
    memory = run(samples, "counted", x=x, out=np.zeros(64, np.int32))
    assert (memory["out"].array(np.int32) == np.bincount(x, minlength=64)).all()


@pytest.mark.parametrize("kind", ["i32", "fp32"])
def test_atomic_sums(samples: Path, kind: str) -> None:
    dtype = {"i32": np.int32, "fp32": np.float32}[kind]
    x = RNG.integers(1, 9, 512).astype(dtype)
    where = RNG.integers(0, 16, 512).astype(np.int32)
    memory = run(samples, f"scattered_{kind}", 2, x=x, where=where, out=np.zeros(16, dtype), found=np.zeros(512, dtype))
    want = np.zeros(16, dtype)
    np.add.at(want, where, x)
    assert (memory["out"].array(dtype) == want).all()
    found = memory["found"].array(dtype)
    for place in range(16):
        # Each found what those before it had made of the cell: in some order the partial sums.
        mine = where == place
        order = np.argsort(found[mine])
        assert (found[mine][order] == np.cumsum(x[mine][order]) - x[mine][order]).all()


def test_transpose_of_halves(samples: Path) -> None:
    x = RNG.standard_normal((64, 64)).astype(np.float16)
    memory = run(samples, "transposed", x=x, out=np.zeros_like(x))
    assert (memory["out"].array(np.float16, (64, 64)) == x.T).all()


@pytest.mark.parametrize(("kind", "table"), [("fp8e4nv", "e4m3fn"), ("fp8e5", "e5m2")])
def test_quantisation(samples: Path, kind: str, table: str) -> None:
    x = _bf16(RNG.standard_normal((4, 500)))
    memory = run(
        samples,
        f"quantised_{kind}",
        4,
        x=x,
        out=np.zeros((4, 500), np.uint8),
        scales=np.zeros(4, np.float32),
        columns=500,
    )
    wide = _wide(x)
    scale = np.abs(wide).max(axis=1) / np.float32(448)
    assert (memory["scales"].array(np.float32) == scale).all()
    numbers = fp8_table(table)[:127]
    numbers = numbers[np.isfinite(numbers)].astype(np.float64)
    exact = (wide / scale[:, np.newaxis]).astype(np.float64)
    got = fp8_table(table)[memory["out"].array(np.uint8, (4, 500))].astype(np.float64)
    nearest = np.abs(np.abs(exact)[..., np.newaxis] - numbers).min(axis=2)
    assert (np.abs(got - exact) == nearest).all()


@pytest.mark.parametrize("kind", ["bf16", "fp8e4nv", "fp32", "i8"])
def test_product_of_row_major_matrices(samples: Path, kind: str) -> None:
    """Operands go through transposing reads of LDS."""
    a, b = RNG.standard_normal((64, 192)).astype(np.float32), RNG.standard_normal((192, 64)).astype(np.float32)
    if kind == "bf16":
        raw = [_bf16(x) for x in (a, b)]
        exact = [_wide(x).astype(np.float64) for x in raw]
    elif kind == "fp8e4nv":
        raw = [RNG.integers(0, 256, x.shape, dtype=np.uint8) & 0xBF for x in (a, b)]
        exact = [fp8_table("e4m3fn")[x].astype(np.float64) for x in raw]
    elif kind == "i8":
        raw = [RNG.integers(-128, 128, x.shape).astype(np.int8) for x in (a, b)]
        exact = [x.astype(np.float64) for x in raw]
    else:
        raw, exact = [a, b], [a.astype(np.float64), b.astype(np.float64)]
    dtype = np.int32 if kind == "i8" else np.float32
    memory = run(samples, f"row_major_{kind}", a=raw[0], b=raw[1], out=np.zeros((64, 64), dtype), K=192)
    got, want = memory["out"].array(dtype, (64, 64)), exact[0] @ exact[1]
    bound = 0 if kind == "i8" else 1e-5 * (np.abs(exact[0]) @ np.abs(exact[1]))
    assert (np.abs(got - want) <= bound).all()


@pytest.mark.parametrize("kind", ["e4m3", "e2m1"])
def test_scaled_product(samples: Path, kind: str) -> None:
    """Two formats of one product hold k in different orders, and scales belong to 32 of it."""
    a = RNG.integers(0, 256, (64, 128), dtype=np.uint8) & 0xBF
    b = RNG.integers(0, 256, (64, 64 if kind == "e2m1" else 128), dtype=np.uint8) & (0xFF if kind == "e2m1" else 0xBF)
    scales = RNG.integers(120, 134, (2, 64, 4), dtype=np.uint8)
    memory = run(
        samples, f"scaled_{kind}", a=a, a_scales=scales[0], b=b, b_scales=scales[1], out=np.zeros((64, 64), np.float32)
    )
    fmt = {"e4m3": "fp8", "e2m1": "fp4"}[kind]
    assert fmt in FORMATS
    left = np.array([[_decoded(row.tobytes(), k, "fp8") for k in range(128)] for row in a])
    right = np.array([[_decoded(row.tobytes(), k, fmt) for k in range(128)] for row in b])
    left *= np.exp2(scales[0].astype(np.float64) - 127).repeat(32, axis=1)
    right *= np.exp2(scales[1].astype(np.float64) - 127).repeat(32, axis=1)
    got = memory["out"].array(np.float32, (64, 64))
    assert (np.abs(got - left @ right.T) <= 1e-6 * (np.abs(left) @ np.abs(right).T)).all()


def test_attention(samples: Path) -> None:
    raw = [_bf16(RNG.standard_normal((64, 64))) for _ in range(3)]
    q, k, v = (_wide(x).astype(np.float64) for x in raw)
    memory = run(samples, "attention", q=raw[0], k=raw[1], v=raw[2], out=np.zeros((64, 64), np.float32), scale=0.125)
    scores = np.where(np.tri(64, dtype=bool), q @ k.T * 0.125, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    want = weights / weights.sum(axis=1, keepdims=True) @ v
    assert np.abs(memory["out"].array(np.float32, (64, 64)) - want).max() < 2e-2


def test_calls(samples: Path) -> None:
    """Functions that are not inlined, one of which calls the other."""
    start = np.array([1, 2, 7, 27, 97], np.int32)
    memory = run(samples, "called", 5, start=start, out=np.zeros(5, np.int32))
    assert memory["out"].array(np.int32).tolist() == [0, 1, 16, 111, 118]


def test_workgroups_that_wait_for_a_lock(samples: Path) -> None:
    x = RNG.integers(-99, 99, (5, 256)).astype(np.int32)
    memory = run(samples, "locked_sum", 5, x=x, lock=np.zeros(1, np.int32), out=np.zeros(256, np.int32))
    assert (memory["out"].array(np.int32) == x.sum(axis=0)).all()


@pytest.mark.parametrize(("kind", "m", "n", "k"), [("fp64", 32, 32, 64), ("fp16", 4, 8, 16), ("bf16", 2, 16, 32)])
def test_products_of_doubles_and_of_few_rows(samples: Path, kind: str, m: int, n: int, k: int) -> None:
    """By matrix instructions of doubles, and by dot products of halves where a matrix would be mostly empty."""
    raw = [RNG.standard_normal(shape) for shape in ((m, k), (k, n))]
    given = [{"fp64": x, "fp16": x.astype(np.float16), "bf16": _bf16(x)}[kind] for x in raw]
    a, b = [(_wide(x) if kind == "bf16" else x).astype(np.float64) for x in given]
    dtype = np.float64 if kind == "fp64" else np.float32
    memory = run(samples, f"small_{kind}", a=given[0], b=given[1], out=np.zeros((m, n), dtype))
    error = np.abs(memory["out"].array(dtype, (m, n)) - a @ b)
    # One rounding for each of k sums.
    assert (error <= k * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b))).all()


def test_scaled_product_of_numbers_packed_along_rows(samples: Path) -> None:
    """Two 4-bit numbers of a byte belong to neighbouring columns, so that they are transposed on their way."""
    a = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    b = RNG.integers(0, 256, (128, 32), dtype=np.uint8)
    scales = RNG.integers(120, 134, (2, 64, 4), dtype=np.uint8)
    memory = run(
        samples, "packed_rows", a=a, a_scales=scales[0], b=b, b_scales=scales[1], out=np.zeros((64, 64), np.float32)
    )
    left = np.array([[_decoded(row.tobytes(), k, "fp4") for k in range(128)] for row in a])
    right = np.array([[_decoded(row.tobytes(), n, "fp4") for n in range(64)] for row in b]).T
    left *= np.exp2(scales[0].astype(np.float64) - 127).repeat(32, axis=1)
    right *= np.exp2(scales[1].astype(np.float64) - 127).repeat(32, axis=1)
    got = memory["out"].array(np.float32, (64, 64))
    assert (np.abs(got - left @ right.T) <= 1e-6 * (np.abs(left) @ np.abs(right).T)).all()


def test_product_of_sixteen_blocks(samples: Path) -> None:
    """Matrix instructions of 4 rows and 16 blocks, which share A's blocks."""
    a, b = RNG.standard_normal((16, 128)).astype(np.float16), RNG.standard_normal((128, 64)).astype(np.float16)
    memory = run(samples, "narrow_product", a=a, b=b, out=np.zeros((16, 64), np.float32))
    left, right = a.astype(np.float64), b.astype(np.float64)
    error = np.abs(memory["out"].array(np.float32, (16, 64)) - left @ right)
    assert (error <= 1e-5 * (np.abs(left) @ np.abs(right))).all()
