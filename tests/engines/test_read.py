"""What a caller allocates and passes, read from its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiterfix.engines.model import Call, Entry, Known, RunTime, Unknown, WidthKind
from aiterfix.engines.read import read_calls
from tests.engines import callers


def only(package: Path) -> Call:
    calls, doubts = read_calls(package)
    assert doubts == ()
    (call,) = calls
    return call


def kinds(call: Call) -> list[WidthKind]:
    return [width.kind for width in call.widths]


def test_workspace_of_exactly_the_width(tmp_path: Path) -> None:
    call = only(callers.workspace(tmp_path))
    assert (call.file, call.function, call.entry) == ("vllm/ops.py", "paged_logits", Entry.LOGITS)
    assert call.padding == Known(0)
    assert kinds(call) == [WidthKind.OPERATOR]
    assert (call.widths[0].file, call.widths[0].text) == ("vllm/model.py", "max_model_len")
    assert (call.chunk_k, call.wave_per_eu) == (Known(256), Known(2))
    assert isinstance(call.kv_block_size, RunTime)
    assert isinstance(call.preshuffle, RunTime)


@pytest.mark.parametrize("padding", [256, 192, 1])
def test_padded_buffer_behind_a_view(tmp_path: Path, padding: int) -> None:
    call = only(callers.padded(tmp_path, padding))
    assert call.padding == Known(padding)
    assert kinds(call) == [WidthKind.OPERATOR]
    assert (call.kv_block_size, call.preshuffle, call.chunk_k) == (Known(64), Known(1), Known(256))


def test_rows_of_whole_blocks(tmp_path: Path) -> None:
    call = only(callers.blocks(tmp_path))
    assert call.padding == Known(0)
    assert kinds(call) == [WidthKind.MULTIPLE]
    assert call.widths[0].value is None


def test_a_path_with_blocks_of_one_token_is_told_apart(tmp_path: Path) -> None:
    call = only(callers.blocks(tmp_path, callers.TWO_PAGES))
    assert set(kinds(call)) == {WidthKind.MULTIPLE}
    assert {(width.value, width.block) for width in call.widths} == {(1, 1), (64, 64)}


def test_compressed_context_is_a_fraction(tmp_path: Path) -> None:
    model = callers.OPERATOR.format(name="vllm").replace(
        "model_config.max_model_len", "model_config.max_model_len // 4"
    )
    call = only(callers.write_engine(tmp_path, "vllm", {"ops.py": callers.WORKSPACE, "model.py": model}))
    assert kinds(call) == [WidthKind.FRACTION]


def test_fixed_width(tmp_path: Path) -> None:
    model = callers.OPERATOR.format(name="vllm").replace("vllm_config.model_config.max_model_len", "4096")
    call = only(callers.write_engine(tmp_path, "vllm", {"ops.py": callers.WORKSPACE, "model.py": model}))
    assert kinds(call) == [WidthKind.FIXED]
    assert call.widths[0].value == 4096


def test_width_that_only_sometimes_is_whole_blocks_is_unknown(tmp_path: Path) -> None:
    model = callers.BLOCKS_CALLER.replace("tables.shape[1] * page_size", "metadata.longest")
    assert kinds(only(callers.blocks(tmp_path, model))) == [WidthKind.UNKNOWN]
    model = callers.BLOCKS_CALLER.replace("tables.shape[1] * page_size", "tables.shape[1] * page_size - 1")
    assert kinds(only(callers.blocks(tmp_path, model))) == [WidthKind.UNKNOWN]


@pytest.mark.parametrize(
    "allocation",
    [
        "made_elsewhere(rows, max_seq_len)",
        "torch.empty((rows, helper(max_seq_len)), device=q.device)",
        "torch.empty((max_seq_len, rows), device=q.device).t()",
        "torch.empty((rows, max_seq_len * 2), device=q.device)[:, ::2]",
    ],
)
def test_tensor_that_is_not_understood(tmp_path: Path, allocation: str) -> None:
    made = "torch.empty((rows, max_seq_len), dtype=torch.float32, device=q.device)"
    assert made in callers.BLOCKS
    files = {"ops.py": callers.BLOCKS.replace(made, allocation), "model.py": callers.BLOCKS_CALLER}
    call = only(callers.write_engine(tmp_path, "sglang", files))
    assert isinstance(call.padding, Unknown)
    assert call.padding.reason


def test_padding_that_depends_on_the_path(tmp_path: Path) -> None:
    ops = callers.PADDED.format(padding=256, block=64).replace(
        "columns + PADDING", "columns + (PADDING if device.index else 0)"
    )
    call = only(
        callers.write_engine(tmp_path, "vllm", {"ops.py": ops, "model.py": callers.OPERATOR.format(name="vllm")})
    )
    assert isinstance(call.padding, Unknown)


ATOM = """
    import torch
    from aiter.ops.triton.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits


    def score(q, cache, weights, lengths, tables, max_model_len, runner_block_size, ranks):
        rows = q.shape[0]
        {width}
        logits = torch.empty([rows, width], dtype=torch.float32, device="cuda")
        deepgemm_fp8_paged_mqa_logits(
            q, cache, weights[:rows], logits, lengths, tables, width, KVBlockSize=runner_block_size, Preshuffle=True
        )


    class Indexer:
        def __init__(self, atom_config):
            self.max_model_len = atom_config.max_model_len
            self.block_size = atom_config.kv_cache_block_size
            self.ranks = atom_config.ranks

        def forward(self, q, cache, weights, lengths, tables):
            score(q, cache, weights, lengths, tables, self.max_model_len, self.block_size, self.ranks)
"""


@pytest.mark.parametrize(
    ("width", "kind"),
    [
        ("width = max_model_len", WidthKind.OPERATOR),
        ("width = (max_model_len + ranks - 1) // ranks", WidthKind.UNKNOWN),
        ("width = (max_model_len + 64 - 1) // 64 * 64", WidthKind.MULTIPLE),
        ("width = max_model_len + 7", WidthKind.DERIVED),
    ],
)
def test_atom(tmp_path: Path, width: str, kind: WidthKind) -> None:
    call = only(callers.write_engine(tmp_path, "atom", {"model.py": ATOM.replace("{width}", width)}))
    assert (call.padding, kinds(call), call.preshuffle) == (Known(0), [kind], Known(1))
    assert isinstance(call.kv_block_size, RunTime)
    assert call.kv_block_size.plain


def test_what_runs_in_place_of_the_call_is_told(tmp_path: Path) -> None:
    """A model whose cache has a layout of its own takes the engine's kernel on some GPUs."""
    start = "        block = cache.shape[1]\n"
    route = "        if ON_GFX950 and flat(cache):\n            return own_logits(q, cache)\n        if not block:\n            return None\n"
    ops = callers.WORKSPACE.replace(start, start + route)
    call = only(
        callers.write_engine(tmp_path, "vllm", {"ops.py": ops, "model.py": callers.OPERATOR.format(name="vllm")})
    )
    assert call.instead == ("own_logits where ON_GFX950 and flat(cache) (vllm/ops.py:14)",)
    assert call.padding == Known(0)


RAGGED = """
    import torch
    from aiter.ops.triton.pa_mqa_logits import {entry}


    def paged_logits(q, cache, weights, lengths, tables, max_model_len):
        rows = q.shape[0] * q.shape[1]
        out = torch.empty(({axes}, max_model_len), dtype=torch.float32)
        {entry}(q, cache, weights, out, lengths, tables, max_model_len)
        return out
"""


@pytest.mark.parametrize(("entry", "axes"), [(Entry.RAGGED, "rows"), (Entry.STAGE1_RAGGED, "q.shape[2], rows")])
def test_ragged_forms_are_read_as_the_others(tmp_path: Path, entry: Entry, axes: str) -> None:
    """They take single tokens, and score 64 columns at a time."""
    files = {"ops.py": RAGGED.format(entry=entry.value, axes=axes), "model.py": callers.OPERATOR.format(name="vllm")}
    call = only(callers.write_engine(tmp_path, "vllm", files))
    assert (call.entry, call.padding, kinds(call)) == (entry, Known(0), [WidthKind.OPERATOR])
    assert (call.kv_block_size, call.chunk_k, call.preshuffle) == (Known(1), Known(64), Known(0))


def test_a_ragged_form_by_another_rank_is_not_understood(tmp_path: Path) -> None:
    ops = RAGGED.format(entry=Entry.STAGE1_RAGGED.value, axes="rows")
    files = {"ops.py": ops, "model.py": callers.OPERATOR.format(name="vllm")}
    assert isinstance(only(callers.write_engine(tmp_path, "vllm", files)).padding, Unknown)


def test_function_that_escapes(tmp_path: Path) -> None:
    ops = """
    from aiter.ops.triton.attention.pa_mqa_logits import deepgemm_fp8_paged_mqa_logits

    from engine_bits import register

    register(deepgemm_fp8_paged_mqa_logits)
"""
    call = only(callers.write_engine(tmp_path, "vllm", {"ops.py": ops}))
    assert isinstance(call.padding, Unknown)
    assert kinds(call) == [WidthKind.UNKNOWN]


def test_nothing_is_called(tmp_path: Path) -> None:
    assert read_calls(callers.write_engine(tmp_path, "vllm", {"ops.py": "    x = 1\n"})) == ((), ())


def test_file_that_does_not_parse_is_a_doubt(tmp_path: Path) -> None:
    package = callers.write_engine(tmp_path, "vllm", {"ops.py": "    deepgemm_fp8_paged_mqa_logits(\n"})
    calls, doubts = read_calls(package)
    assert calls == ()
    assert [d.path.name for d in doubts] == ["ops.py"]


def test_reading_imports_nothing(tmp_path: Path) -> None:
    """A module that would fail, were it imported."""
    package = callers.workspace(tmp_path)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    assert only(package).padding == Known(0)


TEXTS = tuple(
    callers.dedent(t) for t in (callers.WORKSPACE, callers.PADDED.format(padding=256, block=64), callers.BLOCKS)
)
SWAPS = (
    "max_model_len",
    "None",
    "*",
    "...",
    "lambda: out",
    "out.stride(0)",
    "torch",
    "(yield)",
    "-1",
    "{}",
    "[]",
    "1 // 0",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_sources_never_raise(tmp_path: Path, data: st.DataObject) -> None:
    """Expressions replaced, statements dropped: an answer, and never a made-up one for text that does not parse."""
    text = data.draw(st.sampled_from(TEXTS))
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.expr, ast.stmt)) and n.end_lineno == n.lineno]
    lines = text.splitlines()
    for node in data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3, unique=True)):
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = (
            line[: node.col_offset] + data.draw(st.sampled_from(SWAPS)) + line[node.end_col_offset :]
        )
    package = tmp_path / "vllm"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    changed = "\n".join(lines)
    (package / "ops.py").write_text(changed)
    calls, doubts = read_calls(package)
    try:
        compile(changed, "ops.py", "exec", flags=ast.PyCF_ONLY_AST)
    except SyntaxError:
        # What has nothing to do with a call is not parsed.
        assert doubts or "pa_mqa_logits" not in changed
    for call in calls:
        assert call.widths
        assert isinstance(call.padding, (Known, Unknown))
