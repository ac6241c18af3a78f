"""Safe lengths, against a search over every length."""

from __future__ import annotations

import pytest

from aiterfix.advice.lengths import safe_lengths


@pytest.mark.parametrize("unit", [1, 16, 64, 256])
@pytest.mark.parametrize("padding", [0, 16, 63])
@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("wanted", [1, 40, 64, 65, 1000, 10001])
def test_nearest_is_nearest(unit: int, padding: int, scale: int, wanted: int) -> None:
    def columns_at(width: int) -> int:
        return -width % unit

    found = safe_lengths(columns_at, wanted, 256, padding, scale)
    assert found is not None
    safe = [n for n in range(scale, 12000, scale) if columns_at(n // scale) <= padding]
    assert found.below == max((n for n in safe if n <= wanted), default=None)
    assert found.above == min(n for n in safe if n >= wanted)
    assert all(columns_at(n // scale) <= padding for n in range(found.step, 12000, found.step))
    assert str(found.above) in found.text
    assert str(found.step) in found.text


def test_no_length_is_safe() -> None:
    assert safe_lengths(lambda _: 255, 1000, 256) is None
    assert safe_lengths(lambda _: 255, 1000, 256, padding=256) is not None


def test_without_a_wanted_length_the_step_is_all() -> None:
    found = safe_lengths(lambda width: -width % 64, None, 256)
    assert found is not None
    assert (found.step, found.below, found.above) == (64, None, None)
