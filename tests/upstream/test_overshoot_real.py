"""Overshoot of the real kernels: brute force, random launches in full, wide rows, and known figures. Figures only."""

from __future__ import annotations

import random
from functools import cache

import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.signature import Kernel, KernelConfig
from tests.emulator import needs_emulator
from tests.overshoot.emulation import random_config, row_ends_agree
from tests.upstream.conftest import Clone

pytest.importorskip("triton")
pytestmark = needs_emulator
FILE = "aiter/ops/triton/gluon/pa_mqa_logits.py"
RELEASES = ("v0.1.12.post2", "v0.1.20.post1")
CASES = [(r, k) for r in RELEASES for k in Kernel if (r, k) != ("v0.1.12.post2", Kernel.BASE)]

from aiterfix.family.signature import make_request  # noqa: E402
from aiterfix.gfx950.cache import CompiledKernel  # noqa: E402 - after importorskip
from aiterfix.gfx950.compile import Compiler  # noqa: E402
from aiterfix.overshoot.measure import IntegerPart  # noqa: E402
from aiterfix.overshoot.programs import every_split, whole_launch  # noqa: E402


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
        whole_launch(kernel, 256, length, width, next_n, splits)
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
    assert (found.columns, found.lengths) == (-width % 64, width)
