"""Where this project's own kernel is: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path


def own_kernel_file() -> Path:
    """``kernels/paged_mqa_logits.py``: plain Triton, needs torch and triton and nothing of this package."""
    packaged = Path(__file__).parent / "_data" / "kernels" / "paged_mqa_logits.py"
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "kernels" / "paged_mqa_logits.py"
