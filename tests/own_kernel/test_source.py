"""This package's own analysis of the kernel's stores, and what its callers may count on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aiterfix.fixes import KernelSpec
from aiterfix.source.sites import analyse
from aiterfix.verdict import Guard, Verdict
from tests.kernels import FIX

KERNEL = Path(__file__).parents[2] / "kernels" / "paged_mqa_logits.py"
DECLARED = replace(
    FIX, kernels=(KernelSpec("_paged_mqa_logits", "logits_ptr", ("stride_logits_row",), "max_model_len"),)
)


def test_every_store_is_bounded_by_both_ends() -> None:
    analysis = analyse(KERNEL.read_bytes(), [DECLARED])
    assert analysis.verdict is Verdict.GUARDED
    assert len(analysis.sites) == KERNEL.read_text(encoding="utf-8").count("tl.store(") == 2
    assert {site.guard for site in analysis.sites} == {Guard.BOTH}
    assert not any(site.findings or site.obstacle for site in analysis.sites)


def test_the_analysis_misses_a_bound_that_is_taken_out() -> None:
    text = KERNEL.read_text(encoding="utf-8").replace("& (column < max_model_len)[:, None]", "")
    analysis = analyse(text.encode(), [DECLARED])
    assert analysis.verdict is Verdict.VULNERABLE
    assert {site.guard for site in analysis.sites} == {Guard.LOWER}
