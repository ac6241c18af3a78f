from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.portable import Portable
from aiterfix.family.reference import Expected, reference
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950 import blas
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import CompileError
from aiterfix.gfx950.request import CompileRequest
from aiterfix.report.document import dump
from aiterfix.report.types.validate import ValidateReport
from aiterfix.validation import Progress, Report, Selection, validate
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.evidence import evidence_of, names_digest, read_evidence
from aiterfix.validation.execution import Execution
from aiterfix.validation.report import table
from aiterfix.validation.scenarios import FAR_ROWS, Scenario, scenarios
from aiterfix.validation.selection import SHOWN_BY
from aiterfix.validation.source import GluonSource

from .conftest import MakeModel

SOURCE = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
NAME = "sample_kernels.py"


class FakeCompiler:
    """Answers with a code object that only the model executor takes."""

    triton = "3.6.0"

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.requests: list[CompileRequest] = []

    def compile(self, request: CompileRequest) -> CompiledKernel:
        self.requests.append(request)
        if self.refuses and self.refuses == request.function:
            raise CompileError(f"the compiler refuses {request.function}", why="it says so")
        return CompiledKernel(
            b"\x7fELF" + request.label.encode(), "", request.function, 0, 256, "3.6.0", request.arguments
        )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "cache"))
    return iter([tmp_path])


def run(launcher: object, compiler: FakeCompiler | None = None, **changes: Any) -> Report:
    mends = changes.pop("mends", ())
    how = {name: changes.pop(name) for name in ("strict", "progress") if name in changes}
    for name in ("kernels", "configs"):
        if name in changes:
            changes[name] = tuple(changes[name])
    emulator = Emulator(compiler=compiler or FakeCompiler(), launcher=launcher)  # type: ignore[arg-type]
    return validate(GluonSource(SOURCE, NAME, mends=mends), emulator, Selection(**changes), **how)


def hold_to_schema(report: Report) -> dict[str, Any]:
    schema = json.loads(resources.files("aiterfix").joinpath("schemas/validate.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    said = json.loads(dump(ValidateReport.of(report)), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator(schema).validate(said)
    return said  # type: ignore[no-any-return]


def test_a_right_kernel_passes_everywhere_and_that_is_recorded(model: MakeModel) -> None:
    steps: list[Progress] = []
    report = run(model(), progress=steps.append, mends=("row-offset-32", "column-bound"))
    assert report.passed and len(report.scenarios) == len(scenarios("quick"))
    assert steps[0].what == report.scenarios[0].name
    assert steps[-1].done == steps[-1].total == len(report.scenarios)
    said = hold_to_schema(report)
    assert said["passed"] is True and said["overshoot_columns"] == 0
    assert {(c.kernel, c.config) for c in report.code_objects} == {
        ("base", "h64-b1-unaligned"),
        ("preshuffle", "h64-b64"),
        ("preshuffle", "h64-b256"),
        ("preshuffle_varctx", "h64-b64"),
        ("preshuffle_varctx", "h64-b256"),
    }
    (found,) = evidence_of(report.source_sha256)
    assert (found.outcome, found.failed, found.scenarios, found.suite) == ("passed", 0, len(report.scenarios), "quick")
    assert (found.mends, found.triton, found.device) == (("column-bound", "row-offset-32"), "3.6.0", "model")
    assert found.names_sha256 == names_digest(s.name for s in scenarios("quick"))


def test_a_faulty_kernel_fails_which_is_recorded_and_can_be_replayed(model: MakeModel) -> None:
    report = run(model(bounded=False))
    assert not report.passed
    assert report.overshoot_columns == (-520) % 256
    (found,) = evidence_of(report.source_sha256)
    assert (found.outcome, found.failed) == ("failed", len(report.failures))
    said = hold_to_schema(report)
    failing = next(s for s in said["scenarios"] if not s["passed"])
    again = run(model(bounded=False), pattern=failing["name"])
    assert [s.name for s in again.scenarios] == [failing["name"]]
    assert hold_to_schema(again)["scenarios"][0] == failing
    assert any(failing["name"] in line and "FAILED" in line for line in table(report))
    assert any("stores outside allocations" in line for line in table(report))


@pytest.mark.parametrize(
    "part",
    [
        {"pattern": "base/*/full/*"},
        {"kernels": [Kernel.BASE]},
        {"configs": [KernelConfig()]},
        {"fault": "row-offset-32"},
    ],
)
def test_a_part_of_a_suite_is_no_evidence(model: MakeModel, part: dict[str, Any]) -> None:
    report = run(model(), **part)
    assert report.passed and read_evidence(report.source_sha256) == ((), ())


def test_a_fault_selects_the_scenarios_that_show_it(model: MakeModel) -> None:
    report = run(model(), fault="row-offset-32")
    assert {s.name.split("/")[2] for s in report.scenarios} == {FAR_ROWS}
    assert {s.kernel for s in report.scenarios} == {kernel.value for kernel in Kernel}
    titles = {scenario.title for scenario in scenarios("quick")}
    assert all(set(shown) <= titles for shown in SHOWN_BY.values())


def test_evidence_that_cannot_be_kept_is_a_note(
    model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "file"))
    report = run(model())
    assert report.passed
    assert [note.split(":")[0] for note in hold_to_schema(report)["notes"]] == ["no evidence was kept"]
    assert any(line.startswith("note: no evidence") for line in table(report))


def test_findings_fail_only_under_strict(model: MakeModel) -> None:
    relaxed = run(model(loads_outside=4), kernels=[Kernel.BASE])
    assert relaxed.passed
    strict = run(model(loads_outside=4), kernels=[Kernel.BASE], strict=True)
    assert not strict.passed
    assert not any(s["passed"] for s in hold_to_schema(strict)["scenarios"])


def test_a_kernel_that_does_not_compile_is_named_and_fails_the_whole(model: MakeModel) -> None:
    compiler = FakeCompiler(refuses=Kernel.BASE.function)
    configs = [KernelConfig(kv_block_size=1), KernelConfig(heads=16)]
    report = run(model(), compiler, configs=configs)
    assert not report.passed and not report.failures
    (missing,) = report.not_run
    assert (missing.kernel, missing.why, missing.understood) == ("base", "it says so", True)
    assert evidence_of(report.source_sha256) == ()
    hold_to_schema(report)
    assert any("not run: base" in line for line in table(report))
    with pytest.raises(CompileError):
        run(model(), FakeCompiler(refuses=Kernel.BASE.function), kernels=[Kernel.BASE])


def test_something_not_understood_while_running_leaves_the_others(model: MakeModel) -> None:
    class Stumbling:
        device = "model"
        inner = model()

        def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs) -> Execution:
            if scenario.kernel is Kernel.PRESHUFFLE:
                raise NotUnderstoodError("unknown instruction v_nonesuch at 0x40", why="kernel.py:7")
            return self.inner.launch(kernel, scenario, inputs)

    report = run(Stumbling(), configs=[KernelConfig(), KernelConfig(kv_block_size=16)])
    assert not report.passed and not report.failures and report.not_understood
    assert {(n.kernel, n.config) for n in report.not_run} == {("preshuffle", "h64-b64"), ("preshuffle", "h64-b16")}
    assert {s.kernel for s in report.scenarios} == {"preshuffle_varctx"}
    with pytest.raises(NotUnderstoodError, match="v_nonesuch"):
        run(Stumbling(), kernels=[Kernel.PRESHUFFLE], configs=[KernelConfig()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": [Portable.STAGE1]}, "there is no kernel stage1"),
        ({"pattern": "nonesuch"}, "no scenario is called"),
        ({"fault": "nonesuch"}, "no scenario shows 'nonesuch'"),
        ({"configs": [KernelConfig(kv_block_size=96)]}, "do not divide"),
        ({"configs": [KernelConfig(heads=48)]}, "48 heads"),
        ({"kernels": [Kernel.BASE], "configs": [KernelConfig()]}, "suits none"),
    ],
)
def test_wrong_arguments_are_usage_errors(changes: dict[str, Any], message: str, model: MakeModel) -> None:
    with pytest.raises(UsageError, match=message):
        run(model(), **changes)


def test_a_file_without_kernels_is_not_understood(model: MakeModel) -> None:
    with pytest.raises(NotUnderstoodError, match="no Gluon kernel"):
        validate(GluonSource(b"x = 1\n", "other.py"), Emulator(launcher=model()))
    with pytest.raises(NotUnderstoodError, match="does not parse"):
        validate(GluonSource(b"def (", "broken.py"), Emulator(launcher=model()))


def test_configurations_replace_the_suite_s(model: MakeModel) -> None:
    compiler = FakeCompiler()
    report = run(model(), compiler, configs=[KernelConfig(kv_block_size=512, out_stride="i64")])
    assert {s.config for s in report.scenarios} == {"h64-b512-i64"}
    assert {s.kernel for s in report.scenarios} == {"preshuffle", "preshuffle_varctx"}
    assert all(dict(r.signature)["stride_out_batch"] == "i64" for r in compiler.requests)
    assert {c.out_stride for c in report.code_objects} == {"i64"}


def test_blas_computes_the_reference_with_one_thread(model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own threads would spin beside the emulator's."""
    switch = blas._switch()
    if switch is None:
        pytest.skip("numpy's BLAS is not an OpenBLAS that can be found in this process")
    threads, set_threads = switch
    before = threads()
    set_threads(2)
    seen: set[int] = set()

    def watched(inputs: LaunchInputs) -> Expected:
        seen.add(threads())
        return reference(inputs)

    monkeypatch.setattr("aiterfix.validation.emulator.reference", watched)
    try:
        assert run(model(), pattern="base/*/full/*").passed
        assert seen == {1} and threads() == 2
    finally:
        set_threads(before)
