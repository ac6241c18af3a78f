"""The small model: its arithmetic against known values, and own kernels whose stores are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from tests.kernels import SHIPPED, bound  # noqa: E402
from tests.source import model  # noqa: E402
from tests.source.model import Launch, ModelError, Outside  # noqa: E402

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "src/aiterfix/demo/sample/aiter/ops/triton"
TOP = (1 << 31) - 1
LAUNCH = Launch("usual", 100, (70, 30), next_n=2)
HEAD = """\
import triton
import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

@gluon.jit
def kernel(OutLogits_buffer, stride_out_batch, max_model_len, batch_size, next_n, context_len_ptr, Q_buffer,
           stride_k_block: tl.int64, ChunkK: gl.constexpr):
"""


def run(body: str) -> model.Run:
    """Run a kernel of this body on two sequences of two positions each."""
    text = HEAD + "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return model.launch(model.File(text.encode()).execute()["kernel"], LAUNCH, keep=True)


def value(expression: str, before: str = "pass") -> Any:
    """An integer expression's value, read off the offset it is stored to."""
    stored = run(f"{before}\nif tl.program_id(0) == 0:\n    tl.store(OutLogits_buffer + ({expression}), 0)").lanes
    offsets = [int(n) for lanes in stored for n in lanes]
    return offsets[0] if len(offsets) == 1 else offsets


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("max_model_len + 1", 101),
        (f"max_model_len * 0 + {TOP} + batch_size", -(1 << 31) + 1),  # 32 bits wrap
        (f"stride_k_block * 0 + {TOP} + batch_size", TOP + 2),  # 64 bits do not
        ("(max_model_len * 65536 * 65536).to(tl.int64)", 0),
        ("max_model_len.to(tl.int64) * 65536 * 65536", 100 << 32),
        ("(0 - max_model_len) // 3", -33),  # towards zero
        ("(0 - max_model_len) % 3", -1),
        ("(max_model_len * 400).to(tl.int16)", 40000 - 65536),
        ("(max_model_len + 100).to(tl.int8)", 200 - 256),
        ("(0 - batch_size).to(tl.uint32)", (1 << 32) - 2),
        ("tl.cdiv(max_model_len, 64)", 2),
        ("min(max_model_len, 64)", 64),
        ("tl.maximum(max_model_len, 640)", 640),
        ("tl.where(max_model_len < 5, 7, 9)", 9),
        ("(max_model_len < 5).to(tl.int32)", 0),
        ("(~(max_model_len < 5)).to(tl.int32)", 1),
        ("((max_model_len > 5) + (batch_size > 1)).to(tl.int32)", 0),  # one bit
        ("gl.load(context_len_ptr + 1)", 30),
        ("gl.load(context_len_ptr + 1, mask=batch_size < 1, other=8)", 8),
        ("ChunkK // 2", 128),
        ("-7 // 2", -4),  # constants are Python's
        ("gl.arange(0, 4)", [0, 1, 2, 3]),
        ("(gl.arange(0, 2)[:, None] * 10 + gl.arange(0, 2)[None, :])", [0, 1, 10, 11]),
        ("gl.convert_layout(gl.arange(0, 2, layout=gl.SliceLayout(0, 1)), 3)", [0, 1]),
        ("(gl.arange(0, 2) * (1 << 30) * 2)", [0, -(1 << 31)]),
        ("gl.sum(gl.arange(0, 4), axis=0)", 6),
        ("gl.reshape(gl.arange(0, 4), (2, 2)).T", [0, 2, 1, 3]),
        ("gl.full((2,), 5, gl.int32)", [5, 5]),
    ],
)
def test_arithmetic(expression: str, expected: int | list[int]) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    "body",
    [
        "gl.arange(0, max_model_len)",
        "max_model_len // (next_n - 2)",
        f"max_model_len + {1 << 40}",
        "tl.store(max_model_len, 0)",
        "tl.store(OutLogits_buffer + gl.load(Q_buffer).to(tl.int32), 0)",
        "if gl.arange(0, 4) > 2:\n    pass",
        "if gl.load(Q_buffer) > 0:\n    pass",
        "for i in range(0, max_model_len, 0):\n    pass",
        "while max_model_len > 0:\n    pass",
        "tl.store(OutLogits_buffer + gl.arange(0, 4), 0, mask=gl.arange(0, 8) > 1)",
    ],
)
def test_what_triton_refuses_is_an_error(body: str) -> None:
    with pytest.raises(ModelError):
        run(body)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError):
        run("gl.histogram(max_model_len)")
    with pytest.raises(NameError):
        run("open('x')")


def test_masks_of_data_count_as_true_but_widen_nothing() -> None:
    assert len(run("tl.store(OutLogits_buffer + gl.arange(0, 4), 0, mask=gl.load(Q_buffer) > 0)").lanes[0]) == 4
    least = "mask=gl.arange(0, 4) < min(batch_size, gl.load(Q_buffer))"
    assert len(run(f"tl.store(OutLogits_buffer + gl.arange(0, 4), 0, {least})").lanes[0]) == 2
    both = "mask=(gl.arange(0, 4) < 2) & (gl.load(Q_buffer) > 0)"
    assert len(run(f"tl.store(OutLogits_buffer + gl.arange(0, 4), 0, {both})").lanes[0]) == 2
    either = "mask=(gl.arange(0, 4) < 2) | (gl.load(Q_buffer) > 0)"
    assert len(run(f"tl.store(OutLogits_buffer + gl.arange(0, 4), 0, {either})").lanes[0]) == 4


def test_rows_and_columns_come_apart() -> None:
    store = "tl.store(OutLogits_buffer + tl.program_id(0).to(tl.int64) * stride_out_batch + {column}, 0)"
    inside = run(store.format(column="gl.arange(0, 64)"))
    assert inside.outside == []
    past = run(store.format(column="gl.arange(0, 64) + 64"))
    assert {o.column for o in past.outside} == {127}
    assert past.outside[0].line == HEAD.count("\n") + 1
    before = run(store.format(column="gl.arange(0, 64) - 3"))
    assert {o.column for o in before.outside} == {-3}
    assert len(before.outside) == 4  # two contexts, two positions
    assert len(model.columns_outside(past)) == 4
    assert set(model.columns_outside(past).values()) == {28}


def test_stores_elsewhere_do_not_count() -> None:
    assert run("tl.store(Q_buffer + 500, 0)").outside == []
    assert run("gl.amd.cdna3.buffer_store(0, ptr=OutLogits_buffer, offsets=500)").outside == [Outside(9, 500)] * 4


def outside(
    path: Path, kernel: str, launch: Launch, *, mend: bool = False, replace: tuple[bytes, bytes] = (b"", b"")
) -> set[int]:
    """How many columns past its end each row gets: the distinct numbers."""
    text = path.read_bytes().replace(*replace)
    text = bound(text, SHIPPED.judged).new if mend else text
    return set(model.columns_outside(model.launch(model.File(text).execute()[kernel], launch, keep=True)).values())


GLUON = SAMPLE / "gluon/pa_mqa_logits.py"
KERNELS = ROOT / "tests/data/sample_kernels.py"
TILED = "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle"
SWITCH = (b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")


@pytest.mark.parametrize("kernel", [TILED.removesuffix("_preshuffle"), TILED, TILED + "_varctx"])
def test_the_sample_package_overshoots_until_it_is_mended(kernel: str) -> None:
    launch = Launch("usual", 1000, (1000, 1000), next_n=2, split=4)
    assert outside(GLUON, kernel, launch) == {24}
    assert outside(GLUON, kernel, launch, mend=True) == set()
    assert outside(GLUON, kernel, Launch("usual", 1024, (1024,), split=4)) == set()


@pytest.mark.parametrize("kernel", [TILED.removesuffix("_preshuffle"), TILED, TILED + "_varctx"])
def test_own_kernels_overshoot_where_the_switch_says_so(kernel: str) -> None:
    launch = Launch("usual", 1000, (1000, 1000), next_n=2, split=3)
    assert outside(KERNELS, kernel, launch, replace=SWITCH) == {24}
    assert outside(KERNELS, kernel, launch) == set()


def test_plain_triton() -> None:
    path = ROOT / "tests/data/sample_plain.py"
    launch = Launch("usual", 300, (300,), next_n=2, block=1, split=2)
    assert outside(path, "_deepgemm_fp8_paged_mqa_logits_stage1", launch) == {212}
    assert outside(path, "_deepgemm_fp8_paged_mqa_logits_stage1", launch, mend=True) == set()
