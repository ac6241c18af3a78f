"""Whole kernels, written in Triton and Gluon for these tests and compiled for gfx950, against numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from aiterfix.gfx950 import Allocation, CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.findings import Access, FindingKind
from aiterfix.gfx950.numerics import fp8_table

RNG = np.random.default_rng(21)
BENIGN = {FindingKind.REGISTER_NEVER_WRITTEN}
"""The compiler reads undefined registers where it does not matter; reported, and no failure of ours."""


def execute(
    samples: Path, name: str, grid: int, *, profile: bool = False, **args: Any
) -> tuple[RunResult, dict[str, Allocation]]:
    facts = json.loads((samples / f"{name}.json").read_text())
    code = CodeObject.from_bytes((samples / f"{name}.co").read_bytes()).with_argument_names(facts["names"])
    memory = DeviceMemory()
    values = {
        key: memory.allocate(key, value) if isinstance(value, np.ndarray) else value for key, value in args.items()
    }
    launch = Launch((grid, 1, 1), (256, 1, 1), values, lds_bytes=facts["lds_bytes"])
    result = run(code, memory, launch, profile=profile)
    return result, {key: value for key, value in values.items() if isinstance(value, Allocation)}


def serious(result: RunResult) -> list[Any]:
    return [f for f in result.findings if f.kind not in BENIGN]


def test_masked_add(samples: Path) -> None:
    x, y = RNG.standard_normal((2, 1000)).astype(np.float32)
    result, memory = execute(
        samples, "add_masked", 4, x=x, y=y, out=np.zeros(1000, np.float32), n=1000, scale=1.5, profile=True
    )
    got = memory["out"].array(np.float32)
    assert np.abs(got - (x * np.float32(1.5) + y)).max() < 1e-6
    assert result.violations == ()
    assert serious(result) == []
    assert sum(seconds for _, seconds in result.by_group.values()) > 0


def test_unmasked_add_overruns_and_says_where(samples: Path) -> None:
    x, y = RNG.standard_normal((2, 1000)).astype(np.float32)
    result, memory = execute(samples, "add_unmasked", 1, x=x, y=y, out=np.zeros(1000, np.float32), n=1000, scale=2.0)
    assert np.abs(memory["out"].array(np.float32) - (x * np.float32(2) + y)).max() < 1e-6
    stores = [v for v in result.violations if v.access is Access.STORE]
    assert sum(v.count for v in stores) == 24
    assert {v.argument for v in result.violations} == {"x", "y", "out"}
    assert (stores[0].first_element, stores[-1].last_element) == (1000, 1023)
    source = (Path(__file__).with_name("compile_samples.py")).read_text().splitlines()
    for violation in result.violations:
        assert violation.source is not None
        assert violation.source.file.endswith("compile_samples.py")
        line = source[violation.source.line - 1]
        assert "tl.store" in line or "tl.load" in line


def test_log_softmax(samples: Path) -> None:
    x = RNG.standard_normal((6, 300)).astype(np.float32) * 4
    result, memory = execute(samples, "log_softmax_rows", 6, x=x, out=np.zeros_like(x), columns=300)
    want = x - x.max(axis=1, keepdims=True)
    want -= np.log(np.exp(want).sum(axis=1, keepdims=True))
    assert np.abs(memory["out"].array(np.float32, (6, 300)) - want).max() < 1e-5
    assert result.violations == ()
    assert serious(result) == []


def test_divergent_loop(samples: Path) -> None:
    start = RNG.integers(1, 5000, 700).astype(np.int32)
    result, memory = execute(samples, "collatz", 3, start=start, out=np.zeros(700, np.int32), n=700)

    def steps(value: int) -> int:
        count = 0
        while value > 1:
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            count += 1
        return count

    assert memory["out"].array(np.int32).tolist() == [steps(value) for value in start.tolist()]
    assert result.violations == ()
    assert serious(result) == []


@pytest.mark.parametrize(("fmt", "rows", "columns"), [("fp8", 64, 64), ("f16", 32, 64), ("bf16", 64, 32)])
def test_matrix_product(samples: Path, fmt: str, rows: int, columns: int) -> None:
    depth = 192
    a: Any
    b: Any
    if fmt == "fp8":
        a, b = (RNG.integers(0, 256, shape, dtype=np.uint8) & 0xBF for shape in ((rows, depth), (depth, columns)))
        left, right = fp8_table("e4m3fn")[a], fp8_table("e4m3fn")[b]
    elif fmt == "f16":
        a, b = (RNG.standard_normal(shape).astype(np.float16) for shape in ((rows, depth), (depth, columns)))
        left, right = a.astype(np.float32), b.astype(np.float32)
    else:
        wide = [RNG.standard_normal(shape).astype(np.float32) for shape in ((rows, depth), (depth, columns))]
        a, b = ((x.view(np.uint32) >> 16).astype(np.uint16) for x in wide)
        left, right = ((x.astype(np.uint32) << 16).view(np.float32) for x in (a, b))
    result, memory = execute(
        samples,
        f"product_{fmt}",
        1,
        a=a,
        b=np.ascontiguousarray(b.T),
        out=np.zeros((rows, columns), np.float32),
        K=depth,
    )
    got = memory["out"].array(np.float32, (rows, columns))
    bound = np.abs(left) @ np.abs(right)
    assert (np.abs(got - left.astype(np.float64) @ right) <= 1e-5 * bound).all()
    assert result.violations == ()
    assert serious(result) == []
    assert any(name.startswith("v_mfma") for name in result.by_opcode)


def test_wide_integers(samples: Path) -> None:
    x = RNG.integers(-128, 128, 500).astype(np.int8)
    result, memory = execute(samples, "bytes_to_wide", 2, x=x, out=np.zeros(500, np.int64), n=500)
    wide = x.astype(np.int64)
    numerator = wide << 33
    quotient = np.sign(numerator) * (np.abs(numerator) // 7)  # integer division towards zero
    assert (memory["out"].array(np.int64) == wide * wide * 1000003 - quotient).all()
    assert result.violations == ()


def test_gluon_buffer_store_beyond_the_end(samples: Path) -> None:
    """The mask of a buffer store is an offset past the descriptor: no violation. A wrong mask is one."""
    x = RNG.standard_normal(500).astype(np.float32)
    args: dict[str, Any] = {"x": x, "out": np.zeros(500, np.float32), "n": 500}
    result, memory = execute(samples, "buffer_copy", 2, **args, limit=500)
    assert (memory["out"].array(np.float32) == x).all()
    assert result.violations == ()
    result, memory = execute(samples, "buffer_copy", 2, **args, limit=507)
    assert (memory["out"].array(np.float32) == x).all()
    (violation,) = result.violations
    assert (violation.access, violation.argument) == (Access.STORE, "out")
    assert (violation.first_element, violation.last_element, violation.count) == (500, 506, 7)
    assert violation.workgroups == (1,)
    assert violation.lanes == sum(1 << lane for lane in range(500 % 64, 500 % 64 + 7))


def test_too_little_lds_is_found(samples: Path) -> None:
    """Launched without the LDS that it was compiled for, a kernel reads and writes outside it."""
    x = RNG.standard_normal((1, 300)).astype(np.float32)
    code = CodeObject.from_bytes((samples / "log_softmax_rows.co").read_bytes()).with_argument_names(
        ["x", "out", "columns"]
    )
    memory = DeviceMemory()
    args: dict[str, Any] = {"x": memory.allocate("x", x), "out": memory.allocate("out", x), "columns": 300}
    result = run(code, memory, Launch((1, 1, 1), (256, 1, 1), args))
    assert FindingKind.LDS_OUT_OF_RANGE in {f.kind for f in result.findings}
