"""What `apply` writes, compiled for gfx950: every buffer store to the output carries a mask that bounds its column."""

from __future__ import annotations

import importlib.util

import pytest

from aiterfix.errors import AiterfixError
from aiterfix.faults.mend import mend
from tests.importing.ttgir import stores
from tests.kernels import SHIPPED
from tests.upstream.conftest import Clone

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton to compile")


def test_patched_kernels_compile_and_every_store_is_bounded(clone: Clone) -> None:
    from aiterfix.family.signature import KernelConfig, find_kernels, make_request
    from aiterfix.gfx950.compile import Compiler

    compiled = refused = 0
    with Compiler() as compiler:
        for path, text in clone.distinct():
            patched = mend(text, SHIPPED.judged, filename=path).new
            for kernel in find_kernels(text, path):
                config = KernelConfig(kv_block_size=64 if kernel.preshuffled else 1)
                try:
                    before = compiler.compile(make_request(text, path, kernel, config))
                except AiterfixError:
                    # Older sources do not compile with newer Triton; then neither does the patched text.
                    with pytest.raises(AiterfixError):
                        compiler.compile(make_request(patched, path, kernel, config))
                    refused += 1
                    continue
                after = compiler.compile(make_request(patched, path, kernel, config))
                unbounded = stores(before.ttgir, "OutLogits_buffer", "max_model_len")
                bounded = stores(after.ttgir, "OutLogits_buffer", "max_model_len")
                assert len(bounded) == len(unbounded) > 0
                assert all(s.bounded for s in bounded)
                assert not all(s.bounded for s in unbounded)
                compiled += 1
    assert compiled >= 20, f"{compiled} compiled, {refused} refused"
