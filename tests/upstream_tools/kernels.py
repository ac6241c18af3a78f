"""Kernel files of our own, in the states that releases go through."""

from __future__ import annotations

from aiterfix.faults.registry import Faults, load_faults
from aiterfix.history.bounds import bounds_of

FAULTS = Faults((load_faults().get("column-bound"),))
"""Store bounds alone: what else is wrong in the kernels below is no matter of these tests."""
GLUON_BOUNDS, STAGE1_BOUNDS = bounds_of(FAULTS)
ALONE = ("column-bound",)

GLUON = "_gluon_deepgemm_fp8_paged_mqa_logits"
STAGE1 = "_deepgemm_fp8_paged_mqa_logits_stage1"

HEAD = """\
from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def {name}(OutLogits_buffer, stride_out_batch, max_model_len, start, Chunk: gl.constexpr, layout: gl.constexpr):
    row = gl.program_id(0)
    value = gl.full([Chunk], 1.0, gl.float32, layout)
"""
NONE = """\
    gl.amd.cdna3.buffer_store(
        value, ptr=OutLogits_buffer, offsets=row * stride_out_batch + start + gl.arange(0, Chunk, layout=layout)
    )
"""
LOWER = """\
    gl.amd.cdna3.buffer_store(
        value,
        ptr=OutLogits_buffer,
        offsets=row * stride_out_batch + (start + Chunk + gl.arange(0, Chunk, layout=layout)),
        mask=start + Chunk + gl.arange(0, Chunk, layout=layout) >= 0,
    )
"""
UPPER = """\
    gl.amd.cdna3.buffer_store(
        value,
        ptr=OutLogits_buffer,
        offsets=row * stride_out_batch + start + gl.arange(0, Chunk, layout=layout),
        mask=start + gl.arange(0, Chunk, layout=layout) < max_model_len,
    )
"""
BOTH = """\
    column = start + 2 * Chunk + gl.arange(0, Chunk, layout=layout)
    gl.amd.cdna3.buffer_store(
        value,
        ptr=OutLogits_buffer + row * stride_out_batch,
        offsets=column,
        mask=(column >= 0) & (column < max_model_len),
    )
"""
# The bound is on another expression than the column: it bounds nothing.
OTHER = """\
    gl.amd.cdna3.buffer_store(
        value,
        ptr=OutLogits_buffer,
        offsets=row * stride_out_batch + start + Chunk + gl.arange(0, Chunk, layout=layout),
        mask=start + gl.arange(0, Chunk, layout=layout) < max_model_len,
    )
"""
PLAIN = f"""\
import triton
import triton.language as tl


@triton.jit
def {STAGE1}(
    Out_buffer, stride_out_heads, stride_out_batch, max_model_len, start, Chunk: tl.constexpr
):
    head = tl.program_id(0)
    row = tl.program_id(1)
    value = tl.full([Chunk], 1.0, tl.float32)
    tl.store(
        Out_buffer + head * stride_out_heads + row * stride_out_batch + start + tl.arange(0, Chunk),
        value,
    )
"""


def gluon(*stores: str, name: str = GLUON) -> str:
    """A Gluon kernel file with these stores."""
    return HEAD.format(name=name) + "".join(stores)


UNPATCHED = gluon(NONE, LOWER)
HALF = gluon(UPPER, LOWER)
FIXED = gluon(UPPER, BOTH)
PATH = "aiter/ops/triton/gluon/pa_mqa_logits.py"
PLAIN_PATH = "aiter/ops/triton/_triton_kernels/pa_mqa_logits.py"
