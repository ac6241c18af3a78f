"""Our function's parameters beside those of ``aiter``'s, in every tag of a real clone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.upstream.conftest import Clone

FUNCTION = "deepgemm_fp8_paged_mqa_logits"
OURS = Path(__file__).parents[2] / "kernels" / "paged_mqa_logits.py"
FIRST_OF_THIS_CONTRACT = "v0.1.7.post3"
"""Before it (v0.1.6 to v0.1.7.post2) the function took one-token blocks and a ``SplitKV``, and had no Gluon kernel."""


def function_of(source: bytes) -> ast.FunctionDef | None:
    found = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == FUNCTION]
    return found[0] if found else None


def parameters(function: ast.FunctionDef) -> dict[str, str | None]:
    """Name to default, as text; None where there is none."""
    arguments = function.args
    assert not (arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs)
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + [ast.unparse(d) for d in arguments.defaults]
    return dict(zip((a.arg for a in arguments.args), defaults, strict=True))


@pytest.fixture(scope="module")
def theirs(clone: Clone) -> dict[str, dict[str, str | None]]:
    """Tag to parameters."""
    found = {}
    for tag in clone.refs():
        listed = clone.git("ls-tree", "-r", "--name-only", tag, "--", "aiter/ops/triton").decode().split()
        for path in listed:
            if path.endswith("/pa_mqa_logits.py") and "_kernels/" not in path and "/gluon/" not in path:
                function = function_of(clone.git("show", f"{tag}:{path}"))
                if function is not None:
                    found[tag] = parameters(function)
    assert len(found) > 40
    return found


def test_every_call_of_theirs_is_one_of_ours(theirs: dict[str, dict[str, str | None]]) -> None:
    function = function_of(OURS.read_bytes())
    assert function is not None
    ours = parameters(function)
    assert FIRST_OF_THIS_CONTRACT in theirs
    judged = 0
    for tag, wanted in theirs.items():
        if "SplitKV" in wanted:
            # The older function: what it takes by position, ours takes at the same place.
            assert [n.removesuffix("_fp8") for n in list(wanted)[:7]] == [
                n.removesuffix("_fp8") for n in list(ours)[:7]
            ]
            continue
        judged += 1
        # The same names in the same order; ours may go on.
        assert list(ours)[: len(wanted)] == list(wanted), tag
        for name, default in wanted.items():
            if name == "TotalCuCount":  # once a constant of the GPU, then asked of it: ours asks
                assert ours[name] == "None" and default is not None
            else:
                assert ours[name] == default, (tag, name)
    assert judged > 35


def test_both_give_the_key_of_the_compiled_kernel(clone: Clone) -> None:
    source = clone.git("show", "v0.1.20.post1:aiter/ops/triton/attention/pa_mqa_logits.py")
    function = function_of(source)
    assert function is not None
    returned = [ast.unparse(n.value) for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None]
    assert len(returned) == 1 and "get_cache_manager" in returned[0] and returned[0].endswith(".key")
