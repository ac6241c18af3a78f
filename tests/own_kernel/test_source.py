"""This package's own analysis of the kernel's stores, and what its callers may count on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aiterfix.family.kernels import KernelGroup
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import TextDiagnosis, diagnose
from aiterfix.faults.registry import load_faults
from aiterfix.source.guards import Guard
from aiterfix.source.roles import KernelRoles

KERNEL = Path(__file__).parents[2] / "kernels" / "paged_mqa_logits.py"
ROLES = KernelRoles("_paged_mqa_logits", "logits_ptr", ("stride_logits_row",), "max_model_len", "own")
GROUP = KernelGroup("own", (ROLES,), (), ())
FAULTS = tuple(replace(f, groups=(GROUP,)) for f in load_faults().judged)


def guards(diagnosis: TextDiagnosis) -> list[Guard]:
    assert diagnosis.analysis is not None
    return [site.guard for kernel in diagnosis.analysis.kernels for site in kernel.sites]


def test_every_store_is_bounded_by_both_ends_and_no_judged_fault_is_in_it() -> None:
    found = diagnose(KERNEL.read_bytes(), FAULTS)
    assert not found.problems
    (unit,) = found.units
    assert {d.fault: d.presence for d in unit.diagnoses} == dict.fromkeys((f.id for f in FAULTS), Presence.ABSENT)
    assert len(FAULTS) > 1
    assert unit.stores == KERNEL.read_text(encoding="utf-8").count("tl.store(") == 2
    assert guards(found) == [Guard.BOTH] * 2
    assert found.analysis is not None and not found.analysis.all_problems


def test_the_analysis_misses_a_bound_that_is_taken_out() -> None:
    text = KERNEL.read_text(encoding="utf-8").replace("& (column < max_model_len)[:, None]", "")
    found = diagnose(text.encode(), FAULTS)
    assert found.presence(("column-bound",)) is Presence.PRESENT
    assert set(guards(found)) == {Guard.LOWER}
