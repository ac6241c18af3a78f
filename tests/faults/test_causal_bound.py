"""ragged-causal-bound in kernels of the real names and parameters, written for this test: found, mended, proven."""

from __future__ import annotations

import pytest

from aiterfix.faults import causal_bound
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import kernels_of
from aiterfix.faults.mend import mend
from aiterfix.source.locate import splice
from aiterfix.source.proof import ProofError
from aiterfix.source.sites import analyse
from tests.paged import BASE, CAUSAL, FAULTS, GLUON, PLAIN, RAGGED, STAGE1, found

LAST = b"start + tl.arange(0, ChunkK) <= length - place"
MASK = b"        mask = " + LAST + b"\n"


def with_mask(line: str) -> bytes:
    assert PLAIN.count(MASK) == 1
    return PLAIN.replace(MASK, f"        {line}\n".encode())


def test_only_the_bound_that_goes_the_other_way_is_the_fault() -> None:
    assert found(PLAIN, CAUSAL, RAGGED).presence is Presence.PRESENT
    assert found(PLAIN, CAUSAL, STAGE1).presence is Presence.ABSENT
    assert found(GLUON, CAUSAL, BASE).presence is Presence.ABSENT
    (finding,) = found(PLAIN, CAUSAL, RAGGED).findings
    assert PLAIN.splitlines()[finding.line - 1] + b"\n" == MASK and not finding.obstacle
    assert dict(finding.details)["comparison"] == LAST.decode()


RIGHT = [
    "mask = start + tl.arange(0, ChunkK) <= length - next_n + place",
    "mask = start + tl.arange(0, ChunkK) < length - next_n + place + 1",
    "mask = length + place - next_n >= start + tl.arange(0, ChunkK)",
    "mask = (start + tl.arange(0, ChunkK) <= length - next_n + place) & (start + tl.arange(0, ChunkK) < length)",
    "mask = (start + tl.arange(0, ChunkK) <= length - next_n + place) & (start + tl.arange(0, ChunkK) < max_model_len)",
    "mask = (start + tl.arange(0, ChunkK) >= 0) & (start + tl.arange(0, ChunkK) <= length - next_n + place)",
    "mask = ~(start + tl.arange(0, ChunkK) > length - (next_n - place))",
]
WRONG = [
    (
        "mask = start + tl.arange(0, ChunkK) <= length - (place)",
        "mask = tl.arange(0, ChunkK) <= length - next_n + (place) - start",
    ),
    (
        "mask = start + (tl.arange(0, ChunkK)) < 1 + (length - place)",
        "mask = start + (tl.arange(0, ChunkK)) < 1 + (length - next_n + place)",
    ),
    (
        "mask = length - place >= start + tl.arange(0, ChunkK)",
        "mask = length - next_n + place >= start + tl.arange(0, ChunkK)",
    ),
    (
        "mask = tl.arange(0, ChunkK) + start <= (length) - place",
        "mask = tl.arange(0, ChunkK) + start <= (length) - next_n + place",
    ),
    (
        "mask = (start) + tl.arange(0, ChunkK) <= length - place",
        "mask = (start) + tl.arange(0, ChunkK) <= length - next_n + place",
    ),
    (
        "mask = start + tl.arange(0, ChunkK) <= (length\n            - place)",
        "mask = tl.arange(0, ChunkK) <= (length\n            - next_n + place - start)",
    ),
]
UNKNOWN = [
    "mask = start + tl.arange(0, ChunkK) < length",
    "mask = start + tl.arange(0, ChunkK) <= length - next_n",
    "mask = start + tl.arange(0, ChunkK) <= length - 2 * place",
    "mask = start + tl.arange(0, ChunkK) <= max_model_len - next_n + place",
    "mask = tl.load(weights + tl.arange(0, ChunkK)) > 0",
    *(
        f"mask = (start + tl.arange(0, ChunkK) <= length - next_n + place) {more}"
        for more in (
            "& (start + tl.arange(0, ChunkK) < length - next_n)",
            "& (start + tl.arange(0, ChunkK) < 512)",
            "& (start + tl.arange(0, ChunkK) >= 16)",
            "& (start + tl.arange(0, ChunkK) < length - 1)",
            "& (start + tl.arange(0, ChunkK) < max_model_len - 1)",
            "& (place > 0)",
            "& (tl.load(weights + tl.arange(0, ChunkK)) > 0)",
            "& ((start < length) | (place > 0))",
            "| (place > 0)",
            "* (place > 0)",
        )
    ),
]


@pytest.mark.parametrize("line", RIGHT)
def test_a_right_bound_stays(line: str) -> None:
    text = with_mask(line)
    assert found(text, CAUSAL, RAGGED).presence is Presence.ABSENT
    assert mend(text, FAULTS, wanted=(CAUSAL,)).new == text


@pytest.mark.parametrize(
    ("line", "presence"),
    [
        ("mask = start + tl.arange(0, ChunkK) > length - next_n + place", Presence.ABSENT),
        ("mask = ~(start + tl.arange(0, ChunkK) <= length - next_n + place)", Presence.ABSENT),
        ("mask = start + tl.arange(0, ChunkK) >= length - next_n + place", Presence.UNKNOWN),
        ("mask = start + tl.arange(0, ChunkK) <= length - next_n + place", Presence.UNKNOWN),
        ("mask = start + tl.arange(0, ChunkK) > length - place", Presence.PRESENT),
    ],
)
def test_scores_may_be_what_is_chosen_last(line: str, presence: Presence) -> None:
    text = with_mask(line)
    old = b'tl.where(mask[None, :], score, float("-inf"))'
    assert text.count(old) == 1
    text = text.replace(old, b'tl.where(mask[None, :], float("-inf"), score)')
    assert found(text, CAUSAL, RAGGED).presence is presence


@pytest.mark.parametrize(("line", "after"), WRONG)
def test_the_position_is_added_where_it_was_taken_away_and_the_chunks_start_beside_it(line: str, after: str) -> None:
    text = with_mask(line)
    result = mend(text, FAULTS, wanted=(CAUSAL,))
    assert result.new == with_mask(after) != text
    assert found(result.new, CAUSAL, RAGGED).presence is Presence.ABSENT
    assert [s.fault for s in result.steps] == [CAUSAL] and not result.left((CAUSAL,))
    assert mend(result.new, FAULTS, wanted=(CAUSAL,)).new == result.new


def test_the_chunks_start_stays_in_a_kernel_that_loads_its_length() -> None:
    """It spilled 50 vector registers more of the compiler's otherwise; a ragged kernel does better so."""
    right = b"column[None, :] <= length - next_n + place"
    wrong, mended = (
        b"start + tl.arange(0, ChunkK)[None, :] <= length - " + end for end in (b"place", b"next_n + place")
    )
    text = PLAIN.replace(right, wrong)
    assert text != PLAIN and found(text, CAUSAL, STAGE1).presence is Presence.PRESENT
    result = mend(text, FAULTS, wanted=(CAUSAL,))
    assert mended in result.new and found(result.new, CAUSAL, STAGE1).presence is Presence.ABSENT


@pytest.mark.parametrize("line", UNKNOWN)
def test_what_is_no_such_bound_is_unknown(line: str) -> None:
    text = with_mask(line)
    diagnosis = found(text, CAUSAL, RAGGED)
    assert diagnosis.presence is Presence.UNKNOWN and diagnosis.findings[0].message
    assert mend(text, FAULTS, wanted=(CAUSAL,)).new == text


LOST = [
    ('float("-inf")', "0.0", "something else than -inf"),
    ("(sequence * next_n + place) * stride_out_batch", "share * stride_out_batch", "below batch_size"),
    ("prefix_sum_context_lens + sequence + 1", "prefix_sum_context_lens + place + 1", "length"),
    # Rows that the output does not have.
    ("program % next_n, program // next_n", "program // next_n, program // next_n", "below next_n"),
    ("program % next_n, program // next_n", "program % (next_n + 1), program // next_n", "below next_n"),
    ("program % next_n, program // next_n", "(program - 1) % next_n, program // next_n", "below next_n"),
    ("program % next_n, program // next_n", "program % next_n + 1, program // next_n", "below next_n"),
    ("sequence, share = rest % batch_size", "sequence, share = rest // batch_size", "below batch_size"),
    ("sequence, share = rest % batch_size", "sequence, share = rest", "below batch_size"),
    ("sequence, share = rest % batch_size", "sequence, share = program", "below batch_size"),
]


@pytest.mark.parametrize(("old", "new", "reason"), LOST)
def test_what_is_not_followed_is_unknown(old: str, new: str, reason: str) -> None:
    head, tail = PLAIN.split(b"def _deepgemm_fp8_paged_mqa_logits_ragged_k")
    text = head + b"def _deepgemm_fp8_paged_mqa_logits_ragged_k" + tail.replace(old.encode(), new.encode())
    assert text != PLAIN
    diagnosis = found(text, CAUSAL, RAGGED)
    assert diagnosis.presence is Presence.UNKNOWN
    assert reason in diagnosis.findings[0].message


def test_a_grid_of_its_own_axes_is_taken_for_granted() -> None:
    flat, rows = b"program % next_n, program // next_n", b"rest % batch_size, rest // batch_size"
    text = PLAIN.replace(flat, b"tl.program_id(1), program").replace(rows, b"tl.program_id(2), program")
    assert text.count(b"tl.program_id(2)") == 1 and found(text, CAUSAL, RAGGED).presence is Presence.PRESENT
    assert found(mend(text, FAULTS, wanted=(CAUSAL,)).new, CAUSAL, RAGGED).presence is Presence.ABSENT


def test_a_bound_that_is_made_elsewhere_is_seen_and_left() -> None:
    text = with_mask("last = length - place\n        mask = start + tl.arange(0, ChunkK) <= last")
    diagnosis = found(text, CAUSAL, RAGGED)
    assert diagnosis.presence is Presence.PRESENT and "in the comparison itself" in diagnosis.obstacle
    result = mend(text, FAULTS, wanted=(CAUSAL,))
    assert result.new == text and "in the comparison itself" in result.left((CAUSAL,))


def test_an_edit_that_does_more_than_it_should_is_caught() -> None:
    kernels = kernels_of(FAULTS)
    before = analyse(PLAIN, kernels)
    edits, places = causal_bound.MEND.edits(PLAIN, before, "f")
    new = splice(PLAIN, edits)
    causal_bound.MEND.prove(before, analyse(new, kernels), places, "f")
    for spoilt in (PLAIN, new.replace(b"max_blk_len + column", b"max_blk_len + row"), new.replace(b"share *", b"2 *")):
        with pytest.raises(ProofError):
            causal_bound.MEND.prove(before, analyse(spoilt, kernels), places, "f")
