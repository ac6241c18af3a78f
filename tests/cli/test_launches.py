"""``aiterfix check --launches``: a recorded list against what is installed, and what ``hook status`` shows of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.cli.main import main
from aiterfix.judge.judgement import LaunchFacts
from aiterfix.judge.launch_list import RecordedLaunch, line_of
from aiterfix.judge.launched import Launch, Outcome
from tests import schemas
from tests.importing.launching import ENTRY, lay_out
from tests.importing.world import GLUON, WRAPPER, World
from tests.report.html import reading

FACTS = LaunchFacts(
    rows=8, width=4000, row_stride=4000, kv_blocks=512, block_stride=8448, kv_block_size=64, chunk_k=256, next_n=2,
    heads=64, preshuffle=1, output_rank=2, output_inner=1, schedule=0, padding=0, triton=30600,
)  # fmt: skip
MEETS = RecordedLaunch(1, WRAPPER, Launch(ENTRY, FACTS, "gfx950"), Outcome.REACHED, ("column-bound",))
SPARED = replace(MEETS, launch=Launch(ENTRY, replace(FACTS, padding=256, row_stride=4256), "gfx950"))
OPEN = replace(MEETS, launch=Launch(ENTRY, replace(FACTS, padding=None), "gfx950"))
STRANGE = replace(MEETS, launch=Launch("fp8_mqa_logits", FACTS, "gfx950"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return lay_out(tmp_path, patchable=True)


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., str]:
    def write(*launches: RecordedLaunch | bytes) -> str:
        file = tmp_path / "list"
        file.write_bytes(b"".join(x if isinstance(x, bytes) else line_of(x) for x in launches))
        return str(file)

    return write


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([*words])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("launches", "status", "outcome"),
    [
        ([SPARED], 0, "not-reached"),
        ([SPARED, MEETS], 1, "reached"),
        ([OPEN], 1, "depends"),
        ([OPEN, SPARED], 1, "depends"),
        ([STRANGE], 3, "unknown"),
        ([MEETS, STRANGE], 3, "unknown"),
    ],
)
def test_the_exit_code_is_that_of_the_launches(
    world: World,
    listed: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    launches: list[RecordedLaunch],
    status: int,
    outcome: str,
) -> None:
    file = listed(*launches)
    words = ["check", "--path", str(world.site), "--launches", file]
    found, text, _ = ask(capsys, *words)
    assert found == status and f"verdict on the launches: {outcome}" in text and "verdict: affected" in text
    found, out, _ = ask(capsys, *words, "--json")
    data = schemas.read(out, "check")
    assert found == status and data["launches_outcome"] == outcome and data["launches_file"] == file
    (one,) = data["launched"]
    assert len(one["launches"]) == len(launches) and one["launches"][0]["facts"]["width"] == 4000
    assert data["verdict"] == "affected"


def test_the_text_says_which_launch_meets_what(
    world: World, listed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "--path", str(world.site), "--launches", listed(MEETS, SPARED, OPEN)]
    _, text, _ = ask(capsys, *words)
    assert f"1 meet column-bound, as {ENTRY}: rows 8, width 4000" in text and "gfx950" in text
    assert "1 may meet column-bound" in text and "depends on padding" in text
    assert "not-reached: " not in text
    _, text, _ = ask(capsys, *words, "-v")
    assert f"not-reached: {ENTRY}: rows 8, width 4000, row_stride 4256" in text


def test_every_form_tells_of_the_launches(
    world: World, listed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "--path", str(world.site), "--launches", listed(MEETS)]
    assert ask(capsys, *words, "-q")[:2] == (1, "reached\n")
    status, page, _ = ask(capsys, *words, "--format", "html")
    said = reading.text(reading.read(page))
    assert (
        status == 1 and "Recorded launches" in said and f"1 meet column-bound, as {ENTRY}: rows 8, width 4000" in said
    )
    status, text, _ = ask(capsys, *words, "--format", "markdown")
    assert status == 1 and "verdict on the launches: reached" in text and text.count("```") == 2


def test_once_patched_no_launch_meets_a_fault(
    world: World, listed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["apply", "--path", str(world.site)]) == 0
    status, text, _ = ask(capsys, "check", "--path", str(world.site), "--launches", listed(MEETS, OPEN))
    assert status == 0 and "verdict on the launches: not-reached" in text


def test_one_fault_may_be_asked_about(
    world: World, listed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "--path", str(world.site), "--launches", listed(MEETS)]
    assert ask(capsys, *words, "--fault", "cache-offset-32")[0] == 0
    assert ask(capsys, *words, "--fault", "column-bound")[0] == 1
    assert ask(capsys, *words, "--no-fault", "column-bound")[0] == 0


def test_several_installations_are_all_judged(
    world: World, listed: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "second").mkdir()
    second = lay_out(tmp_path / "second", patchable=True)
    assert main(["apply", "--path", str(second.site)]) == 0
    words = ["check", "--path", str(second.site), "--path", str(world.site), "--launches", listed(MEETS), "--json"]
    status, out, _ = ask(capsys, *words)
    outcomes = {i["installation"]: i["launches"][0]["outcome"] for i in json.loads(out)["launched"]}
    assert status == 1 and outcomes == {
        str(second.site / "aiter"): "not-reached",
        str(world.site / "aiter"): "reached",
    }


def test_what_is_not_understood_in_the_tree_is_unknown(
    world: World, listed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = world.file(GLUON)
    path.write_text(path.read_text().replace("ptr=OutLogits_buffer", "ptr=elsewhere(OutLogits_buffer)"))
    assert ask(capsys, "check", "--path", str(world.site), "--launches", listed(SPARED))[0] == 3


def test_a_bad_line_is_named_and_refused(
    world: World, listed: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    for bad in (b"\n", b"{}\n", b"not JSON\n", line_of(MEETS)[:40] + b"\n"):
        status, out, err = ask(capsys, "check", "--path", str(world.site), "--launches", listed(SPARED, bad, MEETS))
        assert status == 3 and "line 2" in err and out == ""


def test_what_cannot_be_meant_is_a_usage_error(
    world: World, listed: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["check", "--path", str(world.site), "--launches"]
    (tmp_path / "empty").write_bytes(b"")
    for words, said in (
        ([*at, str(tmp_path / "empty")], "lists no launch"),
        ([*at, str(tmp_path / "missing")], "does not exist"),
        ([*at, ""], "names nothing"),
        ([*at, listed(MEETS), "--sarif"], "sarif"),
        ([*at, listed(MEETS), "--kernel", "all"], "--kernel"),
    ):
        try:
            status, _, err = ask(capsys, *words)
        except SystemExit as left:
            status, err = int(left.code or 0), capsys.readouterr().err
        assert status == 2 and said in err, words


def test_a_fifo_is_not_waited_for(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import os

    os.mkfifo(tmp_path / "fifo")
    status, _, err = ask(capsys, "check", "--path", str(world.site), "--launches", str(tmp_path / "fifo"))
    assert status == 3 and "FIFO" in err


def test_nothing_installed_is_no_answer(
    listed: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["check", "--path", str(tmp_path / "empty"), "--launches", listed(SPARED)]
    status, text, _ = ask(capsys, *words)
    assert status == 4 and "verdict on the launches: unknown" in text


def test_hook_status_shows_a_list(
    listed: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AITERFIX_RECORD", raising=False)
    assert "aiterfix.launches()" in ask(capsys, "hook", "status")[1]
    monkeypatch.setenv("AITERFIX_RECORD", listed(MEETS, SPARED))
    _, text, _ = ask(capsys, "hook", "status")
    assert f"reached (column-bound): {WRAPPER}.{ENTRY}: rows 8" in text and "not watched" in text
    _, out, _ = ask(capsys, "hook", "status", "--json")
    recorded = schemas.read(out, "hook")["recorded"]
    assert (len(recorded["launches"]), recorded["dropped"], recorded["problem"]) == (2, 0, "")
    monkeypatch.setenv("AITERFIX_RECORD", listed(MEETS, b"bad\n"))
    assert "line 2" in ask(capsys, "hook", "status")[1]
    monkeypatch.setenv("AITERFIX_RECORD", str(tmp_path / "missing"))
    assert "cannot be shown" in ask(capsys, "hook", "status")[1]


def test_hook_status_shows_4096_and_counts_the_rest(
    listed: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [replace(MEETS, launch=Launch(ENTRY, replace(FACTS, width=n, row_stride=4100))) for n in range(1, 4100)]
    monkeypatch.setenv("AITERFIX_RECORD", listed(*many))
    _, text, _ = ask(capsys, "hook", "status")
    assert "4099" in text and "and 3 more, which are not shown" in text
