"""`doctor`: one screen that agrees with `check`, and one next step that can be taken."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from aiterfix.cli import steps
from tests.cli.conftest import Runner
from tests.trees import write

POINTS = "[vllm.general_plugins]\naiterfix = x:vllm\n\n[sglang.srt.plugins]\naiterfix = x:sglang\n"


def triton(site: Path, version: str) -> None:
    write(site / "triton/__init__.py", f"__version__ = '{version}'\n")
    write(site / f"triton-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: triton\nVersion: {version}\n")


def engine(site: Path, name: str = "vllm") -> None:
    write(site / f"{name}/__init__.py")
    write(site / f"{name}-0.33.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.33.0\n")


def test_a_screen_of_what_is_there(run: Runner, sample: Path) -> None:
    engine(sample)
    triton(sample, "3.5.1")
    ran = run("doctor", "--path", sample)
    assert ran.status == 1 and ran.err == ""
    lines = ran.text.splitlines()
    assert len(lines) <= 24
    assert lines[1] == f"aiter      amd-aiter 0.0.1+sample, wheel: {sample}/aiter"
    assert f"vllm       0.33.0: {sample}/vllm; does not load aiterfix: aiterfix is not installed beside it" in lines
    assert lines[-1].startswith(f"next       aiterfix apply --path {sample} for what can be mended; triton-3-5-1 stays")
    assert "           can be patched: yes" in lines
    assert any(line.startswith("Triton     3.5.1 (PyPI's, by its metadata): triton-3-5-1: ") for line in lines)
    checked = run("check", "--path", sample, "--json").json("check")
    data = run("doctor", "--path", sample, "--json").json("doctor")
    assert data["verdict"] == checked["verdict"] and f"verdict    {checked['verdict']}" in lines
    present = [f["id"] for f in checked["faults"] if f["decides"] and f["presence"] == "present"]
    assert "triton-3-5-1" in present and data["aiter"][0]["present"] == present
    assert data["python"] is None and data["hook"]["active"] is None
    assert data["triton"] == {"version": "3.5.1", "published": True, "troubles": data["triton"]["troubles"]}
    assert len(data["triton"]["troubles"]) == 1


def test_a_mended_tree_needs_nothing(run: Runner, sample: Path) -> None:
    triton(sample, "3.7.1")
    assert run("apply", "--path", sample, "--require").status == 0
    ran = run("doctor", "--path", sample)
    assert ran.status == 0
    assert "verdict    clean" in ran.text and "brings no known fault" in ran.text and "patched on disk by" in ran.text
    assert "next       aiterfix apply" not in ran.text


@pytest.mark.parametrize(
    ("engines", "ours", "env", "step"),
    [
        ((), False, {}, "have its interpreter mend the kernels at import: aiterfix run -- COMMAND"),
        (("vllm",), True, {}, "start vllm with AITERFIX=require: it mends the kernels at import, or refuses to go on"),
        (("vllm",), True, {"VLLM_PLUGINS": "other"}, "add aiterfix to VLLM_PLUGINS, so that vllm mends the kernels"),
        (("vllm",), False, {}, "have its interpreter mend the kernels at import: aiterfix run -- COMMAND"),
        (("atom",), True, {}, "have its interpreter mend the kernels at import: aiterfix run -- COMMAND"),
    ],
)
def test_where_nothing_may_be_written_the_step_writes_nothing(
    run: Runner,
    sample: Path,
    monkeypatch: pytest.MonkeyPatch,
    engines: tuple[str, ...],
    ours: bool,
    env: dict[str, str],
    step: str,
) -> None:
    for name in engines:
        engine(sample, name)
    if ours:
        write(sample / "aiterfix-0.1.0.dist-info/entry_points.txt", POINTS)
    monkeypatch.setattr(steps, "obstacle_to_writing", lambda folders: f"{next(iter(folders))} is shut")
    ran = run("doctor", "--path", sample, env=env)
    assert ran.text.splitlines()[-1].startswith(f"next       {step}")
    assert f"can be patched: no, {sample}/aiter/ops/triton" in ran.text
    (seen,) = run("doctor", "--path", sample, "--json", env=env).json("doctor")["aiter"]
    assert (seen["writable"], seen["obstacle"].endswith(" is shut")) == (False, True)


def test_of_archives_the_step_is_what_can_be_done_with_them(run: Runner, sample: Path, tmp_path: Path) -> None:
    (info,) = sample.glob("*.dist-info")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel = tmp_path / "amd_aiter-0.0.1-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for file in sorted(p for p in sample.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(sample))
    ran = run("doctor", "--path", wheel)
    assert ran.status == 1 and ran.text.endswith(f"next       aiterfix apply --path {wheel}\n")
    assert "can be patched: yes" in ran.text
    image = tmp_path / "image.tar"
    with tarfile.open(image, "w") as archive_of_image:
        archive_of_image.add(sample, "opt/venv/lib/python3.12/site-packages")
        for name in ("usr", "etc", "var", "bin"):
            archive_of_image.addfile(folder_entry(name))
    ran = run("doctor", "--root", image)
    assert "can be patched: no, an image is read and never written to" in ran.text
    assert "aiterfix run" not in ran.text and "in its Dockerfile: RUN " in ran.text.splitlines()[-1]


def folder_entry(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def test_what_could_not_be_read_is_named(run: Runner, sample: Path) -> None:
    file = sample / "aiter/ops/triton/gluon/pa_mqa_logits.py"
    file.unlink()
    file.mkdir()
    ran = run("doctor", "--path", sample)
    assert ran.status == 3 and f"could not be read: {file}: " in ran.text
    assert ran.text.splitlines()[-1].startswith(f"next       have {file} readable")
    assert run("doctor", "--path", sample, "--json").json("doctor")["doubts"][0].startswith(f"{file}: ")


def test_of_an_interpreter_it_tells_about_the_hook(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    data = run("doctor", "--json", env={"AITERFIX": "require"}).json("doctor")
    assert data["python"] == sys.executable and data["hook"]["active"] is False
    assert data["hook"]["mode"] == "require"
    wrong = run("doctor", env={"AITERFIX": "sometimes"}).text
    assert "AITERFIX='sometimes' is none of auto, off, require" in wrong
    assert run("doctor", "--path", "/nowhere").status == 2
    assert run("doctor", "--python", "/nowhere/python").status in (2, 4)


def test_it_imports_nothing_heavy(sample: Path) -> None:
    """A process of its own: what a test has imported is not what the command does."""
    heavy = ("torch", "triton", "aiter", "numpy", "vllm", "sglang", "aiterfix.engines.read", "aiterfix.validation.run")
    script = (
        "import sys; from aiterfix.cli.main import main; status = main()\n"
        f"print(status, [m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    for name in ("torch", "triton", "vllm"):
        write(sample / f"{name}/__init__.py", "raise RuntimeError('imported')\n")
    command = [sys.executable, "-c", script, "doctor", "--path", str(sample)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=sample)
    assert done.stderr == "1 []\n"
