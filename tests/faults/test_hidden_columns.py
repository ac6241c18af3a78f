"""Scores of columns that a row may not see."""

from __future__ import annotations

import ast

import pytest

from tests.faults.kernels import FIXED, PASSING, SCORES, SEEN, WALK, kernel, mended, presence, reasons

FAULT = "hidden-columns"
BARE = kernel(FIXED + SCORES)


def test_scores_that_are_stored_as_they_are_are_found_and_mended() -> None:
    assert presence(BARE, FAULT) == "present"
    result = mended(BARE, FAULT)
    assert presence(result.new, FAULT) == "absent"
    stored = next(
        n for n in ast.walk(ast.parse(result.new)) if isinstance(n, ast.Call) and "buffer_store" in ast.unparse(n.func)
    )
    wanted = "tl.where(columns <= context_length - next_n + pid_next_n, logits, float('-inf'))"
    assert ast.unparse(stored.args[0]) == wanted
    assert not mended(result.new, FAULT).changed


def test_bytes_outside_the_stored_value_stay() -> None:
    before, after = BARE.split(b"logits,\n")
    new = mended(BARE, FAULT).new
    assert new.startswith(before)
    assert new.endswith(after)


def test_a_kernel_that_walks_through_its_sequences_is_mended_too() -> None:
    body = WALK.replace("{test}", PASSING) + SCORES
    text = kernel(body, suffix="_preshuffle_varctx", last="safe_chunks_per_cta_ptr")
    assert presence(text, FAULT) == "present"
    assert presence(mended(text, FAULT).new, FAULT) == "absent"


@pytest.mark.parametrize(
    "seen",
    [
        SEEN,
        "seen = columns <= context_length - next_n + pid_next_n\nlogits = tl.where(seen, logits, float('-inf'))\n",
        "logits = tl.where(columns - pid_next_n + next_n <= context_length, logits, float('-inf'))\n",
        "logits = tl.where(columns < context_length - next_n + pid_next_n + 1, logits, -float('inf'))\n",
        # A bound, though not the right one: that is another fault's.
        "logits = tl.where(columns <= context_length - pid_next_n, logits, float('-inf'))\n",
    ],
)
def test_scores_that_are_chosen_by_the_length_are_bounded(seen: str) -> None:
    text = kernel(FIXED + SCORES + seen)
    assert presence(text, FAULT) == "absent"
    assert not mended(text, FAULT).changed


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (
            "logits = tl.where(columns <= context_length - next_n + pid_next_n, logits, 0.0)\n",
            "something else than -inf",
        ),
        (
            "logits = tl.where(columns <= heads_num - next_n + pid_next_n, logits, float('-inf'))\n",
            "compares no column with the context's length",
        ),
        ("logits = tl.where(columns <= context_length, logits, float('-inf'))\n", "no bound that is understood"),
        (
            "logits = logits + tl.where(columns <= context_length - next_n + pid_next_n, 0.0, float('-inf'))\n",
            "made of a choice",
        ),
        ("logits = hide(logits, columns)\n", "what hide() gives is not followed"),
        ("for turn in range(3):\n    logits = logits\n", "not followed"),
    ],
)
def test_what_is_not_followed_is_unknown_and_stays(seen: str, reason: str) -> None:
    text = kernel(FIXED + SCORES + seen)
    assert presence(text, FAULT) == "unknown"
    assert any(reason in message for _, message in reasons(text, FAULT)), reasons(text, FAULT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("context_length = gl.load(context_len_ptr + pid_batch)", "context_length = gl.load(context_len_ptr + pid_batch) + 0 * pid"),
        ("context_length = gl.load(context_len_ptr + pid_batch)\n", "context_length = gl.load(context_len_ptr + pid_batch)\nother = gl.load(context_len_ptr)\n"),
        ("pid_next_n = pid % next_n\n", ""),
    ],
)  # fmt: skip
def test_scores_stay_where_length_or_position_have_no_name(old: str, new: str) -> None:
    body = (FIXED + SCORES).replace(old, new)
    text = kernel(body).replace(b"+ pid_next_n)", b"+ pid % next_n)") if "pid_next_n" in old else kernel(body)
    assert presence(text, FAULT) == "present"
    result = mended(text, FAULT)
    assert not result.changed
    assert "has no name there" in result.left((FAULT,))
