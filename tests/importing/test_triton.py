"""With the real Triton, for gfx950 and without a GPU: what is compiled is the patched kernel."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.importing.ttgir import stores
from tests.importing.world import BASE, WRAPPER, World, build

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

# Compiled in a fresh process: Triton may abort, and its own caches must be empty.
COMPILE = """
import json, sys, warnings
if {hook}:
    import aiterfix
    aiterfix.install_hook(mode="require")
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.experimental.gluon._runtime import GluonASTSource
import {wrapper} as wrapper
POINTERS = dict(Q_buffer="*fp8e4nv", KV_buffer="*fp8e4nv", scale_buffer="*fp32", context_len_ptr="*i32",
                kv_indices="*i32", weights="*fp32", OutLogits_buffer="*fp32", Out_buffer="*fp32",
                safe_chunks_per_cta_ptr="*i32")
CONSTANTS = dict(ChunkQ=64, ChunkK=256, HiddenDim=128, KVBlockSize=64, CDNA_VERSION=4)
# Of the compiler's own: the syntax trees that Triton 3.7 makes are not as Python 3.13 wants them.
warnings.simplefilter("ignore")
found = {{}}
for name, kernel in list(vars(wrapper).items()):
    if not hasattr(kernel, "arg_names"):
        continue
    names = kernel.arg_names
    signature = {{n: POINTERS.get(n, "constexpr" if n in CONSTANTS else "i32") for n in names}}
    source = (GluonASTSource if kernel.is_gluon() else ASTSource)(
        kernel, signature, {{n: v for n, v in CONSTANTS.items() if n in names}})
    # Said, since Triton 3.9 warns where it is not.
    options = {{"num_warps": 4, "enable_fp_fusion": True}}
    compiled = triton.compile(source, target=GPUTarget("hip", "gfx950", 64), options=options)
    found[name] = [compiled.asm["ttgir"], compiled.hash, kernel.cache_key]
print(json.dumps(found))
"""


def compiled(world: World, cache: Path, *, hook: bool) -> dict[str, tuple[str, str, str]]:
    script = COMPILE.format(hook=hook, wrapper=WRAPPER)
    found: dict[str, tuple[str, str, str]] = world.answer(script, TRITON_CACHE_DIR=str(cache))
    return found


def test_every_store_of_the_compiled_kernels_carries_its_bound(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    world = build(site, triton=None)
    # One cache for both, as in life: what was compiled unpatched must not be found again.
    plain = compiled(world, tmp_path / "cache", hook=False)
    hooked = compiled(world, tmp_path / "cache", hook=True)
    assert len(plain) == 5
    unbounded = {}
    for name, (ttgir, digest, key) in hooked.items():
        output = "Out_buffer" if "stage1" in name else "OutLogits_buffer"
        before, after = (stores(text, output, "max_model_len") for text in (plain[name][0], ttgir))
        assert len(before) == len(after) > 0
        assert all(s.bounded for s in after), name
        unbounded[name] = sum(not s.bounded for s in before)
        # The key holds the source and the line it starts on.
        assert not unbounded[name] or (digest != plain[name][1] and key != plain[name][2]), name
    assert unbounded == {
        BASE: 1,
        f"{BASE}_preshuffle": 1,
        f"{BASE}_preshuffle_varctx": 1,
        "_deepgemm_fp8_paged_mqa_logits_stage1": 1,
        "_deepgemm_fp8_paged_mqa_logits": 0,
    }
