"""Overshoot of the real kernels, established for every context length: figures only."""

from __future__ import annotations

import sys

import pytest

from aiterfix.holding import HeldKernel
from aiterfix.padding import BY_NAME, Question, bound
from aiterfix.verdict import Verdict
from tests.upstream.conftest import Clone

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="the decoder needs Python 3.11")
FILE = "aiter/ops/triton/gluon/pa_mqa_logits.py"


@pytest.mark.parametrize("kernel", ["preshuffle", "preshuffle_varctx"])
@pytest.mark.parametrize(
    ("release", "width", "block", "columns"),
    [
        ("v0.1.20.post1", 1000, 64, 24),
        ("v0.1.20.post1", 2300, 64, 4),
        ("v0.1.20.post1", 2048, 64, 0),
        ("v0.1.20.post1", 1000, 256, 0),
        ("v0.1.12.post2", 300, 256, 212),
        ("v0.1.12.post2", 1000, 64, 24),
    ],
)
def test_measured(clone: Clone, release: str, width: int, block: int, columns: int, kernel: str) -> None:
    from aiterfix.gfx950.compile import Compiler
    from aiterfix.gfx950.signature import Kernel, KernelConfig, make_request
    from aiterfix.overshoot.measure import IntegerPart

    which, config = Kernel(kernel), KernelConfig(kv_block_size=block)
    text = clone.git("show", f"{release}:{FILE}")
    with Compiler() as compiler:
        compiled = compiler.compile(make_request(text, FILE, which, config))
    found = IntegerPart(compiled, which, config).overshoot(width)
    assert found.columns == columns
    limit, _ = bound(Question(width, block), HeldKernel(BY_NAME[kernel], "gluon", Verdict.VULNERABLE, "", True))
    assert found.columns <= limit
