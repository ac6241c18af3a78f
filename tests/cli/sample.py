"""Files of the sample, and what a report says of them."""

from __future__ import annotations

from typing import Any

GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"
STAGE1 = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
WRAPPER = "aiter/ops/triton/attention/pa_mqa_logits.py"


def findings(data: Any, relative: str, fault: str = "column-bound") -> list[Any]:
    """Of one fault in one file of the only installation, in source order."""
    (installation,) = data["installations"]
    (file,) = [f for f in installation["files"] if f["path"].endswith(f"/{relative}")]
    return [f for u in file["units"] for f in u["findings"] if f["fault"] == fault]
