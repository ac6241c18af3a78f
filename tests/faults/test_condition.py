"""Conditions on launch facts: three answers, and which facts decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.faults.base import Reach
from aiterfix.faults.condition import Condition, ConditionError, Phrase
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


@given(
    st.dictionaries(
        st.sampled_from(["rows", "row_stride", "width", "plain", "heads", "output_rank"]), st.integers(0, 1 << 40)
    )
)
def test_more_facts_never_turn_an_answer_round(facts: dict[str, int]) -> None:
    trigger = load_faults().get("row-offset-32").trigger
    reach, missing = trigger.reach(facts)
    full = {"rows": 1, "row_stride": 1, "width": 1, "plain": 0, "heads": 1, "output_rank": 2, **facts}
    assert (reach is Reach.DEPENDS) == bool(missing)
    if reach is not Reach.DEPENDS:
        assert trigger.reach(full)[0] is reach


def test_the_border_of_row_offset_32() -> None:
    trigger = load_faults().get("row-offset-32").trigger
    facts = {"row_stride": 1 << 20, "width": 1 << 20, "plain": 0}
    assert trigger.reach({**facts, "rows": 512})[0] is Reach.NOT_REACHED
    assert trigger.reach({**facts, "rows": 513})[0] is Reach.REACHED
    assert trigger.reach(facts) == (Reach.DEPENDS, ("rows",))
    # A row that ends past 2^31 bytes loses its end, on the emulator from just there: column 12 of a row at 2^31 - 48.
    partly = {"row_stride": 536_870_900, "rows": 2, "plain": 0}
    assert trigger.reach({**partly, "width": 12})[0] is Reach.NOT_REACHED
    assert trigger.reach({**partly, "width": 13})[0] is Reach.REACHED
    assert trigger.reach(partly) == (Reach.DEPENDS, ("width",))
    plain = {"row_stride": 1 << 20, "plain": 1, "heads": 1, "output_rank": 2}
    assert trigger.reach({**plain, "rows": 2048})[0] is Reach.NOT_REACHED
    assert trigger.reach({**plain, "rows": 2049})[0] is Reach.REACHED
    by_head = {**plain, "heads": 64, "output_rank": 3}
    assert trigger.reach({**by_head, "rows": 64})[0] is Reach.REACHED
    assert trigger.reach({**by_head, "rows": 32})[0] is Reach.NOT_REACHED
    # An output without heads, of the kernels that sum over them, ends sooner.
    assert trigger.reach({**by_head, "rows": 2048, "output_rank": 2})[0] is Reach.NOT_REACHED


def test_the_border_of_column_bound() -> None:
    trigger = load_faults().get("column-bound").trigger
    launch = {"plain": 0, "preshuffle": 1, "chunk_k": 256}
    assert trigger.reach({**launch, "width": 1000, "kv_block_size": 64})[0] is Reach.REACHED
    assert trigger.reach({**launch, "width": 1024, "kv_block_size": 64})[0] is Reach.NOT_REACHED
    assert trigger.reach({**launch, "width": 1088, "kv_block_size": 256})[0] is Reach.REACHED
    assert trigger.reach({**launch, "preshuffle": 0, "width": 1000})[0] is Reach.NOT_REACHED
    assert trigger.reach({"plain": 1, "chunk_k": 256, "width": 1024, "kv_block_size": 64})[0] is Reach.NOT_REACHED


def test_the_border_of_cache_offset_32() -> None:
    trigger = load_faults().get("cache-offset-32").trigger
    # As vLLM's per-layer views have it: blocks up to 2142 are whole, the 2143rd's keys are not.
    launch = {"block_stride": 1_002_240, "kv_block_size": 64, "plain": 0}
    assert trigger.reach({**launch, "kv_blocks": 2143})[0] is Reach.NOT_REACHED
    assert trigger.reach({**launch, "kv_blocks": 2144})[0] is Reach.REACHED
    assert trigger.reach(launch) == (Reach.DEPENDS, ("kv_blocks",))
    assert trigger.reach({"kv_blocks": 1 << 20, "block_stride": 1 << 20})[0] is Reach.REACHED
    # Longer keys end farther on: 128 bytes are what is not said.
    longer = {"block_stride": 128 * 260, "kv_block_size": 128, "plain": 0, "head_size": 256}
    assert trigger.reach({**longer, "kv_blocks": 64_527})[0] is Reach.NOT_REACHED
    assert trigger.reach({**longer, "kv_blocks": 64_528})[0] is Reach.REACHED
    assert trigger.tell({**longer, "kv_blocks": 64_528}).startswith("keys of blocks from 64527 on")
    tokens = {"block_stride": 132, "kv_block_size": 1, "plain": 0}
    assert trigger.reach({**tokens, "kv_blocks": 16_268_815})[0] is Reach.NOT_REACHED
    assert trigger.reach({**tokens, "kv_blocks": 16_268_816})[0] is Reach.REACHED
    plain = {**tokens, "plain": 1}
    assert trigger.reach({**plain, "kv_blocks": 16_268_816})[0] is Reach.NOT_REACHED
    assert trigger.reach({**plain, "kv_blocks": 16_268_817})[0] is Reach.REACHED


def test_a_launch_is_told_what_happens_to_it() -> None:
    rows = load_faults().get("row-offset-32").trigger
    launch = {"row_stride": 1 << 20, "rows": 520, "width": 1 << 20, "plain": 0}
    assert rows.tell(launch) == "rows from 512 on are never written at a row stride of 1048576"
    assert rows.tell({**launch, "rows": 512}) == rows.sentence
    assert rows.tell({"row_stride": 1 << 20}) == rows.sentence
    partly = {"row_stride": 536_870_900, "rows": 2, "width": 64, "plain": 0}
    assert rows.tell(partly) == "row 1 is not written from column 12 on at a row stride of 536870900"
    assert rows.tell({**launch, "rows": 2049, "plain": 1}).startswith("rows from 2048 on are written elsewhere")
    assert rows.tell({**launch, "rows": 64, "plain": 1, "heads": 64, "output_rank": 3}).startswith(
        "heads from 32 on are written elsewhere"
    )
    blocks = load_faults().get("cache-offset-32").trigger
    cache = {"block_stride": 1_002_240, "kv_block_size": 64, "kv_blocks": 3000}
    told = "keys of blocks from 2143 on are read "
    assert blocks.tell({**cache, "plain": 0}) == told + "as zeros or from elsewhere at a block stride of 1002240 bytes"
    assert blocks.tell({**cache, "plain": 1}) == told + "from elsewhere at a block stride of 1002240 bytes"
    assert blocks.tell(cache) == blocks.sentence


@given(st.integers(1, 1 << 24), st.integers(1, 1 << 24), st.sampled_from([0, 1]), st.sampled_from([1, 16, 64, 256]))
def test_the_first_block_that_is_told_is_the_first_that_is_met(stride: int, blocks: int, plain: int, size: int) -> None:
    trigger = load_faults().get("cache-offset-32").trigger
    facts = {"block_stride": stride, "kv_block_size": size, "plain": plain}
    told = trigger.tell({**facts, "kv_blocks": blocks})
    if trigger.reach({**facts, "kv_blocks": blocks})[0] is Reach.REACHED:
        first = int(told.split(" from ")[1].split()[0])
        assert trigger.reach({**facts, "kv_blocks": first})[0] is Reach.NOT_REACHED
        assert trigger.reach({**facts, "kv_blocks": first + 1})[0] is Reach.REACHED
    else:
        assert told == trigger.sentence


def test_a_phrase_has_numbers_put_in() -> None:
    phrase = Phrase("rows from {a * 2} on, of {width}")
    assert phrase.fill(_FACTS) == "rows from 6 on, of 1000"
    assert phrase.fill({"a": 3}) is None
    assert Phrase("nothing to put in").fill({}) == "nothing to put in"
    assert Phrase("{a // b}").fill(_FACTS) is None


@pytest.mark.parametrize("text", ["{", "}", "{a", "a}", "{}", "{a}}", "{{a}}", "{a.b}", "{a +}"])
def test_what_is_no_phrase(text: str) -> None:
    with pytest.raises(ConditionError):
        Phrase(text)
