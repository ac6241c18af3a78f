from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from aiterfix.cli_validate import KERNELS, add_parser
from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.gfx950.signature import Kernel

SAMPLE = Path(__file__).parent / "data" / "sample_kernels.py"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "kernels.py"
    path.write_bytes(
        SAMPLE.read_bytes().replace(b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")
    )
    return path


def validate(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["validate", *arguments])
    return int(args.execute(args))


def narrow(*more: str) -> Sequence[str]:
    """One launch, so that a test takes a second."""
    return (
        "--kernel",
        "preshuffle",
        "--scenario",
        "preshuffle/h64-b64/full/*-n2-len1000-*".replace("*-n2", "n2"),
        *more,
    )


def test_the_kernels_offered_are_the_kernels_known() -> None:
    assert tuple(kernel.value for kernel in Kernel) == KERNELS


def test_a_right_kernel_passes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("triton", reason="needs Triton 3.6 or later")
    assert validate("--source", str(SAMPLE), *narrow("--strict")) == 0
    out = capsys.readouterr().out
    assert "passed: " in out and "Triton" in out and "FAILED" not in out


def test_a_faulty_kernel_fails_and_says_where(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("triton", reason="needs Triton 3.6 or later")
    assert validate("--source", str(faulty), *narrow("--json")) == 1
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    schema = json.loads(resources.files("aiterfix").joinpath("schemas/validate.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(said)
    assert said["passed"] is False and said["overshoot_columns"] == 24
    stores = [v for s in said["scenarios"] for v in s["violations"] if v["kind"] == "store"]
    line = 1 + faulty.read_text().splitlines().index("        gl.amd.cdna3.buffer_store(")
    assert {v["source"].rsplit("/", 1)[-1] for v in stores} == {f"kernels.py:{line}"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), EnvironmentProblem),
        (("--source", "/nonexistent/file.py"), EnvironmentProblem),
        (("--source", __file__), NotUnderstoodError),
        (("--source", str(SAMPLE), "--scenario", "nonesuch"), UsageError),
        (("--source", str(SAMPLE), "--kv-block-size", "96"), UsageError),
        (("--hsaco", "/nonexistent/k.hsaco"), EnvironmentProblem),
        (("--source", str(SAMPLE), "--python", "/nonexistent/python"), EnvironmentProblem),
    ],
)
def test_bad_input_ends_in_an_error_with_its_exit_code(arguments: tuple[str, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        validate(*arguments)


def test_quick_full_and_scenario_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        validate("--quick", "--full")
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
