"""The overshoot that is claimed, against brute force: every length, split, row and program; and kernels that break
the rules by which few of them decide. The answer is exact or there is none; it is never too small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950 import CodeObject
from aiterfix.overshoot.launches import Launches, whole_launch
from aiterfix.overshoot.measure import IntegerPart
from aiterfix.overshoot.runner import Runner, Stored
from tests.emulator import needs_emulator
from tests.overshoot.kernels import (
    FAULTY,
    SOUND,
    asking_each_wave,
    changing_lengths,
    compiled,
    ending,
    integer_part,
)

pytest.importorskip("triton")
pytestmark = needs_emulator


def brute(part: IntegerPart, width: int, next_n: int) -> int:
    """One past the last column that any program of any length stores to, of splits 1 to 6 and the most there are."""
    shapes = [
        whole_launch(part.which, part.config, length, width, next_n, splits)
        for length in range(1, width + 1)
        for splits in (1, 2, 3, 4, 5, 6, 10, *([260] if length % 50 == width % 50 else []))
    ]
    return max(max(ends) for ends in part.ends(shapes))


@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize(("block", "width", "next_n"), [(16, 190, 1), (64, 290, 2), (512, 60, 4)])
def test_equals_brute_force(kernel: Kernel, block: int, width: int, next_n: int) -> None:
    block = block if kernel.preshuffled else 1
    part = integer_part(FAULTY, kernel, KernelConfig(heads=32, kv_block_size=block, waves_per_eu=1))
    found = part.overshoot(width, next_n)
    assert found.columns == max(0, brute(part, width, next_n) - width)
    # The sample's stores cover whole blocks.
    if kernel is Kernel.PRESHUFFLE:
        assert found.columns == -width % block


@pytest.mark.parametrize("kernel", list(Kernel))
def test_bounded_stores_stay_inside(kernel: Kernel) -> None:
    part = integer_part(SOUND, kernel, KernelConfig(heads=32, kv_block_size=64 if kernel.preshuffled else 1))
    for width in (1, 100):
        assert part.overshoot(width).columns == 0


_ROUNDED = "gl.cdiv(context_length, {0}) * {0}"


@pytest.mark.parametrize(
    ("text", "width", "columns"),
    [
        # A unit that does not divide the chunk.
        (ending(_ROUNDED.format(192)), 600, 168),
        # More than a chunk past the end.
        (ending(_ROUNDED.format(768)), 600, 168),
        (ending(_ROUNDED.format(1024)), 300, 724),
        # Shorter contexts get further than the longest.
        (ending("context_length + (context_length % 7 == 3).to(gl.int32) * 512"), 600, 510),
        (ending("context_length + (context_length == 40).to(gl.int32) * 2048"), 600, 1488),
        # Only a program in the middle does.
        (ending("begin + steps + 1024", "share == 1"), 800, 736),
        (ending("begin + steps + 512", "(share == 1) & (context_length % 256 == 17)"), 800, 224),
    ],
    ids=["192", "768", "1024", "mod7", "length40", "middle", "remainder"],
)
def test_kernels_that_round_otherwise(text: bytes, width: int, columns: int) -> None:
    part = integer_part(text, Kernel.PRESHUFFLE, KernelConfig(heads=32, waves_per_eu=1))
    assert part.overshoot(width).columns == columns


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ending("context_length + gl.load(kv_indices + batch)"), "kv_indices"),
        (ending("context_length + max_block_len"), "max_block_len"),
        (ending("begin + steps + 512", "(batch == 1) & (share == 0)"), "stores elsewhere"),
        (ending("begin + steps + 512", "(batch_size == 7) & (share == 0)"), "stores elsewhere"),
        (
            ending("begin + steps + 512", "(gl.load(context_len_ptr) != context_length) & (share == 0)"),
            "stores elsewhere",
        ),
        (
            ending("begin + steps + 512", "(gl.load(context_len_ptr + batch + 1) < 5) & (share == 0)"),
            "stores elsewhere",
        ),
        (ending("gl.minimum(begin + 2048, stride_out_batch.to(gl.int32))"), "stores elsewhere"),
        (ending("begin + steps + 512", "(stride_out_batch % 1024 == 64) & (share == 0)"), "stores elsewhere"),
        (changing_lengths(), "s_and_saveexec_b64 .* numbers that differ between lanes"),
        (asking_each_wave("s_add_u32 $0, $0, s95"), "register 95, which nothing has written"),
        (ending("begin + steps + 512", "gl.load(kv_indices + batch) > 3"), "kv_indices"),
        (ending("begin + steps + 512", "gl.load(weights + batch) > 0.5"), "weights"),
        (ending("begin + steps + 64 * gl.num_programs(0)"), "dispatch packet|appended by the compiler"),
    ],
    ids=[
        "data",
        "argument",
        "second-sequence",
        "seven-sequences",
        "unlike-sequences",
        "behind-the-sequences",
        "stride-as-width",
        "some-strides",
        "lengths-changed",
        "never-written",
        "masked-by-data",
        "masked-by-floats",
        "grid",
    ],
)
def test_refused(text: bytes, why: str) -> None:
    with pytest.raises(NotUnderstoodError, match=why):
        integer_part(text, Kernel.PRESHUFFLE, KernelConfig(heads=32, waves_per_eu=1)).overshoot(800)


def test_a_remainder_that_neither_end_of_a_chunk_has_is_seen() -> None:
    """A program in the middle is in the same state at both; up to 8192 tokens every one is run, and held to that."""
    text = ending("begin + steps + 512", "(share == 1) & (context_length % 256 == 17)")
    config = KernelConfig(heads=32, waves_per_eu=1)
    part = IntegerPart(compiled(text, Kernel.PRESHUFFLE, config), Kernel.PRESHUFFLE, config, (5,))
    assert part.overshoot(800).columns == 224
    with pytest.raises(NotUnderstoodError, match=r"stores elsewhere .* context_length 785, .* splits 5"):
        part.overshoot(9000)


def test_launches_of_unlike_strides_may_have_to_be_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is the same, and so is what is refused."""
    config = KernelConfig(heads=32, waves_per_eu=1)
    part = integer_part(FAULTY, Kernel.PRESHUFFLE, config)
    found, together = part.overshoot(300), Runner.run

    def run(runner: Runner, table: Launches) -> Stored:
        if len(set(table.stride)) > 1:
            raise NotUnderstoodError("no form")
        return together(runner, table)

    monkeypatch.setattr(Runner, "run", run)
    assert part.overshoot(300) == found
    some = ending("begin + steps + 512", "(stride_out_batch % 1024 == 64) & (share == 0)")
    with pytest.raises(NotUnderstoodError, match="stores elsewhere"):
        integer_part(some, Kernel.PRESHUFFLE, config).overshoot(800)


def test_one_context_among_many_gets_furthest() -> None:
    """Past what is run whole, the last program with work is run for every length."""
    text = ending("context_length + (context_length == 9001).to(gl.int32) * 2048")
    config = KernelConfig(heads=32, waves_per_eu=1)
    found = IntegerPart(compiled(text, Kernel.PRESHUFFLE, config), Kernel.PRESHUFFLE, config, (1, 3)).overshoot(10000)
    assert (found.columns, found.context_length) == (1049, 9001)


def test_programs_that_differ_in_their_last_iterations() -> None:
    """They come to their first stores in one state but for how long they go on."""
    text = ending(
        "begin + steps + ((context_length >= 9990) & (context_length < 9995)).to(gl.int32) * 1024", "share == 1"
    )
    part = integer_part(text, Kernel.PRESHUFFLE, KernelConfig(heads=32, waves_per_eu=1))
    shapes = [whole_launch(Kernel.PRESHUFFLE, part.config, length, 10000, 1, 2) for length in (9989, 9990, 9994, 9995)]
    plain, further, again, last = part.ends(shapes)
    assert plain == last
    assert further == again == [plain[0], plain[1] + 1024]


@pytest.mark.parametrize("asked", ["dispatch_pointer", "queue_pointer", "dispatch_id"])
def test_registers_of_a_dispatch_are_refused(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They move the arguments to other registers than the ones that a slice is begun with."""
    config = KernelConfig(heads=32, kv_block_size=64)
    kernel = integer_part(SOUND, Kernel.PRESHUFFLE, config).kernel
    code = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
    change: dict[str, Any] = {asked: True}
    other = replace(code, descriptor=replace(code.descriptor, **change))
    monkeypatch.setattr(CodeObject, "from_bytes", lambda *_, **__: other)
    with pytest.raises(NotUnderstoodError, match="asks for its dispatch packet, queue or number"):
        IntegerPart(kernel, Kernel.PRESHUFFLE, config)
