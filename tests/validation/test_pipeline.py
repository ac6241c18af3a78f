from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.portable import Portable
from aiterfix.family.reference import Expected, reference
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.faults.base import Presence
from aiterfix.gfx950 import blas
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import CompileError, CompilerDiedError
from aiterfix.gfx950.request import CompileRequest
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.evidence import evidence_of, names_digest, read_evidence, shown
from aiterfix.validation.execution import Execution
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import Report, head, tail
from aiterfix.validation.scenarios import SCENARIOS_OF_FAULT, Scenario, scenarios
from aiterfix.validation.selection import Selection
from aiterfix.validation.series import Progress
from tests.validation.launching import source

from .conftest import MakeModel, hold_to_schema

SOURCE = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
NAME = "sample_kernels.py"
ORIGINAL = "cd" * 32


class FakeCompiler:
    """Answers with a code object that only the model executor takes."""

    triton = "3.6.0"

    def __init__(self, refuses: str = "", fp_fusion: bool = True) -> None:
        self.fp_fusion = fp_fusion
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
    return validate(
        source(SOURCE, NAME, mends=mends, original_sha256=ORIGINAL if mends else ""),
        emulator,
        Selection(**changes),
        **how,
    )


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
        # For the scenarios of single faults.
        ("base", "h64-b64"),
        *(("preshuffle", config) for config in ("h64-b16", "h64-b128", "h64-b64-c64")),
        ("preshuffle_varctx", "h64-b64-c64"),
    }
    (found,) = evidence_of(report.sources[0].sha256)
    assert (found.outcome, found.failed, found.scenarios, found.suite) == ("passed", 0, len(report.scenarios), "quick")
    assert (found.mends, found.triton, found.device) == (("column-bound", "row-offset-32"), "3.6.0", "model")
    assert found.names_sha256 == names_digest(s.name for s in scenarios("quick"))


def test_a_faulty_kernel_fails_which_is_recorded_and_can_be_replayed(model: MakeModel) -> None:
    report = run(model(bounded=False))
    assert not report.passed
    assert report.overshoot_columns == (-520) % 256
    (found,) = evidence_of(report.sources[0].sha256)
    # A known fault explains each failure; what the scenarios of that fault came to says that it is there.
    assert all(s.known_faults for s in report.failures)
    assert (found.outcome, found.of_fault("column-bound"), found.of_fault("row-offset-32")) == (
        "failed",
        "failed",
        "passed",
    )
    said = hold_to_schema(report)
    failing = next(s for s in said["scenarios"] if not s["passed"])
    again = run(model(bounded=False), pattern=failing["name"])
    assert [s.name for s in again.scenarios] == [failing["name"]]
    assert hold_to_schema(again)["scenarios"][0] == failing
    assert any(failing["name"] in line for line in tail(report))
    assert any("stores outside allocations" in line for line in tail(report))


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
    assert report.passed and read_evidence(report.sources[0].sha256) == ()


def test_a_fault_selects_the_scenarios_that_show_it(model: MakeModel) -> None:
    report = run(model(), fault="row-offset-32")
    assert {s.name.split("/")[2] for s in report.scenarios} == {"far-rows"}
    assert {s.kernel for s in report.scenarios} == {kernel.value for kernel in Kernel}
    quick = set(scenarios("quick", (*Kernel, *Portable)))
    assert all(set(shown) <= quick for shown in SCENARIOS_OF_FAULT.values())


def test_evidence_that_cannot_be_kept_is_a_note(
    model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "file"))
    report = run(model())
    assert report.passed
    assert [note.split(":")[0] for note in hold_to_schema(report)["notes"]] == ["no evidence was kept"]
    assert any(line.startswith("note: no evidence") for line in tail(report))


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
    assert {(m.kernel, m.why, m.understood) for m in report.not_run} == {("base", "it says so", True)}
    assert {m.config for m in report.not_run} == {"h64-b1", "h16-b64"}
    assert evidence_of(report.sources[0].sha256) == ()
    hold_to_schema(report)
    assert any("not run: base" in line for line in tail(report))
    alone = run(model(), FakeCompiler(refuses=Kernel.BASE.function), kernels=[Kernel.BASE])
    assert not alone.passed and {missing.config for missing in alone.missing} == {"h64-b1-unaligned", "h64-b64"}


def test_a_kernel_that_never_ran_is_missing_whatever_explains_it(model: MakeModel) -> None:
    """A scenario that a known fault leaves without code is not missing where its kernel ran."""

    class Shape(FakeCompiler):
        def compile(self, request: CompileRequest) -> CompiledKernel:
            if request.function == Kernel.BASE.function:
                raise CompileError("refused", why="instr_shape must follow the (M, N, K) format")
            if dict(request.constants)["ChunkK"] == 64:
                raise CompilerDiedError("died", why="signal 8")
            return super().compile(request)

    report = run(model(), Shape())
    assert not report.failures and not report.passed
    assert {(m.kernel, m.known_faults) for m in report.missing} == {("base", ("instruction-shape",))}
    assert {m.known_faults for m in report.not_run} == {("instruction-shape",), ("small-chunk",)}
    (found,) = evidence_of(report.sources[0].sha256)
    assert (found.of_fault("instruction-shape"), found.of_fault("small-chunk"), found.failed) == ("no code",) * 2 + (0,)
    others = (Kernel.PRESHUFFLE, Kernel.PRESHUFFLE_VARCTX)
    assert run(model(), Shape(), kernels=others).passed


def test_a_text_of_which_nothing_compiles_is_recorded_as_that(model: MakeModel) -> None:
    class Shape(FakeCompiler):
        def compile(self, request: CompileRequest) -> CompiledKernel:
            raise CompileError("refused", why="no matching matrix core intrinsic for mfma version 3")

    report = run(model(), Shape())
    assert not report.scenarios and not report.passed
    (found,) = evidence_of(report.sources[0].sha256)
    assert (found.scenarios, found.outcome, found.faults) == (0, "failed", (("instruction-shape", "no code"),))


@pytest.mark.parametrize("fusion", [True, False])
def test_what_a_text_was_compiled_with_is_part_of_its_evidence(model: MakeModel, fusion: bool) -> None:
    report = run(model(), FakeCompiler(fp_fusion=fusion))
    assert report.fp_fusion is fusion
    assert ("without FP fusion" in "\n".join(head(report, ()))) is not fusion
    run(model(), FakeCompiler(fp_fusion=not fusion))
    found = {e.fp_fusion: e for e in evidence_of(report.sources[0].sha256)}
    assert found.keys() == {True, False} and found[True].ran != found[False].ran
    before = replace(found[fusion], faults=(("column-bound", "failed"),))
    after = replace(found[fusion], original_sha256=ORIGINAL, mends=("column-bound",))
    assert shown("column-bound", [after], [before]) == "shown"
    assert shown("column-bound", [after], [replace(before, fp_fusion=not fusion)]) == "not shown"


@pytest.mark.parametrize("release", ["3.5.0", "3.5.1", "3.6.0"])
def test_what_one_compiler_spoils_is_told_from_what_a_text_does(model: MakeModel, release: str) -> None:
    """Kernels for a cache in tiles alone; and as evidence it counts as unexplained, for no text is to blame."""
    compiler = FakeCompiler()
    compiler.triton = release
    report = run(model(relative_error=1e-3), compiler)
    explained = {s.kernel for s in report.failures if "triton-3-5-1" in s.known_faults}
    assert explained == ({"preshuffle", "preshuffle_varctx"} if release != "3.6.0" else set())
    (found,) = evidence_of(report.sources[0].sha256)
    assert found.failed == sum(not set(s.known_faults) - {"triton-3-5-1"} for s in report.failures) > 0
    assert found.of_fault("triton-3-5-1") == "failed" and found.of_fault("instruction-shape") == "passed"


def test_a_scenario_that_every_entry_refuses_is_not_launched(model: MakeModel) -> None:
    """As source says; a fault that it says is absent explains nothing."""
    base = {"block-paging": Presence.REFUSED, "cache-offset-32": Presence.ABSENT}
    presence = {Kernel.BASE.function: base}
    launcher = model(relative_error=1e-3)
    subject = source(SOURCE, NAME, presence=presence)
    emulator = Emulator(compiler=FakeCompiler(), launcher=launcher)  # type: ignore[arg-type]
    report = validate(subject, emulator, Selection((Kernel.BASE,), pattern="base/*/f[la]*/n1-*"))
    (refused,) = report.not_run
    assert refused.refused and refused.config == "h64-b64" and report.missing == ()
    (failed,) = report.failures
    assert "far-blocks" in failed.name and failed.known_faults == ()
    assert any(line.startswith("refused by the wrapper: base h64-b64") for line in tail(report))
    hold_to_schema(report)


def test_something_not_understood_while_running_leaves_the_others(model: MakeModel) -> None:
    class Stumbling:
        device = "model"
        inner = model()

        def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs, **_: object) -> Execution:
            if scenario.kernel is Kernel.PRESHUFFLE:
                raise NotUnderstoodError("unknown instruction v_nonesuch at 0x40", why="kernel.py:7")
            return self.inner.launch(kernel, scenario, inputs)

    report = run(Stumbling(), configs=[KernelConfig(), KernelConfig(kv_block_size=16)])
    assert not report.passed and not report.failures and report.not_understood
    assert {n.kernel for n in report.not_run} == {"preshuffle"}
    assert {n.config for n in report.not_run} == {"h64-b64", "h64-b16", "h64-b64-c64"}
    assert {s.kernel for s in report.scenarios} == {"preshuffle_varctx", "base"}
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
    with pytest.raises(NotUnderstoodError, match="no kernel"):
        validate(source(b"x = 1\n", "other.py"), Emulator(launcher=model()))
    with pytest.raises(NotUnderstoodError, match="does not parse"):
        validate(source(b"def (", "broken.py"), Emulator(launcher=model()))


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
