"""The wrapper of these kernels as its callers see it: entries, and what they are handed."""

from __future__ import annotations

ENTRIES = (
    "deepgemm_fp8_paged_mqa_logits",
    "deepgemm_fp8_paged_mqa_logits_ragged_k",
    "deepgemm_fp8_paged_mqa_logits_stage1",
    "deepgemm_fp8_paged_mqa_logits_stage1_ragged_k",
    "deepgemm_fp8_paged_mqa_logits_schedule",
)
"""Public functions of the wrapper modules, in the releases that have them."""

OUTPUTS = ("out_logits", "out_qk")
"""Parameters of the entries that take the logits."""

HELPERS = frozenset({"_deepgemm_fp8_paged_mqa_logits_varctx_schedule"})
"""Kernels that the wrapper launches beside those of the family. They are never handed the logits."""
