"""What the kernels must write, in float32, with an error bound for each logit.

``logits[row, col] = sum_h(relu(q[row, h] . k[col]) * k_scale[col] * weight[row, h])`` for the columns that the row may
see; ``-inf`` for later columns below the context length; columns from there on are not part of the result.

The bound is the textbook one for float32 sums in any order: ``n * u * sum|terms|`` with ``n`` the number of additions
and multiplications on a logit's path. It is what makes "right" independent of the order a kernel adds in, and still
two orders of magnitude below what one wrong key does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiterfix.validation.fp8 import decode_e4m3fn
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


def roundings(heads: int, hidden: int) -> int:
    """Roundings on the path of one logit: products are exact, then sums over elements and heads, and two scalings."""
    return hidden + heads + 4


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
    factor = np.float32(roundings(heads, hidden) * UNIT_ROUNDOFF)
    columns = np.arange(problem.max_model_len)
    for sequence, length in enumerate(problem.context_lengths.tolist()):
        if length == 0:
            continue
        seen = columns[:length]
        token = problem.block_table[sequence, seen // size].astype(np.int64) * size + seen % size
        key, scale = keys[token], scales[token]
        query = queries[sequence].reshape(next_n * heads, hidden)
        dots = np.maximum(query @ key.T, 0.0).reshape(next_n, heads, length)
        sizes = (np.abs(query) @ np.abs(key).T).reshape(next_n, heads, length)
        weight = weights[sequence]
        value = np.einsum("nhc,nh->nc", dots, weight, optimize=True) * scale
        largest = np.einsum("nhc,nh->nc", sizes, np.abs(weight), optimize=True) * np.abs(scale)
        for position in range(next_n):
            row = sequence * next_n + position
            count = int(visible[row])
            logits[row, :count] = value[position, :count]
            bound[row, :count] = largest[position, :count] * factor
    return Expected(logits, bound, visible, problem.row_contexts())
