"""The reference in torch, for where the kernel runs on a GPU and its inputs already stand there."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiterfix.errors import EnvironmentProblem
from aiterfix.family.fp8 import e4m3fn_values
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.reference import Expected, fill, rounding_factors


def reference_torch(inputs: LaunchInputs, device: str = "cpu", *, dot_roundoff: float = 0.0) -> Expected:
    """The same as :func:`aiterfix.family.reference.reference`, computed by torch on ``device``.

    Args:
        dot_roundoff: what the device's fp8 matrix product rounds beyond float32, as a factor of ``sum|q||k|``.

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

    values = moved(e4m3fn_values().copy())
    shape = (inputs.rows, inputs.max_model_len)
    logits, bound = torch.full(shape, -torch.inf, device=device), torch.zeros(shape, device=device)
    queries, keys = (values[moved(bits).long()] for bits in (inputs.q, inputs.keys))
    of_scores, of_dots = rounding_factors(inputs)
    given = (queries, keys, moved(inputs.scales), moved(inputs.weights))
    fill(logits, bound, inputs, given, (of_scores, of_dots + dot_roundoff))
    return Expected(logits.cpu().numpy(), bound.cpu().numpy(), inputs.visible_counts(), inputs.row_contexts())
