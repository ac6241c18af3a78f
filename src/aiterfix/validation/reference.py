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

import numpy as np
import numpy.typing as npt

from aiterfix.validation.fp8 import NAN, decode_e4m3fn
from aiterfix.validation.problem import Problem

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


def rounding_factors(problem: Problem) -> tuple[float, float]:
    """Factors of the bound: of the sum of scaled head scores, and of the same sum with ``sum|q||k|`` for dot products.

    The second is 0 where dot products are exact: all partial sums are multiples of one unit and below 2**24 of it.
    """
    heads, hidden = problem.q.shape[2:]
    largest_q, unit_q = _span(problem.q)
    largest_k, unit_k = _span(problem.keys)
    exact = hidden * largest_q * largest_k <= 2.0**24 * unit_q * unit_k
    return (heads + 4) * UNIT_ROUNDOFF, 0.0 if exact else hidden * UNIT_ROUNDOFF


def _span(bits: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Largest magnitude among finite values, and the unit that all of them are multiples of."""
    present = np.unique(bits & 0x7F)
    present = present[present != NAN]
    exponents = np.maximum(present.astype(int) >> 3, 1)
    return float(decode_e4m3fn(present).max(initial=0.0)), float(2.0 ** (int(exponents.min(initial=15)) - 10))


def reference(problem: Problem) -> Expected:
    """The expected output, in NumPy, one sequence at a time."""
    batch, next_n, heads, hidden = problem.q.shape
    size = problem.kv_block_size
    keys = decode_e4m3fn(problem.keys).reshape(-1, hidden)
    scales = problem.scales.reshape(-1)
    queries = decode_e4m3fn(problem.q)
    weights = problem.weights.reshape(batch, next_n, heads)
    logits = np.full((problem.rows, problem.max_model_len), -np.inf, np.float32)
    bound = np.zeros((problem.rows, problem.max_model_len), np.float32)
    visible = problem.visible_counts()
    of_scores, of_dots = rounding_factors(problem)
    columns = np.arange(problem.max_model_len)
    for sequence, length in enumerate(problem.context_lengths.tolist()):
        if length == 0:
            continue
        seen = columns[:length]
        token = problem.block_table[sequence, seen // size].astype(np.int64) * size + seen % size
        key, scale = keys[token], scales[token]
        query = queries[sequence].reshape(next_n * heads, hidden)
        dots = np.maximum(query @ key.T, 0.0).reshape(next_n, heads, length)
        weight = weights[sequence][:, None, :]
        value = (weight @ dots)[:, 0, :] * scale
        error = (np.abs(weight) @ dots)[:, 0, :] * np.abs(scale) * np.float32(of_scores)
        if of_dots:
            sizes = (np.abs(query) @ np.abs(key).T).reshape(next_n, heads, length)
            error += (np.abs(weight) @ sizes)[:, 0, :] * np.abs(scale) * np.float32(of_dots)
        for position in range(next_n):
            row = sequence * next_n + position
            count = int(visible[row])
            logits[row, :count] = value[position, :count]
            bound[row, :count] = error[position, :count]
    return Expected(logits, bound, visible, problem.row_contexts())
