"""Small kernels of the family, written for tests: the real parameters, and bodies that show one fault each."""

from __future__ import annotations

import textwrap

from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import Mended, mend
from tests.kernels import SHIPPED

NAME = "_gluon_deepgemm_fp8_paged_mqa_logits"
_PARAMETERS = """batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads, KV_buffer,
    stride_k_seq, scale_buffer, stride_scale_seq, context_len_ptr, kv_indices, weights, stride_w_batch,
    OutLogits_buffer, stride_out_batch: tl.int64, max_model_len, max_block_len, {last},
    ChunkQ: tl.constexpr, ChunkK: tl.constexpr, HiddenDim: tl.constexpr, KVBlockSize: tl.constexpr = 16,
    CDNA_VERSION: gl.constexpr = 3"""
_MODULE = """import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
{top}

@gluon.jit
def {name}(
    {parameters},
):
{body}
"""
_STORE = """
gl.amd.cdna3.buffer_store(
    logits,
    ptr=OutLogits_buffer + (pid_batch * next_n + pid_next_n).to(tl.int64) * stride_out_batch,
    offsets=columns,
    mask=columns < max_model_len,
)
"""

WALK = """
pid_split_kv = tl.program_id(0)
safe_chunks_per_cta = gl.load(safe_chunks_per_cta_ptr)
pid_batch = 0
context_length = gl.load(context_len_ptr + pid_batch)
chunks = tl.cdiv(context_length, ChunkK)
items = tl.cdiv(chunks, safe_chunks_per_cta)
while {test}:
    pid_split_kv -= items * next_n
    pid_batch += 1
    context_length = gl.load(context_len_ptr + pid_batch, mask=pid_batch < batch_size, other=0)
    chunks = tl.cdiv(context_length, ChunkK)
    items = tl.cdiv(chunks, safe_chunks_per_cta)
if context_length == 0:
    return
pid_next_n = pid_split_kv % next_n
"""
STOPPED = "pid_split_kv >= items * next_n and items > 0"
PASSING = "pid_split_kv >= items * next_n and pid_batch < batch_size"

FIXED = """
pid = tl.program_id(0)
pid_next_n = pid % next_n
pid_batch = pid // next_n
context_length = gl.load(context_len_ptr + pid_batch)
"""
SCORES = """
columns = gl.arange(0, ChunkK)
logits = gl.load(weights + columns)
"""
SEEN = "logits = tl.where(columns <= context_length - next_n + pid_next_n, logits, float('-inf'))\n"


def kernel(body: str, *, suffix: str = "_preshuffle", last: str = "SplitKV", top: str = "") -> bytes:
    """A module with one kernel, which ends in a store."""
    parameters = _PARAMETERS.format(last=last)
    body = textwrap.indent(body.strip("\n") + _STORE.rstrip(), "    ")
    return _MODULE.format(top=top, name=NAME + suffix, parameters=parameters, body=body).encode()


def walking(test: str = STOPPED, walk: str = WALK) -> bytes:
    """A kernel that looks for its sequence."""
    body = walk.replace("{test}", test) + SCORES + SEEN
    return kernel(body, suffix="_preshuffle_varctx", last="safe_chunks_per_cta_ptr")


def presence(text: bytes, fault: str) -> str:
    """A fault in the one kernel of a text."""
    (unit,) = diagnose(text, SHIPPED.judged).units
    return next(d for d in unit.diagnoses if d.fault == fault).presence.value


def reasons(text: bytes, fault: str) -> list[tuple[int, str]]:
    """Line and message of what was found of a fault in the one kernel of a text."""
    (unit,) = diagnose(text, SHIPPED.judged).units
    return [(f.line, f.message) for d in unit.diagnoses if d.fault == fault for f in d.findings]


def mended(text: bytes, *faults: str) -> Mended:
    """The text with some faults out."""
    return mend(text, SHIPPED.judged, wanted=faults)
