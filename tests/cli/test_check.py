"""What check says of an installation."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.validation.evidence import Evidence, keep, names_digest
from tests.cli.conftest import Runner, contents
from tests.cli.sample import GLUON, STAGE1, WRAPPER, findings
from tests.trees import unrelated_package


def test_check_affected(run: Runner, sample: Path) -> None:
    ran = run("check", "--path", sample)
    assert ran.status == 1
    assert ran.err == ""
    data = run("check", "--path", sample, "--json").json("check")
    present = [f["id"] for f in data["faults"] if f["presence"] == "present" and f["decides"]]
    assert {"cache-offset-32", "column-bound", "row-offset-32"} <= {*present}
    heading, unreleased, more, verdict, *rest = ran.text.splitlines()
    assert heading == f"amd-aiter 0.0.1+sample, wheel: {sample}/aiter"
    assert unreleased.startswith(f"  {STAGE1}: sha256 ") and " is in no tag of ROCm/aiter " in unreleased
    assert more == "  … and 1 more files that are not as released (-v)"
    of = f"{len(present)} of the {len(data['asked'])} faults asked about"
    assert verdict == f"verdict: affected: {of} are present, and each bites when:"
    # Each of them with its sentence, one aside, one next step: nothing else.
    triggers = {f["id"]: f["trigger"] for f in data["faults"]}
    assert [line.split(maxsplit=1) for line in rest[: len(present)]] == [[f, triggers[f]] for f in present]
    assert len(rest) == len(present) + 2
    assert rest[-1] == f"next:    aiterfix apply --path {sample}"
    full = run("check", "--path", sample, "-v").text
    assert f"  {GLUON}: sha256 " in full
    assert "\n".join(["", verdict, *rest, ""]) in full and "start < max_model_len` bounds another expression" in full
    # Words of the source's reader are explained, and what is unsafe comes first.
    assert "is not kept below max_model_len (the column is bounded from below only)" in full and "(guard" not in full
    rows = [line.split()[:3] for line in full.partition(f"\n{GLUON}  sha256 ")[2].splitlines()[2:]]
    harmless = [presence in ("absent", "refused") for _, _, presence in rows]
    assert harmless == sorted(harmless) and len({*harmless}) == 2

    assert data["verdict"] == "affected"
    assert data["asked"] == [f["id"] for f in data["faults"] if f["decides"]]
    assert "not asked about: triton-3-5-1 (depends on the Triton that compiles the kernels" in ran.text
    (installation,) = data["installations"]
    assert (installation["distribution"], installation["kind"]) == ("amd-aiter", "wheel")
    assert [Path(f["path"]).relative_to(sample).as_posix() for f in installation["files"]] == [STAGE1, GLUON]
    bounds = findings(data, GLUON)
    assert [f["details"]["guard"] for f in bounds] == ["lower", "both", "none", "lower"]
    assert [f["presence"] for f in bounds] == ["present", "absent", "present", "present"]
    assert ["mask" in f["details"] for f in bounds] == [True, True, False, True]
    assert "bounds another expression" in bounds[3]["details"]["note"]
    assert [f["presence"] for f in findings(data, GLUON, "row-offset-32")] == ["present", "absent", "absent", "present"]
    assert [f["presence"] for f in findings(data, STAGE1, "row-offset-32")] == ["present", "present"]
    gathers = findings(data, GLUON, "cache-offset-32")
    assert [f["presence"] for f in gathers] == ["present"] * 4
    assert [f["details"]["block-sizes"] for f in gathers] == ["any"] * 4
    assert [f["presence"] for f in findings(data, STAGE1, "cache-offset-32")] == ["present", "present"]


_NOT_JUDGED = """
schema = 2
id = "new-fault"
title = "something that has no verb yet"
goes_wrong = "logits are wrong"
consequence = "wrong"

[trigger]
sentence = "always"
"""


def test_known_faults_are_named_where_they_are_not_judged(run: Runner, sample: Path, tmp_path: Path) -> None:
    assert run("check", "--path", sample, "--json").json("check")["not_judged"] == []
    assert "not judged yet" not in run("check", "--path", sample).text
    (tmp_path / "fixes").mkdir()
    (tmp_path / "fixes" / "new-fault.toml").write_text(_NOT_JUDGED)
    for words in (["check"], ["apply", "--dry-run"]):
        ran = run(*words, "--path", sample, "--fixes", tmp_path / "fixes")
        assert "1 known fault not judged yet: new-fault\n" in ran.text
    wrong = run("check", "--path", sample, "--fixes", tmp_path / "fixes", "--fault", "new-fault")
    assert wrong.status == 2
    assert "new-fault is a known fault that this version does not judge yet" in wrong.err


def test_the_word_alone(run: Runner, sample: Path, tmp_path: Path) -> None:
    assert (run("check", sample, "-q").text, run("check", sample, "-q").status) == ("affected\n", 1)
    empty = tmp_path / "lib/python3.11/site-packages"
    empty.mkdir(parents=True)
    assert run("check", empty, "--quiet").text == "not-installed\n"
    for words in (["-q", "-v"], ["-q", "--json"], ["-q", "--format", "sarif"]):
        wrong = run("check", sample, *words)
        assert wrong.status == 2 and "does not go with" in wrong.err + wrong.text


def test_what_takes_a_fault_out_is_told_by_its_kind(run: Runner, sample: Path) -> None:
    def mends() -> dict[str, tuple[str, bool]]:
        data = run("check", sample, "--json").json("check")
        return {f["id"]: (f["mend"]["kind"], f["mend"]["available"]) for f in data["faults"]}

    before = mends()
    assert before["column-bound"] == ("edit", True)
    assert before["triton-3-5-1"][0] == before["launch-arguments"][0] == before["instruction-shape"][0] == "none"
    assert before["output-rank"][0] == before["small-chunk"][0] == "refusal"
    assert run("apply", "--path", sample).status == 0
    assert mends()["column-bound"] == ("edit", False)


def test_what_mends_a_fault_that_was_not_asked_about_asks_about_it(run: Runner, sample: Path) -> None:
    faults = run("check", sample, "--json", "--no-fault", "column-bound").json("check")["faults"]
    remedies = {f["id"]: f["mend"]["remedy"] for f in faults if f["mend"]["available"]}
    assert remedies["column-bound"] == f"aiterfix apply --path {sample} --fault column-bound"
    assert remedies["cache-offset-32"] == f"aiterfix apply --path {sample} --no-fault column-bound"


def test_check_not_installed_and_unrelated(run: Runner, tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    ran = run("check", "--path", site)
    assert ran.status == 4
    assert "verdict: not-installed" in ran.text
    unrelated_package(site)
    ran = run("check", "--path", site)
    assert ran.status == 4
    assert "passed over" in ran.text
    data = run("check", "--path", site, "--json").json("check")
    assert data["installations"] == []
    assert [s["doubt"] for s in data["skipped"]] == [False]
    for command in ("diff", "apply", "revert"):
        ran = run(command, "--path", site, "--json")
        assert ran.status == 4
        assert ran.json(command)["error"]["what"] == "no aiter is installed here"


def test_check_without_kernels_is_clean(run: Runner, sample: Path) -> None:
    for file in (GLUON, STAGE1):
        (sample / file).unlink()
    assert run("check", "--path", sample).status == 3  # the wrapper still takes them from somewhere
    (sample / WRAPPER).unlink()
    ran = run("check", "--path", sample)
    assert ran.status == 0
    assert "verdict: clean: the package has none of the kernels" in ran.text
    assert run("apply", "--path", sample, "--require").status == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t.replace(b"max_model_len,\n    max_block_len,", b"max_block_len,", 1),
        lambda t: t.replace(b"    rows = batch_size * next_n\n", b"    max_model_len = 7\n", 1),
        lambda t: t + b"\ndef broken(:\n",
        lambda t: t + b"# \xff\n",
        lambda t: t + t[t.index(b"@gluon.jit") :],
        lambda t: t.replace(b"gl.amd.cdna3.buffer_store(", b"helper(", 1),
        lambda t: t.replace(b"mask=column >= 0,", b"**extra,", 1),
    ],
    ids=["no bound parameter", "bound reassigned", "syntax", "not UTF-8", "twice", "helper", "kwargs"],
)
def test_source_not_understood_is_never_touched(run: Runner, sample: Path, damage: object) -> None:
    assert callable(damage)
    old = (sample / GLUON).read_bytes()
    (sample / GLUON).write_bytes(damage(old))
    assert (sample / GLUON).read_bytes() != old
    before = contents(sample)
    ran = run("check", "--path", sample)
    assert ran.status == 3
    assert "verdict: unknown" in ran.text
    for words in (["apply"], ["apply", "--require"], ["diff"], ["apply", "--json"]):
        ran = run(*words, "--path", sample)
        assert ran.status == 3
        assert GLUON in ran.err + ran.text
    assert contents(sample) == before
    # The other path is understood, and may be asked about and patched alone. Not where the file itself is broken.
    assert run("check", "--path", sample, "--kernel", "stage1").status in (1, 3)


def as_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        (
            as_fifo,
            "have {} readable (is a FIFO, not a regular file), or install aiter again",
        ),
        (lambda f: (f.unlink(), f.mkdir()), "have {} readable ("),
        (lambda f: f.write_bytes(b"def broken(:\n"), f"mend {GLUON}, which does not parse, or install aiter again"),
        (
            lambda f: f.write_bytes(f.read_bytes() + b"# \xff\n"),
            f"mend {GLUON}, which does not parse, or install aiter again",
        ),
        (
            lambda f: f.write_bytes(f.read_bytes().replace(b"gl.amd.cdna3.buffer_store(", b"helper(", 1)),
            "keep (or add) 256 padding columns in the caller, which is enough against stores past a row, and report",
        ),
    ],
    ids=["fifo", "folder", "syntax", "encoding", "not understood"],
)
def test_what_to_do_about_an_unknown_is_what_can_be_done(run: Runner, sample: Path, damage: Any, step: str) -> None:
    damage(sample / GLUON)
    ran = run("check", sample)
    assert ran.status == 3
    last = ran.text.splitlines()[-1]
    assert last.startswith(f"next:    {step.format(sample / GLUON)}") and "256 padding columns" in last
    # Only of what was read is there a digest to report.
    assert ("report the file's digest" in last) == step.startswith("keep")
    assert "sha256 e3b0c442" not in ran.text + run("check", sample, "-v").text
    (installation,) = run("check", sample, "--json").json("check")["installations"]
    (digest,) = [f["sha256"] for f in installation["files"] if f["path"].endswith(GLUON)]
    assert bool(digest) == (sample / GLUON).is_file()


def test_prebuilt_code_objects_are_unknown_when_enabled(run: Runner, sample: Path) -> None:
    folder = sample / "aiter/ops/triton/configs/paged_mqa_logits/aot/one"
    folder.mkdir(parents=True)
    (folder / "kernel.hsaco").write_bytes(b"\x7fELF")
    run("apply", "--path", sample)
    ran = run("check", "--path", sample)
    assert ran.status == 0
    assert "1 prebuilt code objects" in ran.text
    enabled = {"AITER_ENABLE_AOT_GLUON_PA_MQA_LOGITS": "1"}
    ran = run("check", "--path", sample, env=enabled)
    assert ran.status == 3
    assert "IN USE instead of the source" in ran.text
    assert run("check", "--path", sample, "--kernel", "stage1", env=enabled).status == 0
    assert run("apply", "--path", sample, env=enabled).status == 0
    assert run("apply", "--path", sample, "--require", env=enabled).status == 3


def test_one_kernel_without_its_siblings(run: Runner, sample: Path) -> None:
    text = (sample / GLUON).read_bytes()
    cut = text.index(b"@gluon.jit", text.index(b"@gluon.jit") + 1)
    moved = sample / "aiter/ops/elsewhere.py"
    moved.write_bytes(text[:cut])
    (sample / GLUON).unlink()
    (sample / WRAPPER).unlink()
    ran = run("check", "--path", sample)
    assert ran.status == 1
    assert "aiter/ops/elsewhere.py" in ran.text
    assert run("apply", "--path", sample, "--require").status == 0


def test_digest_is_cross_checked_with_the_version(run: Runner, sample: Path) -> None:
    data = run("check", "--path", sample, "--json").json("check")
    file = data["installations"][0]["files"][0]
    assert file["releases"] == []
    assert "is in no tag of ROCm/aiter" in file["note"]
    assert "is in no tag of ROCm/aiter" in run("check", "--path", sample).text
    run("apply", "--path", sample)
    data = run("check", "--path", sample, "--json").json("check")
    assert {f["releases"] for f in data["installations"][0]["files"]} == {None}


def test_padding_says_what_to_do(run: Runner, sample: Path) -> None:
    wanted = ("padding", "--max-model-len", "1000", "--block-size", "64", "--path", sample)
    (line,) = [line for line in run(*wanted).text.splitlines() if line.startswith("next:")]
    assert line == f"next:     `aiterfix apply --path {sample}`, or rows of 1000 + 255 columns in the caller"
    assert run("apply", "--path", sample).status == 0
    assert run(*wanted).text.splitlines()[-1] == "next:     nothing"


def test_recorded_runs_of_the_very_text_are_shown(run: Runner, sample: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((sample / GLUON).read_bytes()).hexdigest()
    ran, by = ((digest, digest, (), "3.6.0", "emulator"), ("0.2.0", "2026-08-22"))
    made = Evidence(*ran, "quick", 37, names_digest(["a"]), 12, (("column-bound", "failed"),), *by)
    for evidence in (made, replace(made, suite="full", scenarios=565, failed=0)):
        keep(evidence, tmp_path / "cache" / "evidence")
    text = run("check", "--path", sample, "-v").text
    assert "failed: 12 of 37 quick scenarios on emulator, Triton 3.6.0, 2026-08-22\n" in text
    assert "passed: 565 full scenarios, but for those of column-bound, on emulator, Triton 3.6.0, 2026-08-22\n" in text
    (file,) = [
        f
        for f in run("check", "--path", sample, "--json").json("check")["installations"][0]["files"]
        if f["sha256"] == digest
    ]
    assert sorted((e["outcome"], e["failed"]) for e in file["evidence"]) == [
        ("failed", 0),
        ("failed", 12),
    ]  # by a known fault, too
