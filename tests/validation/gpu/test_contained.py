"""A child that dies or hangs fails the scenario that it was at, and nothing else."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.family.portable import Portable
from aiterfix.family.signature import KernelConfig
from aiterfix.validation.gpu.contained import Contained
from aiterfix.validation.gpu.subjects import OwnFunction
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import row
from tests.validation.gpu.running import choose, validate_gpu

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("ready")
PYTHON = sys.executable


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("abort", "was killed by SIGABRT: Memory access fault by GPU node-1"),
        ("leave", "ended with exit status 7"),
        ("hang", "did not finish within 6 s"),
    ],
)
def test_a_child_that_is_lost_fails_its_scenario_and_the_others_run_in_a_fresh_one(
    subjects: ModuleType, fault: str, words: str
) -> None:
    report = validate_gpu(
        subjects.Model(faults={"/empty/n2-": fault}),
        [Portable.OWN],
        configs=[KernelConfig()],
        scenario="own/h64-b64/*/n2-len[3-6]?0-*",
        device="cpu",
        limit=6.0,
    )
    lost = [s for s in report.scenarios if s.fault]
    assert [s.name.split("/")[2] for s in lost] == ["empty"] and words in lost[0].fault
    others = [s for s in report.scenarios if not s.fault]
    assert len(others) >= 4 and all(s.passed for s in others)
    assert report.scenarios[-1].passed
    assert not report.passed and report.failures == tuple(lost)
    assert any("1 child process(es) were lost" in note for note in report.notes)
    assert any(words in row(report, result, ()) for result in report.failures)


def test_an_exception_of_the_launch_is_this_scenario_s_and_the_child_goes_on(subjects: ModuleType) -> None:
    with Contained(subjects.Model(faults={"/empty/": "raise_"}), "cpu") as child:
        empty = choose((Portable.OWN,), [KernelConfig()], "quick", "*/empty/*")[0]
        outcome = child.run(empty)
        assert outcome.fault == "RuntimeError: HIP error: an illegal memory access was encountered"
        assert child.children == 1


def test_what_cannot_be_loaded_is_an_environment_problem_with_its_reason(subjects: ModuleType) -> None:
    with pytest.raises(EnvironmentProblem, match="libamdhip64"), Contained(subjects.Unloadable(), "cpu") as child:
        child.ready()


def test_no_gpu_and_no_interpreter_are_environment_problems(has_cuda: bool, subjects: ModuleType) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot run"), Contained(None, "cpu", python="/nonexistent") as child:
        child.ready()
    if not has_cuda:
        with pytest.raises(EnvironmentProblem, match="sees no GPU"), Contained(None, "cuda") as child:
            child.ready()


def test_a_child_that_never_starts_serving_is_named() -> None:
    with (
        pytest.raises(EnvironmentProblem, match="ended with exit status 1"),
        Contained(None, "cpu", python="/bin/false") as child,
    ):
        child.ready()


def test_what_a_subject_does_not_understand_is_not_run(subjects: ModuleType) -> None:
    from aiterfix.validation.gpu.plain import PlainKernels

    with pytest.raises(NotUnderstoodError, match="no plain-Triton kernel"):
        validate_gpu(
            PlainKernels(KernelFile(b"x = 1\n", "empty.py")),
            [Portable.STAGE1],
            scenario="stage1/h64-b64/empty/*",
            device="cpu",
        )


def test_python_named_is_the_python_used(subjects: ModuleType) -> None:
    with Contained(OwnFunction(subjects.kernel_file()), "cpu", python=PYTHON) as child:
        ready = child.ready()
    assert ready.source.path == str(subjects.kernel_file()) and ready.hardware.kind == "cpu"
