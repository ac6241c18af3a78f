"""The reference in torch, for where the kernel runs on a GPU and its inputs already stand there."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiterfix.errors import EnvironmentProblem
from aiterfix.validation.fp8 import e4m3fn_values
from aiterfix.validation.problem import Problem
from aiterfix.validation.reference import Expected, rounding_factors


def reference_torch(problem: Problem, device: str = "cpu") -> Expected:
    """The same as :func:`aiterfix.validation.reference.reference`, computed by torch on ``device``.

    Raises:
        EnvironmentProblem: torch is not installed.
    """
    try:
        import torch
    except ImportError as missing:
        raise EnvironmentProblem(
            "torch is not installed: the reference cannot run on a GPU",
            why=str(missing),
            remedy="install the torch that belongs to this machine's GPU, or use the emulator",
        ) from missing

    def moved(array: np.ndarray[Any, Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    batch, next_n, heads, hidden = problem.q.shape
    size, width = problem.kv_block_size, problem.max_model_len
    values = moved(e4m3fn_values().copy())
    keys = values[moved(problem.keys).long()].reshape(-1, hidden)
    scales = moved(problem.scales).reshape(-1)
    queries = values[moved(problem.q).long()]
    weights = moved(problem.weights).reshape(batch, next_n, heads)
    table = moved(problem.block_table).long()
    logits = torch.full((problem.rows, width), -torch.inf, device=device)
    bound = torch.zeros((problem.rows, width), device=device)
    visible = problem.visible_counts()
    of_scores, of_dots = rounding_factors(problem)
    for sequence, length in enumerate(problem.context_lengths.tolist()):
        if length == 0:
            continue
        seen = torch.arange(length, device=device)
        token = table[sequence, seen // size] * size + seen % size
        key, scale = keys[token], scales[token]
        query = queries[sequence].reshape(next_n * heads, hidden)
        dots = torch.relu(query @ key.T).reshape(next_n, heads, length)
        weight = weights[sequence].unsqueeze(1)
        value = (weight @ dots)[:, 0, :] * scale
        error = (weight.abs() @ dots)[:, 0, :] * scale.abs() * of_scores
        if of_dots:
            sizes = (query.abs() @ key.abs().T).reshape(next_n, heads, length)
            error += (weight.abs() @ sizes)[:, 0, :] * scale.abs() * of_dots
        for position in range(next_n):
            row = sequence * next_n + position
            count = int(visible[row])
            logits[row, :count] = value[position, :count]
            bound[row, :count] = error[position, :count]
    return Expected(logits.cpu().numpy(), bound.cpu().numpy(), visible, problem.row_contexts())
