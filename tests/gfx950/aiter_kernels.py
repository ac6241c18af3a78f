"""Kernels of a checkout's ``aiter/ops/triton`` on the emulator, through their own wrappers, against torch.

    python -m tests.gfx950.aiter_kernels CHECKOUT [--only NAME] [--write]

``CHECKOUT`` holds ``aiter/`` (sources are enough; nothing is built). ``--write`` puts the table in
``docs/internals/emulator-kernels.md``. A case is right where it equals torch within rounding, ``refused`` where the
emulator names what it lacks, ``not launched`` where wrapper or compiler stop before a launch.
"""

# torch and aiter's wrappers have no types to hold this to.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import logging
import re
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import triton

from tests.gfx950 import triton_driver

PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "emulator-kernels.md"
BF, F8 = torch.bfloat16, torch.float8_e4m3fn
Pair = tuple[Any, Any]
CASES: dict[str, Callable[[], Pair]] = {}


def case(name: str) -> Callable[[Callable[[], Pair]], Callable[[], Pair]]:
    """Register a function that gives what a wrapper computed and what it should have."""

    def register(function: Callable[[], Pair]) -> Callable[[], Pair]:
        CASES[name] = function
        return function

    return register


def _module(name: str):
    return importlib.import_module(f"aiter.ops.triton.{name}")


def prepare(checkout: Path) -> None:
    """Let ``aiter.ops.triton`` be imported alone; the rest of ``aiter`` gets stand-ins that answer for gfx950."""
    root = checkout / "aiter"

    def package(name: str, path: Path) -> types.ModuleType:
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module
        if "." in name:
            setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module)
        return module

    class StandIn(types.ModuleType):
        def __getattr__(self, name: str):
            if name.startswith("__"):
                raise AttributeError(name)

            def decorator(*args, **kwargs):
                return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else lambda function: function

            return decorator

    top = package("aiter", root)
    package("aiter.ops", root / "ops")
    top.logger = logging.getLogger("aiter")  # type: ignore[attr-defined]
    for name in ("jit", "jit.utils", "jit.core", "jit.utils.chip_info", "jit.utils.torch_guard", "utility",
                 "utility.dtypes", "utility.fp4_utils", "ops.enum", "ops.quant", "dist"):  # fmt: skip
        module = StandIn(f"aiter.{name}")
        module.__path__ = []
        sys.modules[f"aiter.{name}"] = module
        setattr(sys.modules[f"aiter.{name}".rpartition(".")[0]], name.rpartition(".")[2], module)
    chip: Any = sys.modules["aiter.jit.utils.chip_info"]
    chip.get_gfx, chip.get_cu_num = (lambda *args: "gfx950"), (lambda *args: 256)
    dtypes: Any = sys.modules["aiter.utility.dtypes"]
    dtypes.fp8, dtypes.bf16, dtypes.fp16, dtypes.fp32, dtypes.i8 = F8, BF, torch.float16, torch.float32, torch.int8
    dtypes.fp4x2 = dtypes.fp8_e8m0 = torch.uint8
    top.dtypes = dtypes  # type: ignore[attr-defined]
    properties = types.SimpleNamespace(
        multi_processor_count=256, name="gfx950", gcnArchName="gfx950", warp_size=64, total_memory=1 << 38
    )
    cuda: Any = torch.cuda
    cuda.current_device, cuda.is_available = (lambda: 0), (lambda: True)
    cuda.get_device_properties = lambda *args, **kwargs: properties
    cuda.current_stream = lambda *args: types.SimpleNamespace(cuda_stream=0)
    triton_driver.install()


def _floats(*shape: int, dtype=BF):
    return torch.randn(*shape).to(dtype)


_FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def _fp4(packed):
    return torch.stack([_FP4[(packed & 15).long()], _FP4[(packed >> 4).long()]], -1).reshape(*packed.shape[:-1], -1)


def _e8m0(scales):
    return torch.exp2(scales.float() - 127).repeat_interleave(32, -1)


def _indexer(gluon: bool) -> Pair:
    module = _module("attention.fp8_mqa_logits")
    kept = module._gluon_fp8_mqa_logits_kernel
    if gluon and kept is None:
        raise LookupError("no Gluon kernel")
    rows, keys, heads, size = 33, 200, 32, 128
    q = torch.randint(-3, 4, (rows, heads, size)).float().to(F8)
    kv = torch.randint(-3, 4, (keys, size)).float().to(F8)
    scales, weights = torch.rand(keys) + 0.5, torch.randn(rows, heads)
    start, end = torch.zeros(rows, dtype=torch.int32), torch.clamp(torch.arange(rows) * 6 + 8, max=keys).int()
    module._gluon_fp8_mqa_logits_kernel = kept if gluon else None
    try:
        got = module.fp8_mqa_logits(q, kv, scales, weights, start, end)[:, :keys].float()
    finally:
        module._gluon_fp8_mqa_logits_kernel = kept
    heads_scores = torch.einsum("shd,kd->shk", q.float(), kv.float()).relu() * weights[:, :, None]
    seen = torch.arange(keys)[None] < end[:, None]
    zero = torch.zeros(())
    return torch.where(seen, got, zero), torch.where(seen, heads_scores.sum(1) * scales[None], zero)


CASES["attention.fp8_mqa_logits (Gluon)"] = lambda: _indexer(True)
CASES["attention.fp8_mqa_logits (plain)"] = lambda: _indexer(False)


@case("normalization.rmsnorm.rms_norm")
def _rms_norm() -> Pair:
    x, weight = _floats(9, 1000), _floats(1000)
    got = _module("normalization.rmsnorm").rms_norm(x, weight, 1e-6)
    wide = x.float()
    return got, (wide * torch.rsqrt(wide.pow(2).mean(1, keepdim=True) + 1e-6) * weight.float()).to(BF)


@case("normalization.rmsnorm.rmsnorm2d_fwd_with_add")
def _rms_norm_add() -> Pair:
    x, residual, weight = _floats(5, 512), _floats(5, 512), _floats(512)
    out, total = torch.empty_like(x), torch.empty_like(x)
    _module("normalization.rmsnorm").rmsnorm2d_fwd_with_add(out, x, residual, total, weight, 1e-6)
    wide = x.float() + residual.float()
    return out, (wide * torch.rsqrt(wide.pow(2).mean(1, keepdim=True) + 1e-6) * weight.float()).to(BF)


@case("normalization.norm.layer_norm")
def _layer_norm() -> Pair:
    x, weight, bias = _floats(6, 700), _floats(700), _floats(700)
    got = _module("normalization.norm").layer_norm(x, weight, bias, 1e-5)
    return got, torch.nn.functional.layer_norm(x.float(), (700,), weight.float(), bias.float(), 1e-5).to(BF)


@case("normalization.norm.layernorm2d_fwd_with_add")
def _layer_norm_add() -> Pair:
    x, residual, weight, bias = _floats(6, 512), _floats(6, 512), _floats(512), _floats(512)
    out, total = torch.empty_like(x), torch.empty_like(x)
    _module("normalization.norm").layernorm2d_fwd_with_add(out, x, residual, total, weight, bias, 1e-5)
    wide = x.float() + residual.float()
    return out, torch.nn.functional.layer_norm(wide, (512,), weight.float(), bias.float(), 1e-5).to(BF)


@case("softmax.softmax")
def _softmax() -> Pair:
    x = torch.randn(5, 900)
    return _module("softmax").softmax(x), torch.softmax(x, 1)


def _topk(columns: int, count: int) -> Pair:
    x = torch.randn(4, columns)
    return _module("topk").topk(x, count)[0], torch.topk(x, count)[0]


CASES["topk.topk (one stage)"] = lambda: _topk(600, 8)
CASES["topk.topk (two stages)"] = lambda: _topk(4000, 16)


@case("gemm.basic.gemm_a16w16")
def _gemm_a16w16() -> Pair:
    x, w = _floats(40, 256), _floats(96, 256)
    return _module("gemm.basic.gemm_a16w16").gemm_a16w16(x, w), (x.float() @ w.float().t()).to(BF)


@case("gemm.basic.gemm_a16w16_atomic")
def _gemm_a16w16_atomic() -> Pair:
    x, w = _floats(40, 256), _floats(96, 256)
    got = _module("gemm.basic.gemm_a16w16_atomic").gemm_a16w16_atomic(x, w, y=torch.zeros(40, 96, dtype=BF))
    return got, (x.float() @ w.float().t()).to(BF)


def _scaled(
    name: str, rows: int, columns: int, scales: tuple[tuple[int, int], tuple[int, int]], block: int = 1
) -> Pair:
    """A product of 8-bit numbers, each side with scales of this shape: one for so many of its rows and columns."""
    x, w = _floats(rows, 256, dtype=F8), _floats(columns, 256, dtype=F8)
    xs, ws = (torch.rand(*shape) + 0.5 for shape in scales)
    got = getattr(_module(name), name.rpartition(".")[2])(x, w, xs, ws)
    if block == 1:
        return got, ((x.float() @ w.float().t()) * xs * ws.reshape(1, -1)).to(BF)
    right = w.float() * ws.repeat_interleave(block, 0).repeat_interleave(block, 1)
    return got, ((x.float() * xs.repeat_interleave(block, 1)) @ right.t()).to(BF)


def _four_bits(name: str, *shape: int, batches: tuple[int, ...] = ()) -> Pair:
    """A product of 4-bit numbers, with a scale for 32 of them."""
    x, w = (torch.randint(0, 256, (*batches, n, 128), dtype=torch.uint8) for n in shape)
    xs, ws = (torch.randint(124, 130, (*batches, n, 8), dtype=torch.uint8) for n in shape)
    out = torch.empty(*batches, *shape, dtype=BF)
    found = getattr(_module(name), name.rpartition(".")[2])(x, w, xs, ws, **({"y": out} if batches else {}))
    wanted = (_fp4(x) * _e8m0(xs)) @ (_fp4(w) * _e8m0(ws)).transpose(-1, -2)
    return out if batches else found, wanted.to(BF)


for _name, _shape, _of, _block in (
    ("gemm.basic.gemm_a8w8", (40, 96), ((40, 1), (1, 96)), 1),
    ("gemm.basic.gemm_a8w8_per_token_scale", (40, 96), ((40, 1), (96, 1)), 1),
    ("gemm.basic.gemm_a8w8_blockscale", (40, 128), ((40, 2), (1, 2)), 128),
    ("gluon.gemm_a8w8", (64, 128), ((64, 1), (1, 128)), 1),
    ("gluon.gemm_a8w8_blockscale", (64, 128), ((64, 2), (1, 2)), 128),
):
    CASES[_name] = partial(_scaled, _name, *_shape, _of, _block)
CASES["gemm.basic.gemm_afp4wfp4"] = partial(_four_bits, "gemm.basic.gemm_afp4wfp4", 32, 64)
CASES["gluon.gemm_afp4wfp4"] = partial(_four_bits, "gluon.gemm_afp4wfp4", 64, 128)
CASES["gemm.batched.batched_gemm_afp4wfp4"] = partial(
    _four_bits, "gemm.batched.batched_gemm_afp4wfp4", 32, 64, batches=(3,)
)


@case("gemm.basic.gemm_a16w8_blockscale")
def _gemm_a16w8_block() -> Pair:
    x, w, ws = _floats(40, 256), _floats(128, 256, dtype=F8), torch.rand(1, 2) + 0.5
    right = w.float() * ws.repeat_interleave(128, 0).repeat_interleave(128, 1)
    return _module("gemm.basic.gemm_a16w8_blockscale").gemm_a16w8_blockscale(x, w, ws), (x.float() @ right.t()).to(BF)


@case("gemm.basic.gemm_a8wfp4")
def _gemm_a8wfp4() -> Pair:
    x, w = _floats(32, 256, dtype=F8), torch.randint(0, 256, (64, 128), dtype=torch.uint8)
    xs, ws = torch.rand(32, 1) + 0.5, torch.randint(124, 130, (64, 8), dtype=torch.uint8)
    out = torch.zeros(32, 64, dtype=BF)
    _module("gemm.basic.gemm_a8wfp4").gemm_a8wfp4(x, w, out, xs, ws)
    return out, ((x.float() @ (_fp4(w) * _e8m0(ws)).t()) * xs).to(BF)


@case("gemm.basic.gemm_afp8wfp8")
def _gemm_afp8() -> Pair:
    x, w = _floats(32, 256, dtype=F8), _floats(64, 256, dtype=F8)
    xs, ws = (torch.randint(124, 130, shape, dtype=torch.uint8) for shape in ((32, 8), (1, 2)))
    got = _module("gemm.basic.gemm_afp8wfp8").gemm_afp8wfp8(x, w, xs, ws)
    right = w.float() * torch.exp2(ws.float() - 127).repeat_interleave(128, 1)[:, :256]
    return got, ((x.float() * _e8m0(xs)) @ right.t()).to(BF)


@case("gemm.batched.batched_gemm_bf16")
def _batched_bf16() -> Pair:
    x, w = _floats(3, 40, 128), _floats(3, 96, 128)
    got = _module("gemm.batched.batched_gemm_bf16").batched_gemm_bf16(x, w)
    return got, (x.float() @ w.float().transpose(1, 2)).to(BF)


@case("gemm.batched.batched_gemm_a8w8")
def _batched_a8w8() -> Pair:
    x, w = (torch.randint(-20, 20, (3, n, 128), dtype=torch.int8) for n in (40, 96))
    xs, ws = torch.rand(3, 40, 1) + 0.5, torch.rand(3, 1, 96) + 0.5
    got = _module("gemm.batched.batched_gemm_a8w8").batched_gemm_a8w8(x, w, xs, ws)
    return got, ((x.float() @ w.float().transpose(1, 2)) * xs * ws).to(BF)


@case("quant.quant.dynamic_per_token_quant_fp8_i8")
def _quant_token() -> Pair:
    x = _floats(6, 512)
    out, scales = torch.empty(6, 512, dtype=F8), torch.empty(6)
    _module("quant.quant").dynamic_per_token_quant_fp8_i8(out, x, scales)
    # Divided or multiplied by the inverse: what lies at a middle may go either way, no further than the nearest.
    exact = (x.float() / (x.float().abs().amax(1) / 448)[:, None]).double()
    return (out.double() - exact).abs(), (exact.float().to(F8).double() - exact).abs()


@case("quant.quant.static_per_tensor_quant_fp8_i8")
def _quant_tensor() -> Pair:
    x, scale, out = _floats(6, 512), torch.tensor([0.02]), torch.empty(6, 512, dtype=F8)
    _module("quant.quant").static_per_tensor_quant_fp8_i8(out, x, scale)
    return out.float(), (x.float() / scale).to(F8).float()


@case("quant.quant.dynamic_mxfp4_quant")
def _quant_mxfp4() -> Pair:
    x = _floats(32, 256)
    packed, scales = _module("quant.quant").dynamic_mxfp4_quant(x)
    back = _fp4(packed) * _e8m0(scales[:32, :8])
    # Which way a middle rounds is the wrapper's own: the nearest number of the scale is.
    grid = _FP4.sort()[0][None, None] * _e8m0(scales[:32, :8])[..., None]
    nearest = (grid - x.float()[..., None]).abs().amin(-1)
    return (back - x.float()).abs(), nearest


@case("fusions.fused_mul_add")
def _mul_add() -> Pair:
    x, a, b = _floats(7, 300), _floats(7, 300), _floats(7, 300)
    want = (x.float() * a.float() + b.float()).to(BF)  # computed first: the wrapper works in place
    return _module("fusions.fused_mul_add").fused_mul_add(x, a, b), want


@case("fusions.fused_qk_concat.fused_qk_cat")
def _qk_cat() -> Pair:
    q1, q2, k1, k2 = _floats(5, 4, 64), _floats(5, 4, 32), _floats(5, 1, 64), _floats(5, 1, 32)
    q, k = _module("fusions.fused_qk_concat").fused_qk_cat(q1, q2, k1, k2)
    want = torch.cat([torch.cat([q1, q2], -1).flatten(), torch.cat([k1, k2], -1).flatten()])
    return torch.cat([q.flatten(), k.flatten()]), want


@case("attention.mha.flash_attn_func")
def _mha() -> Pair:
    q, k, v = (_floats(1, 128, 2, 64) for _ in range(3))
    got = _module("attention.mha").flash_attn_func(q, k, v, causal=True)
    parts = (t.transpose(1, 2).float() for t in (q, k, v))
    return got, torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).to(BF)


@case("attention.prefill_attention.context_attention_fwd")
def _prefill() -> Pair:
    length = 96
    q, k, v = (_floats(length, 2, 64) for _ in range(3))
    out, start, count = torch.empty_like(q), torch.tensor([0]).int(), torch.tensor([length]).int()
    _module("attention.prefill_attention").context_attention_fwd(q, k, v, out, start, count, length, True)
    parts = (t.transpose(0, 1).float() for t in (q, k, v))
    return out, torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True).transpose(0, 1).to(BF)


@case("attention.unified_attention")
def _unified() -> Pair:
    heads, size, block, length, blocks = 4, 64, 16, 70, 8
    q, k, v = _floats(1, heads, size), _floats(blocks, block, 1, size), _floats(blocks, block, 1, size)
    table, out = torch.randperm(blocks)[None].int(), torch.empty_like(q)
    _module("attention.unified_attention").unified_attention(
        q=q, k=k, v=v, out=out, cu_seqlens_q=torch.tensor([0, 1]).int(), max_seqlen_q=1,
        seqused_k=torch.tensor([length]).int(), max_seqlen_k=length, softmax_scale=size**-0.5, causal=True,
        window_size=(-1, -1), block_table=table, softcap=0, q_descale=None, k_descale=None, v_descale=None,
    )  # fmt: skip
    keys, values = (c[table[0].long()].reshape(-1, size)[:length].float() for c in (k, v))
    return out[0], (torch.softmax(q[0].float() @ keys.t() * size**-0.5, 1) @ values).to(BF)


@case("attention.pa_decode.paged_attention_decode")
def _pa_decode() -> Pair:
    import triton.language as tl

    heads, size, block, length, blocks = 4, 64, 16, 70, 8
    q, k, v = _floats(1, heads, size), _floats(blocks, 1, block, size), _floats(blocks, 1, block, size)
    table, out, one = torch.randperm(blocks)[None].int(), torch.empty_like(q), torch.ones(1)
    _module("attention.pa_decode").paged_attention_decode(
        out, q, k, v, torch.tensor([length]).int(), table, size**-0.5, length, tl.bfloat16, one, one
    )
    keys, values = (c[table[0].long()].reshape(-1, size)[:length].float() for c in (k, v))
    return out[0], (torch.softmax(q[0].float() @ keys.t() * size**-0.5, 1) @ values).to(BF)


@case("rope.rope.rope_fwd")
def _rope() -> Pair:
    x, angles = _floats(7, 2, 3, 64), torch.randn(7, 1, 1, 32)
    got = _module("rope.rope").rope_fwd(x, angles, 0, True, False)
    cosine, sine = torch.cos(angles), torch.sin(angles)
    a, b = x.float().chunk(2, -1)
    return got, torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1).to(BF)


@case("moe.moe_align_block_size")
def _moe_align() -> Pair:
    experts, block = 8, 16
    ids = torch.randint(0, experts, (20, 2), dtype=torch.int32)
    most = ids.numel() + experts * (block - 1)
    order, owners = torch.full((most,), ids.numel()).int(), torch.empty(most // block + 1, dtype=torch.int32)
    total = torch.empty(1, dtype=torch.int32)
    _module("moe.moe_align_block_size").moe_align_block_size_triton(ids, experts, block, order, owners, total)
    counts = torch.bincount(ids.flatten(), minlength=experts)
    return total, ((counts + block - 1) // block * block).sum().reshape(1).int()


@case("gemm.basic.gemm_a16w16_gated")
def _gated() -> Pair:
    x, w = _floats(40, 256), _floats(128, 256)
    got = _module("gemm.basic.gemm_a16w16_gated").gemm_a16w16_gated(x, w, activation="silu")
    gate, up = (x.float() @ w.float().t()).chunk(2, 1)
    return got, (torch.nn.functional.silu(gate) * up).to(BF)


@case("fusions.fused_clamp_act_mul")
def _clamp_act() -> Pair:
    x = _floats(6, 512)
    got = _module("fusions.fused_clamp_act_mul").fused_clamp_act_mul(x)
    gate, up = x.float().chunk(2, 1)
    return got, (torch.nn.functional.silu(gate) * up).to(BF)


@case("normalization.norm.layernorm2d_fwd_with_dynamicquant")
def _layer_norm_quant() -> Pair:
    x, weight, bias = _floats(6, 512), _floats(512), _floats(512)
    out, scales = torch.empty(6, 512, dtype=torch.int8), torch.empty(6)
    _module("normalization.norm").layernorm2d_fwd_with_dynamicquant(out, x, scales, weight, bias, 1e-5)
    want = torch.nn.functional.layer_norm(x.float(), (512,), weight.float(), bias.float(), 1e-5)
    return out.float() * scales[:, None], want


@case("quant.quant.dynamic_per_tensor_quant_fp8_i8")
def _quant_dynamic() -> Pair:
    x, scale, out = _floats(6, 512), torch.zeros(1), torch.empty(6, 512, dtype=F8)
    _module("quant.quant").dynamic_per_tensor_quant_fp8_i8(out, x, scale)
    exact = (x.float() / (x.float().abs().max() / 448)).double()
    return (out.double() - exact).abs(), (exact.float().to(F8).double() - exact).abs()


def judge(name: str) -> tuple[str, str, str]:
    """Word, what about it, and the kernels launched."""
    torch.manual_seed(7)
    triton_driver.launches.clear()
    word, about = "right", ""
    try:
        got, want = (x.detach().double() for x in CASES[name]())
        finite = torch.isfinite(want)
        error = ((got - want).abs()[finite] / want.abs()[finite].max().clamp_min(1e-30)).max().item()
        about = f"largest error {error:.1e} of the largest value"
        if error >= 2e-2 or not torch.equal(torch.isnan(got), torch.isnan(want)):
            word = "wrong"
    except triton_driver.RefusedError as refusal:
        word, about = "refused", str(refusal).splitlines()[0]
    except Exception as error:  # noqa: BLE001 - whatever a wrapper raises is said in the table
        said = [line.strip() for line in str(error).splitlines() if line.strip(" ^")]
        word, about = "not launched", f"{type(error).__name__}: {said[-1] if said else ''}"[:160].replace("|", "/")
    launched = triton_driver.launches
    kinds = {f.kind.value for each in launched if each.result for f in each.result.findings} - {
        "register-never-written"
    }
    if kinds or any(each.result and each.result.violations for each in launched):
        about += "; found: " + ", ".join(sorted(kinds) or ["accesses outside"])
    # Triton appends the constants that a kernel was compiled for to some names.
    names = dict.fromkeys(re.split(r"_(?:[A-Z]+_)*[A-Z]+_\d", each.kernel)[0] for each in launched)
    return word, about, ", ".join(f"`{kernel}`" for kernel in names)


def main() -> int:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    prepare(args.checkout)
    rows, words = [], []
    for name in CASES:
        if args.only in name:
            word, about, kernels = judge(name)
            words.append(word)
            rows.append(f"| `{name}` | {word} | {about} | {kernels} |")
            sys.stdout.write(rows[-1] + "\n")
            sys.stdout.flush()
    counted = ", ".join(f"{words.count(word)} {word}" for word in ("right", "refused", "wrong", "not launched"))
    sys.stdout.write(counted + "\n")
    if args.write:
        PAGE.write_text(
            "# Kernels of aiter/ops/triton on the emulator\n\nMade by `python -m tests.gfx950.aiter_kernels CHECKOUT "
            f"--write` with v0.1.20.post1 and Triton {triton.__version__}:\n{counted}. Each is launched by its own\n"
            "wrapper, on CPU tensors, and compared with torch. Errors of bfloat16 results are its rounding.\n\n"
            "| wrapper | outcome | error | kernels |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
        )
    return int("wrong" in words)


if __name__ == "__main__":
    sys.exit(main())
