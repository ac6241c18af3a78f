"""check, diff, apply, revert, demo: arguments, stdout, stderr, exit codes, JSON against its schema."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aiterfix.errors import install_line
from aiterfix.validation.evidence import Evidence, keep, names_digest
from tests import schemas
from tests.cli.conftest import Ran, Runner, contents
from tests.trees import unrelated_package

GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"
STAGE1 = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
WRAPPER = "aiter/ops/triton/attention/pa_mqa_logits.py"


def test_help_version_and_usage(run: Runner) -> None:
    overview = run("--help")
    assert overview.status == 0
    for command in ("check", "diff", "apply", "revert", "demo"):
        assert command in overview.text
        page = run(command, "--help")
        assert page.status == 0
        assert "exit codes:" in page.text
    for action in ("scan", "status", "export"):
        assert "exit codes:" in run("upstream", action, "--help").text
    assert run("--version").text.startswith("aiterfix ")
    for words in ([], ["bogus"], ["check", "--bogus"], ["check", "--path"], ["check", "--path", "a", "--python", "b"]):
        wrong = run(*words)
        assert wrong.status == 2
        assert wrong.out == b""
        assert "error" in wrong.err
        assert "--help" in wrong.err
    assert "aiterfix check: unrecognized arguments: --bogus" in run("check", "--bogus").err
    assert "See `aiterfix check --help`" in run("check", "--bogus").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "--path", ""], "--path: names nothing"),
        (["apply", "--python", ""], "--python: names nothing"),
        (["check", "--fixes", "/nowhere"], "/nowhere is no folder"),
        (["upstream", "status", "--offline", "--fixes", "/nowhere"], "/nowhere is no folder"),
        (["padding", "--max-model-len", "0", "--block-size", "64"], "--max-model-len: must be a whole number"),
        (
            ["padding", "--max-model-len", "1000", "--block-size", "64", "--next-n", "0"],
            "--next-n: must be a whole number",
        ),
        (["cost", "--context", "0"], "--context: must be a whole number"),
    ],
)
def test_arguments_that_name_nothing_are_usage_errors(run: Runner, words: list[str], said: str) -> None:
    ran = run(*words)
    assert ran.status == 2 and said in ran.err and ran.out == b""


def test_usage_error_under_json_is_an_object(run: Runner, tmp_path: Path) -> None:
    ran = run("check", "--json", "--path", tmp_path / "nowhere")
    assert ran.status == 2
    assert ran.json("check")["error"]["exit_code"] == 2
    assert run("check", "--json", "--bogus").status == 2
    assert run("check", "--json", "--bogus").json("check")["error"]["code"] == "usage"


def findings(data: Any, relative: str, fault: str = "column-bound") -> list[Any]:
    """Of one fault in one file of the only installation, in source order."""
    (installation,) = data["installations"]
    (file,) = [f for f in installation["files"] if f["path"].endswith(f"/{relative}")]
    return [f for u in file["units"] for f in u["findings"] if f["fault"] == fault]


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


@pytest.mark.parametrize("more", [[], ["--json"], ["--sarif"]])
def test_check_imports_what_reads_engines_only_where_asked_for(sample: Path, more: list[str]) -> None:
    script = (
        "import sys; from aiterfix.cli.main import main; main()\n"
        "print(sorted(m for m in sys.modules if m.startswith(('aiterfix.engines.', 'aiterfix.advice.padding'))), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "check", "--path", str(sample), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "['aiterfix.engines.locate']\n"


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


@pytest.mark.parametrize(
    "words",
    [
        *(
            ["check"],
            ["check", "-v"],
            ["check", "-q"],
            ["check", "--json"],
            ["check", "--ignore", "column-bound=padded"],
        ),
        *(["check", "--format", "html"], ["check", "--format", "markdown"], ["doctor"], ["doctor", "--json"]),
    ],
    ids=" ".join,
)
def test_a_process_says_what_the_command_says(process: Runner, run: Runner, sample: Path, words: list[str]) -> None:
    ran = process(*words, "--path", sample)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == run(*words, "--path", sample).out
    if words[-1] == "--json":
        ran.json(words[0])


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


def test_the_word_alone(run: Runner, sample: Path, tmp_path: Path) -> None:
    assert (run("check", sample, "-q").text, run("check", sample, "-q").status) == ("affected\n", 1)
    empty = tmp_path / "lib/python3.11/site-packages"
    empty.mkdir(parents=True)
    assert run("check", empty, "--quiet").text == "not-installed\n"
    for words in (["-q", "-v"], ["-q", "--json"], ["-q", "--format", "sarif"]):
        wrong = run("check", sample, *words)
        assert wrong.status == 2 and "does not go with" in wrong.err + wrong.text


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_a_form_by_its_old_option_and_by_its_name(run: Runner, sample: Path, form: str) -> None:
    ran = run("check", sample, "--format", form)
    assert ran.out == run("check", sample, f"--{form}").out == run("check", sample, "--format", form, f"--{form}").out
    assert ran.out.startswith(b"{")
    other = run("check", sample, "--format", "markdown", f"--{form}")
    assert other.status == 2 and f"--{form} and --format markdown cannot both be printed" in other.err + other.text


@pytest.mark.parametrize("form", ["json", "sarif", "markdown", "html"])
def test_forms_for_programs_are_in_full_always(run: Runner, sample: Path, form: str) -> None:
    assert run("check", "-v", sample, "--format", form).out == run("check", sample, "--format", form).out


def test_an_error_is_an_object_whichever_way_json_is_asked_for(run: Runner, tmp_path: Path) -> None:
    for words in (["--format", "json"], ["--format=json"]):
        assert run("check", tmp_path / "nowhere", *words).json("check")["error"]["code"] == "usage"
    plain = run("check", tmp_path / "nowhere", "--format", "markdown")
    assert plain.out == b"" and "does not exist" in plain.err


@pytest.mark.parametrize("form", ["text", "json", "sarif", "markdown"])
def test_a_report_goes_to_a_file_whole_or_not_at_all(process: Runner, sample: Path, tmp_path: Path, form: str) -> None:
    file, env = tmp_path / "report", {"FORCE_COLOR": "1"}
    printed = process("check", sample, "--format", form)
    kept = process("check", sample, "--format", form, "--output", file, env=env)
    assert (kept.status, kept.out, kept.err) == (printed.status, b"", "")
    assert file.read_bytes() == printed.out, "without the colours that are for a terminal"
    assert process("check", sample, "--format", form, "--output", "-").out == printed.out
    # A target that leads nowhere: what stood there stays.
    assert process("check", tmp_path / "nowhere", "--format", form, "--output", file).status == 2
    assert file.read_bytes() == printed.out
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_report_that_cannot_be_kept_is_an_error(run: Runner, sample: Path, tmp_path: Path) -> None:
    ran = run("check", sample, "--output", tmp_path / "no/report")
    assert (ran.status, ran.out) == (4, b"")
    assert f"the report could not be written to {tmp_path}/no/report" in ran.err
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "there").write_text("old")
    (tmp_path / "there").chmod(0o640)
    assert run("check", sample, "-q", "--output", tmp_path / "link").status == 1
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "affected\n"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o640
    assert run("check", sample, "-q", "--output", "/dev/null").status == 1
    assert Path("/dev/null").is_char_device()


def test_a_summary_in_markdown_cannot_be_forged(run: Runner, sample: Path) -> None:
    (metadata,) = sample.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: ", "Version: <img>|**clean**`@all "))
    ran = run("check", sample, "--format", "markdown", "--ignore", "column-bound=`**@all**`")
    lines = [line for line in ran.text.splitlines() if "@all" in line]
    # In code, where nothing is an element, a mention or bold; a backtick would end it.
    assert lines == [
        f"- `amd-aiter <img>|**clean**'@all 0.0.1+sample, wheel: {sample}/aiter`: **affected**",
        "- `ignored: column-bound (present): '**@all**' (--ignore)`",
    ]
    assert ran.text.splitlines()[-1] == f"Next: `aiterfix apply --path {sample}`"


def test_a_summary_says_what_is_not_understood(run: Runner, sample: Path) -> None:
    text = (sample / GLUON).read_bytes()
    (sample / GLUON).write_bytes(text.replace(b"gl.amd.cdna3.buffer_store(", b"helper(", 1))
    for form in ("markdown", "html"):
        ran = run("check", sample, "--format", form)
        assert ran.status == 3 and f"{GLUON}:" in ran.text and "helper" in ran.text


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek"], "Did you mean `aiterfix check`?"),
        (["validte", "--full"], "Did you mean `aiterfix validate`?"),
        (["help", "aply"], "Did you mean `aiterfix apply`?"),
        (["check", "--pth", "x"], "Did you mean --path?"),
        (["apply", "--no-falt", "x"], "Did you mean --no-fault?"),
        (["hook", "enabel"], "Did you mean enable?"),
        (["check", "--for", "vlm"], "Did you mean vllm?"),
        (["check", "--format", "htlm"], "Did you mean html?"),
        (["check", "--fault", "colum-bound"], "Did you mean column-bound?"),
        (["apply", "--no-fault", "row-offset-23"], "Did you mean row-offset-32?"),
    ],
)
def test_what_is_misspelt_is_told_what_was_meant(run: Runner, words: list[str], said: str) -> None:
    ran = run(*words)
    assert (ran.status, ran.out) == (2, b"") and said in ran.err


def test_nothing_is_suggested_for_what_is_like_nothing(run: Runner) -> None:
    for words in (["frobnicate"], ["check", "--frobnicate"], ["check", "--fault", "x"]):
        ran = run(*words)
        assert ran.status == 2 and "Did you mean" not in ran.err


def test_help_of_a_command(run: Runner) -> None:
    assert run("help").out == run("--help").out
    assert run("help", "check").out == run("check", "--help").out
    assert run("help", "upstream", "scan").out == run("upstream", "scan", "--help").out
    assert "exit codes:" in run("help", "doctor").text


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


def test_sarif(run: Runner, sample: Path) -> None:
    ran = run("check", "--path", sample, "--sarif")
    assert ran.status == 1
    log = json.loads(ran.out)
    results = log["runs"][0]["results"]
    bound, row = "column-bound", "row-offset-32"
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in results] == [r["ruleId"] for r in results]
    assert {r["level"] for r in results if r["ruleId"] != "triton-3-5-1"} == {"error"}
    assert {r["level"] for r in results if r["ruleId"] == "triton-3-5-1"} == {"note"}
    bounds = [r for r in results if r["ruleId"] == bound]
    assert ["bounds another expression" in r["message"]["text"] for r in bounds] == [False] * 3 + [True]
    assert len([r for r in results if r["ruleId"] == row]) == 4
    location = bounds[1]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == GLUON
    lines = (sample / GLUON).read_text().splitlines()
    assert "buffer_store" in lines[location["region"]["startLine"] - 1]
    assert run("check", "--path", sample, "--sarif", "--json").status == 2
    # Padding helps against stores past a row, and against nothing else.
    assert [r["id"] for r in rules[:-1] if "padding" in r["help"]["text"]] == [bound]
    # What was not asked about is a note, as `check` says it beside the verdict.
    alone = json.loads(run("check", "--path", sample, "--sarif", "--kernel", "gluon").out)["runs"][0]["results"]
    assert {r["level"] for r in alone if r["ruleId"] == row} == {"note"}
    assert [r["level"] for r in alone if r["ruleId"] == bound] == ["note", "error", "error", "error"]


@pytest.mark.skipif(
    "AITERFIX_SARIF_SCHEMA" not in os.environ,
    reason="AITERFIX_SARIF_SCHEMA is unset: it names sarif-schema-2.1.0.json of oasis-tcs/sarif-spec",
)
def test_sarif_keeps_to_the_published_schema(run: Runner, sample: Path) -> None:
    schema = json.loads(Path(os.environ["AITERFIX_SARIF_SCHEMA"]).read_bytes())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert list(validator.iter_errors(json.loads(run("check", "--path", sample, "--sarif").out))) == []
    assert list(validator.iter_errors({"version": "2.1.0"})), "the schema refuses what is none"


def test_demo(run: Runner, tmp_path: Path) -> None:
    ran = run("demo")
    assert ran.status == 0
    assert "Every file is again as it was, byte for byte." in ran.text
    assert run("demo", "--json").json("demo")["passed"] is True
    assert run("demo", "--keep", tmp_path / "kept").status == 0
    assert (tmp_path / "kept" / GLUON).exists()


def test_reader_that_goes_away_is_no_error(sample: Path) -> None:
    command = f"{sys.executable} -m aiterfix check --path {sample} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.stderr == b""


def test_ctrl_c_is_quiet(sample: Path) -> None:
    code = "import os, signal; from aiterfix.cli import main as m, check; import aiterfix.cli.main as mm\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
    code += "check.execute = lambda o: os.kill(os.getpid(), signal.SIGINT) or __import__('time').sleep(5)\n"
    code += f"raise SystemExit(m(['check', '--path', {str(sample)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "aiterfix: interrupted\n")


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


def test_digest_is_cross_checked_with_the_version(run: Runner, sample: Path) -> None:
    data = run("check", "--path", sample, "--json").json("check")
    file = data["installations"][0]["files"][0]
    assert file["releases"] == []
    assert "is in no tag of ROCm/aiter" in file["note"]
    assert "is in no tag of ROCm/aiter" in run("check", "--path", sample).text
    run("apply", "--path", sample)
    data = run("check", "--path", sample, "--json").json("check")
    assert {f["releases"] for f in data["installations"][0]["files"]} == {None}


@pytest.mark.parametrize(
    "words", [["validate"], ["cost"], ["padding", "--max-model-len", "1000", "--block-size", "64", "--measure"]]
)
def test_what_the_extra_lacks_is_said(sample: Path, words: list[str]) -> None:
    """A stranger has installed no extra: exit code 4 and what to install, or which Python to use; no traceback, no 1."""
    script = "import sys; sys.modules['numpy'] = None; from aiterfix.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", script, *words, "--path", str(sample)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and "Traceback" not in done.stderr
    if sys.version_info >= (3, 11):
        assert "numpy" in done.stderr and install_line("validate") in done.stderr
    else:
        assert "needs Python 3.11" in done.stderr


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("compat", ["compat", "0.1.20", "--unheard-of"]),
        ("validate", ["validate", "--source", "a", "--hsaco", "b"]),
        *[(f"upstream-{action}", ["upstream", action, "--unheard-of"]) for action in ("scan", "status", "export")],
    ],
)
def test_an_error_under_json_keeps_to_the_schema_of_its_command(run: Runner, schema: str, words: list[str]) -> None:
    ran = run(*words, "--json")
    assert ran.status == 2
    assert schemas.read(ran.text, schema)["error"]["exit_code"] == 2


def test_padding_says_what_to_do(run: Runner, sample: Path) -> None:
    wanted = ("padding", "--max-model-len", "1000", "--block-size", "64", "--path", sample)
    (line,) = [line for line in run(*wanted).text.splitlines() if line.startswith("next:")]
    assert line == f"next:     `aiterfix apply --path {sample}`, or rows of 1000 + 255 columns in the caller"
    assert run("apply", "--path", sample).status == 0
    assert run(*wanted).text.splitlines()[-1] == "next:     nothing"


def test_padding_offers_no_fixes_of_others(run: Runner, sample: Path) -> None:
    """`required_padding()` answers for this package's kernels, and the command gives the same answer."""
    assert "--fixes" in run("check", "--help").text and "--fixes" not in run("padding", "--help").text
    ran = run("padding", "--max-model-len", "1000", "--block-size", "64", "--path", sample, "--fixes", sample)
    assert ran.status == 2 and "--fixes" in ran.err


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
