"""What a launch meets, by its facts: each fault at its own numbers, reached, not reached, or open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from aiterfix.faults.base import Presence, Reach
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import LaunchFacts
from aiterfix.judge.launch_list import RecordedLaunch, line_of, read_launches
from aiterfix.judge.launched import Launch, Launchable, Launchables, Outcome, judge_launch, launchables
from aiterfix.storage.codec import StoredError
from tests.importing.launching import EARLY, ENTRY, LATE, lay_out
from tests.importing.world import GLUON
from tests.importing.world import STAGE1 as PLAIN
from tests.kernels import SHIPPED

BASE = f"_gluon_{ENTRY}"
SHUFFLED = f"{BASE}_preshuffle"
VARCTX = f"{SHUFFLED}_varctx"
STAGE1, REDUCING, RAGGED = f"_{ENTRY}_stage1", f"_{ENTRY}", f"_{ENTRY}_ragged_k"
FACTS = LaunchFacts(
    rows=8, width=4000, row_stride=4096, kv_blocks=512, block_stride=8448, kv_block_size=64, chunk_k=256, next_n=2,
    heads=64, preshuffle=1, output_rank=2, output_inner=1, schedule=0, padding=0,
)  # fmt: skip
EVERYTHING = tuple((f.id, Presence.PRESENT) for f in SHIPPED.judged)


def _facts(changed: Mapping[str, int | None]) -> LaunchFacts:
    return LaunchFacts(**{**vars(FACTS), **changed})


def kernels(*names: str, presence: Any = EVERYTHING, released: bool = True, **more: Any) -> Launchables:
    """Kernels with these faults, each in a file of its own."""
    found = tuple(Launchable(n, not n.startswith("_gluon"), presence, released, n) for n in names)
    given = {"doubts": (), "prebuilt": False, "compiler": LaunchFacts(), **more}
    return Launchables(found, known=SHIPPED, deciding=SHIPPED.deciding, **given)


def reach(
    fault: str,
    names: Sequence[str],
    facts: Mapping[str, int | None],
    entry: str = ENTRY,
    gpu: str = "gfx950",
    *,
    released: bool = True,
) -> str:
    """Whether a launch meets one fault; the facts that decide behind it, where that is open."""
    there = kernels(*names, presence=((fault, Presence.PRESENT),), released=released)
    judged = judge_launch(there, Launch(entry, _facts(facts), gpu))
    assert not judged.reason
    (found,) = judged.faults or (None,)
    assert found is not None and found.fault == fault
    return " ".join([found.reach.value, *found.facts])


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, "reached"),
        ({"width": 4032}, "not-reached"),
        ({"width": 4032, "kv_block_size": 256}, "reached"),
        ({"padding": 31}, "reached"),
        ({"padding": 32}, "not-reached"),
        ({"padding": 32, "kv_block_size": 256}, "reached"),
        ({"padding": 95, "kv_block_size": 256}, "reached"),
        ({"padding": 96, "kv_block_size": 256}, "not-reached"),
        ({"padding": None}, "depends padding"),
        ({"padding": None, "width": 4032}, "not-reached"),
        ({"width": None}, "depends width"),
        ({"chunk_k": None}, "depends chunk_k"),
        ({"kv_block_size": 0}, "depends a divisor other than 0"),
        # Neither divides the other: what no release launches, and of which no rounding is known.
        ({"kv_block_size": 96, "width": 4032}, "depends rounding"),
        ({"kv_block_size": 96, "padding": 255}, "not-reached"),
    ],
)
def test_stores_past_a_row(facts: dict[str, int | None], found: str) -> None:
    assert reach("column-bound", [SHUFFLED], facts) == found


@pytest.mark.parametrize("facts", [{"padding": -1}, {"row_stride": 4031, "rows": 2}, {"column_stride": 2}])
def test_an_output_that_cannot_hold_its_rows_is_never_called_right(facts: dict[str, int]) -> None:
    """Mended kernels write every column up to the width too, one element after the other."""
    there = kernels(SHUFFLED, presence=())
    fits = {"width": 4032, "row_stride": 4032}
    assert judge_launch(there, Launch(ENTRY, _facts(fits), "gfx950")).outcome is Outcome.NOT_REACHED
    judged = judge_launch(there, Launch(ENTRY, _facts({**fits, **facts}), "gfx950"))
    assert judged.outcome is Outcome.UNKNOWN and judged.reason


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"width": 4032}, "depends rounding"),
        ({"width": 4096}, "depends rounding"),
        ({}, "reached"),
        ({"padding": 32}, "depends rounding"),
        ({"padding": 254}, "depends rounding"),
        ({"padding": 255}, "not-reached"),
        ({"padding": 255, "chunk_k": 512}, "depends rounding"),
        ({"padding": 511, "chunk_k": 512}, "not-reached"),
    ],
)
def test_how_far_a_source_of_no_release_rounds_is_not_known(facts: dict[str, int | None], found: str) -> None:
    assert reach("column-bound", [SHUFFLED], facts, released=False) == found


@pytest.mark.parametrize(
    ("fault", "kernel", "facts", "found"),
    [
        ("column-bound", BASE, {"preshuffle": 0}, "not-reached"),
        ("row-offset-32", SHUFFLED, {"rows": 512, "row_stride": 1 << 20}, "not-reached"),
        ("row-offset-32", SHUFFLED, {"rows": 513, "row_stride": 1 << 20}, "reached"),
        ("row-offset-32", SHUFFLED, {"rows": 513, "row_stride": None}, "depends row_stride"),
        ("cache-offset-32", SHUFFLED, {"kv_blocks": 2143, "block_stride": 1_002_240}, "not-reached"),
        ("cache-offset-32", SHUFFLED, {"kv_blocks": 2144, "block_stride": 1_002_240}, "reached"),
        ("block-paging", BASE, {"preshuffle": 0}, "reached"),
        ("block-paging", BASE, {"preshuffle": 0, "kv_block_size": 1}, "not-reached"),
        ("block-paging", SHUFFLED, {}, "not-reached"),
        ("output-rank", SHUFFLED, {"output_rank": 3, "output_inner": 8}, "reached"),
        ("output-rank", SHUFFLED, {"output_rank": 3, "output_inner": 1}, "not-reached"),
        ("empty-sequence-schedule", VARCTX, {"schedule": 1}, "depends context_lens"),
        ("empty-sequence-schedule", VARCTX, {"schedule": 1, "rows": 2}, "not-reached"),
        ("hidden-columns", SHUFFLED, {"next_n": 4, "kv_block_size": 128}, "reached"),
        ("small-chunk", SHUFFLED, {"chunk_k": 64}, "reached"),
        ("triton-3-5-1", SHUFFLED, {"triton": 30501, "triton_published": 1}, "reached"),
        ("triton-3-5-1", SHUFFLED, {"triton": 30501}, "depends triton_published"),
        ("triton-3-5-1", SHUFFLED, {"triton": 30600}, "not-reached"),
    ],
)
def test_each_fault_of_the_main_function(fault: str, kernel: str, facts: dict[str, int | None], found: str) -> None:
    assert reach(fault, [kernel], {"triton": 30600, **facts}) == found


@pytest.mark.parametrize(
    ("fault", "entry", "kernel", "facts", "found"),
    [
        ("column-bound", f"{ENTRY}_stage1", STAGE1, {"width": 4096, "kv_block_size": 1}, "not-reached"),
        ("column-bound", f"{ENTRY}_stage1", STAGE1, {"width": 4032, "kv_block_size": 64}, "reached"),
        ("row-offset-32", f"{ENTRY}_stage1", STAGE1, {"row_stride": 1 << 20, "rows": 64, "heads": 64}, "reached"),
        ("row-offset-32", f"{ENTRY}_stage1", STAGE1, {"row_stride": 1 << 20, "rows": 32, "heads": 64}, "not-reached"),
        ("row-offset-32", f"{ENTRY}_stage1", STAGE1, {"row_stride": 1 << 20, "rows": 2049, "heads": 1}, "reached"),
        # The reducing kernels sum over the heads: their output has rows alone.
        ("row-offset-32", f"{ENTRY}_ragged_k", RAGGED, {"rows": 2048, "row_stride": 1 << 20}, "not-reached"),
        ("row-offset-32", f"{ENTRY}_ragged_k", RAGGED, {"rows": 2049, "row_stride": 1 << 20}, "reached"),
        (
            "row-offset-32",
            f"{ENTRY}_stage1",
            STAGE1,
            {"row_stride": 1 << 20, "rows": 64, "heads": None},
            "depends heads",
        ),
        ("block-paging", f"{ENTRY}_stage1", STAGE1, {}, "reached"),
        ("ragged-causal-bound", f"{ENTRY}_ragged_k", RAGGED, {}, "reached"),
        ("ragged-causal-bound", f"{ENTRY}_ragged_k", RAGGED, {"next_n": 1}, "not-reached"),
    ],
)
def test_the_other_functions(fault: str, entry: str, kernel: str, facts: dict[str, int | None], found: str) -> None:
    rank = 3 if "stage1" in entry else 2
    assert reach(fault, [kernel], {"preshuffle": 0, "output_rank": rank, **facts}, entry, "") == found


@pytest.mark.parametrize(
    ("facts", "gpu", "expected"),
    [
        ({"preshuffle": 1, "schedule": 0}, "", [SHUFFLED]),
        ({"preshuffle": 1, "schedule": 1}, "", [VARCTX]),
        ({"preshuffle": 1, "schedule": None}, "", [SHUFFLED, VARCTX]),
        ({"preshuffle": 0, "triton": 30600}, "gfx950", [BASE]),
        ({"preshuffle": 0, "triton": 30400}, "gfx950", [REDUCING]),
        ({"preshuffle": 0}, "gfx950", [BASE, REDUCING]),
        ({"preshuffle": 0, "triton": 30600}, "sm_90", [BASE, REDUCING]),
        ({"preshuffle": 0, "triton": 30600}, "", [BASE, REDUCING]),
        ({"preshuffle": None, "schedule": 0, "triton": 30600}, "gfx942", [BASE, SHUFFLED]),
    ],
)
def test_which_kernels_a_launch_may_come_to(facts: dict[str, int | None], gpu: str, expected: list[str]) -> None:
    there = kernels(BASE, SHUFFLED, VARCTX, REDUCING, STAGE1, RAGGED)
    judged = judge_launch(there, Launch(ENTRY, _facts(facts), gpu))
    assert sorted(judged.kernels) == sorted(expected)


def test_where_the_kernel_is_not_known_a_fault_of_one_is_open() -> None:
    given: dict[str, int | None] = {"preshuffle": 0, "triton": 30600}
    assert reach("block-paging", [BASE, REDUCING], given, gpu="sm_90") == "reached"
    both = (Launchable(BASE, False, (("block-paging", Presence.PRESENT),), True, "a"),
            Launchable(REDUCING, True, (("block-paging", Presence.ABSENT),), True, "b"))  # fmt: skip
    judged = judge_launch(replace(kernels(), kernels=both), Launch(ENTRY, _facts(given), "sm_90"))
    assert judged.outcome is Outcome.DEPENDS and judged.met(Reach.DEPENDS)[0].facts == ("kernel",)


def test_what_is_not_understood_is_never_not_reached() -> None:
    launch = Launch(ENTRY, replace(FACTS, width=4096, next_n=1, triton=30600), "gfx950")
    fine = kernels(SHUFFLED)
    assert judge_launch(fine, launch).outcome is Outcome.NOT_REACHED
    for there, why in (
        (replace(fine, doubts=((SHUFFLED, "unread"),)), "unread"),
        (replace(fine, doubts=(("elsewhere", "unread"),)), "unread"),
        (replace(fine, prebuilt=True), "prebuilt"),
        (kernels(STAGE1), "no kernel that it launches"),
        (kernels(), "no kernel that it launches"),
    ):
        judged = judge_launch(there, launch)
        assert judged.outcome is Outcome.UNKNOWN and why in judged.reason
    assert judge_launch(fine, replace(launch, gpu="gfx1250")).outcome is Outcome.UNKNOWN
    assert judge_launch(fine, replace(launch, entry="fp8_mqa_logits")).outcome is Outcome.UNKNOWN
    unread = tuple((f.id, Presence.UNKNOWN) for f in SHIPPED.judged)
    assert judge_launch(kernels(SHUFFLED, presence=unread), replace(launch, facts=FACTS)).outcome is Outcome.UNKNOWN
    # A fault of caches that are not preshuffled, not understood in a kernel of those that are.
    paging = (("block-paging", Presence.UNKNOWN),)
    found = judge_launch(kernels(SHUFFLED, presence=paging), launch)
    assert found.outcome is not Outcome.NOT_REACHED and found.faults[0].reach is Reach.REACHED
    assert found.faults[0].told.startswith("any launch: ")
    # It may be there; that it is met would be more than is known.
    assert not any(map(found.met, Reach)) and found.not_understood == found.faults
    # Nor do blocks of one token keep a launch from it: a row may be scored with another's queries.
    one = replace(launch, facts=replace(launch.facts, kv_block_size=1))
    assert judge_launch(kernels(SHUFFLED, presence=paging), one).faults[0].reach is Reach.REACHED
    # What is in doubt about another module's kernels says nothing of this one's; what runs prebuilt are the Gluon ones.
    stage1 = replace(kernels(SHUFFLED, STAGE1), doubts=((SHUFFLED, "unread"),), prebuilt=True)
    facts = replace(FACTS, preshuffle=0, width=4096, kv_block_size=1, next_n=1, output_rank=3)
    assert judge_launch(stage1, Launch(f"{ENTRY}_stage1", facts)).outcome is Outcome.NOT_REACHED


@pytest.mark.parametrize(
    ("kernel", "facts", "triton", "outcome"),
    [
        # The grid is the schedule's, and the kernel takes the schedule for its number of splits.
        (REDUCING, {"preshuffle": 0, "schedule": 1}, 30400, Outcome.UNKNOWN),
        (BASE, {"preshuffle": 0, "schedule": 1}, 30600, Outcome.UNKNOWN),
        (BASE, {"preshuffle": 0}, 30600, Outcome.NOT_REACHED),
        (VARCTX, {"schedule": 1}, 30600, Outcome.NOT_REACHED),
        # Their wrapper compiles them for a pointer to float32, whatever is handed over; Triton converts elsewhere.
        (SHUFFLED, {"output_bytes": 2}, 30600, Outcome.UNKNOWN),
        (SHUFFLED, {"output_bytes": 8}, 30600, Outcome.UNKNOWN),
        (REDUCING, {"preshuffle": 0, "output_bytes": 2}, 30400, Outcome.NOT_REACHED),
    ],
)
def test_what_no_kernel_is_made_for_is_never_called_right(
    kernel: str, facts: dict[str, int], triton: int, outcome: Outcome
) -> None:
    """Not even where no fault is left."""
    launch = Launch(ENTRY, _facts({"width": 4096, "triton": triton, **facts}), "gfx950")
    judged = judge_launch(kernels(kernel, presence=()), launch)
    assert judged.outcome is outcome and bool(judged.reason) == (outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("kernel", "facts", "said"),
    [
        (SHUFFLED, {"misread": 8}, "misreads the block table"),
        (REDUCING, {"misread": 6}, "misreads the weights and lengths"),
        (SHUFFLED, {"mistyped": 4}, "another type of lengths"),
        (REDUCING, {"mistyped": 4}, ""),
        # In bytes in a Gluon kernel, in elements in a plain one.
        (SHUFFLED, {"table_elements": (1 << 29) + 1}, "block table"),
        (SHUFFLED, {"weights_elements": (1 << 29) + 1}, "weights"),
        (SHUFFLED, {"query_elements": 1 << 31}, ""),
        (SHUFFLED, {"query_elements": (1 << 31) + 1}, "query"),
        (REDUCING, {"table_elements": 1 << 31}, ""),
        (REDUCING, {"table_elements": (1 << 31) + 1}, "block table"),
    ],
)
def test_an_input_that_no_kernel_reads_as_it_is_is_never_called_right(
    kernel: str, facts: dict[str, int], said: str
) -> None:
    plain = kernel == REDUCING
    given = {"width": 4096, "preshuffle": int(not plain), "triton": 30400 if plain else 30600, **facts}
    judged = judge_launch(kernels(kernel, presence=()), Launch(ENTRY, _facts(given), "gfx950"))
    assert judged.outcome is (Outcome.UNKNOWN if said else Outcome.NOT_REACHED)
    assert said in judged.reason and bool(judged.remedy) == bool(said)


def test_an_output_by_head_has_three_axes() -> None:
    facts = {"preshuffle": 0, "width": 4096, "kv_block_size": 1, "next_n": 1}
    for rank, outcome in ((2, Outcome.UNKNOWN), (4, Outcome.UNKNOWN), (3, Outcome.NOT_REACHED)):
        launch = Launch(f"{ENTRY}_stage1", _facts({**facts, "output_rank": rank}), "gfx950")
        assert judge_launch(kernels(STAGE1, presence=()), launch).outcome is outcome


def test_faults_that_do_not_decide_are_listed_alone() -> None:
    judged = judge_launch(
        kernels(SHUFFLED), Launch(ENTRY, replace(FACTS, width=4096, next_n=1, chunk_k=64, triton=30600))
    )
    found = {f.fault: (f.reach, f.decides) for f in judged.faults}
    assert found["small-chunk"] == (Reach.REACHED, False) and judged.outcome is Outcome.NOT_REACHED


def test_a_fault_of_the_compiler_decides_where_the_launch_names_it() -> None:
    """Whatever is known beside the kernels: a list says what compiled them."""
    there = kernels(SHUFFLED, by_compiler=SHIPPED.deciding_by_compiler)
    launch = Launch(ENTRY, replace(FACTS, width=4096, next_n=1), "gfx950")
    for triton, published, outcome in (
        (30501, 1, Outcome.REACHED),
        (30501, None, Outcome.DEPENDS),
        (30600, None, Outcome.NOT_REACHED),
        (None, None, Outcome.NOT_REACHED),
    ):
        facts = replace(launch.facts, triton=triton, triton_published=published)
        assert judge_launch(there, replace(launch, facts=facts)).outcome is outcome


def test_a_compiler_beside_the_kernels_takes_the_place_of_the_recorded_one() -> None:
    given = kernels(SHUFFLED, compiler=LaunchFacts(triton=30600))
    launch = Launch(ENTRY, replace(FACTS, width=4096, triton=30501, triton_published=1))
    assert judge_launch(given, launch).launch.facts.triton == 30600
    assert judge_launch(given, launch).launch.facts.triton_published is None
    assert judge_launch(replace(given, compiler=LaunchFacts()), launch).launch == launch


def test_the_sentence_has_the_numbers_of_the_launch() -> None:
    there = kernels(SHUFFLED, presence=(("cache-offset-32", Presence.PRESENT),))
    (found,) = judge_launch(there, Launch(ENTRY, replace(FACTS, kv_blocks=9999, block_stride=1_002_240))).faults
    assert found.told == (
        "keys of blocks from 2143 on are read as zeros or from elsewhere at a block stride of 1002240 bytes"
    )


# ---- the guard and the list say one thing ---------------------------------------------------------

CALLS = """
logits(); logits(width=1024); logits(behind=256); logits(blocks=20000, stride=1002240, next_n=2, behind=256)
logits(block=1, Preshuffle=False); logits(block=64, Preshuffle=False); by_head(); by_head(width=1024)
logits(batch=3, VarCtxSchedule=Tensor(1)); logits(out=Tensor(64, 2, 1000))
"""
SAY = """
from aiterfix.judge.launch_list import judge_list, read_launches
from aiterfix.judge.process import known_faults
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.whole import Whole
from aiterfix.installation.given_path import find_path
from pathlib import Path
import os
file = Path(os.environ["AITERFIX_RECORD"])
found = find_path(Path(SITE))
disk = tuple(judge_installation(i, known_faults()) for i in found.installations)
(listed,) = judge_list(file, read_launches(file), Whole(found, disk, disk)).installations
live = tuple(s.judgement for s in aiterfix.launches().seen)
print(json.dumps([live == listed.launches, len(live), sorted({j.outcome.value for j in live}),
                  [repr(a) + repr(b) for a, b in zip(live, listed.launches) if a != b]]))
"""


@pytest.mark.parametrize("tree", ["patched", "as it is", "not understood"])
@pytest.mark.parametrize("start", [EARLY, LATE])
def test_the_live_guard_and_a_list_give_the_same_object(tmp_path: Path, tree: str, start: str) -> None:
    """Of one tree: patched on disk, or with kernels that the hook leaves alone."""
    world = lay_out(tmp_path, patchable=True)
    if tree == "patched":
        assert main(["apply", "--path", str(world.site)]) == 0
    for module in (GLUON, PLAIN) if tree != "patched" else ():
        text = world.file(module).read_text()
        if tree == "not understood":
            text = text.replace("ptr=OutLogits_buffer", "ptr=elsewhere(OutLogits_buffer)")
        world.file(module).write_text(text + "\f\n")
    script = f"SITE = {str(world.site)!r}\n{start}{CALLS}{SAY}"
    same, count, outcomes, differ = world.answer(script, AITERFIX_RECORD=str(tmp_path / "list"))
    if start is LATE and tree != "patched":
        # Kernels that stay after their import are a doubt of the process, which no tree on disk has.
        assert outcomes == ["unknown"]
        return
    assert same, differ[:2]
    assert count == 10
    expected = {"patched": ["not-reached"], "as it is": ["depends", "not-reached", "reached"]}
    assert outcomes == expected.get(tree, outcomes) and (tree != "not understood" or "unknown" in outcomes)


# ---- a list ---------------------------------------------------------------------------------------

LINE = RecordedLaunch(
    1, "aiter.ops.triton.attention.pa_mqa_logits", Launch(ENTRY, FACTS, "gfx950"), Outcome.REACHED, ("a",)
)


def test_a_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "list"
    other = replace(LINE, launch=Launch(f"{ENTRY}_stage1", LaunchFacts(width=7)), outcome=Outcome.DEPENDS, faults=())
    file.write_bytes(line_of(LINE) + line_of(other) + line_of(LINE))
    assert read_launches(file) == (LINE, other)
    assert b"null" not in line_of(LINE) and line_of(LINE).count(b"\n") == 1
    file.write_bytes(line_of(LINE).rstrip())
    assert read_launches(file) == (LINE,)
    file.write_bytes(b"")
    assert read_launches(file) == ()


def changed(**facts: Any) -> bytes:
    data = json.loads(line_of(LINE))
    data["launch"]["facts"].update(facts)
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "line 2"),
        (b"{}", "line 2"),
        (b"[]", "line 2"),
        (b"\xff", "line 2"),
        (line_of(LINE)[:50], "line 2"),
        (line_of(LINE).rstrip() * 2, "line 2"),
        (line_of(LINE).rstrip().replace(b'"schema": 1', b'"schema": 2'), "line 2, schema"),
        (line_of(LINE).rstrip().replace(b'"reached"', b'"safe"'), "line 2, outcome"),
        (changed(rows=-1), "line 2, launch.facts.rows"),
        (changed(rows=1.5), "line 2, launch.facts.rows"),
        (changed(rows="8"), "line 2, launch.facts.rows"),
        (changed(rows=True), "line 2, launch.facts.rows"),
        (changed(misread=32), "line 2, launch.facts.misread"),
        (changed(padding=97), "line 2, launch.facts.padding"),
        (changed(rows=1, row_stride=1, padding=1), "line 2, launch.facts.padding"),
        (changed(preshuffle=2), "line 2, launch.facts.preshuffle"),
        (changed(rows=2**63), "line 2, launch.facts.rows"),
        (changed(rows=2**70), "line 2"),
        (changed(cols=1), "line 2, launch.facts.cols"),
        (b"[" * 100_000, "line 2"),
        (b"1" * 100_000, "line 2"),
    ],
)
def test_a_line_that_is_not_understood_is_named_and_none_is_passed_over(tmp_path: Path, line: bytes, said: str) -> None:
    file = tmp_path / "list"
    file.write_bytes(line_of(LINE) + line + b"\n" + line_of(LINE))
    with pytest.raises(StoredError) as caught:
        read_launches(file)
    assert said in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize("facts", [
    {"padding": 96}, {"padding": -5}, {"rows": 1, "row_stride": 1}, {"rows": 0, "row_stride": 1}, {"row_stride": None},
])  # fmt: skip
def test_padding_that_a_launch_may_have_is_believed(tmp_path: Path, facts: dict[str, int | None]) -> None:
    line = replace(LINE, launch=replace(LINE.launch, facts=_facts(facts)))
    file = tmp_path / "list"
    file.write_bytes(line_of(line))
    assert read_launches(file) == (line,)


def test_units_of_an_installation(tmp_path: Path) -> None:
    world = lay_out(tmp_path)
    (installation,) = find_path(world.site).installations
    there = launchables(judge_installation(installation, SHIPPED))
    assert {k.name for k in there.kernels} >= {BASE, SHUFFLED, STAGE1} and not there.doubts
    assert not any(k.released for k in there.kernels) and {k.plain for k in there.kernels} == {True, False}
