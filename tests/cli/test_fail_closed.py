"""Options and output that must not fail open: what is dropped, unwritable or unforeseen never ends with 0 or 1."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aiterfix.cli.main import exit_codes, main
from aiterfix.demo import write_sample
from aiterfix.errors import ExitCode
from tests.cli.conftest import Ran, Runner, contents
from tests.cli.sample import GLUON

ROOT = Path(__file__).parents[2]


def shell(words: str, redirections: str, **environment: str) -> Ran:
    """A command line through a shell, which can close what Python's own pipes cannot."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AITERFIX", "AITER_"))}
    command = f"{shlex.quote(sys.executable)} -m aiterfix {words} {redirections}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, env={**clean, **environment}, timeout=120, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def mended(tmp_path: Path, run: Runner) -> Path:
    """A second installation, patched."""
    folder = tmp_path / "mended"
    folder.mkdir()
    write_sample(folder)
    assert run("apply", "--path", folder, "--require").status == 0
    return folder


# several targets


def test_every_target_is_judged_and_the_worst_decides(run: Runner, sample: Path, mended: Path, tmp_path: Path) -> None:
    for pair in ((sample, mended), (mended, sample)):
        words = [w for p in pair for w in ("--path", p)]
        ran = run("check", *words)
        assert ran.status == 1
        assert str(sample / "aiter") in ran.text and str(mended / "aiter") in ran.text
        assert ran.text.endswith(f"\nnext:    aiterfix apply --path {sample}\n"), "the other is mended"
        assert len(run("check", *words, "--json").json("check")["installations"]) == 2
    assert run("check", "--path", mended, "--path", mended).status == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("check", "--path", mended, "--path", empty)
    assert ran.status == 4, "a target that holds none is not passed over"
    assert f"passed over: {empty}: no aiter is installed there" in ran.text
    assert run("check", "--path", sample, "--path", empty).status == 1
    missing = run("check", "--path", mended, "--path", tmp_path / "nowhere")
    assert missing.status == 2 and "nowhere does not exist" in missing.err


def test_every_target_is_patched_shown_and_reverted(run: Runner, sample: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(sample, second)
    before = contents(sample)
    both = ("--path", sample, "--path", second)
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("apply", *both, "--path", empty, "--require")
    assert ran.status == 4 and str(empty) in ran.err
    assert contents(sample) == contents(second) == before, "nothing is done where one target holds nothing"
    assert run("diff", *both).text.count("+++ b/" + GLUON) == 2
    assert run("apply", *both, "--require").status == 0
    assert run("check", *both).status == 0
    assert run("revert", *both).status == 0
    assert contents(sample) == contents(second) == before


def test_another_interpreter_beside_this_one(run: Runner, mended: Path, sample: Path) -> None:
    pythons = []
    for place in (mended, sample):
        script = place.parent / f"python-{place.name}"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(place))} exec {shlex.quote(sys.executable)} "$@"\n')
        script.chmod(0o755)
        pythons += ["--python", script]
    assert run("check", *pythons[:2]).status == 0
    assert run("check", *pythons).status == 1
    assert run("check", *pythons[2:], *pythons[:2]).status == 1


@pytest.mark.parametrize("command", ["padding --max-model-len 1000 --block-size 64", "validate", "cost"])
def test_a_second_target_is_refused_where_one_is_meant(run: Runner, command: str) -> None:
    ran = run(*command.split(), "--path", "/one", "--path", "/two")
    assert ran.status == 2
    assert "argument --path: given as /one and as /two" in ran.err


def test_two_engines_are_both_asked_for(run: Runner, mended: Path) -> None:
    package = mended / "vllm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    alone = run("check", "--path", mended, "--for", "vllm")
    assert alone.status != 4 and "vllm" in alone.text
    for words in (("--for", "vllm", "--for", "sglang"), ("--for", "sglang", "--for", "vllm")):
        ran = run("check", "--path", mended, *words)
        assert ran.status == 4 and "no sglang is installed here" in ran.err


def test_an_engine_is_no_pair_with_the_aiter_of_another_place(run: Runner, mended: Path, sample: Path) -> None:
    package = mended / "vllm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    ran = run("check", "--path", mended, "--path", sample, "--for", "vllm")
    assert ran.status == 4 and "no vllm is installed here" in ran.err and str(sample) in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("check --kernel gluon --kernel stage1", "--kernel: given as gluon and as stage1"),
        ("check --for vllm --block-size 1 --block-size 64", "--block-size: given as 1 and as 64"),
        ("apply --kernel all --kernel gluon", "--kernel: given as all and as gluon"),
        ("validate --device gpu --device emulator", "--device: given as gpu and as emulator"),
        ("validate --scenario a --scenario b", "--scenario: given as a and as b"),
        ("cost --source a --source b", "--source: given as a and as b"),
        ("upstream scan --repo a --repo b", "--repo: given as a and as b"),
        ("upstream scan --refs a b --refs c", "--refs: given as a b and as c"),
        ("upstream status --path /one --path /two", "--path: given as /one and as /two"),
        ("hook status --python /one --python /two", "--python: given as /one and as /two"),
        ("run --mode auto --mode require", "--mode: given as auto and as require"),
        ("demo --keep /proc/a --keep /proc/b", "--keep: given as /proc/a and as /proc/b"),
        ("padding --chunk-k 64 --chunk-k 128", "--chunk-k: given as 64 and as 128"),
    ],
)
def test_no_option_is_dropped_in_silence(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


def test_the_same_value_twice_is_no_contradiction(run: Runner, mended: Path) -> None:
    assert run("check", "--path", mended, "--kernel", "all", "--kernel", "all").status == 0


# output that cannot be written

FULL, CLOSED = "> /dev/full", ">&-"


@pytest.mark.parametrize("redirection", [FULL, CLOSED])
@pytest.mark.parametrize(
    "words",
    ["check --path {0}", "check --path {0} --json", "check --path {0} --sarif", "diff --path {0}", "--help", "--version",
     "check --help", "demo", "compat 0.1.20", "check --bogus --json", "hook status --python /bin/true --json"],
)  # fmt: skip
def test_a_report_that_cannot_be_written_is_an_error_of_one_line(sample: Path, words: str, redirection: str) -> None:
    ran = shell(words.format(sample), redirection)
    assert ran.status == 4
    (line,) = ran.err.splitlines()
    why = "No space left on device" if redirection == FULL else "it is closed"
    assert line.endswith(f"the report could not be written to stdout: {why}")


@pytest.mark.parametrize("more", ["", "--json"])
def test_what_was_done_is_said_where_the_report_cannot_be(
    sample: Path, more: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def to_full(words: str) -> list[str]:
        with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            assert main(words.split()) == 4
        return capsys.readouterr().err.splitlines()

    for words, said in (
        (f"apply --require --path {sample} {more}", f"2 files were patched in {sample}/aiter"),
        (f"revert --path {sample} {more}", f"2 files were restored in {sample}/aiter"),
    ):
        (line,) = to_full(words)
        assert line.startswith(f"aiterfix: error: {said}; the report could not be written to stdout: No space left")
        (line,) = to_full(words)
        assert line.startswith("aiterfix: error: the report"), "nothing was done"


@pytest.mark.parametrize("redirection", [FULL, CLOSED])
def test_and_by_a_process_too(sample: Path, redirection: str) -> None:
    for words, said in (("apply --require", "patched"), ("revert --json", "restored")):
        ran = shell(f"{words} --path {sample}", redirection)
        assert ran.status == 4
        (line,) = ran.err.splitlines()
        assert line.startswith(f"aiterfix: error: 2 files were {said} in {sample}/aiter; the report could not be")


@pytest.mark.parametrize(
    ("redirection", "wanted"), [(">&- 2>&-", 4), ("> /dev/full 2> /dev/full", 4), (">&- 2> /dev/full", 4)]
)
def test_where_nobody_can_be_told_the_status_says_it(sample: Path, redirection: str, wanted: int) -> None:
    for words in (f"check --path {sample}", "--version"):
        assert shell(words, redirection).status == wanted


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", "<&- 2>&-"])
def test_without_stderr_the_answer_is_what_it_was(sample: Path, mended: Path, redirection: str) -> None:
    assert shell(f"check --path {sample}", redirection).status == 1
    assert shell(f"check --path {mended}", redirection).status == 0
    assert shell("check --bogus", redirection).status == 2
    assert shell("check --bogus --json", redirection).status == 2


def test_a_reader_that_goes_away_hides_no_change(sample: Path) -> None:
    late = "| true; exit ${PIPESTATUS[0]}"
    ran = shell(f"check --path {sample} --json", late)
    assert (ran.status, ran.err) == (4, "")
    ran = shell(f"apply --path {sample}", late)
    assert ran.status == 4
    assert ran.err == (
        f"aiterfix: error: 2 files were patched in {sample}/aiter; the report could not be written to stdout: "
        "Broken pipe\n"
    )


# text that a stream cannot hold


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_odd_names_are_shown_in_any_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    folder = tmp_path / "sit\u00e9-\u2603"
    folder.mkdir()
    write_sample(folder)

    def run(*words: str | Path) -> Ran:
        out, err = io.BytesIO(), io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
            patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding))
            status = main([str(w) for w in words])
            sys.stdout.flush()
            sys.stderr.flush()
            return Ran(status, out.getvalue(), err.getvalue().decode(encoding))

    assert run("check", "--path", folder).status == 1
    assert run("check", "--path", folder, "--json").json("check")["verdict"] == "affected"
    assert run("apply", "--path", folder).status == 0
    odd = os.fsdecode(b"\xff\xfe")
    for words, status in ((("check", "--path", odd), 2), (("check", f"--{odd}"), 2), (("compat", odd), 3)):
        ran = run(*words)
        assert ran.status == status
        assert "Traceback" not in ran.err and "unexpected" not in ran.err


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict"])
def test_and_by_a_process_that_was_told_an_encoding(tmp_path: Path, process: Runner, encoding: str) -> None:
    folder = tmp_path / "sit\u00e9-\u2603"
    folder.mkdir()
    write_sample(folder)
    ran = process("check", "--path", folder, env={"PYTHONIOENCODING": encoding})
    assert ran.status == 1 and ran.err == ""
    assert b"sit\\xe9-\\u2603" in ran.out
    ran = process("check", "--path", os.fsdecode(b"\xff\xfe"), env={"PYTHONIOENCODING": encoding})
    assert ran.status == 2 and "Traceback" not in ran.err


# odd command lines


def test_an_existing_folder_is_not_the_demos(run: Runner, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").write_text("mine")
    ran = run("demo", "--keep", kept)
    assert ran.status == 2 and f"{kept} exists already" in ran.err
    assert contents(kept) == {"mine": b"mine"}
    ran = run("demo", "--keep", kept / "mine" / "below", "--json")
    assert ran.status == 4 and "cannot be made" in ran.json("demo")["error"]["what"]


@pytest.mark.parametrize("command", ["check", "apply", "diff"])
def test_a_kernel_that_nobody_knows_is_a_usage_error_without_aiter(run: Runner, tmp_path: Path, command: str) -> None:
    ran = run(command, "--path", tmp_path, "--kernel", "foo")
    assert ran.status == 2 and "no kernels are known by the name 'foo'" in ran.err


def test_padding_is_an_action_only_where_required(run: Runner, sample: Path) -> None:
    words = ("padding", "--max-model-len", "1000", "--block-size", "64", "--path", sample)
    assert run(*words).status == 0
    assert run(*words, "--require").status == 1


def test_there_is_one_table_of_exit_codes() -> None:
    page = (ROOT / "docs/commands.md").read_text()
    for code in ExitCode:
        assert f"| {int(code)} | {code.meaning} |\n" in page
        assert f"  {int(code)}  {code.meaning.split(',')[0].split(':')[0]}" in exit_codes()
    assert "padding required, where --require asks for none" in " ".join(exit_codes().split())


LONG = "x" * 3000
ODD = [
    ["check", "--path", LONG],
    ["check", "--path", "{file}"],
    ["check", "--path", "{file}/below"],
    ["check", "--path", "/dev/null"],
    ["check", "--path", "/proc/self/mem"],
    ["check", "--path", "{loop}"],
    ["check", "--python", "{file}"],
    ["check", "--python", LONG],
    ["check", "--python", "/dev/null"],
    ["check", "--fixes", "{file}"],
    ["check", "--fixes", LONG],
    ["apply", "--path", "{file}"],
    ["revert", "--path", "{loop}"],
    ["padding", "--path", "{file}", "--max-model-len", "1000", "--block-size", "64"],
    ["padding", "--path", LONG, "--max-model-len", "1000", "--block-size", "64"],
    ["padding", "--max-model-len", "9" * 5000, "--block-size", "64"],
    ["padding", "--max-model-len", "٣" * 30, "--block-size", "64"],
    ["cost", "--source", LONG],
    ["validate", "--source", "{file}/below"],
    ["hook", "status", "--pid", "9" * 30],
    ["hook", "status", "--pid", "9" * 5000],
    ["hook", "status", "--python", LONG],
    ["demo", "--keep", LONG],
    ["demo", "--keep", ""],
    ["compat", LONG],
    ["compat", ""],
    ["run", "--", LONG],
    ["run", "--", ""],
    ["run", "--"],
    ["upstream", "scan", "--repo", "{file}"],
    ["--", "check"],
    ["-"],
]


@pytest.mark.parametrize("words", ODD, ids=lambda w: " ".join(w)[:60])
def test_odd_arguments_end_with_a_message_and_never_with_1(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    (tmp_path / "file").write_bytes(b"\xff\x00")
    (tmp_path / "loop").symlink_to("loop")
    named = [w.format(file=tmp_path / "file", loop=tmp_path / "loop") for w in words]
    assert main(named) in (2, 3, 4)
    out, err = capsys.readouterr()
    assert "unexpected" not in err, "foreseen, with a message of its own"
    assert err or "verdict: " in out or "not known" in out


def test_what_nobody_foresaw_is_one_line_and_not_1(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aiterfix.cli import check

    for error, status in ((KeyError("a\nb"), 3), (OSError(5, "Input/output error"), 4), (RecursionError("deep"), 3)):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(check, "discover_each", fail)
        assert main(["check", "--path", str(sample)]) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert type(error).__name__ in line and "report it" in line
        assert main(["check", "--json", "--path", str(sample)]) == status
        assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == status
        monkeypatch.setenv("AITERFIX_LOG", "debug")
        assert main(["check", "--path", str(sample)]) == status
        assert "Traceback" in capsys.readouterr().err
        monkeypatch.delenv("AITERFIX_LOG")


def test_a_failure_at_the_second_target_hides_not_what_was_done_at_the_first(
    run: Runner, sample: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    shutil.copytree(sample, second)
    with (second / GLUON).open("a") as file:
        file.write("def broken(:\n")
    both = ("--path", sample, "--path", second)
    ran = run("apply", *both)
    assert ran.status == 3
    assert f"Done before that: 2 files were patched in {sample}/aiter." in ran.err
    assert run("revert", "--path", sample).status == 0
    ran = run("apply", *both, "--json")
    assert ran.json("apply")["error"]["what"].endswith(f"Done before that: 2 files were patched in {sample}/aiter.")
