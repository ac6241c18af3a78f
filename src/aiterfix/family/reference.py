"""What the kernels must write, in float32, with an error bound for each logit.

``logits[row, col] = sum_h(relu(q[row, h] . k[col]) * k_scale[col] * weight[row, h])`` for the columns that the row may
see; ``-inf`` for later columns below the context length; columns from there on are not part of the result.

The bound is the textbook one for float32 sums in any order: ``n * u * sum|terms|`` with ``n`` the roundings on a term's
path. It makes "right" independent of the order that a kernel adds in. Where inputs are such that every dot product is
exact in float32 (all but the ``wide`` ones: fp8 values of few binades), dot products add nothing to it, and it lies
far below what one wrong key does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aiterfix.family.fp8 import NAN, decode_e4m3fn
from aiterfix.family.inputs import LaunchInputs

UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class Expected:
    """The result by the reference; arrays of shape (rows, max_model_len).

    Attributes:
        logits: float32; ``-inf`` in columns that the row may not see.
        bound: float32; largest error that float32 rounding explains, 0 in columns that the row may not see.
        visible_counts: int64, (rows,): columns from 0 on that hold logits.
        contexts: int64, (rows,): columns from here on are not part of the result.
    """

    logits: npt.NDArray[np.float32]
    bound: npt.NDArray[np.float32]
    visible_counts: npt.NDArray[np.int64]
    contexts: npt.NDArray[np.int64]


def rounding_factors(inputs: LaunchInputs) -> tuple[float, float]:
    """Factors of the bound: of the sum of scaled head scores, and of the same sum with ``sum|q||k|`` for dot products.

    The second is 0 where dot products are exact: all partial sums are multiples of one unit and below 2**24 of it.
    """
    heads, hidden = inputs.q.shape[2:]
    largest_q, unit_q = _span(inputs.q)
    largest_k, unit_k = _span(inputs.keys)
    exact = hidden * largest_q * largest_k <= 2.0**24 * unit_q * unit_k
    return (heads + 4) * UNIT_ROUNDOFF, 0.0 if exact else hidden * UNIT_ROUNDOFF


def _span(bits: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Largest magnitude among finite values, and the unit that all of them are multiples of."""
    present = np.unique(np.flatnonzero(np.bincount(bits.reshape(-1), minlength=256)) & 0x7F).astype(np.uint8)
    present = present[present != NAN]
    exponents = np.maximum(present.astype(int) >> 3, 1)
    return float(decode_e4m3fn(present).max(initial=0.0)), float(2.0 ** (int(exponents.min(initial=15)) - 10))


def reference(inputs: LaunchInputs) -> Expected:
    """The expected output, in NumPy."""
    shape = (inputs.rows, inputs.max_model_len)
    logits, bound = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.float32)
    given = (decode_e4m3fn(inputs.q), decode_e4m3fn(inputs.keys), inputs.scales, inputs.weights)
    fill(logits, bound, inputs, given, rounding_factors(inputs))
    return Expected(logits, bound, inputs.visible_counts(), inputs.row_contexts())


def fill(
    logits: Any, bound: Any, inputs: LaunchInputs, given: tuple[Any, Any, Any, Any], factors: tuple[float, float]
) -> None:
    """Compute what each row may see, one sequence at a time, with arrays of NumPy or tensors of torch.

    Args:
        logits, bound: (rows, max_model_len), filled in place.
        inputs: lengths and block table.
        given: its queries, keys, scales and weights as float32.
        factors: as :func:`rounding_factors` gives them.
    """
    queries, keys, scales, weights = given
    (next_n, heads, hidden), size = inputs.q.shape[1:], inputs.kv_block_size
    keys, scales, weights = keys.reshape(-1, hidden), scales.reshape(-1), weights.reshape(-1, next_n, 1, heads)
    visible = inputs.visible_counts().reshape(-1, next_n)
    of_scores, of_dots = factors
    for sequence, length in enumerate(inputs.context_lengths.tolist()):
        if length == 0:
            continue
        seen = np.arange(length)
        token = inputs.block_table[sequence, seen // size].astype(np.int64) * size + seen % size
        key, scale, weight = keys[token], scales[token], weights[sequence]
        query = queries[sequence].reshape(next_n * heads, hidden)
        dots = (query @ key.T).clip(0.0).reshape(next_n, heads, length)
        value = (weight @ dots)[:, 0, :] * scale
        error = (abs(weight) @ dots)[:, 0, :] * abs(scale) * of_scores
        if of_dots:
            sizes = (abs(query) @ abs(key).T).reshape(next_n, heads, length)
            error += (abs(weight) @ sizes)[:, 0, :] * abs(scale) * of_dots
        for position, count in enumerate(visible[sequence].tolist()):
            logits[sequence * next_n + position, :count] = value[position, :count]
            bound[sequence * next_n + position, :count] = error[position, :count]
