"""Overshoot of the real kernels, established for every context length: figures only."""

from __future__ import annotations

import ast
import hashlib

import pytest

from aiterfix.advice.padding import BY_NAME, HeldKernel, Question, bound
from aiterfix.faults.base import Presence
from tests.emulator import needs_emulator
from tests.upstream.conftest import Clone

pytest.importorskip("triton")
pytestmark = needs_emulator
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
    from aiterfix.family.signature import Kernel, KernelConfig, make_request
    from aiterfix.gfx950.compile import Compiler
    from aiterfix.overshoot.measure import IntegerPart

    which, config = Kernel(kernel), KernelConfig(kv_block_size=block)
    text = clone.git("show", f"{release}:{FILE}")
    with Compiler() as compiler:
        compiled = compiler.compile(make_request(text, FILE, which, config))
    found = IntegerPart(compiled, which, config).overshoot(width)
    assert found.columns == columns
    limit, _ = bound(
        Question(width, block),
        HeldKernel(BY_NAME[kernel], "gluon", Presence.PRESENT, hashlib.sha256(text).hexdigest(), 8),
    )
    assert found.columns <= limit


@pytest.mark.parametrize("next_n", [1, 4])
def test_base_kernel_ends_where_the_context_does(clone: Clone, next_n: int) -> None:
    from aiterfix.family.signature import Kernel, KernelConfig, make_request
    from aiterfix.gfx950.compile import Compiler
    from aiterfix.overshoot.measure import IntegerPart

    config = KernelConfig(kv_block_size=1)
    with Compiler() as compiler:
        text = clone.git("show", f"v0.1.20.post1:{FILE}")
        compiled = compiler.compile(make_request(text, FILE, Kernel.BASE, config))
    found = IntegerPart(compiled, Kernel.BASE, config).overshoot(3001, next_n)
    assert (found.columns, found.past_context) == (0, 0)


def test_base_kernel_counts_its_columns_alike_in_every_release(clone: Clone) -> None:
    """What was measured for the newest holds for those whose machine code cannot be measured, and for any block."""
    ways = set()
    for path, text in clone.distinct():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name == BY_NAME["base"] and path == FILE:
                ways.add(tuple(_columns(node)))
                assert not any(isinstance(n, ast.Name) and n.id == "KVBlockSize" for n in ast.walk(node))
    assert len(ways) == 1
    assert len(ways.pop()) > 8


def _columns(kernel: ast.FunctionDef) -> list[str]:
    """Every statement that decides which columns are stored to: assignments behind them, loops, masks."""
    stores = [n for n in ast.walk(kernel) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith("buffer_store")]
    masks = [k.value for call in stores for k in call.keywords if k.arg == "mask"]
    wanted = {n.id for mask in masks for n in ast.walk(mask) if isinstance(n, ast.Name)}
    found = [ast.unparse(mask) for mask in masks]
    for _ in range(8):
        for node in ast.walk(kernel):
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id in wanted for t in node.targets):
                sources: list[ast.expr] = [node.value]
            elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id in wanted:
                sources = [node.iter]
            else:
                continue
            text = ast.unparse(node if isinstance(node, ast.Assign) else node.iter)
            if "layout" not in text.lower():
                found.append(text)
                wanted |= {n.id for s in sources for n in ast.walk(s) if isinstance(n, ast.Name)}
    return sorted(set(found))
