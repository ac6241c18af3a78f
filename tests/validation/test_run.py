from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aiterfix.errors import NotUnderstoodError, UsageError
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import CompileError
from aiterfix.gfx950.signature import CompileRequest, Kernel, KernelConfig
from aiterfix.validation import Progress, Report, validate
from aiterfix.validation.certificate import find
from aiterfix.validation.report import table, to_json
from aiterfix.validation.scenarios import scenarios

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
        return CompiledKernel(b"\x7fELF" + request.label.encode(), "", request.function, 0, 256, "3.6.0", ())


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "cache"))
    return iter([tmp_path])


def run(executor: object, compiler: FakeCompiler | None = None, **changes: Any) -> Report:
    return validate(
        SOURCE,
        NAME,
        compiler=compiler or FakeCompiler(),  # type: ignore[arg-type]
        executor=executor,  # type: ignore[arg-type]
        **changes,
    )


def hold_to_schema(report: Report) -> dict[str, Any]:
    schema = json.loads(resources.files("aiterfix").joinpath("schemas/validate.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    said = json.loads(json.dumps({"schema_version": 1, "command": "validate", **to_json(report)}, allow_nan=False))
    jsonschema.Draft202012Validator(schema).validate(said)
    return said  # type: ignore[no-any-return]


def test_a_right_kernel_passes_everywhere_and_is_certified(model: MakeModel) -> None:
    steps: list[Progress] = []
    report = run(model(), progress=steps.append)
    assert report.passed and len(report.scenarios) == len(scenarios("quick"))
    assert steps[0].what == "compiling base h64-b1-unaligned"
    assert steps[-1].done == steps[-1].total == len(report.scenarios)
    said = hold_to_schema(report)
    assert said["passed"] is True and said["overshoot_columns"] == 0
    certificates, ignored = find(report.source_sha256)
    assert not ignored
    assert {(c.kernel, c.config) for c in certificates} == {
        ("base", "h64-b1-unaligned"),
        ("preshuffle", "h64-b64"),
        ("preshuffle", "h64-b256"),
        ("preshuffle_varctx", "h64-b64"),
    }
    assert {c.triton for c in certificates} == {"3.6.0"}
    assert set().union(*(c.scenarios for c in certificates)) == {s.name for s in report.scenarios}


def test_a_faulty_kernel_fails_is_not_certified_and_can_be_replayed(model: MakeModel) -> None:
    report = run(model(bounded=False), kernels=["base", "preshuffle"])
    assert not report.passed
    assert report.overshoot_columns == (-520) % 256
    assert {c.kernel for c in find(report.source_sha256)[0]} == {"base"}
    said = hold_to_schema(report)
    failing = next(s for s in said["scenarios"] if not s["passed"])
    again = run(model(bounded=False), scenario=failing["name"])
    assert [s.name for s in again.scenarios] == [failing["name"]]
    assert to_json(again)["scenarios"][0] == failing
    assert any(failing["name"] in line and "FAILED" in line for line in table(report))
    assert any("stores outside allocations" in line for line in table(report))


def test_a_replay_of_one_scenario_certifies_nothing(model: MakeModel) -> None:
    report = run(model(), scenario="base/*/full/*")
    assert report.passed and report.suite == "scenario"
    assert find(report.source_sha256) == ((), ())


def test_a_certificate_that_cannot_be_kept_is_a_note(
    model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "file"))
    report = run(model(), kernels=["base"])
    assert report.passed
    assert [note.split(":")[0] for note in hold_to_schema(report)["notes"]] == ["no certificate was kept"]
    assert any(line.startswith("note: no certificate") for line in table(report))


def test_findings_fail_only_under_strict(model: MakeModel) -> None:
    relaxed = run(model(loads_outside=4), kernels=["base"])
    assert relaxed.passed
    assert find(relaxed.source_sha256)[0][0].findings == ("load-outside-allocation",)
    strict = run(model(loads_outside=4), kernels=["base"], strict=True)
    assert not strict.passed
    assert not any(s["passed"] for s in hold_to_schema(strict)["scenarios"])


def test_a_kernel_that_does_not_compile_is_named_and_fails_the_whole(model: MakeModel) -> None:
    compiler = FakeCompiler(refuses=Kernel.BASE.function)
    configs = [KernelConfig(kv_block_size=1), KernelConfig(heads=16)]
    report = run(model(), compiler, configs=configs)
    assert not report.passed and not report.failures
    (missing,) = report.not_run
    assert (missing.kernel, missing.why, missing.understood) == ("base", "it says so", True)
    hold_to_schema(report)
    assert any("not run: base" in line for line in table(report))
    with pytest.raises(CompileError):
        run(model(), FakeCompiler(refuses=Kernel.BASE.function), kernels=[Kernel.BASE])


def test_something_not_understood_while_running_leaves_the_others(model: MakeModel) -> None:
    class Stumbling:
        device = "model"
        inner = model()

        def execute(self, kernel: CompiledKernel, scenario: Any, problem: Any) -> Any:
            if scenario.kernel is Kernel.PRESHUFFLE:
                raise NotUnderstoodError("unknown instruction v_nonesuch at 0x40", why="kernel.py:7")
            return self.inner.execute(kernel, scenario, problem)

    report = run(Stumbling(), configs=[KernelConfig(), KernelConfig(kv_block_size=16)])
    assert not report.passed and not report.failures and report.not_understood
    assert {(n.kernel, n.config) for n in report.not_run} == {("preshuffle", "h64-b64"), ("preshuffle", "h64-b16")}
    assert {c.kernel for c in find(report.source_sha256)[0]} == {"preshuffle_varctx"}
    with pytest.raises(NotUnderstoodError, match="v_nonesuch"):
        run(Stumbling(), kernels=["preshuffle"], configs=[KernelConfig()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": ["nonesuch"]}, "unknown kernel 'nonesuch'"),
        ({"scenario": "nonesuch"}, "no scenario is called"),
        ({"device": "abacus"}, "unknown device"),
        ({"configs": [KernelConfig(kv_block_size=96)]}, "do not divide"),
        ({"configs": [KernelConfig(heads=48)]}, "48 heads"),
        ({"kernels": ["base"], "configs": [KernelConfig()]}, "suits none"),
    ],
)
def test_wrong_arguments_are_usage_errors(changes: dict[str, Any], message: str, model: MakeModel) -> None:
    with pytest.raises(UsageError, match=message):
        run(model(), **changes)


def test_a_file_without_kernels_is_not_understood(model: MakeModel) -> None:
    with pytest.raises(NotUnderstoodError, match="no Gluon kernel"):
        validate(b"x = 1\n", "other.py", executor=model(), compiler=FakeCompiler())  # type: ignore[arg-type]
    with pytest.raises(NotUnderstoodError, match="does not parse"):
        validate(b"def (", "broken.py", executor=model(), compiler=FakeCompiler())  # type: ignore[arg-type]


def test_configurations_replace_the_suite_s(model: MakeModel) -> None:
    compiler = FakeCompiler()
    report = run(model(), compiler, configs=[KernelConfig(kv_block_size=512, out_stride="i64")])
    assert {s.config for s in report.scenarios} == {"h64-b512-i64"}
    assert {s.kernel for s in report.scenarios} == {"preshuffle", "preshuffle_varctx"}
    assert all(dict(r.signature)["stride_out_batch"] == "i64" for r in compiler.requests)
    assert {c.out_stride for c in report.code_objects} == {"i64"}
