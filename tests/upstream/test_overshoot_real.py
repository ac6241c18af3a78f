"""Overshoot of the real kernels: brute force, random launches in full, wide rows, and known figures. Figures only."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path

import pytest

from aiterfix.advice.padding import HeldKernel, Question, bound
from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.faults.base import Presence
from tests.emulator import needs_emulator
from tests.overshoot.emulation import random_config, row_ends_agree
from tests.upstream.conftest import Clone

pytest.importorskip("triton")
pytestmark = needs_emulator
FILE = "aiter/ops/triton/gluon/pa_mqa_logits.py"
PLAIN_FILE = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
REDUCING = {Portable.REDUCING.function, Portable.REDUCING_RAGGED.function}
RELEASES = ("v0.1.12.post2", "v0.1.20.post1")
CASES = [(r, k) for r in RELEASES for k in Kernel if (r, k) != ("v0.1.12.post2", Kernel.BASE)]

from aiterfix.family.signature import make_request  # noqa: E402
from aiterfix.gfx950.cache import CompiledKernel  # noqa: E402 - after importorskip
from aiterfix.gfx950.compile import Compiler  # noqa: E402
from aiterfix.overshoot import certify  # noqa: E402
from aiterfix.overshoot.launches import every_split, whole_launch  # noqa: E402
from aiterfix.overshoot.measure import IntegerPart  # noqa: E402


@cache
def compiled(clone: Clone, release: str, kernel: Kernel, config: KernelConfig) -> CompiledKernel:
    text = clone.git("show", f"{release}:{FILE}")
    with Compiler() as compiler:
        return compiler.compile(make_request(text, FILE, kernel, config))


@pytest.mark.parametrize(("release", "kernel"), CASES)
@pytest.mark.parametrize(("block", "width"), [(16, 270), (64, 330), (128, 300), (256, 300), (512, 280)])
@pytest.mark.parametrize("next_n", [1, 2, 3, 4])
def test_brute_force(clone: Clone, release: str, kernel: Kernel, block: int, width: int, next_n: int) -> None:
    config = KernelConfig(kv_block_size=block if kernel.preshuffled else 1)
    part = IntegerPart(compiled(clone, release, kernel, config), kernel, config)
    shapes = [
        whole_launch(kernel, config, length, width, next_n, splits)
        for length in range(1, width + 1)
        for splits in {1, 2, 3, *every_split(kernel, -(-length // 256), next_n, 2)}
    ]
    end = max(max(ends) for ends in part.ends(shapes))
    found = part.overshoot(width, next_n)
    assert found.columns == max(0, end - width)
    if kernel is Kernel.BASE:
        assert found.columns == 0
    elif release == "v0.1.12.post2" or block < 256:
        assert found.columns == -width % min(block, 256)
    else:
        assert found.columns == 0


@pytest.mark.parametrize(("release", "kernel"), CASES)
@pytest.mark.parametrize("seed", range(5))
def test_rows_end_as_in_full_emulation(clone: Clone, release: str, kernel: Kernel, seed: int) -> None:
    generator = random.Random(f"{release} {kernel.value} {seed}")
    config = random_config(kernel, generator)
    row_ends_agree(kernel, compiled(clone, release, kernel, config), config, generator)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("block", "width", "columns"), [(64, 2048, 0), (64, 2300, 4), (64, 1000, 24)])
def test_figures_taken_before(clone: Clone, release: str, block: int, width: int, columns: int) -> None:
    """Rows of the measurements that were taken with other means, for both strides."""
    # Releases before v0.1.18 do not compile with the wide stride.
    for stride in ("i32", "i64") if release == "v0.1.20.post1" else ("i32",):
        config = KernelConfig(kv_block_size=block, out_stride=stride)
        part = IntegerPart(compiled(clone, release, Kernel.PRESHUFFLE, config), Kernel.PRESHUFFLE, config)
        assert part.overshoot(width, 2).columns == columns


def test_early_base_kernel_is_refused(clone: Clone) -> None:
    """Its slice keeps a load of the block table, so that nothing is claimed of it."""
    config = KernelConfig(kv_block_size=1)
    part = IntegerPart(compiled(clone, "v0.1.12.post2", Kernel.BASE, config), Kernel.BASE, config)
    with pytest.raises(NotUnderstoodError, match="kv_indices"):
        part.overshoot(300)


@pytest.mark.parametrize("width", [65537, 100000])
def test_wide_rows(clone: Clone, width: int) -> None:
    config = KernelConfig()
    part = IntegerPart(compiled(clone, "v0.1.20.post1", Kernel.PRESHUFFLE, config), Kernel.PRESHUFFLE, config)
    found = part.overshoot(width)
    assert found.columns == -width % 64


@pytest.mark.parametrize("release", ["v0.1.12.post2", "v0.1.20.post1"])
@pytest.mark.parametrize(("width", "next_n"), [(300, 1), (1000, 2)])
def test_plain_kernels_round_up_to_their_chunk(
    clone: Clone, release: str, width: int, next_n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of stage1 two values of SplitKV stand for all, as each is compiled anew."""
    monkeypatch.setattr(
        certify, "every_split", lambda *asked: every_split(*asked)[:: len(every_split(*asked)) - 1 or 1]
    )
    text = clone.git("show", f"{release}:{PLAIN_FILE}")
    asked = certify.plain({Path(PLAIN_FILE): text}, Question(width, 16, next_n=next_n), REDUCING)
    with Compiler() as compiler:
        found = {one.kernel: certify.measured(one, Question(width, 16, next_n=next_n), compiler) for one in asked}
    columns = {kernel: one.columns for kernel, one in found.items()}
    assert columns == {Portable.STAGE1: -width % 256, Portable.STAGE1_RAGGED: -width % 64}
    for kernel, one in found.items():
        held = HeldKernel(kernel.function, "stage1", Presence.PRESENT, hashlib.sha256(text).hexdigest(), 8)
        assert bound(Question(width, 16, next_n=next_n), held)[0] == one.columns
