from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from aiterfix.family.fp8 import e4m3fn_values
from aiterfix.family.inputs import LaunchInputs, make_inputs, pack_cache
from aiterfix.family.reference import reference, rounding_factors
from aiterfix.family.reference_torch import reference_torch


def inputs(**changes: Any) -> LaunchInputs:
    stated: dict[str, Any] = {
        "context_lengths": (37, 0, 1, 40, 2),
        "next_n": 3,
        "heads": 16,
        "hidden": 32,
        "kv_block_size": 16,
        "max_model_len": 40,
        "row_stride": 45,
        "seed": 7,
        **changes,
    }
    return make_inputs(**stated)


def test_every_e4m3fn_pattern_has_its_value() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(e4m3fn_values(), theirs)


@pytest.mark.parametrize(("size", "wide"), [(1, False), (16, False), (16, True)])
def test_reference_is_the_formula_in_plain_python(size: int, wide: bool) -> None:
    given = inputs(kv_block_size=size, heads=4, hidden=16, wide=wide)
    assert (rounding_factors(given)[1] == 0) is not wide
    values = e4m3fn_values().astype(float)
    got = reference(given)
    for row in range(given.rows):
        sequence, position = divmod(row, given.next_n)
        length = int(given.context_lengths[sequence])
        for column in range(given.max_model_len):
            if column > length - given.next_n + position or column >= length:
                assert got.logits[row, column] == -math.inf
                assert got.bound[row, column] == 0
                continue
            block, slot = given.block_table[sequence, column // size], column % size
            exact = 0.0
            for head in range(given.q.shape[2]):
                dot = math.fsum(
                    values[a] * values[b]
                    for a, b in zip(given.q[sequence, position, head], given.keys[block, slot], strict=True)
                )
                exact += max(dot, 0.0) * float(given.weights[row, head]) * float(given.scales[block, slot])
            assert abs(got.logits[row, column] - exact) <= got.bound[row, column]
            assert wide or got.bound[row, column] < 1e-3


@pytest.mark.parametrize("wide", [False, True])
def test_torch_and_numpy_agree(wide: bool) -> None:
    pytest.importorskip("torch")
    given = inputs(wide=wide)
    ours, theirs = reference(given), reference_torch(given)
    np.testing.assert_array_equal(np.isneginf(ours.logits), np.isneginf(theirs.logits))
    seen = ~np.isneginf(ours.logits)
    assert (np.abs(ours.logits[seen] - theirs.logits[seen]) <= ours.bound[seen]).all()
    np.testing.assert_allclose(ours.bound, theirs.bound, rtol=1e-5)
    np.testing.assert_array_equal(ours.visible_counts, theirs.visible_counts)


def test_the_bound_is_far_below_what_one_wrong_key_does() -> None:
    given = inputs(context_lengths=(40,), heads=64, hidden=128)
    expected = reference(given)
    moved = given.keys.copy()
    moved[1:-1] = np.roll(moved[1:-1], 1, axis=1)
    other = reference(LaunchInputs(**{**given.__dict__, "keys": moved}))
    seen = expected.bound > 0
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected.logits - other.logits)[seen]
    assert (difference > 100 * expected.bound[seen]).mean() > 0.95


def test_what_a_kernel_must_not_use_is_poisoned() -> None:
    given = inputs()
    used = {(int(given.block_table[s, c // 16]), c % 16) for s, n in enumerate(given.context_lengths) for c in range(n)}
    unused = [(b, t) for b in range(len(given.keys)) for t in range(16) if (b, t) not in used]
    assert (0, 0) in unused and (len(given.keys) - 1, 15) in unused
    assert all(np.isnan(given.scales[b, t]) and np.isnan(e4m3fn_values()[given.keys[b, t]]).all() for b, t in unused)
    assert all(np.isfinite(given.scales[b, t]) for b, t in used)
    blocks_used = [-(-int(n) // 16) for n in given.context_lengths]
    for sequence, count in enumerate(blocks_used):
        assert (given.block_table[sequence, count:] >= len(given.keys)).all()
        assert (given.block_table[sequence, :count] < len(given.keys)).all()
    real = np.concatenate([given.block_table[s, :c] for s, c in enumerate(blocks_used)])
    assert len(set(real.tolist())) == len(real)


def test_long_sets_share_whole_blocks_and_keep_their_tails_apart() -> None:
    lengths = tuple(range(1, 700))
    given = inputs(context_lengths=lengths, max_model_len=700, next_n=1, heads=16)
    assert given.keys[..., 0].size < sum(lengths) / 4
    tails = [int(given.block_table[s, n // 16]) for s, n in enumerate(lengths) if n % 16]
    assert len(set(tails)) == len(tails)
    wholes = {int(b) for s, n in enumerate(lengths) for b in given.block_table[s, : n // 16]}
    assert not wholes & set(tails)


def test_the_same_seed_gives_the_same_inputs() -> None:
    one, two, other = inputs(), inputs(), inputs(seed=8)
    np.testing.assert_array_equal(one.keys, two.keys)
    assert (one.keys != other.keys).any()


def test_wide_inputs_hold_the_extremes() -> None:
    given = inputs(wide=True, context_lengths=(40,) * 8)
    finite = e4m3fn_values()[given.q]
    assert np.isfinite(finite).all()
    assert finite.max() == 448 and finite.min() == -448
    assert (np.abs(finite[finite != 0]) < 2**-6).any()


def test_cache_layout_plain_and_tiled() -> None:
    given = inputs(context_lengths=(40,), hidden=32)
    keys, scales = given.keys, given.scales
    plain = pack_cache(keys, scales, preshuffle=False, row_bytes=16 * 36)
    tiled = pack_cache(keys, scales, preshuffle=True, row_bytes=16 * 36 + 64)
    for block, token, element in ((1, 0, 0), (2, 5, 17), (1, 15, 31), (3, 9, 16)):
        assert plain[block, token * 32 + element] == keys[block, token, element]
        at = element % 16 + element // 16 * 256 + token % 16 * 16 + token // 16 * 16 * 32
        assert tiled[block, at] == keys[block, token, element]
        assert tiled[block, 16 * 32 :].view(np.float32)[token].view(np.uint32) == scales[block, token].view(np.uint32)
    assert (tiled[:, 16 * 36 :] == 0xFF).all()
    with pytest.raises(ValueError, match="cannot hold"):
        pack_cache(keys, scales, preshuffle=True, row_bytes=16 * 36 - 4)
