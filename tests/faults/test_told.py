"""What a launch is told of faults, with its own numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from aiterfix.faults.base import Presence, Reach
from tests.kernels import SHIPPED


@pytest.mark.parametrize(
    ("fault", "met", "told", "spared"),
    [
        (
            "empty-sequence-schedule",
            {"preshuffle": 1, "schedule": 1, "rows": 8, "next_n": 2},
            "with 4 sequences, an empty one leaves the rows of all behind it unwritten",
            {"schedule": 0},
        ),
        (
            "hidden-columns",
            {"preshuffle": 1, "next_n": 4, "chunk_k": 256, "kv_block_size": 128},
            "with 4 rows a sequence and blocks of 128, the first row may keep finite logits in up to 2 columns behind its end",
            {"kv_block_size": 64},
        ),
        (
            "hidden-columns",
            {"preshuffle": 1, "next_n": 3, "chunk_k": 256, "kv_block_size": 256},
            "with 3 rows a sequence and blocks of 256, the first row may keep finite logits in up to 1 columns behind its end",
            {"next_n": 2},
        ),
        (
            "output-rank",
            {"output_rank": 3, "output_inner": 8},
            "an output of 3 axes has 8 rows for each step of its first stride, which is taken for one row",
            {"output_rank": 2, "output_inner": 1},
        ),
        (
            "small-chunk",
            {"preshuffle": 1, "chunk_k": 64},
            "of ChunkK 64 each of four warps gets 0 tiles",
            {"chunk_k": 128},
        ),
        (
            "triton-3-5-1",
            {"preshuffle": 1, "triton": 30501, "triton_published": 1},
            "Triton 3.5.1 computes most logits from the wrong keys",
            {"triton": 30600},
        ),
        (
            "triton-3-5-1",
            {"preshuffle": 1, "triton": 30500, "triton_published": 1},
            "Triton 3.5.0 computes most logits from the wrong keys",
            {"triton": 30400},
        ),
        ("instruction-shape", {"plain": 0, "triton": 30701}, "Triton 3.7.1 refuses the kernel", {"triton": 30400}),
    ],
)
def test_numbers_of_a_launch(fault: str, met: Mapping[str, int], told: str, spared: Mapping[str, int]) -> None:
    trigger = SHIPPED.get(fault).trigger
    assert trigger.reach(met) == (Reach.REACHED, ())
    assert trigger.tell(met) == told
    assert trigger.reach({**met, **spared}) == (Reach.NOT_REACHED, ())


def test_the_sentence_of_what_is_not_understood_is_true_of_every_kind_of_kernel() -> None:
    fault = SHIPPED.get("block-paging")
    assert "not preshuffled" in fault.as_seen(Presence.PRESENT).trigger.sentence
    unknown = fault.as_seen(Presence.UNKNOWN)
    assert "not preshuffled" not in unknown.trigger.tell({"kv_block_size": 64, "preshuffle": 1})
    # Nor does a block of one token spare a launch what may be about queries.
    for size in (1, 64):
        assert unknown.reach(Presence.UNKNOWN, {"kv_block_size": size, "preshuffle": 1}) == (Reach.REACHED, ())
