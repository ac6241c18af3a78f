"""diff, apply and revert, and the demonstration of all three."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Runner, contents
from tests.cli.sample import GLUON, STAGE1, WRAPPER, findings


def test_diff_apply_revert(run: Runner, sample: Path, tmp_path: Path) -> None:
    before = contents(sample)
    patch = run("diff", "--path", sample)
    assert patch.status == 0
    assert run("diff", "--path", sample, "--json").json("diff")["diff"] == patch.text

    dry = run("apply", "--path", sample, "--dry-run")
    assert dry.status == 0
    (would,) = (line for line in dry.text.splitlines() if f"{GLUON}: would mend " in line)
    assert "cache-offset-32 in 4 places, column-bound in 3 places" in would and "row-offset-32 in 2 places" in would
    assert contents(sample) == before
    assert run("apply", "--path", sample, "--dry-run", "--json").json("apply")["dry_run"] is True

    done = run("apply", "--path", sample, "--require")
    assert done.status == 0
    assert done.err == ""
    for promise in (
        would.replace("would mend", "mended").strip(),
        f"{STAGE1}: mended cache-offset-32 in 2 places, column-bound in 1 place, row-offset-32 in 2 places",
        "verdict now: clean: ",
        "aiterfix check --path",
        "aiterfix revert --path",
    ):
        assert promise in done.text
    after = contents(sample)
    assert {n for n in before if before[n] != after[n]} == {GLUON, STAGE1, "amd_aiter-0.0.1+sample.dist-info/RECORD"}
    check = run("check", "--path", sample)
    assert check.status == 0
    assert "verdict: clean: " in check.text
    assert "patched on disk by aiterfix" in check.text
    data = run("check", "--path", sample, "--json").json("check")
    assert data["installations"][0]["patch"]["state"] == "applied"
    assert [len(findings(data, file)) for file in (GLUON, STAGE1)] == [4, 2]
    for file in (GLUON, STAGE1):
        assert {f["presence"] for fault in data["asked"] for f in findings(data, file, fault)} == {"absent"}
    assert run("diff", "--path", sample).out == b""

    again = run("apply", "--path", sample, "--require", "--json").json("apply")
    assert again["installations"][0]["changed"] is False
    assert contents(sample) == after

    # The diff gives what apply wrote, by either tool.
    for tool in (["patch", "-p1", "-s"], ["git", "apply"]):
        if shutil.which(tool[0]) is None:
            continue
        copy = tmp_path / tool[0]
        for name in (GLUON, STAGE1):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(before[name])
        subprocess.run(tool, input=patch.out, cwd=copy, check=True)
        for name in (GLUON, STAGE1):
            assert (copy / name).read_bytes() == after[name]

    back = run("revert", "--path", sample, "--json").json("revert")
    assert len(back["installations"][0]["restored"]) == 2
    assert contents(sample) == before
    assert "nothing to do" in run("revert", "--path", sample).text


def test_apply_says_why_what_is_left_cannot_be_mended(run: Runner, sample: Path) -> None:
    (sample / STAGE1).write_text(
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef put(p, c):\n    tl.store(p + c, 0.0)\n\n\n"
        "@triton.jit\ndef _deepgemm_fp8_paged_mqa_logits_stage1(\n"
        "    Out_buffer, stride_out_heads, stride_out_batch, max_model_len, ChunkK: tl.constexpr\n):\n"
        "    put(Out_buffer + tl.program_id(0) * stride_out_batch, tl.arange(0, ChunkK))\n"
    )
    before = contents(sample)
    ran = run("apply", "--path", sample, "--kernel", "stage1")
    assert ran.status != 0
    assert "nothing could be mended: " in ran.text
    assert "column-bound cannot be mended here: the store stands in put()" in ran.text
    assert "nothing to do" not in ran.text
    assert contents(sample) == before


@pytest.mark.parametrize("ending", [b"\r\n", b""], ids=["CRLF", "no final newline"])
def test_diff_of_odd_files_applies(run: Runner, sample: Path, ending: bytes) -> None:
    text = (sample / GLUON).read_bytes()
    text = text.replace(b"\n", b"\r\n") if ending else text.rstrip(b"\n")
    (sample / GLUON).write_bytes(text)
    patch = run("diff", "--path", sample, "--kernel", "gluon")
    run("apply", "--path", sample, "--kernel", "gluon")
    wanted = (sample / GLUON).read_bytes()
    (sample / GLUON).write_bytes(text)
    subprocess.run(["git", "apply"], input=patch.out, cwd=sample, check=True)
    assert (sample / GLUON).read_bytes() == wanted
    assert wanted.endswith(b"\r\n" if ending else b")")
    assert wanted.count(b"\n") - wanted.count(b"\r\n") == (0 if ending else wanted.count(b"\n"))


def test_revert_refuses_a_file_changed_since(run: Runner, sample: Path) -> None:
    run("apply", "--path", sample)
    with (sample / GLUON).open("ab") as file:
        file.write(b"# mine\n")
    before = contents(sample)
    ran = run("revert", "--path", sample)
    assert ran.status == 1
    assert "pa_mqa_logits.py" in ran.err
    assert contents(sample) == before
    assert "foreign" in run("check", "--path", sample).text


def test_demo(run: Runner, tmp_path: Path) -> None:
    ran = run("demo")
    assert ran.status == 0
    assert "Every file is again as it was, byte for byte." in ran.text
    assert run("demo", "--json").json("demo")["passed"] is True
    assert run("demo", "--keep", tmp_path / "kept").status == 0
    assert (tmp_path / "kept" / GLUON).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop privileges")
def test_read_only_installation_is_refused(sample: Path) -> None:
    for path in [sample, *sample.rglob("*"), *sample.parents]:
        if path.is_relative_to(Path("/tmp")) and path != Path("/tmp"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    before = contents(sample)
    code = "import os, sys; os.setgid(65534); os.setuid(65534)\nfrom aiterfix.cli import main\n"
    code += f"sys.exit(main(['apply', '--path', {str(sample)!r}]))"
    readable = subprocess.run(
        [sys.executable, "-c", "import os; os.setuid(65534); import aiterfix.cli.main"],
        capture_output=True,
        check=False,
    )
    if readable.returncode != 0:
        pytest.skip("another user cannot read this checkout")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "What to do:" in done.stderr
    assert contents(sample) == before


def test_diff_of_a_text_in_another_encoding(run: Runner, sample: Path) -> None:
    """And of a file whose name is no UTF-8."""
    text = b"# coding: latin-1\n# \xe9\n" + (sample / GLUON).read_bytes()
    (sample / GLUON).write_bytes(text)
    odd = sample / "aiter/ops" / os.fsdecode(b"k\xff.py")
    odd.write_bytes((sample / STAGE1).read_bytes())
    (sample / STAGE1).unlink()
    (sample / WRAPPER).unlink()
    patch = run("diff", "--path", sample)
    assert patch.status == 0 and b'+++ "b/aiter/ops/k\\377.py"\n' in patch.out
    said = run("diff", "--path", sample, "--json").json("diff")["diff"]
    assert said.encode("utf-8", "surrogateescape") == patch.out
    subprocess.run(["git", "apply"], input=patch.out, cwd=sample, check=True)
    assert run("check", "--path", sample).status == 0
