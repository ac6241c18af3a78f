"""The GPU path on torch's CPU, with a model for a kernel: what it must find, and what its report must say."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.validation.gpu.contained import faulted
from aiterfix.validation.gpu.executor import LOADS_NOT_SEEN, NEVER_RUN, _notes
from aiterfix.validation.gpu.messages import Ready
from aiterfix.validation.report import Hardware, Report, head, row, tail
from aiterfix.validation.scenarios import far_blocks
from tests.validation.conftest import hold_to_schema
from tests.validation.gpu.running import choose, validate_gpu

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("ready")


def run(subject: Any, kernel: Portable | Kernel = Portable.OWN, **changes: Any) -> Report:
    configs = [KernelConfig()]
    return validate_gpu(subject, [kernel], device="cpu", **{"configs": configs, **changes})


def test_a_right_kernel_passes_and_the_report_says_what_ran_where(subjects: ModuleType) -> None:
    report = run(subjects.Model())
    assert report.passed and len(report.scenarios) == 18
    ran = hold_to_schema(report)["executed_by"]
    assert ran["subject"] == "a model" and ran["hardware"]["kind"] == "cpu" and ran["hardware"]["torch"]
    assert any("says nothing of gfx950" in note for note in report.notes) and LOADS_NOT_SEEN in report.notes
    assert any(line.startswith("ran on ") and "torch" in line for line in head(report, ()))


def test_overshoot_is_measured_in_the_gaps_and_its_damage_where_there_are_none(subjects: ModuleType) -> None:
    report = run(subjects.Model(round_to=256), scenario="own/h64-b64/full/*")
    found = {(s.name.split("-")[2], "gap0" in s.name, "auto" in s.name): s for s in report.scenarios}
    for width, batch, columns in (("len1000", 2, 24), ("len300", 3, 212), ("len1024", 2, 0), ("len2048", 1, 0)):
        rows = 2 * batch
        apart, together = found[width, False, True], found[width, True, True]
        assert (apart.overshoot_columns, apart.elements_in_gaps, apart.wrong_logits) == (columns, rows * columns, 0)
        # The model has one output for all heads: nothing overshoots into the first row.
        assert (together.overshoot_columns, together.elements_past_last_row) == (columns, columns)
        assert together.wrong_logits == (rows - 1) * columns
        assert apart.passed == together.passed == (columns == 0)
    hold_to_schema(report)


def test_by_head_the_last_row_of_a_head_overshoots_into_the_next_head(subjects: ModuleType) -> None:
    report = run(subjects.Model(round_to=256), Portable.STAGE1, scenario="stage1/h64-b64/full/*auto")
    wrong = {s.name.split("-", 2)[2]: (s.wrong_logits, s.overshoot_columns) for s in report.scenarios}
    assert wrong["len1000-gap0-splitauto"] == (96, 24) and wrong["len300-gap0-splitauto"] == (1272, 212)
    assert wrong["len1000-gap385-splitauto"] == (0, 24) and wrong["len1024-gap0-splitauto"] == (0, 0)


@pytest.mark.parametrize(
    ("faults", "allocation"), [({"pollute": "weights"}, "weights"), ({"behind": "kv_indices"}, "kv_indices")]
)
def test_stores_into_or_behind_inputs_fail(subjects: ModuleType, faults: dict[str, str], allocation: str) -> None:
    report = run(subjects.Model(**faults), scenario="own/h64-b64/empty/n2-*")
    (result,) = report.scenarios
    assert not result.passed and [a.allocation for a in result.outside] == [allocation]
    hold_to_schema(report)


@pytest.mark.parametrize(
    ("kind", "arch", "expected"), [("rocm", "gfx950", NEVER_RUN), ("rocm", "gfx1100", "nothing of gfx950")]
)
def test_a_rocm_report_says_what_was_never_tried(kind: str, arch: str, expected: str) -> None:
    ready = Ready(Hardware(kind, "GPU", arch, "2.9", "3.6", "ROCm 7", ""))
    assert any(expected in note for note in _notes(ready, 1))


def test_a_race_is_judged_by_its_worst_launch() -> None:
    import torch

    from aiterfix.family.reference_torch import reference_torch
    from aiterfix.validation.gpu.runner import LAUNCHES, Runner
    from aiterfix.validation.scenarios import inputs_of

    item = choose((Portable.OWN,), [KernelConfig()], "quick", "own/h64-b64/full/n2-len300-gap0-splitauto")[0]
    logits = torch.from_numpy(reference_torch(inputs_of(item)).logits)
    launches = []

    def launch(buffers: Any) -> None:
        buffers.output[:] = logits
        launches.append(0)
        buffers.output[1, : len(launches) % 4] = 0.0

    result = Runner(launch, Hardware("cpu", "", "", "", "", "", ""), "cpu", torch).run(item)
    assert (result.passed, result.wrong_logits, len(launches)) == (False, 3, LAUNCHES)
    assert [f.name for f in result.findings if f.count == 3] == ["wrong-logits-vary"]
    launches.clear()

    def right(buffers: Any) -> None:
        buffers.output[:] = logits
        launches.append(0)

    clean = Runner(right, Hardware("cpu", "", "", "", "", "", ""), "cpu", torch)
    assert clean.run(item).passed and len(launches) == 2


def test_what_ends_a_launch_is_told_with_the_fault_that_explains_it_and_replayed_on_the_gpu(
    subjects: ModuleType,
) -> None:
    gpu = Hardware("cuda", "NVIDIA H100", "sm_90", "2.11", "3.6", "CUDA 13.0", "")
    died = faulted(far_blocks(Portable.REDUCING, KernelConfig(kv_block_size=1)), "the process was killed", 1.0)
    died = replace(died, known_faults=("cache-offset-32",))
    report = Report((), gpu.name, "3.6", "scenario", scenarios=(died,), hardware=gpu)
    assert row(report, died, ()).endswith("FAILED  the process was killed  known fault: cache-offset-32")
    (replay,) = [line for line in tail(report, ("--device", "gpu")) if line.startswith("replay")]
    assert replay.endswith(f"--device gpu --kernel stage1 --scenario {died.name}")
