"""The walk through the sequences that an empty one stops."""

from __future__ import annotations

import pytest

from tests.faults.kernels import FIXED, PASSING, SCORES, SEEN, STOPPED, WALK, kernel, mended, presence, reasons, walking

FAULT = "empty-sequence-schedule"


@pytest.mark.parametrize(
    "test",
    [
        STOPPED,
        "items > 0 and pid_split_kv >= items * next_n",
        "(pid_split_kv >= next_n * items) and (0 < items)",
        "items * next_n <= pid_split_kv and items != 0",
        "pid_split_kv >= items * next_n and context_length > 0",
        "pid_split_kv >= items * next_n and chunks >= 1",
        "pid_split_kv >= items * next_n and items",
        "pid_split_kv >= items * next_n and pid_batch < batch_size and items > 0",
    ],
)
def test_a_walk_that_an_empty_sequence_stops_is_found_and_mended(test: str) -> None:
    text = walking(test)
    assert presence(text, FAULT) == "present"
    result = mended(text, FAULT)
    assert presence(result.new, FAULT) == "absent"
    assert b"pid_batch < batch_size" in result.new.split(b"while", 1)[1].split(b":", 1)[0]
    assert [s.fault for s in result.steps] == [FAULT]
    (place,) = {line for _, line in result.steps[0].places}
    assert text.splitlines()[place - 1].strip().startswith(b"while")
    assert not mended(result.new, FAULT).changed


def test_the_mend_replaces_one_comparison_and_nothing_else() -> None:
    assert mended(walking(STOPPED), FAULT).new == walking(PASSING)


def test_items_may_be_counted_for_all_rows_of_a_sequence() -> None:
    rows = WALK.replace("tl.cdiv(chunks, safe_chunks_per_cta)", "tl.cdiv(chunks, safe_chunks_per_cta) * next_n")
    rows = rows.replace("items * next_n", "items")
    assert presence(walking("(pid_split_kv >= items) & (pid_batch < batch_size)", rows), FAULT) == "absent"
    text = walking("(pid_split_kv >= items) & (items > 0)", rows)
    assert presence(text, FAULT) == "present"
    assert presence(mended(text, FAULT).new, FAULT) == "absent"


@pytest.mark.parametrize("test", [PASSING, "batch_size > pid_batch and next_n * items <= pid_split_kv"])
def test_a_walk_to_the_number_of_sequences_is_right(test: str) -> None:
    assert presence(walking(test), FAULT) == "absent"
    assert not mended(walking(test), FAULT).changed


def test_a_kernel_that_goes_by_its_program_has_no_walk() -> None:
    assert presence(kernel(FIXED + SCORES + SEEN), FAULT) == "absent"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("while {test}", "while pid_split_kv >= items * next_n", "it is not seen that a loop over sequences ends"),
        ("items > 0", "items > 1", "`items > 1` in a loop over sequences is not understood"),
        ("items > 0", "items > 0 or pid_batch < 3", "is not understood"),
        (", other=0)", ")", "the length behind the last sequence need not be 0"),
        (", other=0)", ", other=1)", "the length behind the last sequence need not be 0"),
        ("mask=pid_batch < batch_size, ", "", "without a mask"),
        ("mask=pid_batch < batch_size", "mask=pid_batch < items", "without a mask"),
        ("pid_batch += 1", "pid_batch += 2", "a statement in a loop over sequences is not understood"),
        ("pid_batch += 1", "pass", "a statement in a loop over sequences is not understood"),
        ("    pid_split_kv -= items * next_n\n", "", "does not go from each to the next"),
        ("pid_split_kv -= items * next_n", "pid_split_kv -= items", "is not understood"),
        ("    chunks = tl.cdiv(", "    chunks = other(", "what other() gives is not understood"),
        ("    chunks = tl.cdiv(context_length", "    chunks = tl.cdiv(next_n", "counts is not understood"),
        ("while {test}:\n", "for turn in range(batch_size):\n", "lengths are loaded in a loop that is not followed"),
        (
            "context_length = gl.load(context_len_ptr + pid_batch)",
            "context_length = find(context_len_ptr)",
            "is not followed",
        ),
        ("pid_batch = 0\n", "pid_batch = 0\nall = gl.load(context_len_ptr + gl.arange(0, 64))\n", "at once"),
    ],
)
def test_what_is_not_followed_is_unknown_and_stays(old: str, new: str, reason: str) -> None:
    body = WALK.replace("{test}", STOPPED) if "{test}" not in old else WALK
    assert old in body
    text = walking(STOPPED, body.replace(old, new))
    assert presence(text, FAULT) == "unknown"
    assert any(reason in message for _, message in reasons(text, FAULT)), reasons(text, FAULT)


def test_a_finding_stands_on_the_line_of_the_walk() -> None:
    text = walking()
    ((line, message),) = reasons(text, FAULT)
    assert text.splitlines()[line - 1].strip().startswith(b"while")
    assert message == "a sequence of length 0 ends the walk"
