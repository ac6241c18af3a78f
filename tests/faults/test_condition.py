"""Conditions on launch facts: three answers, and which facts decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.faults.base import Reach
from aiterfix.faults.condition import Condition, ConditionError
from aiterfix.faults.registry import load_faults

_FACTS = {"a": 3, "b": 0, "width": 1000, "block": 64}


@pytest.mark.parametrize(
    ("text", "holds", "missing"),
    [
        ("width % block != 0", True, ()),
        ("a * 2 + 1 - b // 1 == 7", True, ()),
        ("-a < b", True, ()),
        ("not a", False, ()),
        ("1 <= a < 3", False, ()),
        ("(block if a > 2 else width) == 64", True, ()),
        ("c > 1", None, ("c",)),
        ("c > d", None, ("c", "d")),
        ("b and c > 1", False, ()),
        ("c > 1 and b", False, ()),
        ("a or c > 1", True, ()),
        ("c > 1 or a", True, ()),
        ("c > 1 and a", None, ("c",)),
        ("(c if b else a) == 3", True, ()),
        ("width % b", None, ("a divisor other than 0",)),
    ],
)
def test_three_answers(text: str, holds: bool | None, missing: tuple[str, ...]) -> None:
    assert Condition(text).evaluate(_FACTS) == (holds, missing)


@pytest.mark.parametrize("text", ["", "1 +", "f(1)", "a.b", "a[0]", "1.5 < a", "'x' == a", "a @ a", "lambda: 1", "a**9",
                                  "True", "[a]", "a if", "(" * 300])  # fmt: skip
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ConditionError):
        Condition(text)


@given(st.dictionaries(st.sampled_from(["rows", "row_stride", "plain", "heads"]), st.integers(0, 1 << 40)))
def test_more_facts_never_turn_an_answer_round(facts: dict[str, int]) -> None:
    trigger = load_faults().get("row-offset-32").trigger
    reach, missing = trigger.reach(facts)
    full = {"rows": 1, "row_stride": 1, "plain": 0, "heads": 1, **facts}
    assert (reach is Reach.DEPENDS) == bool(missing)
    if reach is not Reach.DEPENDS:
        assert trigger.reach(full)[0] is reach


def test_the_border_of_row_offset_32() -> None:
    trigger = load_faults().get("row-offset-32").trigger
    facts = {"row_stride": 1 << 20, "plain": 0}
    assert trigger.reach({**facts, "rows": 512})[0] is Reach.NOT_REACHED
    assert trigger.reach({**facts, "rows": 513})[0] is Reach.REACHED
    assert trigger.reach(facts) == (Reach.DEPENDS, ("rows",))
    plain = {"row_stride": 1 << 20, "plain": 1, "heads": 1}
    assert trigger.reach({**plain, "rows": 2048})[0] is Reach.NOT_REACHED
    assert trigger.reach({**plain, "rows": 2049})[0] is Reach.REACHED
    assert trigger.reach({**plain, "rows": 64, "heads": 64})[0] is Reach.REACHED


def test_the_border_of_column_bound() -> None:
    trigger = load_faults().get("column-bound").trigger
    launch = {"plain": 0, "preshuffle": 1, "chunk_k": 256}
    assert trigger.reach({**launch, "width": 1000, "kv_block_size": 64})[0] is Reach.REACHED
    assert trigger.reach({**launch, "width": 1024, "kv_block_size": 64})[0] is Reach.NOT_REACHED
    assert trigger.reach({**launch, "width": 1088, "kv_block_size": 256})[0] is Reach.REACHED
    assert trigger.reach({**launch, "preshuffle": 0, "width": 1000})[0] is Reach.NOT_REACHED
    assert trigger.reach({"plain": 1, "chunk_k": 256, "width": 1024, "kv_block_size": 64})[0] is Reach.NOT_REACHED
