"""Division by the sequence that compilers emit: the quotient of IEEE 754, to the bit, for every kind of operand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

from tinygrad.renderer.amd.dsl import VCC, v
from tinygrad.runtime.autogen.amd.cdna import ins
from tinygrad.runtime.autogen.amd.cdna.enum import VOP1Op, VOP3Op, VOP3SDOp

from tests.gfx950.single import code_of, execute, new_waves, set_exec

EDGES = [0.0, -0.0, 1.0, -3.0, np.inf, -np.inf, np.nan]


def _operands(dtype: Any, count: int) -> Any:
    """Numbers of every magnitude, edges and denormals; pairs whose quotient is near the largest and least numbers."""
    info, rng = np.finfo(dtype), np.random.default_rng(29)
    exponents = rng.integers(info.minexp - info.nmant, info.maxexp, (2, count))
    with np.errstate(over="ignore"):
        values = np.ldexp(1 + rng.random((2, count)), exponents).astype(dtype) * rng.choice([-1, 1], (2, count))
    near = rng.random(count) < 0.3
    values[1, near] = np.ldexp(values[0, near], rng.integers(-4, 5, near.sum())) * (1 + rng.random(near.sum()))
    special = rng.random((2, count)) < 0.1
    values = np.where(special, rng.choice([*EDGES, info.max, info.tiny, info.smallest_subnormal], (2, count)), values)
    return values.astype(dtype)


def _put(waves: Any, row: int, values: Any) -> None:
    if values.dtype == np.float32:
        waves.vector_f32[row] = values
    else:
        waves.vector[row], waves.vector[row + 1] = values.view(np.uint32).reshape(*values.shape, 2).transpose(2, 0, 1)


def _get(waves: Any, row: int, dtype: Any) -> Any:
    if dtype is np.float32:
        return waves.vector_f32[row]
    return np.stack([waves.vector[row], waves.vector[row + 1]], axis=-1).view(np.float64)[..., 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quotients(dtype: Any) -> None:
    bits = np.dtype(dtype).itemsize * 8
    suffix = f"F{bits}"
    waves = new_waves(code_of(b""), 8 if bits == 32 else 2)
    numerator, denominator = _operands(dtype, waves.count * 64).reshape(2, waves.count, 64)

    def at(row: int) -> Any:
        return v[row] if bits == 32 else v[row : row + 1]

    n, d, ds, r, e, q, ns, out = range(0, 16, 2)
    _put(waves, n, numerator)
    _put(waves, d, denominator)
    fma, rcp = VOP3Op[f"V_FMA_{suffix}" + ("_E64" if bits == 32 else "")], VOP1Op[f"V_RCP_{suffix}_E32"]
    _put(waves, 20, np.ones((waves.count, 64), dtype))
    one = at(20)
    scale = VOP3SDOp[f"V_DIV_SCALE_{suffix}"]
    execute(ins.VOP3SD(scale, at(ds), VCC, at(d), at(d), at(n)), waves)
    execute(ins.VOP3SD(scale, at(ns), VCC, at(n), at(d), at(n)), waves)
    execute(ins.VOP1(rcp, at(r), at(ds)), waves)
    for _ in range(2):
        execute(ins.VOP3(fma, at(e), at(ds), at(r), one, neg=1), waves)
        execute(ins.VOP3(fma, at(r), at(e), at(r), at(r)), waves)
    execute(ins.VOP3(VOP3Op.V_MUL_F32_E64 if bits == 32 else VOP3Op.V_MUL_F64, at(q), at(ns), at(r)), waves)
    execute(ins.VOP3(fma, at(e), at(ds), at(q), at(ns), neg=1), waves)
    execute(ins.VOP3(fma, at(q), at(e), at(r), at(q)), waves)
    execute(ins.VOP3(fma, at(e), at(ds), at(q), at(ns), neg=1), waves)
    execute(ins.VOP3(VOP3Op[f"V_DIV_FMAS_{suffix}_E64"], at(out), at(e), at(r), at(q)), waves)
    execute(ins.VOP3(VOP3Op[f"V_DIV_FIXUP_{suffix}_E64"], at(out), at(out), at(d), at(n)), waves)
    with np.errstate(all="ignore"):
        want = numerator / denominator
    got = _get(waves, out, dtype)
    same = (got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))
    wrong = np.argwhere(~same)
    # A denormal quotient is rounded twice, once by the last step and once by its scaling.
    for place in map(tuple, wrong):
        assert abs(want[place]) < np.finfo(dtype).tiny, (numerator[place], denominator[place], got[place], want[place])
        assert abs(got[place] - want[place]) <= np.finfo(dtype).smallest_subnormal, (
            numerator[place],
            denominator[place],
        )
    assert len(wrong) <= 0.02 * want.size


def test_the_flag_is_a_lane_mask() -> None:
    """A quotient near the largest number sets it, in lanes that are on."""
    waves = new_waves(code_of(b""), 1)
    waves.vector_f32[0] = np.where(np.arange(64) % 2, 2.0**100, 1.0)
    waves.vector_f32[1] = 2.0**-10
    set_exec(waves, 0xFFFF)
    execute(ins.VOP3SD(VOP3SDOp.V_DIV_SCALE_F32, v[2], VCC, v[1], v[1], v[0]), waves)
    assert int(waves.pairs64[53][0]) == 0xAAAA
    assert waves.vector_f32[2][0, :3].tolist() == [2.0**-10, 2.0**54, 2.0**-10]
    assert not waves.vector[2][0, 16:].any()


@pytest.mark.parametrize(
    ("denominator", "numerator", "want"),
    [(0.0, 0.0, np.nan), (np.inf, -np.inf, np.nan), (-0.0, 1.0, -np.inf), (2.0, -np.inf, -np.inf), (-np.inf, 3.0, -0.0),
     (5.0, -0.0, -0.0), (-2.0, 8.0, -7.0)],
)  # fmt: skip
def test_fixup_of_halves(denominator: float, numerator: float, want: float) -> None:
    waves = new_waves(code_of(b""), 1)
    for row, value in enumerate((7.0, denominator, numerator)):
        waves.vector[row] = int(np.float16(value).view(np.uint16))
    execute(ins.VOP3(VOP3Op.V_DIV_FIXUP_F16, v[3], v[0], v[1], v[2]), waves)
    got = waves.vector[3].astype(np.uint16).view(np.float16)
    assert (np.isnan(got).all() and np.isnan(want)) or got.tobytes() == np.full(64, want, np.float16).tobytes()
