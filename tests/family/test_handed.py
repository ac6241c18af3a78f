"""What a call hands over, as facts: by tensors of torch, of every layout that callers use."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from aiterfix.family.handed import facts_of, kernels_of, key_of  # noqa: E402 - torch first
from aiterfix.family.kernels import ENTRIES, ENTRY  # noqa: E402
from aiterfix.family.portable import _RAGGED  # noqa: E402
from aiterfix.judge.judgement import LaunchFacts  # noqa: E402

STAGE1, RAGGED, STAGE1_RAGGED = f"{ENTRY}_stage1", f"{ENTRY}_ragged_k", f"{ENTRY}_stage1_ragged_k"


def query(batch: int = 4, next_n: int = 2, heads: int = 64) -> Any:
    return torch.zeros(batch, next_n, heads, 128, dtype=torch.uint8)


def handed(**more: Any) -> dict[str, Any]:
    cache = torch.zeros(16, 64, 1, 132, dtype=torch.uint8)
    given = {"q_fp8": query(), "kv_cache": cache, "out_logits": torch.zeros(8, 1000), "max_model_len": 1000}
    return {**given, "Preshuffle": True, "KVBlockSize": 64, "ChunkK": 256, "VarCtxSchedule": None, **more}


def test_the_main_function() -> None:
    facts = facts_of(ENTRY, handed())
    assert LaunchFacts(**facts) == LaunchFacts(
        rows=8, width=1000, row_stride=1000, kv_blocks=16, block_stride=64 * 132, kv_block_size=64, chunk_k=256,
        next_n=2, heads=64, preshuffle=1, output_rank=2, output_inner=1, schedule=0, padding=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output", "padding", "row_stride"),
    [
        (lambda: torch.zeros(8, 1256)[:, :1000], 256, 1256),
        (lambda: torch.zeros(8, 1256), 256, 1256),
        (lambda: torch.zeros(8, 1000), 0, 1000),
        # More rows than are written: those behind the last one are memory too, but not between rows.
        (lambda: torch.zeros(64, 1000), 0, 1000),
        (lambda: torch.zeros(64, 1100)[:8, :1000], 100, 1100),
        # The last row's padding is not there.
        (lambda: torch.empty_strided((8, 1000), (1256, 1)), 0, 1256),
        (lambda: torch.zeros(8 * 1256 - 100)[: 7 * 1256 + 1000].as_strided((8, 1000), (1256, 1)), 156, 1256),
        # Behind an offset the same.
        (lambda: torch.zeros(9, 1256)[1:, :1000], 256, 1256),
        (lambda: torch.zeros(8, 1256)[:, 256:], 0, 1256),
        (lambda: torch.zeros(8, 1256)[:, 100:1100], 156, 1256),
        (lambda: torch.zeros(8, 1, 1256)[:, :, :1000], 256, 1256),
    ],
)
def test_padding_is_memory_of_the_output_behind_every_row(output: Any, padding: int, row_stride: int) -> None:
    facts = facts_of(ENTRY, handed(out_logits=output()))
    assert (facts["padding"], facts["row_stride"]) == (padding, row_stride)


@pytest.mark.parametrize(
    ("output", "padding"),
    [
        # Heads of a row follow one another, as a permuted buffer has them: the next head's columns are no padding.
        (lambda: torch.zeros(16, 64, 1000).transpose(0, 1), 0),
        (lambda: torch.zeros(16, 64, 1100)[..., :1000].transpose(0, 1), 100),
        (lambda: torch.zeros(64, 8, 1256)[..., :1000], 256),
        (lambda: torch.zeros(1, 8, 1000).expand(64, 8, 1000), -1000),
        # Each head begins within a row of the one before.
        (lambda: torch.zeros(64 * 1900 + 16000).as_strided((64, 8, 1000), (1900, 2000, 1)), -900),
    ],
)
def test_heads_are_room_of_their_own(output: Any, padding: int) -> None:
    assert facts_of(STAGE1, by_head(out_qk=output()))["padding"] == padding


def test_a_key_of_another_size_than_128_is_told() -> None:
    for size, told in ((64, 64), (128, None), (256, 256)):
        given = handed(q_fp8=torch.zeros(4, 2, 64, size, dtype=torch.uint8))
        assert facts_of(ENTRY, given).get("head_size") == told


def test_elements_of_another_size_than_float32_are_told() -> None:
    for dtype, size in ((torch.bfloat16, 2), (torch.float64, 8), (torch.float32, None)):
        facts = facts_of(ENTRY, handed(out_logits=torch.zeros(8, 1000, dtype=dtype)))
        assert facts.get("output_bytes") == size


@pytest.mark.parametrize(
    ("output", "padding"),
    [
        (lambda: torch.zeros(8, 900), -100),  # rows run into one another
        (lambda: torch.zeros(4, 1000), -4000),  # fewer rows than the query has
        (lambda: torch.zeros(1, 1000).expand(8, 1000), -1000),
        (lambda: torch.zeros(8, 1256, dtype=torch.float64)[:, :1000], 256),
        (lambda: torch.empty_strided((8, 1000), (1256, 1), dtype=torch.float64), 0),
        (lambda: torch.zeros(8, 1256, dtype=torch.bfloat16)[:, :1000], 256),
    ],
)
def test_an_output_without_room_for_its_rows_has_less_than_no_padding(output: Any, padding: int) -> None:
    facts = LaunchFacts(**facts_of(ENTRY, handed(out_logits=output())))
    assert facts.padding == padding and bool(facts.misfit()) == (padding < 0)


def test_one_row_or_none_needs_no_stride() -> None:
    for batch, output, padding in ((1, torch.zeros(1000).as_strided((1, 1000), (1, 1)), 0), (0, torch.zeros(0, 9), 0)):
        given = LaunchFacts(**facts_of(ENTRY, handed(q_fp8=query(batch, 1), out_logits=output)))
        assert given.padding == padding and not given.misfit()
    facts = facts_of(ENTRY, handed(q_fp8=query(1, 1), out_logits=torch.zeros(1, 900)))
    assert facts["padding"] == -100


def test_columns_that_do_not_follow_one_another_are_told() -> None:
    for output, apart in ((torch.zeros(8, 2000)[:, ::2], 2), (torch.zeros(1000, 8).t(), 8)):
        given = LaunchFacts(**facts_of(ENTRY, handed(out_logits=output)))
        assert given.column_stride == apart and "apart" in given.misfit()
    by_heads = facts_of(STAGE1, by_head(out_qk=torch.zeros(64, 8, 2000)[:, :, ::2]))
    assert by_heads["column_stride"] == 2
    assert "column_stride" not in facts_of(ENTRY, handed())


def test_heads_of_the_query_that_the_output_lacks_are_no_room() -> None:
    assert facts_of(STAGE1, by_head(out_qk=torch.zeros(32, 8, 1000)))["padding"] == -32 * 8 * 1000


@pytest.mark.parametrize(
    ("shape", "rank", "inner", "stride"),
    [((8, 1000), 2, 1, 1000), ((64, 8, 1000), 3, 8, None), ((8000,), 1, 0, None), ((8, 1, 1000), 3, 1, 1000),
     ((2, 2, 2, 1000), 4, 4, None), ((1, 8, 1000), 3, 8, None)],
)  # fmt: skip
def test_the_rank_of_the_output(shape: tuple[int, ...], rank: int, inner: int, stride: int | None) -> None:
    facts = facts_of(ENTRY, handed(out_logits=torch.zeros(shape)))
    assert (facts["output_rank"], facts["output_inner"], facts.get("row_stride")) == (rank, inner, stride)


def test_blocks_of_a_shared_cache_have_its_stride_in_bytes() -> None:
    whole = torch.zeros(16, 3, 64, 1, 132, dtype=torch.uint8)
    facts = facts_of(ENTRY, handed(kv_cache=whole[:, 1]))
    assert (facts["kv_blocks"], facts["block_stride"]) == (16, 3 * 64 * 132)
    wide = torch.zeros(16, 64, 1, 33, dtype=torch.int32)
    assert facts_of(ENTRY, handed(kv_cache=wide))["block_stride"] == 64 * 132


def by_head(**more: Any) -> dict[str, Any]:
    cache = torch.zeros(16, 1, 1, 132, dtype=torch.uint8)
    out = torch.zeros(64, 8, 1256)[:, :, :1000]
    return {"q_fp8": query(), "kv_cache_fp8": cache, "out_qk": out, "max_model_len": 1000, "ChunkK": 256, **more}


def test_stage1_has_an_output_of_heads_rows_and_columns() -> None:
    facts = facts_of(STAGE1, by_head())
    assert (facts["heads"], facts["rows"], facts["row_stride"], facts["padding"]) == (64, 8, 1256, 256)
    assert (facts["output_rank"], facts["preshuffle"], facts["schedule"], facts["kv_block_size"]) == (3, 0, 0, 1)
    blocks = torch.zeros(16, 64, 1, 132, dtype=torch.uint8)
    assert facts_of(STAGE1, by_head(kv_cache_fp8=blocks))["kv_block_size"] == 64
    # Heads that do not follow one another: how far they reach is not said.
    spread = torch.zeros(64, 32, 1000)[:, :8]
    facts = facts_of(STAGE1, by_head(out_qk=spread))
    assert "heads" not in facts and facts["row_stride"] == 1000
    assert facts_of(STAGE1, by_head(out_qk=torch.zeros(8, 1000)))["output_rank"] == 2


def test_the_ragged_functions() -> None:
    flat = torch.zeros(1000, 1, 1, 132, dtype=torch.uint8)
    facts = facts_of(RAGGED, handed(kv_cache_fp8=flat, ChunkK=64) | {"KVBlockSize": None, "kv_cache": None})
    assert facts["chunk_k"] == 64 and facts["rows"] == 8
    given = by_head(kv_cache_fp8=flat)
    del given["ChunkK"]
    facts = facts_of(STAGE1_RAGGED, given)
    assert facts["chunk_k"] == _RAGGED.chunk_k == 64 and facts["kv_block_size"] == 1 and facts["kv_blocks"] == 1000


def read(shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any = torch.int32) -> Any:
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    ("parameter", "tensor", "misread", "mistyped"),
    [
        ("weights", lambda: torch.zeros(8, 64), None, None),
        ("weights", lambda: torch.zeros(8, 80)[:, :64], None, None),
        ("weights", lambda: torch.zeros(8, 1, 64), None, None),
        ("weights", lambda: torch.zeros(64).expand(8, 64), None, None),
        ("weights", lambda: torch.zeros(4, 2, 64), 2, None),  # the second row of a sequence is not a stride on
        ("weights", lambda: torch.zeros(64, 8).t(), 2, None),
        ("weights", lambda: torch.zeros(8, 64, 1)[:, :, 0], None, None),
        ("weights", lambda: torch.zeros(8, 64, 1), None, None),
        ("weights", lambda: torch.zeros(8, 64, dtype=torch.bfloat16), None, 2),
        ("weights", lambda: torch.zeros(8, 64, dtype=torch.int32), None, 2),
        ("context_lens", lambda: torch.zeros(4, dtype=torch.int32), None, None),
        ("context_lens", lambda: torch.zeros(4, 1, dtype=torch.int32), None, None),
        ("context_lens", lambda: torch.zeros(4, 2, dtype=torch.int32), 4, None),  # one a row
        ("context_lens", lambda: torch.zeros(4, 2, dtype=torch.int32)[:, 1], 4, None),
        ("context_lens", lambda: torch.zeros(4, dtype=torch.int64), None, 4),
        ("prefix_sum_context_lens", lambda: torch.zeros(5, 2, dtype=torch.int32)[:, 0], 4, None),
        ("kv_indices", lambda: torch.zeros(4, 16, dtype=torch.int32), None, None),
        ("kv_indices", lambda: torch.zeros(9, 16, dtype=torch.int32)[:4], None, None),
        ("kv_indices", lambda: torch.zeros(4, 32, dtype=torch.int32)[:, :16], 8, None),
        ("kv_indices", lambda: torch.zeros(16, 4, dtype=torch.int32).t(), 8, None),
        ("kv_indices", lambda: torch.zeros(4, 16, dtype=torch.int64), None, 8),
        ("kv_indices", lambda: torch.zeros(100, dtype=torch.int32), None, None),
        ("q_fp8", query, None, None),
        ("q_fp8", lambda: query(heads=128)[:, :, :64], None, None),
        ("q_fp8", lambda: query()[..., ::2], 1, None),
        ("q_fp8", lambda: query().half(), None, 1),
        ("kv_cache", lambda: torch.zeros(16, 64, 1, 33, dtype=torch.int32), 16, None),
    ],
)  # fmt: skip
def test_inputs_that_kernels_do_not_read_as_they_are(
    parameter: str, tensor: Any, misread: int | None, mistyped: int | None
) -> None:
    facts = facts_of(ENTRY, handed(**{parameter: tensor()}))
    assert (facts.get("misread"), facts.get("mistyped")) == (misread, mistyped)


def test_the_length_of_one_sequence_is_its_first() -> None:
    """An engine that passes the last column of lengths one a row, made contiguous: of one row torch says that it is."""
    several = torch.zeros(1, 2, dtype=torch.int32)
    last = several[:, -1].contiguous()
    assert last.stride() == (2,)
    assert "misread" not in facts_of(ENTRY, handed(q_fp8=query(batch=1), context_lens=last))
    assert facts_of(ENTRY, handed(q_fp8=query(batch=1), context_lens=several))["misread"] & 4


def test_heads_of_weights_follow_one_another() -> None:
    apart = torch.zeros(4, 64, 2)[:, :, :1]
    assert facts_of(ENTRY, handed(q_fp8=query(next_n=1), weights=apart))["misread"] & 2
    assert not facts_of(ENTRY, handed(q_fp8=query(next_n=1), weights=apart.contiguous())).get("misread", 0) & 2


def test_how_far_long_inputs_reach() -> None:
    for parameter, tensor, name, reach in (
        ("kv_indices", read((4, 1 << 27), (1 << 27, 1)), "table_elements", None),
        ("kv_indices", read((4, 1 + (1 << 27)), (1 + (1 << 27), 1)), "table_elements", 4 + (1 << 29)),
        ("weights", read((8, 64), (1 << 28, 1), torch.float32), "weights_elements", 7 * (1 << 28) + 64),
        ("q_fp8", read((4, 2, 64, 128), (1 << 29, 8192, 128, 1), torch.uint8), "query_elements", 3 * (1 << 29) + 16384),
    ):
        assert facts_of(ENTRY, handed(**{parameter: tensor})).get(name) == reach


def test_what_cannot_be_read_is_left_out() -> None:
    assert facts_of(ENTRY, {}) == {"schedule": 0, "preshuffle": 0}
    odd = handed(q_fp8=None, kv_cache=None, out_logits=None, max_model_len=torch.tensor(3), KVBlockSize=None)
    assert set(facts_of(ENTRY, odd)) == {"chunk_k", "preshuffle", "schedule"}
    assert "rows" not in facts_of(ENTRY, handed(q_fp8=torch.zeros(8, 64, 128)))
    assert set(facts_of(ENTRY, handed())) <= set(LaunchFacts.__dataclass_fields__)


def test_a_schedule_is_a_fact_whatever_is_in_it() -> None:
    assert facts_of(ENTRY, handed(VarCtxSchedule=torch.zeros(1)))["schedule"] == 1


def test_every_fact_is_in_the_key() -> None:
    """Calls that differ in a fact differ in what they are looked up by."""
    names = [*handed(), *by_head()]
    parts = {part for name in names for part in key_of(name)}
    assert {"q_fp8.shape", "kv_cache.stride()", "kv_cache.dtype", "out_logits.stride()", "max_model_len"} <= parts
    assert {"out_qk.shape", "out_logits.untyped_storage().nbytes()", "out_qk.storage_offset()"} <= parts
    for name in ("q_fp8", "weights", "context_lens", "prefix_sum_context_lens", "kv_indices"):
        assert f"{name}.dtype" in key_of(name) and any("stride()" in part for part in key_of(name))
    assert {"Preshuffle", "KVBlockSize", "ChunkK", "VarCtxSchedule is None"} <= parts
    assert key_of("TotalCuCount") == key_of("WavePerEU") == ()


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_function_comes_to_a_kernel(entry: str) -> None:
    assert kernels_of(entry, {}, "")
