"""A part of what is known or installed: faults, kernels, folders of fixes, targets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Ran, Runner
from tests.cli.sample import GLUON, STAGE1, WRAPPER, findings


def test_check_by_fault(run: Runner, sample: Path) -> None:
    for fault, other in (("column-bound", "row-offset-32"), ("row-offset-32", "column-bound")):
        ran = run("check", "--path", sample, "--fault", fault)
        assert ran.status == 1
        assert f"verdict: affected: {fault} is present, and bites when:\n  {fault}  " in ran.text
        assert ran.text.endswith(f"next:    aiterfix apply --path {sample} --fault {fault}\n")
        (aside,) = (line for line in ran.text.splitlines() if "not asked about: " in line)
        assert f"{other} (present)" in aside
    both = run("check", "--path", sample, "--fault", "column-bound", "--fault", "row-offset-32", "--json")
    assert both.json("check")["asked"] == ["column-bound", "row-offset-32"]
    for words, said in (
        (["--fault", "bogus"], "no fault is known by the name 'bogus'"),
        (["--fault", "column-bound", "--kernel", "gluon"], "--fault does not go with --kernel"),
        (["--no-fault", "bogus"], "no fault is known by the name 'bogus'"),
        (["--no-fault", "column-bound", "--kernel", "gluon"], "--no-fault does not go with --kernel"),
        (["--no-fault", "column-bound", "--fault", "row-offset-32"], "--fault does not go with --no-fault"),
        ([w for fault in _deciding(both) for w in ("--no-fault", fault)], "--no-fault leaves nothing to ask about"),
    ):
        wrong = run("check", "--path", sample, *words)
        assert wrong.status == 2 and said in wrong.err


def _deciding(ran: Ran) -> list[str]:
    """Every fault that a report on a part of them lists, which holds all that decide."""
    return [fault["id"] for fault in ran.json("check")["faults"]]


def test_a_fault_is_left_in(run: Runner, sample: Path) -> None:
    before = run("check", "--path", sample, "--json").json("check")["asked"]
    left_in = ("block-paging", "triton-3-5-1")
    words = [word for fault in left_in for word in ("--no-fault", fault)]
    affected = run("check", "--path", sample, *words).text
    assert affected.endswith(f"next:    aiterfix apply --path {sample} {' '.join(words)}\n")
    patch = run("diff", "--path", sample, *words).text
    assert patch and patch != run("diff", "--path", sample).text
    ran = run("apply", "--path", sample, "--require", *words)
    assert ran.status == 0
    assert "mended cache-offset-32" in ran.text and "mended block-paging" not in ran.text
    assert ", block-paging in" not in ran.text
    assert "verdict now: clean: " in ran.text and "  not asked about: block-paging (present)" in ran.text
    asked = run("check", "--path", sample, "--json", *words).json("check")
    assert asked["verdict"] == "clean"
    assert asked["asked"] == [fault for fault in before if fault not in left_in]
    aside = run("check", "--path", sample, *words).text
    assert "not asked about: block-paging (present)" in aside
    # What is left in on purpose is not offered again.
    (step,) = [line for line in aside.splitlines() if line.startswith("next: ")]
    assert step == "next:    nothing that the verdict hangs on; left in on purpose: block-paging, triton-3-5-1"
    whole = run("check", "--path", sample, "--json").json("check")
    assert whole["verdict"] == "affected"
    assert [f["id"] for f in whole["faults"] if f["presence"] == "present" and f["id"] in whole["asked"]] == [
        "block-paging"
    ]


def test_a_fault_of_the_compiler_is_left_out(run: Runner, sample: Path) -> None:
    for folder, name, text in (
        ("triton", "__init__.py", "__version__ = '3.5.1'\n"),
        ("triton-3.5.1.dist-info", "METADATA", "Metadata-Version: 2.1\nName: triton\nVersion: 3.5.1\n"),
    ):
        (sample / folder).mkdir()
        (sample / folder / name).write_text(text)
    assert run("check", "--path", sample).text.count("  triton-3-5-1 ") == 1
    left_out = run("check", "--path", sample, "--no-fault", "triton-3-5-1").text
    assert "  triton-3-5-1 " not in left_out and "not asked about: triton-3-5-1 (present)" in left_out


def test_a_fault_is_mended_alone(run: Runner, sample: Path) -> None:
    ran = run("apply", "--path", sample, "--fault", "row-offset-32", "--require")
    assert ran.status == 0
    assert "mended row-offset-32 in 2 places" in ran.text and "mended column-bound" not in ran.text
    data = run("check", "--path", sample, "--json").json("check")
    assert data["verdict"] == "affected"
    presence = {f["id"]: f["presence"] for f in data["faults"]}
    assert (presence["column-bound"], presence["row-offset-32"]) == ("present", "absent")
    assert run("apply", "--path", sample, "--require").status == 0
    assert run("check", "--path", sample).status == 0


def test_check_by_kernel(run: Runner, sample: Path) -> None:
    assert run("check", "--path", sample, "--kernel", "stage1").status == 1
    unknown = run("check", "--path", sample, "--kernel", "bogus")
    assert unknown.status == 2
    assert "auto, gluon, stage1, all" in unknown.err
    assert run("check", "--path", sample, "--kernel", "all", "--json").json("check")["asked"] == ["column-bound"]
    # Where a release has no Gluon kernels, the others are what consumers take.
    (sample / GLUON).unlink()
    assert run("check", "--path", sample).status == 3  # the wrapper still takes them from somewhere
    (sample / WRAPPER).unlink()
    ran = run("check", "--path", sample, "--kernel", "auto", "--json")
    assert ran.status == 1
    assert [f["presence"] for f in findings(ran.json("check"), STAGE1)] == ["present", "absent"]


def test_several_targets_are_each_judged(run: Runner, sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(sample, other)
    assert run("apply", "--path", other, "--require").status == 0
    assert run("check", other).status == 0
    for order in ((sample, other), (other, sample)):
        ran = run("check", *order)
        assert ran.status == 1, "the worst decides"
        words = ("amd-aiter", "  affected", "  clean", "verdict: ")
        first, said, second, then, overall = [line for line in ran.text.splitlines() if line.startswith(words)]
        assert [first, second] == [f"amd-aiter 0.0.1+sample, wheel: {p}/aiter" for p in order]
        assert [said, then] == [f"  {'affected' if p == sample else 'clean'}" for p in order]
        assert overall.startswith("verdict: affected: ")
    assert run("check", sample, "--json").out == run("check", "--path", sample, "--json").out
    assert run("check", sample, "--path", other).status == 1
    assert run("check", sample, tmp_path / "nowhere").status == 2
    wrong = run("check", sample, "--python", sys.executable)
    assert wrong.status == 2 and "PATH does not go with --python" in wrong.err


def test_several_installations(run: Runner, sample: Path, tmp_path: Path) -> None:
    second = tmp_path / "root" / "usr" / "lib" / "python3" / "dist-packages"
    third = tmp_path / "root" / "opt" / "venv" / "lib" / "python3.12" / "site-packages"
    for site in (second, third):
        site.mkdir(parents=True)
        shutil.copytree(sample, site, dirs_exist_ok=True)
    data = run("check", "--path", tmp_path / "root", "--json").json("check")
    assert len(data["installations"]) == 2
    applied = run("apply", "--path", tmp_path / "root", "--require", "--json").json("apply")
    assert [i["verdict"] for i in applied["installations"] if not i["shadowed"]]
    assert applied["verdict"] == "clean"


def test_another_interpreter(run: Runner, sample: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    shutil.copytree(sample, site, dirs_exist_ok=True)
    ran = run("check", "--python", tmp_path / "venv" / "bin" / "python")
    assert ran.status == 1
    assert str(site / "aiter") in ran.text
    missing = run("check", "--python", tmp_path / "nothing")
    assert missing.status in (2, 4)
    assert "nothing" in missing.err


def test_a_fix_for_another_kernel_needs_a_new_file_only(run: Runner, sample: Path, tmp_path: Path) -> None:
    (sample / "aiter/ops/mla.py").write_text(
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef _mla_scores(scores, stride_s, n_max, N: tl.constexpr):\n"
        "    row = tl.program_id(0)\n    for start in range(0, n_max, N):\n"
        "        tl.store(scores + row * stride_s + start + tl.arange(0, N), 0.0)\n"
    )
    folder = tmp_path / "fixes"
    folder.mkdir()
    (folder / "mla.toml").write_text(
        'schema = 2\nid = "mla-scores"\ntitle = "mla scores past a row"\nverb = "bound-column"\ngoes_wrong = "other rows"\n'
        'consequence = "wrong"\n[trigger]\nsentence = "always"\ncondition = "width > 0"\n'
        '[[groups]]\nname = "mla"\nmodules = ["aiter.ops.mla"]\nwrappers = []\n'
        '[[groups.kernels]]\nname = "_mla_scores"\noutput = "scores"\nstrides = ["stride_s"]\nbound = "n_max"\n'
    )
    assert "_mla_scores" not in run("check", "--path", sample, "--kernel", "all").text
    ran = run("check", "--path", sample, "--fixes", folder, "--kernel", "mla")
    assert ran.status == 1
    assert (
        "verdict: affected: 1 of the 2 faults asked about is present, and bites when:\n  mla-scores  always\n"
        in ran.text
    )
    dry = run("apply", "--path", sample, "--fixes", folder, "--dry-run")
    assert f"see the change with: aiterfix diff --path {sample} --fixes {folder}\n" in dry.text
    assert run("apply", "--path", sample, "--fixes", folder, "--require").status == 0
    assert "mask=tl.arange(0, N) < n_max - start" in (sample / "aiter/ops/mla.py").read_text()
    again = run("check", "--path", sample, "--fixes", folder, "--kernel", "mla")
    assert again.status == 0 and f"undo with `aiterfix revert --path {sample} --fixes {folder}`" in again.text
    for text, said in (
        ("schema = 1\n", "mla.toml: schema: 1 is the fix file of aiterfix 0.1"),
        ((folder / "mla.toml").read_text().partition("[[groups.kernels]]")[0], "kernels: must declare at least one"),
    ):
        (folder / "mla.toml").write_text(text)
        broken = run("check", "--path", sample, "--fixes", folder)
        assert broken.status == 3
        assert said in broken.err
