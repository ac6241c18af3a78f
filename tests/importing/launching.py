"""A world whose wrapper takes what the real one takes, and tensors that are only shapes and strides."""

from __future__ import annotations

from pathlib import Path

from tests.importing.world import STANDIN, WRAPPER_SOURCE, World, build

ENTRY = "deepgemm_fp8_paged_mqa_logits"
PARAMETERS = (
    "q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, Preshuffle=False, KVBlockSize=1, "
    "ChunkK=256, TotalCuCount=None, WavePerEU=2, VarCtxSchedule=None"
)
STAGE1_PARAMETERS = (
    "q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, max_model_len, ChunkQ=64, ChunkK=256, "
    "TotalCuCount=None, WavePerEU=2"
)
STAGE1_ENTRY = f'''

def {ENTRY}_stage1({STAGE1_PARAMETERS}):
    """The text of the kernel that would be launched."""
    batch, next_n, heads, _ = q_fp8.shape
    return _{ENTRY}_stage1[(1,)](
        batch, next_n, heads, q_fp8, None, context_lens, kv_indices, weights, weights.stride()[0], out_qk,
        out_qk.stride()[0], out_qk.stride()[1], max_model_len, kv_indices.shape[1], ChunkQ=ChunkQ, ChunkK=ChunkK,
        KVBlockSize=kv_cache_fp8.shape[1],
    )
'''
LAUNCHED = """\
    def __getitem__(self, grid):
        return lambda *given, **named: self.src

    def run(self):
"""
# Elsewhere, by name: what an engine does.
ENGINE = f"""\
from aiter.ops.triton.attention.pa_mqa_logits import {ENTRY} as taken, {ENTRY}_stage1 as by_head
"""
TENSORS = """
import math


class Storage:
    def __init__(self, size):
        self.size = size

    def nbytes(self):
        return self.size


class Kind:
    def __init__(self, itemsize, is_floating_point=False):
        self.itemsize, self.is_floating_point = itemsize, is_floating_point


FLOAT32, INT32, BYTE = Kind(4, True), Kind(4), Kind(1)


class Tensor:
    gpu = -1

    # Shapes and strides, in rows of `behind` more elements than the last axis has.
    def __init__(self, *shape, behind=0, dtype=FLOAT32, strides=None):
        self.shape, self.dtype = shape, dtype
        strides_ = [1]
        for place, n in enumerate(reversed(shape[1:])):
            strides_.insert(0, strides_[0] * n + (behind if place == 0 else 0))
        self._strides = tuple(strides or strides_)

    @property
    def ndim(self):
        return len(self.shape)

    def stride(self):
        return self._strides

    def is_contiguous(self):
        return self._strides == Tensor(*self.shape)._strides

    @property
    def nbytes(self):
        return math.prod(self.shape) * self.dtype.itemsize

    def get_device(self):
        return self.gpu

    def untyped_storage(self):
        return Storage(4 * self.shape[0] * self._strides[0])

    def storage_offset(self):
        return 0


def logits(batch=2, next_n=1, width=1000, behind=0, blocks=100, block=64, stride=None, call=None, **more):
    call = call or engine.taken
    cache = Tensor(blocks, block, 1, 132, strides=stride and (stride, 132, 132, 1), dtype=BYTE)
    out = more.pop("out", None) or Tensor(batch * next_n, width, behind=behind)
    given = {"Preshuffle": True, "KVBlockSize": block, **more}
    weights, lengths, table = given.pop("inputs", None) or inputs(batch, next_n)
    query = Tensor(batch, next_n, 64, 128, dtype=BYTE)
    return call(query, cache, weights, out, lengths, table, width, **given)


def inputs(batch=2, next_n=1):
    table = Tensor(batch, 16, dtype=INT32)
    return Tensor(batch * next_n, 64), Tensor(batch, dtype=INT32), table


def by_head(batch=2, next_n=1, width=1000, behind=0, blocks=100, block=1):
    out = Tensor(64, batch * next_n, width, behind=behind)
    cache = Tensor(blocks, block, 1, 132, dtype=BYTE)
    weights, lengths, table = inputs(batch, next_n)
    return engine.by_head(Tensor(batch, next_n, 64, 128, dtype=BYTE), cache, weights, out, lengths, table, width)


def seen(launches=None):
    found = (launches or aiterfix.launches()).seen
    return [
        [s.judgement.launch.entry, s.judgement.outcome.value, s.action.value,
         {f.fault: f.reach.value for f in s.judgement.faults if f.decides}, dict(s.judgement.launch.facts.known())]
        for s in found
    ]
"""
EARLY = f"import json, sys, aiterfix\naiterfix.install_hook()\nimport engine\n{TENSORS}\n"
LATE = f"import json, sys, aiterfix, engine\naiterfix.install_hook()\n{TENSORS}\n"
AS_IT_IS = "aiter.ops.triton.gluon.pa_mqa_logits"


def lay_out(folder: Path, parameters: str = PARAMETERS, *, patchable: bool = False, triton: bool = False) -> World:
    """A site-packages whose Gluon kernels cannot be patched, so that their faults are left to the guard.

    Args:
        folder: where.
        parameters: of the wrapper's main function.
        patchable: leave the kernels as they can be patched.
        triton: with the real Triton, not a stand-in.
    """
    site = folder / "site"
    site.mkdir()
    wrapper = WRAPPER_SOURCE.replace(f"def {ENTRY}(Preshuffle=False)", f"def {ENTRY}({parameters})") + STAGE1_ENTRY
    world = build(site, wrapper=wrapper, triton=None if triton else STANDIN.replace("    def run(self):\n", LAUNCHED))
    (site / "engine.py").write_text(ENGINE)
    if not patchable:
        path = world.file(AS_IT_IS)
        # A form feed: `linecache` counts lines otherwise there, so the hook leaves the module alone.
        path.write_text(path.read_text() + "\f\n")
    return world
