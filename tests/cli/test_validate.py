from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from aiterfix.errors import EnvironmentProblem
from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel
from aiterfix.validation.choice import SINGLE
from aiterfix.validation.gpu.executor import Gpu
from aiterfix.validation.gpu.messages import Ready
from aiterfix.validation.gpu.subjects import AiterFunction
from aiterfix.validation.report import Hardware, Report, ScenarioResult
from aiterfix.validation.selection import Selection
from tests import schemas
from tests.conftest import once
from tests.emulator import needs_emulator
from tests.report.html.reading import read, tables, text

SAMPLE = Path(__file__).parents[1] / "data" / "sample_kernels.py"
PLAIN_SAMPLE = SAMPLE.with_name("sample_plain.py")
SOUND = SAMPLE.read_bytes()
FAULTY = SOUND.replace(b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")
ONE = ("--kernel", "preshuffle", "--scenario", "preshuffle/h64-b64/full/n2-len1000-*")
"""One launch, so that a test takes a second."""

needs_triton = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import triton.experimental.gluon"], capture_output=True).returncode != 0,
    reason="needs Triton 3.6 or later",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with once(tmp_path_factory, "validated") as (folder, _):
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(cache))
    monkeypatch.delenv("AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS", raising=False)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "kernels.py"
    path.write_bytes(FAULTY)
    return path


def validate(*arguments: str) -> int:
    return main(["validate", *arguments])


def as_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return schemas.read(capsys.readouterr().out, "validate")  # type: ignore[no-any-return]


def test_the_kernels_offered_are_the_kernels_known() -> None:
    assert {kernel.value for kernel in (*Kernel, *Portable) if kernel.function} == {*SINGLE, "stage1"}


@needs_triton
def test_the_help_page_is_about_every_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--help"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "Run the kernels, on an emulated gfx950 or a GPU, and compare" in page


@needs_emulator
def test_a_right_kernel_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("--source", str(SAMPLE), *ONE) == 0
    out = capsys.readouterr().out
    assert "passed: " in out and "Triton" in out and "FAILED" not in out


@needs_emulator
@needs_triton
def test_a_faulty_kernel_fails_and_says_where(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("--source", str(faulty), "--json", *ONE) == 1
    said = as_json(capsys)
    assert said["passed"] is False and said["overshoot_columns"] == 24
    stores = [v for s in said["scenarios"] for v in s["violations"] if v["kind"] == "store"]
    line = 1 + FAULTY.decode().splitlines().index("        gl.amd.cdna3.buffer_store(")
    assert {v["source"] for v in stores} == {f"kernels.py:{line}"}


@needs_emulator
@needs_triton
def test_the_line_that_replays_a_failure_does(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spaced = faulty.with_name("my kernels.py")
    faulty.rename(spaced)
    options = ("--source", str(spaced), "--kv-block-size", "32", "--heads", "16", "--out-stride", "i64", "--strict")
    assert validate(*options, "--kernel", "preshuffle", "--scenario", "*/full/n2-len1000*") == 1
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("replay it alone")]
    words = shlex.split(line.partition(": ")[2])
    assert words[:2] == ["aiterfix", "validate"]
    assert validate(*words[2:], "--json") == 1
    said = as_json(capsys)
    assert said["strict"] and said["sources"][0]["path"] == str(spaced)
    assert [s["name"] for s in said["scenarios"]] == [words[-1]]


@needs_emulator
def test_the_line_that_replays_a_failure_names_the_installation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = ScenarioResult("a/b/c", "base", "b", False, 1, 1, 0.0, 0.0, 1, (), 0, 0, 0, (), (), 0.0, 0)
    report = Report((), "emulator", "3.6.0", "quick", False, (), (result,), (), 0.0)
    monkeypatch.setattr("aiterfix.validation.pipeline.validate", lambda *_, **__: report)
    site = installed(tmp_path, SOUND)
    assert validate("--path", str(site), "--strict", "--device", "emulator") == 1
    wanted = f"replay it alone: aiterfix validate --path {site} --strict --device emulator --scenario a/b/c"
    assert wanted in capsys.readouterr().out.splitlines()


@needs_emulator
@needs_triton
def test_a_fault_s_scenarios_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that begin past 2 GiB: written where the row is 64 bits wide, missing where it is not."""
    narrow = tmp_path / "narrow.py"
    narrow.write_bytes(
        SOUND.replace(
            b"ptr=OutLogits_buffer + row.to(gl.int64) * stride_out_batch, offsets=column",
            b"ptr=OutLogits_buffer, offsets=row * stride_out_batch + column",
        )
    )
    assert narrow.read_bytes() != SOUND
    # The helper of the sample kernels is not understood, so nothing mends it: what is not there needs no mend.
    for file, status, before, after in ((SAMPLE, 0, "passes", "passes"), (narrow, 1, "fails", "no mend")):
        words = ("--source", str(file), "--fault", "row-offset-32", "--kernel", "preshuffle", "--kv-block-size", "64")
        assert validate(*words, "--json") == status
        said, told = capsys.readouterr()
        assert "nothing mends row-offset-32 here" in told and "not understood" in told
        said = json.loads(said)
        assert said["fault"] == {"id": "row-offset-32", "before": before, "after": after, "shown": not status}
        (result,) = said["scenarios"]
        assert result["name"].split("/")[2] == "far-rows" and (result["wrong_logits"] > 0) is bool(status)


@needs_emulator
@needs_triton
def test_a_fault_s_scenarios_before_its_mend_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--source", str(PLAIN_SAMPLE), "--fault", "column-bound")
    assert validate(*words, "--json") == 0
    said = as_json(capsys)
    assert said["fault"] == {"id": "column-bound", "before": "fails", "after": "passes", "shown": True}
    (result,), (source,) = said["scenarios"], said["sources"]
    assert result["name"].startswith("stage1/h64-b1-unaligned/full/") and result["passed"]
    assert source["mends"] == ["column-bound"]
    assert source["original_sha256"] == sha256(PLAIN_SAMPLE.read_bytes()).hexdigest() != source["sha256"]
    assert validate(*words) == 0
    out = capsys.readouterr().out
    assert "FAILED" in out and "known fault: column-bound" in out and ", with column-bound mended" in out
    assert out.splitlines()[-1] == "column-bound: fails before, passes after its mend"
    (line,) = [text for text in out.splitlines() if text.startswith("replay it alone")]
    assert validate(*shlex.split(line.partition(": ")[2])[2:]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "column-bound: fails before, passes after its mend"


@needs_emulator
@needs_triton
def test_a_page_holds_both_and_comes_as_one_piece(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.html"
    words = ("--source", str(PLAIN_SAMPLE), "--fault", "column-bound")
    assert validate(*words, "--format", "html", "--output", str(file)) == 0
    assert capsys.readouterr().out == ""
    tree = read(file.read_text())
    assert text(tree.find(".//h1")) == "column-bound: fails before, passes after its mend"  # type: ignore[arg-type]
    assert [rows[1][1] for rows in tables(tree)] == ["FAILED", "passed"]
    assert validate("--source", str(SAMPLE), *ONE, "--format", "html") == 0
    assert "aiterfix validate: passed" in text(read(capsys.readouterr().out))
    assert validate("--source", str(SAMPLE), *ONE, "--format", "html", "--json") == 2
    assert "cannot both be printed" in capsys.readouterr().out


@needs_emulator
@needs_triton
def test_a_fault_that_nothing_mends_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unseen = tmp_path / "unseen.py"
    unseen.write_bytes(SOUND.replace(b"column <= last_visible, logits", b"column <= context_length, logits"))
    assert validate("--source", str(unseen), "--fault", "hidden-columns", "--kernel", "preshuffle", "--json") == 1
    said = as_json(capsys)
    assert said["fault"] == {"id": "hidden-columns", "before": "fails", "after": "no mend", "shown": False}
    assert validate("--source", str(unseen), "--fault", "hidden-columns", "--kernel", "preshuffle") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "hidden-columns: fails before, nothing mends it"


@needs_emulator
@needs_triton
def test_rows_come_one_by_one_and_an_interrupt_ends_with_a_summary(tmp_path: Path) -> None:
    """Whoever reads a pipe sees each row as its scenario is judged. The full set: on a busy machine the signal is late."""
    words = [sys.executable, "-m", "aiterfix", "validate", "--source", str(SAMPLE), "--kernel", "preshuffle", "--full"]

    def interruptible() -> None:
        """A shell has what it puts in the background ignore the signal, the suite and all that it starts among it."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "passed" in line:
                break
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said
    assert any(line.startswith("interrupted: ") for line in rest.splitlines())
    assert rest.splitlines()[-1].startswith("failed: ")


def installed(tmp_path: Path, text: bytes) -> Path:
    """A site-packages that holds an ``aiter`` with this kernel file."""
    site = tmp_path / "site-packages"
    home = site / "aiter" / "ops" / "triton" / "gluon"
    home.mkdir(parents=True)
    for folder in (home, *list(home.parents)[:3]):
        (folder / "__init__.py").touch()
    (home / "pa_mqa_logits.py").write_bytes(text)
    facts = site / "amd_aiter-0.1.20.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: amd-aiter\nVersion: 0.1.20\n")
    return site


def wrapper(site: Path, stride: str) -> None:
    place = site / "aiter" / "ops" / "triton" / "attention"
    place.mkdir()
    (place / "pa_mqa_logits.py").write_text(
        f'def build():\n    return {{"OutLogits_buffer": "*fp32", "stride_out_batch": "{stride}"}}\n'
    )


@needs_emulator
@needs_triton
@pytest.mark.parametrize("stride", ["i32", "i64"])
def test_an_installation_is_compiled_as_its_wrapper_compiles_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stride: str
) -> None:
    site = installed(tmp_path, SOUND)
    wrapper(site, stride)
    assert validate("--path", str(site), "--json", *ONE) == 0
    said = as_json(capsys)
    assert [c["out_stride"] for c in said["code_objects"]] == [stride]
    assert said["sources"][0]["path"] == str(site / "aiter/ops/triton/gluon/pa_mqa_logits.py")


@needs_emulator
def test_prebuilt_code_objects_in_use_are_never_judged_by_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS", "1")
    monkeypatch.setattr("aiterfix.validation.pipeline.validate", lambda *_, **__: None)
    monkeypatch.setattr("aiterfix.cli.validate._finish", lambda *_: 0)
    site = installed(tmp_path, SOUND)
    assert validate("--path", str(site)) == 3
    assert "used instead of this source" in capsys.readouterr().err


PLAIN = b"""\
from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(OutLogits_buffer, stride_out_batch, max_model_len, n):
    row = gl.program_id(0)
    column = n * 128 + gl.arange(0, 128)
    gl.amd.cdna3.buffer_store(column * 1.0, ptr=OutLogits_buffer, offsets=row * stride_out_batch + column)
"""


@needs_emulator
def test_patched_is_what_apply_would_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    mends = []

    def validated(subject: Any, *_: object, **__: object) -> None:
        seen.append(subject.files[0].text)
        mends.append(subject.files[0].mends)

    monkeypatch.setattr("aiterfix.validation.pipeline.validate", validated)
    monkeypatch.setattr("aiterfix.cli.validate._finish", lambda *_: 0)
    site = installed(tmp_path, PLAIN)
    source = site / "aiter/ops/triton/gluon/pa_mqa_logits.py"
    for arguments in (("--path", str(site)), ("--source", str(source))):
        assert validate(*arguments) == validate(*arguments, "--patched") == 0
    assert seen[0] == seen[2] == PLAIN
    assert seen[1] == seen[3] and b"max_model_len" in seen[1].split(b"offsets=", 1)[1]
    assert mends[0] == mends[2] == () and mends[1] == mends[3] == ("column-bound", "row-offset-32")


@needs_emulator
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--source", "/nonexistent/file.py"), 4, "cannot read"),
        (("--source", __file__), 3, "no kernel that is known"),
        (("--source", str(SAMPLE), "--scenario", "nonesuch"), 2, "no scenario is called"),
        (("--source", str(SAMPLE), "--fault", "nonesuch"), 2, "no scenario shows 'nonesuch'"),
        (("--fault", "row-offset-32", "--full"), 2, "--full does not go with it"),
        (("--source", str(SAMPLE), "--kv-block-size", "96"), 2, "do not divide"),
        (("--source", str(SAMPLE), "--kernel", "stage1"), 3, "no kernel of stage1"),
        (("--source", str(SAMPLE), "--kernel", "reducing"), 2, "there is no kernel reducing"),
        (("--source", str(SAMPLE), "--path", "/"), 2, "neither goes with"),
        (("--source", str(SAMPLE), "--hsaco", "k.hsaco"), 2, "neither goes with"),
        (("--hsaco", "k.hsaco", "--patched"), 2, "about source"),
        (("--hsaco", "/nonexistent/k.hsaco"), 4, "cannot read"),
        (("--source", str(SAMPLE), "--python", "/nonexistent/python"), 4, "cannot run"),
        (("--quick", "--full"), 2, "not allowed with"),
    ],
)
def test_bad_input_ends_in_an_error_with_its_exit_code(
    arguments: Sequence[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(*arguments) == status
    assert message in capsys.readouterr().err


@needs_emulator
@pytest.mark.parametrize("name", ["numpy", "elftools", "tinygrad"])
def test_a_missing_extra_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda wanted: None if wanted == name else real(wanted))
    assert validate("--source", str(SAMPLE)) == 4
    said = capsys.readouterr().err
    assert name in said and "[validate]" in said


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And named first: there, no extra would help."""
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda wanted: None if wanted == "numpy" else real(wanted))
    monkeypatch.setattr("sys.version_info", (3, 10, 4))
    for arguments in (("--source", str(SAMPLE)), ("--hsaco", "k.hsaco"), ("--kernel", "own", "--device", "emulator")):
        assert validate(*arguments) == 4
        said = capsys.readouterr().err
        assert "needs Python 3.11" in said and "numpy" not in said
    assert validate("--kernel", "own", "--device", "gpu") == 4  # there, an older Python does
    said = capsys.readouterr().err
    assert "numpy" in said and "Python" not in said


def test_an_error_under_json_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("--source", "/nonexistent/file.py", "--json") == 4
    said = json.loads(capsys.readouterr().out)
    assert said["command"] == "validate" and said["error"]["exit_code"] == 4


@needs_emulator
def test_nothing_installed_is_an_environment_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert validate("--path", str(tmp_path / "empty")) == 4
    assert "no aiter is installed" in capsys.readouterr().err


ROCM = Hardware("rocm", "AMD Instinct MI355X", "gfx950", "2.9", "3.6", "ROCm 7.0", "6.14")
CUDA = Hardware("cuda", "NVIDIA H200", "sm_90", "2.11", "3.6", "CUDA 13.0", "580.1")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hardware | None], list[Any]]:
    """A machine with this GPU: what is run there is recorded, and on the emulator, ``emulator`` is."""

    def make(hardware: Hardware | None) -> list[Any]:
        ran: list[Any] = []

        def ran_on(subject: Any, executor: object, selection: Selection, **_: object) -> None:
            kernels = selection.kernels or subject.kernels
            on_gpu = isinstance(executor, Gpu)
            ran.append((subject, tuple(kernel.value for kernel in kernels)) if on_gpu else "emulator")

        def ask(python: str | None = None) -> Ready:
            if hardware is None:
                raise EnvironmentProblem("torch sees no GPU")
            return Ready(hardware)

        monkeypatch.setattr(
            "aiterfix.validation.gpu.devices.may_have_rocm_gpu",
            lambda: hardware is not None and hardware.kind == "rocm",
        )
        monkeypatch.setattr("aiterfix.validation.gpu.contained.ask_hardware", ask)
        monkeypatch.setattr("aiterfix.validation.pipeline.validate", ran_on)
        monkeypatch.setattr("aiterfix.cli.validate._finish", lambda *_: 0)
        return ran

    return make


@pytest.mark.parametrize(
    ("hardware", "arguments", "taken"),
    [
        (ROCM, (), (False, Kernel.PRESHUFFLE)),
        (ROCM, ("--patched",), (True, Kernel.PRESHUFFLE)),
        (ROCM, ("--kernel", "base"), (False, Kernel.BASE)),
        pytest.param(ROCM, ("--device", "emulator"), None, marks=needs_emulator),
        pytest.param(replace(ROCM, arch="gfx1100"), (), None, marks=needs_emulator),
        pytest.param(CUDA, (), None, marks=needs_emulator),
        pytest.param(None, (), None, marks=needs_emulator),
    ],
)
def test_auto_takes_a_gfx950_and_nothing_else(
    tmp_path: Path,
    machine: Callable[[Hardware | None], list[Any]],
    hardware: Hardware | None,
    arguments: Sequence[str],
    taken: tuple[bool, Kernel] | None,
) -> None:
    site = installed(tmp_path, PLAIN)
    ran = machine(hardware)
    assert validate("--path", str(site), *arguments) == 0
    if taken is None:
        assert ran == ["emulator"]
    else:
        patched, kernel = taken
        assert ran == [(AiterFunction(site, patched, (kernel,)), (kernel.value,))]


@needs_emulator
def test_a_kernel_file_goes_to_the_emulator_and_a_plain_one_to_a_gpu(
    machine: Callable[[Hardware | None], list[Any]],
) -> None:
    ran = machine(ROCM)
    assert validate("--source", str(SAMPLE)) == 0
    assert ran == ["emulator"]
    for patched in ((), ("--patched",)):
        ran = machine(CUDA)
        assert validate("--source", str(PLAIN_SAMPLE), "--device", "gpu", "--kernel", "stage1", *patched) == 0
        ((subject, kernels),) = ran
        assert kernels == ("stage1",)
        assert (subject.file.text == PLAIN_SAMPLE.read_bytes()) == (not patched)
        assert subject.file.filename == "sample_plain.py"
    ran = machine(CUDA)
    assert validate("--device", "gpu", "--kernel", "own") == 0
    ((subject, kernels),) = ran
    assert kernels == ("own", "own_preshuffle") and subject.path.is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_runs_no_other_users_file_on_a_gpu(
    machine: Callable[[Hardware | None], list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process on the GPU is believed as our own, so it does not run with other rights."""
    file = tmp_path / "plain.py"
    file.write_bytes(PLAIN_SAMPLE.read_bytes())
    os.chown(file, 12345, 12345)
    ran = machine(CUDA)
    assert validate("--source", str(file), "--device", "gpu", "--kernel", "stage1") == 4
    assert ran == []
    assert "root does not run on a GPU what belongs to user 12345" in capsys.readouterr().err


@needs_emulator
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@needs_triton
def test_our_own_kernel_on_the_emulator(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        validate(
            "--device",
            "emulator",
            "--kernel",
            "own",
            "--kv-block-size",
            "64",
            "--scenario",
            "own*/full/n2-len1000*",
            "--json",
        )
        == 0
    )
    said = as_json(capsys)
    assert said["executed_by"]["device"] == "emulator" and said["executed_by"]["subject"] == "this project's kernel"
    assert {s["kernel"] for s in said["scenarios"]} == {"own", "own_preshuffle"}
    assert all(s["passed"] and not s["violations"] for s in said["scenarios"])


@pytest.mark.parametrize(
    ("hardware", "arguments", "status", "message"),
    [
        (None, ("--device", "gpu"), 4, "sees no GPU"),
        pytest.param(None, ("--kernel", "own", "--patched"), 2, "goes with none of", marks=needs_emulator),
        pytest.param(None, ("--kernel", "own", "--kernel", "base"), 2, "one after another", marks=needs_emulator),
        pytest.param(None, ("--kernel", "own", "--python", "python3"), 2, "not by --python", marks=needs_emulator),
        (CUDA, ("--device", "gpu", "--source", str(SAMPLE)), 2, "not on NVIDIA H200 (sm_90)"),
        (ROCM, ("--device", "gpu", "--source", str(SAMPLE)), 2, "not from --source"),
        (ROCM, ("--device", "gpu", "--hsaco", "k.hsaco"), 2, "judged by the emulator"),
        (ROCM, ("--jobs", "2"), 2, "--jobs spreads what the emulator runs"),
        (CUDA, ("--device", "gpu", "--source", str(SAMPLE), "--kernel", "stage1"), 3, "no plain-Triton kernel"),
        (CUDA, ("--device", "gpu", "--kernel", "own", "--source", str(SAMPLE)), 2, "goes with none of"),
        (CUDA, ("--device", "gpu", "--kernel", "own", "--kernel", "base"), 2, "one after another"),
    ],
)
def test_what_does_not_run_on_a_device_says_so(
    hardware: Hardware | None,
    arguments: Sequence[str],
    status: int,
    message: str,
    machine: Callable[[Hardware | None], list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = machine(hardware)
    assert validate(*arguments) == status
    assert message in capsys.readouterr().err and ran == []
