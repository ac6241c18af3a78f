"""The sample kernels with one rule changed: how far a program stores. Texts only; this package compiles them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aiterfix.family.signature import Kernel, KernelConfig, make_request
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.overshoot.measure import IntegerPart

SOUND = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
FAULTY = SOUND.replace(b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")
_END = b"min(begin + steps, gl.cdiv(context_length, KVBlockSize) * KVBlockSize)"
_LAST = "(begin < context_length) & (begin + steps >= context_length)"


def ending(expression: str, when: str = _LAST) -> bytes:
    """The preshuffle kernel, unbounded, whose last program (or those of ``when``) ends where ``expression`` says."""
    changed = _END + b" + (%s).to(gl.int32) * (%s - %s)" % (when.encode(), expression.encode(), _END)
    # The base kernel of the same rule comes before, that of the schedule after.
    head, middle, tail = FAULTY.partition(b"def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(")
    assert _END in tail
    return head + middle + tail.replace(_END, changed, 1)


def storing_twice(far: str) -> bytes:
    """The preshuffle kernel, unbounded, that goes over its columns twice: first those ``far`` behind its own."""
    head, middle, tail = FAULTY.partition(b"def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(")
    before, call, rest = tail.partition(b"    _score(\n")
    arguments, end, after = rest.partition(b"    )  # fmt: skip\n")
    line = b"        begin, " + _END + b","
    assert arguments.startswith(line)
    moved = arguments.replace(line, b"        begin + far, " + _END + b" + far,", 1)
    first = b"    far = " + far.encode() + b"\n" + call + moved + end
    return head + middle + before + first + call + arguments + end + after


TWICE = storing_twice("(share == 1).to(gl.int32) * 2048 + (context_length % 2) * 512")
"""Its first loop reaches further than its second."""


def asking_each_wave(of_wave: str = "") -> bytes:
    """The unbounded kernels, that take the wave's part of a column from its first lane. Triton 3.7 and later do the
    like themselves.

    Args:
        of_wave: instructions that leave that part as it is in ``$0``, a scalar register.
    """
    place = b"gl.arange(0, STEP, layout=gl.SliceLayout(0, acc))"
    line = b"        column = start + " + place + b"\n"
    assert FAULTY.count(line) == 1
    first = _assembly("=s", "column", "v_readfirstlane_b32 $0, $1\n" + of_wave)
    within = f"        column = start + {place.decode()}\n        column = {first} + (column & 15)\n"
    return FAULTY.replace(line, within.encode())


def by_parts() -> bytes:
    """The unbounded kernels, that move a lane's column by an instruction that can take part of a register."""
    line = b"        column = start + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc))\n"
    assert FAULTY.count(line) == 1
    moved = _assembly("=v", "column", "v_mov_b32_sdwa $0, $1 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:DWORD")
    return FAULTY.replace(line, line + f"        column = {moved}\n".encode())


def changing_lengths() -> bytes:
    """The preshuffle kernel, unbounded, that writes a longer context to memory and believes it."""
    head, middle, tail = FAULTY.partition(b"def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(")
    line = b"    context_length = gl.load(context_len_ptr + batch)\n"
    change = b"    gl.store(context_len_ptr + batch, context_length + 700)\n    gl.barrier()\n"
    assert line in tail
    return head + middle + tail.replace(line, line + change + line, 1)


def _assembly(result: str, source: str, text: str) -> str:
    return f'gl.inline_asm_elementwise({text!r}, "{result},v,~{{scc}},~{{vcc}}", [{source}], dtype=gl.int32, is_pure=True, pack=1)'


WAVES = asking_each_wave()
COUNTED = asking_each_wave(
    """s_mov_b32 $0, $0
    s_mul_i32 $0, $0, 3
    s_mul_i32 $0, $0, 0xaaaaaaab
    s_add_u32 $0, $0, 3
    s_sub_u32 $0, $0, 3
    s_xor_b32 $0, $0, 0
    s_and_b32 $0, $0, 0xffffff
    s_or_b32 $0, $0, 0"""
)
"""It comes to the same by arithmetic on numbers that waves differ in."""


_PLAIN = (Path(__file__).parents[1] / "data" / "sample_plain.py").read_bytes()


def stage1_kernels() -> bytes:
    """The sample stage1 kernel, and its ragged form: lengths come as prefix sums, the table as a list of tokens."""
    text = _PLAIN.replace(b"from aiter.ops.triton.utils.device_info import get_num_sms  # noqa: F401\n", b"")
    head, kernel = text.split(b"@triton.jit\n")
    ragged = kernel.replace(b"_stage1(", b"_stage1_ragged_k(").replace(b"context_len_ptr", b"prefix_sum_context_lens")
    for old, new in (
        (b"    stride_k_block: tl.int64,\n    stride_k_token: tl.int64,\n", b"    stride_k_seq,\n"),
        (b"    stride_scale_block: tl.int64,\n    stride_scale_token: tl.int64,\n", b"    stride_scale_seq,\n"),
        (b"    max_blk_len,\n", b""),
        # Programs of 32 heads share a row of 64.
        (b"row = program // SplitKV", b"row = program // SplitKV // (heads_num // ChunkQ)"),
        (b"    KVBlockSize: tl.constexpr,\n", b""),
        (
            b"    length = tl.load(prefix_sum_context_lens + sequence)\n",
            b"    start = tl.load(prefix_sum_context_lens + sequence)\n"
            b"    length = tl.load(prefix_sum_context_lens + sequence + 1) - start\n",
        ),
        (b"sequence * max_blk_len + column // KVBlockSize", b"start + column"),
        (b"        token = column % KVBlockSize\n", b""),
        (b"block[:, None] * stride_k_block + token[:, None] * stride_k_token", b"block[:, None] * stride_k_seq"),
        (b"block * stride_scale_block + token * stride_scale_token", b"block * stride_scale_seq"),
    ):
        assert old in ragged, old
        ragged = ragged.replace(old, new)
    return head + b"@triton.jit\n" + kernel + b"\n\n@triton.jit\n" + ragged


@cache
def compiled(text: bytes, kernel: Kernel, config: KernelConfig) -> CompiledKernel:
    with Compiler() as compiler:
        return compiler.compile(make_request(text, "sample_kernels.py", kernel, config))


@cache
def integer_part(text: bytes, kernel: Kernel, config: KernelConfig) -> IntegerPart:
    return IntegerPart(compiled(text, kernel, config), kernel, config)
