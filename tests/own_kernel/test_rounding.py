"""The error that the check allows on a GPU: enough for its fp8 matrix units, too little for a wrong product."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from tests.own_kernel.paged_mqa_logits_check import fp8_unit_error  # noqa: E402 - torch first

SIZES = (32, 64, 128, 256)


def values(rows: int, size: int, seed: int, power: int = 1) -> Any:
    """Normal numbers as fp8; with a higher power, over more binades."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn((rows, size), generator=generator) ** power
    return normal.to(torch.float8_e4m3fn).double()


def cut(terms: Any, exponent: Any) -> Any:
    """What is left of numbers 13 bits below an exponent."""
    unit = torch.exp2(exponent - 13)
    return torch.trunc(terms / unit) * unit


def exponents(numbers: Any) -> Any:
    return torch.floor(torch.log2(numbers.abs().clamp_min(2.0**-40)))


def multiplied(query: Any, key: Any) -> Any:
    """``key @ query.T`` as the matrix units of Hopper are said to do it."""
    total = torch.zeros(len(key), len(query), dtype=torch.float64)
    for begin in range(0, query.shape[1], 32):
        products = key[:, None, begin : begin + 32] * query[None, :, begin : begin + 32]
        terms = torch.cat([products, total[:, :, None]], dim=2)
        added = cut(terms, exponents(terms).amax(2, keepdim=True)).sum(2)
        total = cut(added, exponents(added))
    return total


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("power", [1, 3])
def test_the_bound_holds_what_the_matrix_units_lose(size: int, power: int) -> None:
    query, key = values(16, size, size, power), values(1000, size, size + 1, power)
    error = (multiplied(query, key) - key @ query.T).abs()
    bound = fp8_unit_error(query, key)
    assert bound.shape == error.shape
    assert (error <= bound).all()
    assert (error / bound).max() > 0.1  # nor is it far more than that


@pytest.mark.parametrize("size", SIZES)
def test_against_a_score_s_own_size_no_fixed_bound_holds(size: int) -> None:
    """A score that nearly cancels is off by more than 2e-3 of itself, and nothing is wrong with it; all of them
    together are not."""
    query, key = values(1, size, 3), values(2000, size, 4)
    exact = key @ query.T
    error = (multiplied(query, key) - exact).abs()
    assert (error[exact > 0] / exact[exact > 0]).max() > 2e-3
    assert error.norm() / exact.norm() < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_a_product_that_is_left_out_is_seen(size: int) -> None:
    query, key = values(4, size, 5), values(500, size, 6)
    less = key.clone()
    less[:, -1] = 0.0
    error = (multiplied(query, less) - key @ query.T).abs()
    assert (error > fp8_unit_error(query, key)).double().mean() > 0.6


def test_no_keys_have_no_error() -> None:
    assert fp8_unit_error(values(3, 32, 1), values(1, 32, 2)[:0]).shape == (0, 3)
